package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"berth/api"
	"berth/client"
	"berth/proc"
)

// patience is how long a test waits for anything that has to come.
const patience = time.Minute

// host is a state folder of its own on which a test runs the real program.
type host struct {
	t      *testing.T
	home   string   // BERTH_HOME
	dir    string   // where commands are run, for the files that they name
	env    []string // more variables of commands
	client *client.Client
}

// newHost makes a host. At the test's end its processes are killed and its
// daemon is ended, and nothing of them may be left.
func newHost(t *testing.T) *host {
	t.Helper()
	dir := t.TempDir()
	h := &host{t: t, home: filepath.Join(dir, "home"), dir: dir}
	h.client = clientOn(filepath.Join(h.home, "berth.sock"))
	t.Cleanup(h.end)
	return h
}

func clientOn(socket string) *client.Client { return client.New(client.Options{Socket: socket}) }

// end leaves nothing behind, whatever became of the test.
func (h *host) end() {
	h.client.Close()
	if _, err := os.Stat(filepath.Join(h.home, "store")); errors.Is(err, os.ErrNotExist) {
		return
	}
	for _, args := range [][]string{{"kill", "all", "-hard", "-w", "30"}, {"stop"}} {
		if r := h.try(args...); r.code != 0 {
			h.t.Errorf("at the end: %v", r)
		}
	}
	if log := h.log(); strings.Contains(log, "panic:") || strings.Contains(log, "goroutine ") || strings.Contains(log, "DATA RACE") {
		h.t.Errorf("the daemon's log has a stack:\n%s", log)
	}
	for _, pid := range h.carriers() {
		h.t.Errorf("process %d of the state folder is left", pid)
		h.kill(pid)
	}
}

// log is what the daemons of the host logged.
func (h *host) log() string {
	text, err := os.ReadFile(filepath.Join(h.home, "berth.log"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		h.t.Fatal(err)
	}
	return string(text)
}

// result is what became of a command.
type result struct {
	args     []string
	code     int
	out, err string
}

func (r result) String() string {
	return fmt.Sprintf("berth %s: exit code %d\n%s%s", strings.Join(r.args, " "), r.code, r.out, r.err)
}

// environ is the environment of a command on the host.
func (h *host) environ() []string {
	env := slices.DeleteFunc(os.Environ(), func(pair string) bool {
		return strings.HasPrefix(pair, "BERTH_") || strings.HasPrefix(pair, "PORT=")
	})
	// A program with the race detector in it sleeps a second before it exits
	// otherwise.
	return append(append(env, "BERTH_HOME="+h.home, "GORACE=atexit_sleep_ms=0"), h.env...)
}

// command is a command on the host, not started yet. It is killed when ctx ends.
func (h *host) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = h.dir
	cmd.Env = h.environ()
	// Who holds the output open after the command has ended keeps it only so long.
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// try runs berth.
func (h *host) try(args ...string) result { return h.feed("", args...) }

// feed runs berth with something on its standard input.
func (h *host) feed(input string, args ...string) result {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := h.command(ctx, "berth", args...)
	var out, errOut bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &errOut
	err := cmd.Run()
	r := result{args, cmd.ProcessState.ExitCode(), out.String(), errOut.String()}
	if err != nil && r.code <= 0 {
		r.err += err.Error()
		r.code = -1
	}
	return r
}

// run runs berth, which has to succeed, and returns its output.
func (h *host) run(args ...string) string {
	h.t.Helper()
	r := h.try(args...)
	if r.code != 0 {
		h.t.Fatal(r)
	}
	return r.out
}

// refused runs berth, which has to be refused with one line on standard error
// that begins with its name, and returns that line.
func (h *host) refused(code int, args ...string) string {
	h.t.Helper()
	r := h.try(args...)
	checkRefused(h.t, r, code)
	return r.err
}

// checkRefused holds a refusal to what every one has to be.
func checkRefused(t *testing.T, r result, code int) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d", r.code, code)
	}
	if !strings.HasPrefix(r.err, "berth: ") || strings.Count(r.err, "\n") != 1 || !strings.HasSuffix(r.err, "\n") {
		t.Error("standard error is not one line that begins with berth:")
	}
	if strings.Contains(r.err, "panic") || strings.Contains(r.err, "goroutine ") || strings.Contains(r.err, "<nil>") || strings.Contains(r.err, "%!") {
		t.Error("standard error tells a mistake of the program")
	}
	if r.out != "" {
		t.Error("standard output is not empty")
	}
	if t.Failed() {
		t.Log(r)
	}
}

