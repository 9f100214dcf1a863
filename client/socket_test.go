package client_test

import (
	"bufio"
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

// Who takes no request any more, and does not hang up, is not waited for.
func TestTakesNoMore(t *testing.T) {
	socket := filepath.Join(tempDir(t), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.AcceptUnix()
			if err != nil {
				return
			}
			defer conn.Close() // at the end of all
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil && conn.CloseRead() == nil {
				_, _ = io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n")
			}
		}
	}()
	c := newClient(t, socket)
	for i, want := range []error{nil, client.ErrConnectionLost, nil} {
		if err := c.ReleaseLease(t.Context(), "a1", 1); !errors.Is(err, want) {
			t.Errorf("call %d: error %v, want %v", i, err, want)
		}
	}
}

// An answer that is not read to its end does not become the next one's, nor keep
// it waiting.
func TestAnswerLeftUnread(t *testing.T) {
	socket := listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/output") {
			if r.URL.Query().Get("follow") == "" {
				_, _ = io.WriteString(w, strings.Repeat("output\n", 1000))
				return
			}
			_, _ = io.WriteString(w, "output\n")
			_ = http.NewResponseController(w).Flush() // an error shows at the other end
			<-r.Context().Done()
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, "[]")
	}))
	c := newClient(t, socket)
	for i := range 10 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		out, err := c.Output(ctx, 1, client.Output{Follow: i%2 == 0})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, make([]byte, len("output\n"))); err != nil {
			t.Fatal(err)
		}
		out.Close()
		if _, err := c.Leases(ctx); err != nil {
			t.Fatal(err)
		}
		cancel()
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
