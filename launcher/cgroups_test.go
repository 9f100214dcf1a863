package launcher_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"berth/internal/require"
	"berth/launcher"
	"berth/launcher/cgroup"
	"berth/lease"
	"berth/proc"

	"golang.org/x/sys/unix"
)

// newGroupedWorld makes a world whose processes live in cgroups.
func newGroupedWorld(t *testing.T, ranges ...lease.Range) *world {
	t.Helper()
	p, err := cgroup.Open(fmt.Sprint(t.Name(), os.Getpid()))
	if errors.Is(err, cgroup.ErrUnsupported) {
		require.Missing(t, "cgroups of version 2 ("+err.Error()+")", "run the tests as root or in a delegated cgroup, on Linux 5.14 or later")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		eventually(t, func() (bool, string) {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
			ids, err := p.IDs()
			return errors.Is(err, os.ErrNotExist), fmt.Sprintf("cgroups are left of %v", ids)
		})
	})
	w := newWorld(t, ranges...)
	w.close()
	w.cgroups = p
	w.open()
	return w
}

var childPID = regexp.MustCompile(`(?m)^child (\d+)$`)

// desert starts a deserter and returns it with the pid of its child, which has
// its port.
func (w *world) desert() (launcher.Process, int) {
	w.t.Helper()
	r, err := w.Exec(w.t.Context(), launcher.ExecRequest{Distribution: "demo", Version: "1.0", Profile: "test", Name: "deserter"})
	if err != nil {
		w.t.Fatal(err)
	}
	p := w.awaitDeserted(r.Processes[0].ID, 1)
	found := childPID.FindStringSubmatch(w.output(p.ID))
	if found == nil {
		w.t.Fatalf("it says %q", w.output(p.ID))
	}
	pid, _ := strconv.Atoi(found[1])
	w.t.Cleanup(func() { _ = unix.Kill(pid, unix.SIGKILL) })
	if _, err := proc.Identify(pid); err != nil {
		w.t.Fatal(err)
	}
	return p, pid
}

// awaitDeserted waits until the nth child of a deserter is nobody's and listens.
func (w *world) awaitDeserted(id, n int) launcher.Process {
	w.t.Helper()
	eventually(w.t, func() (bool, string) {
		out := w.output(id)
		return strings.Count(out, "deserted\n") >= n, fmt.Sprintf("process %d says %q", id, out)
	})
	// To whom it belongs depends on when it was seen first.
	return w.awaitProcess(id, func(p launcher.Process) bool {
		return p.Status == launcher.Running && p.Ports[0].State != launcher.PortLeased
	})
}

// runs reports whether a process is there that is no zombie.
func runs(pid int) bool {
	id, err := proc.Identify(pid)
	if err != nil {
		return false
	}
	handle, err := proc.Open(id)
	if err != nil {
		return false
	}
	defer handle.Close()
	return handle.Signal(0) == nil
}

func (w *world) kill(id int, hard bool) {
	w.t.Helper()
	if _, err := w.Kill(w.t.Context(), launcher.StopRequest{Selector: launcher.Selector{IDs: []int{id}}, Hard: hard, Wait: patience}); err != nil {
		w.t.Fatal(err)
	}
}

// Without cgroups, what has left the session of a process keeps its port, which
// is set aside.
func TestKillDoesNotReachDeserters(t *testing.T) {
	w := newWorld(t, tcp("http", 23940, 23941))
	w.deploy(process("deserter", httpPort, "deserter"))
	p, child := w.desert()
	w.kill(p.ID, true)
	if aside := w.leases.Ranges("http")[0].SetAside; len(aside) != 1 || aside[0].Port != 23940 || aside[0].PID != child || !runs(child) {
		t.Errorf("set aside is %+v; pid %d runs: %v", aside, child, runs(child))
	}
}

