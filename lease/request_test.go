package lease_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"berth/lease"
	"berth/store"
)

// by is a request's holder.
func by(name string, process int) lease.Holder {
	return lease.Holder{Kind: lease.Process, Name: name, Process: process}
}

func TestBlocks(t *testing.T) {
	tests := []struct {
		name     string
		leased   []int
		busy     []int
		requests []lease.Request
		want     []int
		fails    string
	}{
		{name: "the lowest one", requests: []lease.Request{{Range: "rtp", Count: 3}}, want: []int{20100, 20101, 20102}},
		{name: "UDP apart from TCP", requests: []lease.Request{{Range: "rtp", Count: 2, Protocol: lease.UDP}, {Port: 20100, Count: 2}}, want: []int{20100, 20101, 20100, 20101}},
		{name: "past what is leased", leased: []int{20101}, requests: []lease.Request{{Range: "rtp", Count: 2}}, want: []int{20102, 20103}},
		{name: "past what is bound", busy: []int{20101}, requests: []lease.Request{{Range: "rtp", Count: 2}}, want: []int{20102, 20103}},
		{name: "past what is bound, ones of 1", busy: []int{20101, 20102}, requests: []lease.Request{{Range: "rtp", Count: 1}, {Range: "rtp", Count: 1}}, want: []int{20100, 20103}},
		{name: "past what is bound, two of them", busy: []int{20200}, requests: []lease.Request{{Range: "wide", Count: 2}, {Range: "wide", Count: 2}}, want: []int{20201, 20202, 20203, 20204}},
		{name: "before a single one", requests: []lease.Request{{Range: "rtp"}, {Range: "rtp", Count: 3}}, want: []int{20103, 20100, 20101, 20102}},
		{name: "in the order of the requests", requests: []lease.Request{{Range: "rtp", Count: 2}, {Range: "rtp", Count: 2}}, want: []int{20100, 20101, 20102, 20103}},
		{name: "there are enough, not in a row", leased: []int{20101}, busy: []int{20103}, requests: []lease.Request{{Range: "rtp", Count: 2}},
			fails: "range rtp: 2 contiguous ports wanted, of its 4 ports available are 20100, 20102: 20101 by holder-20101 #20101, 20103 set aside: in use by pid 77 (nginx)"},
		{name: "one run is too short", leased: []int{20100}, requests: []lease.Request{{Range: "rtp", Count: 4}},
			fails: "range rtp: 4 contiguous ports wanted, of its 4 ports available are 20101-20103: 20100 by holder-20100 #20100"},
		{name: "more than there are", requests: []lease.Request{{Range: "rtp", Count: 5}}, fails: "range rtp: 5 ports wanted, it has 4 ports"},
		{name: "twice what there is", requests: []lease.Request{{Range: "rtp", Count: 3}, {Range: "rtp", Count: 3}}, fails: "range rtp: 6 ports wanted, it has 4 ports"},
		{name: "too many", requests: []lease.Request{{Range: "rtp", Count: 1025}}, fails: "1025 ports are wanted together; 1 to 1,024 can be"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := open(t)
			f.add(t, rtp, lease.Range{Name: "wide", Min: 20200, Max: 20204, Protocol: lease.UDP})
			for _, port := range test.leased {
				_, err := f.Acquire(t.Context(), lease.Request{Port: port, Protocol: lease.UDP, Holder: by(fmt.Sprintf("holder-%d #%d", port, port), port)})
				must(t, err)
			}
			for _, port := range test.busy {
				f.net.occupy(lease.UDP, port, 77, "nginx")
			}
			before := f.Leases()
			leases, err := f.Acquire(t.Context(), test.requests...)
			if test.fails != "" {
				if err == nil || err.Error() != test.fails {
					t.Errorf("error\n %v\nwant\n %s", err, test.fails)
				}
				if got := f.Leases(); !slices.Equal(got, before) {
					t.Errorf("leases %v after a refusal, before %v", got, before)
				}
				return
			}
			must(t, err)
			if got := portsOf(leases); !slices.Equal(got, test.want) {
				t.Errorf("ports %v, want %v", got, test.want)
			}
			if got := f.again(t).Leases(); len(got) != len(leases)+len(test.leased) {
				t.Errorf("a new start has %v", got)
			}
		})
	}
}

