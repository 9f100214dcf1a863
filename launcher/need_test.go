package launcher_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"

	"berth/descriptor"
	"berth/launcher"
	"berth/lease"
)

// demand has process p of demo 1.0 need other ports than its descriptor says.
func (w *world) demand(specs ...string) {
	w.t.Helper()
	p, ok := w.Distributions("demo", "1.0")[0].Descriptor.Process("p")
	if !ok {
		w.t.Fatal("there is no process p")
	}
	p.Ports = nil
	for _, text := range specs {
		spec, err := descriptor.ParsePortSpec(text)
		if err != nil {
			w.t.Fatal(err)
		}
		p.Ports = append(p.Ports, descriptor.Port{Name: spec.Range, Spec: &spec, Count: 1})
	}
}

func (w *world) execute(r launcher.ExecRequest) ([]launcher.Process, error) {
	w.t.Helper()
	r.Distribution, r.Version, r.Profile, r.Name = "demo", "1.0", "test", "p"
	result, err := w.Exec(w.t.Context(), r)
	return result.Processes, err
}

// described is the ports as "label number".
func described(processes []launcher.Process) (list []string) {
	for _, p := range processes {
		for _, port := range p.Ports {
			list = append(list, fmt.Sprintf("%s %d", port.Label(), port.Number))
		}
	}
	return list
}

// A block is got whole, is told of and used as such, and comes back whole.
func TestBlockOfPorts(t *testing.T) {
	w := newWorld(t, udp("media", 24100, 24110), tcp("http", 24100, 24101))
	w.deploy(process("p", `<port name="media" count="4" protocol="udp"/>`, "media") +
		process("q", `<port name="http" count="2"/>`, "show") + process("wrong", `<port name="http" protocol="udp"/>`, "show") +
		process("large", `<port name="http" count="3"/>`, "show"))
	blocker, err := net.ListenPacket("udp", ":24101")
	if err != nil {
		t.Fatal(err)
	}
	defer blocker.Close()
	before := w.exec("p", 2)
	want := []string{"media 24102", "media 24103", "media 24104", "media 24105", "media 24106", "media 24107", "media 24108", "media 24109"}
	if got := described(before); !slices.Equal(got, want) {
		t.Errorf("ports %v, want %v", got, want)
	}
	for _, p := range before {
		for _, port := range p.Ports {
			if port.State != launcher.PortListening || port.Protocol != lease.UDP {
				t.Errorf("port %+v", port)
			}
		}
	}
	_, err = w.execute(launcher.ExecRequest{})
	if !errors.Is(err, lease.ErrRangeFull) || !strings.HasPrefix(err.Error(), "range media: 4 contiguous ports wanted, of its 11 ports available are 24100, 24110: 24102-24105 by p #1") {
		t.Errorf("a third block: %v", err)
	}
	if got := len(w.leases.Leases()); got != 8 {
		t.Errorf("%d leases after a refusal", got)
	}

	// A restart and a new daemon keep it.
	after, err := w.Restart(t.Context(), launcher.StopRequest{Selector: launcher.Selector{IDs: []int{before[0].ID}}, Wait: patience})
	if err != nil || !slices.Equal(described(after), want[:4]) {
		t.Errorf("restarted: %v, %v", described(after), err)
	}
	w.reopen()
	if got := w.leases.ByProcess(before[1].ID); len(got) != 4 {
		t.Errorf("leases %+v", got)
	}
	if _, err := w.Kill(t.Context(), launcher.StopRequest{Wait: patience}); err != nil {
		t.Fatal(err)
	}
	if s := w.leases.Ranges("media")[0]; len(s.Active) != 0 || len(s.Available)+len(s.SetAside) != 11 || len(s.SetAside) > 1 {
		t.Errorf("what came back: %+v", s)
	}

	r, err := w.Exec(t.Context(), launcher.ExecRequest{Distribution: "demo", Version: "1.0", Profile: "test", Name: "q"})
	if err != nil {
		t.Fatal(err)
	}
	w.awaitEnded(r.Processes[0].ID)
	if said := w.output(r.Processes[0].ID); !strings.Contains(said, "PORT=24100\n") || strings.Contains(said, "24100\nPORT=24101") {
		t.Errorf("it was told %s", said)
	}
	for name, want := range map[string]error{"wrong": lease.ErrProtocol, "large": launcher.ErrExecRefused} {
		_, err := w.Exec(t.Context(), launcher.ExecRequest{Distribution: "demo", Version: "1.0", Profile: "test", Name: name})
		if !errors.Is(err, want) || !strings.Contains(err.Error(), `process "`+name+`" needs `) {
			t.Errorf("process %s: %v", name, err)
		}
	}
}

