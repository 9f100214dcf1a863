package proc

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// Signal sends sig to the process, and to no other one whatever became of its pid. The error is ErrGone when the process has
// exited, and EPERM when it is not this user's.
func (p *Process) Signal(sig syscall.Signal) error {
	var sent error
	if err := p.control(func(fd int) {
		if hasExited(fd) {
			sent = ErrGone // a zombie would take the signal without an error
			return
		}
		sent = sendSignal(fd, sig, 0)
	}); err != nil {
		sent = err
	}
	if sent != nil {
		return fmt.Errorf("send %s to pid %d: %w", signalName(sig), p.id.PID, sent)
	}
	return nil
}

// SignalGroup sends sig to every process of the group that the process leads. It works after the leader has exited, too, as
// long as the group has members. The error is ErrGone when it has none or when the process leads no group.
//
// Linux 6.9 and later do this through the pidfd, whatever became of the pid. Before, the group is signalled by its
// number, and only while the leader is unreaped, which keeps the number from being given to others: a child stays so until
// Reap. Where the leader was reaped the group is ErrGone there, though members may be left.
func (p *Process) SignalGroup(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var sent error
	if err := p.control(func(fd int) {
		sent = sendSignal(fd, sig, unix.PIDFD_SIGNAL_PROCESS_GROUP)
		if sent == unix.EINVAL { // the kernel does not know the flag, or the signal
			sent = p.killGroup(fd, sig)
		}
	}); err != nil {
		sent = err
	}
	if sent != nil {
		return fmt.Errorf("send %s to process group %d: %w", signalName(sig), p.id.PID, sent)
	}
	return nil
}

// killGroup signals the group by its number, where the leader is there to vouch for it.
func (p *Process) killGroup(fd int, sig syscall.Signal) error {
	if p.id.PID <= 1 {
		return unix.EINVAL // kill(-1) means every process there is
	}
	if err := sendSignal(fd, 0, 0); err != nil {
		return err
	}
	if err := unix.Kill(-p.id.PID, sig); err != nil {
		return goneIfNone(err)
	}
	return nil
}

func sendSignal(fd int, sig syscall.Signal, flags int) error {
	return goneIfNone(unix.PidfdSendSignal(fd, sig, nil, flags))
}

func goneIfNone(err error) error {
	if err == unix.ESRCH {
		return ErrGone
	}
	return err
}
