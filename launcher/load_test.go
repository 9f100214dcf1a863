package launcher_test

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"berth/launcher"
	"berth/lease"
)

// Processes that end at once give all their ports back, and nothing of them is
// left: no descriptor, no zombie. BERTH_LOAD_PROCESSES says how many; 100 if it
// does not.
func TestManyEndAtOnce(t *testing.T) {
	n := 100
	if text := os.Getenv("BERTH_LOAD_PROCESSES"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 1 || n > 1000 {
			t.Fatalf("BERTH_LOAD_PROCESSES: %q is not between 1 and 1000", text)
		}
	}
	w := newWorld(t, lease.Range{Name: "load", Min: 23000, Max: 23999})
	w.deploy(`<process name="sleeper"><port name="load"/><generic profile="test"><arg value="/bin/sleep"/><arg value="600"/></generic></process>`)
	open := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	before, available := open(), len(w.leases.Ranges("load")[0].Available)

	began := time.Now()
	started, err := w.Exec(t.Context(), launcher.ExecRequest{Distribution: "demo", Version: "1.0", Profile: "test", Name: "sleeper", Instances: n})
	if err != nil {
		t.Fatal(err)
	}
	up := time.Since(began)
	if got := len(w.leases.Leases()); got != n {
		t.Fatalf("%d leases of %d processes", got, n)
	}
	began = time.Now()
	for _, p := range started.Processes {
		if err := syscall.Kill(p.Identity.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range started.Processes {
		for deadline := time.Now().Add(patience); ; {
			changed := w.Changed(p.ID)
			now, err := w.Process(p.ID)
			if err != nil || !now.Live() {
				break // the ones that ended first are forgotten
			}
			select {
			case <-changed:
			case <-time.After(time.Until(deadline)):
				t.Fatalf("process %d does not end: %+v", p.ID, now)
			}
		}
	}
	t.Logf("%d processes started in %v, all recuperated %v after they were killed", n, up, time.Since(began))
	if live := w.leases.Leases(); len(live) != 0 {
		t.Errorf("%d leases are left", len(live))
	}
	if r := w.leases.Ranges("load")[0]; len(r.Available) != available || len(r.SetAside) != 0 {
		t.Errorf("available were %d ports and are %d; set aside: %+v", available, len(r.Available), r.SetAside)
	}
	for _, p := range started.Processes {
		if err := syscall.Kill(p.Identity.PID, 0); err == nil {
			t.Errorf("pid %d is there still", p.Identity.PID)
		}
	}
	eventually(t, func() (bool, string) {
		after := open()
		return after <= before, fmt.Sprintf("%d descriptors were open before and %d are after", before, after)
	})
}

// Children are watched without a thread each: more of them run than there are
// threads, whatever the tests before have left of these.
func TestChildrenTakeNoThreads(t *testing.T) {
	threads := func() int {
		entries, err := os.ReadDir("/proc/self/task")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	w := newWorld(t)
	w.deploy(`<process name="sleeper"><generic profile="test"><arg value="/bin/sleep"/><arg value="600"/></generic></process>`)
	before := threads()
	n := before + 50
	started, err := w.Exec(t.Context(), launcher.ExecRequest{Distribution: "demo", Version: "1.0", Profile: "test", Name: "sleeper", Instances: n})
	if err != nil {
		t.Fatal(err)
	}
	// Each of them is watched: the first and the last one are seen to end.
	for _, p := range []launcher.Process{started.Processes[0], started.Processes[n-1]} {
		if err := syscall.Kill(p.Identity.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		w.awaitEnded(p.ID)
	}
	if after := threads(); after >= n {
		t.Errorf("%d threads while %d children run; before there were %d", after, n-2, before)
	} else {
		t.Logf("%d threads before, %d while %d children run", before, after, n-2)
	}
}
