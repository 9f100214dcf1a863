package launcher_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"berth/launcher"
	"berth/launcher/gate"
	"berth/lease"
	"berth/proc"
	"berth/store"
	"berth/store/storetest"

	"golang.org/x/sys/unix"
)

// newLosingWorld makes a world with an id of its own: nobody else's processes,
// which may be on their way out, carry that.
func newLosingWorld(t *testing.T, ranges ...lease.Range) *world {
	t.Helper()
	w := newWorld(t, ranges...)
	w.close()
	w.stateID = "state of " + t.Name()
	w.open()
	return w
}

// reopenWith is what a daemon does that finds the store to have what is given
// only, and knows whether that is a loss.
func (w *world) reopenWith(content []store.Entry, lost bool) {
	w.t.Helper()
	w.close()
	w.store, w.lost = storetest.NewMemory(), lost
	for _, e := range content {
		put(w.t, w.store, e.Key, string(e.Value))
	}
	w.open()
}

func (w *world) content(prefixes ...string) (all []store.Entry) {
	w.t.Helper()
	for _, prefix := range prefixes {
		entries, _, err := w.store.List(w.t.Context(), prefix)
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, entries...)
	}
	return all
}

// With all records lost, the processes that run are known again, with their ids,
// ports and leases, and live on as if nothing had been.
func TestLostRecordsAreRebuilt(t *testing.T) {
	ports := tcp("http", 23900, 23905)
	w := newLosingWorld(t, ports)
	w.deploy(process("p", httpPort, "serve") + process("q", "", "idle"))
	for range 2 { // ids that are gone are not given again
		w.exec("p", 1)
		if _, err := w.Kill(t.Context(), launcher.StopRequest{Hard: true, Wait: patience}); err != nil {
			t.Fatal(err)
		}
	}
	before := append(w.exec("p", 3), w.exec("q", 1)...)
	leases := w.leases.Leases()
	w.reopenWith(nil, true)

	after, err := w.Processes(launcher.Selector{})
	if err != nil || len(after) != len(before) {
		t.Fatalf("%d processes are there: %+v, %v", len(after), after, err)
	}
	for i, p := range after {
		b := before[i]
		if p.ID != b.ID || p.Identity != b.Identity || p.Title() != b.Title() || p.Profile != b.Profile || p.Instance != b.Instance ||
			p.Status != launcher.Running || !slices.Equal(p.Ports, b.Ports) || b.StartedAt.Sub(p.StartedAt).Abs() > patience {
			t.Errorf("rebuilt is %+v, it was %+v", p, b)
		}
	}
	for i, l := range w.leases.Leases() {
		if b := leases[i]; l.ID != b.ID || l.Port != b.Port || l.Range != b.Range || l.Holder != b.Holder {
			t.Errorf("the lease is %+v, it was %+v", l, b)
		}
	}
	if r := w.Rebuilding(); len(r.Rebuilt) != 5 || len(r.Left) != 0 || !strings.Contains(r.Rebuilt[0], "p #3 (demo 1.0), pid "+strconv.Itoa(before[0].Identity.PID)+", with http port 23900") {
		t.Errorf("told is %q", r)
	}
	// The next daemon, before anybody has accepted the loss, knows of it too.
	w.reopen()
	if r := w.Rebuilding(); len(r.Rebuilt) != 5 || len(r.Left) != 0 {
		t.Errorf("told by the next daemon is %q", r)
	}
	if err := w.leases.Check(t.Context()); err != nil {
		t.Error(err)
	}

	if err := unix.Kill(before[0].Identity.PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	w.awaitEnded(before[0].ID)
	if _, err := w.Kill(t.Context(), launcher.StopRequest{Selector: launcher.Selector{IDs: []int{before[1].ID}}, Wait: patience}); err != nil {
		t.Error(err)
	}
	restarted, err := w.Restart(t.Context(), launcher.StopRequest{Selector: launcher.Selector{IDs: []int{before[2].ID}}, Wait: patience})
	if err != nil || restarted[0].Identity == before[2].Identity || !slices.Equal(numbers(restarted), []int{23902}) {
		t.Errorf("restarted is %+v, %v", restarted, err)
	}
	if err := w.leases.AddRanges(t.Context(), []lease.Range{ports}, lease.AddOptions{}); err != nil {
		t.Fatal(err)
	}
	fresh := w.exec("p", 2)
	if got := numbers(fresh); !slices.Equal(got, []int{23900, 23901}) || fresh[0].ID <= before[3].ID {
		t.Errorf("started anew are %+v", fresh)
	}
	if got := numbers(w.exec("p", 3)); !slices.Equal(got, []int{23903, 23904, 23905}) {
		t.Errorf("started anew are %v", got)
	}

	w.lost = false // it was accepted
	w.reopen()
	if r := w.Rebuilding(); len(r.Rebuilt)+len(r.Left) != 0 {
		t.Errorf("told after the acceptance is %q", r)
	}
}

// A record that is older than the process is brought up to date, and nothing is
// started in its place.
func TestOldRecordIsRenewed(t *testing.T) {
	w := newLosingWorld(t, tcp("http", 23910, 23914))
	w.deploy(process("p", httpPort, "serve"))
	p := w.exec("p", 1)[0]
	old := w.content("processes/", "ranges/", "leases/", "distributions/")
	for i, e := range old {
		if strings.HasPrefix(e.Key, "processes/") {
			// It was taken when the restart had been asked for.
			old[i].Value = []byte(strings.Replace(string(e.Value), `"starting"`, `"restarting"`, 1))
		}
	}
	again, err := w.Restart(t.Context(), launcher.StopRequest{Selector: launcher.Selector{IDs: []int{p.ID}}, Wait: patience})
	if err != nil {
		t.Fatal(err)
	}
	w.reopenWith(old, true)
	now, err := w.Process(p.ID)
	if err != nil || now.Identity != again[0].Identity || now.Status != launcher.Running || !slices.Equal(now.Ports, again[0].Ports) {
		t.Errorf("the process is %+v, %v; it was %+v", now, err, again[0])
	}
	if r := w.Rebuilding(); len(r.Rebuilt) != 1 || len(r.Left) != 0 {
		t.Errorf("told is %q", r)
	}
}

// claimant starts a session leader that says who it is, once its identity is known.
func claimant(t *testing.T, w *world, id int, says func(proc.Identity) map[string]any) int {
	t.Helper()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	child, err := gate.Start(gate.Command{
		Path: "/bin/sleep", Args: []string{"sleep", "1000"}, Files: []*os.File{null, null, null},
		Env:     []string{"BERTH_STATE_ID=" + w.stateID, "BERTH_PROCESS_ID=" + strconv.Itoa(id)},
		LateEnv: "BERTH_PROCESS_RECORD", LateSize: 4096,
	})
	if err != nil {
		t.Fatal(err)
	}
	pidfd := child.PIDFD()
	t.Cleanup(func() {
		_ = unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0)
		_, _ = unix.Wait4(child.PID, nil, 0, nil) // its owner may have
		_ = unix.Close(pidfd)
	})
	identity, err := proc.Identify(child.PID)
	if err != nil {
		t.Fatal(err)
	}
	record, err := json.Marshal(says(identity))
	if err == nil {
		err = child.SetLate(string(record))
	}
	if err == nil {
		err = child.Open()
	}
	if err == nil {
		err = child.Executed(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return child.PID
}

// Only who is for certain what its environment says has its record rebuilt, and
// only on ports that are nobody else's. All others are reported and left alone.
func TestWhoIsNotCertainIsNotRebuilt(t *testing.T) {
	w := newLosingWorld(t, tcp("http", 23920, 23929))
	w.deploy(process("p", httpPort, "serve"))
	known := w.exec("p", 1)[0]
	manual, err := w.leases.Acquire(t.Context(), lease.Request{Range: "http", Holder: lease.Holder{Kind: lease.Manual}})
	if err != nil || manual[0].Port != 23921 {
		t.Fatal(manual, err)
	}
	says := func(id, port int, change func(record map[string]any, who *proc.Identity)) func(proc.Identity) map[string]any {
		return func(who proc.Identity) map[string]any {
			record := map[string]any{
				"id": id, "distribution": "demo", "version": "1.0", "profile": "test", "name": "p", "status": "starting",
				"ports": []any{map[string]any{"range": "http", "protocol": "tcp", "port": port, "lease": "lease" + strconv.Itoa(id)}},
			}
			if change != nil {
				change(record, &who)
			}
			record["identity"] = who
			return record
		}
	}
	tests := []struct {
		name string
		id   int
		says func(proc.Identity) map[string]any
		why  string // empty: it is rebuilt, where something was lost
	}{
		{"certain", 60, says(60, 23922, nil), ""},
		{"of a range that is not there any more", 61, says(61, 23939, func(r map[string]any, _ *proc.Identity) {
			r["ports"].([]any)[0].(map[string]any)["range"] = "gone"
		}), ""},
		{"of another pid", 62, says(62, 23924, func(_ map[string]any, who *proc.Identity) { who.PID = known.Identity.PID }), "environment of another process"},
		{"of another start", 63, says(63, 23924, func(_ map[string]any, who *proc.Identity) { who.StartTime-- }), "environment of another process"},
		{"of another boot", 64, says(64, 23924, func(_ map[string]any, who *proc.Identity) {
			who.BootID = "00000000-0000-0000-0000-000000000000"
		}), "environment of another process"},
		{"of another id", 65, says(66, 23924, nil), "not that of its id"},
		{"without a record", 67, func(proc.Identity) map[string]any { return nil }, "cannot be read"},
		{"with a name that leads elsewhere", 68, says(68, 23924, func(r map[string]any, _ *proc.Identity) { r["version"] = "../.." }), "names that nothing can have"},
		{"on a port of somebody else", 69, says(69, 23921, nil), "leased by manual"},
		{"on a port of a recorded process", 70, says(70, 23920, nil), "claimed by"},
		{"on a port of another one", 71, says(71, 23925, nil), "is claimed by"},
		{"on a port of another one, too", 72, says(72, 23925, nil), "is claimed by"},
		{"that has the id of a recorded one", known.ID, says(known.ID, 23926, nil), "process 1 is pid"},
	}
	pids := make([]int, len(tests))
	for i, test := range tests {
		pids[i] = claimant(t, w, test.id, test.says)
	}
	alone := func() {
		t.Helper()
		for i, pid := range pids {
			var info unix.Siginfo
			if err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); err != nil || info.Signo != 0 {
				t.Errorf("%s: it was not left alone: %v", tests[i].name, err)
			}
		}
	}

	w.reopen() // nothing is lost
	if all, err := w.Processes(launcher.Selector{}); err != nil || len(all) != 1 || all[0].Identity != known.Identity {
		t.Errorf("with nothing lost there are %+v, %v", all, err)
	}
	if r := w.Rebuilding(); len(r.Rebuilt)+len(r.Left) != 0 {
		t.Errorf("with nothing lost told is %q", r)
	}
	alone()

	// A folder without a record stays now.
	lost := filepath.Join(w.home, "processes", "80")
	if err := os.Mkdir(lost, 0o700); err != nil {
		t.Fatal(err)
	}
	w.reopenWith(w.content("processes/", "ranges/", "leases/", "distributions/"), true)
	r := w.Rebuilding()
	for i, test := range tests {
		pid := "pid " + strconv.Itoa(pids[i])
		left := slices.IndexFunc(r.Left, func(line string) bool { return strings.HasPrefix(line, pid+" ") })
		rebuilt := slices.ContainsFunc(r.Rebuilt, func(line string) bool { return strings.Contains(line, pid+", ") })
		p, err := w.Process(test.id)
		isIt := err == nil && p.Identity.PID == pids[i]
		if certain := test.why == ""; rebuilt != certain || isIt != certain || (left < 0) != certain {
			t.Errorf("%s: rebuilt is %v, %v, left is %v; process %d is %+v, %v", test.name, rebuilt, isIt, left >= 0, test.id, p, err)
		} else if left >= 0 && !strings.Contains(r.Left[left], test.why) {
			t.Errorf("%s: %s", test.name, r.Left[left])
		}
	}
	if len(r.Rebuilt) != 2 {
		t.Errorf("rebuilt are %q", r.Rebuilt)
	}
	alone()
	if p, err := w.Process(known.ID); err != nil || p.Identity != known.Identity || p.Status != launcher.Running {
		t.Errorf("the recorded one is %+v, %v", p, err)
	}
	if _, err := os.Stat(lost); err != nil {
		t.Errorf("the folder of a process without a record: %v", err)
	}
	if err := w.leases.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if p := w.exec("p", 1)[0]; p.Ports[0].Number != 23923 || p.ID != 81 {
		t.Errorf("started anew is %+v", p)
	}
	if err := w.leases.Release(t.Context(), manual[0].ID, 0); err != nil {
		t.Error(err)
	}
}
