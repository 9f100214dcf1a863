package lease_test

import (
	"errors"
	"slices"
	"testing"

	"berth/lease"
	"berth/store"
)

// Leases that were lost are made again on their own ports, all or none, and
// never over another one.
func TestPlanRestored(t *testing.T) {
	f := open(t)
	f.add(t, http) // 20000 to 20005
	f.net.occupy(lease.TCP, 20000, 77, "the holder")
	other := f.acquire(t, "http")[0] // 20000 is set aside now
	lost := func(id lease.ID, port int) lease.Lease {
		return lease.Lease{ID: id, Range: "http", Protocol: lease.TCP, Port: port, Holder: lease.Holder{Kind: lease.Process, Process: 9}}
	}
	elsewhere := lease.Lease{ID: "udp", Range: "gone", Protocol: lease.UDP, Port: 20000, Holder: lease.Holder{Process: 9}}

	var held *lease.HeldError
	if _, err := f.PlanRestored([]lease.Lease{lost("a", 20004), lost("b", other.Port)}); !errors.As(err, &held) || held.Port != other.Port {
		t.Errorf("over another lease: %v", err)
	}
	for _, bad := range [][]lease.Lease{
		{lost("a", 20004), lost("b", 20004)}, {lost("a", 0)}, {lost("a", 65536)}, {{Range: "http", Port: 20004}}, {{Range: "a/b", Protocol: lease.TCP, Port: 20004}},
	} {
		if _, err := f.PlanRestored(bad); !errors.Is(err, lease.ErrRangeInvalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}

	plan, err := f.PlanRestored([]lease.Lease{lost("a", 20000), lost(other.ID, 20004), lost("a", 20003), elsewhere})
	if err != nil {
		t.Fatal(err)
	}
	must(t, f.Commit(t.Context(), plan, store.Batch{}))
	made := plan.Leases()
	if made[0].ID != "a" || made[1].ID == other.ID || made[2].ID == "a" || made[3].ID != "udp" || made[3].Range != "gone" {
		t.Errorf("made are %+v", made)
	}
	if got := portsOf(f.ByProcess(9)); !slices.Equal(got, []int{20000, 20004, 20003, 20000}) {
		t.Errorf("it has %v", got)
	}
	if got := portsOf(f.acquire(t, "http", "http")); !slices.Equal(got, []int{20002, 20005}) {
		t.Errorf("leased after that are %v", got)
	}

	// Given up, they are nobody's.
	must(t, f.Release(t.Context(), made[2].ID, 0))
	plan, err = f.PlanRestored([]lease.Lease{lost("c", 20003)})
	if err != nil {
		t.Fatal(err)
	}
	f.Abort(plan)
	if got := portsOf(f.acquire(t, "http")); !slices.Equal(got, []int{20003}) {
		t.Errorf("leased after that are %v", got)
	}
}
