package lease_test

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"berth/lease"
	"berth/store"
	"berth/store/storetest"
)

var shared = lease.Range{Name: "shared", Min: 20050, Max: 20055, Scope: lease.ClusterScope}

// hosts opens a manager for each host, all on one store.
func hosts(t *testing.T, names ...string) []*fixture {
	t.Helper()
	s := storetest.NewFaulty(storetest.NewMemory())
	first := open(t, func(o *lease.Options) { o.Store, o.Host = s, names[0] })
	first.store = s
	first.add(t, shared, http)
	list := []*fixture{first}
	for _, name := range names[1:] {
		f := open(t, func(o *lease.Options) { o.Store, o.Host = s, name })
		f.store = s
		list = append(list, f)
	}
	return list
}

func TestClusterRange(t *testing.T) {
	h := hosts(t, "a", "b")
	a, b := h[0], h[1]

	// A host's range is each host's own.
	if x, y := a.acquire(t, "http"), b.acquire(t, "http"); x[0].Port != 20000 || y[0].Port != 20000 || x[0].Host != "a" || y[0].Host != "b" {
		t.Errorf("%+v and %+v, want port 20000 on both", x, y)
	}

	// A port of the cluster's is lost to the host that was first.
	x := a.acquire(t, "shared", "shared")
	p := b.plan(t, "shared")
	if err := b.Commit(t.Context(), p, extra("processes/b/1")); !errors.Is(err, lease.ErrTaken) || !errors.Is(err, store.ErrConflict) {
		t.Errorf("%v, want ErrTaken", err)
	}
	y := b.acquire(t, "shared", "shared", "shared")
	if got := portsOf(y); !slices.Equal(got, []int{20052, 20053, 20054}) {
		t.Errorf("ports %v, want those that a does not have", got)
	}
	if b.has(t, "processes/b/1") {
		t.Error("the caller's record is there")
	}
	if s := b.status(t, "shared"); len(s.Active) != 5 || s.Active[0].Lease != x[0] || len(b.Leases()) != 4 {
		t.Errorf("%+v, want a's ports active, and %v b's", s, b.Leases())
	}
	if _, err := b.Lease(x[0].ID); !errors.Is(err, lease.ErrLeaseNotFound) {
		t.Errorf("another host's lease: %v", err)
	}

	// A start knows what the others have.
	c := open(t, func(o *lease.Options) { o.Store, o.Host = a.store, "c" })
	if got := c.acquirePort(t, "shared"); got != 20055 {
		t.Errorf("port %d, want 20055", got)
	}

	// What another host has let go of is found before giving up, or by the job.
	must(t, a.Release(t.Context(), x[1].ID, 0))
	if got := portsOf(c.acquire(t, "shared", "shared")); !slices.Equal(got, []int{20051, 20055}) {
		t.Errorf("ports %v, want 20051 and 20055", got)
	}
	must(t, a.Release(t.Context(), x[0].ID, 0))
	must(t, b.RunOnce(t.Context()))
	if s := b.status(t, "shared"); !slices.Equal(s.Available, []int{20050}) {
		t.Errorf("%+v, want 20050 available", s)
	}
	if _, err := a.Acquire(t.Context(), requests("shared", "shared")...); !errors.Is(err, lease.ErrRangeFull) {
		t.Errorf("two of one: %v", err)
	}
}

func TestClusterRace(t *testing.T) {
	h := hosts(t, "a", "b", "c")
	var mu sync.Mutex
	owner := make(map[int]string)
	var wait sync.WaitGroup
	for _, f := range h {
		for range 4 {
			wait.Go(func() {
				l, err := f.Acquire(t.Context(), requests("shared")...)
				if errors.Is(err, lease.ErrRangeFull) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				if other, ok := owner[l[0].Port]; ok {
					t.Errorf("port %d was leased by %s and %s", l[0].Port, other, l[0].Host)
				}
				owner[l[0].Port] = l[0].Host
			})
		}
	}
	wait.Wait()
	if len(owner) != shared.Len() {
		t.Errorf("%d ports were leased by twelve callers, want all %d: %v", len(owner), shared.Len(), owner)
	}
}

// TestLostToNobody: the key that was in the way is gone when it is read.
func TestLostToNobody(t *testing.T) {
	f := open(t)
	f.add(t, http)
	f.store.FailCommit(2, storetest.Conflict)
	if got := f.acquire(t, "http"); got[0].Port != 20000 {
		t.Errorf("%+v", got)
	}
}

// TestRecordIsChangedByOthers: somebody else has changed or removed a lease's
// record below the manager.
func TestRecordIsChangedByOthers(t *testing.T) {
	f := open(t)
	f.add(t, http)
	l := f.acquire(t, "http", "http", "http")
	put(t, f.store, l[0].Key(), l[0].Record())
	if err := f.Release(t.Context(), l[0].ID, 0); !errors.Is(err, lease.ErrLeaseChanged) {
		t.Errorf("changed: %v", err)
	}
	must(t, f.Release(t.Context(), l[0].ID, 0)) // it was read again
	var b store.Batch
	b.Delete(l[1].Key())
	_, err := f.store.Commit(t.Context(), b)
	must(t, err)
	if err := f.Release(t.Context(), l[1].ID, 0); !errors.Is(err, lease.ErrLeaseChanged) {
		t.Errorf("removed: %v", err)
	}
	if _, err := f.Lease(l[1].ID); !errors.Is(err, lease.ErrLeaseNotFound) {
		t.Errorf("removed: %v", err)
	}
	other := l[2]
	other.ID = "another"
	put(t, f.store, other.Key(), other.Record())
	if err := f.Release(t.Context(), l[2].ID, 0); !errors.Is(err, lease.ErrLeaseChanged) {
		t.Errorf("replaced: %v", err)
	}
	if got, err := f.Lease("another"); err != nil || got != other {
		t.Errorf("replaced: %+v, %v", got, err)
	}
}

// TestTwoRecordsOverOnePort: a host's lease whose range was deleted by force
// lies under the cluster's range, and another host leases the port from that.
func TestTwoRecordsOverOnePort(t *testing.T) {
	h := hosts(t, "a", "b")
	a, b := h[0], h[1]
	l := a.acquire(t, "http")[0]
	_, err := a.DeleteRanges(t.Context(), "http", true)
	must(t, err)
	a.add(t, lease.Range{Name: "over", Min: 20000, Max: 20001, Scope: lease.ClusterScope})
	if err := b.AddRanges(t.Context(), []lease.Range{{Name: "b", Min: 1, Max: 1}}, lease.AddOptions{}); err != nil {
		t.Fatal(err) // and so b has read the ranges again
	}
	if got := b.acquire(t, "over"); got[0].Port != 20000 {
		t.Fatalf("%+v, want port 20000, which is free on b", got)
	}
	a.died = true
	a = open(t, func(o *lease.Options) { o.Store, o.Host = b.store, "a" })
	if got, err := a.Lease(l.ID); err != nil || got != l {
		t.Errorf("%+v, %v, want %+v", got, err, l)
	}
	must(t, a.Release(t.Context(), l.ID, 0))
	if got := a.acquirePort(t, "over"); got != 20001 {
		t.Errorf("port %d, want 20001: b has 20000", got)
	}
	must(t, b.Release(t.Context(), b.Leases()[0].ID, 0))
	must(t, a.RunOnce(t.Context()))
	if got := a.acquirePort(t, "over"); got != 20000 {
		t.Errorf("port %d, want 20000", got)
	}
}
