package lease

import (
	"fmt"
	"slices"
)

// AssignedError says that a port that was asked for by its number is leased. It
// is ErrAssigned.
type AssignedError struct {
	Protocol Protocol
	Port     int
	Holder   Holder
	Host     string // where it is leased, if that is not this host
}

// Is reports whether target is ErrAssigned.
func (e *AssignedError) Is(target error) bool { return target == ErrAssigned }

func (e *AssignedError) Error() string {
	text := portName(e.Protocol, e.Port) + " is already assigned to "
	if e.Holder.Process != 0 {
		text += fmt.Sprintf("process '%s'", e.Holder)
	} else {
		text += fmt.Sprintf("'%s' (a lease that is held %s)", e.Holder, e.Holder.until())
	}
	if e.Host != "" {
		text += " on host " + e.Host
	}
	return text
}

// portName begins a sentence about a port.
func portName(p Protocol, port int) string {
	if p == UDP {
		return fmt.Sprintf("UDP port %d", port)
	}
	return fmt.Sprintf("Port %d", port)
}

// refusedPort is the error for a port that was asked for by its number and
// cannot be bound: ErrInUse with an *InUseError, or ErrPrivileged.
func refusedPort(p Protocol, blocked *SetAside) error {
	switch {
	case blocked.denied:
		return stated(ErrPrivileged, "%s may not be bound by this user: it is below the first unprivileged one (sysctl net.ipv4.ip_unprivileged_port_start)", portName(p, blocked.Port))
	case blocked.unread:
		return stated(ErrAssigned, "%s cannot be leased: %s", portName(p, blocked.Port), blocked.Reason)
	}
	e := &InUseError{Protocol: p, Port: blocked.Port, PID: blocked.PID, Command: blocked.Command}
	text := portName(p, e.Port) + " is already in use by another process"
	switch {
	case e.PID != 0 && e.Command != "":
		text += fmt.Sprintf(" (pid %d, %s)", e.PID, e.Command)
	case e.PID != 0:
		text += fmt.Sprintf(" (pid %d)", e.PID)
	}
	return stated(e, "%s", text)
}

// conflict is why ports of which no others will do cannot be had: the first of
// them that is not free. The lock is held.
func (m *Manager) conflict(p *Plan, r Range) error {
	for port := r.Min; port <= r.Max; port++ {
		s := m.table(r.Protocol).at(port)
		switch {
		case s == nil:
		case slices.Contains(p.slots, s):
			return stated(ErrRequest, "%s is asked for twice", portName(r.Protocol, port))
		case p.reuses && slices.Contains(p.ends, s) && s.blocked == nil:
			// It would be given up for this.
		case s.taken() && !(p.reuses && slices.Contains(p.ends, s)):
			e := &AssignedError{Protocol: r.Protocol, Port: port, Holder: s.lease.Holder}
			if s.lease.Host != m.host {
				e.Host = s.lease.Host
			}
			return e
		default:
			return refusedPort(r.Protocol, s.blocked)
		}
	}
	return stated(ErrRequest, "ports %v cannot be leased", Interval{r.Min, r.Max}) // unreachable: one of them is not free
}