// With cgroups kill reaches it, however it was asked for, and whichever daemon does it.
func TestKillReachesDeserters(t *testing.T) {
	w := newGroupedWorld(t, tcp("http", 23942, 23945))
	w.deploy(process("deserter", httpPort, "deserter") + process("p", httpPort, "serve"))
	neighbour := w.exec("p", 1)[0]
	for name, kill := range map[string]func(id int){
		"forced":             func(id int) { w.kill(id, true) },
		"asked":              func(id int) { w.kill(id, false) },
		"by the next daemon": func(id int) { w.reopen(); w.kill(id, false) },
		"after a restart":    func(id int) { w.restart(id); w.kill(id, true) },
		"with a lost record": func(id int) {
			w.lost = true
			w.reopenWith(w.content("ranges/", "distributions/"), true)
			w.kill(id, true)
		},
		"of which only it is": func(id int) { w.killWhileAway(id) },
	} {
		p, child := w.desert()
		if in, err := cgroup.Of(p.Identity.PID); err != nil || in != p.Cgroup || in != w.cgroups.Path(p.ID) {
			t.Errorf("%s: it is in the cgroup %q, %v, and its record says %q", name, in, err, p.Cgroup)
		}
		kill(p.ID)
		if r := w.leases.Ranges("http")[0]; len(r.SetAside) != 0 || !slices.Equal(r.Available, []int{23943, 23944, 23945}) {
			t.Errorf("%s: available are %v, set aside %+v", name, r.Available, r.SetAside)
		}
		if runs(child) {
			t.Errorf("%s: pid %d still runs", name, child)
		}
		w.awaitNoCgroup(p.ID)
		w.lost = false
		if now, err := w.Process(neighbour.ID); err != nil || now.Identity != neighbour.Identity || !now.Live() {
			t.Errorf("%s: its neighbour is %+v, %v", name, now, err)
		}
	}
}

// restart restarts a deserter and waits until its new child listens.
func (w *world) restart(id int) {
	w.t.Helper()
	before, err := w.Process(id)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.Restart(w.t.Context(), launcher.StopRequest{Selector: launcher.Selector{IDs: []int{id}}}); err != nil {
		w.t.Fatal(err)
	}
	if p := w.awaitDeserted(id, 2); p.Identity == before.Identity {
		w.t.Fatalf("it was not restarted: %+v", p)
	}
}

// killWhileAway asks a process to stop whose end the daemon does not live to see.
func (w *world) killWhileAway(id int) {
	w.t.Helper()
	p, err := w.Process(id)
	if err != nil {
		w.t.Fatal(err)
	}
	w.close()
	e, err := w.store.Get(w.t.Context(), "processes/local/"+strconv.Itoa(id))
	if err != nil {
		w.t.Fatal(err)
	}
	put(w.t, w.store, e.Key, strings.Replace(string(e.Value), `"status":"starting"`, `"status":"stopping"`, 1))
	killAndReap(w.t, p.Identity.PID)
	w.open()
	w.awaitEnded(id)
}

// awaitNoCgroup waits until the cgroup of a process is gone.
func (w *world) awaitNoCgroup(id int) {
	w.t.Helper()
	eventually(w.t, func() (bool, string) {
		ids, err := w.cgroups.IDs()
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			w.t.Fatal(err)
		}
		return !slices.Contains(ids, id), fmt.Sprintf("the cgroup of process %d is left", id)
	})
}

