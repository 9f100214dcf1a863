package launcher_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"berth/launcher"
)

// take binds a port before the process that has leased it.
func (w *world) take(port int) {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = l.Close() })
}

// tell has the process that waits for it do something.
func (w *world) tell(what string, port int) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.home, fmt.Sprintf("%s-%d", what, port)), nil, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// start starts a process of demo 1.0 and does not wait for it to listen.
func (w *world) start(name string) launcher.Process {
	w.t.Helper()
	r, err := w.Exec(w.t.Context(), launcher.ExecRequest{Distribution: "demo", Version: "1.0", Profile: "test", Name: name})
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Processes[0]
}

// awaitRetry waits until a process was started again on other ports n times.
func (w *world) awaitRetry(id, n int) launcher.Process {
	w.t.Helper()
	return w.awaitProcess(id, func(p launcher.Process) bool {
		return !p.Live() || p.Retries == n && p.Status == launcher.Running
	})
}

func (w *world) asidePorts(name string) (ports []int) {
	for _, s := range w.leases.Ranges(name)[0].SetAside {
		ports = append(ports, s.Port)
	}
	return ports
}

// Whoever waits for the process goes on waiting, and is told of the port that
// it has at last.
func TestLostRaceIsTriedOnAnotherPort(t *testing.T) {
	w := newWorld(t, tcp("http", 22400, 22405))
	w.deploy(process("p", httpPort, "late"))
	type outcome struct {
		launcher.ExecResult
		err error
	}
	done := make(chan outcome)
	go func() {
		r, err := w.Exec(t.Context(), launcher.ExecRequest{Distribution: "demo", Version: "1.0", Profile: "test", Name: "p", Wait: patience})
		done <- outcome{r, err}
	}()
	for w.Running() == 0 {
		runtime.Gosched()
	}
	before := w.awaitRetry(1, 0)
	w.take(22400)
	w.tell("bind", 22400)
	again := w.awaitRetry(1, 1)
	if !again.Live() {
		t.Fatalf("it ended: %+v", again.Exit)
	}
	if again.Ports[0].Number != 22401 || again.Ports[0].Lease == before.Ports[0].Lease || again.Identity == before.Identity {
		t.Errorf("again %+v, before %+v", again, before)
	}
	for _, part := range []string{"http port 22400", fmt.Sprintf("in use by pid %d (", os.Getpid())} {
		if !strings.Contains(again.Retried, part) {
			t.Errorf("%q does not say %q", again.Retried, part)
		}
	}
	aside := w.leases.Ranges("http")[0].SetAside
	if len(aside) != 1 || aside[0].Port != 22400 || aside[0].PID != os.Getpid() {
		t.Errorf("set aside: %+v", aside)
	}
	if held := w.leases.ByProcess(1); len(held) != 1 || held[0].Port != 22401 || held[0].ID != again.Ports[0].Lease {
		t.Errorf("leases %+v", held)
	}

	w.tell("bind", 22401)
	o := <-done
	if o.err != nil || o.Processes[0].Ports[0].Number != 22401 || o.Processes[0].Ports[0].State != launcher.PortListening || o.Processes[0].Retries != 1 {
		t.Errorf("exec: %+v, %v", o.Processes, o.err)
	}

	// It is written down, and a restart that was asked for begins to count anew.
	w.reopen()
	if p, err := w.Process(1); err != nil || p.Retries != 1 || p.Retried != again.Retried || p.Ports[0].Number != 22401 {
		t.Errorf("after reopening %+v, %v", p, err)
	}
	after, err := w.Restart(t.Context(), launcher.StopRequest{Wait: patience})
	if err != nil || after[0].Retries != 0 || after[0].Retried != "" || after[0].Ports[0].Number != 22401 {
		t.Errorf("after a restart %+v, %v", after, err)
	}
}

// Only what was taken changes.
func TestLostRaceKeepsTheOtherPorts(t *testing.T) {
	w := newWorld(t, tcp("http", 22410, 22415), tcp("admin", 22416, 22419))
	w.deploy(process("p", httpPort+`<port name="admin"/>`, "late"))
	before := w.start("p")
	w.take(22416)
	w.take(22410)
	w.tell("bind", 22410)
	again := w.awaitRetry(1, 1)
	if got := numbers([]launcher.Process{again}); !slices.Equal(got, []int{22411, 22417}) {
		t.Errorf("ports %v", got)
	}
	w.take(22411)
	w.tell("bind", 22411)
	third := w.awaitRetry(1, 2)
	if third.Ports[0].Number != 22412 || third.Ports[1] != again.Ports[1] || third.ID != before.ID {
		t.Errorf("ports %+v, before %+v", third.Ports, again.Ports)
	}
	if got := numbers([]launcher.Process{third}); len(w.leases.Leases()) != 2 || !slices.Equal(got, []int{22412, 22417}) {
		t.Errorf("leases %+v", w.leases.Leases())
	}
}

func TestLostRaceIsTriedThreeTimes(t *testing.T) {
	w := newWorld(t, tcp("http", 22420, 22429))
	w.deploy(process("p", httpPort, "late"))
	p := w.start("p")
	for i := range 4 {
		p = w.awaitRetry(p.ID, i)
		if got := p.Ports[0].Number; got != 22420+i {
			t.Fatalf("retry %d is on port %d: %+v", i, got, p.Exit)
		}
		w.take(22420 + i)
		w.tell("bind", 22420+i)
	}
	p = w.awaitEnded(p.ID)
	if p.Retries != 3 || p.Exit.Code == nil || *p.Exit.Code != 3 {
		t.Errorf("ended as %+v, %+v", p, p.Exit)
	}
	for _, part := range []string{"http port 22423", "in use by pid", "after 3 starts on other ports"} {
		if !strings.Contains(p.Exit.Reason, part) {
			t.Errorf("reason %q does not say %q", p.Exit.Reason, part)
		}
	}
	if got := w.asidePorts("http"); !slices.Equal(got, []int{22420, 22421, 22422, 22423}) || len(w.leases.Leases()) != 0 {
		t.Errorf("set aside %v, leases %v", got, w.leases.Leases())
	}
}

