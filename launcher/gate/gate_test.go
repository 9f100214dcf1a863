package gate_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth/internal/require"
	"berth/launcher/cgroup"
	"berth/launcher/gate"

	"golang.org/x/sys/unix"
)

// The names by which the test binary is one of the programs of these tests.
const (
	reporterName = "gate-test-reporter" // prints what it was given, as JSON
	starterName  = "gate-test-starter"  // starts a child, prints its pid, and waits to be killed
)

func TestMain(m *testing.M) {
	gate.Main()
	switch os.Args[0] {
	case reporterName:
		report()
	case starterName:
		starter()
	default:
		os.Exit(m.Run())
	}
}

// given is what a program was started with.
type given struct {
	Args, Env      []string
	Dir            string
	PID, SID, PGID int
	NoFile         uint64
}

func report() {
	g := given{Args: os.Args, Env: os.Environ(), PID: os.Getpid()}
	g.Dir, _ = os.Getwd()
	g.SID, _ = unix.Getsid(0)
	g.PGID = unix.Getpgrp()
	// The soft limit as Go's exec would hand it on, which is what it was given.
	out, _ := exec.Command("/bin/sh", "-c", "ulimit -n").Output()
	g.NoFile, _ = strconv.ParseUint(strings.TrimSpace(string(out)), 10, 64)
	_ = json.NewEncoder(os.Stdout).Encode(g)
}

// starter is a daemon that dies while children wait behind their gates; GROUP
// has it start three of a group, and open that and one of the gates.
func starter() {
	way, file, grouped := gate.Ways[os.Getenv("WAY")], os.Getenv("TOUCH"), os.Getenv("GROUP")
	null, _ := os.Open(os.DevNull)
	var group *gate.Group
	n := 1
	check := func(err error) {
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
	}
	if grouped != "" {
		var err error
		group, err = gate.NewGroup()
		check(err)
		n = childrenOfGroup
	}
	var children []*gate.Child
	for i := range n {
		child, err := way(gate.Command{
			Path: "/bin/sh", Args: []string{"sh", "-c", "echo ran > " + file + strconv.Itoa(i)},
			Files: []*os.File{null, null, null}, Group: group,
		})
		check(err)
		children = append(children, child)
	}
	if grouped == "open" {
		group.Open()
		group.Close()
		check(children[1].Open())
		check(children[1].Executed(context.Background()))
	}
	for _, child := range children {
		fmt.Println(child.PID)
	}
	select {}
}

const childrenOfGroup = 3

// run starts a command, opens its gate, and returns its output and wait status.
func run(t *testing.T, start func(gate.Command) (*gate.Child, error), c gate.Command) (string, syscall.WaitStatus, error) {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	in, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	c.Files = append([]*os.File{in, out, out}, c.Files...)
	child, err := start(c)
	if err != nil {
		return "", 0, err
	}
	pidfd := child.PIDFD()
	defer unix.Close(pidfd)
	if err := child.Open(); err != nil {
		t.Error(err)
	}
	execErr := child.Executed(t.Context())
	status := reap(t, child.PID)
	b, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(b), status, execErr
}

func reap(t *testing.T, pid int) syscall.WaitStatus {
	t.Helper()
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(pid, &status, 0, nil)
		if err == nil {
			return status
		}
		if !errors.Is(err, syscall.EINTR) {
			t.Fatalf("wait for %d: %v", pid, err)
		}
	}
}

func eachWay(t *testing.T, test func(t *testing.T, start func(gate.Command) (*gate.Child, error))) {
	for name, start := range gate.Ways {
		t.Run(name, func(t *testing.T) { test(t, start) })
	}
}

