package samples_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"berth/api"
	"berth/internal/require"
)

// patience is how long anything may take.
const patience = 2 * time.Minute

// noDaemon is berth's exit code where none answers.
const noDaemon = 3

// programs are berth and the program of http-generic, built.
type programs struct{ berth, generic string }

func build(t *testing.T) programs {
	t.Helper()
	dir := t.TempDir()
	p := programs{berth: filepath.Join(dir, "berth"), generic: filepath.Join(dir, "server")}
	run(t, "", "go", "build", "-buildvcs=false", "-o", p.berth, "berth/cmd/berth")
	run(t, "", "go", "build", "-buildvcs=false", "-o", p.generic, "berth/samples/http-generic")
	return p
}

// run runs a program that has to do what it is asked.
func run(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// host is a daemon on a state folder of its own, spoken with by berth.
type host struct {
	t     *testing.T
	berth string
	home  string
}

func newHost(t *testing.T, berth string) *host {
	h := &host{t: t, berth: berth, home: t.TempDir()}
	t.Cleanup(func() {
		for _, args := range [][]string{{"kill", "all", "-hard", "-w"}, {"stop"}} {
			if _, message, code := h.exec(context.Background(), "BERTH_AUTOSTART=0", args...); code != 0 && code != noDaemon {
				t.Errorf("berth %s: exit code %d: %s", strings.Join(args, " "), code, message)
			}
		}
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(h.home, "berth.log"))
			t.Logf("the daemon's log:\n%s", log)
		}
	})
	return h
}

// command is a command of berth, not started yet.
func (h *host) command(ctx context.Context, variable string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, h.berth, args...)
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "BERTH_") {
			cmd.Env = append(cmd.Env, pair)
		}
	}
	cmd.Env = append(cmd.Env, "BERTH_HOME="+h.home, variable)
	return cmd
}

// exec runs a command of berth.
func (h *host) exec(ctx context.Context, variable string, args ...string) (out []byte, message string, code int) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := h.command(ctx, variable, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		h.t.Fatal(err)
	}
	return stdout.Bytes(), stderr.String(), cmd.ProcessState.ExitCode()
}

// do runs a command that has to succeed, without a warning.
func (h *host) do(args ...string) []byte {
	h.t.Helper()
	out, message, code := h.exec(h.t.Context(), "", args...)
	if code != 0 || strings.Contains(message, "warning") {
		h.t.Fatalf("berth %s: exit code %d: %s", strings.Join(args, " "), code, message)
	}
	return out
}

