package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth/api"
	"berth/launcher"
	"berth/lease"
)

func TestDaemon(t *testing.T) {
	r := newRig(t)
	r.processes.processes = []launcher.Process{newProcess(1)}
	status, body := r.do(t, "GET", "/v1/daemon", "")
	var d api.Daemon
	if err := json.Unmarshal([]byte(body), &d); err != nil || status != 200 {
		t.Fatal(status, body, err)
	}
	if d.Version != "v1" || d.PID != os.Getpid() || d.Home != filepath.Dir(r.socket) || d.Socket != r.socket || d.Processes != 1 {
		t.Errorf("%+v", d)
	}
	if d.RSSBytes < 1<<20 || d.StartedAt.IsZero() {
		t.Errorf("memory %d, started at %v", d.RSSBytes, d.StartedAt)
	}
}

// The daemon answers that it stops, and then does.
func TestStop(t *testing.T) {
	r := newRig(t)
	if status, body := r.do(t, "POST", "/v1/daemon/stop", ""); status != 202 || body != "" {
		t.Errorf("stop: %d %q", status, body)
	}
	if err := <-r.served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if _, err := net.Dial("unix", r.socket); err == nil {
		t.Error("it still listens")
	}
}

// A panic is a problem for one request, and nothing for the next.
func TestPanic(t *testing.T) {
	r := newRig(t)
	r.leases.acquire = func(context.Context, []lease.Request) ([]lease.Lease, error) { panic("wrong turn") }
	if p := r.problem(t, "POST", "/v1/leases", `{"ranges":["http"]}`); p.Code != api.CodeInternal || p.Status != 500 {
		t.Errorf("%+v", p)
	}
	if log := r.log.String(); !strings.Contains(log, "wrong turn") || !strings.Contains(log, "daemon_test.go") {
		t.Errorf("the log does not say what panicked and where:\n%s", log)
	}
	if status, _ := r.do(t, "GET", "/v1/leases", ""); status != 200 {
		t.Errorf("the next request: %d", status)
	}
}

// What is no HTTP at all ends with its connection.
func TestGarbage(t *testing.T) {
	r := newRig(t)
	for _, garbage := range []string{
		"\x00\x01\x02\r\n\r\n", "GET\r\n\r\n", "GET /v1/daemon HTTP/9.9\r\n\r\n", strings.Repeat("x", 100_000) + "\r\n\r\n",
		"GET /v1/daemon HTTP/1.1\r\nHost: b\r\nX: " + strings.Repeat("x", 200_000) + "\r\n\r\n",
		"POST /v1/leases HTTP/1.1\r\nHost: b\r\nContent-Length: -1\r\n\r\n",
	} {
		conn, err := net.Dial("unix", r.socket)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, garbage) // it may be closed before all was sent
		answer, _ := bufio.NewReader(conn).ReadString('\n')
		if strings.Contains(answer, " 200 ") || strings.Contains(answer, " 201 ") {
			t.Errorf("%.40q was answered with %q", garbage, answer)
		}
		conn.Close()
	}
	if status, _ := r.do(t, "GET", "/v1/daemon", ""); status != 200 {
		t.Errorf("the next request: %d", status)
	}
}

// The document describes every route, with no link to a schema in a response.
func TestOpenAPI(t *testing.T) {
	r := newRig(t)
	status, body := r.do(t, "GET", "/v1/openapi.json", "")
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal([]byte(body), &doc); err != nil || status != 200 {
		t.Fatal(status, err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.") {
		t.Errorf("version %q", doc.OpenAPI)
	}
	for _, route := range []string{
		"get /v1/daemon", "post /v1/daemon/stop",
		"get /v1/ranges", "post /v1/ranges", "delete /v1/ranges", "put /v1/ranges/archives/{rev}", "post /v1/ranges/archives/{rev}/restore",
		"get /v1/leases", "post /v1/leases", "delete /v1/leases/{id}",
		"get /v1/distributions", "post /v1/distributions", "delete /v1/distributions",
		"post /v1/processes", "get /v1/processes", "get /v1/processes/{id}", "get /v1/processes/{id}/output",
		"post /v1/processes/kill", "post /v1/processes/restart",
	} {
		method, path, _ := strings.Cut(route, " ")
		if doc.Paths[path][method] == nil {
			t.Errorf("%s is not described", route)
		}
	}
	if strings.Contains(body, "$schema") {
		t.Error("the document has $schema properties")
	}
}
