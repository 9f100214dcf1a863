package lease_test

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"berth/lease"
	"berth/store"
	"berth/store/storetest"
)

// model is the manager as somebody would write it who has all the time in the
// world: a map of ports. It also knows what has become of commits whose outcome
// the store did not tell.
type model struct {
	manager *lease.Manager
	store   *storetest.Faulty
	net     *network
	ranges  map[string]lease.Range
	live    map[portKey]lease.Lease
	limbo   map[portKey]limbo
	checks  int
}

// limbo is a lease whose last change has an unknown outcome.
type limbo struct {
	lease  lease.Lease
	ending bool // it was live before
	stays  bool // it is in the store
}

func (m *model) open(t *rapid.T) {
	var err error
	m.manager, err = lease.Open(context.Background(), lease.Options{Store: m.store, Prober: m.net, Finder: m.net, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
}

// settled: the outcomes have become known.
func (m *model) settled() {
	for k, l := range m.limbo {
		if l.stays {
			m.live[k] = l.lease
		}
	}
	clear(m.limbo)
}

// fault lets the next commit fail now and then.
func (m *model) fault(t *rapid.T) storetest.Fault {
	fault := rapid.SampledFrom([]storetest.Fault{0, 0, 0, 0, storetest.UnknownApplied, storetest.UnknownLost, storetest.Conflict}).Draw(t, "fault")
	if fault != 0 {
		m.store.FailCommit(m.store.Commits()+1, fault)
	}
	return fault
}

func (m *model) drawRange(t *rapid.T) lease.Range {
	return m.ranges[rapid.SampledFrom(slices.Sorted(maps.Keys(m.ranges))).Draw(t, "range")]
}

func (m *model) drawLease(t *rapid.T) lease.Lease {
	all := append(slices.Collect(maps.Values(m.live)), m.limboLeases()...)
	if len(all) == 0 {
		t.Skip("nothing is leased")
	}
	slices.SortFunc(all, func(a, b lease.Lease) int {
		return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Port, b.Port))
	})
	return all[rapid.IntRange(0, len(all)-1).Draw(t, "lease")]
}

func (m *model) limboLeases() (list []lease.Lease) {
	for _, l := range m.limbo {
		list = append(list, l.lease)
	}
	return list
}

// expected tells which ports n requests of a range get, nil if there are too few.
func (m *model) expected(r lease.Range, n int) []int {
	status := m.manager.Ranges(r.Name)[0]
	isBusy := func(port int) bool { _, busy := m.net.busy[portKey{r.Protocol, port}]; return busy }
	var want []int
	for _, port := range status.Available {
		if !isBusy(port) && len(want) < n {
			want = append(want, port)
		}
	}
	if len(want) == n {
		return want
	}
	// Now what is set aside is looked at, and outcomes are read.
	var back []int
	for _, s := range status.SetAside {
		if !isBusy(s.Port) {
			back = append(back, s.Port)
		}
	}
	for k, l := range m.limbo {
		if k.protocol == r.Protocol && r.Contains(k.port) && !l.stays && !isBusy(k.port) {
			back = append(back, k.port)
		}
	}
	m.settled()
	slices.Sort(back)
	want = append(want, back[:min(len(back), n-len(want))]...)
	slices.Sort(want)
	if len(want) < n {
		return nil
	}
	return want
}

func (m *model) acquire(t *rapid.T) {
	r, n := m.drawRange(t), rapid.IntRange(1, 4).Draw(t, "n")
	want := m.expected(r, n)
	p, err := m.manager.Plan(context.Background(), requests(slices.Repeat([]string{r.Name}, n)...))
	if want == nil {
		if !errors.Is(err, lease.ErrRangeFull) {
			t.Fatalf("plan %d of %s: %v, want it full", n, r.Name, err)
		}
		return
	}
	if err != nil {
		t.Fatalf("plan %d of %s: %v, want ports %v", n, r.Name, err, want)
	}
	if got := portsOf(p.Leases()); !slices.Equal(got, want) {
		t.Fatalf("plan %d of %s: ports %v, want %v", n, r.Name, got, want)
	}
	if rapid.IntRange(0, 9).Draw(t, "abort") == 0 {
		m.manager.Abort(p)
		return
	}
	m.commit(t, p)
}

