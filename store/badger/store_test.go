package badger_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"berth/store"
	"berth/store/badger"
	"berth/store/storetest"
)

func open(t *testing.T, dir string) *badger.Store {
	t.Helper()
	s, err := badger.Open(dir, badger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, t.TempDir()) })
}

func TestDurability(t *testing.T) {
	t.Parallel()
	storetest.RunDurable(t, func(t *testing.T) func(t *testing.T) store.Store {
		dir := t.TempDir()
		return func(t *testing.T) store.Store { return open(t, dir) }
	})
}

func TestOpenLocked(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	_, err := badger.Open(dir, badger.Options{})
	if !errors.Is(err, store.ErrLocked) {
		t.Fatalf("second open: %v", err)
	}
	for _, want := range []string{dir, "pid " + strconv.Itoa(os.Getpid())} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not have %q", err, want)
		}
	}
	// The refused one must not have taken anything from the first.
	var b store.Batch
	b.Put("a", []byte("1"))
	if _, err := s.Commit(t.Context(), b); err != nil {
		t.Errorf("commit after a refused open: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, dir)
	if _, err := again.Get(t.Context(), "a"); err != nil {
		t.Error(err)
	}
}

func TestOpenRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	foreign := t.TempDir() // not Berth's to mend
	if err := os.Mkdir(filepath.Join(foreign, "MANIFEST"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{"a file": file, "below a file": filepath.Join(file, "x"), "a folder for a file": foreign} {
		_, err := badger.Open(dir, badger.Options{})
		if err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	// A failed open gives the lock back.
	if _, err := badger.Open(foreign, badger.Options{}); errors.Is(err, store.ErrLocked) {
		t.Error("a failed open keeps the lock")
	}
}

// TestEmptyFiles has the files that a process leaves which is killed between
// creating and sizing them.
func TestEmptyFiles(t *testing.T) {
	for _, name := range []string{"00001.mem", "00007.mem", "000000.vlog", "000009.vlog", "000003.sst"} {
		for _, used := range []bool{false, true} {
			t.Run(name+" used "+strconv.FormatBool(used), func(t *testing.T) {
				dir := t.TempDir()
				if used {
					s := open(t, dir)
					var b store.Batch
					b.Put("a", []byte("1"))
					if _, err := s.Commit(t.Context(), b); err != nil {
						t.Fatal(err)
					}
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
				}
				path := filepath.Join(dir, name)
				f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL, 0o600)
				if err != nil {
					t.Fatal(err)
				}
				f.Close()
				s := open(t, dir)
				if _, err := s.Get(t.Context(), "a"); used && err != nil {
					t.Errorf("get: %v", err)
				}
				if info, err := os.Stat(path); err == nil && info.Size() == 0 {
					t.Error("the empty file is still there")
				}
			})
		}
	}
}

// TestSweepKeepsOthers has files that must not be deleted.
func TestSweepKeepsOthers(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"other", "notes.txt", "mem"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "folder.mem.d"), 0o700); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
	for _, name := range []string{"other", "notes.txt", "mem", "folder.mem.d"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}

// A store whose folder was moved away closes all the same.
func TestCloseWithoutFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	s, err := badger.Open(dir, badger.Options{CloseLimit: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	var b store.Batch
	b.Put("a", []byte("1"))
	if _, err := s.Commit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	first := s.Close()
	if first == nil || !strings.Contains(first.Error(), "has not ended") {
		t.Errorf("closed with %v", first)
	}
	if again := s.Close(); !errors.Is(again, first) {
		t.Errorf("closed again with %v", again)
	}
	if _, err := s.Get(t.Context(), "a"); !errors.Is(err, store.ErrClosed) {
		t.Errorf("after closing: %v", err)
	}
}
