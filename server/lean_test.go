package server_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"berth/access"
	"berth/api"
	"berth/audit"
	"berth/client"
	"berth/lease"
	"berth/server"
	"berth/store/storetest"
)

// wire is a connection on which a test writes requests itself.
type wire struct {
	net.Conn
	read *bufio.Reader
}

// wire connects. A connection's first request is never lean; one that is used answers lean ones.
func (r *rig) wire(t *testing.T, used bool) *wire {
	t.Helper()
	conn := dial(t, r.socket)
	conn.SetDeadline(time.Now().Add(time.Minute))
	w := &wire{conn, bufio.NewReader(conn)}
	// Where the server still looked whether somebody hangs up, it has had the first
	// byte of the next request, which is then not lean.
	for used && !w.lean(t) {
	}
	return w
}

// lean sends a request that changes nothing and reports whether it was lean: then
// the length of the answer stands before its date.
func (w *wire) lean(t *testing.T) bool {
	t.Helper()
	if _, err := io.WriteString(w, acquiring(`{"ranges":[""]}`)); err != nil {
		t.Fatal(err)
	}
	head, err := w.read.Peek(len("HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\nD"))
	if err != nil {
		t.Fatal(err)
	}
	if status, _, text, err := w.answer(); status != 400 {
		t.Fatal(status, text, err)
	}
	return head[len(head)-1] == 'C'
}

// ask writes a request at once, and returns all of its response.
func (w *wire) ask(t *testing.T, request string) (int, http.Header, string) {
	t.Helper()
	if _, err := io.WriteString(w, request); err != nil {
		t.Fatal(err)
	}
	status, header, text, err := w.answer()
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	return status, header, text
}

