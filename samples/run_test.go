package samples_test

import (
	"bufio"
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
	"time"

	"berth/api"
	"berth/internal/require"
)

// foreground is a berth run that goes on.
type foreground struct {
	h     *host
	cmd   *exec.Cmd
	lines *bufio.Scanner
}

// foreground starts berth run, and ends it with the test.
func (h *host) foreground(args ...string) *foreground {
	t := h.t
	t.Helper()
	f := &foreground{h: h, cmd: h.command(t.Context(), "", append([]string{"run"}, args...)...)}
	f.cmd.Stderr = os.Stderr
	out, err := f.cmd.StdoutPipe()
	if err == nil {
		f.lines = bufio.NewScanner(out)
		err = f.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	limit := time.AfterFunc(patience, func() { f.cmd.Process.Kill() })
	t.Cleanup(func() {
		limit.Stop()
		if f.cmd.ProcessState == nil {
			f.cmd.Process.Kill()
			f.cmd.Wait()
		}
	})
	return f
}

var listens = regexp.MustCompile(`^(.*)listening on 127\.0\.0\.1:(\d+)$`)

// listening waits for the next line that tells a port, and returns what stands
// before it and the port.
func (f *foreground) listening() (before, port string) {
	f.h.t.Helper()
	for f.lines.Scan() {
		if found := listens.FindStringSubmatch(f.lines.Text()); found != nil {
			return found[1], found[2]
		}
	}
	f.h.t.Fatalf("it has ended before it listened: %v", f.cmd.Wait())
	return "", ""
}

// interrupt sends SIGINT, as a terminal does, and returns the exit code that a
// shell would show.
func (f *foreground) interrupt() int {
	f.h.t.Helper()
	if err := f.cmd.Process.Signal(os.Interrupt); err != nil {
		f.h.t.Fatal(err)
	}
	for f.lines.Scan() {
	}
	if err := f.cmd.Wait(); err != nil && f.cmd.ProcessState == nil {
		f.h.t.Fatal(err)
	}
	if status := f.cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
		return 128 + int(status.Signal())
	}
	return f.cmd.ProcessState.ExitCode()
}

// back waits until all ports of the range have come back.
func (h *host) back() {
	h.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		ranges := list[api.RangeStatus](h, "port", "ls")
		if len(ranges) == 1 && len(ranges[0].Active) == 0 {
			return
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("the port did not come back: %+v", ranges)
		}
	}
}

// The samples of berth run: a command in the foreground is told its port, is the
// process that berth was started as, and takes its lease with it.
func TestRun(t *testing.T) {
	p := build(t)
	for _, tt := range []struct {
		name, tool string
		options    []string
		command    []string
		lines      []string // beside those of the port
		ended      []int    // exit codes by SIGINT
	}{
		{"java", "java", nil, []string{"java", filepath.Join("run-java", "Server.java"), "--port=${PORT}", "${corus.server.port.http}"},
			[]string{"corus.server.port.http=PORT", "corus.process.port.http=PORT", "PORT=PORT", "PM2_INSTANCE_ID=0", "arguments=--port=PORT PORT"}, []int{130}},
		{"node", "node", []string{"-env-file", filepath.Join("run-node", "greeting.env")}, []string{"node", filepath.Join("run-node", "server.js"), "${PORT}"},
			[]string{"PORT=PORT", "TCP_PORT=PORT", "CORUS_PROCESS_PORT_HTTP=PORT", "NODE_APP_INSTANCE=0", "GREETING=hello on port PORT", "arguments=PORT"}, []int{130}},
		{"python", "python3", nil, []string{"python3", filepath.Join("run-python", "server.py"), "${PORT}", "${HOME}"},
			[]string{"PORT=PORT", "TCP_PORT=PORT", "CORUS_PROCESS_PORT_HTTP=PORT", "PM2_INSTANCE_ID=0", "arguments=PORT ${HOME}"}, []int{0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Tool(t, tt.tool)
			h := newHost(t, p.berth)
			h.do("port", "add", "-n", "http", "-min", "24560", "-max", "24565")
			f := h.foreground(slices.Concat([]string{"-port", "http"}, tt.options, []string{"--"}, tt.command)...)
			before, port := f.listening()
			if before != "" {
				t.Errorf("%q stands before its line", before)
			}
			lines := page(t, port, "/")
			for _, line := range append(tt.lines, "pid="+strconv.Itoa(f.cmd.Process.Pid)) {
				says(t, lines, strings.ReplaceAll(strings.ReplaceAll(line, "=PORT", "="+port), " PORT", " "+port))
			}
			active := list[api.RangeStatus](h, "port", "ls")[0].Active
			if len(active) != 1 || strconv.Itoa(active[0].Port) != port || active[0].PID != f.cmd.Process.Pid {
				t.Errorf("leased are %+v, and %d has port %s", active, f.cmd.Process.Pid, port)
			}
			if code := f.interrupt(); !slices.Contains(tt.ended, code) {
				t.Errorf("exit code %d, not one of %v", code, tt.ended)
			}
			h.back()
		})
	}

	// Several instances have a port and a number each.
	t.Run("instances", func(t *testing.T) {
		require.Tool(t, "python3")
		h := newHost(t, p.berth)
		f := h.foreground("-i", "3", "-port", "auto:24570-24589", "-name", "web", "--", "python3", filepath.Join("run-python", "server.py"))
		seen := map[string]bool{}
		for range 3 {
			before, port := f.listening()
			var instance int
			if _, err := fmt.Sscanf(before, "web %d | ", &instance); err != nil || seen[port] || seen[before] {
				t.Errorf("%q stands before port %s", before, port)
			}
			seen[port], seen[before] = true, true
			says(t, page(t, port, "/"), "PORT="+port, fmt.Sprint("PM2_INSTANCE_ID=", instance), fmt.Sprint("NODE_APP_INSTANCE=", instance))
			if number, _ := strconv.Atoi(port); instance < 0 || instance > 2 || number < 24570 || number > 24589 {
				t.Errorf("instance %d has port %s", instance, port)
			}
		}
		if code := f.interrupt(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		if err := f.lines.Err(); err != nil && !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
	})
}
