package launcher_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth/launcher"
	"berth/lease"
	"berth/store/storetest"
)

// looked is a process element with attributes of its own.
func looked(name, attributes, ports, program string) string {
	return strings.Replace(process(name, ports, program), "<process ", "<process "+attributes+" ", 1)
}

func (w *world) awaitStatus(id int, s launcher.Status) launcher.Process {
	w.t.Helper()
	return w.awaitProcess(id, func(p launcher.Process) bool { return p.Status == s })
}

func (w *world) startSome(name string, instances int) []launcher.Process {
	w.t.Helper()
	r, err := w.Exec(w.t.Context(), launcher.ExecRequest{Distribution: "demo", Version: "1.0", Profile: "test", Name: name, Instances: instances})
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Processes
}

func killPID(t *testing.T, p launcher.Process) {
	t.Helper()
	if err := syscall.Kill(p.Identity.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

func TestProcessesThatCrashAtOnceComeBack(t *testing.T) {
	const n = 200
	w := newWorld(t, lease.Range{Name: "http", Min: 26000, Max: 26000 + n - 1})
	w.deploy(looked("p", `restart="on-failure"`, `<port name="http"/>`, "idle"))
	before := w.startSome("p", n)
	held := w.leases.Leases()
	for _, p := range before {
		w.awaitStatus(p.ID, launcher.Running)
	}
	for _, p := range before {
		killPID(t, p)
	}
	for _, p := range before {
		again := w.awaitProcess(p.ID, func(q launcher.Process) bool {
			return q.Status == launcher.Running && q.Identity != p.Identity && !q.Again
		})
		if !slices.Equal(numbers([]launcher.Process{again}), numbers([]launcher.Process{p})) {
			t.Errorf("process %d had port %v and has %v", p.ID, numbers([]launcher.Process{p}), numbers([]launcher.Process{again}))
		}
		if again.Restarts != 1 || again.LastExit == nil || again.LastExit.Signal != "SIGKILL" {
			t.Errorf("restarts %d, last exit %+v", again.Restarts, again.LastExit)
		}
	}
	if after := w.leases.Leases(); len(after) != len(held) {
		t.Errorf("%d leases, had %d", len(after), len(held))
	}
}

func TestReviveListensAgainOnItsPort(t *testing.T) {
	w := newWorld(t, lease.Range{Name: "http", Min: 26000, Max: 26003})
	w.deploy(looked("p", `restart="always"`, `<port name="http"/>`, "serve"))
	p := w.exec("p", 2)[0]
	killPID(t, p)
	w.awaitProcess(p.ID, func(q launcher.Process) bool {
		return q.Identity != p.Identity && q.Ports[0].Number == p.Ports[0].Number && q.Ports[0].State == launcher.PortListening
	})
}

func TestCrashLoopStopsAtItsLimit(t *testing.T) {
	w := newWorld(t, lease.Range{Name: "http", Min: 26000, Max: 26000})
	w.deploy(looked("p", `restart="always" maxRestarts="2"`, `<port name="http"/>`, "die"))
	p := w.awaitEnded(w.start("p").ID)
	if p.Exit.Code == nil || *p.Exit.Code != 7 || p.Exit.Reason != "exited 3 times in a row, last with code 7: not started again" {
		t.Errorf("exit %+v", p.Exit)
	}
	if p.Restarts != 2 || strings.Count(w.output(p.ID), "first line") != 3 {
		t.Errorf("restarts %d, output %q", p.Restarts, w.output(p.ID))
	}
	if left := w.leases.Leases(); len(left) > 0 {
		t.Errorf("leases %v", left)
	}
}

// TestCrashLoopOfWhatNeverListens has a process run for longer than its definition
// calls a good run, which it is not where it never listened on its port.
func TestCrashLoopOfWhatNeverListens(t *testing.T) {
	w := newWorld(t, lease.Range{Name: "http", Min: 26000, Max: 26003})
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	apps := `{"name": "apps", "version": "1.0", "apps": [{"name": "p", "script": %q, "args": ["program", "die"], "port": "http",
		"min_uptime": 1, "max_restarts": 2}]}`
	file := filepath.Join(t.TempDir(), "apps.json")
	if err := os.WriteFile(file, fmt.Appendf(nil, apps, binary), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.Deploy(t.Context(), file, "apps.json"); err != nil {
		t.Fatal(err)
	}
	r, err := w.Exec(t.Context(), launcher.ExecRequest{Distribution: "apps", Version: "1.0", Profile: "default"})
	if err != nil {
		t.Fatal(err)
	}
	if p := w.awaitEnded(r.Processes[0].ID); p.Restarts != 2 {
		t.Errorf("it was started again %d times: %+v", p.Restarts, p.Exit)
	}
}

// TestWaitForACrashLoop is told of the loop long before it ends.
func TestWaitForACrashLoop(t *testing.T) {
	w := newWorld(t, lease.Range{Name: "http", Min: 26000, Max: 26003})
	w.deploy(looked("p", `restart="always" maxRestarts="1000"`, `<port name="http"/>`, "die"))
	_, err := w.Exec(t.Context(), launcher.ExecRequest{Distribution: "demo", Version: "1.0", Profile: "test", Name: "p", Wait: time.Hour})
	if !errors.Is(err, launcher.ErrExecFailed) || !strings.Contains(err.Error(), "times in a row, last with code 7") || !strings.Contains(err.Error(), "cannot find my configuration") {
		t.Errorf("error %v", err)
	}
	if p, err := w.Process(1); err != nil || !p.Live() {
		t.Errorf("process %+v, error %v", p, err)
	}
}

func TestWhichEndsAreRevived(t *testing.T) {
	for _, tt := range []struct {
		attributes, program string
		runs                int
	}{
		{``, "die", 1},
		{`restart="never"`, "die", 1},
		{`restart="on-failure" maxRestarts="1"`, "show", 1}, // ends with code 0
		{`restart="on-failure" maxRestarts="1"`, "die", 2},
		{`restart="always" maxRestarts="1"`, "show", 2},
		{`restart="always" maxRestarts="0"`, "die", 1},
	} {
		t.Run(tt.attributes+" "+tt.program, func(t *testing.T) {
			w := newWorld(t)
			w.deploy(looked("p", tt.attributes, "", tt.program))
			p := w.awaitEnded(w.start("p").ID)
			if p.Restarts != tt.runs-1 {
				t.Errorf("it was started again %d times: %+v", p.Restarts, p.Exit)
			}
			if says := strings.Contains(p.Exit.Reason, "in a row"); says != (tt.runs == 2) {
				t.Errorf("reason %q", p.Exit.Reason)
			}
		})
	}
}

// waiting has a process wait that has crashed again and again.
func (w *world) waiting() launcher.Process {
	w.t.Helper()
	w.deploy(looked("p", `restart="always" maxRestarts="1000"`, `<port name="http"/>`, "die"))
	id := w.start("p").ID
	return w.awaitProcess(id, func(p launcher.Process) bool { return p.Status == launcher.Waiting && p.InARow >= 4 })
}

func TestKillWhileWaiting(t *testing.T) {
	w := newWorld(t, lease.Range{Name: "http", Min: 26000, Max: 26000})
	p := w.waiting()
	if p.PID() != 0 || p.Due.IsZero() || len(w.leases.Leases()) != 1 {
		t.Errorf("while it waits: pid %d, due %v, leases %v", p.PID(), p.Due, w.leases.Leases())
	}
	if _, err := w.Kill(t.Context(), launcher.StopRequest{Selector: launcher.Selector{IDs: []int{p.ID}}}); err != nil {
		t.Fatal(err)
	}
	p, err := w.Process(p.ID)
	if err != nil || p.Live() || p.Exit.Reason != "stopped by request" || *p.Exit.Code != 7 {
		t.Errorf("%+v %+v, %v", p, p.Exit, err)
	}
	if left := w.leases.Leases(); len(left) > 0 {
		t.Errorf("leases %v", left)
	}
}

func TestRestartWhileWaiting(t *testing.T) {
	w := newWorld(t, lease.Range{Name: "http", Min: 26000, Max: 26000})
	p := w.waiting()
	if _, err := w.Restart(t.Context(), launcher.StopRequest{Selector: launcher.Selector{IDs: []int{p.ID}}}); err != nil {
		t.Fatal(err)
	}
	again := w.awaitProcess(p.ID, func(q launcher.Process) bool { return q.Restarts > p.Restarts })
	if again.InARow >= p.InARow || again.Ports[0].Number != 26000 {
		t.Errorf("%+v", again)
	}
}

func TestDaemonGoneWhileWaiting(t *testing.T) {
	w := newWorld(t, lease.Range{Name: "http", Min: 26000, Max: 26000})
	p := w.waiting()
	w.reopen()
	again := w.awaitProcess(p.ID, func(q launcher.Process) bool { return q.Restarts > p.Restarts })
	if again.InARow <= p.InARow || again.Ports[0].Number != 26000 || len(w.leases.Leases()) != 1 {
		t.Errorf("%+v", again)
	}
}

func TestCrashWhileTheDaemonIsAway(t *testing.T) {
	for policy, revived := range map[string]bool{"never": false, "on-failure": true, "always": true} {
		t.Run(policy, func(t *testing.T) {
			w := newWorld(t, lease.Range{Name: "http", Min: 26000, Max: 26000})
			w.deploy(looked("p", fmt.Sprintf("restart=%q", policy), `<port name="http"/>`, "serve"))
			p := w.exec("p", 1)[0]
			w.close()
			killPID(t, p)
			w.open()
			if !revived {
				w.awaitEnded(p.ID)
				return
			}
			w.awaitProcess(p.ID, func(q launcher.Process) bool {
				return q.Identity != p.Identity && q.Ports[0].State == launcher.PortListening && q.Ports[0].Number == 26000
			})
		})
	}
}

// Nothing is revived by a later boot: what shall run then is for a start at boot to say.
func TestNothingIsRevivedByAnotherBoot(t *testing.T) {
	w := newWorld(t, lease.Range{Name: "http", Min: 26000, Max: 26000})
	p := w.waiting()
	w.close()
	value, err := w.store.Get(t.Context(), fmt.Sprintf("processes/local/%d", p.ID))
	if err != nil {
		t.Fatal(err)
	}
	put(t, w.store, value.Key, strings.Replace(string(value.Value), p.Identity.BootID, strings.Repeat("0", 36), 1))
	w.open()
	if p := w.awaitEnded(p.ID); p.Exit.Reason != "ended while the daemon was away" || len(w.leases.Leases()) > 0 {
		t.Errorf("%+v, leases %v", p.Exit, w.leases.Leases())
	}
}

func TestPortTakenWhileWaiting(t *testing.T) {
	w := newWorld(t, lease.Range{Name: "http", Min: 26000, Max: 26001})
	p := w.waiting()
	w.take(p.Ports[0].Number)
	again := w.awaitProcess(p.ID, func(q launcher.Process) bool { return q.Restarts > p.Restarts && q.Status == launcher.Waiting })
	if again.Ports[0].Number == p.Ports[0].Number || again.Retries != 1 || len(w.leases.Leases()) != 1 {
		t.Errorf("it has port %v, retries %d", again.Ports, again.Retries)
	}
	if r := w.leases.Ranges("http"); len(r) != 1 || len(r[0].SetAside) != 1 {
		t.Errorf("%+v", r)
	}
}

// A process that cannot be started waits for the next time, and ends at its limit.
func TestReviveThatFails(t *testing.T) {
	w := newWorld(t, lease.Range{Name: "http", Min: 26000, Max: 26000})
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\nsleep 1000\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.deploy(fmt.Sprintf(`<process name="p" restart="always" maxRestarts="2"><port name="http"/><generic profile="test"><arg value=%q/></generic></process>`, program))
	p := w.start("p")
	w.awaitStatus(p.ID, launcher.Running)
	if err := os.Remove(program); err != nil {
		t.Fatal(err)
	}
	killPID(t, p)
	if p = w.awaitEnded(p.ID); !strings.HasPrefix(p.Exit.Reason, "could not be started again: ") || !strings.HasSuffix(p.Exit.Reason, "(2 times in a row)") {
		t.Errorf("%+v", p.Exit)
	}
}

// What was not written down, or may not have been, does not keep a process from being started again.
func TestReviveWhoseCommitFails(t *testing.T) {
	for fault, name := range map[storetest.Fault]string{storetest.Conflict: "conflict", storetest.UnknownLost: "lost", storetest.UnknownApplied: "applied"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, lease.Range{Name: "http", Min: 26000, Max: 26000})
			w.close()
			faulty := storetest.NewFaulty(w.store)
			w.store = faulty
			w.open()
			p := w.waiting()
			faulty.FailCommit(faulty.Commits()+1, fault) // that of its start
			q := w.awaitProcess(p.ID, func(q launcher.Process) bool { return q.Restarts > p.Restarts })
			if q.InARow < p.InARow+2 || q.Ports[0].Number != 26000 || len(w.leases.Leases()) != 1 {
				t.Errorf("%+v", q)
			}
		})
	}
}
