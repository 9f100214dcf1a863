package lease

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// Prober tells whether a port can be bound.
type Prober interface {
	// Probe returns nil if the port can be bound on all addresses, an error
	// that is ErrInUse (an *InUseError) if something is bound to it, one that
	// is ErrPrivileged if this process may not bind it, and another error if
	// that cannot be told. It is never called for one port twice at the same time.
	Probe(protocol Protocol, port int) error
}

// SystemProber binds the port, of IPv4 and IPv6 together, and lets go of it:
// about 8 µs. Two probes of one port at the same time see each other.
//
// What can be bound without SO_REUSEADDR nobody has at all. For UDP that is the
// whole probe: with the option any number of sockets that have it share a port
// (socket(7)). For TCP the option tells more: with it connections that a former
// server has left in TIME_WAIT do not count, as they do not for the servers
// that will bind the port; but two sockets that have it may both be bound, and
// only listen tells that somebody listens already. So a TCP port that cannot be
// bound without the option is bound again with it, and listened on.
//
// SO_REUSEPORT is never set: with it a port shared in that way looks free.
func SystemProber() Prober { return systemProber{} }

type systemProber struct{}

func (systemProber) Probe(p Protocol, port int) error {
	err := bindProbe(p, port, false)
	if p == TCP && errors.Is(err, unix.EADDRINUSE) {
		err = bindProbe(p, port, true)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EADDRINUSE):
		return &InUseError{Protocol: p, Port: port}
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return stated(ErrPrivileged, "%s port %d: this user may not bind it", p, port)
	}
	return fmt.Errorf("probe %s port %d: %w", p, port, err)
}

// bindProbe binds the port on all addresses: those of IPv4 and of IPv6, or
// where IPv6 is off, those of IPv4. With reuse it sets SO_REUSEADDR and listens.
func bindProbe(p Protocol, port int, reuse bool) error {
	err := bindFamily(p, port, unix.AF_INET6, reuse)
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL) {
		err = bindFamily(p, port, unix.AF_INET, reuse)
	}
	return err
}

func bindFamily(p Protocol, port, family int, reuse bool) error {
	kind := unix.SOCK_STREAM
	if p == UDP {
		kind = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	defer func() {
		// EINTR or not, Linux has closed the descriptor (close(2)).
		_ = unix.Close(fd)
	}()
	var address unix.Sockaddr = &unix.SockaddrInet4{Port: port}
	if family == unix.AF_INET6 {
		address = &unix.SockaddrInet6{Port: port}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0); err != nil {
			return fmt.Errorf("setsockopt IPV6_V6ONLY: %w", err)
		}
	}
	if reuse {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			return fmt.Errorf("setsockopt SO_REUSEADDR: %w", err)
		}
	}
	if err := retry(func() error { return unix.Bind(fd, address) }); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	if reuse {
		if err := retry(func() error { return unix.Listen(fd, 1) }); err != nil {
			return fmt.Errorf("listen: %w", err)
		}
	}
	return nil
}

// retry repeats a system call that a signal has interrupted.
func retry(call func() error) error {
	for {
		if err := call(); err != syscall.EINTR {
			return err
		}
	}
}