// commit commits a plan of new leases, with a fault now and then.
func (m *model) commit(t *rapid.T, p *lease.Plan) {
	fault := m.fault(t)
	err := m.manager.Commit(context.Background(), p, store.Batch{})
	for _, l := range p.Leases() {
		k := portKey{l.Protocol, l.Port}
		switch {
		case fault == 0 && err == nil:
			m.live[k] = l
		case fault == storetest.Conflict && errors.Is(err, lease.ErrTaken):
		case errors.Is(err, store.ErrUnknown) && (fault == storetest.UnknownApplied || fault == storetest.UnknownLost):
			m.limbo[k] = limbo{lease: l, stays: fault == storetest.UnknownApplied}
		default:
			t.Fatalf("commit with fault %d: %v", fault, err)
		}
	}
}

// drawRequest draws what is asked for of a range or directly: blocks, pinned
// ports, intervals, preferences.
func (m *model) drawRequest(t *rapid.T) (q lease.Request) {
	q.Count = rapid.IntRange(0, 4).Draw(t, "count")
	q.Holder = lease.Holder{Kind: lease.Manual, Name: "model"}
	port := func(what string) int { return rapid.IntRange(1, 40).Draw(t, what) }
	direct := rapid.Bool().Draw(t, "direct")
	if direct {
		q.Protocol = rapid.SampledFrom([]lease.Protocol{"", lease.TCP, lease.UDP}).Draw(t, "protocol")
	} else {
		q.Range = m.drawRange(t).Name
	}
	switch rapid.IntRange(0, 2).Draw(t, "kind") {
	case 0:
		if direct {
			q.Port = port("port")
		}
	case 1:
		q.Prefer = port("prefer")
	}
	if direct && q.Port == 0 {
		q.Min = port("min")
		q.Max = q.Min + rapid.IntRange(0, 12).Draw(t, "more")
	}
	return q
}

// spanOf is which ports a request may get.
func (m *model) spanOf(q lease.Request) lease.Range {
	switch {
	case q.Range != "":
		return m.ranges[q.Range]
	case q.Port != 0:
		return lease.Range{Min: q.Port, Max: q.Port + max(q.Count, 1) - 1, Protocol: cmp.Or(q.Protocol, lease.TCP)}
	}
	return lease.Range{Min: q.Min, Max: q.Max, Protocol: cmp.Or(q.Protocol, lease.TCP)}
}

// isFree reports whether n ports are neither leased nor bound.
func (m *model) isFree(p lease.Protocol, first, n int) bool {
	for port := first; port < first+n; port++ {
		_, live := m.live[portKey{p, port}]
		_, busy := m.net.busy[portKey{p, port}]
		if live || busy {
			return false
		}
	}
	return true
}

// direct asks for what drawRequest draws, everything that can be known being known.
func (m *model) direct(t *rapid.T) {
	m.job(t)
	q := m.drawRequest(t)
	r, n := m.spanOf(q), max(q.Count, 1)
	want := 0
	for first := r.Max - n + 1; first >= r.Min; first-- {
		if m.isFree(r.Protocol, first, n) {
			want = first
		}
	}
	if q.Prefer >= r.Min && q.Prefer+n-1 <= r.Max && m.isFree(r.Protocol, q.Prefer, n) {
		want = q.Prefer
	}
	p, err := m.manager.Plan(context.Background(), []lease.Request{q})
	switch {
	case want == 0 && q.Port == 0 && errors.Is(err, lease.ErrRangeFull):
		return
	case want == 0 && q.Port != 0 && (errors.Is(err, lease.ErrAssigned) || errors.Is(err, lease.ErrInUse)):
		var assigned *lease.AssignedError
		live := false
		if errors.As(err, &assigned) {
			_, live = m.live[portKey{assigned.Protocol, assigned.Port}]
		}
		if errors.Is(err, lease.ErrAssigned) != live {
			t.Fatalf("plan %+v: %v", q, err)
		}
		return
	case want == 0 || err != nil:
		t.Fatalf("plan %+v: %v, want %d ports from %d", q, err, n, want)
	}
	m.valid(t, q, p.Leases())
	if got := p.Leases()[0].Port; got != want {
		t.Fatalf("plan %+v: from port %d, want %d", q, got, want)
	}
	m.commit(t, p)
}

// valid checks that leases are what a request asks for.
func (m *model) valid(t *rapid.T, q lease.Request, leases []lease.Lease) {
	r := m.spanOf(q)
	for i, l := range leases {
		from := ""
		for _, over := range m.ranges {
			if over.Protocol == l.Protocol && over.Contains(l.Port) {
				from = over.Name
			}
		}
		if l.Protocol != r.Protocol || !r.Contains(l.Port) || l.Port != leases[0].Port+i || l.Range != from || !m.isFree(l.Protocol, l.Port, 1) || l.Holder != q.Holder {
			t.Fatalf("plan %+v: lease %d is %+v", q, i, l)
		}
	}
	if len(leases) != max(q.Count, 1) || q.Port != 0 && leases[0].Port != q.Port {
		t.Fatalf("plan %+v: leases %+v", q, leases)
	}
}