func (w *wire) answer() (int, http.Header, string, error) {
	resp, err := http.ReadResponse(w.read, nil)
	if err != nil {
		return 0, nil, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, string(text), err
}

// acquiring and releasing are requests as the client writes them.
func acquiring(body string, fields ...string) string {
	return "POST /v1/leases HTTP/1.1\r\nHost: berth\r\nUser-Agent: Go-http-client/1.1\r\n" +
		fmt.Sprintf("Content-Length: %d\r\nContent-Type: application/json\r\n", len(body)) + strings.Join(append(fields, ""), "\r\n") + "\r\n" + body
}

func releasing(target string, fields ...string) string {
	return "DELETE /v1/leases/" + target + " HTTP/1.1\r\nHost: berth\r\nUser-Agent: Go-http-client/1.1\r\n" + strings.Join(append(fields, ""), "\r\n") + "\r\n"
}

func chunked(body string) string {
	chunks := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	return strings.Replace(acquiring(chunks), fmt.Sprintf("Content-Length: %d", len(chunks)), "Transfer-Encoding: chunked", 1)
}

// leanLeases answer what is asked of them in these tests.
func leanLeases() *fakeLeases {
	return &fakeLeases{
		acquire: func(_ context.Context, requests []lease.Request) ([]lease.Lease, error) {
			switch requests[0].Range {
			case "full":
				return nil, fmt.Errorf("%w: full <8080-8081>", lease.ErrRangeFull)
			case "panic":
				panic("asked for")
			}
			return []lease.Lease{{ID: "a1", Generation: 1, Range: requests[0].Range, Protocol: lease.TCP, Port: 8080, Holder: requests[0].Holder, Since: began}}, nil
		},
		release: func(id lease.ID, generation int64) error {
			if generation != 3 {
				return lease.ErrLeaseChanged
			}
			return nil
		},
	}
}

// A lean request is answered, and audited, as net/http's server and huma do. No
// other one is taken for one.
func TestLean(t *testing.T) {
	const key, one = `Idempotency-Key: "k"`, `{"ranges":["http"]}`
	all := `{"ranges":["http","admin"],"holder":{"kind":"session","ttl":"30s","name":"ü\u003c\u0026\u003e"},"owner":"me","keep":true}`
	tests := []struct {
		name, request string
		lean          bool
		starts        string
	}{
		{"one", acquiring(one), true, "201"},
		{"one with a key", acquiring(one, key), true, "201"},
		{"a key without its quotes", acquiring(one, "Idempotency-Key: k"), true, "201"},
		{"a key without its end", acquiring(one, `Idempotency-Key: "k`), true, "400"},
		{"all there is", acquiring(all, `Idempotency-Key: "all"`), true, "201"},
		{"a full range", acquiring(`{"ranges":["full"]}`), true, "409"},
		{"an empty range", acquiring(`{"ranges":[""]}`), true, "400"},
		{"no ranges", acquiring(`{"ranges":[]}`), false, "400"},
		{"an empty holder", acquiring(`{"ranges":["http"],"holder":{}}`), false, "201"},
		{"no time to live", acquiring(`{"ranges":["http"],"holder":{"kind":"session"}}`), true, "400"},
		{"a mistake of the daemon's", acquiring(`{"ranges":["panic"]}`), true, "500"},
		{"two names", acquiring(strings.Replace(one, "http", strings.Repeat("h", 300), 1)), true, "201"},

		{"nothing", acquiring(`{}`), true, "400"},
		{"a blank", acquiring(" " + one), false, "201"},
		{"no such kind", acquiring(`{"ranges":["http"],"holder":{"kind":"lord"}}`), false, "400"},
		{"a pid below 0", acquiring(`{"ranges":["http"],"holder":{"kind":"process","pid":-1}}`), false, "400"},
		{"an owner as long as can be", acquiring(`{"ranges":["http"],"owner":"` + strings.Repeat("o", 255) + `"}`), true, "201"},
		{"a long owner", acquiring(`{"ranges":["http"],"owner":"` + strings.Repeat("o", 256) + `"}`), false, "400"},
		{"ports", acquiring(`{"ports":[{"range":"http","count":2}]}`), false, "201"},
		{"too many ports", acquiring(`{"ports":[{"range":"http","count":2000}]}`), false, "400"},
		{"an unknown name", acquiring(`{"ranges":["http"],"rages":[]}`), false, "400"},
		{"a name in another case", acquiring(`{"Ranges":["http"]}`), false, "201"},
		{"a name twice", acquiring(`{"ranges":["full"],"ranges":["http"]}`), false, "400"},
		{"a type that is wrong", acquiring(`{"ranges":"http"}`), false, "400"},
		{"no JSON", acquiring(`{"ranges":["http"]`), false, "400"},
		{"not UTF-8", acquiring("{\"ranges\":[\"\xff\"],\"holder\":{}}"), false, "400"},
		{"a query", strings.Replace(acquiring(one), "leases", "leases?x=1", 1), false, "400"},
		{"another type", strings.Replace(acquiring(one), "application/json", "text/plain", 1), false, "415"},
		{"no type", strings.Replace(acquiring(one), "Content-Type: application/json\r\n", "", 1), false, ""},
		{"an unknown field", acquiring(one, "X-Other: 1"), false, "201"},
		{"a token", acquiring(one, "Authorization: Bearer x"), false, "401"},
		{"no host", strings.Replace(acquiring(one), "Host: berth\r\n", "", 1), false, "400"},
		{"another host", strings.Replace(acquiring(one), "Host: berth", "Host: localhost", 1), false, "201"},
		{"a host twice", acquiring(one, "Host: berth"), false, "400"},
		{"a key twice", acquiring(one, key, key), false, ""},
		{"a field in another case", acquiring(one, "idempotency-key: k"), false, "201"},
		{"a field without a blank", acquiring(one, "Idempotency-Key:k"), false, "201"},
		{"a field with two blanks", acquiring(one, "Idempotency-Key:  k"), false, "201"},
		{"a key that is not ASCII", acquiring(one, "Idempotency-Key: ü"), false, "400"},
		{"to be closed", acquiring(one, "Connection: close"), false, "201"},
		{"HTTP/1.0", strings.Replace(acquiring(one), "HTTP/1.1", "HTTP/1.0", 1), false, "201"},
		{"chunked", chunked(one), false, "201"},
		{"an encoded body", acquiring(one, "Content-Encoding: gzip"), false, "415"},

		{"a release", releasing("a1?generation=3"), true, "204"},
		{"of a lease that changed", releasing("a1?generation=4"), true, "409"},
		{"of any generation", releasing("a1"), true, "409"},
		{"a generation with a nought before it", releasing("a1?generation=03"), false, "204"},
		{"a generation below 0", releasing("a1?generation=-1"), false, "400"},
		{"a generation that is none", releasing("a1?generation=x"), false, "400"},
		{"no generation", releasing("a1?generation="), false, ""},
		{"a generation twice", releasing("a1?generation=3&generation=3"), false, "204"},
		{"an encoded generation", releasing("a1?generation=%33"), false, "204"},
		{"an empty query", releasing("a1?"), false, "409"},
		{"an id of other letters", releasing("A1?generation=3"), false, "204"},
		{"an encoded id", releasing("a%31?generation=3"), false, "204"},
		{"no id", releasing(""), false, "404"},
		{"of a lease's renewal", releasing("a1/renew"), false, "405"},
		{"with a body", releasing("a1?generation=3", "Content-Length: 2") + "{}", false, ""},
		{"with a key", releasing("a1?generation=3", key), false, ""},
		{"with a type", releasing("a1?generation=3", "Content-Type: application/json"), false, "204"},
		{"with a length", releasing("a1?generation=3", "Content-Length: 0"), false, "204"},
		{"at another host", strings.Replace(releasing("a1?generation=3"), "Host: berth", "Host: localhost", 1), false, "204"},
	}
	var log *audit.Log
	r := newRig(t, func(o *server.Options) { o.Leases, log = leanLeases(), o.Audit })
	alone := server.New(server.Options{Leases: leanLeases(), Keys: storetest.NewMemory(), Home: t.TempDir(), Logger: quiet})
	owner := access.Caller{Known: true, Role: access.Admin, Owner: "me"}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if answer, lean := alone.AnswerLean(owner, []byte(tt.request)); lean != tt.lean {
				t.Errorf("lean: %v, %q", lean, answer)
			}
			ask := func(w *wire) string {
				status, header, text := w.ask(t, tt.request)
				header.Del("Date")
				told, err := log.Last(1)
				if err != nil || len(told) != 1 {
					t.Fatalf("the audit has %+v: %v", told, err)
				}
				return fmt.Sprintf("%d %v %s; audited %s %q %d %s", status, header, text, told[0].Operation, told[0].Subject, told[0].Status, told[0].Code)
			}
			lean, through := ask(r.wire(t, true)), ask(r.wire(t, false))
			if lean != through || !strings.HasPrefix(lean, tt.starts) {
				t.Errorf("answered\n%s\nand through net/http\n%s", lean, through)
			}
		})
	}
}