// A process that ends by itself leaves its children alone, and the cgroup goes
// with the last of them.
func TestCgroupGoesWithTheLast(t *testing.T) {
	w := newGroupedWorld(t, tcp("http", 23946, 23947))
	w.deploy(process("deserter", httpPort, "deserter"))
	p, child := w.desert()
	if err := unix.Kill(p.Identity.PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	w.awaitEnded(p.ID)
	if aside := w.leases.Ranges("http")[0].SetAside; len(aside) != 1 || !runs(child) {
		t.Errorf("set aside is %+v", aside)
	}
	if ids, err := w.cgroups.IDs(); err != nil || !slices.Contains(ids, p.ID) {
		t.Errorf("cgroups are %v, %v", ids, err)
	}
	w.reopen()
	if err := unix.Kill(child, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	w.awaitNoCgroup(p.ID)
}

// cgroupDir is the folder of the cgroup of a process.
func cgroupDir(t *testing.T, p launcher.Process) string {
	t.Helper()
	for _, mount := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		if dir := filepath.Join(mount, p.Cgroup); p.Cgroup != "" {
			if _, err := os.Stat(filepath.Join(dir, "cgroup.kill")); err == nil {
				return dir
			}
		}
	}
	t.Fatalf("the cgroup %q is not there", p.Cgroup)
	return ""
}

// A cgroup in which somebody else is, is not killed.
func TestCgroupWithOthersIsNotKilled(t *testing.T) {
	w := newGroupedWorld(t, tcp("http", 23948, 23949))
	w.deploy(process("p", httpPort, "serve"))
	start := func(environ ...string) int {
		cmd := exec.Command("sleep", "1000")
		cmd.Env = environ
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
		return cmd.Process.Pid
	}
	startOf := func(pid int) uint64 {
		id, err := proc.Identify(pid)
		if err != nil {
			t.Fatal(err)
		}
		return id.StartTime
	}
	older := start()
	for startOf(start()) == startOf(older) { // the clock of start times ticks a hundred times a second
	}
	for name, who := range map[string]func(id int) int{
		"older":                   func(int) int { return older },
		"of another state folder": func(id int) int { return start("BERTH_STATE_ID=other", "BERTH_PROCESS_ID="+strconv.Itoa(id)) },
		"of another process":      func(id int) int { return start("BERTH_STATE_ID=state", "BERTH_PROCESS_ID="+strconv.Itoa(id+1)) },
		"a daemon, within":        nil,
	} {
		p := w.exec("p", 1)[0]
		dir := cgroupDir(t, p)
		if who == nil { // below it, as those of a daemon that it has started would be
			dir = filepath.Join(dir, "below")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			who = func(id int) int { return start("BERTH_STATE_ID=other", "BERTH_PROCESS_ID="+strconv.Itoa(id)) }
		}
		pid := who(p.ID)
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
			t.Fatal(err)
		}
		w.kill(p.ID, true)
		if !runs(pid) {
			t.Errorf("%s: it was killed", name)
		}
		w.mu.Lock()
		said := slices.ContainsFunc(w.logged, func(line string) bool {
			return strings.Contains(line, "somebody else is in it") && strings.Contains(line, "pid="+strconv.Itoa(pid)+" ")
		})
		w.mu.Unlock()
		if !said {
			t.Errorf("%s: the log does not tell", name)
		}
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			t.Error(err)
		}
		w.awaitNoCgroup(p.ID)
	}
}

// What a daemon has made and died before it used it is removed, and so is what
// it made for a process that ended while nobody was there.
func TestLeftCgroupsAreRemoved(t *testing.T) {
	w := newGroupedWorld(t, tcp("http", 23950, 23951))
	w.deploy(process("p", httpPort, "serve"))
	p := w.exec("p", 1)[0]
	folder, err := w.cgroups.Make(77)
	if err != nil {
		t.Fatal(err)
	}
	folder.Close()
	w.close()
	killAndReap(t, p.Identity.PID)
	w.open()
	w.awaitNoCgroup(77)
	w.awaitNoCgroup(p.ID)
	// One that cannot be started leaves none.
	w.deployAs("bad", "1.0", `<process name="bad"><generic profile="test"><arg value="/dev/null"/></generic></process>`)
	if _, err := w.Exec(t.Context(), launcher.ExecRequest{Distribution: "bad", Version: "1.0", Profile: "test"}); err == nil {
		t.Error("it was started")
	}
	if ids, err := w.cgroups.IDs(); err != nil || len(ids) > 0 {
		t.Errorf("cgroups are left of %v, %v", ids, err)
	}
}
