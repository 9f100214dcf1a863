package server_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"testing"

	"berth/launcher"
)

func TestOutput(t *testing.T) {
	r := newRig(t)
	r.processes.processes = []launcher.Process{newProcess(1), newProcess(2)}
	r.processes.write(t, 1, "one\ntwo\nthree\n")
	r.processes.write(t, 2, "")
	for path, want := range map[string]string{
		"1/output":         "one\ntwo\nthree\n",
		"1/output?tail=0":  "",
		"1/output?tail=1":  "three\n",
		"1/output?tail=2":  "two\nthree\n",
		"1/output?tail=3":  "one\ntwo\nthree\n",
		"1/output?tail=99": "one\ntwo\nthree\n",
		"1/output?from=0":  "one\ntwo\nthree\n",
		"1/output?from=4":  "two\nthree\n",
		"1/output?from=99": "",
		"2/output":         "",
		"2/output?tail=5":  "",
	} {
		resp, err := r.client.Get("http://berth/v1/processes/" + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != 200 || string(body) != want {
			t.Errorf("%s: %d %q %v, want %q", path, resp.StatusCode, body, err, want)
		}
		if ct := resp.Header.Get("Content-Type"); ct != "text/plain; charset=utf-8" {
			t.Errorf("%s: content type %q", path, ct)
		}
	}
}

// The last lines are found across the blocks in which a long output is read,
// and a last line needs no newline.
func TestOutputTailLong(t *testing.T) {
	r := newRig(t)
	r.processes.processes = []launcher.Process{newProcess(1)}
	var long []byte
	for i := range 40_000 {
		long = append(long, byte('a'+i%26), '\n')
	}
	long = append(long, "end"...)
	r.processes.write(t, 1, string(long))
	for _, tail := range []struct{ query, want string }{
		{"?tail=1", "end"},
		{"?tail=2", string(long[len(long)-5:])},
		{"?tail=33000", string(long[len(long)-3-2*32_999:])},
		{"?tail=40001", string(long)},
	} {
		_, body := r.do(t, "GET", "/v1/processes/1/output"+tail.query, "")
		if body != tail.want {
			t.Errorf("%s: %d bytes, want %d", tail.query, len(body), len(tail.want))
		}
	}
}

// follower reads the lines of a followed output.
func follow(t *testing.T, r *rig, query string) *bufio.Reader {
	t.Helper()
	resp, err := r.client.Get("http://berth/v1/processes/1/output?follow=true" + query)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return bufio.NewReader(resp.Body)
}

func wantLine(t *testing.T, in *bufio.Reader, want string) {
	t.Helper()
	if got, err := in.ReadString('\n'); err != nil || got != want+"\n" {
		t.Fatalf("line %q %v, want %q", got, err, want)
	}
}

func wantEnd(t *testing.T, in *bufio.Reader, want string) {
	t.Helper()
	if got, err := io.ReadAll(in); err != nil || string(got) != want {
		t.Fatalf("the end is %q %v, want %q", got, err, want)
	}
}

func TestFollow(t *testing.T) {
	r := newRig(t)
	r.processes.processes = []launcher.Process{newProcess(1)}
	r.processes.write(t, 1, "a\nb\n")
	in := follow(t, r, "&tail=1")
	wantLine(t, in, "b")
	r.processes.write(t, 1, "c\n")
	wantLine(t, in, "c")

	// A restart goes on, be it in a new file or in the same one.
	r.processes.set(1, launcher.Restarting)
	if err := os.Rename(r.processes.path(1), r.processes.path(1)+".1"); err != nil {
		t.Fatal(err)
	}
	r.processes.write(t, 1, "new file\n")
	r.processes.set(1, launcher.Running)
	wantLine(t, in, "new file")
	if err := os.Truncate(r.processes.path(1), 0); err != nil {
		t.Fatal(err)
	}
	r.processes.write(t, 1, "emptied\n")
	wantLine(t, in, "emptied")

	r.processes.write(t, 1, "last words")
	r.processes.set(1, launcher.Ended)
	wantEnd(t, in, "last words")
}

// Following what has ended already sends it and ends.
func TestFollowEnded(t *testing.T) {
	r := newRig(t)
	r.processes.processes = []launcher.Process{newProcess(1)}
	r.processes.processes[0].Status = launcher.Ended
	r.processes.write(t, 1, "a\n")
	wantEnd(t, follow(t, r, ""), "a\n")
}

// The end of the daemon ends a stream, and does not wait for it.
func TestFollowStop(t *testing.T) {
	r := newRig(t)
	r.processes.processes = []launcher.Process{newProcess(1)}
	r.processes.write(t, 1, "a\n")
	in := follow(t, r, "")
	wantLine(t, in, "a")
	r.stop()
	wantEnd(t, in, "")
	if err := <-r.served; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

// A follower that goes away is no error.
func TestFollowHangUp(t *testing.T) {
	r := newRig(t)
	r.processes.processes = []launcher.Process{newProcess(1)}
	r.processes.write(t, 1, "a\n")
	ctx, hangUp := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, "GET", "http://berth/v1/processes/1/output?follow=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	wantLine(t, bufio.NewReader(resp.Body), "a")
	hangUp()
	r.stop()
	if err := <-r.served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if log := r.log.String(); log != "" {
		t.Errorf("hanging up was logged:\n%s", log)
	}
}
