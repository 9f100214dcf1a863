package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"berth/access"
	"berth/api"
	"berth/client"
	"berth/lease"
	"berth/server"
)

// seen is what a fake daemon was asked.
type seen struct {
	method, uri, contentType, body string
}

// fake is a daemon that answers every request in one way.
type fake struct {
	socket string
	asked  chan seen
}

func serve(t *testing.T, status int, contentType, answer string) *fake {
	t.Helper()
	f := &fake{asked: make(chan seen, 16)}
	f.socket = listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		f.asked <- seen{r.Method, r.RequestURI, r.Header.Get("Content-Type"), string(body)}
		if contentType != "" {
			w.Header().Set("Content-Type", contentType)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	return f
}

func listen(t *testing.T, h http.Handler) (socket string) {
	t.Helper()
	socket = filepath.Join(tempDir(t), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	t.Cleanup(func() { srv.Close(); <-done })
	return socket
}

// tempDir is a folder with a path that is short enough for a socket in it.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "berth")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func newClient(t *testing.T, socket string) *client.Client {
	t.Helper()
	c := client.New(client.Options{Socket: socket})
	t.Cleanup(c.Close)
	return c
}

// Every call asks the route that it stands for, and decodes its answer.
func TestRoutes(t *testing.T) {
	two := 2
	exit := 3
	process := api.Process{ID: 7, Name: "httpServer", Status: api.StatusEnded, ExitCode: &exit, Ports: []api.ProcessPort{{Name: "http", Port: 8080}}}
	rng := api.Range{Name: "http", Min: 8080, Max: 8085, Protocol: "tcp", Scope: "host"}

	tests := []struct {
		name   string
		call   func(ctx context.Context, c *client.Client) (any, error)
		status int
		answer any
		method string
		uri    string
		body   string
	}{
		{"daemon", func(ctx context.Context, c *client.Client) (any, error) { return c.Daemon(ctx) },
			200, api.Daemon{Version: "1", PID: 3}, "GET", "/v1/daemon", ""},

		{"ranges", func(ctx context.Context, c *client.Client) (any, error) { return c.Ranges(ctx, "") },
			200, []api.RangeStatus{{Range: rng, Available: []int{8081}, Active: []api.ActivePort{{Port: 8080}}, SetAside: []api.SetAsidePort{}}}, "GET", "/v1/ranges", ""},
		{"ranges of a pattern", func(ctx context.Context, c *client.Client) (any, error) { return c.Ranges(ctx, "ht*") },
			200, []api.RangeStatus{}, "GET", "/v1/ranges?name=ht%2A", ""},
		{"add ranges", func(ctx context.Context, c *client.Client) (any, error) {
			return c.AddRanges(ctx, api.AddRanges{Ranges: []api.Range{{Name: "http", Min: 1, Max: 2}}, Clear: true})
		}, 201, []api.AddedRange{{Range: rng, Warnings: []string{"a warning"}}}, "POST", "/v1/ranges", `{"ranges":[{"name":"http","min":1,"max":2}],"clear":true}`},
		{"update range", func(ctx context.Context, c *client.Client) (any, error) {
			return c.UpdateRange(ctx, "a b", api.UpdateRange{Min: 1, Force: true})
		}, 200, api.UpdatedRange{Range: rng, Before: rng, Outside: []api.ActivePort{{Port: 3}}}, "PATCH", "/v1/ranges/a%20b", `{"min":1,"force":true}`},
		{"delete ranges", func(ctx context.Context, c *client.Client) (any, error) { return c.DeleteRanges(ctx, "a&b", true) },
			200, api.DeletedRanges{Deleted: []api.Range{rng}}, "DELETE", "/v1/ranges?force=true&name=a%26b", ""},
		{"archive", func(ctx context.Context, c *client.Client) (any, error) { return c.ArchiveRanges(ctx, "r/1") },
			200, api.Archived{Revision: "r/1", Ranges: []api.Range{rng}}, "PUT", "/v1/ranges/archives/r%2F1", ""},
		{"restore", func(ctx context.Context, c *client.Client) (any, error) { return c.RestoreRanges(ctx, "r1") },
			200, api.Archived{Revision: "r1", Ranges: []api.Range{rng}}, "POST", "/v1/ranges/archives/r1/restore", ""},

		{"leases", func(ctx context.Context, c *client.Client) (any, error) { return c.Leases(ctx) },
			200, []api.Lease{{ID: "x", Generation: 4}}, "GET", "/v1/leases", ""},
		{"acquire", func(ctx context.Context, c *client.Client) (any, error) {
			return c.AcquireLeases(ctx, api.AcquireLeases{Ranges: []string{"http"}, Holder: api.Holder{Name: "me"}})
		}, 201, []api.Lease{{ID: "x", Port: 8080}}, "POST", "/v1/leases", `{"ranges":["http"],"holder":{"name":"me"}}`},
		{"release", func(ctx context.Context, c *client.Client) (any, error) { return nil, c.ReleaseLease(ctx, "x y", 4) },
			204, nil, "DELETE", "/v1/leases/x%20y?generation=4", ""},
		{"release whatever its generation", func(ctx context.Context, c *client.Client) (any, error) { return nil, c.ReleaseLease(ctx, "x", 0) },
			204, nil, "DELETE", "/v1/leases/x", ""},

		{"distributions", func(ctx context.Context, c *client.Client) (any, error) { return c.Distributions(ctx, "demo", "1.*") },
			200, []api.Distribution{{Name: "demo", Processes: []string{"a"}}}, "GET", "/v1/distributions?name=demo&version=1.%2A", ""},
		{"deploy", func(ctx context.Context, c *client.Client) (any, error) {
			return c.Deploy(ctx, "demo.zip", strings.NewReader("PK…"))
		}, 201, api.Deployed{Distribution: api.Distribution{Name: "demo"}, Warnings: []string{"w"}}, "POST", "/v1/distributions?filename=demo.zip", "PK…"},
		{"undeploy", func(ctx context.Context, c *client.Client) (any, error) { return c.Undeploy(ctx, "demo", "1.0") },
			200, api.Undeployed{Undeployed: []api.Distribution{{Name: "demo"}}}, "DELETE", "/v1/distributions?name=demo&version=1.0", ""},

		{"exec", func(ctx context.Context, c *client.Client) (any, error) {
			return c.Exec(ctx, api.Exec{Distribution: "demo", Version: "1.0", Profile: "test", Instances: 2, WaitSeconds: 1.5})
		}, 201, api.Started{Processes: []api.Process{process}}, "POST", "/v1/processes",
			`{"distribution":"demo","version":"1.0","profile":"test","instances":2,"waitSeconds":1.5}`},
		{"processes", func(ctx context.Context, c *client.Client) (any, error) {
			return c.Processes(ctx, api.Selector{}, false)
		},
			200, []api.Process{process}, "GET", "/v1/processes", ""},
		{"selected processes", func(ctx context.Context, c *client.Client) (any, error) {
			return c.Processes(ctx, api.Selector{IDs: []int{1, 2}, PIDs: []int{3}, Distribution: "d", Version: "v", Name: "n", Profile: "p", Port: "http:*"}, true)
		}, 200, []api.Process{}, "GET", "/v1/processes?distribution=d&ended=true&id=1&id=2&name=n&pid=3&port=http%3A%2A&profile=p&version=v", ""},
		{"process", func(ctx context.Context, c *client.Client) (any, error) { return c.Process(ctx, 7) },
			200, process, "GET", "/v1/processes/7", ""},
		{"kill", func(ctx context.Context, c *client.Client) (any, error) {
			return c.Kill(ctx, api.Kill{Selector: api.Selector{IDs: []int{7}}, Hard: true, WaitSeconds: 60})
		}, 200, api.Affected{Processes: []api.Process{process}}, "POST", "/v1/processes/kill", `{"ids":[7],"hard":true,"waitSeconds":60}`},
		{"restart", func(ctx context.Context, c *client.Client) (any, error) {
			return c.Restart(ctx, api.Restart{Selector: api.Selector{All: true}})
		}, 200, api.Affected{Processes: []api.Process{process}}, "POST", "/v1/processes/restart", `{"all":true}`},

		{"output", func(ctx context.Context, c *client.Client) (any, error) {
			return text(c.Output(ctx, 7, client.Output{}))
		},
			200, "a line", "GET", "/v1/processes/7/output", ""},
		{"output followed", func(ctx context.Context, c *client.Client) (any, error) {
			return text(c.Output(ctx, 7, client.Output{Follow: true, Tail: &two}))
		}, 200, "a line", "GET", "/v1/processes/7/output?follow=true&tail=2", ""},
		{"output from an offset", func(ctx context.Context, c *client.Client) (any, error) {
			return text(c.Output(ctx, 7, client.Output{From: 9}))
		}, 200, "a line", "GET", "/v1/processes/7/output?from=9", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			answer, contentType := "", ""
			switch a := tt.answer.(type) {
			case nil:
			case string:
				answer, contentType = a, "text/plain"
			default:
				data, err := json.Marshal(a)
				if err != nil {
					t.Fatal(err)
				}
				answer, contentType = string(data), "application/json"
			}
			f := serve(t, tt.status, contentType, answer)
			got, err := tt.call(t.Context(), newClient(t, f.socket))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tt.answer) {
				t.Errorf("answer %+v, want %+v", got, tt.answer)
			}
			asked := <-f.asked
			if asked.method != tt.method || asked.uri != tt.uri || asked.body != tt.body {
				t.Errorf("asked %s %s %q, want %s %s %q", asked.method, asked.uri, asked.body, tt.method, tt.uri, tt.body)
			}
			if tt.body != "" && tt.name != "deploy" && asked.contentType != "application/json" {
				t.Errorf("content type %q", asked.contentType)
			}
		})
	}
}

