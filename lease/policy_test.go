package lease_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"berth/lease"
	"berth/store"
)

// Each range is picked from by its own policy, and one that has none by the
// manager's.
func TestPolicies(t *testing.T) {
	f := open(t)
	f.add(t, lease.Range{Name: "low", Min: 20000, Max: 20003, Policy: "LOWEST"}, lease.Range{Name: "next", Min: 20010, Max: 20013, Policy: lease.PolicyNext},
		lease.Range{Name: "any", Min: 20020, Max: 20220, Policy: lease.PolicyRandom}, lease.Range{Name: "plain", Min: 20300, Max: 20303})
	again := func(name string, n int) (ports []int) {
		for range n {
			l := f.acquire(t, name)[0]
			ports = append(ports, l.Port)
			must(t, f.Release(t.Context(), l.ID, 0))
		}
		return ports
	}
	for name, want := range map[string][]int{
		"low":   {20000, 20000, 20000},
		"next":  {20010, 20011, 20012, 20013, 20010},
		"plain": {20300, 20300, 20300},
	} {
		if got := again(name, len(want)); !slices.Equal(got, want) {
			t.Errorf("range %s: ports %v, want %v", name, got, want)
		}
	}
	if got := again("any", 201); slices.IsSorted(got) || len(slices.Compact(slices.Sorted(slices.Values(got)))) < 20 {
		t.Errorf("201 random ports of 201: %v", got)
	}
	if got := f.status(t, "low").Policy; got != lease.PolicyLowest {
		t.Errorf("policy %q", got)
	}
	err := f.AddRanges(t.Context(), []lease.Range{{Name: "best", Min: 1, Max: 2, Policy: "best"}}, lease.AddOptions{})
	if !errors.Is(err, lease.ErrRangeInvalid) || !strings.Contains(err.Error(), `policy "best" is not known; it is lowest, next or random`) {
		t.Errorf("an unknown policy: %v", err)
	}
}

// The next one goes on where it was after a start, also where nothing is leased
// any more, until the policy is another one.
func TestNextGoesOn(t *testing.T) {
	f := open(t)
	f.add(t, lease.Range{Name: "next", Min: 20010, Max: 20019, Policy: lease.PolicyNext}, lease.Range{Name: "dns", Min: 20010, Max: 20019, Protocol: lease.UDP, Policy: lease.PolicyNext})
	var ids []lease.ID
	for _, l := range f.acquire(t, "next", "next", "next", "dns") {
		ids = append(ids, l.ID)
	}
	must(t, f.Recuperate(t.Context(), ids, store.Batch{}))
	f = reborn(t, f)
	if got := portsOf(f.acquire(t, "next", "dns")); !slices.Equal(got, []int{20013, 20011}) {
		t.Errorf("after a start: %v", got)
	}
	if _, err := f.UpdateRange(t.Context(), "next", lease.UpdateOptions{Policy: lease.PolicyLowest}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.UpdateRange(t.Context(), "next", lease.UpdateOptions{Policy: lease.PolicyNext}); err != nil {
		t.Fatal(err)
	}
	f = reborn(t, f)
	if got := portsOf(f.acquire(t, "next", "dns")); !slices.Equal(got, []int{20010, 20012}) {
		t.Errorf("after another policy: %v", got)
	}
	// One that is gone leaves nothing behind.
	if _, err := f.DeleteRanges(t.Context(), "*", true); err != nil {
		t.Fatal(err)
	}
	if left, _, err := f.store.List(t.Context(), "places/"); err != nil || len(left) != 0 {
		t.Errorf("places %v, %v", left, err)
	}
	// What cannot be read begins anew.
	put(t, f.store, "places/local/odd", []byte("x"))
	put(t, f.store, "ranges/odd", []byte(`{"min":20030,"max":20031,"protocol":"tcp","scope":"host","policy":"next"}`))
	f = reborn(t, f)
	if got := portsOf(f.acquire(t, "odd")); got[0] != 20030 {
		t.Errorf("with a place that cannot be read: %v", got)
	}
}

// What an older program has written is read as it was.
func TestOldRangeRecord(t *testing.T) {
	f := open(t)
	put(t, f.store, "ranges/old", []byte(`{"min":20030,"max":20031,"protocol":"tcp","scope":"host"}`))
	f = reborn(t, f)
	if got, want := f.status(t, "old").Range, (lease.Range{Name: "old", Min: 20030, Max: 20031, Protocol: lease.TCP, Scope: lease.HostScope}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	// Policy, static ports and kind go through an archive.
	wanted := []lease.Range{
		{Name: "eph", Protocol: lease.UDP, Scope: lease.HostScope, Ephemeral: true},
		{Name: "old", Min: 20030, Max: 20031, Protocol: lease.TCP, Scope: lease.HostScope},
		{Name: "web", Min: 20040, Max: 20049, Protocol: lease.TCP, Scope: lease.HostScope, Policy: lease.PolicyNext, Static: 3},
	}
	f.add(t, wanted[0], wanted[2])
	kept, err := f.Archive(t.Context(), "r")
	if err != nil || !slices.Equal(kept, wanted) {
		t.Fatalf("%+v, %v", kept, err)
	}
	if _, err := f.DeleteRanges(t.Context(), "*", false); err != nil {
		t.Fatal(err)
	}
	if back, err := f.Unarchive(t.Context(), "r"); err != nil || !slices.Equal(back, wanted) {
		t.Errorf("%+v, %v", back, err)
	}
	f = reborn(t, f)
	if _, err := f.Unarchive(t.Context(), "r"); err != nil {
		t.Error(err)
	}
}

// reborn is a manager after a crash of this one, on the same store, which it goes
// by again.
func reborn(t *testing.T, f *fixture) *fixture {
	t.Helper()
	s := f.store
	f = f.again(t)
	f.store = s
	return f
}
