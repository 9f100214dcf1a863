package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// A descriptor, a second one of a file of the store, a goroutine and a zombie
// are noticed; a file of the store is not.
func TestGrowthNotices(t *testing.T) {
	home := t.TempDir()
	if err := os.Mkdir(filepath.Join(home, "store"), 0o700); err != nil {
		t.Fatal(err)
	}
	take := func() tally {
		now := tally{}
		if err := now.addDescriptors(os.Getpid(), home); err != nil {
			t.Fatal(err)
		}
		stacks := make([]byte, 1<<20)
		now.addGoroutines(stacks[:runtime.Stack(stacks, true)])
		return now
	}
	open := func(name string) {
		f, err := os.OpenFile(filepath.Join(home, name), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
	}
	before := take()
	open("store/000001.sst")
	if grown := take().grown(before); len(grown) > 0 {
		t.Errorf("with a table more: %q", grown)
	}
	open("store/000001.sst")
	open("left")
	stop := make(chan struct{})
	defer close(stop)
	go func() { <-stop }()
	got := strings.Join(take().grown(before), "\n")
	for _, want := range []string{"descriptor HOME/left: 1, before 0", "descriptor HOME/store/N.sst: 1, before 0", "TestGrowthNotices: 1, before 0"} {
		if !strings.Contains(got, want) {
			t.Errorf("it does not say %q:\n%s", want, got)
		}
	}

	child := exec.Command("sleep", "1000")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = child.Wait() }()
	if left, err := zombiesOf(os.Getpid()); err != nil || slices.Contains(left, child.Process.Pid) {
		t.Errorf("while it runs: %v, %v", left, err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for {
		left, err := zombiesOf(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(left, child.Process.Pid) {
			break // else the test does not end
		}
	}
}
