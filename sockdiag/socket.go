package sockdiag

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// State is what a socket that is bound to a port does there.
type State string

// The states. A UDP socket never listens.
const (
	Listening State = "listening"
	Bound     State = "bound"
	Connected State = "connected" // or on its way to or from it
)

// Socket is one that is bound to a port. Several sockets may be bound to the same address and port (SO_REUSEPORT).
type Socket struct {
	// Protocol is "tcp" or "udp".
	Protocol string

	// Local is the address and port that the socket is bound to, the unspecified address (0.0.0.0, ::) for all addresses.
	Local netip.AddrPort

	// V6Only says that an IPv6 socket does not take IPv4 traffic; with :: and without it the socket has the IPv4 port too.
	V6Only bool

	// Inode identifies the socket: the number in the links "socket:[…]" of /proc/PID/fd.
	Inode uint64

	// UID is the user who made the socket.
	UID uint32

	// State is what it does.
	State State
}

// boundInactive is the number of the state of a TCP socket that is bound and no more.
const boundInactive = 13

// The states of a socket as bits of a request; their numbers are those of TCP for every protocol.
const (
	stateListen        = 1 << unix.BPF_TCP_LISTEN
	stateBoundInactive = 1 << boundInactive // bound, and neither listening nor connected; known to Linux 6.8 and later
	stateTimeWait      = 1 << unix.BPF_TCP_TIME_WAIT
	stateNewSynRecv    = 1 << unix.BPF_TCP_NEW_SYN_RECV
	stateAny           = 1<<unix.BPF_TCP_MAX_STATES - 1
	// stateOwned leaves out what belongs to no process.
	stateOwned = stateAny&^(stateTimeWait|stateNewSynRecv) | stateBoundInactive
)

// Listeners lists the TCP sockets that listen, or all UDP sockets that are bound, IPv4 and IPv6. A socket that is made or
// closed meanwhile may be missing or be listed twice. The error is ErrProtocol for another protocol than tcp and udp.
func Listeners(protocol string) ([]Socket, error) {
	return list(protocol, 0, defaultStates(protocol))
}

// OnPort lists the sockets of Listeners that are bound to one port, which the kernel picks. The error is ErrPort for a number that
// is no port.
func OnPort(protocol string, port int) ([]Socket, error) {
	if port < 1 || port > 65535 {
		return nil, fmt.Errorf("list %s sockets on port %d: %w", protocol, port, ErrPort)
	}
	return list(protocol, uint16(port), defaultStates(protocol))
}

// AllOnPort lists all sockets that are bound to one port and belong to a process: those of OnPort, and those that are connected
// or only bound. The error is ErrPort for a number that is no port.
func AllOnPort(protocol string, port int) ([]Socket, error) {
	if port < 1 || port > 65535 {
		return nil, fmt.Errorf("list %s sockets on port %d: %w", protocol, port, ErrPort)
	}
	return list(protocol, uint16(port), stateOwned)
}

func defaultStates(protocol string) uint32 {
	if protocol == "tcp" {
		return stateListen
	}
	return stateOwned
}

// list asks for the sockets in some states, of one port or, with 0, of all.
func list(protocol string, port uint16, states uint32) ([]Socket, error) {
	number, err := protocolNumber(protocol)
	if err != nil {
		return nil, err
	}
	sockets, err := dump(number, port, states)
	if err != nil {
		return nil, fmt.Errorf("list %s sockets: %w", protocol, err)
	}
	for i := range sockets {
		sockets[i].Protocol = protocol
	}
	return sockets, nil
}

func protocolNumber(protocol string) (uint8, error) {
	switch protocol {
	case "tcp":
		return unix.IPPROTO_TCP, nil
	case "udp":
		return unix.IPPROTO_UDP, nil
	default:
		return 0, fmt.Errorf("list %q sockets: %w", protocol, ErrProtocol)
	}
}
