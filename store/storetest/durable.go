package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"berth/store"
)

// larger is a batch that CommitAll has to split: it changes every other of n
// keys below prefix and deletes the rest.
func larger(prefix string, n int) store.Batch {
	var b store.Batch
	for i := range n {
		key := fmt.Sprintf("%s/%04d", prefix, i)
		if i%3 == 0 {
			b.Delete(key)
		} else {
			b.Put(key, []byte("new"))
		}
	}
	return b
}

func fill(t *testing.T, s store.Store, prefix string, n int) {
	t.Helper()
	for i := 0; i < n; i += 100 {
		var b store.Batch
		for j := i; j < min(i+100, n); j++ {
			b.Put(fmt.Sprintf("%s/%04d", prefix, j), []byte("old"))
		}
		commit(t, s, b)
	}
}

// testCommitAll is CommitAll and Recover on this store.
func testCommitAll(t *testing.T, s store.Store) {
	const n = 300
	fill(t, s, "x", n)
	if err := store.CommitAll(ctxOf(t), s, "suite", larger("x", n)); err != nil {
		t.Fatal(err)
	}
	entries, _ := list(t, s, "x/")
	for _, e := range entries {
		if string(e.Value) != "new" {
			t.Errorf("%s is old", e.Key)
		}
	}
	if len(entries) != n-n/3 {
		t.Errorf("%d entries, want %d", len(entries), n-n/3)
	}
	if left, _ := list(t, s, "intents/"); len(left) > 0 {
		t.Errorf("%d keys of the intent are left", len(left))
	}
}

func testEntriesSurvive(t *testing.T, open func(t *testing.T) store.Store) {
	s := open(t)
	r1 := put(t, s, "a", "1", "b", "1")
	r2 := put(t, s, "c", "2")
	del(t, s, "b")
	closeStore(t, s)

	for range 2 {
		s = open(t)
		wantEntries(t, s, "", at("a", "1", r1), at("c", "2", r2))
		var b store.Batch
		b.IfAbsent("a")
		b.Put("a", nil)
		wantConflict(t, s, b, "a")
		closeStore(t, s)
	}
	s = open(t)
	var b store.Batch
	b.If("a", r1)
	b.IfAbsent("b")
	b.Delete("a")
	commit(t, s, b)
	closeStore(t, s)
	s = open(t)
	wantEntries(t, s, "", at("c", "2", r2))
	closeStore(t, s)
}

func testRevisionsSurvive(t *testing.T, open func(t *testing.T) store.Store) {
	var last store.Revision
	for round := range 5 {
		s := open(t)
		if _, r := list(t, s, ""); r < last {
			t.Errorf("round %d: listing at %d, below %d", round, r, last)
		}
		for range 3 {
			// The highest revision belongs to a deletion: no entry carries it.
			put(t, s, "a", "1")
			r := del(t, s, "a")
			if r <= last {
				t.Errorf("round %d: revision %d after %d", round, r, last)
			}
			last = r
		}
		closeStore(t, s)
	}
}

func testWatchReopened(t *testing.T, open func(t *testing.T) store.Store) {
	s := open(t)
	r0 := now(t, s)
	put(t, s, "a", "1")
	r := put(t, s, "a", "2")
	closeStore(t, s)

	s = open(t)
	w, err := s.Watch(ctxOf(t), "", r0)
	switch {
	case errors.Is(err, store.ErrCompacted):
	case err != nil:
		t.Errorf("watch from before: %v", err)
	default: // a store that keeps its history has to tell all of it
		if got := next(t, w, 2); got[1] != at("a", "2", r) {
			t.Errorf("watch from before: %q", got)
		}
	}
	w = watch(t, s, "", r)
	r = put(t, s, "a", "3")
	wantNext(t, w, at("a", "3", r))
	closeStore(t, s)
}

func testIntentSurvives(t *testing.T, open func(t *testing.T) store.Store) {
	const n = 300
	s := open(t)
	fill(t, s, "x", n)
	faulty := NewFaulty(s)
	faulty.StopAfter(3) // the intent and two chunks
	err := store.CommitAll(context.Background(), faulty, "suite", larger("x", n))
	wantErr(t, "a stopped CommitAll", err, ErrStopped)
	closeStore(t, s)

	s = open(t)
	if undone, err := store.Recover(ctxOf(t), s, "suite"); undone != 1 || err != nil {
		t.Errorf("recover: %d undone, %v", undone, err)
	}
	entries, _ := list(t, s, "x/")
	for _, e := range entries {
		if string(e.Value) != "old" {
			t.Errorf("%s is new", e.Key)
		}
	}
	if len(entries) != n {
		t.Errorf("%d entries, want %d", len(entries), n)
	}
	closeStore(t, s)
}

func closeStore(t *testing.T, s store.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
}
