package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"berth/api"
)

// pseudoTerminal is a terminal with a program in the foreground.
type pseudoTerminal struct {
	t   *testing.T
	pty *os.File
	cmd *exec.Cmd

	mu   sync.Mutex
	text []byte
	more chan struct{} // something was shown since it was last received
}

// onTerminal runs a program on a terminal of its own, and ends it with the
// test.
func (h *host) onTerminal(name string, args ...string) *pseudoTerminal {
	t := h.t
	t.Helper()
	pty, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pty.Close() })
	if err := unix.IoctlSetPointerInt(int(pty.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(pty.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	x := &pseudoTerminal{t: t, pty: pty, cmd: h.command(context.Background(), name, args...), more: make(chan struct{}, 1)}
	x.cmd.Env = append(x.cmd.Env, "NO_COLOR=1")
	x.cmd.Stdin, x.cmd.Stdout, x.cmd.Stderr = tty, tty, tty
	x.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := x.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = x.cmd.Process.Kill()
		_ = x.cmd.Wait()
	})
	go x.read()
	return x
}

func (x *pseudoTerminal) read() {
	buf := make([]byte, 4096)
	for {
		n, err := x.pty.Read(buf)
		if err != nil {
			return
		}
		x.mu.Lock()
		x.text = append(x.text, buf[:n]...)
		x.mu.Unlock()
		select {
		case x.more <- struct{}{}:
		default:
		}
	}
}

// expect waits until text was shown, and forgets what was shown up to it.
func (x *pseudoTerminal) expect(text string) {
	x.t.Helper()
	limit := time.After(patience)
	for {
		x.mu.Lock()
		at := bytes.Index(x.text, []byte(text))
		if at >= 0 {
			x.text = x.text[at+len(text):]
		}
		shown := string(x.text)
		x.mu.Unlock()
		if at >= 0 {
			return
		}
		select {
		case <-x.more:
		case <-limit:
			x.t.Fatalf("%q was not shown, but\n%s", text, shown)
		}
	}
}

// press types something.
func (x *pseudoTerminal) press(keys string) {
	x.t.Helper()
	if _, err := x.pty.WriteString(keys); err != nil {
		x.t.Fatal(err)
	}
}

const (
	ctrlC = "\x03"
	ctrlZ = "\x1a"
)

// active are the leased ports of a range.
func (h *host) active(name string) []api.ActivePort {
	h.t.Helper()
	for _, r := range h.ranges() {
		if r.Name == name {
			return r.Active
		}
	}
	h.t.Fatalf("there is no range %s", name)
	return nil
}

// stateOf is the state of a process as the kernel has it: R, S, T; empty where it has ended.
func stateOf(t *testing.T, pid int) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	_, after, _ := strings.Cut(string(text), ") ")
	switch state := after[:1]; state {
	case "Z", "X": // it has ended, and is reaped by its parent, or just now
		return ""
	default:
		return state
	}
}

// On a terminal a command in the foreground is stopped, continued and ended by the
// keys for that, and its lease is there for just as long.
func TestRunOnTerminal(t *testing.T) {
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprint(n, " of it"), func(t *testing.T) {
			h := newHost(t)
			first := portBlock(t)
			h.run("port", "add", "-n", "http", "-min", strconv.Itoa(first), "-max", strconv.Itoa(first+n-1))
			// A shell with job control, as people have one.
			x := h.onTerminal("sh", "-c", fmt.Sprintf(`set -m; trap : INT
berth run -i %d -port http -- server
echo "first $?"
read line
fg
echo "then $?"`, n))
			for range n {
				x.expect("listening on ")
			}
			held := h.active("http")
			if len(held) != n {
				t.Fatalf("leased are %+v", held)
			}
			x.press(ctrlZ)
			x.expect("first 14") // SIGTSTP, and SIGSTOP of who passes it on
			for _, p := range held {
				h.eventually(fmt.Sprint("process ", p.PID, " is stopped"), func() bool { return stateOf(t, p.PID) == "T" })
			}
			if now := h.active("http"); fmt.Sprint(now) != fmt.Sprint(held) {
				t.Errorf("leased are %+v, not %+v, while it is stopped", now, held)
			}
			x.press("\n")
			for _, p := range held {
				if page := get(t, p.Port); !strings.HasPrefix(page, fmt.Sprintf("port %d ", p.Port)) {
					t.Errorf("port %d answers %q", p.Port, page)
				}
			}
			x.press(ctrlC)
			x.expect("then 130")
			h.eventually("the ports are back", func() bool { return len(h.active("http")) == 0 })
			for _, p := range held {
				if state := stateOf(t, p.PID); state != "" {
					t.Errorf("process %d is left, in state %s", p.PID, state)
				}
			}
		})
	}
}

