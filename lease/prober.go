package lease

// Prober tells whether a port can be bound.
type Prober interface {
	// Probe returns nil if the port can be bound on all addresses, an error
	// that is ErrInUse (an *InUseError) if something is bound to it, one that
	// is ErrPrivileged if this process may not bind it, and another error if
	// that cannot be told. It is never called for one port twice at the same time.
	Probe(protocol Protocol, port int) error
}

// Finder tells who is bound to a port.
type Finder interface {
	// Find reports whether a socket listens on the TCP port, or is bound to
	// the UDP port, and whose it is as far as that can be seen.
	Find(protocol Protocol, port int) (who Occupant, found bool, err error)
}

// Occupant is who is bound to a port.
type Occupant struct {
	PID     int    // 0 where it cannot be seen
	Command string // may be empty
}
