package lease

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"berth/internal/failpoint"
	"berth/store"
)

// Request asks for ports: of a range, or of no named one.
type Request struct {
	// Range is the range's name. Empty: the ports are asked for directly, by Port
	// or by Min and Max. One that lies in a range is leased from that range.
	Range string

	// Protocol, where it is given, must be the range's. Ports that are asked for
	// directly are tcp where it is left out.
	Protocol Protocol

	// Count is how many contiguous ports are wanted: 0 means 1. Each is a lease
	// of its own, and they follow each other in the plan.
	Count int

	// Port, unless it is 0, is the only port that will do, of several the first.
	Port int

	// Min and Max, unless they are 0, are the interval of which any free port
	// will do, the lowest first.
	Min, Max int

	// Prefer is the port to lease if it is free: the one that the holder had last.
	Prefer int

	Holder Holder
}

// Plan is leases that have been picked and probed but not committed. Their
// ports are pending: nobody else gets them until the plan is committed or
// aborted, one of which has to follow.
type Plan struct {
	requests []Request
	slots    []*slot // of each request; nil while it has no port
	leases   []Lease // of each request, when all are planned
	done     bool    // guarded by the manager's lock

	// ends are leases that the plan ends, and instead the ids of those in whose
	// place its leases are, in their order: of PlanInstead.
	ends    []*slot
	instead []ID

	// rechecked are the ranges whose blocked ports were looked at again.
	rechecked map[string]bool

	// Most plans are of one lease: here is the memory of its slices.
	oneSlot  [1]*slot
	oneLease [1]Lease
}

func newPlan(requests []Request) *Plan {
	p := &Plan{requests: requests}
	if len(requests) == 1 {
		p.slots, p.leases = p.oneSlot[:], p.oneLease[:0]
	} else {
		p.slots, p.leases = make([]*slot, len(requests)), make([]Lease, 0, len(requests))
	}
	return p
}

// Leases returns the planned leases in the order of the requests.
func (p *Plan) Leases() []Lease { return slices.Clone(p.leases) }

// Plan picks a port for each request and probes it, all or none. A port that
// cannot be bound is set aside and another one is picked. Ports of one range
// are in the order of its requests. No request at all is a plan without leases.
//
// Its errors are ErrRangeNotFound, ErrProtocol, a *FullError if a range has too few
// ports, ErrClosed, the context's, and that of a probe that could not tell.
func (m *Manager) Plan(ctx context.Context, requests []Request) (*Plan, error) {
	if err := failpoint.Fail("acquire/begun"); err != nil {
		return nil, err
	}
	p := newPlan(requests)
	var few [8]int
	missing := few[:0] // requests without a port
	for i := range requests {
		missing = append(missing, i)
	}
	if err := m.fill(ctx, p, missing, false); err != nil {
		return nil, err
	}
	return p, nil
}

// fill gives each of the missing requests a port that can be bound. In a plan
// that is filled again other ports may be given to the other requests too. If
// it cannot be filled, all of its ports are given back.
func (m *Manager) fill(ctx context.Context, p *Plan, missing []int, again bool) error {
	for ; ; again = true {
		if err := m.pick(ctx, p, missing); err != nil {
			m.giveBack(p)
			return err
		}
		if err := failpoint.Fail("acquire/picked"); err != nil {
			m.giveBack(p)
			return err
		}
		refused := missing[:0]
		for _, i := range missing {
			ok, err := m.probe(ctx, p.slots[i])
			if err != nil {
				m.giveBack(p)
				return fmt.Errorf("lease a port of range %s: %w", p.requests[i].Range, err)
			}
			if !ok {
				p.slots[i] = nil
				refused = append(refused, i)
			}
		}
		if missing = refused; len(missing) > 0 {
			continue
		}
		if (again || p.rechecked != nil) && len(p.requests) > 1 {
			m.arrange(p)
		}
		p.leases = p.leases[:0]
		for _, s := range p.slots {
			p.leases = append(p.leases, *s.lease)
		}
		return nil
	}
}

