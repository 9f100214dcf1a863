package launcher_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth/launcher"
	"berth/store/storetest"

	"golang.org/x/sys/unix"
)

// Those that ended while nobody watched are the last that ended, whatever was
// remembered before them.
func TestEndedWhileAwayAreTheLast(t *testing.T) {
	w := newWorld(t, tcp("http", 23980, 23989))
	w.deploy(process("p", httpPort, "serve"))
	for range 4 {
		id := w.exec("p", 1)[0].ID
		if _, err := w.Kill(t.Context(), launcher.StopRequest{Selector: launcher.Selector{IDs: []int{id}}, Hard: true, Wait: patience}); err != nil {
			t.Fatal(err)
		}
	}
	live := w.exec("p", 4)
	w.close()
	for _, p := range live {
		killAndReap(t, p.Identity.PID)
	}
	w.open()
	all, err := w.Processes(launcher.Selector{Ended: true})
	if err != nil {
		t.Fatal(err)
	}
	var ids []int
	for _, p := range all {
		if p.Live() {
			t.Errorf("%s is %s", p.Title(), p.Status)
		}
		ids = append(ids, p.ID)
	}
	if want := []int{4, 5, 6, 7, 8}; !slices.Equal(ids, want) {
		t.Errorf("remembered are %v, want %v", ids, want)
	}
	if got := numbers(w.exec("p", 1)); !slices.Equal(got, []int{23980}) {
		t.Errorf("the next port is %v", got)
	}
}

// Who carries our ids and is in no record is reported, and left alone.
func TestUnrecordedProcessIsReported(t *testing.T) {
	w := newWorld(t, tcp("http", 23990, 23994))
	w.deploy(process("p", httpPort, "serve"))
	recorded := w.exec("p", 1)[0]
	start := func(state, id string, leads bool) *exec.Cmd {
		cmd := exec.Command("sleep", "1000")
		cmd.Env = []string{"BERTH_STATE_ID=" + state, "BERTH_PROCESS_ID=" + id}
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: leads}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
		return cmd
	}
	tests := []struct {
		name     string
		cmd      *exec.Cmd
		reported bool
	}{
		{"without a record", start("state", "77", true), true},
		{"of another state folder", start("other", "77", true), false},
		{"no leader of a session", start("state", "78", false), false},
		{"a session within a recorded one", start("state", "1", true), false},
	}
	w.reopen()
	reported := func(pid int) bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return slices.ContainsFunc(w.logged, func(line string) bool {
			return strings.Contains(line, "in no record") && strings.Contains(line, "pid="+strconv.Itoa(pid)+" ")
		})
	}
	for _, test := range tests {
		if got := reported(test.cmd.Process.Pid); got != test.reported {
			t.Errorf("%s: reported is %v, want %v", test.name, got, test.reported)
		}
		var info unix.Siginfo
		err := unix.Waitid(unix.P_PID, test.cmd.Process.Pid, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
		if err != nil || info.Signo != 0 {
			t.Errorf("%s: it was not left alone: %v", test.name, err)
		}
	}
	if p, err := w.Process(recorded.ID); err != nil || p.Identity != recorded.Identity || reported(p.Identity.PID) {
		t.Errorf("the recorded one is %+v, %v", p, err)
	}
}

// Where it cannot be told whether a process runs, it is not taken for gone.
func TestTakeUpWithoutDescriptors(t *testing.T) {
	w := newWorld(t, tcp("http", 23995, 23999))
	w.deploy(process("p", httpPort, "serve"))
	started := w.exec("p", 3)
	w.close()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	lowest, err := unix.Open(os.DevNull, unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Close(lowest); err != nil {
		t.Fatal(err)
	}
	few := limit
	few.Cur = uint64(lowest) + 1 // room for one more
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	err = w.tryOpen()
	if restoreErr := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); restoreErr != nil {
		t.Fatal(restoreErr)
	}
	if !errors.Is(err, unix.EMFILE) || !strings.Contains(err.Error(), "still runs") {
		t.Errorf("it says %v", err)
	}
	w.open()
	for _, p := range started {
		if got, err := w.Process(p.ID); err != nil || got.Identity != p.Identity || !got.Live() {
			t.Errorf("process %d is %+v, %v", p.ID, got, err)
		}
	}
}

// A process whose end cannot be written down yet takes no more requests, and who
// asks is answered.
func TestKillWhileTheEndIsNotWrittenDown(t *testing.T) {
	w := newWorld(t, tcp("http", 23995, 23999))
	w.deploy(process("p", httpPort, "serve"))
	w.close()
	slow := storetest.NewFaulty(w.store)
	w.store = slow
	w.open()
	p := w.exec("p", 1)[0]
	release := slow.Block()
	defer release()
	if err := syscall.Kill(p.Identity.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := slow.AwaitBlocked(ctx, 1); err != nil {
		t.Fatal(err)
	}
	for _, wait := range []time.Duration{0, time.Millisecond} {
		_, err := w.Kill(ctx, launcher.StopRequest{Selector: launcher.Selector{IDs: []int{p.ID}}, Hard: true, Wait: wait})
		if wait == 0 && err != nil || wait > 0 && !errors.Is(err, launcher.ErrTimeout) {
			t.Errorf("waiting %v: %v", wait, err)
		}
	}
}
