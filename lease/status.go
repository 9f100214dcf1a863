package lease

import (
	"slices"
	"strings"
	"time"
)

// RangeStatus is a range with what became of its ports, each list ascending.
// Every port of the range is in exactly one of them; of an ephemeral range those
// that are leased from it are there.
type RangeStatus struct {
	Range

	// Available are the ports that can be leased, as far as it is known; static
	// ones to pinned leases only.
	Available []int

	// Active are the ports that are leased, or just being leased, from
	// whatever range that was: leases outlive a range that was deleted.
	Active []ActivePort

	// SetAside are the ports that cannot be leased now.
	SetAside []SetAside
}

// ActivePort is a port that is leased.
type ActivePort struct {
	Port  int
	Lease Lease
}

// SetAside is a port that cannot be leased now because something else is
// bound to it, or because the record of its lease cannot be read.
type SetAside struct {
	Port    int
	Reason  string    // in use by pid 77 (nginx)
	PID     int       // who is bound to it; 0 where that cannot be seen
	Command string    // its command; may be empty
	Since   time.Time // when it was set aside, UTC

	denied bool // this user may not bind it
	unread bool // the record of its lease cannot be read
}

// Ranges returns the ranges whose names match pattern, ordered by name, with
// what became of their ports, all as they were at one moment.
func (m *Manager) Ranges(pattern string) []RangeStatus {
	// Under the lock only pointers are gathered: leases are large.
	type gathered struct {
		status RangeStatus
		leases []*Lease
		asides []*SetAside
	}
	m.mu.Lock()
	list := make([]gathered, 0, len(m.ranges))
	for _, r := range m.ranges {
		if !Match(pattern, r.Name) {
			continue
		}
		t := m.table(r.Protocol)
		g := gathered{status: RangeStatus{Range: r}}
		if n := t.free.Count(r.Min, r.Max); n > 0 {
			g.status.Available = t.free.appendTo(make([]int, 0, n), r.Min, r.Max)
		}
		m.eachOf(r, func(s *slot) bool {
			if s.taken() {
				g.leases = append(g.leases, s.lease)
			} else {
				g.asides = append(g.asides, s.blocked)
			}
			return true
		})
		list = append(list, g)
	}
	m.mu.Unlock()

	all := make([]RangeStatus, len(list))
	for i, g := range list {
		if len(g.leases) > 0 {
			g.status.Active = make([]ActivePort, len(g.leases))
		}
		for j, l := range g.leases {
			g.status.Active[j] = ActivePort{Port: l.Port, Lease: *l}
		}
		for _, a := range g.asides {
			g.status.SetAside = append(g.status.SetAside, *a)
		}
		all[i] = g.status
	}
	slices.SortFunc(all, func(a, b RangeStatus) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Range returns the range of that name, or an error that is ErrRangeNotFound.
func (m *Manager) Range(name string) (Range, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rangeLocked(name)
}

func (m *Manager) rangeLocked(name string) (Range, error) {
	if r, ok := m.ranges[name]; ok {
		return r, nil
	}
	if m.badRanges[name] {
		return Range{}, stated(ErrRangeNotFound, "the record of range %q cannot be read; delete it and add it again", name)
	}
	return Range{}, stated(ErrRangeNotFound, "there is no range %q", name)
}

// full words why a plan cannot have the ports that it wants of an interval,
// together of them at a time, of which it could have available ones. The lock is
// held, and the plan's own ports have been given back.
func (m *Manager) full(r Range, wanted, together int) *FullError {
	t := m.table(r.Protocol)
	e := &FullError{Range: r, Protocol: r.Protocol, Wanted: wanted, Together: together, Kept: r.Len()}
	m.eachOpen(r, func(min, max int) bool {
		if together > 1 {
			t.free.runs(min, max, func(first, last int) bool {
				if len(e.Runs) < maxNamed {
					e.Runs = append(e.Runs, Interval{first, last})
				} else {
					e.MoreRuns++
				}
				return true
			})
		}
		available, aside := t.free.Count(min, max), t.aside.Count(min, max)
		e.Kept -= max - min + 1
		e.Available += available
		e.Aside += aside
		e.Leased += max - min + 1 - available - aside
		t.each(min, max, func(s *slot) bool {
			if len(e.Held) < maxNamed && s.taken() {
				e.Held = append(e.Held, ActivePort{Port: s.port, Lease: *s.lease})
			}
			return len(e.Held) < maxNamed && len(e.Held) < e.Leased
		})
		for port, ok := t.aside.Next(min, max); ok && len(e.SetAside) < maxNamed; port, ok = t.aside.Next(port+1, max) {
			e.SetAside = append(e.SetAside, *t.at(port).blocked)
		}
		return true
	})
	return e
}
