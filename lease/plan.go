package lease

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"berth/internal/failpoint"
)

// Plan is leases that have been picked and probed but not committed. Their
// ports are pending: nobody else gets them until the plan is committed or
// aborted, one of which has to follow.
type Plan struct {
	requests []Request
	slots    []*slot // of the requests, in their order; nil while one has no ports
	first    []int   // where those of each request begin; nil where each wants one port
	leases   []Lease // of the slots, when all are planned
	done     bool    // guarded by the manager's lock

	// plain says that each request is for any one port of a range.
	plain bool

	// refused says that a port was refused since all were picked together.
	refused bool

	// ends are leases that the plan ends: those that were lost, of PlanInstead,
	// or that their owner gives up. Instead are the ids of the lost ones in
	// whose place its leases are, in their order.
	ends    []*slot
	instead []ID

	// reuses says that the ports of what it ends may be picked for it again,
	// lent which of them are free just now, while the lock is held; leave lets
	// others plan for their owners.
	reuses bool
	lent   []*slot
	leave  func()

	// rechecked are the intervals whose blocked ports were looked at again.
	rechecked map[Range]bool

	// sockets are bound to the ports that the system chose. See Sockets.
	sockets map[*slot]*os.File

	// Most plans are of one lease: here is the memory of its slices.
	oneSlot  [1]*slot
	oneLease [1]Lease
}

func newPlan(requests []Request) *Plan {
	p := &Plan{requests: requests, plain: true}
	n, single := 0, true
	for i := range requests {
		q := &requests[i]
		n += q.count()
		single = single && q.count() == 1
		p.plain = p.plain && q.isPlain()
	}
	if !single {
		p.first = make([]int, len(requests))
		at := 0
		for i := range requests {
			p.first[i] = at
			at += requests[i].count()
		}
	}
	if n == 1 {
		p.slots, p.leases = p.oneSlot[:], p.oneLease[:0]
	} else {
		p.slots, p.leases = make([]*slot, n), make([]Lease, 0, n)
	}
	return p
}

// of returns the slots of a request.
func (p *Plan) of(i int) []*slot {
	if p.first == nil {
		return p.slots[i : i+1]
	}
	return p.slots[p.first[i] : p.first[i]+p.requests[i].count()]
}

// requestOf returns which request a slot of the plan is of.
func (p *Plan) requestOf(at int) int {
	if p.first == nil {
		return at
	}
	i, found := slices.BinarySearch(p.first, at)
	if !found {
		i--
	}
	return i
}

// Leases returns the planned leases in the order of the requests.
func (p *Plan) Leases() []Lease { return slices.Clone(p.leases) }

// Plan picks ports for each request and probes them, all or none. A port that
// cannot be bound is set aside and another one is picked, or the next block
// where several were wanted; a port that is the only one that will do is refused.
// Pinned ports are picked before preferred ones, these before blocks, and those
// before the rest. Ports of one range are in the order of its requests. No
// request at all is a plan without leases. What owners give up for it may be
// what they get; nobody else can change it until the plan is done.
//
// Its errors are ErrRequest, ErrRangeNotFound, ErrProtocol, a *FullError if there
// are too few ports, and for a pinned port an *AssignedError, ErrInUse or
// ErrPrivileged; ErrClosed, the context's, and that of a probe that could not tell.
func (m *Manager) Plan(ctx context.Context, requests []Request) (*Plan, error) {
	if err := failpoint.Fail("acquire/begun"); err != nil {
		return nil, err
	}
	for i := range requests {
		if err := requests[i].validate(); err != nil {
			return nil, err
		}
	}
	p := newPlan(requests)
	var few [8]int
	missing := few[:0] // requests without a port
	for i := range requests {
		missing = append(missing, i)
	}
	if err := m.beginGivingUp(ctx, p); err != nil {
		return nil, err
	}
	if err := m.fill(ctx, p, missing, false); err != nil {
		return nil, err
	}
	return p, nil
}

