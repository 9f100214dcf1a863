package lease

import "fmt"

// Request asks for ports: of a range, or of no named one.
type Request struct {
	// Range is the range's name. Empty: the ports are asked for directly, by Port
	// or by Min and Max. One that lies in a range is leased from that range; the
	// lease of another one has no range name.
	Range string

	// Protocol, where it is given, must be the range's. Ports that are asked for
	// directly are tcp where it is left out.
	Protocol Protocol

	// Count is how many contiguous ports are wanted, at most MaxCount: 0 means 1.
	// Each is a lease of its own, and they follow each other in the plan. Of
	// several the lowest that will do are taken, whatever the range's policy. Of
	// an ephemeral range there is one at a time.
	Count int

	// Port, unless it is 0, is the only port that will do, of several the first:
	// it is got or refused, and never moved. As Prefer, it may be a static port of
	// its range, which requests that name no port are not given.
	Port int

	// Min and Max, unless they are 0, are the interval of which any free port
	// will do, the lowest first.
	Min, Max int

	// Prefer is the port to lease, of several the first, if it is free and can
	// be bound: the one that the holder had last.
	Prefer int

	// System says that the system chooses the port, as for a socket that is bound
	// to port 0, but none that lies in a range. It stands alone, but for Prefer.
	System bool

	// Holder is who will hold the ports. Where it has an Owner, what that owner
	// has of the same ranges ends when these leases are made, in the same batch,
	// unless Keep is set: of the range that is asked for, or of those, no range
	// among them, that ports which are asked for directly may be of.
	Holder Holder
	Keep   bool
}

// replaces reports whether what the owner has of the same ranges ends.
func (q *Request) replaces() bool { return q.Holder.Owner != "" && !q.Keep }

// MaxCount is the most contiguous ports that a request may want.
const MaxCount = 1024

func (q *Request) count() int { return max(q.Count, 1) }

// isDirect reports whether ports are asked for that need not be a range's.
func (q *Request) isDirect() bool { return q.Range == "" }

// isPlain reports whether any one port of a range will do.
func (q *Request) isPlain() bool {
	return q.Count <= 1 && q.Port == 0 && q.Prefer == 0 && q.Min == 0 && q.Max == 0 && !q.System && q.Range != ""
}

// compare orders requests as their ports are picked: pinned ones, then the
// larger blocks, then the rest.
func (q *Request) compare(other *Request) int {
	if a, b := q.Port != 0, other.Port != 0; a != b {
		if a {
			return -1
		}
		return 1
	}
	return other.count() - q.count()
}

// what words what is wanted.
func (q *Request) what() string {
	switch {
	case q.Port != 0 && q.count() > 1:
		return fmt.Sprintf("ports %d-%d", q.Port, q.Port+q.count()-1)
	case q.Port != 0:
		return fmt.Sprintf("port %d", q.Port)
	case q.System:
		return "a port that the system chooses"
	case q.isDirect():
		return fmt.Sprintf("%s of %d-%d", count(q.count()), q.Min, q.Max)
	case q.count() > 1:
		return fmt.Sprintf("%s of range %s", count(q.count()), q.Range)
	}
	return "a port of range " + q.Range
}

// validate checks what can be told without the ranges. What is wrong is ErrRequest.
func (q *Request) validate() error {
	port := func(what string, n int) error {
		if n == 0 || n >= MinPort && n <= MaxPort {
			return nil
		}
		return stated(ErrRequest, "%s %d is outside %d to %d", what, n, MinPort, MaxPort)
	}
	for _, err := range [...]error{port("port", q.Port), port("port", q.Min), port("port", q.Max), port("preferred port", q.Prefer)} {
		if err != nil {
			return err
		}
	}
	if q.Protocol != "" && q.Protocol != TCP && q.Protocol != UDP {
		return stated(ErrRequest, "protocol %q is not known; it is tcp or udp", q.Protocol)
	}
	switch n := q.count(); {
	case q.Count < 0 || n > MaxCount:
		return stated(ErrRequest, "%d ports are wanted together; 1 to %s can be", q.Count, thousands(MaxCount))
	case q.Port != 0 && q.Port+n-1 > MaxPort:
		return stated(ErrRequest, "%s from port %d: the last one would be outside %d to %d", count(n), q.Port, MinPort, MaxPort)
	case (q.Min == 0) != (q.Max == 0):
		return stated(ErrRequest, "an interval of ports needs both ends, it has %d and %d", q.Min, q.Max)
	case q.Max < q.Min:
		return stated(ErrRequest, "an interval of ports from %d to %d: its end is below its beginning", q.Min, q.Max)
	case q.System:
		if q.Range != "" || q.Port != 0 || q.Min != 0 || q.count() > 1 {
			return stated(ErrRequest, "a port that the system chooses is a single one of no range")
		}
	case q.isDirect() && q.Port == 0 && q.Min == 0:
		return stated(ErrRequest, "neither a range nor a port is asked for")
	}
	return q.Holder.validate()
}

