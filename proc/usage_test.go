package proc_test

import (
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"berth/proc"
)

func TestUsage(t *testing.T) {
	before, err := proc.UsageOf(os.Getpid())
	if err != nil || before.Memory < 1<<20 {
		t.Fatalf("%+v, %v", before, err)
	}
	for begin := time.Now(); time.Since(begin) < 60*time.Millisecond; { // at least some ticks of 10 ms
	}
	c := start(t, self("block", ""))
	after, err := proc.UsageOf(os.Getpid(), c.pid, 1<<30)
	if err != nil || after.CPU <= before.CPU || after.Memory <= before.Memory {
		t.Errorf("%+v after %+v, %v", after, before, err)
	}
	own, err := proc.Memory(os.Getpid())
	if u, _ := proc.UsageOf(os.Getpid()); err != nil || u.Memory < own/2 || u.Memory > own*2 {
		t.Errorf("%d bytes of memory, and %d by statm, %v", u.Memory, own, err)
	}
}

func TestCommand(t *testing.T) {
	args, err := proc.Command(os.Getpid())
	if err != nil || !slices.Equal(args, os.Args) {
		t.Errorf("%q, %v", args, err)
	}
	if _, err := proc.Command(1 << 30); !errors.Is(err, proc.ErrGone) {
		t.Error(err)
	}
}
