package server_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"berth/api"
	"berth/event"
	"berth/server"
)

// readEvent reads the next event of a stream; false at its end.
func readEvent(t *testing.T, r *bufio.Reader) (e api.Event, ok bool) {
	t.Helper()
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return e, false
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			if err := json.Unmarshal([]byte(data), &e); err != nil {
				t.Fatal(err)
			}
			return e, true
		}
	}
}

func openEvents(t *testing.T, r *rig, query, lastID string) *bufio.Reader {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://berth/v1/events"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if got := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || got != "text/event-stream" {
		t.Fatalf("%s: %d %s", query, resp.StatusCode, got)
	}
	return bufio.NewReader(resp.Body)
}

// What is kept is sent, from where a reader wants it, and then what happens.
func TestEvents(t *testing.T) {
	log := event.New(100, time.Now)
	r := newRig(t, func(o *server.Options) { o.Events = log })
	for i := range 5 {
		log.Add("process", "ended", strconv.Itoa(i), "it ended")
	}
	kept, _, _ := log.After(-1, 100)
	second := strconv.FormatInt(kept[1].Sequence, 10)
	for _, tt := range []struct{ query, lastID, want string }{
		{"?follow=false", "", "01234"},
		{"?follow=false&last=2", "", "34"},
		{"?follow=false&last=0", "", ""},
		{"?follow=false&after=" + second, "", "234"},
		{"?follow=false&after=" + second + "&last=1", "", "4"},
		{"?follow=false", second, "234"},
	} {
		in := openEvents(t, r, tt.query, tt.lastID)
		got := ""
		for {
			e, ok := readEvent(t, in)
			if !ok {
				break
			}
			got += e.ID
		}
		if got != tt.want {
			t.Errorf("%s %s: %q, want %q", tt.query, tt.lastID, got, tt.want)
		}
	}
	in := openEvents(t, r, "?last=0", "")
	log.Add("range", "added", "http", "range http was added")
	if e, ok := readEvent(t, in); !ok || e.Noun != "range" || e.ID != "http" || e.Kind != "added" || e.Text == "" || e.Time.IsZero() {
		t.Errorf("what happens then: %+v %t", e, ok)
	}
	if status, body := r.do(t, "GET", "/v1/events?after=-5", ""); status != 422 && status != 400 {
		t.Errorf("a sequence below 0: %d %s", status, body)
	}
	r.stop() // a stream does not keep the server from ending
	if _, ok := readEvent(t, in); ok {
		t.Error("the stream goes on")
	}
}

// A reader that is too slow is told of it and dropped, and nobody waits for it.
func TestEventsSlowReader(t *testing.T) {
	log := event.New(8, time.Now)
	r := newRig(t, func(o *server.Options) { o.Events = log })
	in := openEvents(t, r, "", "")
	log.Add("process", "ended", "first", "")
	if e, ok := readEvent(t, in); !ok || e.ID != "first" {
		t.Fatalf("%+v %t", e, ok)
	}
	text := strings.Repeat("x", 256<<10) // more than a socket takes
	for i := range 200 {
		log.Add("process", "ended", strconv.Itoa(i), text)
	}
	var last api.Event
	n := 0
	for {
		e, ok := readEvent(t, in)
		if !ok {
			break
		}
		last = e
		n++
	}
	if last.Noun != "stream" || last.Kind != api.EventDropped || !strings.Contains(last.Text, "too slow") || n > 50 {
		t.Errorf("after %d events the last is %.200v", n, last)
	}
}
