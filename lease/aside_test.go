package lease_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"berth/lease"
	"berth/store"
)

func TestForeignListenerIsPassedOver(t *testing.T) {
	clock := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	f := open(t, func(o *lease.Options) { o.Now = func() time.Time { return clock } })
	f.add(t, http)
	f.net.occupy(lease.TCP, 20002, 77, "nginx")
	leases := f.acquire(t, "http", "http", "http", "http")
	if got := portsOf(leases); !slices.Equal(got, []int{20000, 20001, 20003, 20004}) {
		t.Errorf("ports %v, want them in the order of the requests", got)
	}
	for i, l := range leases {
		if want := fmt.Sprintf("http-%d", i); l.Holder.Name != want {
			t.Errorf("port %d is held by %s, want %s", l.Port, l.Holder, want)
		}
	}
	want := lease.SetAside{Port: 20002, Reason: "in use by pid 77 (nginx)", PID: 77, Command: "nginx", Since: clock}
	if got := f.status(t, "http"); !slices.Equal(got.SetAside, []lease.SetAside{want}) || !slices.Equal(got.Available, []int{20005}) {
		t.Errorf("%+v, want %+v", got, want)
	}
	f.acquire(t, "http")
	_, err := f.Acquire(t.Context(), requests("http")...)
	text := "range http: none of its 6 ports can be leased: 20000 by http-0, 20001 by http-1, 20003 by http-2, 20004 by http-3, 20005 by http-0, 20002 set aside: in use by pid 77 (nginx)"
	if err == nil || err.Error() != text {
		t.Errorf("error\n %v\nwant\n %s", err, text)
	}

	// While somebody listens nothing is bound; who it is may change.
	probed := f.net.probed(lease.TCP, 20002)
	f.net.occupy(lease.TCP, 20002, 78, "")
	clock = clock.Add(time.Hour)
	must(t, f.RecheckOnce(t.Context()))
	want.PID, want.Command, want.Reason = 78, "", "in use by pid 78"
	if got := f.status(t, "http").SetAside; !slices.Equal(got, []lease.SetAside{want}) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if f.net.probed(lease.TCP, 20002) != probed {
		t.Error("a port on which somebody listens was bound")
	}

	// It comes back by itself.
	f.net.vacate(lease.TCP, 20002)
	must(t, f.RecheckOnce(t.Context()))
	if got := f.status(t, "http"); len(got.SetAside) != 0 || !slices.Equal(got.Available, []int{20002}) {
		t.Errorf("%+v, want 20002 available", got)
	}
}

func TestSetAsideIsLookedAtBeforeGivingUp(t *testing.T) {
	f := open(t)
	f.add(t, lease.Range{Name: "one", Min: 20010, Max: 20010})
	f.net.occupy(lease.TCP, 20010, 0, "")
	_, err := f.Acquire(t.Context(), requests("one")...)
	if want := "range one: its port cannot be leased: 20010 set aside: in use by another process"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	f.net.vacate(lease.TCP, 20010)
	if got := f.acquire(t, "one"); got[0].Port != 20010 {
		t.Errorf("%+v", got)
	}
}

func TestBoundWithoutListening(t *testing.T) {
	f := open(t)
	f.add(t, lease.Range{Name: "one", Min: 20010, Max: 20010})
	f.net.occupy(lease.TCP, 20010, 5, "python3")
	f.net.silent[portKey{lease.TCP, 20010}] = true
	for range 2 {
		_, err := f.Acquire(t.Context(), requests("one")...)
		if err == nil || !strings.Contains(err.Error(), "20010 set aside: in use by pid 5 (python3)") {
			t.Errorf("%v", err)
		}
	}
}

func TestPrivilegedPorts(t *testing.T) {
	f := open(t)
	f.add(t, lease.Range{Name: "low", Min: 1022, Max: 1025})
	for _, port := range []int{1022, 1023} {
		f.net.fail(lease.TCP, port, fmt.Errorf("port %d: %w", port, lease.ErrPrivileged))
	}
	if got := portsOf(f.acquire(t, "low", "low")); !slices.Equal(got, []int{1024, 1025}) {
		t.Errorf("ports %v", got)
	}
	_, err := f.Acquire(t.Context(), requests("low")...)
	if err == nil || !strings.HasSuffix(err.Error(), "1022 set aside: this user may not bind it, 1023 set aside: this user may not bind it") {
		t.Errorf("%v", err)
	}
}

