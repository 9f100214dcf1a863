package lease

import (
	"os"
)

// An ephemeral range is a name for ports that the system chooses, as for a socket
// that is bound to port 0. Berth binds it, asks which port that is, and keeps the
// socket until the lease is written down and the port is handed over, so that in
// between nobody else can have it. A port that lies in a range is given back, and
// another one is taken.

// validateEphemeral checks what an ephemeral range cannot have.
func (r Range) validateEphemeral() error {
	switch {
	case r.Min != 0 || r.Max != 0:
		return stated(ErrRangeInvalid, "range %q: an ephemeral range has no ports of its own; leave min and max out", r.Name)
	case r.normal().Scope != HostScope:
		return stated(ErrRangeInvalid, "range %q: an ephemeral range is of scope host: each system chooses for itself", r.Name)
	case r.Policy != "":
		return stated(ErrRangeInvalid, "range %q: an ephemeral range has no policy: the system chooses", r.Name)
	case r.Static != 0:
		return stated(ErrRangeInvalid, "range %q: an ephemeral range has no static ports: the system chooses", r.Name)
	}
	return nil
}

// ephemeralSpan is what the port of a request may be of, where the range is
// ephemeral: anything. What cannot be asked of such a range is ErrRequest.
func (r Range) ephemeralSpan(q *Request) (Range, error) {
	switch {
	case q.Port != 0, q.Min != 0:
		return r, stated(ErrRequest, "range %s is ephemeral: the system chooses its ports, and %s cannot be asked for", r.Name, (&Request{Port: q.Port, Min: q.Min, Max: q.Max, Count: q.Count}).what())
	case q.count() > 1:
		return r, stated(ErrRequest, "range %s is ephemeral: the system chooses each port by itself, and %s that follow each other cannot be asked for", r.Name, count(q.count()))
	}
	r.Min, r.Max = MinPort, MaxPort
	return r, nil
}

// isSystem reports whether the system chooses the port of a request with that span.
func (m *Manager) isSystem(q *Request, span Range) bool { return q.System || span.Ephemeral }

// maxChosen is how many ports of the system's choice are looked at before that
// is given up.
const maxChosen = 256

// pickSystem gives the missing requests ports that the system chooses.
func (m *Manager) pickSystem(p *Plan, missing []int) error {
	for _, i := range missing {
		if p.of(i)[0] != nil {
			continue
		}
		if err := m.chooseFor(p, i); err != nil {
			return err
		}
	}
	return nil
}

// chooseFor gives a request of a plan a port that the system chooses. What is
// not taken stays bound until one is, so that it is not chosen again.
func (m *Manager) chooseFor(p *Plan, i int) error {
	var left []*os.File
	defer func() {
		for _, f := range left {
			_ = f.Close()
		}
	}()
	q := &p.requests[i]
	for range maxChosen {
		m.mu.Lock()
		r, err := m.span(q)
		m.mu.Unlock()
		if err != nil {
			return err
		}
		port, socket, err := m.chooser.Choose(r.Protocol)
		if err != nil {
			return err
		}
		if m.take(p, i, r, port, socket) {
			return nil
		}
		if socket != nil {
			left = append(left, socket)
		}
	}
	return stated(ErrRangeFull, "none of %d ports that the system chose is free and in no range", maxChosen)
}

// take makes a port that the system chose that of a request, with the socket that
// is bound to it, unless it is not free or lies in a range.
func (m *Manager) take(p *Plan, i int, r Range, port int, socket *os.File) bool {
	now := m.now().UTC().Round(0)
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.table(r.Protocol).free.Has(port) || m.rangeOver(r.Protocol, port).Name != "" {
		return false
	}
	m.mark(p, i, r, port, now)
	if socket != nil {
		if p.sockets == nil {
			p.sockets = make(map[*slot]*os.File)
		}
		p.sockets[p.of(i)[0]] = socket
	}
	return true
}

// Socket is one that is bound to a leased port and does not listen; on a TCP port
// it has SO_REUSEADDR. It is as one of Hold.
type Socket struct {
	Protocol Protocol
	Port     int
	File     *os.File
}

// Sockets gives the caller the sockets that are bound to the ports of the plan
// which the system chose. From then on they are the caller's to close; otherwise
// they are closed when the plan is committed or aborted. It is called by whoever
// has the plan, before that.
func (p *Plan) Sockets() []Socket {
	var list []Socket
	for s, file := range p.sockets {
		list = append(list, Socket{s.protocol, s.port, file})
	}
	p.sockets = nil
	return list
}

// letGo closes the sockets of a plan that nobody has taken.
func (p *Plan) letGo() {
	for _, file := range p.sockets {
		_ = file.Close()
	}
	p.sockets = nil
}

// letGoOf closes the socket of a slot, if there is one.
func (p *Plan) letGoOf(s *slot) {
	if file := p.sockets[s]; file != nil {
		_ = file.Close()
		delete(p.sockets, s)
	}
}

// eachOf calls f with the slots of a range, until f returns false: those of its
// ports, or, where it is ephemeral, those that are leased from it. The lock is held.
func (m *Manager) eachOf(r Range, f func(*slot) bool) {
	if !r.Ephemeral {
		m.table(r.Protocol).each(r.Min, r.Max, f)
		return
	}
	m.table(r.Protocol).each(MinPort, MaxPort, func(s *slot) bool {
		return !s.taken() || s.lease.Range != r.Name || f(s)
	})
}
