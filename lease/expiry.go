package lease

import (
	"container/heap"
	"time"
)

// grace is how much time at most a session has, from when the manager was
// opened on, whatever ran out before: its holder could not renew it while there
// was no manager to ask. One that has less time to live has that.
const grace = time.Minute

// expiries are the slots of leases whose time runs out, as a heap: the first one
// to do so is at 0. It is the manager's lock's.
type expiries []*slot

func (e expiries) Len() int           { return len(e) }
func (e expiries) Less(i, j int) bool { return e[i].ends.Before(e[j].ends) }

func (e expiries) Swap(i, j int) {
	e[i], e[j] = e[j], e[i]
	e[i].place, e[j].place = i, j
}

func (e *expiries) Push(x any) {
	s := x.(*slot)
	s.place = len(*e)
	*e = append(*e, s)
}

func (e *expiries) Pop() any {
	old := *e
	s := old[len(old)-1]
	old[len(old)-1] = nil
	*e = old[:len(old)-1]
	return s
}

// due calls f with the slots whose time has run out until f returns false.
func (e expiries) due(now time.Time, f func(*slot) bool) { e.dueFrom(0, now, f) }

func (e expiries) dueFrom(i int, now time.Time, f func(*slot) bool) bool {
	if i >= len(e) || e[i].ends.After(now) {
		return true
	}
	return f(e[i]) && e.dueFrom(2*i+1, now, f) && e.dueFrom(2*i+2, now, f)
}

// indexExpiry notes when the time of a lease runs out. The lock is held.
func (m *Manager) indexExpiry(s *slot) {
	h := s.lease.Holder
	if h.Expires.IsZero() {
		return
	}
	ends := h.Expires
	if least := m.opened.Add(min(h.TTL, grace)); h.TTL > 0 && ends.Before(least) {
		ends = least
	}
	// What is left is counted by the clock that nobody sets, where there is one.
	now := m.now()
	s.ends = now.Add(ends.Sub(now.Round(0)))
	heap.Push(&m.expiries, s)
	if s.place == 0 {
		m.wakeHolders()
	}
}

func (m *Manager) unindexExpiry(s *slot) {
	if s.lease.Holder.Expires.IsZero() {
		return
	}
	heap.Remove(&m.expiries, s.place)
	s.ends = time.Time{}
}

// isOver reports whether the time of the lease of a slot has run out. The lock
// is held.
func (m *Manager) isOver(s *slot) bool { return !s.ends.IsZero() && !s.ends.After(m.now()) }

// isOverdue reports whether the time of a lease that is still there has run
// out. The lock is held.
func (m *Manager) isOverdue() bool { return len(m.expiries) > 0 && m.isOver(m.expiries[0]) }