// fill gives each of the missing requests ports that can be bound. In a plan
// that is filled again other ports may be given to the other requests too. If
// it cannot be filled, all of its ports are given back.
func (m *Manager) fill(ctx context.Context, p *Plan, missing []int, again bool) error {
	for ; ; again = true {
		err := m.pick(ctx, p, missing)
		if errors.Is(err, errAfresh) {
			missing = make([]int, len(p.requests))
			for i := range missing {
				missing[i] = i
			}
			err = m.pick(ctx, p, missing)
		}
		if err != nil {
			m.giveBack(p)
			return err
		}
		if err := failpoint.Fail("acquire/picked"); err != nil {
			m.giveBack(p)
			return err
		}
		refused := missing[:0]
		for _, i := range missing {
			ok, err := m.probe(ctx, p, i)
			if err != nil {
				m.giveBack(p)
				return err
			}
			if !ok {
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
// the probe could before, and picks others in the place of those of its request.
// What Leases returned before does not hold any more: ports of the same range
// may be those of other requests now. Its errors are those of Plan, after which
// the plan is done, and ErrPlanDone, also where the port is not the plan's.
func (m *Manager) Refuse(ctx context.Context, p *Plan, protocol Protocol, port int) error {
	who, _, err := m.finder.Find(protocol, port)
	if err != nil {
		m.log.Warn("who is bound to a port cannot be told", "protocol", protocol, "port", port, "error", err)
	}
	m.mu.Lock()
	at := -1
	if !p.done {
		at = slices.IndexFunc(p.slots, func(s *slot) bool { return s.protocol == protocol && s.port == port })
	}
	if at < 0 {
		m.mu.Unlock()
		return ErrPlanDone
	}
	i := p.requestOf(at)
	refused := m.refuse(p, i, p.slots[at], m.inUse(port, who))
	m.mu.Unlock()
	if refused != nil {
		m.giveBack(p)
		return refused
	}
	return m.fill(ctx, p, []int{i}, true)
}

// refuse sets the port of a slot of a request aside, and gives back the others
// of that request. The error is that of a request for which no others will do.
// The lock is held.
func (m *Manager) refuse(p *Plan, i int, refused *slot, blocked *SetAside) error {
	p.refused = true
	if given := m.givenUnder(p, refused); given != nil {
		given.blocked = blocked // it is set aside when the plan ends its lease
	} else {
		refused.blocked = blocked
	}
	for k, s := range p.of(i) {
		p.letGoOf(s)
		m.end(s)
		p.of(i)[k] = nil
	}
	if p.requests[i].Port != 0 {
		return refusedPort(refused.protocol, blocked)
	}
	return nil
}

// pick gives each of the missing requests ports. Where there are none left, the
// blocked ones are looked at again, once.
func (m *Manager) pick(ctx context.Context, p *Plan, missing []int) error {
	for {
		r, err := m.pickFree(p, missing)
		switch {
		case errors.Is(err, errSystem):
			return m.pickSystem(p, missing)
		case !errors.Is(err, errBlocked):
			return err
		}
		if p.rechecked == nil {
			p.rechecked = make(map[Range]bool)
		}
		p.rechecked[r] = true
		if err := m.unblock(ctx, r); err != nil {
			return err
		}
	}
}

// errBlocked says that a range has no free port, and others that looking again
// could make available.
var errBlocked = errors.New("ports are blocked")

// errAfresh says that the plan's ports were given back, for all to be picked
// together again.
var errAfresh = errors.New("pick afresh")

// errSystem says that what is missing is for the system to choose.
var errSystem = errors.New("the system is to choose")

// pickFree picks ports for the missing requests that have none yet. With
// errBlocked comes the interval to look at again, and the plan keeps the ports
// that it has; with the errors of a lack of ports they have been given back.
func (m *Manager) pickFree(p *Plan, missing []int) (Range, error) {
	now := m.now().UTC().Round(0)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return Range{}, ErrClosed
	}
	if p.reuses {
		m.lend(p)
		defer m.takeBack(p)
	}
	if !p.plain {
		// What one prefers, another one that would do with any port must not get.
		for _, i := range missing {
			q := &p.requests[i]
			if q.Prefer == 0 || q.Port != 0 || p.of(i)[0] != nil {
				continue
			}
			if r, err := m.span(q); err == nil && m.prefers(q, r) && !m.isPinned(p, missing, q, r) {
				m.mark(p, i, r, q.Prefer, now)
			}
		}
		missing = slices.Clone(missing)
		slices.SortStableFunc(missing, func(a, b int) int { return p.requests[a].compare(&p.requests[b]) })
	}
	system := false
	for _, i := range missing {
		if p.of(i)[0] != nil {
			continue
		}
		q := &p.requests[i]
		r, err := m.span(q)
		if err != nil {
			return r, err
		}
		if m.isSystem(q, r) {
			system = true
			continue
		}
		port, ok := m.choose(q, r)
		if !ok {
			if !p.rechecked[r] && m.blockedIn(r) {
				return r, errBlocked
			}
			return r, m.lacking(p, q, r)
		}
		if free := &m.table(r.Protocol).free; !r.Contains(port) || !free.Has(port) {
			return r, fmt.Errorf("range %s: the picking strategy chose port %d, which is not free", r.Name, port)
		}
		m.mark(p, i, r, port, now)
	}
	if system {
		return Range{}, errSystem
	}
	return Range{}, nil
}

// isPinned reports whether another request of a plan will take no other ports
// than some that q prefers. The lock is held.
func (m *Manager) isPinned(p *Plan, missing []int, q *Request, r Range) bool {
	for _, i := range missing {
		other := &p.requests[i]
		if other.Port == 0 || other.Port >= q.Prefer+q.count() || q.Prefer >= other.Port+other.count() {
			continue
		}
		if o, err := m.span(other); err == nil && o.Protocol == r.Protocol {
			return true
		}
	}
	return false
}

// mark makes the slots of a request, of ports from first on. The lock is held.
func (m *Manager) mark(p *Plan, i int, r Range, first int, now time.Time) {
	q := &p.requests[i]
	for k := range p.of(i) {
		from := r
		if q.isDirect() {
			from = m.rangeOver(r.Protocol, first+k)
		}
		s := newSlot(Lease{
			ID: m.newID(), Generation: 1, Range: from.Name, Protocol: r.Protocol, Scope: from.Scope, Port: first + k,
			Host: m.host, Holder: q.Holder.from(now), Since: now,
		})
		p.of(i)[k] = s
		m.put(s)
	}
}

// blockedIn reports whether a range has ports that looking again could make
// available. The lock is held.
func (m *Manager) blockedIn(r Range) bool {
	if _, ok := m.table(r.Protocol).aside.Next(r.Min, r.Max); ok {
		return true
	}
	return len(m.unsettled) > 0 || m.elsewhere > 0 && r.Scope == ClusterScope || m.isOverdue()
}

// unblock looks again at the ports of a range that are set aside, of unknown
// outcome, or leased elsewhere, and ends the leases whose time has run out.
func (m *Manager) unblock(ctx context.Context, r Range) error {
	// First what is unknown: a port whose lease turns out to have ended may be
	// set aside for what was seen of it before.
	if err := m.Settle(ctx); err != nil {
		m.log.Warn("outcomes are still unknown", "error", err)
	}
	if err := m.RecuperateOnce(ctx); err != nil {
		m.log.Warn("leases whose holders are gone cannot be recuperated", "error", err)
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

// probe reports whether the planned ports of a request can be bound. If not, the
// one that cannot is set aside and the others are given back; an error says that
// it cannot be told, or that no others will do.
func (m *Manager) probe(ctx context.Context, p *Plan, i int) (bool, error) {
	for _, s := range p.of(i) {
		err := ctx.Err()
		var blocked *SetAside
		if err == nil && p.sockets[s] == nil { // what is bound for the plan needs no probe
			blocked, err = m.look(s.protocol, s.port, false)
		}
		if failpoint.Planted("skip-probe") {
			blocked = nil
		}
		if err == nil {
			err = failpoint.Fail("acquire/probed")
		}
		if err != nil {
			return false, fmt.Errorf("lease %s: %w", p.requests[i].what(), err)
		}
		if blocked == nil {
			continue
		}
		failpoint.At("aside/found")
		m.mu.Lock()
		defer m.mu.Unlock()
		return false, m.refuse(p, i, s, blocked)
	}
	return true, nil
}

// arrange gives the ports of each range to its requests in ascending order:
// those that took the place of refused ones are out of it. Requests for just
// these ports keep theirs.
func (m *Manager) arrange(p *Plan) {
	type alike struct {
		name            string
		protocol        Protocol
		count, min, max int
	}
	groups := make(map[alike][]int)
	for i := range p.requests {
		q := &p.requests[i]
		if q.Port == 0 && q.Prefer == 0 {
			k := alike{q.Range, p.of(i)[0].protocol, q.count(), q.Min, q.Max}
			groups[k] = append(groups[k], i)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.changes++
	for _, indices := range groups {
		blocks := make([][]*slot, len(indices))
		for k, i := range indices {
			blocks[k] = slices.Clone(p.of(i))
		}
		slices.SortFunc(blocks, func(a, b []*slot) int { return a[0].port - b[0].port })
		for k, i := range indices {
			for n, s := range blocks[k] {
				l := *s.lease
				l.Holder = p.requests[i].Holder.from(l.Since)
				s.lease = &l
				p.of(i)[n] = s
			}
		}
	}
}

// giveBack frees the ports of a plan that will not be committed, and takes back
// the ends of leases that it has.
func (m *Manager) giveBack(p *Plan) {
	m.mu.Lock()
	m.giveBackLocked(p)
	m.keep(p.ends)
	p.ends = nil
	m.mu.Unlock()
	p.left()
}

func (m *Manager) giveBackLocked(p *Plan) {
	p.done = true
	p.letGo()
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
	if p.done {
		m.mu.Unlock()
		return
	}
	p.done = true
	p.letGo()
	for _, s := range p.slots {
		m.drop(s)
	}
	m.keep(p.ends)
	m.mu.Unlock()
	p.left()
}
