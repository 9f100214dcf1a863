package lease_test

import (
	"errors"
	"slices"
	"testing"

	"berth/lease"
	"berth/store/storetest"
)

func TestUpdateRange(t *testing.T) {
	tests := []struct {
		name  string
		o     lease.UpdateOptions
		want  string // bounds
		out   []int
		is    error
		fails string
	}{
		{name: "wider", o: lease.UpdateOptions{Min: 19990, Max: 20010}, want: "[19990 - 20010]"},
		{name: "one bound", o: lease.UpdateOptions{Max: 20003}, want: "[20000 - 20003]"},
		{name: "the other bound", o: lease.UpdateOptions{Min: 19999}, want: "[19999 - 20005]"},
		{name: "as it was", o: lease.UpdateOptions{Min: 20000}, want: "[20000 - 20005]"},
		{name: "up to its neighbour", o: lease.UpdateOptions{Max: 20049}, want: "[20000 - 20049]"},
		{name: "over its neighbour", o: lease.UpdateOptions{Max: 20050}, is: lease.ErrRangeOverlaps, fails: `range "http" [20000 - 20050] overlaps range "next" [20050 - 20059]`},
		{name: "into one of UDP, by force", o: lease.UpdateOptions{Min: 20004, Max: 20005, Force: true}, want: "[20004 - 20005]", out: []int{20000, 20001}},
		{name: "leases would fall out", o: lease.UpdateOptions{Min: 20001}, is: lease.ErrRangeLeased, fails: "range http has live leases: 20000 by http-0; with force they live on outside of it"},
		{name: "elsewhere, by force", o: lease.UpdateOptions{Min: 21000, Max: 21001, Force: true}, want: "[21000 - 21001]", out: []int{20000, 20001}},
		{name: "turned round", o: lease.UpdateOptions{Max: 19999}, is: lease.ErrRangeInvalid, fails: `range "http": max 19999 is below min 20000`},
		{name: "no port", o: lease.UpdateOptions{Max: 65536}, is: lease.ErrRangeInvalid, fails: `range "http": port 65536 is outside 1 to 65535`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := open(t)
			f.add(t, http, lease.Range{Name: "next", Min: 20050, Max: 20059}, lease.Range{Name: "udp", Min: 20004, Max: 20009, Protocol: lease.UDP})
			before := f.acquire(t, "http", "http")
			u, err := f.UpdateRange(t.Context(), "http", test.o)
			if test.fails != "" {
				if !errors.Is(err, test.is) || err.Error() != test.fails {
					t.Errorf("error\n %v\nwant\n %s", err, test.fails)
				}
				if r := f.status(t, "http").Range; r.String() != "[20000 - 20005]" {
					t.Errorf("the range is %v after a refusal", r)
				}
				return
			}
			must(t, err)
			var out []int
			for _, a := range u.Outside {
				out = append(out, a.Port)
			}
			if u.Range.String() != test.want || u.Before.String() != "[20000 - 20005]" || !slices.Equal(out, test.out) {
				t.Errorf("%+v, want %s, %v outside", u, test.want, test.out)
			}
			again := f.again(t)
			if s := again.status(t, "http"); s.Range != u.Range || len(s.Active)+len(out) != 2 || len(s.Available)+len(s.Active) != s.Len() {
				t.Errorf("a new start has %+v", s)
			}
			if got := again.Leases(); !slices.Equal(got, before) {
				t.Errorf("leases %v, before %v", got, before)
			}
		})
	}
	f := open(t)
	if _, err := f.UpdateRange(t.Context(), "http", lease.UpdateOptions{Max: 1}); !errors.Is(err, lease.ErrRangeNotFound) {
		t.Errorf("of no range: %v", err)
	}
}

// While a range is made smaller, what stays of it can be leased, and what goes
// cannot.
func TestAcquireDuringUpdate(t *testing.T) {
	for _, test := range []struct {
		to   lease.UpdateOptions
		want []int
	}{
		{lease.UpdateOptions{Min: 20003}, []int{20003}},
		{lease.UpdateOptions{Max: 20003}, []int{20000}},
		{lease.UpdateOptions{Min: 30000, Max: 30005}, nil},
	} {
		f := open(t)
		f.add(t, http)
		release := f.store.Block()
		done := make(chan error)
		go func() {
			_, err := f.UpdateRange(t.Context(), "http", test.to)
			done <- err
		}()
		must(t, f.store.AwaitBlocked(t.Context(), 1))
		var during []int
		p, refused := f.Plan(t.Context(), requests("http"))
		if refused == nil {
			during = portsOf(p.Leases())
			f.Abort(p)
		}
		release()
		must(t, <-done)
		if !slices.Equal(during, test.want) || test.want == nil && !errors.Is(refused, lease.ErrRangeNotFound) {
			t.Errorf("%+v: leased meanwhile %v, %v, want %v", test.to, during, refused, test.want)
		}
	}
}

func TestUpdateOfUnknownOutcome(t *testing.T) {
	for fault, want := range map[storetest.Fault]string{storetest.UnknownApplied: "[20000 - 20009]", storetest.UnknownLost: "[20000 - 20005]"} {
		f := open(t)
		f.add(t, http)
		f.store.FailCommit(f.store.Commits()+1, fault)
		_, err := f.UpdateRange(t.Context(), "http", lease.UpdateOptions{Max: 20009})
		if (err == nil) != (fault == storetest.UnknownApplied) {
			t.Errorf("fault %d: %v", fault, err)
		}
		if got := f.status(t, "http").Range.String(); got != want {
			t.Errorf("fault %d: %s, want %s", fault, got, want)
		}
	}
}