// mixed asks for several things at once, all or none. Which ports it are, the
// order of picking says; what is got has to be what was asked for.
func (m *model) mixed(t *rapid.T) {
	m.job(t)
	list := make([]lease.Request, rapid.IntRange(2, 4).Draw(t, "n"))
	preferred := make(map[portKey]int)
	for i := range list {
		list[i] = m.drawRequest(t)
		if q := list[i]; q.Prefer != 0 && q.Count <= 1 {
			k := portKey{m.spanOf(q).Protocol, q.Prefer}
			preferred[k]++
		}
	}
	p, err := m.manager.Plan(context.Background(), list)
	if err != nil {
		if !errors.Is(err, lease.ErrRangeFull) && !errors.Is(err, lease.ErrAssigned) && !errors.Is(err, lease.ErrInUse) && !errors.Is(err, lease.ErrRequest) {
			t.Fatalf("plan %+v: %v", list, err)
		}
		return
	}
	leases := p.Leases()
	seen := make(map[portKey]lease.Request)
	for _, q := range list {
		n := max(q.Count, 1)
		m.valid(t, q, leases[:n])
		for _, l := range leases[:n] {
			k := portKey{l.Protocol, l.Port}
			if _, twice := seen[k]; twice {
				t.Fatalf("plan %+v: %v is there twice", list, k)
			}
			seen[k] = q
		}
		leases = leases[n:]
	}
	// What exactly one prefers, nobody gets who would do with another one.
	for k, n := range preferred {
		if q, ok := seen[k]; ok && n == 1 && q.Port == 0 && q.Prefer == 0 {
			for _, one := range list {
				if one.Prefer == k.port && one.Count <= 1 && m.spanOf(one).Protocol == k.protocol && m.spanOf(one).Contains(k.port) {
					t.Fatalf("plan %+v: %v is not given to the one who prefers it", list, k)
				}
			}
		}
	}
	m.commit(t, p)
}

// several acquires a port of each range, all or none.
func (m *model) several(t *rapid.T) {
	names := slices.Sorted(maps.Keys(m.ranges))
	leases, err := m.manager.Acquire(context.Background(), requests(names...)...)
	if err != nil {
		if !errors.Is(err, lease.ErrRangeFull) {
			t.Fatalf("acquire of each: %v", err)
		}
		// To say so, it has looked at everything again.
		m.settled()
		return
	}
	must := func(ok bool, l lease.Lease) {
		if !ok {
			t.Fatalf("acquire of each: %+v must not be leased", l)
		}
	}
	if err := m.manager.Settle(context.Background()); err != nil {
		t.Fatalf("settle: %v", err)
	}
	m.settled()
	for i, l := range leases {
		k := portKey{l.Protocol, l.Port}
		_, taken := m.live[k]
		_, busy := m.net.busy[k]
		r := m.ranges[names[i]]
		must(!taken && !busy && l.Range == r.Name && r.Contains(l.Port) && l.Protocol == r.Protocol, l)
		m.live[k] = l
	}
}

func (m *model) end(t *rapid.T) {
	l := m.drawLease(t)
	k := portKey{l.Protocol, l.Port}
	var err error
	fault := storetest.Fault(0)
	if in, ok := m.limbo[k]; ok {
		if in.ending {
			m.settled() // it is read first
		}
	} else {
		fault = m.fault(t)
	}
	recuperate := rapid.Bool().Draw(t, "recuperate")
	if recuperate {
		err = m.manager.Recuperate(context.Background(), []lease.ID{l.ID}, store.Batch{})
	} else {
		err = m.manager.Release(context.Background(), l.ID, l.Generation)
	}
	_, isLive := m.live[k]
	switch {
	case !isLive && errors.Is(err, lease.ErrLeaseNotFound):
	case isLive && fault == 0 && err == nil:
		delete(m.live, k)
		s := m.statusOf(k)
		if _, busy := m.net.busy[k]; s != "" && (s == "aside") != (busy && recuperate) {
			t.Fatalf("%v is %s after its lease has ended, busy is %v, recuperated is %v", k, s, busy, recuperate)
		}
	case isLive && fault == storetest.Conflict && errors.Is(err, lease.ErrLeaseChanged):
	case isLive && errors.Is(err, store.ErrUnknown):
		delete(m.live, k)
		m.limbo[k] = limbo{lease: l, ending: true, stays: fault == storetest.UnknownLost}
	default:
		t.Fatalf("end of %+v with fault %d: %v, live is %v", l, fault, err, isLive)
	}
}