func TestCommandReachesTheProgramUnchanged(t *testing.T) {
	eachWay(t, func(t *testing.T, start func(gate.Command) (*gate.Child, error)) {
		dir := t.TempDir()
		args := []string{reporterName, "", "a b", "c'd\"e", "$HOME", "новый\nline", strings.Repeat("x", 100_000)}
		env := []string{"PATH=/usr/bin:/bin", "corus.process.port.http=8080", "EMPTY=", "a-b=c d", "BIG=" + strings.Repeat("y", 50_000), "=odd"}
		out, status, err := run(t, start, gate.Command{Path: "/proc/self/exe", Args: args, Env: env, Dir: dir})
		if err != nil || status.ExitStatus() != 0 {
			t.Fatalf("status %v, error %v, output %.200s", status, err, out)
		}
		var g given
		if err := json.Unmarshal([]byte(out), &g); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(g.Args, args) {
			t.Errorf("arguments differ: %.300q", g.Args)
		}
		// Go's os.Environ leaves out what has no name.
		if want := env[:5]; !slices.Equal(slices.DeleteFunc(g.Env, func(s string) bool { return s == "=odd" }), want) {
			t.Errorf("environment differs: %.300q", g.Env)
		}
		if real, _ := filepath.EvalSymlinks(dir); g.Dir != real {
			t.Errorf("working directory %s, want %s", g.Dir, real)
		}
		if g.SID != g.PID || g.PGID != g.PID {
			t.Errorf("pid %d leads session %d and group %d", g.PID, g.SID, g.PGID)
		}
		out2, err := exec.Command("/bin/sh", "-c", "ulimit -n").Output()
		if err != nil {
			t.Fatal(err)
		}
		if want := strings.TrimSpace(string(out2)); strconv.FormatUint(g.NoFile, 10) != want {
			t.Errorf("limit of open files %d, by os/exec %s", g.NoFile, want)
		}
	})
}

func TestSignalsAreUnblockedAndDefault(t *testing.T) {
	// Handled in Go, so default in the child.
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(c)
	eachWay(t, func(t *testing.T, start func(gate.Command) (*gate.Child, error)) {
		out, _, err := run(t, start, gate.Command{Path: "/bin/cat", Args: []string{"cat", "/proc/self/status"}})
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out) {
			for _, field := range []string{"SigBlk:", "SigCgt:"} {
				if v, ok := strings.CutPrefix(line, field); ok && strings.Trim(strings.TrimSpace(v), "0") != "" {
					t.Errorf("%s", strings.TrimSpace(line))
				}
			}
		}
	})
}

func TestOtherDescriptorsAreClosed(t *testing.T) {
	// Not close-on-exec, as what a shell hands to a daemon.
	inherited, err := unix.FcntlInt(1, unix.F_DUPFD, 50)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(inherited)
	// The shell's own descriptor for reading the folder is gone when -e looks.
	const script = `for f in /proc/$$/fd/*; do if [ -e "$f" ]; then echo "${f##*/}"; fi; done`
	eachWay(t, func(t *testing.T, start func(gate.Command) (*gate.Child, error)) {
		out, _, err := run(t, start, gate.Command{Path: "/bin/sh", Args: []string{"sh", "-c", script}})
		if err != nil || out != "0\n1\n2\n" {
			t.Errorf("open descriptors %q, error %v", out, err)
		}
	})
}

func TestExtraFilesComeAfterTheThird(t *testing.T) {
	eachWay(t, func(t *testing.T, start func(gate.Command) (*gate.Child, error)) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if _, err := w.WriteString("through descriptor three"); err != nil {
			t.Fatal(err)
		}
		w.Close()
		out, _, err := run(t, start, gate.Command{Path: "/bin/sh", Args: []string{"sh", "-c", "cat <&3"}, Env: os.Environ(), Files: []*os.File{r}})
		if err != nil || out != "through descriptor three" {
			t.Errorf("output %q, error %v", out, err)
		}
	})
}

