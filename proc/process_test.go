package proc_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"berth/proc"
)

func TestOpenIsOfTheIdentity(t *testing.T) {
	c := start(t, self("block", ""))
	id := identify(t, c.pid)
	with := func(change func(*proc.Identity)) proc.Identity {
		changed := id
		change(&changed)
		return changed
	}
	thread := otherThread(t)
	threadID := identify(t, thread)
	for _, test := range []struct {
		name string
		id   proc.Identity
		gone bool
	}{
		{"the process", id, false},
		{"a later start: the pid was used again", with(func(i *proc.Identity) { i.StartTime-- }), true},
		{"an earlier start", with(func(i *proc.Identity) { i.StartTime++ }), true},
		{"another boot", with(func(i *proc.Identity) { i.BootID = "00000000-0000-0000-0000-000000000000" }), true},
		{"no boot", with(func(i *proc.Identity) { i.BootID = "" }), true},
		{"no pid", with(func(i *proc.Identity) { i.PID = 0 }), true},
		{"negative pid", with(func(i *proc.Identity) { i.PID = -i.PID }), true},
		{"a pid that nobody has", with(func(i *proc.Identity) { i.PID = 1 << 30 }), true},
		{"a thread", threadID, true},
		{"nothing", proc.Identity{}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, err := proc.Open(test.id)
			if test.gone {
				if !errors.Is(err, proc.ErrGone) {
					t.Errorf("error %v, want ErrGone", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if p.Identity() != test.id {
				t.Errorf("identity %+v", p.Identity())
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// otherThread is the number of a thread of this process other than the first.
func otherThread(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if n, _ := strconv.Atoi(e.Name()); n != os.Getpid() {
			return n
		}
	}
	t.Fatal("this process has one thread")
	return 0
}

func TestOpenExited(t *testing.T) {
	ctx := t.Context()

	t.Run("an unreaped child is there", func(t *testing.T) {
		c := start(t, self("block", ""))
		first := open(t, c.pid)
		_ = c.in.Close()
		if err := first.Exited(ctx); err != nil {
			t.Fatal(err)
		}
		second, err := proc.Open(first.Identity())
		if err != nil {
			t.Fatal(err)
		}
		if exit, err := second.Reap(); err != nil || exit != (proc.Exit{Known: true}) {
			t.Errorf("%v, %v", exit, err)
		}
		_ = second.Close()
		if _, err := proc.Open(first.Identity()); !errors.Is(err, proc.ErrGone) {
			t.Errorf("after the reaping: %v, want ErrGone", err)
		}
	})

	t.Run("a zombie of another process is gone", func(t *testing.T) {
		c := start(t, self("hoarder", ""))
		p := open(t, c.number(t))
		if err := p.Signal(unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if err := p.Exited(ctx); err != nil {
			t.Fatal(err)
		}
		if id, err := proc.Identify(p.Identity().PID); err != nil || id != p.Identity() {
			t.Fatalf("the zombie was reaped: %+v, %v", id, err)
		}
		if _, err := proc.Open(p.Identity()); !errors.Is(err, proc.ErrGone) {
			t.Errorf("error %v, want ErrGone", err)
		}
		if err := p.Signal(0); !errors.Is(err, proc.ErrGone) {
			t.Errorf("signal: %v, want ErrGone", err)
		}
		exit, err := p.Reap()
		if err != nil || exit.Known {
			t.Errorf("%v, %v: nobody can know how a zombie of another process ended", exit, err)
		}
	})
}

func TestCloseTwice(t *testing.T) {
	c := start(t, self("block", ""))
	p := open(t, c.pid)
	done := make(chan error)
	go func() { done <- p.Exited(context.Background()) }()
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; !errors.Is(err, proc.ErrClosed) {
		t.Errorf("waiting: %v, want ErrClosed", err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if err := p.Signal(0); !errors.Is(err, proc.ErrClosed) {
		t.Errorf("signal: %v, want ErrClosed", err)
	}
	if err := p.SignalGroup(0); !errors.Is(err, proc.ErrClosed) {
		t.Errorf("signal to group: %v, want ErrClosed", err)
	}
	if _, err := p.Reap(); !errors.Is(err, proc.ErrClosed) {
		t.Errorf("reap: %v, want ErrClosed", err)
	}
}

// fork starts a program the way that gives a pidfd from clone, without the os package's own handle.
func fork(t *testing.T, stdin *os.File, argv ...string) (pid, pidfd int) {
	t.Helper()
	path, err := exec.LookPath(argv[0])
	if err != nil {
		t.Fatal(err)
	}
	pidfd = -1
	pid, err = syscall.ForkExec(path, argv, &syscall.ProcAttr{
		Env:   os.Environ(),
		Files: []uintptr{stdin.Fd(), 1, 2},
		Sys:   &syscall.SysProcAttr{PidFD: &pidfd, Setsid: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	return pid, pidfd
}

func TestAdopt(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	pid, pidfd := fork(t, r, "cat")
	_ = r.Close()
	p := proc.Adopt(pidfd, identify(t, pid))
	if _, err := p.Reap(); !errors.Is(err, proc.ErrRunning) {
		t.Errorf("reap: %v, want ErrRunning", err)
	}
	_ = w.Close()
	exit, err := p.Wait(t.Context())
	if err != nil || exit != (proc.Exit{Known: true}) {
		t.Errorf("%v, %v", exit, err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

func TestAdoptNothing(t *testing.T) {
	for name, pidfd := range map[string]int{"none": -1, "not open": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			p := proc.Adopt(pidfd, proc.Identity{PID: 7})
			if err := p.Exited(t.Context()); !errors.Is(err, proc.ErrClosed) {
				t.Errorf("wait: %v", err)
			}
			if err := p.Signal(0); !errors.Is(err, proc.ErrClosed) {
				t.Errorf("signal: %v", err)
			}
			if err := p.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
}
