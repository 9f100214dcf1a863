package lease_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"berth/event"
	"berth/lease"
	"berth/proc"
	"berth/store"
	"berth/store/storetest"
)

// clock is a time that tests let pass.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 22, 15, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func (c *clock) set(o *lease.Options) { o.Now = c.Now }

// people are processes of the system that tests let end.
type people struct {
	mu     sync.Mutex
	lives  map[proc.Identity]chan struct{} // closed at its end
	broken bool                            // none can be looked up
	open   int                             // handles
}

func newPeople() *people { return &people{lives: make(map[proc.Identity]chan struct{})} }

func (p *people) set(o *lease.Options) { o.Processes = p }

// born is a process with a pid of its own.
func (p *people) born(pid int) lease.Holder {
	id := proc.Identity{BootID: "boot", PID: pid, StartTime: uint64(1000 + pid), Inode: uint64(pid)}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lives[id] = make(chan struct{})
	return lease.Holder{Kind: lease.Process, Name: "bash", Identity: lease.Identity{Identity: id}}
}

func (p *people) die(h lease.Holder) {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.lives[h.Identity.Identity])
	delete(p.lives, h.Identity.Identity)
}

func (p *people) Open(id proc.Identity) (lease.Handle, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.broken {
		return nil, errors.New("too many open files")
	}
	ended, ok := p.lives[id]
	if !ok {
		return nil, fmt.Errorf("open pid %d: %w", id.PID, proc.ErrGone)
	}
	p.open++
	return &life{people: p, ended: ended, closed: make(chan struct{})}, nil
}

func (p *people) handles() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open
}

type life struct {
	people *people
	ended  chan struct{}
	once   sync.Once
	closed chan struct{}
}

func (l *life) Exited(ctx context.Context) error {
	select {
	case <-l.ended:
		return nil
	case <-l.closed:
		return proc.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *life) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.people.mu.Lock()
		defer l.people.mu.Unlock()
		l.people.open--
	})
	return nil
}

func session(name string, ttl time.Duration) lease.Holder {
	return lease.Holder{Kind: lease.Session, Name: name, TTL: ttl}
}

// hold acquires a port of a range for a holder.
func (f *fixture) hold(t *testing.T, name string, h lease.Holder) lease.Lease {
	t.Helper()
	got, err := f.Acquire(t.Context(), lease.Request{Range: name, Holder: h})
	if err != nil {
		t.Fatalf("acquire %s for %s: %v", name, h, err)
	}
	return got[0]
}

func (f *fixture) recuperate(t *testing.T) {
	t.Helper()
	if err := f.RecuperateOnce(t.Context()); err != nil {
		t.Fatalf("recuperate: %v", err)
	}
}

func (f *fixture) ports() []int { return portsOf(f.Leases()) }

func TestSessionRunsOut(t *testing.T) {
	c := newClock()
	log := event.New(16, c.Now)
	f := open(t, c.set, func(o *lease.Options) { o.Events = log })
	f.add(t, lease.Range{Name: "one", Min: 20000, Max: 20000})
	l := f.hold(t, "one", session("ci", 30*time.Second))
	if want := c.Now().Add(30 * time.Second); !l.Holder.Expires.Equal(want) || l.Generation != 1 {
		t.Fatalf("%+v, want its end at %v", l, want)
	}
	other := lease.Request{Range: "one", Holder: lease.Holder{Kind: lease.Manual, Name: "other"}}
	c.pass(30*time.Second - 1)
	f.recuperate(t)
	if _, err := f.Acquire(t.Context(), other); !errors.Is(err, lease.ErrRangeFull) {
		t.Fatalf("a moment before its end: %v", err)
	}
	renewed, err := f.Renew(t.Context(), l.ID, 1, 0)
	if err != nil || renewed.Generation != 2 || !renewed.Holder.Expires.Equal(c.Now().Add(30*time.Second)) {
		t.Fatalf("renewed: %+v, %v", renewed, err)
	}
	c.pass(30*time.Second - 1)
	f.recuperate(t)
	if renewed, err = f.Renew(t.Context(), l.ID, 0, 5*time.Second); err != nil || !renewed.Holder.Expires.Equal(c.Now().Add(5*time.Second)) {
		t.Fatalf("renewed for another time: %+v, %v", renewed, err)
	}
	c.pass(5 * time.Second)
	// It is over at this moment, whoever has noticed, and can be had once.
	if _, err := f.Renew(t.Context(), l.ID, 0, 0); !errors.Is(err, lease.ErrLeaseNotFound) {
		t.Errorf("renewed at its end: %v", err)
	}
	got, err := f.Acquire(t.Context(), other)
	if err != nil || got[0].Port != 20000 || got[0].ID == l.ID {
		t.Fatalf("at its end: %+v, %v", got, err)
	}
	if _, err := f.Acquire(t.Context(), other); !errors.Is(err, lease.ErrRangeFull) {
		t.Errorf("a second time: %v", err)
	}
	events, _, _ := log.After(-1, 16)
	var kinds []string
	for _, e := range events {
		kinds = append(kinds, e.Kind)
	}
	if want := []string{"added", "acquired", "recuperated", "acquired"}; !slices.Equal(kinds, want) {
		t.Errorf("events %v, want %v", kinds, want)
	}
}