// span is the interval that the ports of a request are picked from: the range
// with what is left of it, or, without a name, what is asked for directly. Its
// errors are ErrRequest, ErrRangeNotFound and ErrProtocol. The lock is held.
func (m *Manager) span(q *Request) (Range, error) {
	if q.isDirect() {
		return m.directSpan(q), nil
	}
	r, err := m.rangeLocked(q.Range)
	if err != nil {
		return r, err
	}
	if left, ok := m.closing[r.Name]; ok {
		if left.isUnread() {
			return r, stated(ErrRangeNotFound, "range %q is just being deleted", r.Name)
		}
		r.Min, r.Max = left.Min, left.Max
	}
	if q.Protocol != "" && q.Protocol != r.Protocol {
		return r, stated(ErrProtocol, "range %s has %s ports, not %s ports", r.Name, r.Protocol, q.Protocol)
	}
	if r.Ephemeral {
		return r.ephemeralSpan(q)
	}
	whole := r
	if q.Min != 0 {
		r.Min, r.Max = max(r.Min, q.Min), min(r.Max, q.Max)
	}
	if q.Port != 0 {
		first, last := q.Port, q.Port+q.count()-1
		if first < r.Min || last > r.Max {
			r.Min, r.Max = 1, 0
		} else {
			r.Min, r.Max = first, last
		}
	}
	if r.Max < r.Min {
		return r, stated(ErrRequest, "range %s %v does not have %s", whole.Name, whole, (&Request{Count: q.Count, Port: q.Port, Min: q.Min, Max: q.Max}).what())
	}
	return r, nil
}

// directSpan is the span of ports that are asked for directly. It is of the
// cluster where one of them may be. The lock is held.
func (m *Manager) directSpan(q *Request) Range {
	r := Range{Min: q.Min, Max: q.Max, Protocol: q.Protocol, Scope: HostScope}
	if r.Protocol == "" {
		r.Protocol = TCP
	}
	if q.Port != 0 {
		r.Min, r.Max = q.Port, q.Port+q.count()-1
	}
	if q.System {
		r.Min, r.Max = MinPort, MaxPort
	}
	if m.elsewhere > 0 {
		for _, other := range m.ranges {
			if other.Scope == ClusterScope && other.Overlaps(r) {
				r.Scope = ClusterScope
			}
		}
	}
	return r
}

// rangeOver is the range that a port is leased from which was asked for
// directly: without a name where there is none, or where the port is just being
// taken away from it. The lock is held.
func (m *Manager) rangeOver(p Protocol, port int) Range {
	for _, r := range m.ranges {
		if r.Protocol != p || !r.Contains(port) {
			continue
		}
		if left, ok := m.closing[r.Name]; ok && !left.Contains(port) && r.Scope != ClusterScope {
			break
		}
		return r
	}
	return Range{Scope: HostScope}
}

// choose picks the ports of a request from its span, and returns the first of
// them. The lock is held.
func (m *Manager) choose(q *Request, r Range) (port int, ok bool) {
	free := &m.table(r.Protocol).free
	switch n := q.count(); {
	case q.Port != 0:
		_, ok = free.Run(q.Port, q.Port+n-1, n)
		return q.Port, ok
	case m.prefers(q, r):
		return q.Prefer, true
	}
	return m.pickOpen(q, r)
}

// prefers reports whether a request can have the ports that it prefers. The
// lock is held.
func (m *Manager) prefers(q *Request, r Range) bool {
	n := q.count()
	if q.Prefer == 0 || q.Prefer < r.Min || q.Prefer+n-1 > r.Max || m.isSystem(q, r) && m.rangeOver(r.Protocol, q.Prefer).Name != "" {
		return false
	}
	_, ok := m.table(r.Protocol).free.Run(q.Prefer, q.Prefer+n-1, n)
	return ok
}
