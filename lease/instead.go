package lease

import (
	"context"
	"fmt"
)

// Replacement is leases that belong together, of one port or of a block in its
// order, and what is asked for in their place where one of them is lost.
type Replacement struct {
	IDs     []ID
	Request Request
}

// PlanInstead plans leases in place of those whose ports something else is bound
// to, though they are leased. Whether a port that cannot be bound is really
// lost, taken says. Of a block that has lost a port all ports are replaced, so
// that they still follow each other. The other leases stay as they are. Where no
// port is lost, the plan is nil.
//
// Committing the plan ends the leases that are replaced and makes the new ones,
// all or nothing; the lost ports are set aside with who has them. Aborting it
// leaves everything as it was. Until then nobody else can change those leases.
//
// Its errors are those of Plan and of Release, and for a lost port that was
// asked for by its number, which is never moved, ErrInUse or ErrPrivileged;
// nothing has changed then.
func (m *Manager) PlanInstead(ctx context.Context, list []Replacement, taken func(Lease, SetAside) bool) (*Plan, error) {
	var ids []ID
	for _, r := range list {
		if len(r.IDs) != r.Request.count() {
			return nil, stated(ErrRequest, "%s wanted in place of %d", count(r.Request.count()), len(r.IDs))
		}
		ids = append(ids, r.IDs...)
	}
	slots, err := m.beginEnd(ctx, ids, 0)
	if err != nil {
		return nil, err
	}
	if len(slots) != len(ids) {
		m.keepAll(slots)
		return nil, fmt.Errorf("%w: a lease is to be replaced twice", ErrRequest)
	}
	var lost []*slot
	var instead []ID
	var requests []Request
	for _, r := range list {
		block := slots[:len(r.IDs)]
		slots = slots[len(r.IDs):]
		var pinned error
		isLost := false
		for _, s := range block {
			blocked, err := m.look(s.protocol, s.port, false)
			if err != nil {
				m.log.Warn("whether a leased port was taken cannot be told", "protocol", s.protocol, "port", s.port, "error", err)
			}
			if blocked == nil || !taken(*s.lease, *blocked) { // nobody but its ender changes it
				continue
			}
			isLost = true
			if r.Request.Port != 0 {
				pinned = refusedPort(s.protocol, blocked)
			}
			m.mu.Lock()
			s.blocked = blocked
			m.mu.Unlock()
		}
		if pinned != nil {
			m.keepAll(append(append(lost, block...), slots...))
			return nil, pinned
		}
		if !isLost {
			m.keepAll(block)
			continue
		}
		lost = append(lost, block...)
		instead = append(instead, r.IDs...)
		requests = append(requests, r.Request)
	}
	if len(lost) == 0 {
		return nil, nil
	}
	p, err := m.Plan(ctx, requests)
	if err != nil {
		m.keepAll(lost)
		return nil, err
	}
	p.ends, p.instead = append(p.ends, lost...), instead
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

// keepAll is keep, with the lock taken.
func (m *Manager) keepAll(ending []*slot) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keep(ending)
}

// keep takes back the end of leases. The lock is held.
func (m *Manager) keep(ending []*slot) {
	for _, s := range ending {
		s.blocked = nil
		m.move(s, leased)
	}
}
