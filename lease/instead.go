package lease

import "context"

// PlanInstead plans leases in place of those of ids whose ports something else
// is bound to, though they are leased: each from the range of the lease that it
// replaces, and for the same holder. Whether a port that cannot be bound is
// really lost, taken says. The other leases stay as they are. Where no port is
// lost, the plan is nil.
//
// Committing the plan ends the lost leases and makes the new ones, all or
// nothing; the lost ports are set aside with who has them. Aborting it leaves
// everything as it was. Until then nobody else can change the lost leases.
//
// Its errors are those of Plan and of Release; nothing has changed then.
func (m *Manager) PlanInstead(ctx context.Context, ids []ID, taken func(Lease, SetAside) bool) (*Plan, error) {
	slots, err := m.beginEnd(ctx, ids, 0)
	if err != nil {
		return nil, err
	}
	var lost []*slot
	var instead []ID
	var requests []Request
	for _, s := range slots {
		blocked, err := m.look(s.protocol, s.port, false)
		if err != nil {
			m.log.Warn("whether a leased port was taken cannot be told", "protocol", s.protocol, "port", s.port, "error", err)
		}
		l := *s.lease // nobody but its ender changes it
		isLost := blocked != nil && taken(l, *blocked)
		m.mu.Lock()
		if isLost {
			s.blocked = blocked
		} else {
			m.move(s, leased)
		}
		m.mu.Unlock()
		if isLost {
			lost = append(lost, s)
			instead = append(instead, l.ID)
			requests = append(requests, Request{Range: l.Range, Protocol: l.Protocol, Holder: l.Holder})
		}
	}
	if len(lost) == 0 {
		return nil, nil
	}
	p, err := m.Plan(ctx, requests)
	if err != nil {
		m.mu.Lock()
		m.keep(lost)
		m.mu.Unlock()
		return nil, err
	}
	p.ends, p.instead = lost, instead
	return p, nil
}

// Instead tells for each lease that the plan ends which lease it makes in its
// place. It is empty for a plan that PlanInstead did not make.
func (p *Plan) Instead() map[ID]Lease {
	made := make(map[ID]Lease, len(p.instead))
	for i, id := range p.instead {
		made[id] = p.leases[i]
	}
	return made
}

// keep takes back the end of leases. The lock is held.
func (m *Manager) keep(ending []*slot) {
	for _, s := range ending {
		s.blocked = nil
		m.move(s, leased)
	}
}
