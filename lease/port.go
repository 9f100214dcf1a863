package lease

// PortState is what is known of a port.
type PortState string

// The states of a port.
const (
	// PortUnmanaged: it is in no range, and not leased.
	PortUnmanaged PortState = "unmanaged"
	// PortAvailable: it is in a range, and can be leased, as far as it is known.
	PortAvailable PortState = "available"
	// PortLeased: it has a lease.
	PortLeased PortState = "leased"
	// PortPending: a lease of it is just being made or ended, or just looked at.
	PortPending PortState = "pending"
	// PortAside: it is set aside.
	PortAside PortState = "set-aside"
)

// PortStatus is what is known of one port, whether a range has it or not.
type PortStatus struct {
	Protocol Protocol
	Port     int
	State    PortState

	// Range is the range that the port lies in; nil where there is none. Static
	// says that it is one of those which are kept for pinned leases.
	Range  *Range
	Static bool

	// Lease is the lease of the port; nil unless it is leased, or one is being
	// made or ended.
	Lease *Lease

	// SetAside is why it is set aside; nil unless it is.
	SetAside *SetAside
}

// Port tells what is known of a port.
func (m *Manager) Port(p Protocol, port int) PortStatus {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := PortStatus{Protocol: p, Port: port, State: PortUnmanaged}
	for _, r := range m.ranges {
		if r.Protocol != p || !r.Contains(port) {
			continue
		}
		kept, ok := r.band()
		out.Range, out.State = &r, PortAvailable
		out.Static = ok && port <= kept.Last
	}
	s := m.table(p).at(port)
	if s == nil {
		return out
	}
	if s.lease != nil {
		l := *s.lease
		out.Lease = &l
	}
	if s.blocked != nil && !s.taken() {
		blocked := *s.blocked
		out.SetAside = &blocked
	}
	switch s.state {
	case leased, foreign:
		out.State = PortLeased
	case aside, unreadable:
		out.State = PortAside
	default:
		out.State = PortPending
	}
	return out
}
