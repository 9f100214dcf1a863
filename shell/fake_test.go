package shell_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/api"
	"berth/client"
	"berth/shell"
)

// daemon is a fake daemon: it answers from what it is given and notes what it
// was asked.
type daemon struct {
	socket string

	mu    sync.Mutex
	asked []string

	ranges        []api.RangeStatus
	distributions []api.Distribution
	processes     []api.Process
	diagnoses     [][]api.Diagnosis // one after the other, the last one from then on
	warnings      []string
	output        func(w http.ResponseWriter, r *http.Request)
	problems      map[string]api.Error // by method and path
	hold          chan struct{}        // where it is not nil, kill waits for it
	entered       chan struct{}        // told that kill waits
}

func newDaemon(t testing.TB) *daemon {
	t.Helper()
	dir, err := os.MkdirTemp("", "berth")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	d := &daemon{socket: filepath.Join(dir, "s"), problems: make(map[string]api.Error), entered: make(chan struct{}, 16)}
	l, err := net.Listen("unix", d.socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: d.handler()}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	t.Cleanup(func() { srv.Close(); <-done })
	return d
}

func (d *daemon) handler() http.Handler {
	mux := http.NewServeMux()
	answer := func(pattern string, status int, f func(r *http.Request, body []byte) any) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			line := r.Method + " " + r.URL.Path
			d.note(strings.TrimSpace(r.Method + " " + r.RequestURI + " " + string(body)))
			w.Header().Set("Content-Type", "application/json")
			if p, ok := d.problems[line]; ok {
				w.Header().Set("Content-Type", "application/problem+json")
				w.WriteHeader(409)
				_ = json.NewEncoder(w).Encode(p)
				return
			}
			w.WriteHeader(status)
			if out := f(r, body); out != nil {
				_ = json.NewEncoder(w).Encode(out)
			}
		})
	}
	answer("GET /v1/daemon", 200, func(*http.Request, []byte) any {
		return api.Daemon{Version: "2.0", PID: os.Getpid(), Home: "/var/lib/berth"}
	})
	answer("GET /v1/tokens", 200, func(*http.Request, []byte) any { return []api.Token{{Name: "ci", Role: api.RoleLease}} })
	answer("GET /v1/ranges", 200, func(*http.Request, []byte) any { return d.ranges })
	answer("GET /v1/leases", 200, func(*http.Request, []byte) any {
		return []api.Lease{{ID: "l1", Port: 5004, Protocol: "udp", Kind: api.HolderManual, Owner: "turn1"}, {ID: "l2", Port: 8080, Protocol: "tcp", Kind: api.HolderSession}, {ID: "l3", Port: 8081, Protocol: "tcp", Kind: api.HolderProcess, Process: 2, Holder: "httpServer 2 (demo 1.0)"}}
	})
	answer("POST /v1/ranges", 201, func(_ *http.Request, body []byte) any {
		var in api.AddRanges
		_ = json.Unmarshal(body, &in)
		return in.Ranges
	})
	answer("PATCH /v1/ranges/{name}", 200, func(r *http.Request, body []byte) any {
		var in api.UpdateRange
		json.Unmarshal(body, &in)
		out := api.UpdatedRange{Range: d.ranges[0].Range, Before: d.ranges[0].Range}
		if in.Max != 0 {
			out.Max = in.Max
		}
		if in.Force {
			out.Outside = d.ranges[0].Active
		}
		return out
	})
	answer("DELETE /v1/ranges", 200, func(r *http.Request, _ []byte) any {
		var out api.DeletedRanges
		for _, have := range d.ranges {
			if have.Name == r.URL.Query().Get("name") {
				out.Deleted = append(out.Deleted, have.Range)
			}
		}
		return out
	})
	archived := func(r *http.Request, _ []byte) any {
		out := api.Archived{Revision: r.PathValue("rev")}
		for _, have := range d.ranges {
			out.Ranges = append(out.Ranges, have.Range)
		}
		return out
	}
	answer("PUT /v1/ranges/archives/{rev}", 200, archived)
	answer("POST /v1/ranges/archives/{rev}/restore", 200, archived)
	answer("GET /v1/distributions", 200, func(*http.Request, []byte) any { return d.distributions })
	answer("POST /v1/distributions", 201, func(r *http.Request, _ []byte) any {
		return api.Deployed{
			Distribution: api.Distribution{Name: strings.TrimSuffix(r.URL.Query().Get("filename"), ".zip"), Version: "1.0", Processes: []string{"httpServer"}},
			Warnings:     d.warnings,
		}
	})
	answer("DELETE /v1/distributions", 200, func(*http.Request, []byte) any { return api.Undeployed{Undeployed: d.distributions} })
	answer("POST /v1/processes", 201, func(*http.Request, []byte) any {
		return api.Started{Processes: d.processes, Warnings: d.warnings}
	})
	answer("GET /v1/processes", 200, func(*http.Request, []byte) any { return d.processes })
	answer("GET /v1/diagnoses", 200, func(*http.Request, []byte) any {
		d.mu.Lock()
		defer d.mu.Unlock()
		if len(d.diagnoses) == 0 {
			return []api.Diagnosis{}
		}
		now := d.diagnoses[0]
		if len(d.diagnoses) > 1 {
			d.diagnoses = d.diagnoses[1:]
		}
		return now
	})
	answer("GET /v1/processes/{id}", 200, func(r *http.Request, _ []byte) any {
		for _, p := range d.processes {
			if strconv.Itoa(p.ID) == r.PathValue("id") {
				return p
			}
		}
		return api.Process{}
	})
	answer("GET /v1/processes/{id}/info", 200, func(r *http.Request, _ []byte) any {
		code, percent, memory, uptime := 7, 12.5, uint64(3<<20), 3661.0
		info := api.ProcessInfo{
			Process: d.processes[0], PIDs: []int{4711, 4712}, Command: []string{"server", "-x", "two words"}, Environment: []string{"HOME", "PATH"},
			WorkingDir: "/d", LogFiles: []string{"/p/1/process.out"}, Dependencies: []string{"db (store 2.0)"},
			Policy: &api.ProcessPolicy{Restart: "on-failure", MaxRestarts: 10, ShutdownTimeoutSeconds: 30, MaxKillRetry: 3},
		}
		info.CPUPercent, info.MemoryBytes, info.UptimeSeconds, info.Restarts, info.Dir = &percent, &memory, &uptime, 4, "/p/1"
		info.LastExit = &api.ProcessExit{ExitCode: &code, Reason: "ended by itself"}
		return info
	})
	affected := func(r *http.Request, _ []byte) any {
		if d.hold != nil {
			d.entered <- struct{}{}
			select {
			case <-d.hold:
			case <-r.Context().Done():
			}
		}
		return api.Affected{Processes: d.processes}
	}
	answer("POST /v1/processes/kill", 200, affected)
	answer("POST /v1/processes/restart", 200, affected)
	mux.HandleFunc("GET /v1/processes/{id}/output", func(w http.ResponseWriter, r *http.Request) {
		d.note(r.Method + " " + r.RequestURI)
		if p, ok := d.problems[r.Method+" "+r.URL.Path]; ok {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(404)
			_ = json.NewEncoder(w).Encode(p)
			return
		}
		d.output(w, r)
	})
	return mux
}