// instead leases another port for a lease, which is lost if something else is
// bound to its port.
func (m *model) instead(t *rapid.T) {
	l := m.drawLease(t)
	k := portKey{l.Protocol, l.Port}
	if _, ok := m.live[k]; !ok {
		t.Skip("what has become of it is not known")
	}
	_, lost := m.net.busy[k]
	r, there := m.ranges[l.Range]
	var want []int
	if lost && there && r.Protocol == l.Protocol {
		want = m.expected(r, 1)
	}
	replaced := oneEach([]lease.Lease{l})
	pinned := l.Range == "" // no other one will do, say
	if pinned {
		replaced[0].Request.Port = l.Port
	}
	p, err := m.manager.PlanInstead(context.Background(), replaced, always)
	switch {
	case !lost && p == nil && err == nil,
		lost && pinned && errors.Is(err, lease.ErrInUse),
		lost && !pinned && !there && errors.Is(err, lease.ErrRangeNotFound),
		lost && there && r.Protocol != l.Protocol && errors.Is(err, lease.ErrProtocol),
		lost && there && r.Protocol == l.Protocol && want == nil && errors.Is(err, lease.ErrRangeFull):
		return
	case want == nil || err != nil || !slices.Equal(portsOf(p.Leases()), want):
		t.Fatalf("instead of %+v, lost is %v: %v, want ports %v", l, lost, err, want)
	}
	made := p.Leases()[0]
	if rapid.IntRange(0, 4).Draw(t, "abort") == 0 {
		m.manager.Abort(p)
		return
	}
	fault := m.fault(t)
	err = m.manager.Commit(context.Background(), p, store.Batch{})
	to := portKey{made.Protocol, made.Port}
	switch {
	case fault == 0 && err == nil:
		delete(m.live, k)
		m.live[to] = made
		if s := m.statusOf(k); s != "" && s != "aside" {
			t.Fatalf("%v is %s after its lease was lost", k, s)
		}
	case fault == storetest.Conflict && (errors.Is(err, lease.ErrTaken) || errors.Is(err, lease.ErrLeaseChanged)):
	case errors.Is(err, store.ErrUnknown) && (fault == storetest.UnknownApplied || fault == storetest.UnknownLost):
		delete(m.live, k)
		m.limbo[k] = limbo{lease: l, ending: true, stays: fault == storetest.UnknownLost}
		m.limbo[to] = limbo{lease: made, stays: fault == storetest.UnknownApplied}
	default:
		t.Fatalf("commit with fault %d: %v", fault, err)
	}
}

// statusOf tells what the range over a port says about it; "" if there is none.
func (m *model) statusOf(k portKey) string {
	for _, s := range m.manager.Ranges("*") {
		if s.Protocol != k.protocol || !s.Contains(k.port) {
			continue
		}
		if slices.Contains(s.Available, k.port) {
			return "available"
		}
		if slices.ContainsFunc(s.SetAside, func(a lease.SetAside) bool { return a.Port == k.port }) {
			return "aside"
		}
		return "active"
	}
	return ""
}

func (m *model) add(t *rapid.T) {
	r := lease.Range{
		Name: rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}).Draw(t, "name"), Min: rapid.IntRange(1, 30).Draw(t, "min"), Scope: lease.HostScope,
		Protocol: rapid.SampledFrom([]lease.Protocol{lease.TCP, lease.UDP}).Draw(t, "protocol"),
	}
	r.Max = r.Min + rapid.IntRange(0, 8).Draw(t, "more")
	var want error
	if _, ok := m.ranges[r.Name]; ok {
		want = lease.ErrRangeExists
	}
	for _, other := range m.ranges {
		for port := r.Min; port <= r.Max && want == nil; port++ {
			if other.Protocol == r.Protocol && other.Contains(port) {
				want = lease.ErrRangeOverlaps
			}
		}
	}
	if err := m.manager.AddRanges(context.Background(), []lease.Range{r}, lease.AddOptions{}); !errors.Is(err, want) {
		t.Fatalf("add %s %v: %v, want %v", r.Name, r, err, want)
	}
	if want == nil {
		m.ranges[r.Name] = r
	}
}

func (m *model) remove(t *rapid.T) {
	if len(m.ranges) < 2 {
		t.Skip("the last range")
	}
	r, force := m.drawRange(t), rapid.Bool().Draw(t, "force")
	held := false
	for port := r.Min; port <= r.Max; port++ {
		_, live := m.live[portKey{r.Protocol, port}]
		_, inLimbo := m.limbo[portKey{r.Protocol, port}]
		held = held || live || inLimbo
	}
	deleted, err := m.manager.DeleteRanges(context.Background(), r.Name, force)
	switch {
	case held && !force && errors.Is(err, lease.ErrRangeLeased):
	case (!held || force) && err == nil && slices.Equal(deleted, []lease.Range{r}):
		delete(m.ranges, r.Name)
	default:
		t.Fatalf("delete %s, force %v, with leases %v: %v, %v", r.Name, force, held, deleted, err)
	}
}

