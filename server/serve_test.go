package server_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"berth/access"
	"berth/api"
	"berth/audit"
	"berth/conf"
	"berth/server"
	"berth/store/storetest"
)

// rig is a server on a unix socket and a client of it.
type rig struct {
	leases    *fakeLeases
	processes *fakeProcesses
	socket    string
	client    *http.Client
	log       *syncBuffer
	stop      context.CancelFunc // asks the server to stop
	served    <-chan error       // what Serve returned
}

// newRig serves fakes until the test ends. Each change may alter the options
// before.
func newRig(tb testing.TB, changes ...func(*server.Options)) *rig {
	tb.Helper()
	return newRigOn(tb, nil, nil, changes...)
}

// shared is a socket, and who may use it.
type shared struct {
	path  string
	peers access.Peers
	group int
}

// quiet is for what is told to nobody.
var quiet = slog.New(slog.DiscardHandler)

// newRigOn is newRig with more listeners, and with another socket where share
// says so.
func newRigOn(tb testing.TB, more []net.Listener, share func(*shared), changes ...func(*server.Options)) *rig {
	tb.Helper()
	dir := tb.TempDir()
	socket := shared{filepath.Join(dir, "b.sock"), access.Peers{Owner: os.Geteuid()}, -1}
	if share != nil {
		share(&socket)
	}
	r := &rig{
		leases:    &fakeLeases{},
		processes: &fakeProcesses{dir: filepath.Join(dir, "processes")},
		socket:    socket.path,
		log:       &syncBuffer{},
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	kept := storetest.NewMemory()
	settings, err := conf.Open(ctx, kept, "local")
	if err != nil {
		tb.Fatal(err)
	}
	tokens, err := access.OpenTokens(ctx, kept, time.Now, quiet)
	if err != nil {
		tb.Fatal(err)
	}
	quotas, err := access.OpenQuotas(ctx, kept, quiet)
	if err != nil {
		tb.Fatal(err)
	}
	audits, err := audit.Open(dir, audit.Options{Logger: quiet})
	if err != nil {
		tb.Fatal(err)
	}
	opts := server.Options{
		Tokens: tokens, Quotas: quotas, Audit: audits,
		Leases: r.leases, Processes: r.processes, Settings: settings, Keys: kept, Home: dir, Socket: r.socket, Version: "v1", Stop: cancel,
		Logger: slog.New(slog.NewTextHandler(r.log, nil)),
	}
	for _, change := range changes {
		change(&opts)
	}
	l, err := server.ListenShared(socket.path, socket.peers, socket.group)
	if err != nil {
		tb.Fatal(err)
	}
	served := make(chan error, 1)
	done := make(chan struct{})
	go func() {
		served <- server.New(opts).Serve(ctx, append(more, l)...)
		close(done)
	}()
	r.served = served
	r.client = unixClient(r.socket)
	tb.Cleanup(func() {
		r.client.CloseIdleConnections()
		cancel()
		<-done
		audits.Close()
	})
	return r
}

func unixClient(socket string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 256,
		DisableCompression:  true, // as the client's
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
}

// do sends a request and returns the status and the body of its response.
func (r *rig) do(tb testing.TB, method, path, body string) (int, string) {
	tb.Helper()
	status, header, text := r.ask(tb, method, path, body)
	if status >= 400 && header.Get("Content-Type") != "application/problem+json" {
		tb.Errorf("%s %s: content type %q of an error", method, path, header.Get("Content-Type"))
	}
	return status, strings.TrimSpace(text)
}

// ask sends a request and returns all of its response.
func (r *rig) ask(tb testing.TB, method, path, body string) (int, http.Header, string) {
	tb.Helper()
	req, err := http.NewRequest(method, "http://berth"+path, strings.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := r.client.Do(req)
	if err != nil {
		tb.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(text)
}

// problem sends a request that must fail, and returns its problem.
func (r *rig) problem(tb testing.TB, method, path, body string) api.Error {
	tb.Helper()
	status, text := r.do(tb, method, path, body)
	var p api.Error
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		tb.Fatalf("%s %s: %d %q is not a problem: %v", method, path, status, text, err)
	}
	if p.Status != status {
		tb.Errorf("%s %s: the problem says status %d, the response %d", method, path, p.Status, status)
	}
	if p.Detail == "" || !oneLine(p.Detail) {
		tb.Errorf("%s %s: detail %q is not one line", method, path, p.Detail)
	}
	return p
}