// Refuse sets aside a port of a plan that its caller could not bind, although
// the probe could before, and picks another one in its place. What Leases
// returned before does not hold any more: ports of the same range may be those
// of other requests now. Its errors are those of Plan, after which the plan is
// done, and ErrPlanDone, also where the port is not the plan's.
func (m *Manager) Refuse(ctx context.Context, p *Plan, protocol Protocol, port int) error {
	who, _, err := m.finder.Find(protocol, port)
	if err != nil {
		m.log.Warn("who is bound to a port cannot be told", "protocol", protocol, "port", port, "error", err)
	}
	m.mu.Lock()
	i := -1
	if !p.done {
		i = slices.IndexFunc(p.slots, func(s *slot) bool { return s.protocol == protocol && s.port == port })
	}
	if i < 0 {
		m.mu.Unlock()
		return ErrPlanDone
	}
	s := p.slots[i]
	s.blocked = m.inUse(port, who)
	m.end(s)
	p.slots[i] = nil
	m.mu.Unlock()
	return m.fill(ctx, p, []int{i}, true)
}

// pick gives each of the missing requests a port. Where a range has none left,
// its blocked ports are looked at again, once.
func (m *Manager) pick(ctx context.Context, p *Plan, missing []int) error {
	for {
		r, err := m.pickFree(p, missing)
		if !errors.Is(err, errBlocked) {
			return err
		}
		if p.rechecked == nil {
			p.rechecked = make(map[string]bool)
		}
		p.rechecked[r.Name] = true
		if err := m.unblock(ctx, r); err != nil {
			return err
		}
	}
}

// errBlocked says that a range has no free port, and others that looking again
// could make available.
var errBlocked = errors.New("ports are blocked")

// pickFree picks ports for the missing requests that have none yet. With
// errBlocked comes the range to look at again, and the plan keeps the ports
// that it has; with a FullError they have been given back.
func (m *Manager) pickFree(p *Plan, missing []int) (Range, error) {
	now := m.now().UTC().Round(0)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return Range{}, ErrClosed
	}
	for _, i := range missing {
		if p.slots[i] != nil {
			continue
		}
		q := &p.requests[i]
		r, err := m.rangeLocked(q.Range)
		switch {
		case err != nil:
			return r, err
		case m.closing[r.Name]:
			return r, stated(ErrRangeNotFound, "range %q is just being deleted", r.Name)
		case q.Protocol != "" && q.Protocol != r.Protocol:
			return r, stated(ErrProtocol, "range %s has %s ports, not %s ports", r.Name, r.Protocol, q.Protocol)
		}
		port, ok := m.picker.Pick(&m.table(r.Protocol).free, r.Min, r.Max)
		if !ok {
			if p.rechecked[r.Name] || !m.blockedIn(r) {
				m.giveBackLocked(p)
				return r, m.full(r, wanted(p, r.Name))
			}
			return r, errBlocked
		}
		if !r.Contains(port) || !m.table(r.Protocol).free.Has(port) {
			return r, fmt.Errorf("range %s: the picking strategy chose port %d, which is not free", r.Name, port)
		}
		s := newSlot(Lease{
			ID: m.newID(), Generation: 1, Range: r.Name, Protocol: r.Protocol, Scope: r.Scope, Port: port,
			Host: m.host, Holder: q.Holder, Since: now,
		})
		p.slots[i] = s
		m.put(s)
	}
	return Range{}, nil
}

// wanted is how many ports of a range a plan asks for.
func wanted(p *Plan, name string) int {
	n := 0
	for _, q := range p.requests {
		if q.Range == name {
			n++
		}
	}
	return n
}

// blockedIn reports whether a range has ports that looking again could make
// available. The lock is held.
func (m *Manager) blockedIn(r Range) bool {
	if _, ok := m.table(r.Protocol).aside.Next(r.Min, r.Max); ok {
		return true
	}
	return len(m.unsettled) > 0 || m.elsewhere > 0 && r.Scope == ClusterScope
}

