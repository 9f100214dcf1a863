package proc_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"berth/proc"
)

// The test binary is its own child program: modeVar says what it does then, argVar with what.
const (
	modeVar = "PROC_TEST_MODE"
	argVar  = "PROC_TEST_ARG"
)

func TestMain(m *testing.M) {
	modes := map[string]func(arg string){
		"exit":      exitWith,
		"block":     func(string) { block() },
		"rename":    rename,
		"reaper":    reaper,
		"hoarder":   hoarder,
		"group":     group,
		"orphan":    orphan,
		"family":    family,
		"oldkernel": oldKernel,
		"reuse":     reuse,
		"tracer":    tracer,
		"caller":    caller,
	}
	if mode := os.Getenv(modeVar); mode != "" {
		modes[mode](os.Getenv(argVar))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// block waits until standard input ends.
func block() { _, _ = io.Copy(io.Discard, os.Stdin) }

// exitWith ends by a code ("3"), or by a signal ("-9").
func exitWith(arg string) {
	n, _ := strconv.Atoi(arg)
	if n >= 0 {
		os.Exit(n)
	}
	_ = unix.Kill(os.Getpid(), syscall.Signal(-n))
	select {}
}

// caller prints who has called it.
func caller(string) {
	pid, err := proc.Caller()
	if err != nil {
		fmt.Println(err)
	}
	fmt.Println(pid)
}

// rename takes another name, then blocks.
func rename(arg string) {
	if err := os.WriteFile("/proc/self/comm", []byte(arg), 0); err != nil {
		fmt.Println(err)
	}
	fmt.Println("renamed")
	block()
}

// reaper starts a child that blocks, then ends as told by its argument, and reaps it.
func reaper(arg string) {
	cmd := self("block", "")
	in, _ := cmd.StdinPipe()
	if err := cmd.Start(); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(cmd.Process.Pid)
	line, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	if strings.TrimSpace(line) == "end" {
		_ = in.Close()
	}
	_ = cmd.Wait()
	block()
}

// hoarder starts a child and never reaps it.
func hoarder(string) {
	cmd := exec.Command("cat")
	cmd.Stdin = os.Stdin
	if err := cmd.Start(); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(cmd.Process.Pid)
	block()
}

// group starts a member of its group, and ends when its own input does; the member's input is descriptor 3.
func group(string) {
	cmd := exec.Command("cat")
	cmd.Stdin = os.NewFile(3, "input of the member")
	if err := cmd.Start(); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(cmd.Process.Pid)
	block()
}

// orphan leaves a child behind.
func orphan(string) {
	cmd := exec.Command("cat")
	cmd.Stdin = os.NewFile(3, "input of the child")
	if err := cmd.Start(); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(cmd.Process.Pid)
}

// family has a child in its session, a child in a session of its own, and an orphan in its own session.
func family(string) {
	start := func(cmd *exec.Cmd) {
		cmd.ExtraFiles = []*os.File{os.Stdin}
		if err := cmd.Start(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	for _, setsid := range []bool{false, true} {
		cmd := exec.Command("cat")
		cmd.Stdin = os.Stdin
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: setsid}
		start(cmd)
		fmt.Println(cmd.Process.Pid)
	}
	cmd := self("orphan", "")
	cmd.ExtraFiles = []*os.File{os.Stdin}
	out, err := cmd.Output()
	if err != nil {
		fmt.Println(err)
	}
	fmt.Print(string(out))
	block()
}

// tracer traces a process until its own input ends, and does not look at what becomes of that.
func tracer(arg string) {
	pid, _ := strconv.Atoi(arg)
	runtime.LockOSThread()
	if _, _, err := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(pid), 0, 0, 0, 0); err != 0 {
		fmt.Println(err)
		return
	}
	fmt.Println("tracing")
	block()
}

// self is the test binary as a child program, in a session of its own when it is started by start.
func self(mode, arg string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	// The race detector would make every child linger for a second.
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", modeVar+"="+mode, argVar+"="+arg)
	return cmd
}

// child is a started child program.
type child struct {
	pid int
	in  io.WriteCloser
	out *bufio.Reader
}

// start starts a child program that leads a session, and sees to its end. It is not waited for: the test reaps it.
func start(t testing.TB, cmd *exec.Cmd) *child {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setsid = true
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Process.Kill() // by pidfd: harmless when the test has reaped it
		_, _ = cmd.Process.Wait()
		_ = out.Close()
	})
	return &child{pid: cmd.Process.Pid, in: in, out: bufio.NewReader(out)}
}

// line reads a line of the child's output.
func (c *child) line(t testing.TB) string {
	t.Helper()
	line, err := c.out.ReadString('\n')
	if err != nil {
		t.Fatalf("child's output ended: %v", err)
	}
	return strings.TrimSuffix(line, "\n")
}

// number reads a pid from the child's output.
func (c *child) number(t testing.TB) int {
	t.Helper()
	line := c.line(t)
	n, err := strconv.Atoi(line)
	if err != nil {
		t.Fatalf("child said %q", line)
	}
	return n
}

func identify(t testing.TB, pid int) proc.Identity {
	t.Helper()
	id, err := proc.Identify(pid)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func open(t testing.TB, pid int) *proc.Process {
	t.Helper()
	p, err := proc.Open(identify(t, pid))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// kernel reports whether the kernel is at least of a version.
func kernel(t testing.TB, major, minor int) bool {
	t.Helper()
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		t.Fatal(err)
	}
	var have [2]int
	release := unix.ByteSliceToString(name.Release[:])
	if _, err := fmt.Sscanf(release, "%d.%d", &have[0], &have[1]); err != nil {
		t.Fatalf("kernel release %q: %v", release, err)
	}
	return have[0] > major || have[0] == major && have[1] >= minor
}