func TestTheChildIsToldItsProcessID(t *testing.T) {
	eachWay(t, func(t *testing.T, start func(gate.Command) (*gate.Child, error)) {
		for range 3 {
			out, _, err := run(t, start, gate.Command{Path: "/proc/self/exe", Args: []string{reporterName}, Env: []string{"FIRST=1", "LAST=2"}, PIDEnv: "LISTEN_PID"})
			if err != nil {
				t.Fatal(err)
			}
			var g given
			if err := json.Unmarshal([]byte(out), &g); err != nil {
				t.Fatal(err)
			}
			if want := []string{"FIRST=1", "LAST=2", "LISTEN_PID=" + strconv.Itoa(g.PID)}; !slices.Equal(g.Env, want) {
				t.Errorf("environment %q, want %q", g.Env, want)
			}
		}
	})
}

// What is told late stands in the environment, whole and last.
func TestTheChildIsToldWhatIsKnownLate(t *testing.T) {
	eachWay(t, func(t *testing.T, start func(gate.Command) (*gate.Child, error)) {
		for _, tt := range []struct {
			told []string
			want string
		}{{nil, ""}, {[]string{"{\"pid\":1}"}, "{\"pid\":1}"}, {[]string{strings.Repeat("long", 25)}, strings.Repeat("long", 25)}} {
			told := func(c gate.Command) (*gate.Child, error) {
				child, err := start(c)
				if err != nil {
					return nil, err
				}
				if child.SetLate(strings.Repeat("x", 101)) == nil || child.SetLate("a\x00b") == nil {
					t.Error("a value that does not fit is taken")
				}
				for _, value := range tt.told {
					if err := child.SetLate(value); err != nil {
						t.Error(err)
					}
				}
				if len(tt.told) > 0 && child.SetLate("again") == nil {
					t.Error("a second value is taken")
				}
				return child, nil
			}
			out, _, err := run(t, told, gate.Command{
				Path: "/proc/self/exe", Args: []string{reporterName}, Env: []string{"FIRST=1"}, PIDEnv: "LISTEN_PID", LateEnv: "LATE", LateSize: 100,
			})
			if err != nil {
				t.Fatal(err)
			}
			var g given
			if err := json.Unmarshal([]byte(out), &g); err != nil {
				t.Fatal(err)
			}
			if want := []string{"FIRST=1", "LISTEN_PID=" + strconv.Itoa(g.PID), "LATE=" + tt.want}; !slices.Equal(g.Env, want) {
				t.Errorf("environment %q, want %q", g.Env, want)
			}
		}
	})
}