func TestPortsAskedForDirectly(t *testing.T) {
	w := newWorld(t, tcp("http", 24120, 24129))
	w.deploy(process("p", "", "idle"))
	refused := func(what string, r launcher.ExecRequest, is error, want string) {
		t.Helper()
		before := len(w.leases.Leases())
		if p, err := w.execute(r); !errors.Is(err, is) || err.Error() != want || len(p) != 0 {
			t.Errorf("%s: %v, want %s", what, err, want)
		}
		if got := len(w.leases.Leases()); got != before {
			t.Errorf("%s: %d leases, before %d", what, got, before)
		}
	}
	started := func(r launcher.ExecRequest, want ...string) []launcher.Process {
		t.Helper()
		p, err := w.execute(r)
		if err != nil {
			t.Fatal(err)
		}
		if got := described(p); !slices.Equal(got, want) {
			t.Errorf("ports %v, want %v", got, want)
		}
		return p
	}

	w.demand("24110")
	p := started(launcher.ExecRequest{}, "port 24110")
	if held := w.leases.ByProcess(p[0].ID); len(held) != 1 || held[0].Range != "" || held[0].Port != 24110 {
		t.Errorf("leases %+v", held)
	}
	refused("its port again", launcher.ExecRequest{}, lease.ErrAssigned, fmt.Sprintf("Port 24110 is already assigned to process '%s'", p[0].Title()))
	refused("two of one", launcher.ExecRequest{Instances: 2}, launcher.ErrExecRefused, `exec refused: process "p": port 24110 is 1 port, and 2 instances need 2: give 24110-24111`)
	selected, err := w.Processes(launcher.Selector{Port: "port:24110"})
	if err != nil || len(selected) != 1 {
		t.Errorf("selected by its port: %v, %v", selected, err)
	}

	// One that lies in a range is leased from it.
	w.demand("24111-24113", "24120-24123")
	started(launcher.ExecRequest{Instances: 3}, "port 24111", "http 24120", "port 24112", "http 24121", "port 24113", "http 24122")
	w.demand("24114-24116")
	refused("too few", launcher.ExecRequest{Instances: 4}, launcher.ErrExecRefused, `exec refused: process "p": port 24114-24116 is 3 ports, and 4 instances need 4: give 24114-24117`)
	blocker, err := net.Listen("tcp", ":24115")
	if err != nil {
		t.Fatal(err)
	}
	defer blocker.Close()
	command, _ := os.ReadFile("/proc/self/comm")
	refused("one is bound", launcher.ExecRequest{Instances: 2}, lease.ErrInUse, fmt.Sprintf("Port 24115 is already in use by another process (pid %d, %s)", os.Getpid(), strings.TrimSpace(string(command))))

	w.demand("auto:24113-24124", "http")
	started(launcher.ExecRequest{Instances: 2}, "port 24114", "http 24123", "port 24116", "http 24124")
	w.demand("auto:24113-24116")
	refused("none left", launcher.ExecRequest{}, lease.ErrRangeFull, strings.TrimSpace(fmt.Sprintf("tcp ports 24113-24116: none of its 4 ports can be leased: %s", w.holders(24113, 24116))))

	// Names for several that are of no range, also where a range is called so.
	w.demand("24117", "24118")
	started(launcher.ExecRequest{}, "port 24117", "port2 24118")
	if err := w.leases.AddRanges(t.Context(), []lease.Range{tcp("port", 24130, 24130)}, lease.AddOptions{}); err != nil {
		t.Fatal(err)
	}
	w.demand("24119", "port")
	last := started(launcher.ExecRequest{}, "port2 24119", "port 24130")
	w.reopen()
	again, err := w.Process(last[0].ID)
	if err != nil || !slices.Equal(described([]launcher.Process{again}), []string{"port2 24119", "port 24130"}) {
		t.Errorf("after reopening: %v, %v", again, err)
	}

	// What the system chooses lies in no range and is got by each its own.
	w.demand("0")
	p, err = w.execute(launcher.ExecRequest{Instances: 3})
	if err != nil || len(p) != 3 {
		t.Fatal(err)
	}
	for _, one := range p {
		if held := w.leases.ByProcess(one.ID); len(held) != 1 || held[0].Range != "" || held[0].Port < 1024 || one.Ports[0].Label() != "port" {
			t.Errorf("the system's choice: %+v", held)
		}
	}
}

