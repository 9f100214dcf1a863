package lease_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"berth/lease"
	"berth/store"
	"berth/store/storetest"
)

// plan plans a port of each of the ranges.
func (f *fixture) plan(t *testing.T, ranges ...string) *lease.Plan {
	t.Helper()
	p, err := f.Plan(t.Context(), requests(ranges...))
	if err != nil {
		t.Fatalf("plan %v: %v", ranges, err)
	}
	return p
}

// extra is a record of a caller.
func extra(key string) store.Batch {
	var b store.Batch
	b.IfAbsent(key)
	b.Put(key, []byte("x"))
	return b
}

func (f *fixture) has(t *testing.T, key string) bool {
	t.Helper()
	_, err := f.store.Get(t.Context(), key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

func TestPlanAbort(t *testing.T) {
	f := open(t)
	f.add(t, http)
	p := f.plan(t, "http", "http")
	if got := f.status(t, "http"); len(got.Active) != 2 || len(f.Leases()) != 0 {
		t.Errorf("planned: %+v, leases %v", got, f.Leases())
	}
	if got := f.acquire(t, "http"); got[0].Port != 20002 {
		t.Errorf("port %d beside a plan, want 20002", got[0].Port)
	}
	f.Abort(p)
	f.Abort(p)
	f.Abort(nil)
	if got := f.status(t, "http").Available; !slices.Equal(got, []int{20000, 20001, 20003, 20004, 20005}) {
		t.Errorf("available %v", got)
	}
	if err := f.Commit(t.Context(), p, store.Batch{}); !errors.Is(err, lease.ErrPlanDone) {
		t.Errorf("commit of an aborted plan: %v", err)
	}
	p = f.plan(t, "http")
	must(t, f.Commit(t.Context(), p, store.Batch{}))
	if err := f.Commit(t.Context(), p, store.Batch{}); !errors.Is(err, lease.ErrPlanDone) {
		t.Errorf("commit again: %v", err)
	}
	f.Abort(p) // of what is committed: nothing
	if _, err := f.Lease(p.Leases()[0].ID); err != nil {
		t.Error(err)
	}
}

func TestCommitWithRecords(t *testing.T) {
	f := open(t)
	f.add(t, http)
	p := f.plan(t, "http", "http")
	must(t, f.Commit(t.Context(), p, extra("processes/local/1")))
	if !f.has(t, "processes/local/1") {
		t.Error("the caller's record is not there")
	}

	// A condition of the caller that does not hold.
	p = f.plan(t, "http")
	err := f.Commit(t.Context(), p, extra("processes/local/1"))
	if !errors.Is(err, store.ErrConflict) || errors.Is(err, lease.ErrTaken) {
		t.Errorf("%v, want ErrConflict without ErrTaken", err)
	}
	var conflict *store.ConflictError
	if !errors.As(err, &conflict) || conflict.Key != "processes/local/1" {
		t.Errorf("%v does not name the key", err)
	}
	if got := f.status(t, "http").Available; !slices.Equal(got, []int{20002, 20003, 20004, 20005}) {
		t.Errorf("available %v", got)
	}

	// Below leases/ nobody else writes.
	var b store.Batch
	b.Put("leases/host-local/tcp/20003", nil)
	if err := f.Commit(t.Context(), f.plan(t, "http"), b); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("a caller's lease: %v", err)
	}
	if err := f.Recuperate(t.Context(), nil, b); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("a caller's lease: %v", err)
	}

	// No request: the records alone. Nothing at all: nothing.
	must(t, f.Commit(t.Context(), f.plan(t), extra("processes/local/2")))
	must(t, f.Commit(t.Context(), f.plan(t), store.Batch{}))
	must(t, f.Recuperate(t.Context(), nil, extra("processes/local/3")))
	must(t, f.Recuperate(t.Context(), nil, store.Batch{}))
	if !f.has(t, "processes/local/2") || !f.has(t, "processes/local/3") {
		t.Error("the caller's records are not there")
	}

	// The end of leases takes records along, or does not happen.
	ids := []lease.ID{f.Leases()[0].ID, f.Leases()[1].ID}
	if err := f.Recuperate(t.Context(), ids, extra("processes/local/1")); !errors.Is(err, store.ErrConflict) || errors.Is(err, lease.ErrLeaseChanged) {
		t.Errorf("%v, want ErrConflict", err)
	}
	if len(f.Leases()) != 2 {
		t.Errorf("leases %v", f.Leases())
	}
	var end store.Batch
	end.Delete("processes/local/1")
	must(t, f.Recuperate(t.Context(), append(ids, ids[0]), end))
	if len(f.Leases()) != 0 || f.has(t, "processes/local/1") {
		t.Errorf("leases %v, or the record is there", f.Leases())
	}
}