func TestTheChildIsBornInItsCgroup(t *testing.T) {
	p, err := cgroup.Open(fmt.Sprint(t.Name(), os.Getpid()))
	if err != nil {
		require.Missing(t, "cgroups of version 2 ("+err.Error()+")", "run the tests as root or in a delegated cgroup, on Linux 5.14 or later")
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	eachWay(t, func(t *testing.T, start func(gate.Command) (*gate.Child, error)) {
		folder, err := p.Make(1)
		if err != nil {
			t.Fatal(err)
		}
		defer folder.Close()
		looked := func(c gate.Command) (*gate.Child, error) {
			child, err := start(c)
			if err == nil {
				if path, err := cgroup.Of(child.PID); err != nil || path != p.Path(1) {
					t.Errorf("behind the gate it is in %q, %v", path, err)
				}
			}
			return child, err
		}
		out, _, err := run(t, looked, gate.Command{Path: "/bin/cat", Args: []string{"cat", "/proc/self/cgroup"}, Cgroup: folder})
		if err != nil || !strings.Contains(out, "0::"+p.Path(1)+"\n") {
			t.Errorf("output %q, error %v", out, err)
		}
		if gone, err := p.Remove(p.Path(1)); !gone || err != nil {
			t.Errorf("removed: %v, %v", gone, err)
		}
		// In one that is not there any more nothing can be started; without one it can.
		if _, _, err := run(t, start, gate.Command{Path: "/bin/true", Args: []string{"true"}, Cgroup: folder}); !errors.Is(err, gate.ErrCgroup) {
			t.Errorf("in one that is gone: %v", err)
		}
		if _, _, err := run(t, start, gate.Command{Path: "/bin/true", Args: []string{"true"}}); err != nil {
			t.Error(err)
		}
	})
}

func TestNothingRunsBeforeTheGateOpens(t *testing.T) {
	eachWay(t, func(t *testing.T, start func(gate.Command) (*gate.Child, error)) {
		file := filepath.Join(t.TempDir(), "ran")
		null, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer null.Close()
		child, err := start(gate.Command{Path: "/bin/sh", Args: []string{"sh", "-c", "echo > " + file}, Files: []*os.File{null, null, null}})
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(child.PIDFD())
		child.Abandon()
		if err := child.Executed(t.Context()); !errors.Is(err, gate.ErrClosed) {
			t.Errorf("executed: %v", err)
		}
		if status := reap(t, child.PID); status.ExitStatus() != 127 {
			t.Errorf("an abandoned child ended with %v", status)
		}
		if _, err := os.Stat(file); err == nil {
			t.Error("the command ran")
		}
	})
}

func TestStarterKilledWhileChildrenWait(t *testing.T) {
	for _, tt := range []struct {
		group       string
		start, runs int
	}{
		{"", 1, 0},
		{"made", childrenOfGroup, 0},
		{"open", childrenOfGroup, childrenOfGroup},
	} {
		for way := range gate.Ways {
			t.Run(way+" "+tt.group, func(t *testing.T) {
				dir := t.TempDir()
				cmd := exec.Command("/proc/self/exe")
				cmd.Args[0] = starterName
				cmd.Env = append(os.Environ(), "WAY="+way, "TOUCH="+filepath.Join(dir, "ran"), "GROUP="+tt.group)
				out, err := cmd.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				var pidfds []int
				for range tt.start {
					var pid int
					if _, err := fmt.Fscan(out, &pid); err != nil {
						t.Fatal(err)
					}
					pidfd, err := unix.PidfdOpen(pid, 0)
					if err != nil {
						t.Fatal(err)
					}
					defer unix.Close(pidfd)
					pidfds = append(pidfds, pidfd)
				}
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
				_ = cmd.Wait()
				for _, pidfd := range pidfds {
					awaitExit(t, pidfd)
				}
				ran, err := os.ReadDir(dir)
				if err != nil || len(ran) != tt.runs {
					t.Errorf("%d of %d commands ran, want %d (%v)", len(ran), tt.start, tt.runs, err)
				}
			})
		}
	}
}

func awaitExit(t *testing.T, pidfd int) {
	t.Helper()
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, 20_000)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if n != 1 || err != nil {
			t.Fatalf("the child outlived its starter: %d, %v", n, err)
		}
		return
	}
}

// The children of an open group still wait each for its own gate, and a group
// that was closed by its maker is there for them.
func TestGroup(t *testing.T) {
	eachWay(t, func(t *testing.T, start func(gate.Command) (*gate.Child, error)) {
		group, err := gate.NewGroup()
		if err != nil {
			t.Fatal(err)
		}
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		null, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer null.Close()
		var children []*gate.Child
		for i := range childrenOfGroup {
			child, err := start(gate.Command{Path: "/bin/sh", Args: []string{"sh", "-c", fmt.Sprintf("echo %d", i)}, Files: []*os.File{null, w, null}, Group: group})
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(child.PIDFD())
			children = append(children, child)
		}
		w.Close()
		group.Open()
		group.Close()
		// One after the other, the last first.
		for i := len(children) - 1; i >= 0; i-- {
			if err := children[i].Open(); err != nil {
				t.Error(err)
			}
			if err := children[i].Executed(t.Context()); err != nil {
				t.Error(err)
			}
			reap(t, children[i].PID)
		}
		if out, err := io.ReadAll(r); err != nil || string(out) != "2\n1\n0\n" {
			t.Errorf("they printed %q, %v", out, err)
		}
	})
}