// unblock looks again at the ports of a range that are set aside, of unknown
// outcome, or leased elsewhere.
func (m *Manager) unblock(ctx context.Context, r Range) error {
	// First what is unknown: a port whose lease turns out to have ended may be
	// set aside for what was seen of it before.
	if err := m.Settle(ctx); err != nil {
		m.log.Warn("outcomes are still unknown", "error", err)
	}
	if err := m.recheck(ctx, func(s *slot) bool { return s.protocol == r.Protocol && r.Contains(s.port) }); err != nil {
		return err
	}
	if r.Scope == ClusterScope {
		if err := m.refresh(ctx); err != nil {
			m.log.Warn("the leases of the cluster cannot be read", "error", err)
		}
	}
	return ctx.Err()
}

// probe reports whether the port of a planned slot can be bound. If not, it is
// set aside; an error says that it cannot be told.
func (m *Manager) probe(ctx context.Context, s *slot) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	blocked, err := m.look(s.protocol, s.port, false)
	if failpoint.Planted("skip-probe") {
		blocked = nil
	}
	if err == nil {
		err = failpoint.Fail("acquire/probed")
	}
	if err != nil || blocked == nil {
		return err == nil, err
	}
	failpoint.At("aside/found")
	m.mu.Lock()
	defer m.mu.Unlock()
	s.blocked = blocked
	m.end(s)
	return false, nil
}

// arrange gives the ports of each range to its requests in ascending order:
// those that took the place of refused ones are out of it.
func (m *Manager) arrange(p *Plan) {
	byRange := make(map[string][]int)
	for i, q := range p.requests {
		byRange[q.Range] = append(byRange[q.Range], i)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.changes++
	for _, indices := range byRange {
		slots := make([]*slot, len(indices))
		for k, i := range indices {
			slots[k] = p.slots[i]
		}
		slices.SortFunc(slots, func(a, b *slot) int { return a.port - b.port })
		for k, i := range indices {
			l := *slots[k].lease
			l.Holder = p.requests[i].Holder
			slots[k].lease = &l
			p.slots[i] = slots[k]
		}
	}
}

// giveBack frees the ports of a plan that will not be committed.
func (m *Manager) giveBack(p *Plan) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.giveBackLocked(p)
}

func (m *Manager) giveBackLocked(p *Plan) {
	p.done = true
	for i, s := range p.slots {
		if s != nil && s.state == planned {
			m.drop(s)
		}
		p.slots[i] = nil
	}
}

// Abort gives the ports of a plan back. On a plan that was committed or
// aborted before, or nil, it does nothing.
func (m *Manager) Abort(p *Plan) {
	if p == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if p.done {
		return
	}
	p.done = true
	for _, s := range p.slots {
		m.drop(s)
	}
	m.keep(p.ends)
}

// Acquire plans and commits leases, all or none, in the order of the requests.
// It plans again if a port was lost to another host, and reads again what a
// commit of unknown outcome has done. Its errors are those of Plan and of
// Commit, but never ErrTaken.
func (m *Manager) Acquire(ctx context.Context, requests ...Request) ([]Lease, error) {
	return m.AcquireWith(ctx, nil, requests...)
}

// AcquireWith acquires leases, and commits with them what extra, unless it is
// nil, returns for them: records of the caller, as in Commit. It is asked again
// where ports were planned again. One of its conditions that does not hold is
// store.ErrConflict.
func (m *Manager) AcquireWith(ctx context.Context, extra func([]Lease) store.Batch, requests ...Request) ([]Lease, error) {
	for {
		p, err := m.Plan(ctx, requests)
		if err != nil {
			return nil, err
		}
		var more store.Batch
		if extra != nil {
			more = extra(p.Leases())
		}
		err = m.Commit(ctx, p, more)
		failpoint.At("acquire/committed")
		switch {
		case err == nil:
			return p.leases, nil
		case errors.Is(err, ErrTaken):
		case errors.Is(err, store.ErrUnknown):
			if settleErr := m.Settle(ctx); settleErr != nil {
				return nil, err
			}
			if m.holds(p) {
				return p.leases, nil
			}
		default:
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}

// holds reports whether all leases of a plan are live.
func (m *Manager) holds(p *Plan) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range p.slots {
		if !s.live || s.state != leased {
			return false
		}
	}
	return true
}
