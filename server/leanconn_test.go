package server_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"berth/lease"
	"berth/server"
)

// However requests are cut into pieces, each has the answer that it has alone.
func TestLeanPieces(t *testing.T) {
	r := newRig(t, func(o *server.Options) { o.Leases = leanLeases() })
	requests := []string{
		acquiring(`{"ranges":["http"]}`),
		acquiring(`{"ranges":["full"]}`),
		acquiring(` {"ranges":["http"]}`),
		releasing("a1?generation=3"),
		releasing("a1"),
		releasing("a1?generation=%33"),
		"GET /v1/ranges HTTP/1.1\nHost: berth\n\n", // ends of lines that only net/http takes
		// A body that looks like a request.
		acquiring(releasing("a1?generation=3")),
		"GET /v1/ranges HTTP/1.1\r\nHost: berth\r\nContent-Length: " + fmt.Sprint(len(releasing("a1"))) + "\r\n\r\n" + releasing("a1"),
	}
	one := func(status int, _ http.Header, text string) string { return fmt.Sprint(status, " ", text) }
	alone := make([]string, len(requests))
	for i, request := range requests {
		alone[i] = one(r.wire(t, false).ask(t, request))
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var want []string
		var pieces []string
		var text strings.Builder
		for range 1 + random.IntN(12) {
			i := random.IntN(len(requests))
			want = append(want, alone[i])
			switch random.IntN(3) {
			case 0: // at once
				pieces = append(pieces, requests[i])
			case 1: // in two
				n := random.IntN(len(requests[i]))
				pieces = append(pieces, requests[i][:n], requests[i][n:])
			default: // with what was before
				if len(pieces) == 0 {
					pieces = append(pieces, "")
				}
				pieces[len(pieces)-1] += requests[i]
			}
			text.WriteString(requests[i])
		}
		w := r.wire(t, random.IntN(2) == 0)
		go func() {
			for i, piece := range pieces {
				if i > 0 {
					for range random.IntN(3) {
						runtime.Gosched() // sometimes they are read together
					}
				}
				if _, err := io.WriteString(w, piece); err != nil {
					return // the reader says so
				}
			}
		}()
		for i := range want {
			status, header, body, err := w.answer()
			if err != nil {
				t.Fatalf("answer %d of %q: %v", i, pieces, err)
			}
			if got := one(status, header, body); got != want[i] {
				t.Fatalf("answer %d of %q is\n%s\nand alone\n%s", i, pieces, got, want[i])
			}
		}
	}
}

// A body that is a request word for word is a body, also where the server has had
// its head together with the request before it.
func TestLeanBody(t *testing.T) {
	var released atomic.Int32
	leases := leanLeases()
	leases.release = func(lease.ID, int64) error {
		released.Add(1)
		return nil
	}
	r := newRig(t, func(o *server.Options) { o.Leases = leases })
	inner := releasing("a1?generation=3")
	outer := acquiring(inner)
	head := strings.TrimSuffix(outer, inner)
	for _, before := range []string{"GET /v1/ranges HTTP/1.1\r\nHost: berth\r\n\r\n", acquiring(`{"ranges":["full"]}`)} {
		for _, used := range []bool{false, true} {
			w := r.wire(t, used)
			w.ask(t, before+head)
			if status, _, text := w.ask(t, inner); status != 400 {
				t.Errorf("%d %s", status, text)
			}
			if status, _, text := w.ask(t, acquiring(`{"ranges":["http"]}`)); status != 201 {
				t.Errorf("the next one: %d %s", status, text)
			}
		}
	}
	// And where it is read apart, for which the server tells when it waits for it.
	w := r.wire(t, true)
	if status, _, _ := w.ask(t, strings.Replace(head, "\r\n", "\r\nExpect: 100-continue\r\n", 1)); status != 100 {
		t.Fatal(status)
	}
	if status, _, text := w.ask(t, inner); status != 400 {
		t.Errorf("%d %s", status, text)
	}
	if n := released.Load(); n != 0 {
		t.Errorf("%d leases were released", n)
	}
}

