package server_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"berth/api"
	"berth/launcher"
)

func TestProcesses(t *testing.T) {
	r := newRig(t)
	ended := newProcess(2)
	code := 3
	ended.Status, ended.EndedAt, ended.Exit = launcher.Ended, began.Add(time.Minute), &launcher.Exit{Code: &code, Reason: "exit code 3"}
	ended.Ports = nil
	ended.Retries, ended.Retried = 2, "http port 8080 was taken"
	r.processes.processes = []launcher.Process{newProcess(1), ended}

	one := fmt.Sprintf(`{"id":1,"distribution":"demo","version":"1.0","profile":"test","name":"httpServer","instance":0,"pid":4001,"status":"running",`+
		`"startedAt":"2026-01-02T03:04:05Z","ports":[{"name":"http","protocol":"tcp","port":8080,"state":"listening","lease":"l1"}],"dir":%q,"restarts":0}`, r.processes.Dir(1))
	two := fmt.Sprintf(`{"id":2,"distribution":"demo","version":"1.0","profile":"test","name":"httpServer","instance":0,"pid":4002,"status":"ended",`+
		`"startedAt":"2026-01-02T03:04:05Z","ports":[],"dir":%q,"retries":2,"restarts":0,"endedAt":"2026-01-02T03:05:05Z","exitCode":3,"reason":"exit code 3"}`, r.processes.Dir(2))
	r.processes.exec = func(_ context.Context, req launcher.ExecRequest) (launcher.ExecResult, error) {
		want := launcher.ExecRequest{Distribution: "demo", Version: "1.*", Profile: "test", Name: "http*", Instances: 2, Wait: 1500 * time.Millisecond}
		if !reflect.DeepEqual(req, want) {
			return launcher.ExecResult{}, fmt.Errorf("asked for %+v", req)
		}
		return launcher.ExecResult{Processes: []launcher.Process{newProcess(1)}, Warnings: []string{"w"}}, nil
	}
	var stopped []launcher.StopRequest
	r.processes.stop = func(_ context.Context, req launcher.StopRequest) ([]launcher.Process, error) {
		stopped = append(stopped, req)
		return []launcher.Process{newProcess(1)}, nil
	}

	tests := []struct {
		name, method, path, body string
		status                   int
		want                     string
	}{
		{"live ones", "GET", "/v1/processes", "", 200, "[" + one + "]"},
		{"all", "GET", "/v1/processes?ended=true", "", 200, "[" + one + "," + two + "]"},
		{"one", "GET", "/v1/processes/2", "", 200, two},
		{"exec", "POST", "/v1/processes", `{"distribution":"demo","version":"1.*","profile":"test","name":"http*","instances":2,"waitSeconds":1.5}`, 201,
			`{"processes":[` + one + `],"warnings":["w"]}`},
		{"kill", "POST", "/v1/processes/kill", `{"ids":[1],"pids":[4001],"distribution":"d","version":"v","name":"n","profile":"p","port":"http:*","hard":true,"waitSeconds":60}`, 200,
			`{"processes":[` + one + `]}`},
		{"restart", "POST", "/v1/processes/restart", `{"all":true}`, 200, `{"processes":[` + one + `]}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, body := r.do(t, tt.method, tt.path, tt.body)
			if tt.method == "GET" {
				body = regexp.MustCompile(`,"uptimeSeconds":[0-9.e+]*`).ReplaceAllString(body, "")
			}
			if status != tt.status || body != tt.want {
				t.Errorf("%s %s: %d\n%s\nwant %d\n%s", tt.method, tt.path, status, body, tt.status, tt.want)
			}
		})
	}
	want := []launcher.StopRequest{
		{
			Selector: launcher.Selector{IDs: []int{1}, PIDs: []int{4001}, Distribution: "d", Version: "v", Name: "n", Profile: "p", Port: "http:*"},
			Hard:     true, Wait: time.Minute,
		},
		{},
	}
	if !reflect.DeepEqual(stopped, want) {
		t.Errorf("stopped %+v, want %+v", stopped, want)
	}
	for _, path := range []string{"/v1/processes/3", "/v1/processes?id=1&id=3", "/v1/processes/3/output"} {
		if p := r.problem(t, "GET", path, ""); !errors.Is(&p, api.CodeProcessNotFound) {
			t.Errorf("GET %s: %+v", path, p)
		}
	}
}

// Who hangs up while processes are waited for does not stop them.
func TestHangUp(t *testing.T) {
	r := newRig(t)
	entered, ctxs := make(chan struct{}), make(chan context.Context, 1)
	release, finished := make(chan struct{}), make(chan error, 1)
	r.processes.exec = func(ctx context.Context, _ launcher.ExecRequest) (launcher.ExecResult, error) {
		ctxs <- ctx
		close(entered)
		<-release
		finished <- ctx.Err()
		return launcher.ExecResult{}, ctx.Err()
	}
	ctx, hangUp := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, "POST", "http://berth/v1/processes",
		strings.NewReader(`{"distribution":"d","version":"1","profile":"p","waitSeconds":60}`))
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan error, 1)
	go func() {
		resp, err := r.client.Do(req)
		if err == nil {
			resp.Body.Close()
		}
		gone <- err
	}()
	<-entered
	hangUp()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	close(release)
	if err := <-finished; err != nil {
		t.Errorf("the exec was ended by the client's going away: %v", err)
	}
	if log := r.log.String(); log != "" {
		t.Errorf("hanging up was logged:\n%s", log)
	}
}

// At the end of the daemon a wait is told so, and does not hold it up.
func TestStopEndsWaits(t *testing.T) {
	r := newRig(t)
	entered := make(chan struct{})
	r.processes.stop = func(ctx context.Context, _ launcher.StopRequest) ([]launcher.Process, error) {
		close(entered)
		<-ctx.Done()
		return nil, fmt.Errorf("wait for process 1: %w", ctx.Err())
	}
	got := make(chan api.Error, 1)
	go func() { got <- r.problem(t, "POST", "/v1/processes/kill", `{"all":true,"waitSeconds":60}`) }()
	<-entered
	r.stop()
	if p := <-got; !errors.Is(&p, api.CodeStopping) {
		t.Errorf("a wait at the daemon's end: %+v", p)
	}
	if err := <-r.served; err != nil {
		t.Errorf("Serve: %v", err)
	}
}
