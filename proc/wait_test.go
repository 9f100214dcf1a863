package proc_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"berth/internal/require"
	"berth/proc"
)

func TestExitString(t *testing.T) {
	for want, exit := range map[string]proc.Exit{
		"exit code unknown":            {},
		"exit code 0":                  {Known: true},
		"exit code 255":                {Known: true, Code: 255},
		"signal SIGKILL":               {Known: true, Signal: unix.SIGKILL},
		"signal SIGSEGV (core dumped)": {Known: true, Signal: unix.SIGSEGV, CoreDumped: true},
		"signal 40":                    {Known: true, Signal: 40},
	} {
		if got := exit.String(); got != want {
			t.Errorf("%+v is %q, want %q", exit, got, want)
		}
	}
}

func TestWaitForChildren(t *testing.T) {
	for _, test := range []struct {
		how  string
		want proc.Exit
	}{
		{"0", proc.Exit{Known: true}},
		{"1", proc.Exit{Known: true, Code: 1}},
		{"255", proc.Exit{Known: true, Code: 255}},
		{"-9", proc.Exit{Known: true, Signal: unix.SIGKILL}},
		{"-10", proc.Exit{Known: true, Signal: unix.SIGUSR1}},
		{"-40", proc.Exit{Known: true, Signal: 40}},
	} {
		t.Run(test.how, func(t *testing.T) {
			cmd := exec.Command("sh", "-c", "read x; exit "+test.how)
			if strings.HasPrefix(test.how, "-") {
				cmd = exec.Command("sh", "-c", "read x; kill "+test.how+" $$; read y")
			}
			c := start(t, cmd)
			p := open(t, c.pid)
			if _, err := p.Reap(); !errors.Is(err, proc.ErrRunning) {
				t.Errorf("reap before the exit: %v, want ErrRunning", err)
			}
			if _, err := p.Peek(); !errors.Is(err, proc.ErrRunning) {
				t.Errorf("peek before the exit: %v, want ErrRunning", err)
			}
			if _, err := fmt.Fprintln(c.in, "go"); err != nil {
				t.Fatal(err)
			}
			if err := p.Exited(t.Context()); err != nil {
				t.Fatal(err)
			}
			if id, err := proc.Identify(c.pid); err != nil || id != p.Identity() {
				t.Errorf("the child was reaped by waiting: %+v, %v", id, err)
			}
			if exit, err := p.Peek(); err != nil || exit != test.want {
				t.Errorf("peeked %+v, %v, want %+v", exit, err, test.want)
			}
			if id, err := proc.Identify(c.pid); err != nil || id != p.Identity() {
				t.Errorf("the child was reaped by peeking: %+v, %v", id, err)
			}
			exit, err := p.Reap()
			if err != nil || exit != test.want {
				t.Errorf("%+v, %v, want %+v", exit, err, test.want)
			}
			if again, err := p.Wait(t.Context()); err != nil || again != exit {
				t.Errorf("second answer %+v, %v", again, err)
			}
			if err := unix.Waitid(unix.P_PID, c.pid, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); err != unix.ECHILD {
				t.Errorf("the child was not reaped: %v", err)
			}
		})
	}
}

func TestWaitForGoProgram(t *testing.T) {
	for _, test := range []struct {
		how  string
		want proc.Exit
	}{
		{"3", proc.Exit{Known: true, Code: 3}},
		{"-9", proc.Exit{Known: true, Signal: unix.SIGKILL}},
	} {
		p := open(t, start(t, self("exit", test.how)).pid)
		if exit, err := p.Wait(t.Context()); err != nil || exit != test.want {
			t.Errorf("%s: %v, %v", test.how, exit, err)
		}
	}
}