func TestErrors(t *testing.T) {
	script := filepath.Join(t.TempDir(), "headerless")
	if err := os.WriteFile(script, []byte("echo hello\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		c     gate.Command
		step  gate.Step
		errno error
	}{
		{"no such program", gate.Command{Path: "/no/such/program"}, gate.StepExec, unix.ENOENT},
		{"not executable", gate.Command{Path: plain}, gate.StepExec, unix.EACCES},
		{"a folder", gate.Command{Path: "/"}, gate.StepExec, unix.EACCES},
		{"a script without a header", gate.Command{Path: script}, gate.StepExec, unix.ENOEXEC},
		{"no such working directory", gate.Command{Path: "/bin/true", Dir: "/no/such/folder"}, gate.StepDir, unix.ENOENT},
		{"arguments too long", gate.Command{Path: "/bin/true", Env: []string{"X=" + strings.Repeat("x", 1<<18)}}, gate.StepExec, unix.E2BIG},
	}
	eachWay(t, func(t *testing.T, start func(gate.Command) (*gate.Child, error)) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				test.c.Args = []string{"x"}
				_, status, err := run(t, start, test.c)
				var execErr *gate.ExecError
				if !errors.As(err, &execErr) || execErr.Step != test.step || !errors.Is(err, test.errno) {
					t.Errorf("error %v, want step %d and %v", err, test.step, test.errno)
				}
				if status.ExitStatus() != 127 {
					t.Errorf("status %v, want exit code 127", status)
				}
			})
		}
		t.Run("NUL character", func(t *testing.T) {
			for _, c := range []gate.Command{
				{Path: "/bin/true", Args: []string{"a\x00b"}},
				{Path: "/bin/true", Args: []string{"a"}, Env: []string{"A=\x00"}},
				{Path: "/bin/\x00", Args: []string{"a"}},
			} {
				if _, _, err := run(t, start, c); err == nil {
					t.Errorf("%q started", c.Args)
				}
			}
		})
	})
}

func TestExecutedEndsWithItsContext(t *testing.T) {
	eachWay(t, func(t *testing.T, start func(gate.Command) (*gate.Child, error)) {
		null, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer null.Close()
		child, err := start(gate.Command{Path: "/bin/true", Args: []string{"true"}, Files: []*os.File{null, null, null}})
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(child.PIDFD())
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := child.Executed(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("executed: %v", err)
		}
		child.Abandon()
		reap(t, child.PID)
	})
}

// Many children wait at once while garbage is collected and stacks grow, and
// each then runs its own command.
func TestManyWaitAtOnce(t *testing.T) {
	eachWay(t, func(t *testing.T, start func(gate.Command) (*gate.Child, error)) {
		n := 100
		if testing.Short() {
			n = 20
		}
		null, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer null.Close()
		type started struct {
			child *gate.Child
			out   *os.File
		}
		var all []started
		for i := range n {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			child, err := start(gate.Command{Path: "/bin/echo", Args: []string{"echo", strconv.Itoa(i)}, Files: []*os.File{null, w, w}})
			w.Close()
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, started{child, r})
			if i%10 == 0 {
				runtime.GC()
				_ = make([]byte, 1<<20)
			}
		}
		for _, s := range all {
			if err := s.child.Open(); err != nil {
				t.Error(err)
			}
		}
		deadline := time.Now().Add(time.Minute)
		for i, s := range all {
			_ = s.out.SetReadDeadline(deadline)
			b, err := io.ReadAll(s.out)
			if err != nil || strings.TrimSpace(string(b)) != strconv.Itoa(i) {
				t.Errorf("child %d printed %q, %v", i, b, err)
			}
			if err := s.child.Executed(t.Context()); err != nil {
				t.Errorf("child %d: %v", i, err)
			}
			unix.Close(s.child.PIDFD())
			reap(t, s.child.PID)
			s.out.Close()
		}
	})
}
