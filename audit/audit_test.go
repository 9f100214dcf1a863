package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/audit"
)

func open(t *testing.T, dir string, o audit.Options) *audit.Log {
	t.Helper()
	l, err := audit.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func record(n int) audit.Record {
	uid := 1000
	return audit.Record{
		Time: time.Date(2026, 1, 2, 3, 4, 5, n, time.UTC), UID: &uid, User: "bob", Operation: "add-ranges",
		Subject: fmt.Sprintf("range %d <&>", n), Status: 201,
	}
}

// subjects are the numbers of records, in their order.
func subjects(records []audit.Record) string {
	var b strings.Builder
	for _, r := range records {
		fmt.Fprintf(&b, "%s ", strings.Fields(r.Subject)[1])
	}
	return strings.TrimSpace(b.String())
}

func last(t *testing.T, l *audit.Log, n int) string {
	t.Helper()
	records, err := l.Last(n)
	if err != nil {
		t.Fatal(err)
	}
	return subjects(records)
}

func TestLog(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, audit.Options{})
	if got := last(t, l, 10); got != "" {
		t.Errorf("a new log has %s", got)
	}
	for n := range 5 {
		l.Add(record(n))
	}
	if got := last(t, l, 3); got != "2 3 4" {
		t.Errorf("the last three: %s", got)
	}
	records, err := l.Last(1)
	if err != nil || len(records) != 1 {
		t.Fatal(records, err)
	}
	if got, want := records[0], record(4); *got.UID != 1000 || got.User != "bob" || got.Subject != want.Subject || !got.Time.Equal(want.Time) || got.Status != 201 {
		t.Errorf("got %+v, want %+v", got, want)
	}
	info, err := os.Stat(filepath.Join(dir, audit.FileName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	for range 2 {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}

	// A daemon that died in the middle of a line leaves the others readable.
	f, err := os.OpenFile(filepath.Join(dir, audit.FileName), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString(`{"time":"2026-`)
	f.Close()
	l = open(t, dir, audit.Options{})
	l.Add(record(5))
	if got := last(t, l, 100); got != "0 1 2 3 4 5" {
		t.Errorf("after a torn line: %s", got)
	}
}

// Older files are kept, as many as are wanted, and read together.
func TestRotation(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, audit.Options{Limit: 1000, Files: 3})
	for n := range 100 {
		l.Add(record(n))
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 4 {
		t.Fatalf("files: %v %v", files, err)
	}
	for _, name := range files {
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm() != 0o600 || info.Size() > 1200 {
			t.Errorf("%s: %v, %d bytes, %v", name, info.Mode(), info.Size(), err)
		}
	}
	if got := last(t, l, 20); got != numbers(80, 100) {
		t.Errorf("over files: %s", got)
	}
	all, err := l.Last(1000)
	if err != nil || len(all) < 18 || len(all) > 40 || subjects(all) != numbers(100-len(all), 100) {
		t.Errorf("all that is kept: %s %v", subjects(all), err)
	}
}

func numbers(from, to int) string {
	var all []string
	for n := from; n < to; n++ {
		all = append(all, fmt.Sprint(n))
	}
	return strings.Join(all, " ")
}

// Who follows is told of each record once, in their order, over rotations too.
func TestFollow(t *testing.T) {
	l := open(t, t.TempDir(), audit.Options{Limit: 2000, Files: 50})
	for n := range 10 {
		l.Add(record(n))
	}
	const many = 500
	enough := errors.New("enough")
	var got []audit.Record
	begun := make(chan struct{})
	var once sync.Once
	var followers sync.WaitGroup
	followers.Go(func() {
		err := l.Follow(context.Background(), nil, 4, func(records []audit.Record) error {
			got = append(got, records...)
			once.Do(func() { close(begun) })
			if len(got) >= 4+many {
				return enough
			}
			return nil
		})
		if !errors.Is(err, enough) {
			t.Errorf("follow: %v", err)
		}
	})
	<-begun
	for n := range many {
		l.Add(record(10 + n))
	}
	followers.Wait()
	if subjects(got) != numbers(6, 10+many) {
		t.Errorf("followed: %s", subjects(got))
	}

	stop := make(chan struct{})
	followers.Go(func() {
		if err := l.Follow(context.Background(), stop, 0, func([]audit.Record) error { return nil }); err != nil {
			t.Errorf("stopped: %v", err)
		}
	})
	close(stop)
	followers.Wait()
}

// A full disk keeps nobody waiting, and is told once.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("/dev/full", filepath.Join(dir, audit.FileName)); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	l := open(t, dir, audit.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for n := range 3 {
		l.Add(record(n))
	}
	if n := strings.Count(log.String(), "missing in the audit"); n != 1 {
		t.Errorf("it was told %d times: %s", n, log.String())
	}
}
