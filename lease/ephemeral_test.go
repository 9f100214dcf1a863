package lease_test

import (
	"errors"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"berth/lease"
	"berth/store"
)

var (
	ephemeral    = lease.Range{Name: "any", Ephemeral: true}
	ephemeralUDP = lease.Range{Name: "dgram", Ephemeral: true, Protocol: lease.UDP}
)

// choosing is a network whose system chooses the given ports, one after the other.
type choosing struct {
	*network
	ports []int
}

func (c *choosing) Choose(lease.Protocol) (int, *os.File, error) {
	if len(c.ports) == 0 {
		return 0, nil, errors.New("no more ports")
	}
	port := c.ports[0]
	c.ports = c.ports[1:]
	return port, nil, nil
}

// What the system chooses is leased, but for what is leased already, lies in a
// range, or cannot be bound.
func TestEphemeralPorts(t *testing.T) {
	system := &choosing{network: newNetwork(t)}
	f := open(t, func(o *lease.Options) { o.Prober, o.Finder = system, system })
	f.add(t, ephemeral, ephemeralUDP, http)
	system.ports = []int{20001, 41000, 41000, 41001, 20000, 41000, 41002}
	system.occupy(lease.TCP, 41001, 77, "nginx")
	leases := f.acquire(t, "any", "any")
	if got := portsOf(leases); !slices.Equal(got, []int{41000, 41002}) || leases[0].Range != "any" || leases[0].Scope != lease.HostScope {
		t.Errorf("%+v", leases)
	}
	s := f.status(t, "any")
	if len(s.Available) != 0 || len(s.SetAside) != 0 || len(s.Active) != 2 || s.Active[1].Port != 41002 || s.Active[1].Lease != leases[1] {
		t.Errorf("%+v", s)
	}
	if s := f.status(t, "dgram"); len(s.Active) != 0 {
		t.Errorf("%+v", s)
	}
	// It prefers one that it had.
	must(t, f.Release(t.Context(), leases[0].ID, 0))
	again, err := f.Acquire(t.Context(), lease.Request{Range: "any", Prefer: 41000})
	if err != nil || again[0].Port != 41000 || again[0].Range != "any" {
		t.Errorf("%+v, %v", again, err)
	}
	// Its leases keep it, and live on without it.
	if _, err := f.DeleteRanges(t.Context(), "any", false); !errors.Is(err, lease.ErrRangeLeased) {
		t.Errorf("%v", err)
	}
	if _, err := f.DeleteRanges(t.Context(), "any", true); err != nil || len(f.Leases()) != 2 {
		t.Errorf("%v, %v", err, f.Leases())
	}
	f = f.again(t, func(o *lease.Options) { o.Prober, o.Finder = system, system })
	if got := portsOf(f.Leases()); !slices.Equal(got, []int{41000, 41002}) {
		t.Errorf("after a start: %v", got)
	}
}

func TestEphemeralRefuses(t *testing.T) {
	f := open(t)
	f.add(t, ephemeral)
	for want, q := range map[string]lease.Request{
		"port 80 cannot be asked for":                                {Range: "any", Port: 80},
		"1 port of 80-90 cannot be asked for":                        {Range: "any", Min: 80, Max: 90},
		"2 ports that follow each other cannot be asked for":         {Range: "any", Count: 2},
		"range any has tcp ports, not udp ports":                     {Range: "any", Protocol: lease.UDP},
		"a port that the system chooses is a single one of no range": {Range: "any", System: true},
	} {
		if _, err := f.Acquire(t.Context(), q); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", q, err, want)
		}
	}
	for want, r := range map[string]lease.Range{
		"leave min and max out":     {Name: "e", Ephemeral: true, Min: 1},
		"it is of scope host":       {Name: "e", Ephemeral: true, Scope: lease.ClusterScope},
		"has no policy":             {Name: "e", Ephemeral: true, Policy: lease.PolicyNext},
		"has no static ports":       {Name: "e", Ephemeral: true, Static: 1},
		`protocol "x" is not known`: {Name: "e", Ephemeral: true, Protocol: "x"},
	} {
		err := f.AddRanges(t.Context(), []lease.Range{r}, lease.AddOptions{})
		if want = strings.Replace(want, "it is of", "an ephemeral range is of", 1); !errors.Is(err, lease.ErrRangeInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", r, err, want)
		}
	}
	if _, err := f.UpdateRange(t.Context(), "any", lease.UpdateOptions{Min: 1, Max: 2}); !errors.Is(err, lease.ErrRangeInvalid) {
		t.Errorf("bounds for an ephemeral range: %v", err)
	}
}

