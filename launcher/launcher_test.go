package launcher_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"berth/launcher"
	"berth/lease"
	"berth/proc"
)

func tcp(name string, min, max int) lease.Range {
	return lease.Range{Name: name, Min: min, Max: max, Protocol: lease.TCP, Scope: lease.HostScope}
}

const httpPort = `<port name="http"/>`

func TestSixProcessesThenTheRangeIsFull(t *testing.T) {
	w := newWorld(t, tcp("http", 22000, 22005))
	w.deploy(process("httpServer", httpPort, "serve"))
	processes := w.exec("httpServer", 6)
	if got, want := numbers(processes), []int{22000, 22001, 22002, 22003, 22004, 22005}; !slices.Equal(got, want) {
		t.Fatalf("ports %v, want %v", got, want)
	}
	for _, p := range processes {
		if p.Status != launcher.Running || p.Ports[0].State != launcher.PortListening {
			t.Errorf("%s is %s, its port %s", p.Title(), p.Status, p.Ports[0].State)
		}
	}

	_, err := w.Exec(t.Context(), launcher.ExecRequest{Distribution: "demo", Version: "1.0", Profile: "test", Name: "httpServer"})
	if !errors.Is(err, lease.ErrRangeFull) || !strings.Contains(err.Error(), "http") || !strings.Contains(err.Error(), processes[3].Title()) {
		t.Errorf("the seventh: %v", err)
	}

	// Killed from outside, in the middle: its port is the next one leased.
	if err := syscall.Kill(processes[2].Identity.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p := w.awaitEnded(processes[2].ID)
	if p.Exit.Signal != "SIGKILL" || p.Exit.Code != nil {
		t.Errorf("exit %+v", p.Exit)
	}
	if again := w.exec("httpServer", 1); !slices.Equal(numbers(again), []int{22002}) || again[0].ID != 7 {
		t.Errorf("the next one is %+v", again)
	}
}

func TestForeignListenerIsPassedOver(t *testing.T) {
	foreign, err := net.Listen("tcp", "127.0.0.1:22012")
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	w := newWorld(t, tcp("http", 22010, 22015))
	w.deploy(process("httpServer", httpPort, "serve"))
	if got, want := numbers(w.exec("httpServer", 4)), []int{22010, 22011, 22013, 22014}; !slices.Equal(got, want) {
		t.Errorf("ports %v, want %v", got, want)
	}
	aside := w.leases.Ranges("http")[0].SetAside
	if len(aside) != 1 || aside[0].Port != 22012 || aside[0].PID != os.Getpid() {
		t.Errorf("set aside: %+v", aside)
	}
}

func TestSeveralPortsAllOrNothing(t *testing.T) {
	w := newWorld(t, tcp("http", 22020, 22029), tcp("admin", 22030, 22031))
	w.deploy(process("p", `<port name="http"/><port name="admin"/><port name="http"/>`, "idle"))
	r := launcher.ExecRequest{Distribution: "demo", Version: "1.0", Profile: "test", Name: "p", Instances: 3}
	if _, err := w.Exec(t.Context(), r); !errors.Is(err, lease.ErrRangeFull) {
		t.Fatalf("three: %v", err)
	}
	if n := len(w.leases.Leases()); n != 0 || w.Running() != 0 {
		t.Fatalf("%d leases and %d processes after a refusal", n, w.Running())
	}
	r.Instances = 2
	result, err := w.Exec(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := numbers(result.Processes), []int{22020, 22030, 22021, 22031}; !slices.Equal(got, want) {
		t.Errorf("ports %v, want %v", got, want)
	}
	if ids := []int{result.Processes[0].ID, result.Processes[1].ID}; !slices.Equal(ids, []int{1, 2}) {
		t.Errorf("ids %v: those of the refusal are gone", ids)
	}
}

// More processes than one batch of the store can hold.
func TestManyInstances(t *testing.T) {
	n := 60
	w := newWorld(t, tcp("http", 22100, 22199))
	w.deploy(process("p", httpPort, "serve"))
	processes := w.exec("p", n)
	if len(processes) != n || len(w.leases.Leases()) != n {
		t.Fatalf("%d processes and %d leases, want %d", len(processes), len(w.leases.Leases()), n)
	}
	w.reopen()
	if w.Running() != n {
		t.Errorf("%d processes after reopening, want %d", w.Running(), n)
	}
}

func TestKill(t *testing.T) {
	tests := []struct {
		name, program string
		hard          bool
		signal        string
	}{
		{"asked", "serve", false, "SIGTERM"},
		{"forced after the shutdown timeout", "stubborn", false, "SIGKILL"},
		{"forced at once", "stubborn", true, "SIGKILL"},
		{"a child that listens goes too", "parent", false, "SIGTERM"},
	}
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			port := 22200 + i
			w := newWorld(t, tcp("http", port, port))
			w.deploy(process("p", httpPort, test.program))
			p := w.exec("p", 1)[0]
			killed, err := w.Kill(t.Context(), launcher.StopRequest{Selector: launcher.Selector{IDs: []int{p.ID}}, Hard: test.hard, Wait: patience})
			if err != nil {
				t.Fatal(err)
			}
			if len(killed) != 1 || killed[0].Status != launcher.Ended || killed[0].Exit.Signal != test.signal || killed[0].Exit.Reason != "stopped by request" {
				t.Errorf("killed %+v, %+v", killed, killed[0].Exit)
			}
			if s := w.leases.Ranges("http")[0]; len(s.Available) != 1 {
				t.Errorf("the port did not come back: %+v", s)
			}
		})
	}
}