func TestByProcess(t *testing.T) {
	f := open(t)
	f.add(t, http, rtp)
	holder := lease.Holder{Kind: lease.Process, Process: 7}
	leases, err := f.Acquire(t.Context(), lease.Request{Range: "rtp", Holder: holder}, lease.Request{Range: "http", Holder: holder})
	must(t, err)
	f.acquire(t, "http")
	if got := f.ByProcess(7); !slices.Equal(got, leases) {
		t.Errorf("%v, want %v", got, leases)
	}
	if got := f.ByProcess(0); len(got) != 0 {
		t.Errorf("process 0: %v", got)
	}
	must(t, f.Release(t.Context(), leases[0].ID, 0))
	if got := f.ByProcess(7); !slices.Equal(got, leases[1:]) {
		t.Errorf("%v, want %v", got, leases[1:])
	}
	if leases[0].Holder.String() != "process 7" {
		t.Errorf("holder %s", leases[0].Holder)
	}
}

func TestReleaseErrors(t *testing.T) {
	f := open(t)
	f.add(t, http)
	l := f.acquire(t, "http")[0]
	if err := f.Release(t.Context(), "none", 0); !errors.Is(err, lease.ErrLeaseNotFound) || err.Error() != `there is no live lease "none"` {
		t.Errorf("unknown id: %v", err)
	}
	if err := f.Release(t.Context(), l.ID, 2); !errors.Is(err, lease.ErrLeaseChanged) {
		t.Errorf("another generation: %v", err)
	}
	if err := f.Recuperate(t.Context(), []lease.ID{l.ID, "none"}, store.Batch{}); !errors.Is(err, lease.ErrLeaseNotFound) {
		t.Errorf("one of two is unknown: %v", err)
	}
	if _, err := f.Lease(l.ID); err != nil {
		t.Errorf("after the refusals: %v", err)
	}
	must(t, f.Release(t.Context(), l.ID, 1))
	if err := f.Release(t.Context(), l.ID, 1); !errors.Is(err, lease.ErrLeaseNotFound) {
		t.Errorf("twice: %v", err)
	}
}

func TestReleaseWhileEnding(t *testing.T) {
	f := open(t)
	f.add(t, http)
	l := f.acquire(t, "http")[0]
	release := f.store.Block()
	done := make(chan error)
	go func() { done <- f.Recuperate(t.Context(), []lease.ID{l.ID}, store.Batch{}) }()
	must(t, f.store.AwaitBlocked(t.Context(), 1))
	if err := f.Release(t.Context(), l.ID, 0); !errors.Is(err, lease.ErrLeaseChanged) {
		t.Errorf("while it is ending: %v", err)
	}
	if got := f.acquirePort(t, "http"); got == l.Port {
		t.Errorf("port %d was leased before its lease had ended", got)
	}
	release()
	must(t, <-done)
}

// acquirePort plans a port and gives it back, so that a blocked store does no harm.
func (f *fixture) acquirePort(t *testing.T, name string) int {
	t.Helper()
	p := f.plan(t, name)
	defer f.Abort(p)
	return p.Leases()[0].Port
}