// Where requests begin and end is known however they come, until it is not for
// certain.
func TestFrames(t *testing.T) {
	get, post := "GET / HTTP/1.1\r\nHost: b\r\n\r\n", "POST / HTTP/1.1\r\nHost: b\r\nContent-Length: 4\r\n\r\nbody"
	const end, waits = "<end>", "<end, and the server waits>"
	for name, events := range map[string][]string{
		"one after the other":                 {get, waits, post, waits, get, waits},
		"a body apart":                        {post[:len(post)-4], "bo", "dy", waits, get, waits},
		"the first byte at work":              {get, "P", end, post[1:], waits, get, waits},
		"more of the head at work":            {get, post[:20], end, post[20:], waits},
		"and the byte of one more":            {get, "P", end, post[1:] + "G", end, get[1:], waits},
		"all at once":                         {get + post + get, end, end, waits, post, waits},
		"all at once but the end":             {get + post + get[:5], end, end, get[5:], waits},
		"the next one with the end of a body": {post[:len(post)-2], "dy" + get, end, waits},
	} {
		t.Run(name, func(t *testing.T) {
			f := server.NewFrames()
			for i, e := range events {
				switch e {
				case end, waits:
					if got := f.End(); got != (e == waits) || f.Lost() {
						t.Fatalf("event %d: waits %v, lost %v", i, got, f.Lost())
					}
				default:
					f.Give(e)
				}
			}
		})
	}
	for name, events := range map[string][]string{
		"a body that was not read":     {post[:len(post)-1], end},
		"half a head":                  {get[:10], get[10:], end},
		"half a head, and no more":     {get + get[:10], end, end},
		"half a body, and no more":     {get + post[:len(post)-1], end, end},
		"chunks":                       {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", end},
		"an upgrade":                   {"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", end},
		"a wait for a word":            {"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n", end},
		"many that were not looked at": {strings.Repeat(get, 1000), end},
	} {
		t.Run(name, func(t *testing.T) {
			f := server.NewFrames()
			for _, e := range append(events, get, end) {
				if e != end {
					f.Give(e)
				} else if f.End() && f.Lost() {
					t.Error("the server waits, and it is lost")
				}
			}
			if !f.Lost() {
				t.Error("not lost")
			}
		})
	}
}

// The length that is found of a request is the one that net/http finds.
func FuzzRequestLength(f *testing.F) {
	for _, seed := range []string{
		acquiring(`{"ranges":["http"]}`), releasing("a1"), "GET / HTTP/1.1\nHost: x\n\n", "GET / HTTP/1.1\r\nHost: x\n\n\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "POST / HTTP/1.1\r\nHost: x\r\ncontent-LENGTH:3\r\n\r\nabc",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc",
		"POST / HTTP/1.1\r\nHost: x\r\nA: b\r\n Content-Length: 3\r\n\r\nabc", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length : 3\r\n\r\nabc",
		"\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "POST / HTTP/1.0\r\nContent-Length:  \t2 \r\n\r\nab",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, begin []byte) {
		n := server.RequestLength(begin)
		if n < 0 || n > 1<<20 {
			return
		}
		whole := append(append([]byte(nil), begin...), make([]byte, max(0, n-int64(len(begin))))...)
		in := bytes.NewReader(append(whole[:n:n], "GET"...))
		buffered := bufio.NewReader(in)
		req, err := http.ReadRequest(buffered)
		if err != nil {
			return // the connection ends with it
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			t.Fatalf("%q: %v", begin, err)
		}
		if left := in.Len() + buffered.Buffered(); left != len("GET") {
			t.Errorf("%q: %d bytes, and net/http leaves %d of what comes behind them", begin, n, left-len("GET"))
		}
	})
}

// What is at work when the daemon is asked to stop is answered, and nothing
// begins any more.
func TestLeanAtTheEnd(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	leases := &fakeLeases{acquire: func(context.Context, []lease.Request) ([]lease.Lease, error) {
		begun <- struct{}{}
		<-release
		return []lease.Lease{{ID: "a1", Port: 8080}}, nil
	}}
	r := newRig(t, func(o *server.Options) { o.Leases = leases })
	w, idle := r.wire(t, true), r.wire(t, true)
	request := acquiring(`{"ranges":["http"]}`)
	if _, err := io.WriteString(w, request); err != nil {
		t.Fatal(err)
	}
	<-begun
	r.stop()
	if _, _, _, err := idle.answer(); !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		t.Errorf("who waits is told %v", err)
	}
	select {
	case err := <-r.served:
		t.Fatalf("it has ended before what is at work: %v", err)
	default:
	}
	close(release)
	if status, _, text, err := w.answer(); status != 201 || !strings.Contains(text, `"a1"`) {
		t.Errorf("%d %s %v", status, text, err)
	}
	if err := <-r.served; err != nil {
		t.Error(err)
	}
	if _, _, _, err := w.answer(); err == nil {
		t.Error("another answer")
	}
}

