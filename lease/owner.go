package lease

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"berth/store"
)

// ownerGate lets one plan at a time give up leases of an owner: of two that
// replace what there is, one comes after the other. Users counts who is in it
// or waits, under the manager's lock.
type ownerGate struct {
	gate  gate
	users int
}

// givingPause is how long to wait for a lease that is just being changed.
const givingPause = time.Millisecond

// beginGivingUp marks what owners give up for a plan as ending. Until the plan
// is done nobody else can change it, nor give up leases of these owners.
func (m *Manager) beginGivingUp(ctx context.Context, p *Plan) error {
	owners := make(map[string]bool)
	for i := range p.requests {
		if q := &p.requests[i]; q.replaces() {
			owners[q.Holder.Owner] = true
		}
	}
	if len(owners) == 0 {
		return nil
	}
	leave, err := m.enterOwners(ctx, slices.Sorted(maps.Keys(owners)))
	if err != nil {
		return fmt.Errorf("give up leases: %w", err)
	}
	for {
		ends, again, err := m.markGivenUp(p)
		if err == nil && again {
			if err = m.Settle(ctx); err == nil {
				select {
				case <-ctx.Done():
					err = ctx.Err()
				case <-time.After(givingPause):
					continue
				}
			}
		}
		if err != nil {
			leave()
			if errors.Is(err, ErrRangeNotFound) {
				return err // it is what was asked for
			}
			return fmt.Errorf("give up leases: %w", err)
		}
		p.ends, p.reuses, p.leave = ends, true, leave
		return nil
	}
}

// enterOwners waits until no other plan gives up leases of these owners, who
// are in order.
func (m *Manager) enterOwners(ctx context.Context, owners []string) (leave func(), err error) {
	var entered []string
	leave = func() {
		for _, name := range entered {
			m.leaveOwner(name, true)
		}
	}
	for _, name := range owners {
		m.mu.Lock()
		g := m.owning[name]
		if g == nil {
			g = &ownerGate{gate: make(gate, 1)}
			m.owning[name] = g
		}
		g.users++
		m.mu.Unlock()
		if err := g.gate.enter(ctx); err != nil {
			m.leaveOwner(name, false)
			leave()
			return nil, err
		}
		entered = append(entered, name)
	}
	return leave, nil
}

func (m *Manager) leaveOwner(name string, was bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	g := m.owning[name]
	if was {
		g.gate.leave()
	}
	if g.users--; g.users == 0 {
		delete(m.owning, name)
	}
}

// left lets others plan for the owners of a plan that is done. The lock is not
// held.
func (p *Plan) left() {
	if p.leave != nil {
		p.leave()
		p.leave = nil
	}
}

// markGivenUp marks the leases that the owners of a plan give up, all or none.
// Again says that one of them is just being changed.
func (m *Manager) markGivenUp(p *Plan) (ends []*slot, again bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, false, ErrClosed
	}
	for i := range p.requests {
		q := &p.requests[i]
		if !q.replaces() {
			continue
		}
		protocol, names, err := m.rangesFor(q)
		if err != nil {
			return nil, false, err
		}
		for _, s := range m.byOwner[q.Holder.Owner] {
			if s.protocol != protocol || !names[s.lease.Range] || slices.Contains(ends, s) {
				continue
			}
			if s.state != leased {
				return nil, true, nil
			}
			ends = append(ends, s)
		}
	}
	for _, s := range ends {
		m.move(s, ending)
	}
	return ends, false, nil
}

// rangesFor are the names of the ranges that the leases of a request can be of;
// the empty one is that of ports of no range. The lock is held.
func (m *Manager) rangesFor(q *Request) (Protocol, map[string]bool, error) {
	r, err := m.span(q)
	if err != nil {
		return "", nil, err
	}
	if !q.isDirect() {
		return r.Protocol, map[string]bool{q.Range: true}, nil
	}
	names := map[string]bool{"": true}
	for _, other := range m.ranges {
		if !q.System && other.Overlaps(r) {
			names[other.Name] = true
		}
	}
	return r.Protocol, names, nil
}

// lend has the ports that a plan gives up be free, for it to pick from, but for
// those that were found to be bound. Until takeBack the lock stays held.
func (m *Manager) lend(p *Plan) {
	for _, s := range p.ends {
		if t := m.table(s.protocol); s.blocked == nil && t.at(s.port) == s {
			t.free.add(s.port)
			p.lent = append(p.lent, s)
		}
	}
}

// takeBack undoes lend. What was picked meanwhile is not free anyway.
func (m *Manager) takeBack(p *Plan) {
	for _, s := range p.lent {
		m.table(s.protocol).free.remove(s.port)
	}
	p.lent = p.lent[:0]
}

// givenUnder is the slot of the lease that a plan gives up on the port of one
// that it makes, nil if there is none. The lock is held.
func (m *Manager) givenUnder(p *Plan, s *slot) *slot {
	if p.reuses && s.under != nil && slices.Contains(p.ends, s.under) {
		return s.under
	}
	return nil
}

// putInstead adds to a batch that the records of a plan's leases are made, of
// which some take the place of those that are given up, and that the records of
// the other leases that the plan ends go.
func (m *Manager) putInstead(ctx context.Context, batch *store.Batch, p *Plan) error {
	instead := make(map[*slot]*slot, len(p.ends))
	m.mu.Lock()
	for _, s := range p.slots {
		if given := m.givenUnder(p, s); given != nil && given.key == s.key {
			instead[given] = s
		}
	}
	m.mu.Unlock()
	for _, s := range p.slots {
		if given := s.under; given == nil || instead[given] != s { // nobody but its planner changes it
			batch.IfAbsent(s.key)
			batch.Put(s.key, s.lease.record(s.key))
		}
	}
	var gone []*slot
	for _, given := range p.ends {
		s := instead[given]
		if s == nil {
			gone = append(gone, given)
			continue
		}
		revision := given.revision
		if revision == 0 {
			var err error
			if revision, err = m.revisionOf(ctx, given); err != nil {
				return err
			}
		}
		batch.If(s.key, revision)
		batch.Put(s.key, s.lease.record(s.key))
	}
	return m.deleteRecords(ctx, batch, gone)
}

// besides is another slot that lies over the port of s and has the lease of that
// id, nil if there is none. The lock is held.
func (m *Manager) besides(s *slot, id ID) *slot {
	for other := m.table(s.protocol).at(s.port); other != nil; other = other.under {
		if other != s && other.lease != nil && other.lease.ID == id && other.key == s.key {
			return other
		}
	}
	return nil
}