func TestRenewRefuses(t *testing.T) {
	c := newClock()
	f := open(t, c.set)
	f.add(t, http)
	manual := f.acquire(t, "http")[0]
	l := f.hold(t, "http", session("ci", time.Minute))
	for _, tt := range []struct {
		name       string
		id         lease.ID
		generation int64
		ttl        time.Duration
		want       error
	}{
		{"not a session", manual.ID, 1, time.Minute, lease.ErrRequest},
		{"not there", "nothing", 0, time.Minute, lease.ErrLeaseNotFound},
		{"another generation", l.ID, 2, time.Minute, lease.ErrLeaseChanged},
		{"below 0", l.ID, 1, -1, lease.ErrRequest},
		{"too long", l.ID, 1, lease.MaxTTL + 1, lease.ErrRequest},
	} {
		if got, err := f.Renew(t.Context(), tt.id, tt.generation, tt.ttl); !errors.Is(err, tt.want) {
			t.Errorf("%s: %+v, %v, want %v", tt.name, got, err, tt.want)
		}
	}
	if now, err := f.Lease(l.ID); err != nil || now != l {
		t.Errorf("it is %+v, %v, and was %+v", now, err, l)
	}
}

func TestHolderIsRefused(t *testing.T) {
	f := open(t)
	f.add(t, http)
	id := lease.Identity{Identity: proc.Identity{BootID: "b", PID: 1}}
	for name, h := range map[string]lease.Holder{
		"a session without an end":        {Kind: lease.Session},
		"an end that nobody has":          {Kind: lease.Manual, TTL: time.Second},
		"an identity that nobody has":     {Kind: lease.Manual, Identity: id},
		"of the launcher and the system":  {Kind: lease.Process, Process: 1, Identity: id},
		"a time below 0":                  {Kind: lease.Session, TTL: -1},
		"an owner with a new line":        {Kind: lease.Manual, Owner: "a\nb"},
		"an owner that is no text":        {Kind: lease.Manual, Owner: "\xff"},
		"a name that cannot be read back": {Kind: lease.Manual, Name: "\xff"},
	} {
		if got, err := f.Acquire(t.Context(), lease.Request{Range: "http", Holder: h}); !errors.Is(err, lease.ErrRequest) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// What ran out while there was no manager has a while left to be renewed, but
// for what was never meant to be.
func TestSessionsOutliveAManager(t *testing.T) {
	c := newClock()
	f := open(t, c.set)
	f.add(t, http)
	short := f.hold(t, "http", session("short", 10*time.Second))
	long := f.hold(t, "http", session("long", time.Hour))
	f.hold(t, "http", lease.Holder{Kind: lease.Session, Name: "offer", Expires: c.Now().Add(30 * time.Minute)})
	far := f.hold(t, "http", session("far", 24*time.Hour))
	c.pass(2 * time.Hour)
	f = f.again(t, c.set)
	for _, step := range []struct {
		after time.Duration
		want  []int
	}{
		{0, []int{short.Port, long.Port, far.Port}},
		{10*time.Second - 1, []int{short.Port, long.Port, far.Port}},
		{10 * time.Second, []int{long.Port, far.Port}},
		{time.Minute - 1, []int{long.Port, far.Port}},
		{time.Minute, []int{far.Port}},
		{22*time.Hour - 1, []int{far.Port}},
		{22 * time.Hour, nil},
	} {
		c.pass(step.after - c.Now().Sub(f.since(c)))
		f.recuperate(t)
		if got := f.ports(); !slices.Equal(got, step.want) {
			t.Errorf("%v after the start: ports %v, want %v", step.after, got, step.want)
		}
	}
}

func (f *fixture) since(c *clock) time.Time {
	if f.opened.IsZero() {
		f.opened = c.Now()
	}
	return f.opened
}

// A process that has ended has its leases recuperated, once each, by Run; those
// of others stay.
func TestProcessEnds(t *testing.T) {
	p := newPeople()
	log := event.New(64, time.Now)
	f := open(t, p.set, func(o *lease.Options) { o.Events = log })
	f.add(t, http)
	one, two := p.born(1), p.born(2)
	first := f.hold(t, "http", one)
	second := f.hold(t, "http", one)
	stays := f.hold(t, "http", two)
	f.net.occupy(lease.TCP, second.Port, 77, "left")
	f.recuperate(t)
	if n := p.handles(); n != 2 {
		t.Fatalf("%d processes are watched, want 2", n)
	}
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- f.Run(ctx) }()
	defer func() { stop(); <-ran }()
	p.die(one)
	ended := map[string]bool{}
	for after := int64(-1); len(ended) < 2; {
		events, _, more := log.After(after, 64)
		for _, e := range events {
			after = e.Sequence
			if e.Noun == "lease" && e.Kind == "recuperated" {
				ended[e.ID] = true
			}
		}
		if len(ended) < 2 {
			select {
			case <-more:
			case <-time.After(time.Minute):
				t.Fatalf("recuperated so far: %v", ended)
			}
		}
	}
	if !ended[string(first.ID)] || !ended[string(second.ID)] {
		t.Errorf("recuperated: %v, want %s and %s", ended, first.ID, second.ID)
	}
	if got := f.ports(); !slices.Equal(got, []int{stays.Port}) {
		t.Errorf("leased are %v, want %d", got, stays.Port)
	}
	aside := f.status(t, "http").SetAside
	if len(aside) != 1 || aside[0].Port != second.Port || aside[0].PID != 77 {
		t.Errorf("set aside are %+v, want %d, which pid 77 has", aside, second.Port)
	}
	f.net.vacate(lease.TCP, second.Port)
}

// Who ended while there was no manager is looked up by the next one; who cannot
// be looked up keeps its leases.
func TestProcessesAreLookedUpAgain(t *testing.T) {
	p := newPeople()
	f := open(t, p.set)
	f.add(t, http)
	one, two := p.born(1), p.born(2)
	f.hold(t, "http", one)
	stays := f.hold(t, "http", two)
	elsewhere := p.born(3)
	elsewhere.Identity.Namespace = 1 // no namespace has that
	boot, err := proc.BootID()
	if err != nil {
		t.Fatal(err)
	}
	elsewhere.Identity.BootID = boot
	alone := f.hold(t, "http", elsewhere)
	f.recuperate(t)
	if n := p.handles(); n != 2 {
		t.Errorf("%d handles are open, want 2", n)
	}
	p.die(one)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	p.broken = true
	f = f.again(t, p.set)
	if err := f.RecuperateOnce(t.Context()); err == nil || len(f.ports()) != 3 {
		t.Errorf("while none can be looked up: %v, leased are %v", err, f.ports())
	}
	p.broken = false
	f.recuperate(t)
	if got := f.ports(); !slices.Equal(got, []int{stays.Port, alone.Port}) {
		t.Errorf("leased are %v, want %d and %d", got, stays.Port, alone.Port)
	}
	// A lease that is released ends the watching.
	if err := f.Release(t.Context(), f.Leases()[0].ID, 0); err != nil {
		t.Fatal(err)
	}
	f.recuperate(t)
	if n := p.handles(); n != 0 {
		t.Errorf("%d handles are open, want none", n)
	}
}

// What cannot be ended yet is tried again, and does not keep the others.
func TestRecuperateAgain(t *testing.T) {
	c := newClock()
	f := open(t, c.set)
	f.add(t, http)
	for range 3 {
		f.hold(t, "http", session("ci", time.Second))
	}
	c.pass(time.Second)
	f.store.FailCommit(f.store.Commits()+1, storetest.NoSpace)
	f.store.FailCommit(f.store.Commits()+2, storetest.NoSpace)
	if err := f.RecuperateOnce(t.Context()); !errors.Is(err, store.ErrNoSpace) {
		t.Errorf("with a full disk: %v", err)
	}
	if got := f.ports(); len(got) != 1 {
		t.Errorf("leased are %v, want one port", got)
	}
	f.recuperate(t)
	if got := f.ports(); len(got) != 0 {
		t.Errorf("leased are %v, want none", got)
	}
}

func TestPass(t *testing.T) {
	c := newClock()
	f := open(t, c.set)
	f.add(t, http)
	l := f.hold(t, "http", session("offer", time.Minute))
	to := lease.Holder{Kind: lease.Manual, Name: "web-01", Owner: "web"}
	var extra store.Batch
	extra.Put("offers/1", []byte("accepted"))
	got, err := f.Pass(t.Context(), l.ID, 1, to, extra)
	if err != nil || got.Holder != to || got.Generation != 2 || got.ID != l.ID {
		t.Fatalf("%+v, %v", got, err)
	}
	if e, err := f.store.Get(t.Context(), "offers/1"); err != nil || string(e.Value) != "accepted" {
		t.Errorf("its record: %q, %v", e.Value, err)
	}
	c.pass(time.Hour)
	f.recuperate(t)
	if now, err := f.Lease(l.ID); err != nil || now != got {
		t.Errorf("an hour later: %+v, %v", now, err)
	}
	late := f.hold(t, "http", session("offer", time.Minute))
	c.pass(time.Minute)
	if _, err := f.Pass(t.Context(), late.ID, 0, to, store.Batch{}); !errors.Is(err, lease.ErrLeaseNotFound) {
		t.Errorf("after its time: %v", err)
	}
}
