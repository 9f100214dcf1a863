package lease_test

import (
	"errors"
	"slices"
	"testing"

	"berth/lease"
	"berth/store"
	"berth/store/storetest"
)

func always(lease.Lease, lease.SetAside) bool { return true }

// oneEach asks for another port of its range in place of each lease.
func oneEach(leases []lease.Lease) (list []lease.Replacement) {
	for _, l := range leases {
		list = append(list, lease.Replacement{
			IDs: []lease.ID{l.ID}, Request: lease.Request{Range: l.Range, Protocol: l.Protocol, Holder: l.Holder},
		})
	}
	return list
}

func TestPlanInsteadOfWhatWasTaken(t *testing.T) {
	f := open(t)
	f.add(t, http)
	held := f.acquire(t, "http", "http", "http")
	f.net.occupy(lease.TCP, 20001, 77, "nginx")
	p, err := f.PlanInstead(t.Context(), oneEach(held), always)
	must(t, err)

	// Until the commit both ports are nobody else's.
	if got := f.status(t, "http"); !slices.Equal(got.Available, []int{20004, 20005}) || len(got.Active) != 4 {
		t.Errorf("planned: %+v", got)
	}
	if err := f.Release(t.Context(), held[1].ID, 0); !errors.Is(err, lease.ErrLeaseChanged) {
		t.Errorf("release of a lease that is being replaced: %v", err)
	}
	var records store.Batch
	records.Put("processes/local/1", []byte("moved"))
	must(t, f.Commit(t.Context(), p, records))

	made := p.Instead()
	now := made[held[1].ID]
	if len(made) != 1 || now.Port != 20003 || now.Range != "http" || now.Holder != held[1].Holder || now.ID == held[1].ID {
		t.Errorf("made %+v", made)
	}
	if _, err := f.Lease(held[1].ID); !errors.Is(err, lease.ErrLeaseNotFound) {
		t.Errorf("the lost lease: %v", err)
	}
	if got := portsOf(f.Leases()); !slices.Equal(got, []int{20000, 20002, 20003}) {
		t.Errorf("leased are %v", got)
	}
	aside := f.status(t, "http").SetAside
	if len(aside) != 1 || aside[0].Port != 20001 || aside[0].PID != 77 || aside[0].Command != "nginx" {
		t.Errorf("set aside: %+v", aside)
	}
	if e, err := f.store.Get(t.Context(), "processes/local/1"); err != nil || string(e.Value) != "moved" {
		t.Errorf("the caller's record: %q, %v", e.Value, err)
	}
	if got := portsOf(f.again(t).Leases()); !slices.Equal(got, []int{20000, 20002, 20003}) {
		t.Errorf("a new start has %v", got)
	}
}

func TestPlanInsteadChangesNothing(t *testing.T) {
	tests := []struct {
		name  string
		taken func(lease.Lease, lease.SetAside) bool
		busy  []int
		full  bool
		fails error
	}{
		{name: "where every port can be bound", taken: always},
		{name: "where who is bound has the right to it", busy: []int{20000}, taken: func(_ lease.Lease, s lease.SetAside) bool { return s.PID != 77 }},
		{name: "where the range has no other port", busy: []int{20000}, taken: always, full: true, fails: lease.ErrRangeFull},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := open(t)
			f.add(t, http)
			held := f.acquire(t, "http", "http")
			if test.full {
				f.acquire(t, "http", "http", "http", "http")
			}
			before := f.Leases()
			for _, port := range test.busy {
				f.net.occupy(lease.TCP, port, 77, "nginx")
			}
			p, err := f.PlanInstead(t.Context(), oneEach(held), test.taken)
			if p != nil || !errors.Is(err, test.fails) {
				t.Errorf("%+v, %v, want %v", p, err, test.fails)
			}
			if got := f.Leases(); !slices.Equal(got, before) {
				t.Errorf("leases %v, before %v", got, before)
			}
			for _, l := range held { // they can be ended as ever
				must(t, f.Release(t.Context(), l.ID, 1))
			}
		})
	}
	t.Run("where it is aborted", func(t *testing.T) {
		f := open(t)
		f.add(t, http)
		held := f.acquire(t, "http", "http")
		f.net.occupy(lease.TCP, 20000, 77, "nginx")
		p, err := f.PlanInstead(t.Context(), oneEach(held), always)
		must(t, err)
		f.Abort(p)
		f.Abort(p)
		if got := f.status(t, "http"); len(got.SetAside) != 0 || !slices.Equal(got.Available, []int{20002, 20003, 20004, 20005}) {
			t.Errorf("%+v", got)
		}
		must(t, f.Release(t.Context(), held[0].ID, 1))
	})
}

// All or nothing, whatever the store does with the commit.
func TestPlanInsteadThatFails(t *testing.T) {
	tests := []struct {
		name  string
		fault storetest.Fault
		is    error
		moved bool
	}{
		{"a condition of the caller's does not hold", 0, store.ErrConflict, false},
		{"unknown and written", storetest.UnknownApplied, store.ErrUnknown, true},
		{"unknown and lost", storetest.UnknownLost, store.ErrUnknown, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := open(t)
			f.add(t, http)
			held := f.acquire(t, "http", "http")
			f.net.occupy(lease.TCP, 20000, 77, "nginx")
			p, err := f.PlanInstead(t.Context(), oneEach(held), always)
			must(t, err)
			var records store.Batch
			if test.fault == 0 {
				records.If("processes/local/1", 99)
			} else {
				f.store.FailCommit(f.store.Commits()+1, test.fault)
			}
			records.Put("processes/local/1", []byte("moved"))
			if err := f.Commit(t.Context(), p, records); !errors.Is(err, test.is) {
				t.Fatalf("%v, want %v", err, test.is)
			}
			if test.fault != 0 {
				if got := f.status(t, "http"); len(got.Active) != 3 {
					t.Errorf("before it is known: %+v", got)
				}
				must(t, f.Settle(t.Context()))
			}
			want, aside := []int{20000, 20001}, 0
			if test.moved {
				want, aside = []int{20001, 20002}, 1
			}
			if got := portsOf(f.Leases()); !slices.Equal(got, want) {
				t.Errorf("leased are %v, want %v", got, want)
			}
			if got := f.status(t, "http").SetAside; len(got) != aside {
				t.Errorf("set aside: %+v", got)
			}
		})
	}
	t.Run("a lost lease was changed by somebody else", func(t *testing.T) {
		f := open(t)
		f.add(t, http)
		held := f.acquire(t, "http")
		f.net.occupy(lease.TCP, 20000, 77, "nginx")
		p, err := f.PlanInstead(t.Context(), oneEach(held), always)
		must(t, err)
		e, err := f.store.Get(t.Context(), held[0].Key())
		must(t, err)
		put(t, f.store, e.Key, e.Value)
		if err := f.Commit(t.Context(), p, store.Batch{}); !errors.Is(err, lease.ErrLeaseChanged) {
			t.Errorf("%v", err)
		}
		if got := portsOf(f.Leases()); !slices.Equal(got, []int{20000}) {
			t.Errorf("leased are %v", got)
		}
	})
}