// At the prompt a command has the terminal while it runs, and the prompt is there
// again when it has ended.
func TestRunAtPrompt(t *testing.T) {
	h := newHost(t)
	first := portBlock(t)
	h.run("port", "add", "-n", "http", "-min", strconv.Itoa(first), "-max", strconv.Itoa(first))
	x := h.onTerminal("berth")
	x.expect("berth> ")
	x.press("run -port http -- sh -c 'echo asks on $PORT; read line; echo heard $line; exit 6'\r")
	x.expect(fmt.Sprint("asks on ", first))
	if held := h.active("http"); len(held) != 1 {
		t.Errorf("leased are %+v", held)
	}
	x.press("something\r")
	x.expect("heard something")
	x.expect("sh ended: exit code 6")
	x.expect("berth> ")
	h.eventually("the port is back", func() bool { return len(h.active("http")) == 0 })
	x.press("run -port http -- server\r")
	x.expect("listening on")
	x.press(ctrlC)
	x.expect("berth> ")
	x.press("echo still there\r")
	x.expect("still there")
	h.eventually("the port is back", func() bool { return len(h.active("http")) == 0 })
	x.press("exit\r")
}

// The example of three instances on an interval, in a network of its own, since
// its ports may be another's.
func TestRunInterval(t *testing.T) {
	const inside = "BERTH_TEST_RUN_NETWORK"
	if os.Getenv(inside) == "" {
		runInNetwork(t, inside)
		return
	}
	loopbackUp(t)
	h := newHost(t)
	r := h.try("run", "-i", "3", "-port", "auto:5000-5100", "--", "sh", "-c", "echo $PORT $PM2_INSTANCE_ID $NODE_APP_INSTANCE")
	for i := range 3 {
		if line := fmt.Sprintf("sh %d | %d %d %d\n", i, 5000+i, i, i); !strings.Contains(r.out, line) {
			t.Errorf("no line %q", line)
		}
	}
	if r.code != 0 || strings.Count(r.out, "\n") != 3 {
		t.Error(r)
	}
}

// startRun starts a berth run that goes on, with its output in a file, and waits
// until n ports of the range are leased to processes that listen.
func (h *host) startRun(n int, args ...string) (*exec.Cmd, []api.ActivePort) {
	t := h.t
	t.Helper()
	out, err := os.Create(filepath.Join(h.dir, "run.out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := h.command(context.Background(), "berth", append([]string{"run"}, args...)...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if text, err := os.ReadFile(out.Name()); t.Failed() {
			t.Logf("berth run printed, %v:\n%s", err, text)
		}
	})
	var held []api.ActivePort
	h.eventually("all listen", func() bool {
		text, err := os.ReadFile(out.Name())
		return err == nil && strings.Count(string(text), "listening on ") == n
	})
	if held = h.active("http"); len(held) != n {
		t.Fatalf("leased are %+v", held)
	}
	return cmd, held
}

// A berth that is killed takes all its instances with it, whatever thread of
// theirs has become the command.
func TestRunKilledWithAll(t *testing.T) {
	const n = 16
	h := newHost(t)
	first := portBlock(t)
	h.run("port", "add", "-n", "http", "-min", strconv.Itoa(first), "-max", strconv.Itoa(first+n-1))
	cmd, held := h.startRun(n, "-i", strconv.Itoa(n), "-port", "http", "--", "sh", "-c", `echo listening on nothing; exec sleep 600`)
	t.Cleanup(func() {
		for _, l := range held {
			if slices.ContainsFunc(h.active("http"), func(now api.ActivePort) bool { return now.PID == l.PID }) {
				_ = unix.Kill(l.PID, unix.SIGKILL)
			}
		}
	})
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	h.eventually("all ports are back", func() bool { return len(h.active("http")) == 0 })
}