// list runs a command that prints an array.
func list[E any](h *host, args ...string) (all []E) {
	h.t.Helper()
	out := h.do(append(args, "-o", "json")...)
	if err := json.Unmarshal(out, &all); err != nil {
		h.t.Fatalf("berth %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return all
}

// run deploys a folder, runs three of its processes on a range of six ports, and
// looks at each; then it stops them and has all ports back.
func (h *host) run(folder, distribution string, first int, look func(t *testing.T, p api.Process, port string)) {
	t := h.t
	last := first + 5
	h.do("port", "add", "-n", "http", "-min", strconv.Itoa(first), "-max", strconv.Itoa(last))
	deployed := list[api.Deployed](h, "deploy", folder)
	if len(deployed) != 1 || deployed[0].Name != distribution || len(deployed[0].Warnings) > 0 {
		t.Fatalf("deployed %+v", deployed)
	}
	h.do("exec", "-d", distribution, "-v", "1.0", "-p", "test", "-n", "httpServer", "-i", "3", "-w")

	running := list[api.Process](h, "ps", "-ports")
	if len(running) != 3 {
		t.Fatalf("%d processes run: %+v", len(running), running)
	}
	var ports []int
	for _, p := range running {
		if p.Status != api.StatusRunning || len(p.Ports) != 1 || p.Ports[0].Name != "http" || p.Ports[0].State != api.PortListening {
			t.Fatalf("%+v does not listen on a port of its own", p)
		}
		port := p.Ports[0].Port
		if port < first || port > last || slices.Contains(ports, port) {
			t.Fatalf("process %d has port %d, beside %v", p.ID, port, ports)
		}
		ports = append(ports, port)
		look(t, p, strconv.Itoa(port))
	}

	h.do("kill", "-d", distribution, "-v", "1.0", "-w")
	if left := list[api.Process](h, "ps"); len(left) > 0 {
		t.Errorf("processes are left: %+v", left)
	}
	ranges := list[api.RangeStatus](h, "port", "ls")
	if len(ranges) != 1 || len(ranges[0].Active) > 0 || len(ranges[0].Available)+len(ranges[0].SetAside) != 6 {
		t.Fatalf("the ports did not come back: %+v", ranges)
	}
	// A port that another program has was passed over, and is no loss.
	for _, p := range ranges[0].SetAside {
		if slices.Contains(ports, p.Port) {
			t.Errorf("port %d did not come back: %s", p.Port, p.Reason)
		}
	}
	h.do("stop")
	if _, message, code := h.exec(t.Context(), "BERTH_AUTOSTART=0", "ps"); code != noDaemon {
		t.Errorf("after stop: exit code %d: %s", code, message)
	}
}

// page is what a process answers.
func page(t *testing.T, port, path string) []string {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	response, err := client.Get("http://127.0.0.1:" + port + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s %v: %s", response.Status, err, body)
	}
	return strings.Split(strings.TrimSuffix(string(body), "\n"), "\n")
}

// says checks that a page has lines.
func says(t *testing.T, lines []string, wanted ...string) {
	t.Helper()
	for _, line := range wanted {
		if !slices.Contains(lines, line) {
			t.Errorf("no line %q in:\n%s", line, strings.Join(lines, "\n"))
		}
	}
}

// staged copies a sample's folder, so that nothing is built in the source tree.
// What was built there is left out.
func staged(t *testing.T, sample string, built ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), sample)
	if err := os.CopyFS(dir, os.DirFS(sample)); err != nil {
		t.Fatal(err)
	}
	for _, name := range built {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestSamples(t *testing.T) {
	p := build(t)

	t.Run("http-generic", func(t *testing.T) {
		dir := staged(t, "http-generic", "bin")
		if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Link(p.generic, filepath.Join(dir, "bin", "server")); err != nil {
			t.Fatal(err)
		}
		newHost(t, p.berth).run(dir, "http-generic", 24500, func(t *testing.T, process api.Process, port string) {
			says(t, page(t, port, "/"),
				"PORT="+port, "argument="+port, "corus.process.port.http="+port, "corus.server.port.http="+port, "http.port="+port,
				"process="+strconv.Itoa(process.ID), "pid="+strconv.Itoa(process.PID),
				"corus.process.id="+strconv.Itoa(process.ID), "corus.process.profile=test", "corus.distribution.name=http-generic")
		})
	})

	t.Run("http-jvm", func(t *testing.T) {
		require.Tool(t, "javac")
		require.Tool(t, "java")
		dir := staged(t, "http-jvm", "classes")
		run(t, dir, "./build.sh")
		newHost(t, p.berth).run(dir, "http-jvm", 24510, func(t *testing.T, process api.Process, port string) {
			says(t, page(t, port, "/"),
				"corus.process.port.http="+port, "http.port="+port,
				"process="+strconv.Itoa(process.ID), "pid="+strconv.Itoa(process.PID))
			says(t, page(t, port, "/properties"),
				"property corus.process.port.http="+port, "property corus.server.port.http="+port, "property http.port="+port,
				"property corus.process.id="+strconv.Itoa(process.ID), "property corus.distribution.name=http-jvm",
				"argument --title", "argument Berth sample",
				"input -Dcorus.process.port.http="+port, "input -Dcorus.server.port.http="+port, "input -Dhttp.port="+port, "input -Xmx64m")
		})
	})

	t.Run("http-magnet", func(t *testing.T) {
		for _, tool := range []string{"javac", "java", "jar"} {
			require.Tool(t, tool)
		}
		dir := staged(t, "http-magnet", "classes", "lib")
		run(t, dir, "./build.sh")
		newHost(t, p.berth).run(dir, "demo", 24530, func(t *testing.T, process api.Process, port string) {
			says(t, page(t, port, "/"),
				"http.port="+port, "corus.process.port.http="+port, "corus.server.port.http="+port, "page.title=demo in test",
				"process="+strconv.Itoa(process.ID), "pid="+strconv.Itoa(process.PID),
				"argument 127.0.0.1", "argument demo in test", "input -Xms16M", "input -Dpage.title=demo in test", "input -Dhttp.port="+port)
		})
	})

	// A program that was told its port in two ways that differ says so, and
	// does not start.
	t.Run("a port told otherwise", func(t *testing.T) {
		all := []string{"24520", "-Dhttp.port=24520", "-Dcorus.process.port.http=24520", "-Dcorus.server.port.http=24520"}
		for _, tt := range []struct {
			name, port string
			args       []string
		}{
			{"nothing", "", nil},
			{"no variable", "", all},
			{"another variable", "24521", all},
			{"no argument", "24520", all[1:]},
			{"two arguments", "24520", append([]string{"24520"}, all...)},
			{"no property", "24520", all[:1]},
			{"another property", "24520", append([]string{"-Dhttp.port=24520", "-Dcorus.server.port.http=24521"}, all[:3]...)},
		} {
			t.Run(tt.name, func(t *testing.T) {
				cmd := exec.CommandContext(t.Context(), p.generic, tt.args...)
				cmd.Env = []string{"PORT=" + tt.port}
				out, err := cmd.CombinedOutput()
				if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 2 {
					t.Fatalf("%v, not exit code 2: %s", err, out)
				}
				if want := fmt.Sprintf("PORT=%s, ", tt.port); !strings.Contains(string(out), want) || strings.Count(string(out), "\n") != 1 {
					t.Errorf("%q is no line that says %q", out, want)
				}
			})
		}
	})
}
