package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"berth/api"
	"berth/lease"
	"berth/server"
	"berth/store/storetest"
)

// rawConn is a client that costs next to nothing, so that what is measured is
// the server.
type rawConn struct {
	conn net.Conn
	in   *bufio.Reader
	text *textproto.Reader
	body []byte
}

func dialRaw(tb testing.TB, socket string) *rawConn {
	tb.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		tb.Fatal(err)
	}
	in := bufio.NewReader(conn)
	return &rawConn{conn: conn, in: in, text: textproto.NewReader(in)}
}

// send sends a request and returns the status and the body of its response,
// which is good until the next one.
func (c *rawConn) send(method, path, body string) (int, []byte, error) {
	var req strings.Builder
	fmt.Fprintf(&req, "%s %s HTTP/1.1\r\nHost: berth\r\n", method, path)
	if body != "" {
		fmt.Fprintf(&req, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	req.WriteString("\r\n")
	req.WriteString(body)
	if _, err := io.WriteString(c.conn, req.String()); err != nil {
		return 0, nil, err
	}
	line, err := c.text.ReadLine()
	if err != nil {
		return 0, nil, err
	}
	fields := strings.Fields(line)
	if len(fields) < 2 {
		return 0, nil, fmt.Errorf("status line %q", line)
	}
	status, err := strconv.Atoi(fields[1])
	if err != nil {
		return 0, nil, err
	}
	header, err := c.text.ReadMIMEHeader()
	if err != nil {
		return 0, nil, err
	}
	n := 0
	if length := header.Get("Content-Length"); length != "" {
		if n, err = strconv.Atoi(length); err != nil {
			return 0, nil, err
		}
	} else if status != http.StatusNoContent {
		return 0, nil, errors.New("a response without a length")
	}
	if cap(c.body) < n {
		c.body = make([]byte, n)
	}
	c.body = c.body[:n]
	_, err = io.ReadFull(c.in, c.body)
	return status, c.body, err
}

// bare answers the same as the server does with net/http and encoding/json
// alone: no validation, no problems, no limits.
func bare(leases server.Leases) http.Handler {
	answer := func(w http.ResponseWriter, status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(v)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/leases", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, []api.Lease{})
	})
	mux.HandleFunc("POST /v1/leases", func(w http.ResponseWriter, r *http.Request) {
		var in api.AcquireLeases
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			answer(w, http.StatusBadRequest, err.Error())
			return
		}
		requests := make([]lease.Request, len(in.Ranges))
		for i, name := range in.Ranges {
			requests[i] = lease.Request{Range: name, Holder: lease.Holder{Kind: lease.Manual, Name: in.Holder.Name}}
		}
		got, err := leases.AcquireWith(r.Context(), nil, requests...)
		if err != nil {
			answer(w, http.StatusInternalServerError, err.Error())
			return
		}
		out := make([]api.Lease, len(got))
		for i, l := range got {
			out[i] = api.Lease{
				ID: string(l.ID), Generation: l.Generation, Range: l.Range, Protocol: string(l.Protocol),
				Port: l.Port, Holder: l.Holder.String(), Since: l.Since,
			}
		}
		answer(w, http.StatusCreated, out)
	})
	mux.HandleFunc("DELETE /v1/leases/{id}", func(w http.ResponseWriter, r *http.Request) {
		generation, err := strconv.ParseInt(r.URL.Query().Get("generation"), 10, 64)
		if err == nil {
			err = leases.Release(r.Context(), lease.ID(r.PathValue("id")), generation)
		}
		if err != nil {
			answer(w, http.StatusInternalServerError, err.Error())
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

// sockets are a bare handler and the server, each on a unix socket.
func sockets(b *testing.B) map[string]string {
	r := newRig(b)
	path := filepath.Join(b.TempDir(), "bare.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		b.Fatal(err)
	}
	srv := &http.Server{Handler: bare(&fakeLeases{})}
	done := make(chan struct{})
	go func() {
		srv.Serve(l)
		close(done)
	}()
	b.Cleanup(func() {
		srv.Shutdown(context.Background())
		<-done
	})
	return map[string]string{"bare": path, "berth": r.socket}
}

// cpu is the processor time that this process has used, which other load on
// the machine changes less than the time that passes.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// reportCPU reports the processor time of an operation since a time.
func reportCPU(b *testing.B, since time.Duration) {
	b.ReportMetric(float64((cpu()-since).Microseconds())/float64(b.N), "cpu-µs/op")
}

// run sends requests of one kind from several clients, and reports how many a
// second were answered, and what that cost client and server together.
func run(b *testing.B, socket string, clients int, once func(*rawConn) error) {
	var wg sync.WaitGroup
	todo := make(chan struct{}, 1024)
	began := cpu()
	b.ResetTimer()
	for range clients {
		c := dialRaw(b, socket)
		wg.Go(func() {
			defer c.conn.Close()
			var err error
			for range todo {
				if err == nil {
					err = once(c)
				}
			}
			if err != nil {
				b.Error(err)
			}
		})
	}
	for range b.N {
		todo <- struct{}{}
	}
	close(todo)
	wg.Wait()
	reportCPU(b, began)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}

// BenchmarkEmpty asks for a list that is empty.
func BenchmarkEmpty(b *testing.B) {
	for name, socket := range sockets(b) {
		for _, clients := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("%s/clients=%d", name, clients), func(b *testing.B) {
				run(b, socket, clients, func(c *rawConn) error {
					status, body, err := c.send("GET", "/v1/leases", "")
					if err == nil && (status != http.StatusOK || string(body) != "[]\n") {
						err = fmt.Errorf("%d %s", status, body)
					}
					return err
				})
			})
		}
	}
}

// BenchmarkLease acquires a lease and releases it: two requests an operation.
func BenchmarkLease(b *testing.B) {
	for name, socket := range sockets(b) {
		for _, clients := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("%s/clients=%d", name, clients), func(b *testing.B) {
				run(b, socket, clients, func(c *rawConn) error {
					status, body, err := c.send("POST", "/v1/leases", `{"ranges":["http"],"holder":{"name":"bench"}}`)
					if err != nil || status != http.StatusCreated {
						return errors.Join(err, fmt.Errorf("acquire: %d %s", status, body))
					}
					var got []api.Lease
					if err := json.Unmarshal(body, &got); err != nil {
						return err
					}
					status, body, err = c.send("DELETE", "/v1/leases/"+got[0].ID+"?generation=1", "")
					if err != nil || status != http.StatusNoContent {
						return errors.Join(err, fmt.Errorf("release: %d %s", status, body))
					}
					return nil
				})
			})
		}
	}
}

// BenchmarkHandler is BenchmarkLease without sockets: what of it is the
// handlers' own.
func BenchmarkHandler(b *testing.B) {
	leases := &fakeLeases{}
	for name, handler := range map[string]http.Handler{
		"bare":  bare(leases),
		"berth": server.New(server.Options{Leases: leases, Processes: &fakeProcesses{}, Keys: storetest.NewMemory(), Home: b.TempDir()}),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			began := cpu()
			for range b.N {
				w := httptest.NewRecorder()
				r := httptest.NewRequest("POST", "/v1/leases", strings.NewReader(`{"ranges":["http"],"holder":{"name":"bench"}}`))
				r.Header.Set("Content-Type", "application/json")
				handler.ServeHTTP(w, r.WithContext(asOwner))
				if w.Code != http.StatusCreated {
					b.Fatal(w.Code, w.Body)
				}
				w = httptest.NewRecorder()
				handler.ServeHTTP(w, httptest.NewRequest("DELETE", "/v1/leases/1?generation=1", nil).WithContext(asOwner))
				if w.Code != http.StatusNoContent {
					b.Fatal(w.Code, w.Body)
				}
			}
			reportCPU(b, began)
		})
	}
}
