package badger_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth/store"
	"berth/store/badger"
)

// crashed makes a store with n commits, as it is on the disk when its process
// is killed: a copy of the folder, which nobody has closed.
func crashed(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	s, err := badger.Open(dir, badger.Options{JournalBytes: smallJournal})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := range n {
		var b store.Batch
		b.Put(fmt.Sprintf("k/%04d", i), fmt.Appendf(nil, "value %d", i))
		if i > 0 && i%3 == 0 {
			b.Delete(fmt.Sprintf("k/%04d", i-1))
		}
		if _, err := s.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// reopen opens a folder and returns its keys, its revision, and what it logs.
func reopen(t *testing.T, dir string) (keys []string, last store.Revision, said string) {
	t.Helper()
	var log bytes.Buffer
	s, err := badger.Open(dir, badger.Options{JournalBytes: smallJournal, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError}))})
	if err != nil {
		t.Fatal(err)
	}
	entries, last, err := s.List(t.Context(), "k/")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		keys = append(keys, e.Key)
		if want := strings.TrimLeft(strings.TrimPrefix(e.Key, "k/"), "0"); string(e.Value) != "value "+want && want != "" {
			t.Errorf("%s has %q", e.Key, e.Value)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return keys, last, log.String()
}

// remaining are the keys that n commits of crashed leave.
func remaining(n int) (keys []string) {
	for i := range n {
		if next := i + 1; next < n && next%3 == 0 {
			continue
		}
		keys = append(keys, fmt.Sprintf("k/%04d", i))
	}
	return keys
}

func TestJournalIsRecovered(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 50, 200, 1200} {
		t.Run(fmt.Sprint(n, " commits"), func(t *testing.T) {
			t.Parallel()
			dir := crashed(t, n)
			for range 2 { // the second time nothing is left to be recovered
				keys, last, said := reopen(t, dir)
				if got, want := strings.Join(keys, " "), strings.Join(remaining(n), " "); got != want || last != store.Revision(n) {
					t.Errorf("revision %d and keys %.100s, want %d and %.100s", last, got, n, want)
				}
				if said != "" {
					t.Errorf("it says %s", said)
				}
			}
		})
	}
}

// newest is the file of the journal that was written last, and its length up
// to the last byte that is not zero.
func newest(t *testing.T, dir string) (file string, content []byte, end int) {
	t.Helper()
	var epoch []byte
	for i := range 2 {
		name := filepath.Join(dir, fmt.Sprintf("journal-%d", i))
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Compare(b[:8], epoch) > 0 {
			epoch, file, content = b[:8], name, b
		}
	}
	return file, content, len(bytes.TrimRight(content, "\x00"))
}

// A record that is not whole is the end if it was not acknowledged, and else it is loss.
func TestJournalEndsWithATornRecord(t *testing.T) {
	t.Parallel()
	const n = 20 // in the first file, whose end is known by its zeros
	for _, cut := range []int{1, 5, 12, 30} {
		t.Run(fmt.Sprint(cut, " bytes"), func(t *testing.T) {
			t.Parallel()
			dir := crashed(t, n)
			before, err := os.ReadFile(filepath.Join(crashed(t, n-1), "sequence"))
			if err != nil {
				t.Fatal(err)
			}
			file, content, end := newest(t, dir)
			clear(content[end-cut : end])
			if err := os.WriteFile(file, content, 0o600); err != nil {
				t.Fatal(err)
			}
			acknowledged := t.TempDir()
			if err := os.CopyFS(acknowledged, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "sequence"), before, 0o600); err != nil {
				t.Fatal(err)
			}
			want := remaining(n - 1)
			keys, last, said := reopen(t, dir)
			if last != n-1 || strings.Join(keys, " ") != strings.Join(want, " ") || said != "" {
				t.Errorf("revision %d and keys %v, want %v; it says %s", last, keys, want, said)
			}
			keys, last, said = reopen(t, acknowledged)
			if last != n || strings.Join(keys, " ") != strings.Join(want, " ") || !strings.Contains(said, "revision 20 to 20 are lost") {
				t.Errorf("where it was acknowledged: revision %d and keys %v, want %v; it says %s", last, keys, want, said)
			}
		})
	}
}

// A damaged older file is noticed by what the newer one goes on from.
func TestJournalTellsOfLoss(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := badger.Open(dir, badger.Options{JournalBytes: smallJournal})
	if err != nil {
		t.Fatal(err)
	}
	put := func(key string, bytes int) {
		var b store.Batch
		b.Put(key, make([]byte, bytes))
		if _, err := s.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	before := t.TempDir()
	put("x/1", smallJournal/2)
	if err := os.CopyFS(before, os.DirFS(dir)); err != nil { // Badger as it was before the turn
		t.Fatal(err)
	}
	put("x/2", smallJournal/2)
	put("x/3", 10) // in the other file
	var first []byte
	file, _, _ := newest(t, dir)
	other := filepath.Join(dir, "journal-0")
	if file == other {
		other = filepath.Join(dir, "journal-1")
	}
	if first, err = os.ReadFile(other); err != nil {
		t.Fatal(err)
	}
	second, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	first[smallJournal-100] ^= 1 // in the record of x/2
	for name, content := range map[string][]byte{filepath.Base(other): first, filepath.Base(file): second} {
		if err := os.WriteFile(filepath.Join(before, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	damaged, err := badger.Open(before, badger.Options{JournalBytes: smallJournal, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer damaged.Close()
	if !strings.Contains(log.String(), "revision 2 to 2 are lost") {
		t.Errorf("it says nothing of the loss: %s", log.String())
	}
	if _, err := damaged.Get(t.Context(), "x/3"); err != nil {
		t.Errorf("what came after the loss: %v", err)
	}
}

// Reads see what Badger does not have yet, in every mixture.
func TestReadsAcrossTurns(t *testing.T) {
	t.Parallel()
	s, err := badger.Open(t.TempDir(), badger.Options{JournalBytes: 4 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	model := make(map[string]string)
	for i := range 2000 {
		key, value := fmt.Sprintf("m/%03d", i*7%150), fmt.Sprintf("value %d", i)
		var b store.Batch
		if _, there := model[key]; there && i%5 == 0 {
			b.Delete(key)
			delete(model, key)
		} else {
			b.Put(key, []byte(value))
			model[key] = value
		}
		if _, err := s.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if i%50 != 0 {
			continue
		}
		entries, _, err := s.List(t.Context(), "m/")
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) != len(model) {
			t.Fatalf("after %d: %d entries, want %d", i, len(entries), len(model))
		}
		for n, e := range entries {
			if model[e.Key] != string(e.Value) || n > 0 && entries[n-1].Key >= e.Key {
				t.Fatalf("after %d: entry %d is %s %q, want %q", i, n, e.Key, e.Value, model[e.Key])
			}
			if got, err := s.Get(t.Context(), e.Key); err != nil || got.Revision != e.Revision || string(got.Value) != string(e.Value) {
				t.Fatalf("after %d: get %s: %+v, %v", i, e.Key, got, err)
			}
		}
	}
}
