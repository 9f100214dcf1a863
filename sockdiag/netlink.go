package sockdiag

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"
)

// The netlink libraries ask for all states and all ports; the two filters are why the messages are made here. Their layout
// is that of linux/inet_diag.h: host byte order but for ports and addresses.
const (
	requestSize = unix.SizeofNlMsghdr + 56 // inet_diag_req_v2
	answerSize  = 72                       // inet_diag_msg
	skV6Only    = 11                       // INET_DIAG_SKV6ONLY: a byte, sent with IPv6 sockets that listen or are unconnected
)

var (
	errShort = errors.New("sock_diag answered with a message that is too short")

	// buffers are as large as the kernel makes the parts of its answer.
	buffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}
)

// dump asks for the sockets of a protocol, IPv4 first.
func dump(protocol uint8, port uint16, states uint32) ([]Socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	buf := buffers.Get().(*[32 << 10]byte)
	defer buffers.Put(buf)

	var sockets []Socket
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		request := newRequest(family, protocol, port, states)
		if err := unix.Sendto(fd, request[:], 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			return nil, fmt.Errorf("ask sock_diag: %w", err)
		}
		for done := false; !done; {
			n, err := receive(fd, buf[:])
			if err != nil {
				return nil, fmt.Errorf("read sock_diag's answer: %w", err)
			}
			if sockets, done, err = parseAnswer(sockets, buf[:n]); err != nil {
				return nil, err
			}
		}
	}
	return sockets, nil
}

func receive(fd int, buf []byte) (int, error) {
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err != unix.EINTR {
			return n, err
		}
	}
}

// newRequest makes a request for a dump. A port of 0 means all of them.
func newRequest(family, protocol uint8, port uint16, states uint32) [requestSize]byte {
	var b [requestSize]byte
	native := binary.NativeEndian
	native.PutUint32(b[0:], requestSize)
	native.PutUint16(b[4:], unix.SOCK_DIAG_BY_FAMILY)
	native.PutUint16(b[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	body := b[unix.SizeofNlMsghdr:]
	body[0] = family
	body[1] = protocol
	native.PutUint32(body[4:], states)
	binary.BigEndian.PutUint16(body[8:], port)
	return b
}

// parseAnswer appends the sockets of one part of an answer, and reports whether it was the last part.
func parseAnswer(sockets []Socket, b []byte) ([]Socket, bool, error) {
	native := binary.NativeEndian
	for len(b) > 0 {
		if len(b) < unix.SizeofNlMsghdr {
			return nil, false, errShort
		}
		size := int(native.Uint32(b))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return nil, false, errShort
		}
		body := b[unix.SizeofNlMsghdr:size]
		switch native.Uint16(b[4:]) {
		case unix.NLMSG_DONE, unix.NLMSG_ERROR:
			return sockets, true, answerError(body)
		case unix.SOCK_DIAG_BY_FAMILY:
			socket, err := parseSocket(body)
			if err != nil {
				return nil, false, err
			}
			// A socket of no inode was given up by its process, one of port 0 is not bound.
			if socket.Inode != 0 && socket.Local.Port() != 0 {
				sockets = append(sockets, socket)
			}
		}
		b = b[min(align(size), len(b)):]
	}
	return sockets, false, nil
}

// answerError reads the code that ends an answer: 0 or a negative error number.
func answerError(body []byte) error {
	if len(body) < 4 {
		return nil
	}
	code := int32(binary.NativeEndian.Uint32(body))
	switch {
	case code >= 0:
		return nil
	case unix.Errno(-code) == unix.ENOENT:
		return fmt.Errorf("sock_diag: %w: the kernel has no inet_diag for it, load the modules tcp_diag and udp_diag", unix.ENOENT)
	default:
		return fmt.Errorf("sock_diag: %w", unix.Errno(-code))
	}
}

func parseSocket(b []byte) (Socket, error) {
	if len(b) < answerSize {
		return Socket{}, errShort
	}
	native := binary.NativeEndian
	port := binary.BigEndian.Uint16(b[4:])
	s := Socket{UID: native.Uint32(b[64:]), Inode: uint64(native.Uint32(b[68:])), State: stateOf(b[1])}
	if b[0] == unix.AF_INET6 {
		s.Local = netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[8:24])), port)
		s.V6Only = isV6Only(b[answerSize:])
	} else {
		s.Local = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[8:12])), port)
	}
	return s, nil
}

// stateOf reads the state of a socket, as linux/tcp_states.h numbers them for every protocol.
func stateOf(number byte) State {
	switch number {
	case unix.BPF_TCP_LISTEN:
		return Listening
	case unix.BPF_TCP_CLOSE, boundInactive:
		return Bound
	}
	return Connected
}

// isV6Only looks for the attribute that says so.
func isV6Only(b []byte) bool {
	for len(b) >= unix.SizeofNlAttr {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofNlAttr || size > len(b) {
			return false
		}
		if binary.NativeEndian.Uint16(b[2:]) == skV6Only {
			return size > unix.SizeofNlAttr && b[unix.SizeofNlAttr] != 0
		}
		b = b[min(align(size), len(b)):]
	}
	return false
}

// align rounds up to where the next message or attribute begins.
func align(size int) int { return (size + unix.NLMSG_ALIGNTO - 1) &^ (unix.NLMSG_ALIGNTO - 1) }
