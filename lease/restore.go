package lease

import "fmt"

// PlanRestored plans leases that were lost from the store, and whose holders
// are known for certain to have them: on just these ports, in the order of the
// leases. Of each lease range, protocol, port and holder are used, and the id
// unless a live lease has it. The range need not be there any more. A port that
// is set aside is taken, since it is the holder who may be bound to it; nothing
// is probed.
//
// Its errors are a *HeldError where a port is leased, or is just being looked
// at, and ErrRangeInvalid; nothing has changed then. The plan is to be
// committed or aborted.
func (m *Manager) PlanRestored(lost []Lease) (*Plan, error) {
	p := newPlan(make([]Request, len(lost)))
	now := m.now().UTC().Round(0)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	type place struct {
		protocol Protocol
		port     int
	}
	seen, ids := make(map[place]bool, len(lost)), make(map[ID]bool, len(lost))
	for _, l := range lost {
		of := Range{Name: l.Range, Min: l.Port, Max: l.Port, Protocol: l.Protocol}
		if l.Range == "" {
			of.Name = "-" // it was asked for directly
		}
		if err := of.Validate(); err != nil {
			return nil, err
		}
		at := place{l.Protocol, l.Port}
		if l.Protocol == "" || seen[at] {
			return nil, stated(ErrRangeInvalid, "%s port %d is without a protocol, or is there twice", l.Protocol, l.Port)
		}
		seen[at] = true
		if s := m.table(l.Protocol).at(l.Port); s != nil && (s.state != aside || s.under != nil) {
			return nil, &HeldError{Protocol: l.Protocol, Port: l.Port, By: holderOf(s)}
		}
	}
	for i, l := range lost {
		if s := m.table(l.Protocol).at(l.Port); s != nil {
			m.drop(s)
		}
		scope := HostScope
		if r, ok := m.ranges[l.Range]; ok && r.Protocol == l.Protocol {
			scope = r.Scope
		}
		id := l.ID
		if _, taken := m.byID[id]; id == "" || taken || ids[id] {
			id = m.newID()
		}
		ids[id] = true
		s := newSlot(Lease{
			ID: id, Generation: 1, Range: l.Range, Protocol: l.Protocol, Scope: scope, Port: l.Port,
			Host: m.host, Holder: l.Holder, Since: now,
		})
		p.slots[i] = s
		m.put(s)
		p.leases = append(p.leases, *s.lease)
	}
	return p, nil
}

// holderOf words who has the lease of a port. The lock is held.
func holderOf(s *slot) string {
	if s.lease == nil {
		return "a lease that cannot be read"
	}
	return s.lease.Holder.String()
}

// HeldError says that a port is leased.
type HeldError struct {
	Protocol Protocol
	Port     int
	By       string // its holder, for people
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("%s port %d is leased by %s", e.Protocol, e.Port, e.By)
}
