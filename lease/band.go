package lease

// A range may keep the lowest of its ports for pinned leases. Such a band is
// leased to who asks for a port of it by its number, or prefers it, as an instance
// does that had it before: nobody else can have had it.

// band is the ports of a range that are kept for pinned leases; ok is false where
// there are none.
func (r Range) band() (kept Interval, ok bool) {
	return Interval{r.Min, r.Min + r.Static - 1}, r.Static > 0
}

// eachOpen yields the parts of a span that lie in no band, ascending, until f
// returns false. The lock is held.
func (m *Manager) eachOpen(span Range, f func(first, last int) bool) {
	first := span.Min
	if span.Name != "" {
		// Another range's band cannot be in it.
		if kept, ok := m.ranges[span.Name].band(); ok && kept.Last >= first {
			first = kept.Last + 1
		}
	} else if m.banded {
		for kept, ok := m.bandFrom(span.Protocol, first); ok && kept.First <= span.Max; kept, ok = m.bandFrom(span.Protocol, first) {
			if first < kept.First && !f(first, kept.First-1) {
				return
			}
			first = kept.Last + 1
		}
	}
	if first <= span.Max {
		f(first, span.Max)
	}
}

// bandFrom is the lowest band with a port that is not below the given one. The
// lock is held.
func (m *Manager) bandFrom(p Protocol, port int) (lowest Interval, found bool) {
	for _, r := range m.ranges {
		if kept, ok := r.band(); ok && r.Protocol == p && kept.Last >= port && (!found || kept.First < lowest.First) {
			lowest, found = kept, true
		}
	}
	return lowest, found
}

// pickOpen picks the ports of a request that names none from its span, and
// returns the first of them. The lock is held.
func (m *Manager) pickOpen(q *Request, span Range) (port int, ok bool) {
	free := &m.table(span.Protocol).free
	m.eachOpen(span, func(first, last int) bool {
		switch {
		case q.count() > 1:
			port, ok = free.Run(first, last, q.count())
		case q.isDirect() || q.Min != 0:
			port, ok = free.Next(first, last)
		default:
			port, ok = m.pickOf(span, first, last)
		}
		return !ok
	})
	return port, ok
}
