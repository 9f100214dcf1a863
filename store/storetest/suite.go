package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"berth/store"
)

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

// Run tests a store. Each call of open gives a store of its own, empty, which
// the suite closes. The tests run in parallel.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	tests := []struct {
		name string
		run  func(t *testing.T, s store.Store)
	}{
		{"get", testGet},
		{"list", testList},
		{"list all", testListAll},
		{"conditions", testConditions},
		{"failed condition changes nothing", testConflictChangesNothing},
		{"put and delete", testPutDelete},
		{"a condition on a key of the same batch", testConditionsBeforeChanges},
		{"revisions grow", testRevisionsGrow},
		{"values belong to the caller", testValues},
		{"empty values", testEmptyValues},
		{"invalid batches", testInvalid},
		{"largest batches", testLargest},
		{"unusual keys", testUnusualKeys},
		{"context ended", testContextEnded},
		{"close", testClose},
		{"close while committing", testCloseWhileCommitting},
		{"watch order", testWatchOrder},
		{"watch from a revision", testWatchFrom},
		{"watch from a listing", testWatchFromListing},
		{"watch prefix", testWatchPrefix},
		{"watch a revision to come", testWatchFuture},
		{"watch values belong to the caller", testWatchValues},
		{"watch compacted", testWatchCompacted},
		{"watch ends", testWatchEnds},
		{"watch while committing", testWatchConcurrent},
		{"counters", testCounters},
		{"one wins", testOneWins},
		{"registers are linearizable", testRegisters},
		{"listings are of one moment", testListMoment},
		{"larger batches", testCommitAll},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
			test.run(t, s)
		})
	}
}

// RunDurable tests what a store keeps when it is closed and opened again. Each
// call of fresh prepares an empty place and returns what opens the store that
// is there. The tests run in parallel.
func RunDurable(t *testing.T, fresh func(t *testing.T) (open func(t *testing.T) store.Store)) {
	tests := []struct {
		name string
		run  func(t *testing.T, open func(t *testing.T) store.Store)
	}{
		{"entries survive", testEntriesSurvive},
		{"revisions survive", testRevisionsSurvive},
		{"a watch from before is compacted", testWatchReopened},
		{"an intent survives", testIntentSurvives},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, fresh(t))
		})
	}
}

// ctxOf ends when the test must have ended.
func ctxOf(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func commit(t *testing.T, s store.Store, b store.Batch) store.Revision {
	t.Helper()
	r, err := s.Commit(ctxOf(t), b)
	if err != nil {
		t.Fatalf("commit: %v", err)
	}
	return r
}

func put(t *testing.T, s store.Store, pairs ...string) store.Revision {
	t.Helper()
	var b store.Batch
	for pair := range slices.Chunk(pairs, 2) {
		b.Put(pair[0], []byte(pair[1]))
	}
	return commit(t, s, b)
}

func del(t *testing.T, s store.Store, keys ...string) store.Revision {
	t.Helper()
	var b store.Batch
	for _, key := range keys {
		b.Delete(key)
	}
	return commit(t, s, b)
}

func list(t *testing.T, s store.Store, prefix string) ([]store.Entry, store.Revision) {
	t.Helper()
	entries, r, err := s.List(ctxOf(t), prefix)
	if err != nil {
		t.Fatalf("list %q: %v", prefix, err)
	}
	return entries, r
}

// wantEntries compares a listing with entries written as key=value@revision.
func wantEntries(t *testing.T, s store.Store, prefix string, want ...string) {
	t.Helper()
	entries, _ := list(t, s, prefix)
	var got []string
	for _, e := range entries {
		got = append(got, format(e))
	}
	if !slices.Equal(got, want) {
		t.Errorf("list %q:\n got %q\nwant %q", prefix, got, want)
	}
}

func format(e store.Entry) string { return fmt.Sprintf("%s=%s@%d", e.Key, e.Value, e.Revision) }

func at(key, value string, r store.Revision) string { return fmt.Sprintf("%s=%s@%d", key, value, r) }

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got error %v, want %v", what, err, want)
	}
}

// wantConflict checks that a batch is refused because of a key.
func wantConflict(t *testing.T, s store.Store, b store.Batch, key string) {
	t.Helper()
	_, err := s.Commit(ctxOf(t), b)
	var conflict *store.ConflictError
	if !errors.As(err, &conflict) {
		t.Errorf("commit: got error %v, want a *ConflictError", err)
		return
	}
	wantErr(t, "commit", err, store.ErrConflict)
	if conflict.Key != key {
		t.Errorf("conflict names key %q, want %q", conflict.Key, key)
	}
}