// holders words who has the ports, as an error does.
func (w *world) holders(min, max int) string {
	var held, aside []string
	for _, l := range w.leases.Leases() {
		if min <= l.Port && l.Port <= max {
			held = append(held, fmt.Sprintf("%d by %s", l.Port, l.Holder))
		}
	}
	command, _ := os.ReadFile("/proc/self/comm")
	aside = append(aside, fmt.Sprintf("24115 set aside: in use by pid %d (%s)", os.Getpid(), strings.TrimSpace(string(command))))
	return strings.Join(append(held, aside...), ", ")
}

// A process whose own port was taken before it could bind it ends and says so;
// it is never started on another one.
func TestLostRaceForPinnedPort(t *testing.T) {
	w := newWorld(t)
	w.deploy(process("p", "", "late"))
	w.demand("24140")
	p := w.start("p")
	w.take(24140)
	w.tell("bind", 24140)
	ended := w.awaitEnded(p.ID)
	if ended.Retries != 0 || !strings.HasPrefix(ended.Exit.Reason, "port 24140 was taken before it could listen (in use by pid ") || !strings.HasSuffix(ended.Exit.Reason, ", and no other will do: it was asked for by its number") {
		t.Errorf("it ended: %+v", ended.Exit)
	}
	if got := w.leases.Leases(); len(got) != 0 {
		t.Errorf("leases %v", got)
	}
}

// A block that has lost a port to somebody else moves as a whole.
func TestLostRaceMovesBlock(t *testing.T) {
	w := newWorld(t, tcp("http", 24150, 24159), tcp("admin", 24160, 24161))
	w.deploy(process("p", `<port name="http" count="3"/><port name="admin"/>`, "late"))
	before := w.start("p")
	w.take(24151)
	w.take(24150)
	w.tell("bind", 24150)
	again := w.awaitRetry(before.ID, 1)
	if got := numbers([]launcher.Process{again}); !slices.Equal(got, []int{24153, 24154, 24155, 24160}) {
		t.Errorf("ports %v", got)
	}
	if held := w.leases.ByProcess(before.ID); len(held) != 4 {
		t.Errorf("leases %+v", held)
	}
	if got := w.asidePorts("http"); !slices.Equal(got, []int{24150, 24151}) {
		t.Errorf("set aside are %v", got)
	}
}

// With all records lost, blocks and ports of no range are known again.
func TestDirectPortsAreRebuilt(t *testing.T) {
	w := newLosingWorld(t, udp("media", 24170, 24179))
	w.deploy(process("p", "", "serve") + process("q", `<port name="media" count="4"/>`, "media"))
	w.demand("24180")
	before := append(w.exec("p", 1), w.exec("q", 1)...)
	w.reopenWith(nil, true)
	after, err := w.Processes(launcher.Selector{})
	if err != nil || len(after) != 2 || !slices.Equal(described(after), described(before)) {
		t.Errorf("after %v, %v, before %v", described(after), err, described(before))
	}
	if got := w.leases.Leases(); len(got) != 5 || got[0].Range != "" || got[0].Port != 24180 {
		t.Errorf("leases %+v", got)
	}
}

// An instance that is to be stable gets what it had last, where that is free.
func TestStablePorts(t *testing.T) {
	w := newWorld(t, tcp("http", 24190, 24199))
	w.deploy(process("p", httpPort, "serve"))
	kill := func(ids ...int) {
		t.Helper()
		if _, err := w.Kill(t.Context(), launcher.StopRequest{Selector: launcher.Selector{IDs: ids}, Hard: true, Wait: patience}); err != nil {
			t.Fatal(err)
		}
	}
	start := func(r launcher.ExecRequest, want ...int) []launcher.Process {
		t.Helper()
		r.Wait = patience
		p, err := w.execute(r)
		if err != nil {
			t.Fatal(err)
		}
		if got := numbers(p); !slices.Equal(got, want) {
			t.Errorf("%+v: ports %v, want %v", r, got, want)
		}
		return p
	}
	w.exec("p", 1) // #1 on 24190
	before := start(launcher.ExecRequest{Instances: 3}, 24191, 24192, 24193)
	kill(1)
	for _, p := range before {
		kill(p.ID)
	}
	// 24190 is the lowest, and each has its own all the same, by a new daemon too.
	w.reopen()
	again := start(launcher.ExecRequest{Instances: 3, Stable: true}, 24191, 24192, 24193)
	other := start(launcher.ExecRequest{}, 24190)
	for _, p := range again {
		kill(p.ID)
	}
	// Never at the expense of another: what somebody has by now stays his.
	taken := start(launcher.ExecRequest{}, 24191)
	start(launcher.ExecRequest{Instances: 2, Stable: true}, 24193, 24192)
	kill(other[0].ID, taken[0].ID)
	// A plain exec takes the lowest.
	start(launcher.ExecRequest{}, 24190)
}
