package lease_test

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"berth/lease"
	"berth/store"
	"berth/store/storetest"
)

func names(ranges []lease.Range) string {
	var list []string
	for _, r := range ranges {
		list = append(list, r.Name+r.String())
	}
	return strings.Join(list, " ")
}

func (f *fixture) names() string {
	var list []lease.Range
	for _, s := range f.Ranges("*") {
		list = append(list, s.Range)
	}
	return names(list)
}

func TestAddRangesRefusals(t *testing.T) {
	for _, c := range []struct {
		name   string
		add    []lease.Range
		is     error
		reason string
	}{
		{"not valid", []lease.Range{{Name: "x", Min: 1, Max: 1}, {Name: "y", Min: 2, Max: 1}}, lease.ErrRangeInvalid, `range "y": max 1 is below min 2`},
		{"given twice", []lease.Range{{Name: "x", Min: 1, Max: 1}, {Name: "x", Min: 2, Max: 2}}, lease.ErrRangeInvalid, `range "x" is given twice`},
		{"name is there", []lease.Range{{Name: "x", Min: 1, Max: 1}, {Name: "http", Min: 2, Max: 2}}, lease.ErrRangeExists,
			`range "http" exists already, as tcp [20000 - 20005]; delete it first or choose another name`},
		{"overlaps one that is there", []lease.Range{{Name: "x", Min: 1, Max: 1}, {Name: "y", Min: 20005, Max: 20010}}, lease.ErrRangeOverlaps,
			`range "y" [20005 - 20010] overlaps range "http" [20000 - 20005]`},
		{"overlaps from below", []lease.Range{{Name: "y", Min: 100, Max: 20000}}, lease.ErrRangeOverlaps,
			`range "y" [100 - 20000] overlaps range "http" [20000 - 20005]`},
		{"around one that is there", []lease.Range{{Name: "y", Min: 100, Max: 30000}}, lease.ErrRangeOverlaps,
			`range "y" [100 - 30000] overlaps range "http" [20000 - 20005]`},
		{"overlaps one of another scope", []lease.Range{{Name: "y", Min: 20005, Max: 20005, Scope: lease.ClusterScope}}, lease.ErrRangeOverlaps,
			`range "y" [20005 - 20005] overlaps range "http" [20000 - 20005]`},
		{"overlap each other", []lease.Range{{Name: "x", Min: 5, Max: 10}, {Name: "y", Min: 10, Max: 12}}, lease.ErrRangeOverlaps,
			`range "y" [10 - 12] overlaps range "x" [5 - 10]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := open(t)
			f.add(t, http, rtp)
			err := f.AddRanges(t.Context(), c.add, lease.AddOptions{})
			if !errors.Is(err, c.is) || err.Error() != c.reason {
				t.Errorf("%v, want %v: %s", err, c.is, c.reason)
			}
			if got := f.names(); got != "http[20000 - 20005] rtp[20100 - 20103]" {
				t.Errorf("ranges %s afterwards", got)
			}
		})
	}
}

func TestAddRangesNeighbours(t *testing.T) {
	f := open(t)
	f.add(t, http, lease.Range{Name: "above", Min: 20006, Max: 20010}, lease.Range{Name: "below", Min: 19999, Max: 19999})
	f.add(t, lease.Range{Name: "udp", Min: 20000, Max: 20005, Protocol: lease.UDP})
	if _, err := f.Acquire(t.Context(), lease.Request{Range: "udp", Protocol: lease.TCP}); !errors.Is(err, lease.ErrProtocol) {
		t.Errorf("a TCP port of a UDP range: %v", err)
	}
	tcp, udp := f.acquire(t, "http"), f.acquire(t, "udp")
	if tcp[0].Port != 20000 || udp[0].Port != 20000 || udp[0].Protocol != lease.UDP {
		t.Errorf("%+v and %+v, want both protocols' port 20000", tcp, udp)
	}
}

func TestRangesSurvive(t *testing.T) {
	f := open(t)
	f.add(t, http, rtp, lease.Range{Name: "c", Min: 1, Max: 2, Scope: lease.ClusterScope})
	leases := f.acquire(t, "http", "rtp", "c")
	g := f.again(t)
	if got, want := g.Ranges("*"), f.Ranges("*"); !reflect.DeepEqual(got, want) {
		t.Errorf("ranges %+v, want %+v", got, want)
	}
	if got, want := g.Leases(), f.Leases(); !slices.Equal(got, want) || len(got) != 3 {
		t.Errorf("leases %+v, want %+v", got, want)
	}
	for _, l := range leases {
		if got, err := g.Lease(l.ID); got != l || err != nil {
			t.Errorf("lease %+v, %v, want %+v", got, err, l)
		}
	}
	if got := g.acquire(t, "http"); got[0].Port != 20001 {
		t.Errorf("port %d, want 20001", got[0].Port)
	}
	r, err := g.Range("rtp")
	if err != nil || r.Protocol != lease.UDP || r.Scope != lease.HostScope {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := g.Range("none"); !errors.Is(err, lease.ErrRangeNotFound) {
		t.Errorf("range none: %v", err)
	}
}

func TestDeleteRanges(t *testing.T) {
	f := open(t)
	f.add(t, http, rtp, lease.Range{Name: "https", Min: 20010, Max: 20012})
	if deleted, err := f.DeleteRanges(t.Context(), "none*", false); len(deleted) != 0 || err != nil {
		t.Errorf("no match: %v, %v", deleted, err)
	}
	held := f.acquire(t, "http", "http")
	_, err := f.DeleteRanges(t.Context(), "http*", false)
	want := "range http has live leases: 20000 by http-0, 20001 by http-1; with force they live on without it"
	if !errors.Is(err, lease.ErrRangeLeased) || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	if got := f.names(); got != "http[20000 - 20005] https[20010 - 20012] rtp[20100 - 20103]" {
		t.Errorf("ranges %s after the refusal", got)
	}
	f.acquire(t, "https") // the refusal closed nothing

	deleted, err := f.DeleteRanges(t.Context(), "http*", true)
	if err != nil || names(deleted) != "http[20000 - 20005] https[20010 - 20012]" {
		t.Errorf("%v, %v", deleted, err)
	}
	if len(f.Leases()) != 3 {
		t.Errorf("leases %v, want them to live on", f.Leases())
	}
	if _, err := f.Acquire(t.Context(), requests("http")...); !errors.Is(err, lease.ErrRangeNotFound) || err.Error() != `there is no range "http"` {
		t.Errorf("a port of a range that is gone: %v", err)
	}

	// A range over live leases shows them.
	f.add(t, lease.Range{Name: "web", Min: 20001, Max: 20003})
	s := f.status(t, "web")
	if len(s.Active) != 1 || s.Active[0].Port != 20001 || s.Active[0].Lease != held[1] || !slices.Equal(s.Available, []int{20002, 20003}) {
		t.Errorf("%+v, want %+v active", s, held[1])
	}
	if err := f.Release(t.Context(), held[1].ID, 0); err != nil {
		t.Fatal(err)
	}
	if got := f.acquire(t, "web"); got[0].Port != 20001 || got[0].Range != "web" {
		t.Errorf("%+v", got)
	}
}

func TestDeleteWhilePlanned(t *testing.T) {
	f := open(t)
	f.add(t, http)
	p, err := f.Plan(t.Context(), requests("http"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.DeleteRanges(t.Context(), "http", false); !errors.Is(err, lease.ErrRangeLeased) {
		t.Errorf("with a port planned: %v", err)
	}
	f.Abort(p)
	if _, err := f.DeleteRanges(t.Context(), "http", false); err != nil {
		t.Errorf("with none planned: %v", err)
	}
}

func TestPlanWhileDeleting(t *testing.T) {
	f := open(t)
	f.add(t, http)
	release := f.store.Block()
	done := make(chan error)
	go func() {
		_, err := f.DeleteRanges(t.Context(), "http", false)
		done <- err
	}()
	must(t, f.store.AwaitBlocked(t.Context(), 1))
	if _, err := f.Plan(t.Context(), requests("http")); !errors.Is(err, lease.ErrRangeNotFound) {
		t.Errorf("plan while the range is deleted: %v", err)
	}
	release()
	must(t, <-done)
}

func TestAddClear(t *testing.T) {
	f := open(t)
	f.add(t, http, rtp)
	f.acquire(t, "http", "http")
	wider := lease.Range{Name: "http", Min: 19990, Max: 20003}
	narrower := lease.Range{Name: "http", Min: 20001, Max: 20005}
	clear := func(force bool, ranges ...lease.Range) error {
		return f.AddRanges(t.Context(), ranges, lease.AddOptions{Clear: true, Force: force})
	}
	for name, ranges := range map[string][]lease.Range{
		"gone":           {rtp},
		"narrower":       {narrower},
		"other name":     {{Name: "web", Min: http.Min, Max: http.Max}},
		"other protocol": {{Name: "http", Min: http.Min, Max: http.Max, Protocol: lease.UDP}},
		"other scope":    {{Name: "http", Min: http.Min, Max: http.Max, Scope: lease.ClusterScope}},
	} {
		if err := clear(false, ranges...); !errors.Is(err, lease.ErrRangeLeased) {
			t.Errorf("%s: %v, want ErrRangeLeased", name, err)
		}
	}
	if err := clear(false, wider); err != nil || f.names() != "http[19990 - 20003]" {
		t.Errorf("wider: %v, %s", err, f.names())
	}
	if err := clear(true, narrower); err != nil || f.names() != "http[20001 - 20005]" {
		t.Errorf("by force: %v, %s", err, f.names())
	}
	if err := clear(false); !errors.Is(err, lease.ErrRangeLeased) {
		t.Errorf("nothing instead: %v", err)
	}
	if err := clear(true); err != nil || f.names() != "" {
		t.Errorf("nothing instead, by force: %v, %s", err, f.names())
	}
	if len(f.Leases()) != 2 {
		t.Errorf("%d leases, want 2", len(f.Leases()))
	}
}

// TestManyRanges adds more ranges than a batch holds, all or none.
func TestManyRanges(t *testing.T) {
	f := open(t)
	var many []lease.Range
	for port := 1; port <= 1000; port++ {
		many = append(many, lease.Range{Name: "r" + string(rune('a'+port%26)) + strings.Repeat("x", port/26), Min: port, Max: port})
	}
	f.add(t, many...)
	if got := len(f.Ranges("*")); got != 1000 {
		t.Errorf("%d ranges", got)
	}
	before := f.store.Commits()
	if deleted, err := f.DeleteRanges(t.Context(), "ra*", false); err != nil || len(deleted) != 38 {
		t.Errorf("%d, %v", len(deleted), err)
	}
	if f.store.Commits() != before+1 {
		t.Errorf("38 ranges took %d commits", f.store.Commits()-before)
	}
	f.store.FailCommit(f.store.Commits()+4, storetest.UnknownLost)
	if _, err := f.DeleteRanges(t.Context(), "*", false); err == nil || errors.Is(err, store.ErrUnknown) {
		t.Errorf("a commit in the midst was lost: %v, want an error that knows the outcome", err)
	}
	if got := len(f.Ranges("*")); got != 962 {
		t.Errorf("%d ranges, want all", got)
	}
	if deleted, err := f.DeleteRanges(t.Context(), "*", false); err != nil || len(deleted) != 962 {
		t.Errorf("%d, %v", len(deleted), err)
	}
}

func TestRangesOfUnknownOutcome(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault storetest.Fault
		ok    bool
	}{{"applied", storetest.UnknownApplied, true}, {"lost", storetest.UnknownLost, false}, {"conflict", storetest.Conflict, false}} {
		t.Run(c.name, func(t *testing.T) {
			f := open(t)
			f.store.FailCommit(1, c.fault)
			err := f.AddRanges(t.Context(), []lease.Range{http}, lease.AddOptions{})
			if (err == nil) != c.ok || (len(f.Ranges("*")) == 1) != c.ok {
				t.Errorf("%v with ranges %s", err, f.names())
			}
		})
	}
}

func TestArchive(t *testing.T) {
	f := open(t)
	f.add(t, http, rtp)
	for _, rev := range []string{"", "a/b", "a b", "*", strings.Repeat("a", 65)} {
		if _, err := f.Archive(t.Context(), rev); !errors.Is(err, lease.ErrArchiveInvalid) {
			t.Errorf("archive %q: %v", rev, err)
		}
		if _, err := f.Unarchive(t.Context(), rev); !errors.Is(err, lease.ErrArchiveInvalid) {
			t.Errorf("unarchive %q: %v", rev, err)
		}
	}
	if _, err := f.Unarchive(t.Context(), "v-1_0.2"); !errors.Is(err, lease.ErrArchiveNotFound) {
		t.Errorf("unarchive what is not there: %v", err)
	}
	kept, err := f.Archive(t.Context(), "v-1_0.2")
	if err != nil || names(kept) != "http[20000 - 20005] rtp[20100 - 20103]" {
		t.Fatalf("%v, %v", kept, err)
	}

	// What is there under the name of an archived range is replaced, the rest stays.
	_, err = f.DeleteRanges(t.Context(), "*", false)
	must(t, err)
	f.add(t, lease.Range{Name: "http", Min: 20002, Max: 20009}, lease.Range{Name: "other", Min: 20020, Max: 20021})
	restored, err := f.Unarchive(t.Context(), "v-1_0.2")
	if err != nil || names(restored) != names(kept) || f.names() != "http[20000 - 20005] other[20020 - 20021] rtp[20100 - 20103]" {
		t.Errorf("%v, %v, ranges %s", restored, err, f.names())
	}
	if r, err := f.Range("rtp"); err != nil || r.Protocol != lease.UDP {
		t.Errorf("%+v, %v", r, err)
	}

	// It is refused whole.
	_, err = f.DeleteRanges(t.Context(), "http", false)
	must(t, err)
	_, err = f.DeleteRanges(t.Context(), "rtp", false)
	must(t, err)
	f.add(t, lease.Range{Name: "web", Min: 20005, Max: 20006})
	_, err = f.Unarchive(t.Context(), "v-1_0.2")
	if want := `unarchive v-1_0.2: range "http" [20000 - 20005] overlaps range "web" [20005 - 20006]`; !errors.Is(err, lease.ErrRangeOverlaps) || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	if got := f.names(); got != "other[20020 - 20021] web[20005 - 20006]" {
		t.Errorf("ranges %s after the refusal", got)
	}

	// Archiving again replaces, and what was archived stays.
	_, err = f.Archive(t.Context(), "v-1_0.2")
	must(t, err)
	_, err = f.DeleteRanges(t.Context(), "*", false)
	must(t, err)
	for range 2 {
		if _, err := f.Unarchive(t.Context(), "v-1_0.2"); err != nil || f.names() != "other[20020 - 20021] web[20005 - 20006]" {
			t.Errorf("%v, ranges %s", err, f.names())
		}
	}

	// A range is not replaced under its leases.
	f.acquire(t, "web")
	_, err = f.DeleteRanges(t.Context(), "web", true)
	must(t, err)
	f.add(t, lease.Range{Name: "web", Min: 20004, Max: 20005})
	if _, err := f.Unarchive(t.Context(), "v-1_0.2"); err != nil {
		t.Errorf("the leased port stays in its range: %v", err)
	}
	_, err = f.DeleteRanges(t.Context(), "web", true)
	must(t, err)
	f.add(t, lease.Range{Name: "web", Min: 20000, Max: 20005})
	f.acquire(t, "web")
	if _, err := f.Unarchive(t.Context(), "v-1_0.2"); !errors.Is(err, lease.ErrRangeLeased) {
		t.Errorf("a leased port would be lost: %v", err)
	}
	put(t, f.store, "archives/ranges/bad", []byte(`[{"name":"a/b","min":1,"max":2}]`))
	if _, err := f.Unarchive(t.Context(), "bad"); !errors.Is(err, lease.ErrRecord) {
		t.Errorf("a bad archive: %v", err)
	}
}