// A block of any length is found where it is, over the boundaries of the
// bitmap's words and levels, and nowhere else.
func TestRunAgainstNaive(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	f := open(t)
	const low, high = 4000, 4300 // over 4096
	for range 60 {
		var held []lease.ID
		busy := make(map[int]bool)
		for range random.IntN(12) {
			port := low + random.IntN(high-low+1)
			if busy[port] {
				continue
			}
			busy[port] = true
			l, err := f.Acquire(t.Context(), lease.Request{Port: port, Holder: by("x", 1)})
			must(t, err)
			held = append(held, l[0].ID)
		}
		for range 10 {
			n := 1 + random.IntN(150)
			first, last := low+random.IntN(100), high-random.IntN(100)
			want, length := 0, 0
			for port := first; port <= last && want == 0; port++ {
				if length++; busy[port] {
					length = 0
				}
				if length == n {
					want = port - n + 1
				}
			}
			p, err := f.Plan(t.Context(), []lease.Request{{Min: first, Max: last, Count: n, Holder: by("y", 2)}})
			if want == 0 {
				if !errors.Is(err, lease.ErrRangeFull) {
					t.Fatalf("%d of %d-%d: %v", n, first, last, err)
				}
				continue
			}
			must(t, err)
			if got := p.Leases(); got[0].Port != want || len(got) != n || got[n-1].Port != want+n-1 {
				t.Fatalf("%d of %d-%d with %v: from %d, want %d", n, first, last, busy, got[0].Port, want)
			}
			f.Abort(p)
		}
		must(t, f.Recuperate(t.Context(), held, store.Batch{}))
	}
}

func TestPinned(t *testing.T) {
	f := open(t)
	f.add(t, http, rtp)
	f.acquire(t, "http") // 20000 by http-0
	app, err := f.Acquire(t.Context(), lease.Request{Port: 3000, Holder: by("app1", 7)})
	must(t, err)
	if l := app[0]; l.Port != 3000 || l.Protocol != lease.TCP || l.Range != "" || l.Scope != lease.HostScope {
		t.Errorf("in no range: %+v", l)
	}
	in, err := f.Acquire(t.Context(), lease.Request{Port: 20003, Holder: by("app2", 8)})
	must(t, err)
	if in[0].Range != "http" || in[0].Port != 20003 {
		t.Errorf("in a range: %+v", in[0])
	}
	over, err := f.Acquire(t.Context(), lease.Request{Port: 20102, Count: 3, Protocol: lease.UDP, Holder: by("app3", 9)})
	must(t, err)
	if over[0].Range != "rtp" || over[1].Range != "rtp" || over[2].Range != "" {
		t.Errorf("over the end of a range: %+v", over)
	}
	f.net.occupy(lease.TCP, 3001, 77, "nginx")
	f.net.occupy(lease.TCP, 3002, 0, "")
	f.net.fail(lease.TCP, 80, lease.ErrPrivileged)
	before := f.Leases()
	for _, test := range []struct {
		name     string
		requests []lease.Request
		is       error
		want     string
	}{
		{"leased by a process", []lease.Request{{Port: 3000}}, lease.ErrAssigned, "Port 3000 is already assigned to process 'app1'"},
		{"leased by hand, in a range", []lease.Request{{Range: "http", Port: 20000}}, lease.ErrAssigned, "Port 20000 is already assigned to 'http-0' (a lease that is held until it is released)"},
		{"leased, UDP", []lease.Request{{Port: 20104, Protocol: lease.UDP}}, lease.ErrAssigned, "UDP port 20104 is already assigned to process 'app3'"},
		{"one of a block leased", []lease.Request{{Port: 2999, Count: 3}}, lease.ErrAssigned, "Port 3000 is already assigned to process 'app1'"},
		{"bound", []lease.Request{{Port: 3001}}, lease.ErrInUse, "Port 3001 is already in use by another process (pid 77, nginx)"},
		{"bound, asked again", []lease.Request{{Port: 3001}}, lease.ErrInUse, "Port 3001 is already in use by another process (pid 77, nginx)"},
		{"bound, by whom cannot be seen", []lease.Request{{Port: 3002}}, lease.ErrInUse, "Port 3002 is already in use by another process"},
		{"with another that is free", []lease.Request{{Port: 3100}, {Port: 3001}}, lease.ErrInUse, "Port 3001 is already in use by another process (pid 77, nginx)"},
		{"privileged", []lease.Request{{Port: 80}}, lease.ErrPrivileged, "Port 80 may not be bound by this user: it is below the first unprivileged one (sysctl net.ipv4.ip_unprivileged_port_start)"},
		{"twice", []lease.Request{{Port: 3200}, {Port: 3200}}, lease.ErrRequest, "Port 3200 is asked for twice"},
		{"0 and nothing else", []lease.Request{{}}, lease.ErrRequest, "neither a range nor a port is asked for"},
		{"too high", []lease.Request{{Port: 65536}}, lease.ErrRequest, "port 65536 is outside 1 to 65535"},
		{"the last of them too high", []lease.Request{{Port: 65535, Count: 2}}, lease.ErrRequest, "2 ports from port 65535: the last one would be outside 1 to 65535"},
		{"below 0", []lease.Request{{Port: -1}}, lease.ErrRequest, "port -1 is outside 1 to 65535"},
		{"not of the range", []lease.Request{{Range: "http", Port: 20006}}, lease.ErrRequest, "range http [20000 - 20005] does not have port 20006"},
		{"protocol", []lease.Request{{Port: 3300, Protocol: "sctp"}}, lease.ErrRequest, `protocol "sctp" is not known; it is tcp or udp`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := f.Acquire(t.Context(), test.requests...)
			if !errors.Is(err, test.is) || err.Error() != test.want {
				t.Errorf("error\n %v\nwant\n %s", err, test.want)
			}
			if got := f.Leases(); !slices.Equal(got, before) {
				t.Errorf("leases %v, before %v", got, before)
			}
		})
	}
	var assigned *lease.AssignedError
	if _, err := f.Acquire(t.Context(), lease.Request{Port: 3000}); !errors.As(err, &assigned) || assigned.Holder.Process != 7 {
		t.Errorf("who has it: %+v", assigned)
	}
	var inUse *lease.InUseError
	if _, err := f.Acquire(t.Context(), lease.Request{Port: 3001}); !errors.As(err, &inUse) || inUse.PID != 77 || inUse.Command != "nginx" {
		t.Errorf("who is bound: %+v", inUse)
	}

	// What comes back can be had again, also where it was set aside.
	f.net.vacate(lease.TCP, 3001)
	must(t, f.Recuperate(t.Context(), []lease.ID{app[0].ID}, store.Batch{}))
	got, err := f.Acquire(t.Context(), lease.Request{Port: 3000, Count: 2, Holder: by("app4", 10)})
	must(t, err)
	if !slices.Equal(portsOf(got), []int{3000, 3001}) {
		t.Errorf("ports %v", portsOf(got))
	}
	// A range that is added over them shows them as active.
	f.add(t, lease.Range{Name: "web", Min: 3000, Max: 3003})
	if s := f.status(t, "web"); len(s.Active) != 2 || !slices.Equal(s.Available, []int{3003}) || len(s.SetAside) != 1 {
		t.Errorf("a range over them: %+v", s)
	}
	if got := f.again(t).Leases(); !slices.Equal(portsOf(got), []int{3000, 3001, 20000, 20003, 20102, 20103, 20104}) {
		t.Errorf("a new start has %v", portsOf(got))
	}
}