func TestUnknownCommit(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault storetest.Fault
		live  int
	}{{"applied", storetest.UnknownApplied, 2}, {"lost", storetest.UnknownLost, 0}} {
		t.Run(c.name, func(t *testing.T) {
			f := open(t)
			f.add(t, http)
			p := f.plan(t, "http", "http")
			f.store.FailCommit(f.store.Commits()+1, c.fault)
			if err := f.Commit(t.Context(), p, extra("processes/local/1")); !errors.Is(err, store.ErrUnknown) {
				t.Fatalf("%v, want ErrUnknown", err)
			}
			f.Abort(p) // is done, so that nothing is given back
			if got := f.acquirePort(t, "http"); got != 20002 {
				t.Errorf("port %d, want 20002: the ones before may be leased", got)
			}
			must(t, f.Settle(t.Context()))
			must(t, f.Settle(t.Context()))
			if len(f.Leases()) != c.live || f.has(t, "processes/local/1") != (c.live > 0) {
				t.Errorf("leases %v", f.Leases())
			}
			if got := f.acquirePort(t, "http"); got != 20000+c.live {
				t.Errorf("port %d, want %d", got, 20000+c.live)
			}
		})
	}
}

func TestUnknownAcquire(t *testing.T) {
	for _, fault := range []storetest.Fault{storetest.UnknownApplied, storetest.UnknownLost} {
		f := open(t)
		f.add(t, http)
		f.store.FailCommit(2, fault)
		leases := f.acquire(t, "http", "http")
		if !slices.Equal(f.Leases(), leases) || !slices.Equal(portsOf(leases), []int{20000, 20001}) {
			t.Errorf("got %v, leases %v", leases, f.Leases())
		}
	}
}

