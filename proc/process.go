package proc

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Process is a handle on one process, child or not, by pidfd: it never means another process, even after the pid was given
// to one. Its methods may be called from several goroutines.
type Process struct {
	id   Identity
	file *os.File // nil where the pidfd was none
	conn syscall.RawConn

	closed atomic.Bool

	watch   sync.Once
	exited  chan struct{} // closed by the watcher when the process has exited, or when the watch failed
	failure error         // why the watch failed; read after exited is closed

	mu     sync.Mutex // held while the exit is collected, and while a group is signalled by number
	reaped bool
	exit   Exit
}

// Open takes a handle on the process that id names. The error is ErrGone when that process has ended, be it that its pid is
// free, belongs to another process or to another boot, or is still there as a zombie. An exited child of this
// process that was not reaped can be opened, so that its exit can be collected.
func Open(id Identity) (*Process, error) {
	boot, err := BootID()
	if err != nil {
		return nil, err
	}
	if id.BootID != boot || id.PID <= 0 {
		return nil, fmt.Errorf("open pid %d: %w", id.PID, ErrGone)
	}
	// The pidfd comes first: what is read of the pid afterwards is then compared with a process that cannot change.
	fd, err := retry(func() (int, error) { return unix.PidfdOpen(id.PID, unix.PIDFD_NONBLOCK) })
	switch {
	case err == unix.ESRCH, err == unix.EINVAL, err == unix.ENOENT:
		// The last two: the number is a thread's now.
		return nil, fmt.Errorf("open pid %d: %w", id.PID, ErrGone)
	case err != nil:
		return nil, fmt.Errorf("open pid %d: pidfd_open: %w", id.PID, err)
	}
	p := Adopt(fd, id)
	if err := p.check(); err != nil {
		_ = p.Close()
		return nil, fmt.Errorf("open pid %d: %w", id.PID, err)
	}
	return p, nil
}

// Adopt makes a handle of a pidfd that the caller got when it started the child id. The handle owns the pidfd from then on
// and makes it non-blocking, which any copy of it shares.
func Adopt(pidfd int, id Identity) *Process {
	p := &Process{id: id, exited: make(chan struct{})}
	if pidfd < 0 || unix.SetNonblock(pidfd, true) != nil {
		return p
	}
	p.file = os.NewFile(uintptr(pidfd), fmt.Sprintf("pidfd of %d", id.PID))
	p.conn, _ = p.file.SyscallConn() // fails for a nil file only
	return p
}

// Identity tells which process this is a handle on.
func (p *Process) Identity() Identity { return p.id }

// Close gives up the handle; the process is not touched. Who waits on the handle is woken with ErrClosed. A second Close does
// nothing.
func (p *Process) Close() error {
	if p.file == nil {
		return nil
	}
	p.closed.Store(true)
	if err := p.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("close handle of pid %d: %w", p.id.PID, err)
	}
	return nil
}

// check compares the process behind the pidfd with the identity.
func (p *Process) check() error {
	if err := p.file.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("pidfd cannot be watched: %w", err)
	}
	s, err := readStat(p.id.PID)
	if err != nil {
		return err
	}
	if s.start != p.id.StartTime {
		return ErrGone
	}
	var gone bool
	if err := p.control(func(fd int) {
		gone = p.id.Inode != 0 && pidfdInode(fd) != p.id.Inode || hasExited(fd) && !isChild(fd)
	}); err != nil {
		return err
	}
	if gone {
		return ErrGone
	}
	return nil
}

// control runs f with the pidfd, which stays open meanwhile.
func (p *Process) control(f func(fd int)) error {
	if p.file == nil {
		return ErrClosed
	}
	if err := p.conn.Control(func(fd uintptr) { f(int(fd)) }); err != nil {
		return ErrClosed
	}
	return nil
}

// hasExited reports whether the process behind a pidfd has exited: all its threads have, zombies included.
func hasExited(fd int) bool {
	return pollEvents(fd)&(unix.POLLIN|unix.POLLHUP) != 0
}

// pollEvents looks what a pidfd is ready for: POLLIN once the process has exited, POLLHUP besides once it was reaped
// (Linux 6.9).
func pollEvents(fd int) int16 {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	if _, err := retry(func() (int, error) { return unix.Poll(fds, 0) }); err != nil {
		return 0
	}
	return fds[0].Revents
}

// isChild reports whether the process behind a pidfd is a child of this process that was not reaped.
func isChild(fd int) bool {
	_, err := retry(func() (int, error) {
		return 0, unix.Waitid(unix.P_PIDFD, fd, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	})
	return err == nil
}