// decode runs berth, whose output has to be JSON of type T.
func decode[T any](h *host, args ...string) T {
	h.t.Helper()
	var v T
	out := h.run(args...)
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		h.t.Fatalf("%v: %v in\n%s", args, err, out)
	}
	return v
}

// ps lists what runs, and starts a daemon where there is none.
func (h *host) ps() []api.Process {
	h.t.Helper()
	return decode[[]api.Process](h, "ps", "-o", "json")
}

// ranges lists the ranges.
func (h *host) ranges() []api.RangeStatus {
	h.t.Helper()
	return decode[[]api.RangeStatus](h, "port", "ls", "-o", "json")
}

// daemon tells about the daemon that answers.
func (h *host) daemon() api.Daemon {
	h.t.Helper()
	d, err := h.client.Daemon(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	return d
}

// kill sends SIGKILL to a process and waits until it is gone; one that is gone
// already is none the worse.
func (h *host) kill(pid int) {
	h.t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return
	}
	if err != nil {
		h.t.Fatalf("open process %d: %v", pid, err)
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		h.t.Fatalf("kill process %d: %v", pid, err)
	}
	awaitGone(h.t, pid, fd)
}

func awaitGone(t *testing.T, pid, pidfd int) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, 1000)
		switch {
		case n > 0:
			return
		case err != nil && !errors.Is(err, unix.EINTR):
			t.Fatalf("wait for process %d: %v", pid, err)
		case time.Now().After(deadline):
			t.Fatalf("process %d does not end", pid)
		}
	}
}

// eventually waits until something holds.
func (h *host) eventually(what string, holds func() bool) {
	h.t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			h.t.Fatalf("still not: %s", what)
		}
	}
}

// write makes a file for commands to name.
func (h *host) write(name, text string) {
	h.t.Helper()
	path := filepath.Join(h.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		h.t.Fatal(err)
	}
}

// stateID is the id of the state folder.
func (h *host) stateID() string {
	h.t.Helper()
	text, err := os.ReadFile(filepath.Join(h.home, "state-id"))
	if err != nil {
		h.t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// carriers are the pids of the live processes that have the id of the state
// folder in their environment: everything that its daemons ever started.
func (h *host) carriers() []int {
	h.t.Helper()
	id := h.stateID()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		h.t.Fatal(err)
	}
	var pids []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		// Of a zombie or another user's process there is nothing to read.
		if value, ok, err := proc.EnvironValue(pid, "BERTH_STATE_ID"); err == nil && ok && value == id {
			pids = append(pids, pid)
		}
	}
	return pids
}

// The ports of these tests are 25000 to 25999, in blocks. A block is held by a
// name of the machine, so that tests that run at the same time, of another
// checkout or by another user, have ports of their own.
const (
	firstPort = 25000
	lastPort  = 25999
	blockSize = 20
)

var blocks struct {
	sync.Mutex
	next int
}

// portBlock returns the first of blockSize ports in a row that are this test's
// until it ends, and on which nobody listens.
func portBlock(t *testing.T) int {
	t.Helper()
	const n = (lastPort + 1 - firstPort) / blockSize
	blocks.Lock()
	defer blocks.Unlock()
	for range n {
		first := firstPort + (os.Getpid()+blocks.next)%n*blockSize
		blocks.next++
		hold, err := net.Listen("unix", fmt.Sprintf("@berth-test-ports-%d", first))
		if err != nil {
			continue
		}
		if free(first, blockSize) {
			t.Cleanup(func() { hold.Close() })
			return first
		}
		hold.Close()
	}
	t.Fatalf("there are no %d ports in a row free between %d and %d", blockSize, firstPort, lastPort)
	return 0
}

func free(first, n int) bool {
	for port := first; port < first+n; port++ {
		l, err := net.Listen("tcp", ":"+strconv.Itoa(port))
		if err != nil {
			return false
		}
		l.Close()
	}
	return true
}

// get fetches the page of a server on loopback.
func get(t *testing.T, port int) string {
	t.Helper()
	c := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Get(fmt.Sprintf("http://127.0.0.1:%d/", port))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}