func TestUnknownEnd(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault storetest.Fault
		gone  bool
	}{{"applied", storetest.UnknownApplied, true}, {"lost", storetest.UnknownLost, false}} {
		t.Run(c.name, func(t *testing.T) {
			f := open(t)
			f.add(t, http)
			leases := f.acquire(t, "http", "http")
			f.net.occupy(lease.TCP, 20001, 5, "orphan")
			ids := []lease.ID{leases[0].ID, leases[1].ID}
			f.store.FailCommit(3, c.fault)
			if err := f.Recuperate(t.Context(), ids, store.Batch{}); !errors.Is(err, store.ErrUnknown) {
				t.Fatalf("%v, want ErrUnknown", err)
			}
			if got := f.acquirePort(t, "http"); got != 20002 {
				t.Errorf("port %d, want 20002: the ones before may be leased", got)
			}
			// What ends it again settles it first.
			switch err := f.Recuperate(t.Context(), ids, store.Batch{}); {
			case c.gone && !errors.Is(err, lease.ErrLeaseNotFound):
				t.Errorf("%v, want ErrLeaseNotFound", err)
			case !c.gone && err != nil:
				t.Error(err)
			}
			s := f.status(t, "http")
			if len(s.Active) != 0 || len(s.SetAside) != 1 || s.SetAside[0].PID != 5 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// TestUnknownEndOfUsedPort: what was bound to a port whose lease ended without an
// answer may be gone when the port is needed.
func TestUnknownEndOfUsedPort(t *testing.T) {
	f := open(t)
	f.add(t, lease.Range{Name: "one", Min: 20010, Max: 20010})
	held := f.acquire(t, "one")
	f.net.occupy(lease.TCP, 20010, 5, "orphan")
	f.store.FailCommit(3, storetest.UnknownApplied)
	if err := f.Recuperate(t.Context(), []lease.ID{held[0].ID}, store.Batch{}); !errors.Is(err, store.ErrUnknown) {
		t.Fatalf("%v, want ErrUnknown", err)
	}
	f.net.vacate(lease.TCP, 20010)
	if got := f.acquirePort(t, "one"); got != 20010 {
		t.Errorf("port %d", got)
	}
}

// TestUnknownWithoutReading: while the store cannot be read, nothing comes back.
func TestUnknownWithoutReading(t *testing.T) {
	f := open(t)
	f.add(t, lease.Range{Name: "one", Min: 20010, Max: 20010})
	p := f.plan(t, "one")
	f.store.FailCommit(2, storetest.UnknownLost)
	f.store.StopAfter(2)
	if err := f.Commit(t.Context(), p, store.Batch{}); err == nil {
		t.Fatal("committed")
	}
	for range 2 {
		if _, err := f.Plan(t.Context(), requests("one")); !errors.Is(err, lease.ErrRangeFull) {
			t.Errorf("%v, want ErrRangeFull", err)
		}
	}
	f.store.StopAfter(-1)
	if got := f.acquirePort(t, "one"); got != 20010 {
		t.Errorf("port %d", got)
	}
}

// TestClosedStore: a store that is closed has not applied anything.
func TestClosedStore(t *testing.T) {
	f := open(t)
	f.add(t, http)
	p := f.plan(t, "http")
	f.store.StopAfter(f.store.Commits())
	if err := f.Commit(t.Context(), p, store.Batch{}); !errors.Is(err, store.ErrClosed) {
		t.Errorf("%v, want ErrClosed", err)
	}
	f.store.StopAfter(-1)
	if got := f.status(t, "http"); len(got.Available) != 6 {
		t.Errorf("%+v, want all available", got)
	}
}

func TestContextEnds(t *testing.T) {
	f := open(t)
	f.add(t, http)
	ctx, cancel := context.WithCancel(t.Context())
	f.net.during = func(_ lease.Protocol, port int) {
		if port == 20002 {
			cancel()
		}
	}
	if _, err := f.Plan(ctx, requests("http", "http", "http", "http")); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want the context's error", err)
	}
	f.net.during = nil
	p := f.plan(t, "http")
	if err := f.Commit(ctx, p, store.Batch{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want the context's error", err)
	}
	if got := f.status(t, "http"); len(got.Available) != 6 {
		t.Errorf("%+v, want all available", got)
	}
}

// TestLargeCommit leases more ports at once than a batch holds.
func TestLargeCommit(t *testing.T) {
	wide := lease.Range{Name: "wide", Min: 20000, Max: 20999}
	many := slices.Repeat([]string{"wide"}, 300)
	t.Run("and ends them", func(t *testing.T) {
		f := open(t)
		f.add(t, wide)
		leases := f.acquire(t, many...)
		ids := make([]lease.ID, len(leases))
		for i, l := range leases {
			if ids[i] = l.ID; l.Port != 20000+i {
				t.Fatalf("lease %d has port %d", i, l.Port)
			}
		}
		must(t, f.Release(t.Context(), ids[0], 0))
		must(t, f.Recuperate(t.Context(), ids[1:], extra("processes/local/1")))
		if len(f.Leases()) != 0 {
			t.Errorf("%d leases", len(f.Leases()))
		}
	})
	for _, c := range []struct {
		name string
		nth  int // of the commits of the acquisition
	}{{"first chunk", 2}, {"third chunk", 4}, {"last chunk", 6}} {
		for name, fault := range map[string]storetest.Fault{"applied": storetest.UnknownApplied, "lost": storetest.UnknownLost} {
			t.Run(c.name+" "+name, func(t *testing.T) {
				f := open(t)
				f.add(t, wide)
				p := f.plan(t, many...)
				f.store.FailCommit(f.store.Commits()+c.nth, fault)
				if err := f.Commit(t.Context(), p, store.Batch{}); !errors.Is(err, store.ErrUnknown) {
					t.Fatalf("%v, want ErrUnknown", err)
				}
				if got := f.acquirePort(t, "wide"); got != 20300 {
					t.Errorf("port %d, want 20300", got)
				}
				must(t, f.Settle(t.Context()))
				if n := len(f.Leases()); n != 0 && n != 300 {
					t.Errorf("%d leases, want all or none", n)
				}
			})
		}
	}
	t.Run("and dies in between", func(t *testing.T) {
		for after := 1; after <= 6; after++ {
			f := open(t)
			f.add(t, wide)
			p := f.plan(t, many...)
			f.store.StopAfter(f.store.Commits() + after)
			err := f.Commit(t.Context(), p, store.Batch{})
			f.store.StopAfter(-1)
			g := f.again(t)
			n := len(g.Leases())
			if n != 0 && n != 300 || err == nil && n != 300 {
				t.Errorf("%d commits: %v, and %d leases afterwards, want all or none", after, err, n)
			}
		}
	})
}

func TestUnreadableRecords(t *testing.T) {
	s := storetest.NewMemory()
	put(t, s, "ranges/http", []byte(`{"min":20000,"max":20005,"protocol":"tcp","scope":"host"}`))
	put(t, s, "ranges/bad", []byte(`{`))
	put(t, s, "ranges/worse", []byte(`{"min":9,"max":8}`))
	put(t, s, "leases/host-local/tcp/20001", []byte("garbage"))
	put(t, s, "leases/host-local/tcp/x", nil)
	var log strings.Builder
	f := open(t, func(o *lease.Options) { o.Store = s; o.Logger = logTo(&log) })
	if got := f.names(); got != "http[20000 - 20005]" {
		t.Errorf("ranges %s", got)
	}
	for _, key := range []string{"leases/host-local/tcp/20001", "leases/host-local/tcp/x", "range=bad", "range=worse"} {
		if !strings.Contains(log.String(), key) {
			t.Errorf("the log does not tell of %s:\n%s", key, log.String())
		}
	}
	if got := portsOf(f.acquire(t, "http", "http")); !slices.Equal(got, []int{20000, 20002}) {
		t.Errorf("ports %v: the port of a record that cannot be read was leased", got)
	}
	if got := f.status(t, "http").SetAside; len(got) != 1 || got[0].Port != 20001 || got[0].Reason != "the record of its lease cannot be read" {
		t.Errorf("%+v", got)
	}
	must(t, f.RunOnce(t.Context()))
	if got := f.status(t, "http").SetAside; len(got) != 1 {
		t.Errorf("%+v after a recheck", got)
	}
	if err := f.AddRanges(t.Context(), []lease.Range{{Name: "bad", Min: 1, Max: 2}}, lease.AddOptions{}); !errors.Is(err, lease.ErrRangeExists) {
		t.Errorf("add a range whose record is bad: %v", err)
	}
	if _, err := f.Range("bad"); !errors.Is(err, lease.ErrRangeNotFound) {
		t.Errorf("range bad: %v", err)
	}
	if deleted, err := f.DeleteRanges(t.Context(), "bad", false); err != nil || len(deleted) != 1 {
		t.Errorf("%v, %v", deleted, err)
	}
	f.add(t, lease.Range{Name: "bad", Min: 1, Max: 2})
}

func TestClose(t *testing.T) {
	f := open(t)
	f.add(t, http)
	l := f.acquire(t, "http")[0]
	must(t, f.Close())
	must(t, f.Close())
	for name, err := range map[string]error{
		"release":    f.Release(t.Context(), l.ID, 0),
		"recuperate": f.Recuperate(t.Context(), []lease.ID{l.ID}, store.Batch{}),
		"add":        f.AddRanges(t.Context(), []lease.Range{rtp}, lease.AddOptions{}),
	} {
		if !errors.Is(err, lease.ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := f.Acquire(t.Context(), requests("http")...); !errors.Is(err, lease.ErrClosed) {
		t.Errorf("acquire: %v", err)
	}
	if len(f.Leases()) != 1 || len(f.Ranges("*")) != 1 {
		t.Error("what there is can be listed no more")
	}
}

func TestOpenErrors(t *testing.T) {
	if _, err := lease.Open(t.Context(), lease.Options{}); err == nil {
		t.Error("without a store")
	}
	if _, err := lease.Open(t.Context(), lease.Options{Store: storetest.NewMemory(), Host: "a/b"}); err == nil {
		t.Error("with a slash in the host")
	}
	s := storetest.NewMemory()
	must(t, s.Close())
	if _, err := lease.Open(t.Context(), lease.Options{Store: s}); !errors.Is(err, store.ErrClosed) {
		t.Errorf("with a closed store: %v", err)
	}
}
