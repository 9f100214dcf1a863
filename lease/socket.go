package lease

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// backlog is how many connections a socket of Listen queues; the kernel cuts it
// to net.core.somaxconn.
const backlog = 65535

// Listen binds a leased port on all addresses, of IPv4 and IPv6 together, and
// returns the socket, for a process to inherit: it blocks, and is
// close-on-exec. On a TCP port it listens. Its errors are those of a Prober.
func Listen(p Protocol, port int) (*os.File, error) {
	return open(p, port, bindOptions{reuse: p == TCP, listen: p == TCP, backlog: backlog})
}

// Hold binds a leased port as Listen does and does not listen, so that the port
// is not free while nobody listens on it. On a TCP port, programs that set
// SO_REUSEADDR, as servers do, can bind the port over it and listen; all others
// get EADDRINUSE, and the kernel does not pick the port for an outgoing
// connection. On a UDP port nobody else can bind. Its errors are those of a
// Prober.
func Hold(p Protocol, port int) (*os.File, error) {
	return open(p, port, bindOptions{reuse: p == TCP})
}

func open(p Protocol, port int, o bindOptions) (*os.File, error) {
	fd, err := bind(p, port, o)
	if err != nil {
		return nil, bindError("bind", p, port, err)
	}
	return socketFile(fd, p, port), nil
}

func socketFile(fd int, p Protocol, port int) *os.File {
	return os.NewFile(uintptr(fd), fmt.Sprintf("%s port %d", p, port))
}

// ListenOn has a socket that Plan.Sockets gave listen as one of Listen does, where
// it is a TCP socket.
func ListenOn(p Protocol, socket *os.File) error {
	if p != TCP {
		return nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return fmt.Errorf("listen on %s: %w", socket.Name(), err)
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = retry(func() error { return unix.Listen(int(fd), backlog) })
	})
	if err = errors.Join(err, failed); err != nil {
		return fmt.Errorf("listen on %s: %w", socket.Name(), err)
	}
	return nil
}

// bindError words why a port could not be bound.
func bindError(what string, p Protocol, port int, err error) error {
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return &InUseError{Protocol: p, Port: port}
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return stated(ErrPrivileged, "%s port %d: this user may not bind it", p, port)
	}
	return fmt.Errorf("%s %s port %d: %w", what, p, port, err)
}

// bindOptions say how a port is bound.
type bindOptions struct {
	reuse   bool // set SO_REUSEADDR
	listen  bool
	backlog int
}

// bind binds the port on all addresses: those of IPv4 and of IPv6, or where
// IPv6 is off, those of IPv4.
func bind(p Protocol, port int, o bindOptions) (fd int, err error) {
	fd, err = bindFamily(p, port, unix.AF_INET6, o)
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL) {
		fd, err = bindFamily(p, port, unix.AF_INET, o)
	}
	return fd, err
}

func bindFamily(p Protocol, port, family int, o bindOptions) (int, error) {
	kind := unix.SOCK_STREAM
	if p == UDP {
		kind = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	if err := bindSocket(fd, port, family, o); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func bindSocket(fd, port, family int, o bindOptions) error {
	var address unix.Sockaddr = &unix.SockaddrInet4{Port: port}
	if family == unix.AF_INET6 {
		address = &unix.SockaddrInet6{Port: port}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0); err != nil {
			return fmt.Errorf("setsockopt IPV6_V6ONLY: %w", err)
		}
	}
	if o.reuse {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			return fmt.Errorf("setsockopt SO_REUSEADDR: %w", err)
		}
	}
	if err := retry(func() error { return unix.Bind(fd, address) }); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	if o.listen {
		if err := retry(func() error { return unix.Listen(fd, o.backlog) }); err != nil {
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