// What the system chose stays bound while it is planned and being committed: no
// other program that wants the port for itself gets it, and the kernel does not
// choose it again.
func TestEphemeralIsKept(t *testing.T) {
	f := open(t, func(o *lease.Options) { o.Prober, o.Finder = nil, nil })
	f.add(t, ephemeral, ephemeralUDP)
	taken := func(l lease.Lease) bool {
		address := net.JoinHostPort("", strconv.Itoa(l.Port))
		if l.Protocol == lease.UDP {
			c, err := net.ListenPacket("udp", address)
			if err == nil {
				_ = c.Close()
			}
			return err != nil
		}
		held, err := lease.Hold(lease.TCP, l.Port)
		if err != nil {
			t.Fatalf("over what is kept a server can bind, as it sets SO_REUSEADDR: %v", err)
		}
		_ = held.Close()
		c, err := net.DialTCP("tcp", &net.TCPAddr{Port: l.Port}, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9})
		if err == nil {
			_ = c.Close()
		}
		return err != nil && strings.Contains(err.Error(), "address already in use")
	}
	p := f.plan(t, "any", "dgram")
	for _, l := range p.Leases() {
		if !taken(l) {
			t.Errorf("%+v is not kept while it is planned", l)
		}
	}
	planned := p.Leases()
	release := f.store.Block()
	done := make(chan error, 1)
	go func() { done <- f.Commit(t.Context(), p, store.Batch{}) }()
	must(t, f.store.AwaitBlocked(t.Context(), 1))
	for _, l := range planned {
		if !taken(l) {
			t.Errorf("%+v is not kept while it is being leased", l)
		}
	}
	release()
	must(t, <-done)
	for _, l := range p.Leases() {
		if taken(l) {
			t.Errorf("%+v is kept when it is leased", l)
		}
	}

	// Whoever takes the sockets has them.
	p = f.plan(t, "any", "dgram")
	sockets := p.Sockets()
	must(t, f.Commit(t.Context(), p, store.Batch{}))
	if len(sockets) != 2 || len(p.Sockets()) != 0 {
		t.Fatalf("%v", sockets)
	}
	for _, l := range p.Leases() {
		if !taken(l) {
			t.Errorf("%+v is not kept by who has taken it", l)
		}
	}
	for _, s := range sockets {
		must(t, lease.ListenOn(s.Protocol, s.File))
		if s.Protocol == lease.TCP {
			c, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(s.Port))
			if err != nil {
				t.Errorf("nobody listens on %d: %v", s.Port, err)
			} else {
				_ = c.Close()
			}
		}
		must(t, s.File.Close())
	}

	// What comes of nothing is let go.
	p = f.plan(t, "any", "dgram")
	leases := p.Leases()
	f.Abort(p)
	for _, l := range leases {
		if taken(l) {
			t.Errorf("%+v is kept after an abort", l)
		}
	}
	if _, err := f.Plan(t.Context(), append(requests("any"), lease.Request{Range: "none"})); !errors.Is(err, lease.ErrRangeNotFound) {
		t.Error(err)
	}
}

// A port whose holder is bound to it is leased without a probe.
func TestPlanFound(t *testing.T) {
	f := open(t)
	f.add(t, http)
	f.net.occupy(lease.TCP, 20001, 77, "app")
	f.acquire(t, "http", "http") // finds 20001 busy
	holder := lease.Holder{Kind: lease.Process, Process: 3, Name: "app #3"}
	for port, want := range map[int]string{20001: "http", 45000: ""} {
		p, err := f.PlanFound(lease.TCP, port, holder)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.PlanFound(lease.TCP, port, holder); !errors.Is(err, lease.ErrLeaseChanged) {
			t.Errorf("planned twice: %v", err)
		}
		must(t, f.Commit(t.Context(), p, store.Batch{}))
		if l := p.Leases()[0]; l.Range != want || l.Port != port || l.Holder != holder {
			t.Errorf("%+v", l)
		}
		var assigned *lease.AssignedError
		if _, err := f.PlanFound(lease.TCP, port, holder); !errors.As(err, &assigned) || assigned.Holder != holder {
			t.Errorf("leased twice: %v", err)
		}
	}
	if f.net.probed(lease.TCP, 45000) != 0 {
		t.Error("it was probed")
	}
}
