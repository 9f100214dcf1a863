package launcher_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/internal/require"
	"berth/launcher"
	"berth/lease"
	"berth/proc"

	"golang.org/x/sys/unix"
)

// All of a process group ends with its leader, also what does not mind being
// asked, of children of this daemon and of adopted ones; the port is free then.
func TestKillEndsTheWholeGroup(t *testing.T) {
	for _, adopted := range []bool{false, true} {
		for _, hard := range []bool{false, true} {
			t.Run(fmt.Sprintf("adopted %v, hard %v", adopted, hard), func(t *testing.T) {
				w := newWorld(t, lease.Range{Name: "http", Min: 26300, Max: 26300})
				w.deploy(process("p", `<port name="http"/>`, "patron"))
				p := w.exec("p", 1)[0]
				child, err := strconv.Atoi(regexp.MustCompile(`child (\d+)`).FindStringSubmatch(w.output(p.ID))[1])
				if err != nil {
					t.Fatal(err)
				}
				if adopted {
					w.reopen()
				}
				if _, err := w.Kill(t.Context(), launcher.StopRequest{Hard: hard, Wait: patience}); err != nil {
					t.Fatal(err)
				}
				session, err := proc.Session(p.Identity.PID)
				if err != nil || len(session) > 0 {
					t.Errorf("pids %v are left (the child was %d), %v", session, child, err)
				}
				if r := w.leases.Ranges("http")[0]; len(r.SetAside) > 0 || len(r.Active) > 0 {
					t.Errorf("%+v", r)
				}
			})
		}
	}
}

// What does not end when it is asked to is forced after its own time, in
// milliseconds, and not before.
func TestShutdownTimeout(t *testing.T) {
	w := newWorld(t, lease.Range{Name: "http", Min: 26330, Max: 26331})
	timeout := func(name, ms string) string {
		return strings.Replace(process(name, `<port name="http"/>`, "stubborn"), `shutdownTimeout="400"`, `shutdownTimeout="`+ms+`"`, 1)
	}
	w.deploy(timeout("patient", "3600000") + timeout("short", "100"))
	patient, short := w.exec("patient", 1)[0], w.exec("short", 1)[0]
	before := time.Now()
	if _, err := w.Kill(t.Context(), launcher.StopRequest{}); err != nil {
		t.Fatal(err)
	}
	p := w.awaitEnded(short.ID)
	if took := time.Since(before); p.Exit.Signal != "SIGKILL" || took < 100*time.Millisecond {
		t.Errorf("after %v %+v", took, p.Exit)
	}
	if p, err := w.Process(patient.ID); err != nil || p.Status != launcher.Stopping {
		t.Errorf("%+v, %v", p, err)
	}
}

// The folder of a process goes with it where its descriptor says so and it was
// killed, not when it ends by itself.
func TestDeleteOnKill(t *testing.T) {
	w := newWorld(t)
	w.deploy(looked("killed", `deleteOnKill="true"`, "", "idle") + looked("ends", `deleteOnKill="true"`, "", "die") + process("stays", "", "idle"))
	for name, gone := range map[string]bool{"killed": true, "ends": false, "stays": false} {
		p := w.start(name)
		if name != "ends" {
			w.awaitStatus(p.ID, launcher.Running)
			if _, err := w.Kill(t.Context(), launcher.StopRequest{Selector: launcher.Selector{IDs: []int{p.ID}}, Hard: true}); err != nil {
				t.Fatal(err)
			}
		}
		w.awaitEnded(p.ID)
		// It is removed right after the end is told.
		for deadline := time.Now().Add(patience); ; runtime.Gosched() {
			_, err := os.Stat(w.Dir(p.ID))
			if errors.Is(err, fs.ErrNotExist) == gone {
				break
			}
			if !gone || time.Now().After(deadline) {
				t.Errorf("%s: its folder: %v", name, err)
				break
			}
		}
	}
}