func (m *model) flip(t *rapid.T) {
	r := m.drawRange(t)
	k := portKey{r.Protocol, rapid.IntRange(r.Min, r.Max).Draw(t, "port")}
	if _, busy := m.net.busy[k]; busy {
		m.net.vacate(k.protocol, k.port)
	} else {
		m.net.occupy(k.protocol, k.port, 1, "somebody")
	}
}

func (m *model) job(t *rapid.T) {
	if err := m.manager.RunOnce(context.Background()); err != nil {
		t.Fatalf("run once: %v", err)
	}
	m.settled()
	for _, s := range m.manager.Ranges("*") {
		for _, a := range s.SetAside {
			if _, busy := m.net.busy[portKey{s.Protocol, a.Port}]; !busy {
				t.Fatalf("%s port %d is set aside, and nobody has it: %s", s.Protocol, a.Port, a.Reason)
			}
		}
	}
}

// invariants are not held in every state that is seen: reading the store for
// them takes half of the time, and what has gone wrong stays wrong.
func (m *model) invariants(t *rapid.T) {
	if err := m.manager.Check(context.Background()); err != nil {
		t.Fatalf("%v", err)
	}
}

// check compares everything that can be seen, and now and then the invariants.
func (m *model) check(t *rapid.T) {
	const every = 4
	if m.checks++; m.checks%every == 0 {
		m.invariants(t)
	}
	want := make(map[lease.ID]lease.Lease)
	for _, l := range m.live {
		want[l.ID] = l
	}
	for _, l := range m.limbo {
		if l.ending {
			want[l.lease.ID] = l.lease
		}
	}
	leases := m.manager.Leases()
	for _, l := range leases {
		if want[l.ID] != l {
			t.Fatalf("lease %+v, want %+v", l, want[l.ID])
		}
	}
	if len(leases) != len(want) {
		t.Fatalf("leases %v, want %v", leases, want)
	}
	status := m.manager.Ranges("*")
	if len(status) != len(m.ranges) {
		t.Fatalf("%d ranges, want %d", len(status), len(m.ranges))
	}
	for _, s := range status {
		if m.ranges[s.Name] != s.Range {
			t.Fatalf("range %+v, want %+v", s.Range, m.ranges[s.Name])
		}
		if n := len(s.Available) + len(s.Active) + len(s.SetAside); n != s.Len() {
			t.Fatalf("range %s has %d ports, %d are shown", s.Name, s.Len(), n)
		}
		idle := make(map[int]bool, s.Len())
		for _, port := range s.Available {
			idle[port] = true
		}
		for _, a := range s.SetAside {
			idle[a.Port] = true
		}
		for port := s.Min; port <= s.Max; port++ {
			k := portKey{s.Protocol, port}
			_, live := m.live[k]
			_, inLimbo := m.limbo[k]
			if (live || inLimbo) == idle[port] {
				t.Fatalf("%v is %s, live is %v, unknown is %v", k, m.statusOf(k), live, inLimbo)
			}
		}
	}
}

func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{
			store: storetest.NewFaulty(storetest.NewMemory()), net: newNetwork(t),
			ranges: make(map[string]lease.Range), live: make(map[portKey]lease.Lease), limbo: make(map[portKey]limbo),
		}
		m.open(t)
		first := lease.Range{Name: "a", Min: 10, Max: 15, Protocol: lease.TCP, Scope: lease.HostScope}
		if err := m.manager.AddRanges(context.Background(), []lease.Range{first}, lease.AddOptions{}); err != nil {
			t.Fatalf("add: %v", err)
		}
		m.ranges["a"] = first
		t.Repeat(map[string]func(*rapid.T){
			"":          m.check,
			"acquire":   m.acquire,
			"acquire 2": m.acquire,
			"several":   m.several,
			"direct":    m.direct,
			"mixed":     m.mixed,
			"end":       m.end,
			"end 2":     m.end,
			"instead":   m.instead,
			"add":       m.add,
			"remove":    m.remove,
			"flip":      m.flip,
			"job":       m.job,
			"open again": func(t *rapid.T) {
				m.settled() // what is in the store is what is known
				m.open(t)
			},
		})
		m.invariants(t)
	})
}