func TestProbeThatCannotTell(t *testing.T) {
	f := open(t)
	f.add(t, http)
	held := f.acquire(t, "http")
	f.net.fail(lease.TCP, 20002, unix.EMFILE)
	_, err := f.Acquire(t.Context(), requests("http", "http")...)
	if !errors.Is(err, unix.EMFILE) || errors.Is(err, lease.ErrInUse) {
		t.Errorf("%v, want EMFILE", err)
	}
	if got := f.status(t, "http"); len(got.Available) != 5 {
		t.Errorf("%+v, want all given back", got)
	}

	// The end of a holder is not held up by it.
	f.net.fail(lease.TCP, 20000, unix.EMFILE)
	must(t, f.Recuperate(t.Context(), []lease.ID{held[0].ID}, store.Batch{}))
	if got := f.status(t, "http").SetAside; len(got) != 1 || got[0].Port != 20000 || !strings.HasPrefix(got[0].Reason, "it could not be checked: ") {
		t.Errorf("%+v", got)
	}
	if err := f.RecheckOnce(t.Context()); !errors.Is(err, unix.EMFILE) {
		t.Errorf("recheck: %v", err)
	}
	f.net.vacate(lease.TCP, 20000)
	must(t, f.RecheckOnce(t.Context()))
	if got := f.acquire(t, "http"); got[0].Port != 20000 {
		t.Errorf("%+v", got)
	}
}

func TestRecuperateSetsAsideWhatIsStillHeld(t *testing.T) {
	f := open(t)
	f.add(t, http)
	leases := f.acquire(t, "http", "http", "http")
	f.net.occupy(lease.TCP, 20001, 99, "orphan")
	must(t, f.Recuperate(t.Context(), []lease.ID{leases[0].ID, leases[1].ID}, store.Batch{}))
	s := f.status(t, "http")
	if !slices.Equal(s.Available, []int{20000, 20003, 20004, 20005}) || len(s.SetAside) != 1 || s.SetAside[0].Reason != "in use by pid 99 (orphan)" {
		t.Errorf("%+v", s)
	}
	if len(f.Leases()) != 1 {
		t.Errorf("leases %v", f.Leases())
	}
	g := f.again(t) // a start knows nothing of it, and finds it by probing
	g.net.occupy(lease.TCP, 20001, 99, "orphan")
	if got := portsOf(g.acquire(t, "http", "http")); !slices.Equal(got, []int{20000, 20003}) {
		t.Errorf("ports %v", got)
	}
}

func TestReleaseDoesNotProbe(t *testing.T) {
	f := open(t)
	f.add(t, http)
	l := f.acquire(t, "http")[0]
	probed := f.net.probed(lease.TCP, l.Port)
	must(t, f.Release(t.Context(), l.ID, 0))
	if f.net.probed(lease.TCP, l.Port) != probed {
		t.Error("a release probed its port")
	}
}

// TestRun lets the job bring a port back and settle an outcome.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := open(t)
		f.add(t, http)
		f.net.occupy(lease.TCP, 20000, 1, "x")
		f.acquire(t, "http")
		f.net.vacate(lease.TCP, 20000)
		done := make(chan error)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { done <- f.Run(ctx) }()
		time.Sleep(5 * time.Second) // of the bubble's clock
		synctest.Wait()
		if got := f.status(t, "http"); len(got.SetAside) != 0 {
			t.Errorf("%+v after five seconds", got)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("run: %v", err)
		}
	})
}

