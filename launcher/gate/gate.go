package gate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Command is what runs once the gate is open.
type Command struct {
	// Path is the program's file; it is not looked up. A relative one is
	// relative to Dir.
	Path string

	// Args is the argument list, the program's name at 0.
	Args []string

	// Env is the whole environment, handed on as it is.
	Env []string

	// PIDEnv, unless it is empty, names a variable that the child gets on top of
	// Env: its own process id, which nobody knows before it exists. LISTEN_PID
	// of sd_listen_fds(3) is one.
	PIDEnv string

	// LateEnv, unless it is empty, names a variable whose value is given later, by
	// SetLate: what is known only once the child is there. It has at most LateSize
	// bytes.
	LateEnv  string
	LateSize int

	// Dir is the working directory; empty means the caller's.
	Dir string

	// Files become descriptors 0, 1, 2 and so on. All others are closed.
	Files []*os.File

	// Cgroup, unless it is nil, is the folder of a cgroup of version 2 that the child
	// comes to life in. Where the kernel refuses it the error is ErrCgroup.
	Cgroup *os.File

	// Group, unless it is nil, is what opens the gate together with others.
	Group *Group
}

// validate refuses what execve could not be given.
func (c *Command) validate() error {
	if c.Path == "" || len(c.Args) == 0 {
		return errors.New("a command needs a path and arguments")
	}
	for _, part := range []struct {
		what string
		list []string
	}{{"path", []string{c.Path}}, {"working directory", []string{c.Dir}}, {"arguments", c.Args}, {"environment", c.Env}, {"name for the process id", []string{c.PIDEnv}}, {"name of what is told later", []string{c.LateEnv}}} {
		for _, s := range part.list {
			if strings.IndexByte(s, 0) >= 0 {
				return fmt.Errorf("start %s: a NUL character in the %s", c.Args[0], part.what)
			}
		}
	}
	return nil
}

// Child is a process that waits behind its gate or has passed it.
type Child struct {
	// PID is its process id. It is not reused before the child was waited for.
	PID int

	path  string
	pidfd int

	mu      sync.Mutex
	conn    *os.File // our end of the gate
	release func()   // gives back what the child needs until it has exec'd

	lateSize int
	told     bool                     // the value of LateEnv
	tellLate func(value string) error // called with mu held
	done     bool
	err      error
	opened   bool
}

// Step is what a child was doing when it could not go on.
type Step int

// The steps of a child that can go wrong.
const (
	StepFiles Step = 1 + iota // putting descriptors in their places
	StepDir                   // changing to the folder
	StepExec                  // executing the program
)

// ExecError says that a child could not run its command. It unwraps to the
// errno of the step.
type ExecError struct {
	Step  Step
	Path  string
	Errno syscall.Errno
}

func (e *ExecError) Error() string {
	switch e.Step {
	case StepFiles:
		return fmt.Sprintf("set up the descriptors of %s: %v", filepath.Base(e.Path), e.Errno)
	case StepDir:
		return fmt.Sprintf("change to the working directory of %s: %v", filepath.Base(e.Path), e.Errno)
	default:
		return fmt.Sprintf("exec %s: %v", e.Path, e.Errno)
	}
}

func (e *ExecError) Unwrap() error { return e.Errno }

// ErrCgroup says that a child could not be started in its cgroup.
var ErrCgroup = errors.New("it cannot be started in its cgroup")

// ErrClosed says that a child ended behind its gate, or as it passed it,
// without saying why: it was killed.
var ErrClosed = errors.New("ended before it ran its command")

// PIDFD gives the child's pidfd to the caller, who closes it. It is close-on-exec.
func (c *Child) PIDFD() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	fd := c.pidfd
	c.pidfd = -1
	return fd
}

// SetLate gives the variable LateEnv its value, once and before Open. The
// value has no NUL characters.
func (c *Child) SetLate(value string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.done || c.opened || c.told:
		return fmt.Errorf("the environment of process %d is complete", c.PID)
	case strings.IndexByte(value, 0) >= 0 || len(value) > c.lateSize:
		return fmt.Errorf("a value of %d bytes for the environment of process %d, at most %d without a NUL character", len(value), c.PID, c.lateSize)
	}
	c.told = true
	return c.tellLate(value)
}

// Open lets the child go on to its command. It does not wait; see Executed.
func (c *Child) Open() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done || c.opened {
		return nil
	}
	c.opened = true
	// A child that is gone has left its report or nothing to be read: Executed tells.
	if c.lateSize > 0 && !c.told {
		if err := c.tellLate(""); err != nil {
			return err
		}
	}
	if _, err := c.conn.Write([]byte{1}); err != nil && !errors.Is(err, unix.EPIPE) && !errors.Is(err, unix.ECONNRESET) {
		return fmt.Errorf("open the gate of process %d: %w", c.PID, err)
	}
	return nil
}

// Executed waits until the child, its gate open, has executed its program. Its
// errors are an *ExecError where it could not, ErrClosed where it was killed
// before, and the context's.
func (c *Child) Executed(ctx context.Context) error {
	c.mu.Lock()
	done, err, conn, opened := c.done, c.err, c.conn, c.opened
	c.mu.Unlock()
	if done {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(pastTime) })
	var report [reportSize]byte
	n, readErr := io.ReadFull(conn, report[:])
	if !stop() && errors.Is(readErr, os.ErrDeadlineExceeded) {
		return ctx.Err()
	}
	switch {
	case n == reportSize:
		return c.settle(parseReport(c.path, report))
	case errors.Is(readErr, io.EOF) && opened:
		// The gate's descriptor is close-on-exec: its end means that the program
		// runs, or that the child was killed, which its exit will tell.
		return c.settle(nil)
	default:
		return c.settle(ErrClosed)
	}
}

// Abandon ends a child whose gate was not opened, nor its group: it reads the end of the file
// and exits. The caller still waits for it.
func (c *Child) Abandon() {
	c.mu.Lock()
	conn, finished := c.conn, c.done || c.opened
	c.mu.Unlock()
	if finished {
		return
	}
	if raw, err := conn.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_WR) })
	}
	_, _ = io.Copy(io.Discard, conn)
	_ = c.settle(ErrClosed)
}

// settle notes the outcome, once, and gives back what the child needed.
func (c *Child) settle(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done {
		return c.err
	}
	c.done, c.err = true, err
	_ = c.conn.Close()
	c.release()
	return err
}

// Start makes the child of a command. It waits behind its gate until Open.
// Every child that was started has to be opened, and then Executed called, or
// abandoned.
func Start(c Command) (*Child, error) { return startWith(c, start) }

func startWith(c Command, start func(*Command, *os.File, int) (*Child, error)) (*Child, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	ours, theirs, err := socketpair()
	if err != nil {
		return nil, fmt.Errorf("make a gate: %w", err)
	}
	defer unix.Close(theirs)
	conn := os.NewFile(uintptr(ours), "gate")
	child, err := start(&c, conn, theirs)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	child.path, child.conn, child.lateSize = c.Path, conn, c.LateSize
	if c.Group != nil {
		c.Group.join()
		release := child.release
		child.release = func() { release(); c.Group.leave() }
	}
	return child, nil
}

// socketpair makes the two ends of a gate. Ours does not block, so that it can
// be waited for without a thread; theirs does.
func socketpair() (ours, theirs int, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, -1, err
	}
	if err := unix.SetNonblock(pair[0], true); err != nil {
		_ = unix.Close(pair[0])
		_ = unix.Close(pair[1])
		return -1, -1, err
	}
	return pair[0], pair[1], nil
}
