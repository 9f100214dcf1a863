package lease

// PlanFound plans the lease of a port that its holder was found to be bound to: of
// the range that it lies in, or of none. A port that is set aside is taken, since
// it is the holder who is bound to it; nothing is probed.
//
// Its errors are an *AssignedError where the port is leased, ErrAssigned where the
// record of its lease cannot be read, ErrLeaseChanged where it is just being leased
// or looked at (try again), and ErrClosed. The plan is to be committed or aborted.
func (m *Manager) PlanFound(p Protocol, port int, holder Holder) (*Plan, error) {
	plan := newPlan(make([]Request, 1))
	now := m.now().UTC().Round(0)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	s := m.table(p).at(port)
	switch {
	case s == nil, s.state == aside && s.under == nil:
	case s.state == leased, s.state == foreign:
		e := &AssignedError{Protocol: p, Port: port, Holder: s.lease.Holder}
		if s.lease.Host != m.host {
			e.Host = s.lease.Host
		}
		return nil, e
	case s.state == unreadable:
		return nil, refusedPort(p, s.blocked)
	default:
		return nil, stated(ErrLeaseChanged, "%s is just being leased or looked at", portName(p, port))
	}
	if s != nil {
		m.tellAside(s, false)
		m.drop(s)
	}
	r := m.rangeOver(p, port)
	made := newSlot(Lease{
		ID: m.newID(), Generation: 1, Range: r.Name, Protocol: p, Scope: r.Scope, Port: port,
		Host: m.host, Holder: holder, Since: now,
	})
	plan.slots[0] = made
	m.put(made)
	plan.leases = append(plan.leases, *made.lease)
	return plan, nil
}