// Each port that is set aside is looked at after growing pauses of its own, and
// who has it is kept current.
func TestRunLooksLessAndLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := open(t)
		f.add(t, http)
		start := time.Now()
		var mu sync.Mutex
		looks := make(map[int][]time.Duration)
		f.net.during = func(_ lease.Protocol, port int) {
			mu.Lock()
			defer mu.Unlock()
			looks[port] = append(looks[port], time.Since(start))
		}
		seen := func(port int) []time.Duration {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(looks[port])
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- f.Run(ctx) }()
		bound := func(port, pid int) {
			f.net.mu.Lock()
			f.net.silent[portKey{lease.TCP, port}] = true // bound, so that a look is a probe
			f.net.mu.Unlock()
			f.net.occupy(lease.TCP, port, pid, "x")
		}
		bound(20000, 7)
		f.acquire(t, "http")
		time.Sleep(150 * time.Second) // of the bubble's clock
		synctest.Wait()
		var want []time.Duration
		at := time.Duration(0)
		for pause := 100 * time.Millisecond; at <= 150*time.Second; pause = min(2*pause, 30*time.Second) {
			want = append(want, at)
			at += pause
		}
		if got := seen(20000); !slices.Equal(got, want) {
			t.Errorf("looked at %v, want %v", got, want)
		}

		// Another port keeps its own time, and a new holder is looked at often.
		bound(20002, 8)
		f.acquire(t, "http")
		bound(20000, 9)
		time.Sleep(350 * time.Millisecond)
		synctest.Wait()
		if got := seen(20002); len(got) != 3 || got[2]-got[0] != 300*time.Millisecond {
			t.Errorf("the other one was looked at %v", got)
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if got := f.status(t, "http").SetAside; len(got) != 2 || got[0].PID != 9 || got[1].PID != 8 {
			t.Errorf("set aside: %+v", got)
		}
		if got := seen(20000); len(got) < len(want)+2 {
			t.Errorf("with a new holder it was looked at %v", got[len(want):])
		}
		f.net.vacate(lease.TCP, 20000)
		f.net.vacate(lease.TCP, 20002)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if got := f.status(t, "http").SetAside; len(got) != 0 {
			t.Errorf("still set aside: %+v", got)
		}
		cancel()
		<-done
	})
}

// TestSystemFinder and the real probe, with a listener of this process.
func TestSystemFinder(t *testing.T) {
	f := open(t, func(o *lease.Options) { o.Prober, o.Finder = nil, nil })
	port := listener(unix.AF_INET, loopback4, options{reuseAddr: true})(t)
	udp := datagram(unix.AF_INET6, loopback6, options{})(t)
	f.add(t, lease.Range{Name: "tcp", Min: port, Max: port}, lease.Range{Name: "udp", Min: udp, Max: udp, Protocol: lease.UDP})
	for _, name := range []string{"tcp", "udp"} {
		_, err := f.Acquire(t.Context(), requests(name)...)
		if want := fmt.Sprintf("set aside: in use by pid %d (lease.test)", unix.Getpid()); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	for range 2 {
		who, listening, err := lease.SystemFinder().Find(lease.TCP, port)
		if who.PID != unix.Getpid() || !listening || err != nil {
			t.Errorf("%+v, %v, %v", who, listening, err)
		}
	}
}

func TestSystemFinderFollowsTheSocket(t *testing.T) {
	finder := lease.SystemFinder()
	fd, err := socket(unix.AF_INET, unix.SOCK_STREAM, loopback4, nobody(t), options{reuseAddr: true})
	must(t, err)
	must(t, unix.Listen(fd, 1))
	port := int(lastPort.Load())
	for range 2 { // the second time it is remembered
		if who, listening, err := finder.Find(lease.TCP, port); who.PID != unix.Getpid() || !listening || err != nil {
			t.Errorf("%+v, %v, %v", who, listening, err)
		}
	}
	must(t, unix.Close(fd))
	if who, listening, err := finder.Find(lease.TCP, port); who.PID != 0 || listening || err != nil {
		t.Errorf("closed: %+v, %v, %v", who, listening, err)
	}
	if who, listening, err := finder.Find(lease.TCP, boundOnly(options{})(t)); listening || err != nil {
		t.Errorf("bound only: %+v, %v, %v", who, listening, err)
	}
}