func TestLostRaceWithoutAnotherPort(t *testing.T) {
	w := newWorld(t, tcp("http", 22430, 22430))
	w.deploy(process("p", httpPort, "late"))
	p := w.start("p")
	w.take(22430)
	w.tell("bind", 22430)
	p = w.awaitEnded(p.ID)
	if p.Retries != 0 || !strings.Contains(p.Exit.Reason, "http port 22430 was taken") || !strings.Contains(p.Exit.Reason, "no other can be leased: range http") {
		t.Errorf("ended as %+v, %+v", p, p.Exit)
	}
	if got := w.asidePorts("http"); !slices.Equal(got, []int{22430}) {
		t.Errorf("set aside %v", got)
	}
}

// What ends for a reason of its own is not started again, even if its port is
// not to be had.
func TestOtherEndsAreNotTriedAgain(t *testing.T) {
	t.Run("it had listened", func(t *testing.T) {
		w := newWorld(t, tcp("http", 22440, 22442))
		w.deploy(process("p", httpPort, "closer"))
		p := w.exec("p", 1)[0]
		w.tell("close", 22440)
		for !strings.Contains(w.output(p.ID), "closed") {
			runtime.Gosched()
		}
		w.take(22440)
		w.tell("bind", 22440)
		if p = w.awaitRetry(p.ID, 1); p.Live() || p.Exit.Reason != "ended by itself" {
			t.Errorf("%+v, %+v", p, p.Exit)
		}
	})
	t.Run("it did what it had to", func(t *testing.T) {
		w := newWorld(t, tcp("http", 22443, 22445))
		w.deploy(process("p", httpPort, "done"))
		p := w.start("p")
		w.take(22443)
		w.tell("bind", 22443)
		if p = w.awaitRetry(p.ID, 1); p.Live() || p.Exit.Reason != "ended by itself" {
			t.Errorf("%+v, %+v", p, p.Exit)
		}
	})
	t.Run("it was killed", func(t *testing.T) {
		w := newWorld(t, tcp("http", 22446, 22448))
		w.deploy(process("p", httpPort, "late"))
		p := w.start("p")
		w.take(22446)
		if err := syscall.Kill(p.Identity.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if p = w.awaitRetry(p.ID, 1); p.Live() || p.Exit.Signal != "SIGKILL" {
			t.Errorf("%+v, %+v", p, p.Exit)
		}
	})
	t.Run("it crashed, and nobody has its port", func(t *testing.T) {
		w := newWorld(t, tcp("http", 22449, 22451))
		w.deploy(process("p", httpPort, "die"))
		p := w.start("p")
		if p = w.awaitRetry(p.ID, 1); p.Live() || p.Exit.Reason != "ended by itself" {
			t.Errorf("%+v, %+v", p, p.Exit)
		}
	})
	for i, how := range []string{"listen", "hold"} {
		t.Run("the daemon has its port for it, handoff="+how, func(t *testing.T) {
			port := 22455 + i
			w := newWorld(t, tcp("http", port, port+1))
			w.deploy(process("p", fmt.Sprintf(`<port name="http" handoff=%q/>`, how), "die"))
			p := w.start("p")
			if p = w.awaitRetry(p.ID, 1); p.Live() || p.Exit.Reason != "ended by itself" {
				t.Errorf("%+v, %+v", p, p.Exit)
			}
		})
	}
	t.Run("what it left behind has its port", func(t *testing.T) {
		w := newWorld(t, tcp("http", 22452, 22454))
		w.deploy(process("p", httpPort, "hoarder"))
		p := w.start("p")
		p = w.awaitRetry(p.ID, 1)
		if p.Live() || p.Exit.Reason != "ended by itself" {
			t.Errorf("%+v, %+v", p, p.Exit)
		}
		left := w.leases.Ranges("http")[0].SetAside
		if len(left) != 1 || left[0].PID == 0 {
			t.Fatalf("set aside: %+v", left)
		}
		if err := syscall.Kill(left[0].PID, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	})
}

// The daemon was killed when the retry was written down, and before its gate
// was open: the next one starts it, on the port that it has by then.
func TestRetryKilledBehindTheGate(t *testing.T) {
	w := newWorld(t, tcp("http", 22460, 22465))
	w.deploy(process("p", httpPort, "late"))
	p := w.start("p")
	w.take(22460)
	w.tell("bind", 22460)
	p = w.awaitRetry(p.ID, 1)
	w.close()
	killAndReap(t, p.Identity.PID)
	e, err := w.store.Get(t.Context(), "processes/local/1")
	if err != nil {
		t.Fatal(err)
	}
	put(t, w.store, e.Key, strings.Replace(string(e.Value), `"status":"starting"`, `"status":"starting","again":true`, 1))
	w.open()
	again := w.awaitRetry(p.ID, 1)
	if !again.Live() || again.Ports[0].Number != 22461 || again.Identity == p.Identity {
		t.Errorf("%+v, before %+v", again, p)
	}
}
