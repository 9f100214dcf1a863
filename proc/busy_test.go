package proc_test

import (
	"os"
	"testing"
	"time"

	"berth/proc"
)

func TestBusy(t *testing.T) {
	if !proc.Busy(os.Getpid()) {
		t.Error("this process runs, and is not busy")
	}
	if proc.Busy(1 << 30) {
		t.Error("no process is busy")
	}
	c := start(t, self("block", ""))
	for proc.Busy(c.pid) { // until it has come to wait
		time.Sleep(time.Millisecond)
	}
}
