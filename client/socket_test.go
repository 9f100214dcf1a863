package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"berth/api"
	"berth/client"
)

// A connection that the daemon has closed meanwhile is not used for a request
// that is sent once.
func TestConnectionWasClosed(t *testing.T) {
	var conns atomic.Int32
	closed := make(chan struct{}, 1)
	socket := filepath.Join(tempDir(t), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{
		Handler:     http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }),
		IdleTimeout: time.Millisecond,
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				conns.Add(1)
			case http.StateClosed:
				closed <- struct{}{}
			}
		},
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	t.Cleanup(func() { srv.Close(); <-done })
	c := newClient(t, socket)
	const calls = 5
	for range calls {
		if err := c.ReleaseLease(t.Context(), "a1", 1); err != nil {
			t.Fatal(err)
		}
		<-closed
	}
	if n := conns.Load(); n != calls {
		t.Errorf("%d connections, want %d", n, calls)
	}
}

// Who answers without having read the request, and hangs up, is heard.
func TestRefusedUnread(t *testing.T) {
	socket := filepath.Join(tempDir(t), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			const body = `{"status":503,"code":"busy","detail":"later"}`
			fmt.Fprintf(conn, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
			conn.Close()
		}
	}()
	c := newClient(t, socket)
	for _, size := range []int{10, 60 << 10} {
		for range 50 {
			_, err := c.AcquireLeases(t.Context(), api.AcquireLeases{Ranges: []string{strings.Repeat("r", size)}})
			if !errors.Is(err, api.CodeBusy) {
				t.Fatalf("a body of %d bytes: error %v, want %v", size, err, api.CodeBusy)
			}
		}
	}
}

// An answer that is not read to its end does not become the next one's.
func TestAnswerLeftUnread(t *testing.T) {
	socket := listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/output") {
			_, _ = io.WriteString(w, strings.Repeat("output\n", 1000))
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, "[]")
	}))
	c := newClient(t, socket)
	for range 10 {
		out, err := c.Output(t.Context(), 1, client.Output{})
		if err != nil {
			t.Fatal(err)
		}
		out.Close()
		if _, err := c.Leases(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// A context that ends while the answer comes ends the reading.
func TestCancelledWhileRead(t *testing.T) {
	socket := listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "a line\n")
		_ = http.NewResponseController(w).Flush() // an error shows at the other end
		<-r.Context().Done()
	}))
	c := newClient(t, socket)
	ctx, cancel := context.WithCancel(t.Context())
	out, err := c.Output(ctx, 1, client.Output{})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	line := make([]byte, len("a line\n"))
	if _, err := io.ReadFull(out, line); err != nil {
		t.Fatal(err)
	}
	cancel()
	if n, err := out.Read(line); err == nil {
		t.Errorf("read %d bytes more", n)
	}
}
