package main

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"berth/home"
)

// scriptPatience is how long a script waits for anything.
const scriptPatience = 20 * time.Second

// The scripts run the real program, its daemon included, each in a state
// folder of its own. Their ports are 24000 to 26999, every script with its own.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			dir := filepath.Join(env.WorkDir, "home")
			env.Setenv("BERTH_HOME", dir)
			// A program with the race detector in it sleeps a second before it
			// exits otherwise.
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			// Under the race detector every program would sleep a second at its end.
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			env.Defer(func() { endDaemon(env.T(), dir) })
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"listen":  listenCmd,
			"waitfor": waitforCmd,
			"killpid": killpidCmd,
			"capture": captureCmd,
			"unseen":  unseenCmd,
		},
	})
}

// endDaemon kills all processes of a state folder and ends its daemon, so that
// a script leaves nothing behind whatever became of it.
func endDaemon(t testscript.T, dir string) {
	if _, err := os.Stat(filepath.Join(dir, "store")); errors.Is(err, os.ErrNotExist) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), scriptPatience)
	defer cancel()
	// A daemon that was killed is started again, to take up what it left.
	for _, args := range [][]string{{"kill", "all", "-hard", "-w", "10"}, {"stop"}} {
		cmd := exec.CommandContext(ctx, "berth", args...)
		cmd.Env = append(os.Environ(), "BERTH_HOME="+dir, "GORACE=atexit_sleep_ms=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Log("at the script's end: berth", args, err, string(out))
		}
	}
	paths, err := home.Find(func(name string) string {
		if name == "BERTH_HOME" {
			return dir
		}
		return ""
	}, os.Geteuid())
	if err != nil {
		t.Fatal(err)
	}
	if answers(ctx, paths.Socket) {
		t.Fatal("a daemon still answers on ", paths.Socket)
	}
}

// listenCmd binds and listens on ports until the script's end, as a foreign
// program would: listen PORT…
func listenCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: listen PORT…")
	}
	for _, port := range args {
		l, err := net.Listen("tcp", ":"+port)
		ts.Check(err)
		ts.Defer(func() { l.Close() })
	}
}

// waitforCmd runs a command again and again until what it prints matches, or
// with ! until it does not: waitfor REGEXP COMMAND [ARG…]
func waitforCmd(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: [!] waitfor REGEXP COMMAND [ARG…]")
	}
	want, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	for deadline := time.Now().Add(scriptPatience); ; time.Sleep(20 * time.Millisecond) {
		err := ts.Exec(args[1], args[2:]...)
		if out := ts.ReadFile("stdout"); want.MatchString(out) != neg {
			return
		} else if time.Now().After(deadline) {
			ts.Fatalf("%v still prints this (%v):\n%s%s", args[1:], err, out, ts.ReadFile("stderr"))
		}
	}
}

// killpidCmd sends a signal and waits until the process is gone where that is
// its end: killpid SIGNAL PID. Other signals than SIGKILL and SIGTERM are sent
// only.
func killpidCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: killpid SIGNAL PID")
	}
	sig := unix.SignalNum(args[0])
	pid, err := strconv.Atoi(args[1])
	if sig == 0 || err != nil || pid <= 1 {
		ts.Fatalf("killpid: no such signal or pid: %v", args)
	}
	fd, err := unix.PidfdOpen(pid, 0)
	ts.Check(err)
	defer unix.Close(fd)
	ts.Check(unix.PidfdSendSignal(fd, sig, nil, 0))
	if sig != syscall.SIGKILL && sig != syscall.SIGTERM {
		return
	}
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(scriptPatience.Milliseconds()))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil || n == 0:
			ts.Fatalf("process %d did not end: %v", pid, err)
		default:
			return
		}
	}
}

// captureCmd puts the first group of a match in the last standard output into
// a variable: capture NAME REGEXP
func captureCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: capture NAME REGEXP")
	}
	found := regexp.MustCompile("(?m)" + args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(found) < 2 {
		ts.Fatalf("the output does not match %q", args[1])
	}
	ts.Setenv(args[0], found[1])
}
