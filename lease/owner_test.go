package lease_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"berth/lease"
	"berth/store"
	"berth/store/storetest"
)

func owned(owner string) lease.Holder { return lease.Holder{Kind: lease.Manual, Owner: owner} }

// What an owner has of the same ranges is given up for what it gets, all or
// nothing; with Keep it is not.
func TestOwnerGivesUp(t *testing.T) {
	direct := func(port int) lease.Request { return lease.Request{Port: port, Holder: owned("a")} }
	of := func(name, owner string, n int) lease.Request {
		return lease.Request{Range: name, Count: n, Holder: owned(owner)}
	}
	keep := func(q lease.Request) lease.Request { q.Keep = true; return q }
	for _, tt := range []struct {
		name  string
		steps []lease.Request
		busy  []int
		want  []int // ports that are leased in the end, TCP and then UDP
		err   error // of the last step
	}{
		{"again", []lease.Request{of("http", "a", 1), of("http", "a", 1)}, nil, []int{20000}, nil},
		{"more", []lease.Request{of("http", "a", 1), of("http", "a", 4)}, nil, []int{20000, 20001, 20002, 20003}, nil},
		{"less", []lease.Request{of("http", "a", 4), of("http", "a", 1)}, nil, []int{20000}, nil},
		{"all of them again", []lease.Request{of("http", "a", 6), of("http", "a", 6)}, nil, []int{20000, 20001, 20002, 20003, 20004, 20005}, nil},
		{"kept", []lease.Request{of("http", "a", 2), keep(of("http", "a", 2))}, nil, []int{20000, 20001, 20002, 20003}, nil},
		{"kept, and then not", []lease.Request{of("http", "a", 1), keep(of("http", "a", 1)), of("http", "a", 2)}, nil, []int{20000, 20001}, nil},
		{"of another range", []lease.Request{of("http", "a", 1), of("rtp", "a", 1)}, nil, []int{20000, 20100}, nil},
		{"of another owner", []lease.Request{of("http", "a", 1), of("http", "b", 1), of("http", "a", 1)}, nil, []int{20000, 20001}, nil},
		{"too many", []lease.Request{of("http", "a", 3), of("http", "b", 1), of("http", "a", 6)}, nil, []int{20000, 20001, 20002, 20003}, lease.ErrRangeFull},
		{"what is bound still is not what it gets", []lease.Request{of("http", "a", 1), of("http", "a", 1)}, []int{20000}, []int{20001}, nil},
		{"what is bound still, and no other", []lease.Request{of("http", "a", 1), of("http", "b", 5), of("http", "a", 1)}, []int{20000}, []int{20000, 20001, 20002, 20003, 20004, 20005}, lease.ErrRangeFull},
		{"directly, of no range", []lease.Request{direct(20200), direct(20201)}, nil, []int{20201}, nil},
		{"directly, the same", []lease.Request{direct(20200), direct(20200)}, nil, []int{20200}, nil},
		{"directly, of a range", []lease.Request{of("http", "a", 2), direct(20001)}, nil, []int{20001}, nil},
		{"directly, bound still", []lease.Request{direct(20200), direct(20200)}, []int{20200}, []int{20200}, lease.ErrInUse},
		{"an unknown range", []lease.Request{of("http", "a", 1), of("ftp", "a", 1)}, nil, []int{20000}, lease.ErrRangeNotFound},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := open(t)
			f.add(t, http, rtp)
			var before []lease.Lease
			for i, q := range tt.steps {
				last := i == len(tt.steps)-1
				if last {
					before = f.Leases()
					for _, port := range tt.busy {
						f.net.occupy(lease.TCP, port, 1, "server")
					}
				}
				got, err := f.Acquire(t.Context(), q)
				if last && tt.err != nil {
					if !errors.Is(err, tt.err) {
						t.Fatalf("the last one: %v, %v, want %v", got, err, tt.err)
					}
					if after := f.Leases(); !slices.Equal(after, before) {
						t.Errorf("a refusal made %+v of %+v", after, before)
					}
					break
				}
				if err != nil {
					t.Fatalf("step %d: %v", i, err)
				}
				for _, l := range got {
					if slices.ContainsFunc(before, func(b lease.Lease) bool { return b.ID == l.ID }) {
						t.Errorf("lease %s was there before", l.ID)
					}
				}
			}
			if got := f.ports(); !slices.Equal(got, tt.want) {
				t.Errorf("leased are %v, want %v", got, tt.want)
			}
			if err := f.again(t).Check(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// A port that its owner gave up while something was bound to it is set aside.
func TestGivenUpPortIsSetAside(t *testing.T) {
	f := open(t)
	f.add(t, http)
	f.hold(t, "http", owned("a"))
	f.net.occupy(lease.TCP, 20000, 5, "server")
	f.hold(t, "http", owned("a"))
	s := f.status(t, "http")
	if len(s.SetAside) != 1 || s.SetAside[0].Port != 20000 || len(s.Active) != 1 || s.Active[0].Port != 20001 {
		t.Errorf("%+v", s)
	}
	f.net.vacate(lease.TCP, 20000)
	if err := f.RunOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := f.status(t, "http").Available; len(got) != 5 {
		t.Errorf("available are %v", got)
	}
}

// Aborting a plan, or refusing a port of it, leaves what the owner had.
func TestGivingUpIsTakenBack(t *testing.T) {
	f := open(t)
	f.add(t, lease.Range{Name: "two", Min: 20000, Max: 20001})
	had := f.hold(t, "two", owned("a"))
	q := lease.Request{Range: "two", Holder: owned("a")}
	p, err := f.Plan(t.Context(), []lease.Request{q})
	if err != nil || p.Leases()[0].Port != 20000 {
		t.Fatalf("%v, %v", p, err)
	}
	if err := f.Release(t.Context(), had.ID, 0); !errors.Is(err, lease.ErrLeaseChanged) {
		t.Errorf("released while it is given up: %v", err)
	}
	f.net.occupy(lease.TCP, 20000, 5, "fast")
	if err := f.Refuse(t.Context(), p, lease.TCP, 20000); err != nil || p.Leases()[0].Port != 20001 {
		t.Fatalf("refused: %v, %v", p.Leases(), err)
	}
	f.net.occupy(lease.TCP, 20001, 5, "fast")
	if err := f.Refuse(t.Context(), p, lease.TCP, 20001); !errors.Is(err, lease.ErrRangeFull) {
		t.Fatalf("refused again: %v", err)
	}
	if got := f.Leases(); !slices.Equal(got, []lease.Lease{had}) {
		t.Errorf("leased are %+v, want %+v", got, had)
	}
	f.net.vacate(lease.TCP, 20000)
	if p, err = f.Plan(t.Context(), []lease.Request{q}); err != nil {
		t.Fatal(err)
	}
	f.Abort(p)
	if got := f.Leases(); !slices.Equal(got, []lease.Lease{had}) {
		t.Errorf("after an abort leased are %+v, want %+v", got, had)
	}
	if err := f.Release(t.Context(), had.ID, 0); err != nil {
		t.Error(err)
	}
}

// Of many that acquire for one owner at the same time one comes after the other:
// in the end it has what the last one got.
func TestOneOwnerAtATime(t *testing.T) {
	f := open(t)
	f.add(t, http)
	var all sync.WaitGroup
	for i := range 24 {
		all.Go(func() {
			for range 5 {
				if _, err := f.Acquire(t.Context(), lease.Request{Range: "http", Count: 1 + i%3, Holder: owned("a")}); err != nil {
					t.Error(err)
				}
				if i%4 == 0 {
					for _, l := range f.ByOwner("a") {
						err := f.Release(t.Context(), l.ID, 0)
						if err != nil && !errors.Is(err, lease.ErrLeaseNotFound) && !errors.Is(err, lease.ErrLeaseChanged) {
							t.Error(err)
						}
					}
				}
			}
		})
	}
	all.Wait()
	l := f.hold(t, "http", owned("a"))
	if got := f.Leases(); !slices.Equal(got, []lease.Lease{l}) {
		t.Errorf("leased are %v, want %v", got, l)
	}
}

// TestHolders holds the manager against a map of who has what until when.
func TestHolders(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ctx := context.Background()
		c, st, net := newClock(), storetest.NewFaulty(storetest.NewMemory()), newNetwork(t)
		var m *lease.Manager
		reopen := func() {
			var err error
			if m, err = lease.Open(ctx, lease.Options{Store: st, Prober: net, Finder: net, Now: c.Now, Logger: slog.New(slog.DiscardHandler)}); err != nil {
				t.Fatal(err)
			}
		}
		reopen()
		ranges := []lease.Range{{Name: "a", Min: 10, Max: 14, Protocol: lease.TCP}, {Name: "b", Min: 20, Max: 22, Protocol: lease.UDP}}
		if err := m.AddRanges(ctx, ranges, lease.AddOptions{}); err != nil {
			t.Fatal(err)
		}
		live := map[lease.ID]lease.Lease{}
		grace := map[lease.ID]time.Time{} // not before this does it run out
		over := func(l lease.Lease) bool {
			return !l.Holder.Expires.IsZero() && !l.Holder.Expires.After(c.Now()) && !grace[l.ID].After(c.Now())
		}
		expire := func() {
			for id, l := range live {
				if over(l) {
					delete(live, id)
				}
			}
		}
		// read takes over what a commit of unknown outcome has led to.
		read := func() {
			if err := m.Settle(ctx); err != nil {
				t.Fatal(err)
			}
			clear(live)
			for _, l := range m.Leases() {
				live[l.ID] = l
			}
		}
		fault := func() storetest.Fault {
			f := rapid.SampledFrom([]storetest.Fault{0, 0, 0, storetest.UnknownApplied, storetest.UnknownLost}).Draw(t, "fault")
			if f != 0 {
				st.FailCommit(st.Commits()+1, f)
			}
			return f
		}
		some := func() lease.Lease {
			if len(live) == 0 {
				t.Skip("nothing is leased")
			}
			ids := slices.Sorted(maps.Keys(live))
			return live[ids[rapid.IntRange(0, len(ids)-1).Draw(t, "lease")]]
		}
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				if err := m.Check(ctx); err != nil {
					t.Fatal(err)
				}
				got := map[lease.ID]lease.Lease{}
				for _, l := range m.Leases() {
					if !over(l) {
						got[l.ID] = l
					}
				}
				want := maps.Clone(live)
				maps.DeleteFunc(want, func(_ lease.ID, l lease.Lease) bool { return over(l) })
				if !maps.Equal(got, want) {
					t.Fatalf("leased are %v, want %v", got, want)
				}
			},
			"acquire": func(t *rapid.T) {
				r := rapid.SampledFrom(ranges).Draw(t, "range")
				q := lease.Request{Range: r.Name, Count: rapid.IntRange(1, 3).Draw(t, "count"), Keep: rapid.Bool().Draw(t, "keep")}
				q.Holder = lease.Holder{Kind: lease.Manual, Owner: rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "owner")}
				if ttl := rapid.IntRange(0, 3).Draw(t, "ttl"); ttl > 0 {
					q.Holder.Kind, q.Holder.TTL = lease.Session, time.Duration(ttl)*time.Second
				}
				given := func(l lease.Lease) bool {
					return q.Holder.Owner != "" && !q.Keep && l.Holder.Owner == q.Holder.Owner && l.Range == r.Name
				}
				taken := map[int]bool{}
				for _, l := range live {
					if l.Range == r.Name && !given(l) {
						taken[l.Port] = true
					}
				}
				first := func() int {
					for port := r.Min; port+q.Count-1 <= r.Max; port++ {
						if isUntaken(taken, port, q.Count) {
							return port
						}
					}
					return 0
				}
				want := first()
				if want == 0 {
					// Those whose time has run out make room.
					for _, l := range live {
						if over(l) {
							delete(taken, l.Port)
						}
					}
					if want = first(); want != 0 || anyOver(live, over) {
						expire()
					}
				}
				f := fault()
				got, err := m.Acquire(ctx, q)
				st.FailCommit(st.Commits()+1, 0)
				switch {
				case f != 0 && (err == nil || errors.Is(err, store.ErrUnknown) || errors.Is(err, lease.ErrRangeFull)):
					read()
				case want == 0 && errors.Is(err, lease.ErrRangeFull):
				case want == 0 || err != nil || got[0].Port != want && !anyOver(live, over):
					t.Fatalf("%+v: %v, %v, want %d", q, got, err, want)
				default:
					maps.DeleteFunc(live, func(_ lease.ID, l lease.Lease) bool { return given(l) })
					for _, l := range got {
						live[l.ID] = l
					}
				}
			},
			"release": func(t *rapid.T) {
				l := some()
				f := fault()
				err := m.Release(ctx, l.ID, l.Generation)
				switch {
				case f != 0 && errors.Is(err, store.ErrUnknown):
					read()
				case f == 0 && err == nil:
					delete(live, l.ID)
				default:
					t.Fatalf("release %+v with fault %d: %v", l, f, err)
				}
			},
			"renew": func(t *rapid.T) {
				l := some()
				ended := over(l)
				f := storetest.Fault(0)
				if l.Holder.Kind == lease.Session && !ended {
					f = fault()
				}
				got, err := m.Renew(ctx, l.ID, l.Generation, 0)
				switch {
				case l.Holder.Kind != lease.Session && errors.Is(err, lease.ErrRequest):
				case ended && errors.Is(err, lease.ErrLeaseNotFound):
				case f != 0 && errors.Is(err, store.ErrUnknown):
					read()
				case f == 0 && err == nil && got.Generation == l.Generation+1 && got.Holder.Expires.Equal(c.Now().Add(l.Holder.TTL)):
					live[l.ID] = got
				default:
					t.Fatalf("renew %+v with fault %d: %+v, %v", l, f, got, err)
				}
			},
			"pass time": func(t *rapid.T) {
				c.pass(time.Duration(rapid.IntRange(1, 2000).Draw(t, "ms")) * time.Millisecond)
			},
			"recuperate": func(t *rapid.T) {
				if err := m.RecuperateOnce(ctx); err != nil {
					t.Fatal(err)
				}
				expire()
				if len(m.Leases()) != len(live) {
					t.Fatalf("leased are %v, want %v", m.Leases(), live)
				}
			},
			"open again": func(t *rapid.T) {
				reopen()
				for id, l := range live {
					grace[id] = c.Now().Add(min(l.Holder.TTL, time.Minute))
				}
			},
		})
	})
}

func isUntaken(taken map[int]bool, first, n int) bool {
	for port := first; port < first+n; port++ {
		if taken[port] {
			return false
		}
	}
	return true
}

func anyOver(live map[lease.ID]lease.Lease, over func(lease.Lease) bool) bool {
	for _, l := range live {
		if over(l) {
			return true
		}
	}
	return false
}
