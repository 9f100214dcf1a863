package lease

import (
	"strconv"
)

// What is told of ranges, leases and ports as they change.

// tellRanges tells which ranges have changed, by their names.
func (m *Manager) tellRanges(current, next map[string]Range, changed []string) {
	for _, name := range changed {
		old, was := current[name]
		now, is := next[name]
		switch {
		case !is:
			m.events.Add("range", "deleted", name, "range "+name+" was deleted")
		case !was:
			m.events.Add("range", "added", name, "range "+name+" "+now.terms()+" was added")
		case now.terms() == old.terms():
			m.events.Add("range", "changed", name, "range "+name+" was changed")
		default:
			m.events.Add("range", "changed", name, "range "+name+" is "+now.terms()+" now, and was "+old.terms())
		}
	}
}

// terms words what a range is: [8080 - 8085] tcp, 2 static, policy next.
func (r Range) terms() string {
	text := r.String() + " " + string(r.Protocol)
	if r.Static > 0 {
		text += ", " + strconv.Itoa(r.Static) + " static"
	}
	if r.Policy != "" {
		text += ", policy " + string(r.Policy)
	}
	return text
}

// tellAcquired tells that a lease is there.
func (m *Manager) tellAcquired(l *Lease) {
	if m.events != nil {
		m.events.Add("lease", "acquired", string(l.ID), portText(l.Protocol, l.Port)+ofRange(l)+" is leased by "+l.Holder.String())
	}
}

// tellEnded tells that the lease of a slot has ended: that of a process of the
// launcher's, or of a holder that is gone, was recuperated, any other released.
func (m *Manager) tellEnded(s *slot) {
	if m.events == nil {
		return
	}
	l, kind := s.lease, "released"
	if l.Holder.Process != 0 || s.gone {
		kind = "recuperated"
	}
	m.events.Add("lease", kind, string(l.ID), portText(l.Protocol, l.Port)+ofRange(l)+" is leased no more by "+l.Holder.String())
}

// tellAside tells that a port was set aside, or is available again.
func (m *Manager) tellAside(s *slot, aside bool) {
	if m.events == nil {
		return
	}
	id := string(s.protocol) + "/" + strconv.Itoa(s.port)
	if aside {
		m.events.Add("port", "set-aside", id, portText(s.protocol, s.port)+" is set aside: "+s.blocked.Reason)
	} else {
		m.events.Add("port", "available", id, portText(s.protocol, s.port)+" is available again")
	}
}

func portText(p Protocol, port int) string { return string(p) + " port " + strconv.Itoa(port) }

func ofRange(l *Lease) string {
	if l.Range == "" {
		return ""
	}
	return " of range " + l.Range
}

// tellPassed tells that a lease is another holder's.
func (m *Manager) tellPassed(l *Lease) {
	if m.events != nil {
		m.events.Add("lease", "passed-on", string(l.ID), portText(l.Protocol, l.Port)+ofRange(l)+" is leased by "+l.Holder.String()+" now")
	}
}
