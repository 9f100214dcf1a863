package launcher_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"berth/launcher"
	"berth/lease"
	"berth/store"
)

const selfPort = `<port name="api" bind="self"/>`

// own is the port that a process has bound by itself, which has to be leased to it.
func (w *world) own(p launcher.Process) launcher.Port {
	w.t.Helper()
	i := slices.IndexFunc(p.Ports, func(port launcher.Port) bool { return port.Self })
	if i < 0 {
		w.t.Fatalf("%+v has no port of its own", p)
	}
	port := p.Ports[i]
	held, err := w.leases.Lease(port.Lease)
	if err != nil || held.Port != port.Number || held.Holder.Process != p.ID || held.Protocol != lease.TCP || port.Number == 0 {
		w.t.Fatalf("port %+v of %s has the lease %+v, %v", port, p.Title(), held, err)
	}
	if c, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port.Number)); err != nil {
		w.t.Errorf("nobody answers on %v: %v", port, err)
	} else {
		_ = c.Close()
	}
	return port
}

// What a process has bound by itself, or a child of it, is leased to it, known
// again by the next daemon, bound anew after a restart, and comes back.
func TestPortBoundBySelf(t *testing.T) {
	w := newWorld(t)
	w.deploy(process("p", selfPort, "serve") + process("q", selfPort, "parent"))
	for _, name := range []string{"p", "q"} {
		t.Run(name, func(t *testing.T) {
			p := w.exec(name, 1)[0]
			first := w.own(p)
			if first.Label() != "api" || first.State != launcher.PortListening || first.Range != "" || strings.Contains(w.output(p.ID), "PORT=") {
				t.Errorf("port %+v", first)
			}
			if got, err := w.Processes(launcher.Selector{Port: "api:" + strconv.Itoa(first.Number)}); err != nil || len(got) != 1 {
				t.Errorf("selected by its port: %v, %v", got, err)
			}

			// The next daemon knows it, with the same lease.
			w.reopen()
			again, err := w.Process(p.ID)
			if err != nil {
				t.Fatal(err)
			}
			if port := w.own(again); port.Lease != first.Lease {
				t.Errorf("the port after a reopening is %+v, want %+v", port, first)
			}

			// A restart binds anew; the lease of before has ended.
			after, err := w.Restart(t.Context(), launcher.StopRequest{Selector: launcher.Selector{IDs: []int{p.ID}}, Wait: patience})
			if err != nil {
				t.Fatal(err)
			}
			second := w.own(after[0])
			if second.Lease == first.Lease {
				t.Errorf("the lease is still that of before the restart: %+v", second)
			}
			if held := w.leases.ByProcess(p.ID); len(held) != len(p.Ports) {
				t.Errorf("leases after a restart: %+v", held)
			}
			if _, err := w.Kill(t.Context(), launcher.StopRequest{Wait: patience}); err != nil {
				t.Fatal(err)
			}
			if held := w.leases.Leases(); len(held) != 0 {
				t.Errorf("leases after the end: %+v", held)
			}
		})
	}
}

// A process is told port 0 in every way.
func TestSelfIsToldZero(t *testing.T) {
	w := newWorld(t)
	w.deploy(process("p", selfPort, "show"))
	r, err := w.Exec(t.Context(), launcher.ExecRequest{Distribution: "demo", Version: "1.0", Profile: "test", Name: "p"})
	if err != nil {
		t.Fatal(err)
	}
	if port := r.Processes[0].Ports[0]; port.State != launcher.PortAwaited || port.Number != 0 || port.Lease != "" {
		t.Errorf("before it is bound: %+v", port)
	}
	w.awaitEnded(r.Processes[0].ID)
	said := "\n" + w.output(r.Processes[0].ID)
	for _, line := range []string{"PORT=0", "TCP_PORT=0", "CORUS_PROCESS_PORT_API=0", "corus.process.port.api=0"} {
		if !strings.Contains(said, "\n"+line+"\n") {
			t.Errorf("it was not told %s: %s", line, said)
		}
	}
}