// A process that is not a child is waited for as well; how it ended is known where the kernel keeps it.
func TestWaitForOthers(t *testing.T) {
	for _, test := range []struct {
		name   string
		signal syscall.Signal
		want   proc.Exit
	}{
		{"exit", 0, proc.Exit{Known: true}},
		{"signal", unix.SIGTERM, proc.Exit{Known: true, Signal: unix.SIGTERM}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := start(t, self("reaper", ""))
			p := open(t, c.number(t))
			command := "end"
			if test.signal != 0 {
				command = "wait"
				if err := p.Signal(test.signal); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := fmt.Fprintln(c.in, command); err != nil {
				t.Fatal(err)
			}
			exit, err := p.Wait(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if !kernel(t, 6, 15) {
				test.want = proc.Exit{}
			}
			if exit != test.want {
				t.Errorf("%v, want %v", exit, test.want)
			}
		})
	}
}

// What was started by a process that ended before is nobody's child here.
func TestWaitForOrphan(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := self("orphan", "")
	cmd.ExtraFiles = []*os.File{r}
	c := start(t, cmd)
	orphaned := open(t, c.number(t))
	_ = r.Close()
	if exit, err := open(t, c.pid).Wait(t.Context()); err != nil || exit.Code != 0 {
		t.Fatalf("parent: %v, %v", exit, err)
	}
	if err := orphaned.Signal(0); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	if err := orphaned.Exited(t.Context()); err != nil {
		t.Fatal(err)
	}
	exit, err := orphaned.Reap()
	if err != nil || exit.Known && exit != (proc.Exit{Known: true}) {
		t.Errorf("%v, %v", exit, err)
	}
}

// Somebody else in this program may have collected the child; that is no error.
func TestReapedByAnother(t *testing.T) {
	c := start(t, self("exit", "5"))
	p := open(t, c.pid)
	if err := p.Exited(t.Context()); err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(c.pid, &status, 0, nil); err != nil {
		t.Fatal(err)
	}
	exit, err := p.Reap()
	want := proc.Exit{Known: true, Code: 5}
	if !kernel(t, 6, 15) {
		want = proc.Exit{}
	}
	if err != nil || exit != want {
		t.Errorf("%v, %v, want %v", exit, err, want)
	}
}

// A child that is traced when it dies cannot be reaped before its tracer knows: only then it has exited.
func TestTracedChild(t *testing.T) {
	c := start(t, exec.Command("cat"))
	tracing := start(t, self("tracer", fmt.Sprint(c.pid)))
	if said := tracing.line(t); said != "tracing" {
		require.Missing(t, "tracing a process ("+said+")", "run the tests as root")
	}
	p := open(t, c.pid)
	if err := p.Signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	pidfd, err := unix.PidfdOpen(c.pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pidfd)
	if _, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, -1); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := p.Exited(ctx); !errors.Is(err, context.DeadlineExceeded) {
		exit, reapErr := p.Reap()
		t.Fatalf("it has exited while it is traced: %v; reaped as %v: %v", err, exit, reapErr)
	}
	if err := tracing.in.Close(); err != nil {
		t.Fatal(err)
	}
	exit, err := p.Wait(t.Context())
	if want := (proc.Exit{Known: true, Signal: unix.SIGKILL}); err != nil || exit != want {
		t.Errorf("it has ended by %v (%v), want %v", exit, err, want)
	}
}

func TestWaitEndsWithContext(t *testing.T) {
	c := start(t, self("block", ""))
	p := open(t, c.pid)
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error)
	go func() {
		_, err := p.Wait(ctx)
		done <- err
	}()
	cancel(nil)
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
	_ = c.in.Close()
	if exit, err := p.Wait(t.Context()); err != nil || exit != (proc.Exit{Known: true}) {
		t.Errorf("the next wait: %v, %v", exit, err)
	}
}

// Many waiters hold no thread each.
func TestWaitHoldsNoThreads(t *testing.T) {
	const children, waiters = 200, 2
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	var handles []*proc.Process
	for range children {
		pid, pidfd := fork(t, r, "cat")
		p := proc.Adopt(pidfd, identify(t, pid))
		defer func() { _ = p.Close() }()
		handles = append(handles, p)
	}
	_ = r.Close()
	before := threads(t)

	var group sync.WaitGroup
	exits := make(chan proc.Exit, children*waiters)
	for _, p := range handles {
		for range waiters {
			group.Go(func() {
				exit, err := p.Wait(t.Context())
				if err != nil {
					t.Error(err)
				}
				exits <- exit
			})
		}
	}
	for polled := 0; polled < children; {
		buf := make([]byte, 4<<20)
		polled = strings.Count(string(buf[:runtime.Stack(buf, true)]), "[IO wait")
		runtime.Gosched()
	}
	if now := threads(t); now > before+20 {
		t.Errorf("%d threads with %d children waited for, %d without", now, children, before)
	}
	_ = w.Close()
	group.Wait()
	close(exits)
	for exit := range exits {
		if exit != (proc.Exit{Known: true}) {
			t.Errorf("exit %v", exit)
		}
	}
}

func threads(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