// A request is lean if it is whole, with nothing behind it, and its caller may.
func TestLeanFrame(t *testing.T) {
	s := server.New(server.Options{Leases: leanLeases(), Keys: storetest.NewMemory(), Home: t.TempDir(), Logger: quiet})
	owner := access.Caller{Known: true, Role: access.Admin}
	one := `{"ranges":["http"]}`
	length := fmt.Sprintf("Content-Length: %d\r\n", len(one))
	for _, other := range []string{"", "Content-Length: 18\r\n", "Content-Length: 20\r\n", "Content-Length: +19\r\n", "Content-Length: 019\r\n", "Content-Length: 0x13\r\n"} {
		if request := strings.Replace(acquiring(one), length, other, 1); request == acquiring(one) {
			t.Errorf("%q is what it was", request)
		} else if _, ok := s.AnswerLean(owner, []byte(request)); ok {
			t.Errorf("lean: %q", request)
		}
	}
	for _, whole := range []string{acquiring(`{"ranges":["http"]}`), releasing("a1?generation=3")} {
		if _, ok := s.AnswerLean(owner, []byte(whole)); !ok {
			t.Errorf("not lean: %q", whole)
		}
		for n := range len(whole) {
			if _, ok := s.AnswerLean(owner, []byte(whole[:n])); ok {
				t.Errorf("lean: %q", whole[:n])
			}
		}
		for _, behind := range []string{"\r\n", "x", whole} {
			if _, ok := s.AnswerLean(owner, []byte(whole+behind)); ok {
				t.Errorf("lean: %q", whole+behind)
			}
		}
		for _, c := range []access.Caller{{}, {Known: true}, {Known: true, Role: access.Read}} {
			if _, ok := s.AnswerLean(c, []byte(whole)); ok {
				t.Errorf("%+v may", c)
			}
		}
	}
}

// Nothing is begun by a server that was asked to stop.
func TestLeanStopped(t *testing.T) {
	s := server.New(server.Options{Leases: leanLeases(), Keys: storetest.NewMemory(), Home: t.TempDir(), Logger: quiet})
	r := &rig{socket: filepath.Join(t.TempDir(), "s")}
	l, err := server.Listen(r.socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	owner, request := access.Caller{Known: true, Role: access.Admin}, []byte(releasing("a1?generation=3"))
	if _, ok := s.AnswerLean(owner, request); !ok {
		t.Error("not answered before")
	}
	r.wire(t, true)
	cancel()
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	if answer, ok := s.AnswerLean(owner, request); ok {
		t.Errorf("answered %q", answer)
	}
}

// What the client writes is lean.
func TestLeanIsTheClients(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	written := make(chan []byte, 2)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			request := make([]byte, 4096)
			n, _ := conn.Read(request)
			written <- request[:n]
			fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]")
			conn.Close()
		}
	}()
	c := client.New(client.Options{Socket: socket})
	defer c.Close()
	s := server.New(server.Options{Leases: leanLeases(), Keys: storetest.NewMemory(), Home: t.TempDir(), Logger: quiet})
	for name, call := range map[string]func() error{
		"a release":         func() error { return c.ReleaseLease(t.Context(), "a1", 3) },
		"of any generation": func() error { return c.ReleaseLease(t.Context(), "a1", 0) },
		"a lease": func() error {
			_, err := c.AcquireLeases(t.Context(), api.AcquireLeases{Ranges: []string{"http", "admin"}})
			return err
		},
		"with all there is": func() error {
			_, err := c.AcquireLeases(t.Context(), api.AcquireLeases{Ranges: []string{"http"}, Holder: api.Holder{Kind: api.HolderSession, TTL: "30s", Name: "<ü>"}, Owner: "me", Keep: true})
			return err
		},
		"with a key": func() error {
			_, err := c.AcquireLeases(client.WithKey(t.Context(), `a "key"`), api.AcquireLeases{Ranges: []string{"http"}})
			return err
		},
	} {
		if err := call(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		request := <-written
		if _, ok := s.AnswerLean(access.Caller{Known: true, Role: access.Admin, Owner: "me"}, request); !ok {
			t.Errorf("%s is not lean: %q", name, request)
		}
	}
}
