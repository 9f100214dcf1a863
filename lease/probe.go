package lease

import (
	"errors"
	"fmt"
	"os"

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

// Chooser has the system choose a port that can be bound on all addresses. A
// Prober may be one.
type Chooser interface {
	// Choose returns the port with a socket that is bound to it and does not
	// listen, for the caller to close. Without a socket the port is probed.
	Choose(protocol Protocol) (port int, socket *os.File, err error)
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
	if err == nil {
		return nil
	}
	return bindError("probe", p, port, err)
}

// Choose binds port 0 and asks what that is. The socket is that of Hold:
// SO_REUSEADDR is set once it is bound, since with the option the system might
// choose a port that another socket with it has bound.
func (systemProber) Choose(p Protocol) (int, *os.File, error) {
	fd, err := bind(p, 0, bindOptions{})
	if err != nil {
		return 0, nil, fmt.Errorf("have the system choose a %s port: %w", p, err)
	}
	port, err := boundTo(fd)
	if err == nil && p == TCP {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}
	if err != nil {
		_ = unix.Close(fd)
		return 0, nil, fmt.Errorf("have the system choose a %s port: %w", p, err)
	}
	return port, socketFile(fd, p, port), nil
}

// boundTo is the port that a socket is bound to.
func boundTo(fd int) (int, error) {
	address, err := unix.Getsockname(fd)
	if err != nil {
		return 0, fmt.Errorf("getsockname: %w", err)
	}
	switch a := address.(type) {
	case *unix.SockaddrInet6:
		return a.Port, nil
	case *unix.SockaddrInet4:
		return a.Port, nil
	}
	return 0, fmt.Errorf("getsockname: an address of another family: %T", address)
}

// IsBound reports whether a socket is bound to a port, in whatever way: other than
// a probe it counts what a server could bind over, and what a former one has left
// in TIME_WAIT.
func IsBound(p Protocol, port int) bool {
	return errors.Is(bindProbe(p, port, false), unix.EADDRINUSE)
}

// bindProbe binds the port and lets go of it. With reuse it sets SO_REUSEADDR
// and listens.
func bindProbe(p Protocol, port int, reuse bool) error {
	fd, err := bind(p, port, bindOptions{reuse: reuse, listen: reuse, backlog: 1})
	if err != nil {
		return err
	}
	// EINTR or not, Linux has closed the descriptor (close(2)).
	_ = unix.Close(fd)
	return nil
}