func (d *daemon) note(line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, line)
}

func (d *daemon) requests() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.asked...)
}

// result is what a run printed.
type result struct {
	out, err string
	code     int
}

// run runs args with input, without a terminal.
func (d *daemon) run(t testing.TB, input string, args ...string) result {
	t.Helper()
	return d.runWith(t, context.Background(), shell.Options{In: strings.NewReader(input)}, args...)
}

func (d *daemon) runWith(t testing.TB, ctx context.Context, o shell.Options, args ...string) result {
	t.Helper()
	var out, err bytes.Buffer
	if o.Out == nil {
		o.Out = &out
	}
	if o.Err == nil {
		o.Err = &err
	}
	if o.Env == nil {
		o.Env = func(name string) (string, bool) {
			if name == "GREETING" {
				return "hello world", true
			}
			return "", false
		}
	}
	o.Version = "1.0"
	o.Client = client.New(client.Options{Socket: d.socket})
	defer o.Client.Close()
	code := shell.New(o).Run(ctx, args)
	return result{out.String(), err.String(), code}
}

// sampleTime is when everything of a sample was started.
var sampleTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// sample is what a daemon with some work holds.
func sample(d *daemon) *daemon {
	exit := 3
	at := sampleTime
	d.ranges = []api.RangeStatus{
		{
			Range:     api.Range{Name: "http", Min: 8080, Max: 8085, Protocol: "tcp", Scope: "host"},
			Available: []int{8083, 8084, 8085},
			Active: []api.ActivePort{
				{Port: 8080, State: api.PortListening, Holder: "httpServer 1 (demo 1.0)", PID: 4711, Lease: "a"},
				{Port: 8081, State: api.PortStolen, Holder: "httpServer 2 (demo 1.0)", PID: 4712, Lease: "b"},
			},
			SetAside: []api.SetAsidePort{{Port: 8082, Reason: "in use by another process", PID: 99, Command: "nc", Since: at}},
		},
		{Range: api.Range{Name: "syslog", Min: 514, Max: 514, Protocol: "udp", Scope: "host"}, Available: []int{514}},
	}
	d.distributions = []api.Distribution{{Name: "demo", Version: "1.0", DeployedAt: at, Processes: []string{"httpServer", "worker"}, Profiles: []string{"test"}, Running: 2}}
	d.processes = []api.Process{
		{
			ID: 1, Distribution: "demo", Version: "1.0", Profile: "test", Name: "httpServer", PID: 4711, Status: api.StatusRunning, StartedAt: at,
			Ports: []api.ProcessPort{{Name: "http", Protocol: "tcp", Port: 8080, State: api.PortListening, Lease: "a"}},
		},
		{
			ID: 2, Distribution: "demo", Version: "1.0", Profile: "test", Name: "worker", Instance: 1, Status: api.StatusEnded, StartedAt: at,
			EndedAt: at, ExitCode: &exit, Reason: "ended by itself", Retries: 2,
		},
	}
	d.output = func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "first\nsecond\n") }
	return d
}