func TestAuto(t *testing.T) {
	f := open(t, func(o *lease.Options) { o.Picker = lease.Random() })
	f.add(t, http)
	f.net.occupy(lease.TCP, 19999, 77, "nginx")
	auto := func(name string) lease.Request { return lease.Request{Min: 19998, Max: 20001, Holder: by(name, 1)} }
	got, err := f.Acquire(t.Context(), auto("a"), auto("b"), auto("c"))
	must(t, err)
	for i, want := range []struct {
		port   int
		of     string
		holder string
	}{{19998, "", "a"}, {20000, "http", "b"}, {20001, "http", "c"}} {
		if l := got[i]; l.Port != want.port || l.Range != want.of || l.Holder.Name != want.holder {
			t.Errorf("%+v, want %+v", l, want)
		}
	}
	_, err = f.Acquire(t.Context(), auto("d"))
	want := "tcp ports 19998-20001: none of its 4 ports can be leased: 19998 by a, 20000 by b, 20001 by c, 19999 set aside: in use by pid 77 (nginx)"
	if !errors.Is(err, lease.ErrRangeFull) || err.Error() != want {
		t.Errorf("error\n %v\nwant\n %s", err, want)
	}
	for _, bad := range []lease.Request{{Min: 5000}, {Min: 5000, Max: 4999}, {Min: 1, Max: 65536}, {Min: -5, Max: 7}} {
		if _, err := f.Acquire(t.Context(), bad); !errors.Is(err, lease.ErrRequest) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestPrefer(t *testing.T) {
	f := open(t)
	f.add(t, http)
	want := func(what string, wanted []int, requests ...lease.Request) {
		t.Helper()
		p, err := f.Plan(t.Context(), requests)
		must(t, err)
		defer f.Abort(p)
		if got := portsOf(p.Leases()); !slices.Equal(got, wanted) {
			t.Errorf("%s: ports %v, want %v", what, got, wanted)
		}
	}
	prefer := func(port int) lease.Request { return lease.Request{Range: "http", Prefer: port} }
	want("it is free", []int{20003}, prefer(20003))
	want("not of the range", []int{20000}, prefer(30000))
	want("each its own, in whatever order", []int{20002, 20001, 20000}, prefer(20002), prefer(20001), lease.Request{Range: "http"})
	want("who would do with any does not get it", []int{20001, 20000}, lease.Request{Range: "http"}, prefer(20000))
	want("two prefer one", []int{20001, 20000}, prefer(20001), prefer(20001))
	want("pinned before preferred", []int{20000, 20001}, prefer(20001), lease.Request{Port: 20001})
	want("a block", []int{20002, 20003}, lease.Request{Range: "http", Count: 2, Prefer: 20002})
	want("a block over the end", []int{20000, 20001}, lease.Request{Range: "http", Count: 2, Prefer: 20005})
	f.net.occupy(lease.TCP, 20003, 77, "nginx")
	want("it is bound", []int{20000}, prefer(20003))
	l, err := f.Acquire(t.Context(), lease.Request{Port: 20000, Holder: by("app1", 1)})
	must(t, err)
	want("it is leased", []int{20001}, prefer(20000))
	must(t, f.Release(t.Context(), l[0].ID, 0))
}

// A port that the caller of a plan could not bind takes its block with it.
func TestRefuseBlock(t *testing.T) {
	f := open(t)
	f.add(t, http)
	p, err := f.Plan(t.Context(), []lease.Request{{Range: "http", Count: 2, Holder: by("a", 1)}, {Range: "http", Holder: by("b", 2)}})
	must(t, err)
	f.net.occupy(lease.TCP, 20001, 77, "nginx")
	must(t, f.Refuse(t.Context(), p, lease.TCP, 20001))
	if got := portsOf(p.Leases()); !slices.Equal(got, []int{20003, 20004, 20002}) {
		t.Errorf("ports %v", got)
	}
	if s := f.status(t, "http"); len(s.SetAside) != 1 || !slices.Equal(s.Available, []int{20000, 20005}) {
		t.Errorf("%+v", s)
	}
	f.Abort(p)

	p, err = f.Plan(t.Context(), []lease.Request{{Port: 20002, Holder: by("a", 1)}, {Range: "http", Holder: by("b", 2)}})
	must(t, err)
	f.net.occupy(lease.TCP, 20002, 78, "")
	if err := f.Refuse(t.Context(), p, lease.TCP, 20002); !errors.Is(err, lease.ErrInUse) || !strings.HasSuffix(err.Error(), "(pid 78)") {
		t.Errorf("a pinned one: %v", err)
	}
	if err := f.Commit(t.Context(), p, store.Batch{}); !errors.Is(err, lease.ErrPlanDone) {
		t.Errorf("commit of what is given back: %v", err)
	}
	if got := f.Leases(); len(got) != 0 {
		t.Errorf("leases %v", got)
	}
}

// A block that has lost a port moves as a whole, what was pinned never.
func TestPlanInsteadOfBlocks(t *testing.T) {
	f := open(t)
	f.add(t, http)
	block := lease.Request{Range: "http", Count: 2, Holder: by("a", 1)}
	pinned := lease.Request{Port: 3000, Holder: by("a", 1)}
	held, err := f.Acquire(t.Context(), block, pinned)
	must(t, err)
	ids := []lease.ID{held[0].ID, held[1].ID, held[2].ID}
	list := []lease.Replacement{{IDs: ids[:2], Request: block}, {IDs: ids[2:], Request: pinned}}

	f.net.occupy(lease.TCP, 20001, 77, "nginx")
	p, err := f.PlanInstead(t.Context(), list, always)
	must(t, err)
	must(t, f.Commit(t.Context(), p, store.Batch{}))
	made := p.Instead()
	if len(made) != 2 || made[ids[0]].Port != 20002 || made[ids[1]].Port != 20003 {
		t.Errorf("made %+v", made)
	}
	if s := f.status(t, "http"); !slices.Equal(s.Available, []int{20000, 20004, 20005}) || len(s.SetAside) != 1 {
		t.Errorf("%+v", s)
	}

	list[0].IDs = []lease.ID{made[ids[0]].ID, made[ids[1]].ID}
	f.net.occupy(lease.TCP, 20002, 77, "nginx")
	f.net.occupy(lease.TCP, 3000, 78, "caddy")
	before := f.Leases()
	p, err = f.PlanInstead(t.Context(), list, always)
	if want := "Port 3000 is already in use by another process (pid 78, caddy)"; p != nil || !errors.Is(err, lease.ErrInUse) || err.Error() != want {
		t.Errorf("a pinned one that is lost: %v", err)
	}
	if got := f.Leases(); !slices.Equal(got, before) {
		t.Errorf("leases %v, before %v", got, before)
	}
	if _, err := f.PlanInstead(t.Context(), []lease.Replacement{{IDs: ids[:1], Request: block}}, always); !errors.Is(err, lease.ErrRequest) {
		t.Errorf("half a block: %v", err)
	}
	for _, l := range before { // they can be ended as ever
		must(t, f.Recuperate(context.Background(), []lease.ID{l.ID}, store.Batch{}))
	}
}