// A process that ends while the daemon is away gives its port back; one that binds
// meanwhile has its port leased then.
func TestSelfWhileAway(t *testing.T) {
	w := newWorld(t)
	w.deploy(process("p", selfPort, "serve") + process("q", selfPort, "late"))
	p := w.exec("p", 1)[0]
	r, err := w.Exec(t.Context(), launcher.ExecRequest{Distribution: "demo", Version: "1.0", Profile: "test", Name: "q"})
	if err != nil {
		t.Fatal(err)
	}
	q := r.Processes[0]
	w.close()
	if err := syscall.Kill(p.Identity.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	w.tell("bind", 0)
	w.open()
	w.awaitEnded(p.ID)
	w.own(w.awaitProcess(q.ID, func(p launcher.Process) bool { return p.Ports[0].State == launcher.PortListening }))
	if held := w.leases.Leases(); len(held) != 1 || held[0].Holder.Process != q.ID {
		t.Errorf("leases: %+v", held)
	}
}

// A port that is leased to somebody else is told of, and not leased twice.
func TestSelfConflicts(t *testing.T) {
	w := newWorld(t)
	w.deploy(process("p", selfPort, "choosy"))
	r, err := w.Exec(t.Context(), launcher.ExecRequest{Distribution: "demo", Version: "1.0", Profile: "test", Name: "p"})
	if err != nil {
		t.Fatal(err)
	}
	id := r.Processes[0].ID
	// As the kernel would choose it, and leased before it is bound.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	number := l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	plan, err := w.leases.PlanFound(lease.TCP, number, lease.Holder{Kind: lease.Manual, Name: "the test"})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.leases.Commit(t.Context(), plan, store.Batch{}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.home, "number"), []byte(strconv.Itoa(number)), 0o600); err != nil {
		t.Fatal(err)
	}
	w.tell("bind", 0)
	p := w.awaitProcess(id, func(p launcher.Process) bool { return p.Ports[0].Conflict != "" })
	if port := p.Ports[0]; port.State != launcher.PortAwaited || port.Lease != "" || !strings.Contains(port.Conflict, "which is leased to the test: it is not leased twice") {
		t.Errorf("port %+v", port)
	}
	if n := len(w.leases.Leases()); n != 1 {
		t.Errorf("%d leases", n)
	}
	if n := w.countLogged("is leased to somebody else"); n != 1 {
		t.Errorf("it was told %d times", n)
	}
	_, err = w.Started(t.Context(), []int{id}, 1)
	if !errors.Is(err, launcher.ErrTimeout) || !strings.Contains(err.Error(), "it is not leased twice") {
		t.Errorf("who waits for it: %v", err)
	}
	// Once that is released it is leased.
	if err := w.leases.Release(t.Context(), plan.Leases()[0].ID, 0); err != nil {
		t.Fatal(err)
	}
	w.own(w.awaitProcess(id, func(p launcher.Process) bool { return p.Ports[0].State == launcher.PortListening }))
}

