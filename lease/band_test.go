package lease_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"berth/lease"
)

var banded = lease.Range{Name: "web", Min: 20000, Max: 20009, Static: 4}

// Static ports are leased to who names them, and to nobody else, in whatever way
// that asks.
func TestStaticPorts(t *testing.T) {
	me := lease.Holder{Kind: lease.Manual, Name: "me"}
	for name, c := range map[string]struct {
		requests []lease.Request
		want     []int
		fail     error
	}{
		"any":                     {requests: []lease.Request{{Range: "web"}}, want: []int{20004}},
		"by number":               {requests: []lease.Request{{Range: "web", Port: 20001}}, want: []int{20001}},
		"by number, directly":     {requests: []lease.Request{{Port: 20001}}, want: []int{20001}},
		"preferred":               {requests: []lease.Request{{Range: "web", Prefer: 20002}}, want: []int{20002}},
		"a block":                 {requests: []lease.Request{{Range: "web", Count: 5}}, want: []int{20004, 20005, 20006, 20007, 20008}},
		"a block by number":       {requests: []lease.Request{{Range: "web", Count: 3, Port: 20002}}, want: []int{20002, 20003, 20004}},
		"a block too large":       {requests: []lease.Request{{Range: "web", Count: 7}}, fail: lease.ErrRangeFull},
		"an interval of it":       {requests: []lease.Request{{Range: "web", Min: 20002, Max: 20007}}, want: []int{20004}},
		"an interval of static":   {requests: []lease.Request{{Range: "web", Min: 20000, Max: 20003}}, fail: lease.ErrRangeFull},
		"an interval, directly":   {requests: []lease.Request{{Min: 19999, Max: 20007, Count: 1}, {Min: 19999, Max: 20007}}, want: []int{19999, 20004}},
		"a block, directly":       {requests: []lease.Request{{Min: 19998, Max: 20007, Count: 3}}, want: []int{20004, 20005, 20006}},
		"static only, directly":   {requests: []lease.Request{{Min: 20000, Max: 20003}}, fail: lease.ErrRangeFull},
		"over the band of others": {requests: []lease.Request{{Min: 20003, Max: 20105, Count: 97}}, fail: lease.ErrRangeFull},
		"all that is open": {requests: []lease.Request{{Range: "web"}, {Range: "web"}, {Range: "web"}, {Range: "web"}, {Range: "web"}, {Range: "web"}},
			want: []int{20004, 20005, 20006, 20007, 20008, 20009}},
		"more than is open": {requests: []lease.Request{{Range: "web", Count: 6}, {Range: "web"}}, fail: lease.ErrRangeFull},
	} {
		t.Run(name, func(t *testing.T) {
			f := open(t)
			f.add(t, banded, lease.Range{Name: "more", Min: 20100, Max: 20109, Static: 2, Policy: lease.PolicyNext})
			for i := range c.requests {
				c.requests[i].Holder = me
			}
			got, err := f.Acquire(t.Context(), c.requests...)
			if !errors.Is(err, c.fail) || !slices.Equal(portsOf(got), c.want) {
				t.Errorf("%v, %v, want %v, %v", portsOf(got), err, c.want, c.fail)
			}
		})
	}
}

func TestStaticPortsAreTold(t *testing.T) {
	f := open(t)
	f.add(t, banded)
	f.acquire(t, "web", "web", "web", "web", "web", "web")
	for want, q := range map[string]lease.Request{
		"range web: all 6 ports are leased (besides 4 kept for pinned leases): 20004 by web-0":         {Range: "web"},
		"range web: 1 port wanted, and its ports 20001-20002 are kept for pinned leases":               {Range: "web", Min: 20001, Max: 20002},
		"tcp ports 20001-20004: its port is leased (besides 3 kept for pinned leases): 20004 by web-0": {Min: 20001, Max: 20004},
	} {
		if _, err := f.Acquire(t.Context(), q); !errors.Is(err, lease.ErrRangeFull) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if s := f.status(t, "web"); !slices.Equal(s.Available, []int{20000, 20001, 20002, 20003}) || s.Static != 4 {
		t.Errorf("%+v", s)
	}
	for port, want := range map[int]lease.PortState{20000: lease.PortAvailable, 20004: lease.PortLeased, 20010: lease.PortUnmanaged} {
		if got := f.Port(lease.TCP, port); got.State != want || got.Static != (port == 20000) || (got.Lease != nil) != (port == 20004) || (got.Range == nil) != (port == 20010) {
			t.Errorf("port %d: %+v", port, got)
		}
	}
}

// How many there are may change; what is leased of them stays leased.
func TestStaticPortsChange(t *testing.T) {
	f := open(t)
	f.add(t, lease.Range{Name: "web", Min: 20000, Max: 20009})
	f.acquire(t, "web")
	static := func(n int) lease.UpdateOptions { return lease.UpdateOptions{Static: &n} }
	u, err := f.UpdateRange(t.Context(), "web", static(9))
	if err != nil || u.Range.Static != 9 || u.Before.Static != 0 || len(f.Leases()) != 1 {
		t.Fatalf("%+v, %v", u, err)
	}
	if got := portsOf(f.acquire(t, "web")); got[0] != 20009 {
		t.Errorf("%v", got)
	}
	for n, want := range map[int]string{10: "10 static ports of its 10 ports would leave none for other leases", -1: "-1 static ports; the least is 0"} {
		if _, err := f.UpdateRange(t.Context(), "web", static(n)); !errors.Is(err, lease.ErrRangeInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%d: %v", n, err)
		}
	}
	// Nor can the bounds leave none.
	if _, err := f.UpdateRange(t.Context(), "web", lease.UpdateOptions{Max: 20008, Force: true}); !errors.Is(err, lease.ErrRangeInvalid) {
		t.Errorf("%v", err)
	}
	if _, err := f.UpdateRange(t.Context(), "web", static(0)); err != nil {
		t.Fatal(err)
	}
	if got := portsOf(f.acquire(t, "web")); got[0] != 20001 {
		t.Errorf("%v", got)
	}
}