// A process that does not end although it is killed is killed again, so many
// times as its descriptor says; then it is left alone with its port until it is gone or
// somebody asks anew.
func TestMaxKillRetry(t *testing.T) {
	w := newWorld(t, lease.Range{Name: "http", Min: 26310, Max: 26310})
	w.killPause = 5 * time.Millisecond
	w.reopen()
	w.deploy(looked("p", `maxKillRetry="2"`, `<port name="http"/>`, "serve"))
	p := w.exec("p", 1)[0]
	letGo := keepFromEnding(t, p.Identity.PID)
	for asked := 1; asked <= 2; asked++ {
		if _, err := w.Kill(t.Context(), launcher.StopRequest{Hard: true}); err != nil {
			t.Fatal(err)
		}
		w.awaitLogged("does not end although it was killed", asked)
		if n := w.countLogged("is killed again"); n != 2*asked {
			t.Errorf("asked %d times it was killed again %d times", asked, n)
		}
	}
	if p, err := w.Process(p.ID); err != nil || p.Status != launcher.Stopping || len(w.leases.Leases()) != 1 {
		t.Errorf("%+v, %v, leases %v", p, err, w.leases.Leases())
	}
	letGo()
	if p := w.awaitEnded(p.ID); p.Exit.Signal != "SIGKILL" {
		t.Errorf("%+v", p.Exit)
	}
	if r := w.leases.Ranges("http")[0]; len(r.Available) != 1 {
		t.Errorf("%+v", r)
	}
}

// keepFromEnding has a process stop at its exit, whatever kills it, until the
// returned function is called: it waits for its tracer then, see
// PTRACE_O_TRACEEXIT in ptrace(2).
func keepFromEnding(t *testing.T, pid int) (letGo func()) {
	t.Helper()
	seized, asked, done := make(chan error), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // the tracer is a thread
		defer runtime.UnlockOSThread()
		_, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(pid), 0, unix.PTRACE_O_TRACEEXIT, 0, 0)
		if errno != 0 {
			seized <- errno
			return
		}
		seized <- nil
		<-asked
		if err := unix.PtraceDetach(pid); err != nil {
			t.Error(err)
		}
	}()
	if err := <-seized; err != nil {
		require.Missing(t, fmt.Sprintf("the right to trace a child (%v)", err), "allow ptrace")
	}
	letGo = sync.OnceFunc(func() { close(asked); <-done })
	t.Cleanup(letGo)
	return letGo
}

// countLogged is how many lines of the log have a text.
func (w *world) countLogged(text string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.countLoggedLocked(text)
}

func (w *world) countLoggedLocked(text string) (n int) {
	for _, line := range w.logged {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// awaitLogged waits until so many lines of the log have a text.
func (w *world) awaitLogged(text string, n int) {
	w.t.Helper()
	deadline := time.After(patience)
	for {
		w.mu.Lock()
		if w.countLoggedLocked(text) >= n {
			w.mu.Unlock()
			return
		}
		if w.more == nil {
			w.more = make(chan struct{})
		}
		more := w.more
		w.mu.Unlock()
		select {
		case <-more:
		case <-deadline:
			w.t.Fatalf("%q is not in the log %d times", text, n)
		}
	}
}

// Execs at once start no more instances together than there may be.
func TestMaxInstancesOfExecsAtOnce(t *testing.T) {
	w := newWorld(t)
	w.deploy(looked("p", `maxInstances="2"`, "", "idle"))
	var group sync.WaitGroup
	refused := make(chan error, 8)
	for range cap(refused) {
		group.Go(func() {
			_, err := w.Exec(t.Context(), launcher.ExecRequest{Distribution: "demo", Version: "1.0", Profile: "test", Name: "p"})
			refused <- err
		})
	}
	group.Wait()
	close(refused)
	started := 0
	for err := range refused {
		switch {
		case err == nil:
			started++
		case !errors.Is(err, launcher.ErrExecRefused) || !strings.Contains(err.Error(), "may have 2 instances"):
			t.Error(err)
		}
	}
	if started != 2 || w.Running() != 2 {
		t.Errorf("%d started, %d run", started, w.Running())
	}
	// One exec that names it twice is one too many as well.
	if _, err := w.Kill(t.Context(), launcher.StopRequest{Hard: true, Wait: patience}); err != nil {
		t.Fatal(err)
	}
	part := launcher.ExecPart{Distribution: "demo", Version: "1.0", Profile: "test", Name: "p", Instances: 2}
	if _, err := w.Exec(t.Context(), launcher.ExecRequest{Parts: []launcher.ExecPart{part, part}}); !errors.Is(err, launcher.ErrExecRefused) || w.Running() != 0 {
		t.Errorf("%v, %d run", err, w.Running())
	}
}