// What an automatic restart starts again binds anew.
func TestSelfIsRevived(t *testing.T) {
	w := newWorld(t)
	w.deploy(strings.Replace(process("p", selfPort, "serve"), "<process ", `<process restart="always" `, 1))
	p := w.exec("p", 1)[0]
	first := w.own(p)
	if err := syscall.Kill(p.Identity.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	after := w.awaitProcess(p.ID, func(now launcher.Process) bool {
		return now.Identity != p.Identity && now.Ports[0].State == launcher.PortListening
	})
	if second := w.own(after); second.Lease == first.Lease {
		t.Errorf("the lease is still %+v", second)
	}
	if held := w.leases.Leases(); len(held) != 1 {
		t.Errorf("leases: %+v", held)
	}
}

// A reload has a new one bind beside the old one.
func TestSelfIsReloaded(t *testing.T) {
	w := newWorld(t)
	w.deploy(process("p", selfPort, "serve"))
	p := w.exec("p", 1)[0]
	r, err := w.reload(p.ID)
	if err != nil || len(r.Processes) != 1 || len(r.Restarted) != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	if port := w.own(r.Processes[0]); port.Number == p.Ports[0].Number {
		t.Errorf("both were on %v", port)
	}
}

// A container is not seen from here, and so refused.
func TestSelfInAContainer(t *testing.T) {
	w := newWorld(t)
	w.deploy(`<process name="p">` + selfPort + `<docker profile="test" image="none"/></process>`)
	_, err := w.Exec(t.Context(), launcher.ExecRequest{Distribution: "demo", Version: "1.0", Profile: "test", Name: "p"})
	if !errors.Is(err, launcher.ErrUnsupported) || !strings.Contains(err.Error(), "what a container listens on is not seen here") {
		t.Errorf("%v", err)
	}
}

// A process of an ephemeral range has a port that the system chose, in no other
// range, whether it binds by itself or is handed the socket.
func TestEphemeralRange(t *testing.T) {
	w := newWorld(t, lease.Range{Name: "any", Ephemeral: true}, lease.Range{Name: "dgram", Ephemeral: true, Protocol: lease.UDP})
	w.deploy(process("p", `<port name="any"/>`, "serve") + process("listen", `<port name="any" handoff="listen"/>`, "activated") +
		process("hold", `<port name="any" handoff="hold"/>`, "serve") + process("udp", `<port name="dgram"/>`, "udp") +
		process("both", `<port name="any" handoff="listen"/><port name="dgram" handoff="listen"/>`, "activated") +
		process("count", `<port name="any" count="2"/>`, "serve"))
	inEphemeral := map[string]string{"p": "any", "listen": "any", "hold": "any", "udp": "dgram", "both": "any dgram"}
	for name := range inEphemeral {
		t.Run(name, func(t *testing.T) {
			seen := make(map[int]bool)
			for _, p := range w.exec(name, 3) {
				for _, port := range p.Ports {
					if port.State != launcher.PortListening || port.Range != "any" && port.Range != "dgram" || seen[port.Number] {
						t.Errorf("port %+v", port)
					}
					seen[port.Number] = true
				}
			}
			for _, s := range w.leases.Ranges("*") {
				if want := strings.Count(inEphemeral[name], s.Name) * 3; len(s.Active) != want || len(s.Available) != 0 {
					t.Errorf("range %+v, want %d active ports", s, want)
				}
			}
			before := w.exec(name, 1)[0]
			after, err := w.Restart(t.Context(), launcher.StopRequest{Selector: launcher.Selector{IDs: []int{before.ID}}, Wait: patience})
			if err != nil || after[0].Ports[0].Number != before.Ports[0].Number {
				t.Errorf("restarted on %+v, %v, before on %+v", after, err, before.Ports)
			}
			w.reopen()
			if _, err := w.Kill(t.Context(), launcher.StopRequest{Hard: true, Wait: patience}); err != nil {
				t.Fatal(err)
			}
			if s := w.leases.Ranges("*"); len(s[0].Active)+len(s[1].Active) != 0 {
				t.Errorf("what is left: %+v", s)
			}
		})
	}
	_, err := w.Exec(t.Context(), launcher.ExecRequest{Distribution: "demo", Version: "1.0", Profile: "test", Name: "count"})
	if !errors.Is(err, launcher.ErrExecRefused) || !strings.Contains(err.Error(), `range "any" is ephemeral`) {
		t.Errorf("a block: %v", err)
	}
}

// A port of an ephemeral range that something else takes before its process could
// listen is replaced by another one that the system chooses.
func TestEphemeralLosesARace(t *testing.T) {
	w := newWorld(t, lease.Range{Name: "any", Ephemeral: true})
	w.deploy(process("p", `<port name="any"/>`, "late"))
	p := w.start("p")
	first := p.Ports[0]
	w.take(first.Number)
	w.tell("bind", first.Number)
	again := w.awaitRetry(p.ID, 1)
	second := again.Ports[0]
	if !again.Live() || second.Number == first.Number || second.Range != "any" || second.Lease == first.Lease {
		t.Fatalf("%+v, before %+v", again, first)
	}
	w.tell("bind", second.Number)
	w.awaitProcess(p.ID, func(p launcher.Process) bool { return p.Ports[0].State == launcher.PortListening })
	if held := w.leases.Leases(); len(held) != 1 || held[0].Port != second.Number {
		t.Errorf("leases %+v", held)
	}
}