// A berth that is killed takes its instances with it. Who will not go keeps its
// lease until it does.
func TestRunKilled(t *testing.T) {
	h := newHost(t)
	first := portBlock(t)
	h.run("port", "add", "-n", "http", "-min", strconv.Itoa(first), "-max", strconv.Itoa(first+1))
	cmd, held := h.startRun(2, "-i", "2", "-port", "http", "--", "sh", "-c", `[ $PM2_INSTANCE_ID = 0 ] && exec server; trap "" TERM; server; :`)
	stays := held[1]
	t.Cleanup(func() { _ = unix.Kill(-stays.PID, unix.SIGKILL) }) // and the server, which is its child
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	h.eventually("the port of the one that ended is back", func() bool { return len(h.active("http")) == 1 })
	if left := h.active("http"); left[0].PID != stays.PID || left[0].Port != stays.Port {
		t.Errorf("leased are %+v, not %+v", left, stays)
	}
	if page := get(t, stays.Port); !strings.HasPrefix(page, fmt.Sprintf("port %d ", stays.Port)) {
		t.Errorf("it answers %q", page)
	}
	if err := unix.Kill(-stays.PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	h.eventually("all ports are back", func() bool { return len(h.active("http")) == 0 })
}

// Instances that do not end when they are asked to are killed, and with each all
// that it has started.
func TestRunGrace(t *testing.T) {
	h := newHost(t)
	first := portBlock(t)
	h.run("port", "add", "-n", "http", "-min", strconv.Itoa(first), "-max", strconv.Itoa(first+1))
	cmd, held := h.startRun(2, "-i", "2", "-grace", "0.1", "-port", "http", "--", "sh", "-c", `trap "" TERM; (trap - TERM; server) & exec sleep 1000`)
	if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 128+9 {
		t.Errorf("exit code %d", code)
	}
	h.eventually("all ports are back", func() bool { return len(h.active("http")) == 0 })
	for _, p := range held {
		if err := unix.Kill(-p.PID, 0); !errors.Is(err, unix.ESRCH) {
			// Who was orphaned is reaped by the first process, when it does.
			if state := stateOf(t, p.PID); state != "" {
				t.Errorf("of the group of %d something is left: %v, %s", p.PID, err, state)
			}
		}
	}
}

// A child that waits for what it is to run ends when who would tell it is gone,
// also in the middle of telling.
func TestRunHeldBack(t *testing.T) {
	h := newHost(t)
	for _, told := range []string{"", "5", "500\x00/bin/touch\x002\x00touch\x00ran\x00", "23\x00/bin/touch\x002\x00touch\x00ra"} {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		ours, theirs := os.NewFile(uintptr(pair[0]), "gate"), os.NewFile(uintptr(pair[1]), "gate")
		cmd := h.command(t.Context(), "berth", "__heldback")
		cmd.ExtraFiles = []*os.File{theirs}
		err = cmd.Start()
		theirs.Close()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ours.WriteString(told); err != nil {
			t.Error(err)
		}
		ours.Close()
		_ = cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 1 {
			t.Errorf("told %q, exit code %d", told, code)
		}
		if _, err := os.Stat(filepath.Join(h.dir, "ran")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("told %q it ran", told)
		}
	}
	if out, err := h.command(t.Context(), "berth", "__heldback").CombinedOutput(); err == nil || strings.Contains(string(out), "panic") {
		t.Errorf("without a socket: %v %s", err, out)
	}
}

// An instance that ends, however it does, takes its lease with it and leaves the
// others alone.
func TestRunOneEnds(t *testing.T) {
	h := newHost(t)
	first := portBlock(t)
	h.run("port", "add", "-n", "http", "-min", strconv.Itoa(first), "-max", strconv.Itoa(first+2))
	cmd, held := h.startRun(3, "-i", "3", "-port", "http", "-name", "web", "--", "server")
	h.kill(held[1].PID)
	h.eventually("its port is back", func() bool { return len(h.active("http")) == 2 })
	if page := get(t, held[2].Port); page == "" {
		t.Error("another one does not answer")
	}
	if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 128+9 {
		t.Errorf("exit code %d, not that of the one that was killed first", code)
	}
	h.eventually("all ports are back", func() bool { return len(h.active("http")) == 0 })
}

// A single command has what its caller had: descriptors, and no child that is not
// its own, be it the daemon that was started for it.
func TestRunInPlace(t *testing.T) {
	h := newHost(t)
	cmd := h.command(t.Context(), "sh", "-c", `exec 7>seven; berth run -- sh -c '
echo kept >&7
echo pid $$
for p in /proc/[0-9]*; do read -r line 2>/dev/null <$p/stat && line=${line##*) } && set -- $line && [ "$2" = $$ ] && echo child $p; done; :'`)
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Contains(string(out), "child") || !strings.Contains(string(out), "pid ") {
		t.Errorf("%v\n%s", err, out)
	}
	if text, err := os.ReadFile(filepath.Join(h.dir, "seven")); err != nil || string(text) != "kept\n" {
		t.Errorf("%v %q", err, text)
	}
	// SIGINT that the caller ignores is ignored.
	cmd = h.command(t.Context(), "sh", "-c", `trap "" INT; berth run -- sh -c 'kill -INT $$; echo goes on'`)
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "goes on\n" {
		t.Errorf("%v %q", err, out)
	}
	// Where no daemon may be started it says so.
	h.run("stop")
	cmd = h.command(t.Context(), "berth", "run", "--", "true")
	cmd.Env = append(cmd.Env, "BERTH_AUTOSTART=0")
	out, _ = cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != 3 || !strings.HasPrefix(string(out), "berth: run: no daemon answers") || strings.Count(string(out), "\n") != 1 {
		t.Errorf("exit code %d: %s", code, out)
	}
}