// What goes on for longer than the daemon waits at its end is told so, or cut off.
func TestLeanCutOff(t *testing.T) {
	for _, heeds := range []bool{true, false} {
		t.Run(fmt.Sprint("heeds=", heeds), func(t *testing.T) {
			begun, release := make(chan struct{}), make(chan struct{})
			leases := &fakeLeases{acquire: func(ctx context.Context, _ []lease.Request) ([]lease.Lease, error) {
				close(begun)
				if heeds {
					<-ctx.Done()
				} else {
					<-release
				}
				return nil, ctx.Err()
			}}
			r := newRig(t, func(o *server.Options) { o.Leases, o.Drain = leases, 200*time.Millisecond })
			defer close(release)
			w := r.wire(t, true)
			if _, err := io.WriteString(w, acquiring(`{"ranges":["http"]}`)); err != nil {
				t.Fatal(err)
			}
			<-begun
			r.stop()
			status, _, text, err := w.answer()
			if heeds && (status != 503 || !strings.Contains(text, "stopping")) || !heeds && err == nil {
				t.Errorf("%d %s %v", status, text, err)
			}
			if err := <-r.served; err != nil {
				t.Error(err)
			}
		})
	}
}

// A connection at work makes way for nobody; one that waits does, after lean
// requests as after others.
func TestLeanMakesWay(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	leases := &fakeLeases{acquire: func(context.Context, []lease.Request) ([]lease.Lease, error) {
		close(begun)
		<-release
		return []lease.Lease{{ID: "a1", Port: 8080}}, nil
	}}
	r := newRig(t, func(o *server.Options) { o.Leases, o.MaxConnections = leases, 2 })
	first, second := r.wire(t, true), r.wire(t, true)
	if _, err := io.WriteString(first, acquiring(`{"ranges":["http"]}`)); err != nil {
		t.Fatal(err)
	}
	<-begun
	// A new one is refused only until second, which has its answer, is seen to wait.
	for deadline := time.Now().Add(time.Minute); ; {
		w := r.wire(t, false)
		_, _ = io.WriteString(w, "GET /v1/ranges HTTP/1.1\r\nHost: berth\r\n\r\n") // who is refused may not be read
		if status, _, text, err := w.answer(); status == 200 {
			break
		} else if time.Now().After(deadline) {
			t.Fatal(status, text, err)
		}
	}
	if _, _, _, err := second.answer(); err == nil {
		t.Error("who waits is still there")
	}
	close(release)
	if status, _, text, err := first.answer(); status != 201 {
		t.Error(status, text, err)
	}
}

// A connection that has had a lean request is kept from then on as long as after
// any other.
func TestLeanKeeps(t *testing.T) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "s")})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client := dial(t, l.Addr().String())
	conn, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// Its time is nearly over when the request comes.
	const left = 2 * time.Second
	lean := server.LeanAfter(conn, time.Now().Add(left-server.IdleTimeout), func(request []byte) ([]byte, bool) {
		return []byte("answer"), string(request) == "lean"
	})
	if _, err := io.WriteString(client, "lean"); err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	go func() {
		buf := make([]byte, 100)
		n, err := lean.Read(buf)
		if string(buf[:n]) != "other" {
			err = fmt.Errorf("read %q: %w", buf[:n], err)
		}
		read <- err
	}()
	answer := make([]byte, 6)
	if _, err := io.ReadFull(client, answer); err != nil || string(answer) != "answer" {
		t.Fatalf("%q %v", answer, err)
	}
	select {
	case err := <-read:
		t.Errorf("read ended: %v", err)
	case <-time.After(left + 100*time.Millisecond):
	}
	if _, err := io.WriteString(client, "other"); err != nil {
		t.Fatal(err)
	}
	if err := <-read; err != nil {
		t.Error(err)
	}
}