func text(r io.ReadCloser, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	return string(data), err
}

// codes are all codes, as the schema of problems has them.
func codes(t *testing.T) (all []api.Code) {
	t.Helper()
	w := httptest.NewRecorder()
	server.New(server.Options{}).ServeHTTP(w, httptest.NewRequestWithContext(access.With(t.Context(), access.Caller{Known: true, Role: access.Read}), "GET", "/openapi.json", nil))
	var doc struct {
		Components struct {
			Schemas struct {
				Problem struct {
					Properties struct{ Code struct{ Enum []api.Code } }
				}
			}
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	all = doc.Components.Schemas.Problem.Properties.Code.Enum
	if len(all) < 30 {
		t.Fatalf("the document has %d codes", len(all))
	}
	return all
}

// A problem crosses the wire and is still what it was: its code, and the
// sentinel of package lease that the code stands for.
func TestErrors(t *testing.T) {
	sentinels := map[api.Code]error{
		api.CodeRangeInvalid:    lease.ErrRangeInvalid,
		api.CodeRangeExists:     lease.ErrRangeExists,
		api.CodeRangeOverlaps:   lease.ErrRangeOverlaps,
		api.CodeRangeNotFound:   lease.ErrRangeNotFound,
		api.CodeRangeLeased:     lease.ErrRangeLeased,
		api.CodeRangeFull:       lease.ErrRangeFull,
		api.CodePortAssigned:    lease.ErrAssigned,
		api.CodePortInUse:       lease.ErrInUse,
		api.CodePortPrivileged:  lease.ErrPrivileged,
		api.CodeArchiveNotFound: lease.ErrArchiveNotFound,
		api.CodeLeaseNotFound:   lease.ErrLeaseNotFound,
		api.CodeLeaseChanged:    lease.ErrLeaseChanged,
		api.CodeNoSpace:         lease.ErrNoSpace,
		api.CodeDamaged:         lease.ErrDamaged,
	}
	codes := codes(t)
	for _, code := range codes {
		t.Run(string(code), func(t *testing.T) {
			f := serve(t, 409, "application/problem+json", `{"title":"Conflict","status":409,"detail":"what went wrong","code":"`+string(code)+`"}`)
			_, err := newClient(t, f.socket).Exec(t.Context(), api.Exec{})
			if !errors.Is(err, code) {
				t.Errorf("%v is not its code", err)
			}
			if err.Error() != "what went wrong" {
				t.Errorf("error %q", err)
			}
			for _, other := range codes {
				if other != code && errors.Is(err, other) {
					t.Errorf("%v is also %s", err, other)
				}
			}
			for of, sentinel := range sentinels {
				if got, want := errors.Is(err, sentinel), of == code; got != want {
					t.Errorf("errors.Is with %v: %v, want %v", sentinel, got, want)
				}
			}
			if p, ok := errors.AsType[*api.Error](err); !ok || p.Status != 409 {
				t.Errorf("it does not unwrap to its problem: %v", p)
			}
		})
	}
}

func TestOddAnswers(t *testing.T) {
	tests := []struct {
		name        string
		status      int
		contentType string
		answer      string
		want        string
	}{
		{"not JSON", 500, "text/plain", "boom", "500 Internal Server Error"},
		{"a problem without a code", 404, "application/problem+json", `{"detail":"no such page"}`, "no such page"},
		{"a broken problem", 500, "application/problem+json", `{`, "read the daemon's answer 500 Internal Server Error: unexpected end of JSON input"},
		{"a redirect", 302, "", "", "302 Found"},
		{"a broken answer", 200, "application/json", `[{"name":`, "the connection to the daemon was lost: it is not known whether the work was done"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := serve(t, tt.status, tt.contentType, tt.answer)
			_, err := newClient(t, f.socket).Ranges(t.Context(), "")
			if err == nil || !strings.HasSuffix(err.Error(), tt.want) {
				t.Errorf("error %v, want %s", err, tt.want)
			}
		})
	}
}

func TestConnectionLost(t *testing.T) {
	socket := listen(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	_, err := newClient(t, socket).Exec(t.Context(), api.Exec{})
	if !errors.Is(err, client.ErrConnectionLost) {
		t.Errorf("error %v, want %v", err, client.ErrConnectionLost)
	}
}

func TestNoDaemon(t *testing.T) {
	dir := tempDir(t)
	left := filepath.Join(dir, "left")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: left})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()

	for name, socket := range map[string]string{
		"no socket": filepath.Join(dir, "none"), "no folder": filepath.Join(dir, "none", "none"), "a socket that was left": left,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := newClient(t, socket).Daemon(t.Context()); !errors.Is(err, client.ErrNoDaemon) {
				t.Errorf("error %v, want %v", err, client.ErrNoDaemon)
			}
			if _, err := newClient(t, socket).StopDaemon(t.Context()); !errors.Is(err, client.ErrNoDaemon) {
				t.Errorf("StopDaemon: error %v, want %v", err, client.ErrNoDaemon)
			}
		})
	}
}

// Many calls one after the other use one connection.
func TestConnectionIsKept(t *testing.T) {
	peers := make(chan string, 100)
	socket := listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, "[]")
	}))
	front := filepath.Join(tempDir(t), "front")
	l, err := net.Listen("unix", front)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			peers <- "one"
			go func() {
				defer in.Close()
				out, err := net.Dial("unix", socket)
				if err != nil {
					return
				}
				defer out.Close()
				go func() { _, _ = io.Copy(out, in) }()
				_, _ = io.Copy(in, out)
			}()
		}
	}()
	c := newClient(t, front)
	for range 20 {
		if _, err := c.Leases(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(peers); n != 1 {
		t.Errorf("%d connections for 20 calls, want 1", n)
	}
}

// A wait that is given up tells why it was.
func TestCancelled(t *testing.T) {
	entered := make(chan struct{})
	socket := listen(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // the server sees a client leave once the body was read
		close(entered)
		<-r.Context().Done()
	}))
	why := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() { <-entered; cancel(why) }()
	if _, err := newClient(t, socket).Kill(ctx, api.Kill{}); !errors.Is(err, why) {
		t.Errorf("error %v, want %v", err, why)
	}
}
