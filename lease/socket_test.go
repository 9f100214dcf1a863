package lease_test

import (
	"errors"
	"net"
	"slices"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"berth/lease"
	"berth/store"
)

// What is bound answers as what was probed.
func TestListenMeetsHolders(t *testing.T) {
	for _, h := range holders {
		t.Run(h.name, func(t *testing.T) {
			port := h.make(t)
			for _, p := range []struct {
				protocol lease.Protocol
				inUse    bool
			}{{lease.TCP, h.tcp}, {lease.UDP, h.udp}} {
				f, err := lease.Listen(p.protocol, port)
				var inUse *lease.InUseError
				if errors.As(err, &inUse) != p.inUse || err != nil && (!p.inUse || inUse.Port != port || inUse.Protocol != p.protocol) {
					t.Errorf("%s: %v, in use should be %t", p.protocol, err, p.inUse)
				}
				if err != nil {
					continue
				}
				if err := lease.SystemProber().Probe(p.protocol, port); !errors.Is(err, lease.ErrInUse) {
					t.Errorf("%s: a probe says %v of a port that is listened on", p.protocol, err)
				}
				must(t, f.Close())
				if err := lease.SystemProber().Probe(p.protocol, port); err != nil {
					t.Errorf("%s: closed, a probe says %v", p.protocol, err)
				}
			}
		})
	}
}

func TestListenAcceptsOnAllAddresses(t *testing.T) {
	port := nobody(t)
	f, err := lease.Listen(lease.TCP, port)
	must(t, err)
	defer f.Close()
	for _, address := range []string{"127.0.0.1", "::1"} {
		c, err := net.Dial("tcp", net.JoinHostPort(address, strconv.Itoa(port)))
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		must(t, c.Close())
	}
}

func TestHold(t *testing.T) {
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		port := nobody(t)
		f, err := lease.Hold(lease.TCP, port)
		must(t, err)
		if err := tryTCP(family, port, options{}); !errors.Is(err, unix.EADDRINUSE) {
			t.Errorf("without SO_REUSEADDR the port is bound: %v", err)
		}
		if err := tryTCP(family, port, options{reuseAddr: true}); err != nil {
			t.Errorf("with SO_REUSEADDR a server cannot listen: %v", err)
		}
		must(t, f.Close())
		if err := tryTCP(family, port, options{}); err != nil {
			t.Errorf("closed, and still: %v", err)
		}

		f, err = lease.Hold(lease.UDP, port)
		must(t, err)
		if err := tryUDP(family, port, options{reuseAddr: true}); !errors.Is(err, unix.EADDRINUSE) {
			t.Errorf("the UDP port is bound: %v", err)
		}
		must(t, f.Close())
	}
}

func TestRefusedPortIsReplaced(t *testing.T) {
	f := open(t)
	f.add(t, http)
	p, err := f.Plan(t.Context(), requests("http", "http", "http"))
	must(t, err)
	f.net.occupy(lease.TCP, 20001, 77, "thief")
	must(t, f.Refuse(t.Context(), p, lease.TCP, 20001))
	if got := portsOf(p.Leases()); !slices.Equal(got, []int{20000, 20002, 20003}) {
		t.Errorf("ports %v", got)
	}
	aside := f.status(t, "http").SetAside
	if len(aside) != 1 || aside[0].Port != 20001 || aside[0].Reason != "in use by pid 77 (thief)" {
		t.Errorf("set aside %+v", aside)
	}
	if err := f.Refuse(t.Context(), p, lease.TCP, 20005); !errors.Is(err, lease.ErrPlanDone) {
		t.Errorf("a port that is not the plan's: %v", err)
	}
	must(t, f.Commit(t.Context(), p, store.Batch{}))
	for i, l := range f.Leases() {
		if l.Port != []int{20000, 20002, 20003}[i] || l.Holder != requests("http", "http", "http")[i].Holder {
			t.Errorf("lease %+v", l)
		}
	}
	if err := f.Refuse(t.Context(), p, lease.TCP, 20000); !errors.Is(err, lease.ErrPlanDone) {
		t.Errorf("after the commit: %v", err)
	}
}

func TestRefusedPortsRunOut(t *testing.T) {
	f := open(t)
	f.add(t, http)
	p, err := f.Plan(t.Context(), requests("http", "http", "http", "http", "http"))
	must(t, err)
	for _, port := range []int{20001, 20002} {
		f.net.occupy(lease.TCP, port, 77, "thief")
		if err = f.Refuse(t.Context(), p, lease.TCP, port); port == 20001 {
			must(t, err)
		}
	}
	if !errors.Is(err, lease.ErrRangeFull) {
		t.Fatalf("error %v", err)
	}
	f.Abort(p)
	if s := f.status(t, "http"); len(s.Available) != 4 || len(s.SetAside) != 2 {
		t.Errorf("after that: %+v", s)
	}
}

// Somebody who had the port for a moment only does not make the range full,
// and one who always is quicker does not keep the plan busy for ever.
func TestRefusedPortIsLookedAtOnce(t *testing.T) {
	f := open(t)
	one := lease.Range{Name: "one", Min: 20010, Max: 20010}
	f.add(t, one)
	p, err := f.Plan(t.Context(), requests("one"))
	must(t, err)
	must(t, f.Refuse(t.Context(), p, lease.TCP, 20010))
	if got := portsOf(p.Leases()); !slices.Equal(got, []int{20010}) {
		t.Errorf("ports %v", got)
	}
	if err := f.Refuse(t.Context(), p, lease.TCP, 20010); !errors.Is(err, lease.ErrRangeFull) {
		t.Errorf("refused again: %v", err)
	}
}
