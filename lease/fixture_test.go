package lease_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/lease"
	"berth/store"
	"berth/store/storetest"
)

// tester is what *testing.T and *rapid.T have in common.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

type portKey struct {
	protocol lease.Protocol
	port     int
}

// network is a Prober and Finder of ports that tests make busy. It complains
// about two probes of one port at the same time.
type network struct {
	t       tester
	mu      sync.Mutex
	busy    map[portKey]lease.Occupant
	silent  map[portKey]bool // busy, but nobody listens
	probing map[portKey]bool
	probes  map[portKey]int
	err     map[portKey]error
	during  func(lease.Protocol, int) // called while a port is probed
}

func newNetwork(t tester) *network {
	return &network{t: t, busy: make(map[portKey]lease.Occupant), silent: make(map[portKey]bool), probing: make(map[portKey]bool),
		probes: make(map[portKey]int), err: make(map[portKey]error)}
}

func (n *network) occupy(p lease.Protocol, port int, pid int, command string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.busy[portKey{p, port}] = lease.Occupant{PID: pid, Command: command}
}

func (n *network) vacate(p lease.Protocol, port int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.busy, portKey{p, port})
	delete(n.err, portKey{p, port})
}

func (n *network) fail(p lease.Protocol, port int, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.err[portKey{p, port}] = err
}

func (n *network) probed(p lease.Protocol, port int) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.probes[portKey{p, port}]
}

func (n *network) Probe(p lease.Protocol, port int) error {
	k := portKey{p, port}
	n.mu.Lock()
	if n.probing[k] {
		n.t.Errorf("%s port %d is probed twice at the same time", p, port)
	}
	n.probing[k] = true
	n.probes[k]++
	_, busy := n.busy[k]
	err := n.err[k]
	during := n.during
	n.mu.Unlock()
	if during != nil {
		during(p, port)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.probing, k)
	switch {
	case err != nil:
		return err
	case busy:
		return &lease.InUseError{Protocol: p, Port: port}
	}
	return nil
}

func (n *network) Find(p lease.Protocol, port int) (lease.Occupant, bool, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	k := portKey{p, port}
	who, busy := n.busy[k]
	return who, busy && !n.silent[k], nil
}

// fixture is a manager on a store in memory that can fail, and a network.
type fixture struct {
	*lease.Manager
	store *storetest.Faulty
	net   *network

	opened time.Time // as a test's clock has it

	died bool // as if its process had been killed: nothing holds for its memory
}

// open opens a manager, which is checked at the end of the test.
func open(t *testing.T, change ...func(*lease.Options)) *fixture {
	t.Helper()
	f := &fixture{store: storetest.NewFaulty(storetest.NewMemory()), net: newNetwork(t)}
	o := lease.Options{Store: f.store, Prober: f.net, Finder: f.net, Logger: slog.New(slog.DiscardHandler)}
	for _, c := range change {
		c(&o)
	}
	m, err := lease.Open(t.Context(), o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	f.Manager = m
	t.Cleanup(func() {
		if f.died {
			return
		}
		if err := m.Check(context.Background()); err != nil {
			t.Error(err)
		}
		if err := m.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return f
}

// again opens another manager on the same store, as a start after a crash of
// this one does.
func (f *fixture) again(t *testing.T, change ...func(*lease.Options)) *fixture {
	t.Helper()
	f.died = true
	return open(t, append([]func(*lease.Options){func(o *lease.Options) { o.Store = f.store }}, change...)...)
}

func (f *fixture) add(t *testing.T, ranges ...lease.Range) {
	t.Helper()
	if err := f.AddRanges(t.Context(), ranges, lease.AddOptions{}); err != nil {
		t.Fatalf("add ranges: %v", err)
	}
}

// acquire leases a port for each of the ranges.
func (f *fixture) acquire(t *testing.T, ranges ...string) []lease.Lease {
	t.Helper()
	leases, err := f.Acquire(t.Context(), requests(ranges...)...)
	if err != nil {
		t.Fatalf("acquire %v: %v", ranges, err)
	}
	return leases
}

func requests(ranges ...string) []lease.Request {
	list := make([]lease.Request, len(ranges))
	for i, name := range ranges {
		list[i] = lease.Request{Range: name, Holder: lease.Holder{Kind: lease.Manual, Name: fmt.Sprintf("%s-%d", name, i)}}
	}
	return list
}

func portsOf(leases []lease.Lease) []int {
	list := make([]int, len(leases))
	for i, l := range leases {
		list[i] = l.Port
	}
	return list
}

// status returns the status of the one range of that name.
func (f *fixture) status(t *testing.T, name string) lease.RangeStatus {
	t.Helper()
	list := f.Ranges(name)
	if len(list) != 1 {
		t.Fatalf("ranges %q: %d, want 1", name, len(list))
	}
	return list[0]
}

// logTo is a logger that writes to b.
func logTo(b *strings.Builder) *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

// put writes a record as another host or program would.
func put(t *testing.T, s store.Store, key string, value []byte) {
	t.Helper()
	var b store.Batch
	b.Put(key, value)
	if _, err := s.Commit(t.Context(), b); err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
}

var (
	http = lease.Range{Name: "http", Min: 20000, Max: 20005}
	rtp  = lease.Range{Name: "rtp", Min: 20100, Max: 20103, Protocol: lease.UDP}
)
