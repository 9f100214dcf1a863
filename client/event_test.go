package client_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"berth/api"
	"berth/client"
	"berth/event"
	"berth/server"
	"berth/store/storetest"
)

// cutter passes connections on to a daemon, and breaks each once the daemon has
// sent so many bytes.
func cutter(t *testing.T, to string, most int64) (socket string, cuts *atomic.Int32) {
	t.Helper()
	socket, cuts = filepath.Join(tempDir(t), "c"), new(atomic.Int32)
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("unix", to)
			if err != nil {
				in.Close()
				continue
			}
			all.Go(func() {
				defer out.Close()
				_, _ = io.Copy(out, in)
			})
			all.Go(func() {
				defer in.Close()
				if n, _ := io.CopyN(in, out, most); n == most {
					cuts.Add(1)
				}
			})
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	return socket, cuts
}

// serveEvents serves a log until the function it returns is called.
func serveEvents(t *testing.T, socket string, log *event.Log) (stop func()) {
	t.Helper()
	l, err := server.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- server.New(server.Options{Events: log, Keys: storetest.NewMemory(), Home: filepath.Dir(socket), Logger: slog.New(slog.DiscardHandler)}).Serve(ctx, l)
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	t.Cleanup(stop)
	return stop
}

// A reader whose connection breaks again and again, in the middle of events too,
// gets each event once and in order.
func TestEventsOverBrokenConnections(t *testing.T) {
	const many = 400
	log := event.New(many, time.Now)
	socket := filepath.Join(tempDir(t), "s")
	front, cuts := cutter(t, socket, 3001)
	serveEvents(t, socket, log)
	c := newClient(t, front)
	more := make(chan struct{}, many)
	go func() {
		for i := range many {
			log.Add("process", "ended", strconv.Itoa(i), strings.Repeat("x", i))
			if i >= many/2 {
				<-more // the second half one by one, as they are read
			}
		}
	}()
	n := 0
	for e, err := range c.Events(t.Context(), client.Events{Follow: true, Limit: many}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Noun != "process" || e.ID != strconv.Itoa(n) || len(e.Text) != n {
			t.Fatalf("event %d is %.100v", n, e)
		}
		n++
		more <- struct{}{}
	}
	if n != many || cuts.Load() < 10 {
		t.Errorf("%d events over %d broken connections, want %d over 10 or more", n, cuts.Load(), many)
	}
}

// What a reader has missed while it was away and is not kept any more it is told
// of: how many there were, or that they were of another daemon's time.
func TestEventsMissed(t *testing.T) {
	socket := filepath.Join(tempDir(t), "s")
	log := event.New(3, time.Now)
	stop := serveEvents(t, socket, log)
	c := newClient(t, socket)
	read := func(o client.Events) (got []api.Event) {
		t.Helper()
		for e, err := range c.Events(t.Context(), o) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, e)
		}
		return got
	}
	log.Add("range", "added", "first", "")
	first := read(client.Events{})[0]
	for i := range 5 {
		log.Add("process", "ended", strconv.Itoa(i), "")
	}
	got := read(client.Events{After: first.Sequence})
	if len(got) != 4 || got[0].Noun != "stream" || got[0].Kind != api.EventMissed || !strings.Contains(got[0].Text, "2 events") || got[1].ID != "2" || got[0].Sequence != got[1].Sequence-1 {
		t.Errorf("who was away gets %+v", got)
	}
	last := got[3]
	if got := read(client.Events{After: last.Sequence}); len(got) != 0 {
		t.Errorf("who has all gets %+v", got)
	}
	if got := read(client.Events{Limit: 2}); len(got) != 2 || got[1].ID != "3" {
		t.Errorf("two of them are %+v", got)
	}

	// The next daemon, of which nothing is known yet when the reader comes, and
	// whose clock is behind: what the reader knows is ahead of it.
	stop()
	log = event.New(3, func() time.Time { return time.UnixMicro(last.Sequence - 1000) })
	serveEvents(t, socket, log)
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	defer cancel(nil)
	kinds := ""
	for e, err := range c.Events(ctx, client.Events{After: last.Sequence, Follow: true}) {
		if err != nil {
			if !errors.Is(err, enough) {
				t.Error(err)
			}
			break
		}
		kinds += e.Noun + "-" + e.Kind + " "
		switch e.Noun {
		case "stream":
			log.Add("daemon", "started", "1", "")
		case "daemon":
			log.Add("range", "added", "second", "")
		default:
			cancel(enough)
		}
	}
	if kinds != "stream-missed daemon-started range-added " {
		t.Errorf("a reader of the daemon before gets %s", kinds)
	}
}
