package lease_test

import (
	"slices"
	"testing"

	"berth/lease"
	"berth/store"
)

func TestPickers(t *testing.T) {
	for name, want := range map[string][]int{
		"":       {20000, 20000, 20001, 20002},
		"lowest": {20000, 20000, 20001, 20002},
		"next":   {20000, 20001, 20002, 20003, 20004, 20005, 20000},
	} {
		t.Run("strategy "+name, func(t *testing.T) {
			picker, err := lease.ParsePicker(name)
			must(t, err)
			f := open(t, func(o *lease.Options) { o.Picker = picker })
			f.add(t, http)
			var got []int
			for i := range want {
				l := f.acquire(t, "http")[0]
				got = append(got, l.Port)
				if i == 0 || name == "next" { // the first one comes back at once
					must(t, f.Recuperate(t.Context(), []lease.ID{l.ID}, store.Batch{}))
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("ports %v, want %v", got, want)
			}
		})
	}
	if _, err := lease.ParsePicker("best"); err == nil {
		t.Error("an unknown strategy was taken")
	}
}

// TestRandomPicksAll: every port is got in the end, each once, over the
// boundaries of the bitmap's words.
func TestRandomPicksAll(t *testing.T) {
	f := open(t, func(o *lease.Options) { o.Picker = lease.Random() })
	f.add(t, lease.Range{Name: "wide", Min: 20400, Max: 20600})
	ports := make([]int, 0, 201)
	for range 201 {
		ports = append(ports, f.acquire(t, "wide")[0].Port)
	}
	if slices.IsSorted(ports) {
		t.Error("201 random ports are in order")
	}
	slices.Sort(ports)
	if len(slices.Compact(ports)) != 201 || ports[0] != 20400 || ports[200] != 20600 {
		t.Errorf("ports %v", ports)
	}
}

// TestWholeProtocol leases the first and the last port and the ones at the
// boundaries of the bitmap's levels.
func TestWholeProtocol(t *testing.T) {
	f := open(t)
	for _, port := range []int{1, 63, 64, 4095, 4096, 61439, 61440, 65471, 65472, 65535} {
		name := "p" + string(rune('a'+len(f.Leases())))
		f.add(t, lease.Range{Name: name, Min: port, Max: port})
		if got := f.acquire(t, name)[0].Port; got != port {
			t.Errorf("port %d, want %d", got, port)
		}
	}
	_, err := f.DeleteRanges(t.Context(), "*", true)
	must(t, err)
	f.add(t, lease.Range{Name: "all", Min: 1, Max: 65535})
	if s := f.status(t, "all"); len(s.Available) != 65525 || len(s.Active) != 10 || s.Available[0] != 2 || s.Available[65524] != 65534 {
		t.Errorf("%d available, %d active", len(s.Available), len(s.Active))
	}
}
