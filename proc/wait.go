package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Wait waits until the process has exited and tells how: Exited and Reap in one.
func (p *Process) Wait(ctx context.Context) (Exit, error) {
	if err := p.Exited(ctx); err != nil {
		return Exit{}, err
	}
	return p.Reap()
}

// Exited waits until the process has exited, with all its threads, and leaves a child unreaped: its pid, and the number of
// its group, are not given to anybody else before Reap. A child that is traced has exited once its tracer has seen that: it
// cannot be reaped before (ptrace(2)). It holds no operating system thread while it waits. The error is
// ctx's, or ErrClosed when the handle is closed meanwhile.
func (p *Process) Exited(ctx context.Context) error {
	p.watch.Do(func() { go p.watchExit() })
	select {
	case <-p.exited:
		return p.failure
	default:
	}
	select {
	case <-p.exited:
		return p.failure
	case <-ctx.Done():
		return ctx.Err()
	}
}

// watchExit waits in the runtime's poller, on behalf of every caller of Exited.
func (p *Process) watchExit() {
	defer close(p.exited)
	if p.file == nil {
		p.failure = fmt.Errorf("wait for pid %d: %w", p.id.PID, ErrClosed)
		return
	}
	err := p.conn.Read(func(fd uintptr) bool { return isOver(int(fd)) })
	switch {
	case err == nil, errors.Is(err, os.ErrDeadlineExceeded): // a deadline is set only once the process has exited
	case p.closed.Load():
		p.failure = fmt.Errorf("wait for pid %d: %w", p.id.PID, ErrClosed)
	default:
		p.failure = fmt.Errorf("wait for pid %d: %w", p.id.PID, err)
	}
}

// isOver reports whether the process behind a pidfd has exited and, if it is a child, can be reaped. The pidfd becomes ready
// once more when a tracer lets go of a child that has exited.
func isOver(fd int) bool {
	if !hasExited(fd) {
		return false
	}
	_, err := waitChild(fd, unix.WNOWAIT)
	return !errors.Is(err, ErrRunning)
}

// Reap collects how the process ended, and takes a child off the kernel's table, after which its pid is free. It does not
// wait for the exit: the error is ErrRunning before it, and ErrClosed after Close. A second Reap answers as the first did.
//
// Of a process that is not a child the kernel keeps the exit status since Linux 6.15, from when its parent has reaped it;
// Reap gives a parent a moment for that. Otherwise the exit is not Known, which is no error.
func (p *Process) Reap() (Exit, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return p.exit, nil
	}
	exit, err := p.collect(0)
	if err != nil {
		return Exit{}, err
	}
	p.exit, p.reaped = exit, true
	return exit, nil
}

// Peek tells what Reap will, and leaves a child on the kernel's table.
func (p *Process) Peek() (Exit, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return p.exit, nil
	}
	return p.collect(unix.WNOWAIT)
}

// collect collects the exit, with options of waitid(2) for a child. The lock is held.
func (p *Process) collect(options int) (Exit, error) {
	var (
		exit   Exit
		failed error
	)
	err := p.control(func(fd int) {
		if !hasExited(fd) {
			failed = ErrRunning
			return
		}
		exit, failed = waitChild(fd, options)
	})
	if err == nil {
		err = failed
	}
	if err == unix.ECHILD {
		exit, err = p.foreignExit()
	}
	if err != nil {
		return Exit{}, fmt.Errorf("collect exit of pid %d: %w", p.id.PID, err)
	}
	return exit, nil
}

// siginfoChild is siginfo_t as waitid(2) fills it in: the fields after the code are in a union that is aligned like a pointer.
type siginfoChild struct {
	signo, errno, code int32
	_                  [0]uintptr
	pid                int32
	uid                uint32
	status             int32
	_                  [104]byte // up to 128 bytes and a little
}

// The codes of a SIGCHLD, as of sigaction(2).
const (
	cldExited = 1
	cldKilled = 2
	cldDumped = 3
)

// waitChild tells how a child has exited, and reaps it unless the options say WNOWAIT; the error is ECHILD for the child of
// another process.
func waitChild(fd, options int) (Exit, error) {
	var info siginfoChild
	_, err := retry(func() (int, error) {
		return 0, unix.Waitid(unix.P_PIDFD, fd, (*unix.Siginfo)(unsafe.Pointer(&info)), unix.WEXITED|unix.WNOHANG|options, nil)
	})
	if err != nil {
		return Exit{}, err
	}
	if info.pid == 0 {
		return Exit{}, ErrRunning
	}
	switch info.code {
	case cldExited:
		return Exit{Known: true, Code: int(info.status)}, nil
	case cldKilled, cldDumped:
		return Exit{Known: true, Signal: syscall.Signal(info.status), CoreDumped: info.code == cldDumped}, nil
	default:
		return Exit{}, nil
	}
}

// reapingTime bounds how long the exit status of another process' child is waited for. Whoever reaps at all does so in
// less than a millisecond.
const reapingTime = 200 * time.Millisecond

// foreignExit asks the kernel how a process that is not a child has ended.
func (p *Process) foreignExit() (Exit, error) {
	exit, ok, err := p.exitInfo()
	if ok || err != nil {
		return exit, err
	}
	// It is a zombie still: being reaped makes its pidfd hang up.
	if err := p.file.SetReadDeadline(time.Now().Add(reapingTime)); err != nil {
		return Exit{}, ErrClosed
	}
	err = p.conn.Read(func(fd uintptr) bool { return pollEvents(int(fd))&unix.POLLHUP != 0 })
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return Exit{}, ErrClosed
	}
	_ = p.file.SetReadDeadline(time.Time{})
	exit, _, err = p.exitInfo()
	return exit, err
}

// exitInfo reads the exit status that the kernel keeps with a pidfd. It reports false when the status may come yet: the
// process was not reaped.
func (p *Process) exitInfo() (exit Exit, final bool, err error) {
	err = p.control(func(fd int) {
		info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
		_, failed := retry(func() (int, error) { return 0, unix.IoctlPidfdInfo(fd, &info) })
		switch {
		case failed != nil: // a kernel that does not know the question, or not for a reaped process
			final = true
		case info.Mask&unix.PIDFD_INFO_EXIT != 0:
			exit, final = exitOf(syscall.WaitStatus(info.Exit_code)), true
		}
	})
	return exit, final, err
}