func TestOrphanKeepsItsPortAside(t *testing.T) {
	w := newWorld(t, tcp("http", 22210, 22211))
	w.deploy(process("p", httpPort, "parent"))
	p := w.exec("p", 1)[0]
	var child int
	for line := range strings.Lines(w.output(p.ID)) {
		if v, ok := strings.CutPrefix(line, "child "); ok {
			child, _ = strconv.Atoi(strings.TrimSpace(v))
		}
	}
	if child == 0 {
		t.Fatalf("output %q", w.output(p.ID))
	}
	id, err := proc.Identify(child)
	if err != nil {
		t.Fatal(err)
	}
	orphan, err := proc.Open(id)
	if err != nil {
		t.Fatal(err)
	}
	defer orphan.Close()
	if err := syscall.Kill(p.Identity.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	w.awaitEnded(p.ID)
	if s := w.leases.Ranges("http")[0]; len(s.SetAside) != 1 || s.SetAside[0].PID != child {
		t.Errorf("status %+v, want the orphan %d to have the port", s, child)
	}
	if next := w.exec("p", 1); next[0].Ports[0].Number != 22211 {
		t.Errorf("the next port is %d", next[0].Ports[0].Number)
	}
	if err := orphan.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := orphan.Exited(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := w.leases.RecheckOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := w.leases.Ranges("http")[0]; len(s.SetAside) != 0 {
		t.Errorf("still set aside: %+v", s.SetAside)
	}
}

func TestRestartKeepsThePorts(t *testing.T) {
	w := newWorld(t, tcp("http", 22220, 22222))
	w.deploy(process("p", httpPort, "serve"))
	before := w.exec("p", 2)
	after, err := w.Restart(t.Context(), launcher.StopRequest{Wait: patience})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(numbers(before), numbers(after)) {
		t.Errorf("ports %v, before %v", numbers(after), numbers(before))
	}
	for i := range after {
		if after[i].ID != before[i].ID || after[i].Identity == before[i].Identity || after[i].Ports[0].Lease != before[i].Ports[0].Lease {
			t.Errorf("after %+v, before %+v", after[i], before[i])
		}
		if after[i].Status != launcher.Running || after[i].Ports[0].State != launcher.PortListening {
			t.Errorf("%s is %s, its port %s", after[i].Title(), after[i].Status, after[i].Ports[0].State)
		}
	}
}

func TestWaitFails(t *testing.T) {
	t.Run("at once when a process ends, with its last lines", func(t *testing.T) {
		w := newWorld(t, tcp("http", 22230, 22235))
		w.deploy(process("p", httpPort, "die"))
		r, err := w.Exec(t.Context(), launcher.ExecRequest{Distribution: "demo", Version: "1.0", Profile: "test", Name: "p", Wait: patience})
		if !errors.Is(err, launcher.ErrExecFailed) || !strings.Contains(err.Error(), "exit code 7") || !strings.Contains(err.Error(), "first line | cannot find my configuration") {
			t.Errorf("error %v", err)
		}
		if len(r.Processes) != 1 {
			t.Errorf("result %+v", r)
		}
	})
	t.Run("when a port is not listened on in time", func(t *testing.T) {
		w := newWorld(t, tcp("http", 22236, 22239))
		w.deploy(process("p", httpPort, "idle"))
		_, err := w.Exec(t.Context(), launcher.ExecRequest{Distribution: "demo", Version: "1.0", Profile: "test", Name: "p", Wait: 1})
		if !errors.Is(err, launcher.ErrTimeout) || !strings.Contains(err.Error(), "http port 22236") {
			t.Errorf("error %v", err)
		}
		if w.Running() != 1 {
			t.Error("the process did not stay")
		}
	})
}

func TestExecRefusals(t *testing.T) {
	w := newWorld(t, tcp("http", 22240, 22249))
	w.deploy(process("p", httpPort, "idle") + process("partOf1", httpPort, "idle") + process("noRange", `<port name="ghost"/>`, "idle") +
		`<process name="missing"><port name="http"/><generic profile="test"><arg value="no-such-program-at-all"/></generic></process>
		<process name="partOf2"><port name="http"/><generic profile="test"><arg value="no-such-program-at-all"/></generic></process>
		<process name="circle"><port name="http"/><generic profile="test"><arg value="${a}"/><property name="a" value="${a}"/></generic></process>
		<process name="magnet"><port name="http"/><magnet profile="test" magnetFile="m.xml"/></process>
		<process name="folder"><port name="http"/><generic profile="test"><arg value="/etc"/></generic></process>
		<process name="few" maxInstances="2"><port name="http"/><generic profile="test"><arg value="sleep"/><arg value="1000"/></generic></process>
		<process name="script"><port name="http"/><generic profile="test"><arg value="./headerless"/></generic></process>`)
	script := filepath.Join(w.Distributions("demo", "")[0].Dir, "headerless")
	if err := os.WriteFile(script, []byte("echo\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		request launcher.ExecRequest
		is      error
		says    []string
	}{
		{"no such distribution", launcher.ExecRequest{Distribution: "other", Version: "1.0", Profile: "test"}, launcher.ErrDistributionNotFound, []string{"other 1.0"}},
		{"no such version", launcher.ExecRequest{Distribution: "demo", Version: "2.*", Profile: "test"}, launcher.ErrDistributionNotFound, []string{"demo 2.*"}},
		{"no profile", launcher.ExecRequest{Distribution: "demo", Version: "1.0"}, launcher.ErrInvalid, []string{"profile"}},
		{"no such profile", launcher.ExecRequest{Distribution: "demo", Version: "1.0", Name: "p", Profile: "prod"}, launcher.ErrProfileNotFound, []string{`"prod"`, `"test"`}},
		{"no such process", launcher.ExecRequest{Distribution: "demo", Version: "1.0", Name: "q", Profile: "test"}, launcher.ErrProcessNotFound, []string{`"q"`}},
		{"not named", launcher.ExecRequest{Distribution: "demo", Version: "1.0", Profile: "test"}, launcher.ErrExecRefused, []string{"-n p"}},
		{"no such range", launcher.ExecRequest{Distribution: "demo", Version: "1.0", Name: "noRange", Profile: "test"}, lease.ErrRangeNotFound, []string{`"noRange"`, `"ghost"`}},
		{"no such program", launcher.ExecRequest{Distribution: "demo", Version: "1.0", Name: "missing", Profile: "test"}, launcher.ErrExecFailed, []string{`"missing"`, "no-such-program-at-all"}},
		{"no such program for one of several", launcher.ExecRequest{Distribution: "demo", Version: "1.0", Name: "partOf*", Profile: "test", Instances: 4}, launcher.ErrExecFailed, []string{`"partOf2"`, "no-such-program-at-all"}},
		{"a folder as the program", launcher.ExecRequest{Distribution: "demo", Version: "1.0", Name: "folder", Profile: "test"}, launcher.ErrExecFailed, []string{"/etc"}},
		{"a circle of variables", launcher.ExecRequest{Distribution: "demo", Version: "1.0", Name: "circle", Profile: "test"}, nil, []string{`"circle"`, "a → a"}},
		{"magnet", launcher.ExecRequest{Distribution: "demo", Version: "1.0", Name: "magnet", Profile: "test"}, launcher.ErrExecRefused, []string{"magnet", "m.xml", "is not there"}},
		{"too many instances", launcher.ExecRequest{Distribution: "demo", Version: "1.0", Name: "few", Profile: "test", Instances: 3}, launcher.ErrExecRefused, []string{"2"}},
		{"negative instances", launcher.ExecRequest{Distribution: "demo", Version: "1.0", Name: "p", Profile: "test", Instances: -1}, launcher.ErrInvalid, []string{"-1"}},
		{"one of several names", launcher.ExecRequest{Distribution: "demo", Version: "1.0", Name: "[", Profile: "test"}, launcher.ErrProcessNotFound, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := w.Exec(t.Context(), test.request)
			if err == nil || test.is != nil && !errors.Is(err, test.is) {
				t.Fatalf("error %v, want %v", err, test.is)
			}
			for _, s := range test.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("error %q does not say %q", err, s)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q has more than one line", err)
			}
			if n := len(w.leases.Leases()); n != 0 || w.Running() != 0 {
				t.Errorf("%d leases and %d processes are left", n, w.Running())
			}
			if left, _ := os.ReadDir(filepath.Join(w.home, "processes")); len(left) != 0 {
				t.Errorf("folders are left: %v", left)
			}
		})
	}
	t.Run("a script without a header", func(t *testing.T) {
		r, err := w.Exec(t.Context(), launcher.ExecRequest{Distribution: "demo", Version: "1.0", Name: "script", Profile: "test"})
		if !errors.Is(err, launcher.ErrExecFailed) || !strings.Contains(err.Error(), "#!/bin/sh") {
			t.Errorf("error %v", err)
		}
		if p := w.awaitEnded(r.Processes[0].ID); !strings.Contains(p.Exit.Reason, "exec format error") {
			t.Errorf("exit %+v", p.Exit)
		}
	})
}

func TestReopen(t *testing.T) {
	w := newWorld(t, tcp("http", 22250, 22259))
	w.deploy(process("p", httpPort, "serve"))
	before := w.exec("p", 4)

	// One dies while nobody watches.
	w.close()
	killAndReap(t, before[1].Identity.PID)
	w.open()
	live, err := w.Processes(launcher.Selector{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := numbers(live), []int{22250, 22252, 22253}; !slices.Equal(got, want) {
		t.Errorf("live ports %v, want %v", got, want)
	}
	for _, p := range live {
		if p.Ports[0].State != launcher.PortListening {
			t.Errorf("the port of %s is %s", p.Title(), p.Ports[0].State)
		}
	}
	dead, err := w.Process(before[1].ID)
	if err != nil || dead.Status != launcher.Ended || !strings.Contains(dead.Exit.Reason, "away") {
		t.Errorf("the dead one is %+v, %+v, %v", dead, dead.Exit, err)
	}

	// An adopted one dies: noticed, and its port is the next but one.
	if err := syscall.Kill(before[0].Identity.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	w.awaitEnded(before[0].ID)
	next := w.exec("p", 2)
	if got, want := numbers(next), []int{22250, 22251}; !slices.Equal(got, want) {
		t.Errorf("the next ports are %v, want %v", got, want)
	}
	if next[0].ID != 5 {
		t.Errorf("the next id is %d, want 5", next[0].ID)
	}
	if _, err := w.Restart(t.Context(), launcher.StopRequest{Selector: launcher.Selector{IDs: []int{before[2].ID}}, Wait: patience}); err != nil {
		t.Errorf("restart of an adopted process: %v", err)
	}
}

func TestRestartIsCompletedByTheNextDaemon(t *testing.T) {
	w := newWorld(t, tcp("http", 22260, 22261))
	w.deploy(process("p", httpPort, "stubborn"))
	p := w.exec("p", 1)[0]
	if _, err := w.Restart(t.Context(), launcher.StopRequest{}); err != nil {
		t.Fatal(err)
	}
	w.close() // before the shutdown timeout is over
	killAndReap(t, p.Identity.PID)
	w.open()
	again := w.awaitProcess(p.ID, func(q launcher.Process) bool {
		return q.Status == launcher.Running && q.Ports[0].State == launcher.PortListening
	})
	if again.Ports[0].Number != p.Ports[0].Number || again.Identity == p.Identity {
		t.Errorf("again %+v, before %+v", again, p)
	}
}

// The daemon was killed when the new incarnation was written down, and before
// its gate was open: it never ran, and is still to be started.
func TestRestartKilledBehindTheGate(t *testing.T) {
	w := newWorld(t, tcp("http", 22262, 22263))
	w.deploy(process("p", httpPort, "serve"))
	p := w.exec("p", 1)[0]
	w.close()
	killAndReap(t, p.Identity.PID)
	e, err := w.store.Get(t.Context(), "processes/local/1")
	if err != nil {
		t.Fatal(err)
	}
	put(t, w.store, e.Key, strings.Replace(string(e.Value), `"status":"starting"`, `"status":"starting","again":true`, 1))
	w.open()
	listening := func(q launcher.Process) bool {
		return q.Status == launcher.Running && q.Ports[0].State == launcher.PortListening
	}
	again := w.awaitProcess(p.ID, listening)
	if again.Ports[0].Number != p.Ports[0].Number || again.Identity == p.Identity {
		t.Errorf("again %+v, before %+v", again, p)
	}

	// The restart is complete now: an end while the daemon is away is an end.
	w.close()
	killAndReap(t, again.Identity.PID)
	w.open()
	if q, err := w.Process(p.ID); err != nil || q.Live() {
		t.Errorf("after its end it is %+v, %v", q, err)
	}
}

func TestEndedAreRememberedAndForgotten(t *testing.T) {
	w := newWorld(t, tcp("http", 22270, 22279))
	w.deploy(process("p", httpPort, "serve"))
	for range 8 {
		p := w.exec("p", 1)[0]
		if _, err := w.Kill(t.Context(), launcher.StopRequest{Hard: true, Wait: patience}); err != nil {
			t.Fatal(err)
		}
		if p.Ports[0].Number != 22270 {
			t.Fatalf("port %d: the lowest one recuperated is the next one leased", p.Ports[0].Number)
		}
	}
	w.reopen()
	all, err := w.Processes(launcher.Selector{Ended: true})
	if err != nil {
		t.Fatal(err)
	}
	var ids []int
	for _, p := range all {
		ids = append(ids, p.ID)
	}
	if want := []int{4, 5, 6, 7, 8}; !slices.Equal(ids, want) {
		t.Errorf("remembered are %v, want %v", ids, want)
	}
	if folders, _ := os.ReadDir(filepath.Join(w.home, "processes")); len(folders) != 5 {
		t.Errorf("%d folders", len(folders))
	}
	if next := w.exec("p", 1); next[0].ID != 9 {
		t.Errorf("the next id is %d", next[0].ID)
	}
}

func TestProcessIsToldOfItsPort(t *testing.T) {
	w := newWorld(t, tcp("http", 22280, 22289))
	w.deploy(`<process name="p"><port name="http"/><generic profile="test"><arg value="${TEST_BINARY}"/><arg value="program"/><arg value="show"/>
		<arg value="${corus.server.port.http}"/><processProperties/></generic></process>`)
	r, err := w.Exec(t.Context(), launcher.ExecRequest{Distribution: "demo", Version: "1.0", Profile: "test", Name: "p"})
	if err != nil {
		t.Fatal(err)
	}
	p := w.awaitEnded(r.Processes[0].ID)
	if p.Exit.Code == nil || *p.Exit.Code != 0 {
		t.Fatalf("exit %+v", p.Exit)
	}
	lines := strings.Split(w.output(p.ID), "\n")
	for _, want := range []string{
		"22280", "-Dcorus.process.port.http=22280", "-Dcorus.server.port.http=22280", "-Dcorus.process.id=1", "-Dcorus.distribution.name=demo",
		"PORT=22280", "CORUS_PROCESS_PORT_HTTP=22280", "corus.process.port.http=22280",
		"BERTH_PROCESS_ID=1", "BERTH_STATE_ID=state", "BERTH_HOME=" + w.home,
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("the process was not told %q", want)
		}
	}
}

// Variables in values of variables are replaced until there is none, whatever
// number of passes a descriptor asks for.
func TestInterpolationPasses(t *testing.T) {
	w := newWorld(t)
	w.deploy(`<process name="p" interpolationPasses="1"><generic profile="test">
		<arg value="${TEST_BINARY}"/><arg value="program"/><arg value="show"/><arg value="passes ${one}"/>
		<property name="three" value="done"/><property name="two" value="$${three} ${three}"/><property name="one" value="${two}"/></generic></process>`)
	p := w.startSome("p", 1)[0]
	w.awaitEnded(p.ID)
	if out := w.output(p.ID); !strings.Contains(out, "\npasses ${three} done\n") {
		t.Errorf("%s", out)
	}
}

func TestSelector(t *testing.T) {
	w := newWorld(t, tcp("http", 22290, 22299), tcp("admin", 22300, 22309))
	w.deploy(process("web", httpPort, "idle") + process("job", `<port name="admin"/>`, "idle"))
	w.deployAs("other", "2.0", process("web", httpPort, "idle"))
	for _, r := range []launcher.ExecRequest{
		{Distribution: "demo", Version: "1.0", Profile: "test", Name: "*"},
		{Distribution: "other", Version: "2.0", Profile: "test", Name: "web"},
	} {
		if _, err := w.Exec(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name     string
		selector launcher.Selector
		want     []int
	}{
		{"all", launcher.Selector{}, []int{1, 2, 3}},
		{"distribution", launcher.Selector{Distribution: "demo"}, []int{1, 2}},
		{"distribution pattern and name", launcher.Selector{Distribution: "*", Name: "web"}, []int{1, 3}},
		{"version", launcher.Selector{Version: "2.*"}, []int{3}},
		{"ids", launcher.Selector{IDs: []int{2, 3}}, []int{2, 3}},
		{"ids and name", launcher.Selector{IDs: []int{2, 3}, Name: "web"}, []int{3}},
		{"range", launcher.Selector{Port: "http:*"}, []int{1, 3}},
		{"port of any range", launcher.Selector{Port: "*:22300"}, []int{2}},
		{"nothing", launcher.Selector{Name: "nobody"}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			list, err := w.Processes(test.selector)
			if err != nil {
				t.Fatal(err)
			}
			var ids []int
			for _, p := range list {
				ids = append(ids, p.ID)
			}
			if !slices.Equal(ids, test.want) {
				t.Errorf("selected %v, want %v", ids, test.want)
			}
		})
	}
	for _, s := range []launcher.Selector{{IDs: []int{99}}, {PIDs: []int{1 << 30}}} {
		if _, err := w.Processes(s); !errors.Is(err, launcher.ErrProcessNotFound) {
			t.Errorf("%+v: %v", s, err)
		}
	}
	for _, port := range []string{"http", ":", "http:", ":8080"} {
		if _, err := w.Processes(launcher.Selector{Port: port}); !errors.Is(err, launcher.ErrInvalid) {
			t.Errorf("port %q: %v", port, err)
		}
	}
	list, err := w.Processes(launcher.Selector{IDs: []int{2}})
	if err != nil {
		t.Fatal(err)
	}
	if byPID, err := w.Processes(launcher.Selector{PIDs: []int{list[0].Identity.PID}}); err != nil || !reflect.DeepEqual(byPID, list) {
		t.Errorf("by pid %+v, %v", byPID, err)
	}
}

func TestUndeploy(t *testing.T) {
	w := newWorld(t, tcp("http", 22310, 22319))
	w.deploy(process("p", httpPort, "serve"))
	w.deployAs("demo", "2.0", process("p", httpPort, "idle"))
	w.exec("p", 1)
	if _, err := w.Undeploy(t.Context(), "demo", "*"); !errors.Is(err, launcher.ErrDistributionRunning) || !strings.Contains(err.Error(), "p #1") {
		t.Errorf("undeploy of a running one: %v", err)
	}
	if n := len(w.Distributions("", "")); n != 2 {
		t.Fatalf("%d distributions are left", n)
	}
	if removed, err := w.Undeploy(t.Context(), "demo", "2.0"); err != nil || len(removed) != 1 {
		t.Errorf("undeploy: %v, %v", removed, err)
	}
	if removed, err := w.Undeploy(t.Context(), "nobody", "*"); err != nil || len(removed) != 0 {
		t.Errorf("undeploy of nothing: %v, %v", removed, err)
	}
	w.reopen()
	if list := w.Distributions("", ""); len(list) != 1 || list[0].Version != "1.0" {
		t.Errorf("after reopening: %+v", list)
	}
	if _, err := os.Stat(filepath.Join(w.home, "distributions", "demo", "2.0")); !os.IsNotExist(err) {
		t.Errorf("its folder: %v", err)
	}
}

func TestDeployTwice(t *testing.T) {
	w := newWorld(t)
	w.deploy(process("p", "", "idle"))
	file := filepath.Join(t.TempDir(), "corus.xml")
	if err := os.WriteFile(file, []byte(`<distribution name="demo" version="1.0">`+process("p", "", "idle")+`</distribution>`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.Deploy(t.Context(), file, "corus.xml"); !errors.Is(err, launcher.ErrDistributionExists) {
		t.Errorf("second deploy: %v", err)
	}
	if err := os.WriteFile(file, []byte(`<distribution name="demo">`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.Deploy(t.Context(), file, "corus.xml"); !errors.Is(err, launcher.ErrDistributionInvalid) {
		t.Errorf("bad deploy: %v", err)
	}
	if left, _ := os.ReadDir(filepath.Join(w.home, "staging")); len(left) != 0 {
		t.Errorf("left in staging: %v", left)
	}
}

func TestBadRecordsDoNotStopTheStart(t *testing.T) {
	w := newWorld(t, tcp("http", 22320, 22329))
	w.deploy(process("p", httpPort, "serve"))
	p := w.exec("p", 1)[0]
	w.close()
	put(t, w.store, "processes/local/77", "{nonsense")
	put(t, w.store, "processes/local/78", `{"id":5}`)
	put(t, w.store, "distributions/bad/1", "[")
	w.open()
	if got, err := w.Process(p.ID); err != nil || got.Status != launcher.Running {
		t.Errorf("process %+v, %v", got, err)
	}
	if next := w.exec("p", 1); next[0].ID != 79 {
		t.Errorf("the next id is %d: one of a record that cannot be read is not used again", next[0].ID)
	}
}

// killAndReap kills a child of this process that nobody owns.
func killAndReap(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for {
		_, err := syscall.Wait4(pid, nil, 0, nil)
		if !errors.Is(err, syscall.EINTR) {
			if err != nil {
				t.Fatal(err)
			}
			return
		}
	}
}
