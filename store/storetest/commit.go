package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"berth/store"
)

func testConditions(t *testing.T, s store.Store) {
	r1 := put(t, s, "a", "1")
	r2 := put(t, s, "b", "1")

	type cond = store.Condition
	tests := []struct {
		name     string
		conds    []cond
		conflict string
	}{
		{"absent", []cond{{Key: "none"}}, ""},
		{"at its revision", []cond{{Key: "a", Revision: r1}}, ""},
		{"several", []cond{{Key: "a", Revision: r1}, {Key: "b", Revision: r2}, {Key: "none"}}, ""},
		{"the same twice", []cond{{Key: "a", Revision: r1}, {Key: "a", Revision: r1}}, ""},
		{"absent but there", []cond{{Key: "a"}}, "a"},
		{"at an older revision", []cond{{Key: "b", Revision: r1}}, "b"},
		{"at a later revision", []cond{{Key: "a", Revision: r2 + 100}}, "a"},
		{"at a revision but absent", []cond{{Key: "none", Revision: r1}}, "none"},
		{"the second does not hold", []cond{{Key: "a", Revision: r1}, {Key: "b"}}, "b"},
		{"the first does not hold", []cond{{Key: "b"}, {Key: "a", Revision: r1}}, "b"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := store.Batch{Conditions: test.conds}
			b.Put("result/"+test.name, nil)
			if test.conflict == "" {
				commit(t, s, b)
			} else {
				wantConflict(t, s, b, test.conflict)
			}
			_, err := s.Get(ctxOf(t), "result/"+test.name)
			if applied := err == nil; applied != (test.conflict == "") {
				t.Errorf("applied: %v (%v)", applied, err)
			}
		})
	}
}

func testConflictChangesNothing(t *testing.T, s store.Store) {
	r := put(t, s, "a", "1", "b", "1")
	w, err := s.Watch(ctxOf(t), "", r)
	if err != nil {
		t.Fatal(err)
	}
	var b store.Batch
	b.If("a", r)
	b.IfAbsent("b")
	b.Put("a", []byte("2"))
	b.Put("c", []byte("2"))
	b.Delete("b")
	wantConflict(t, s, b, "b")
	wantEntries(t, s, "", at("a", "1", r), at("b", "1", r))
	after := put(t, s, "d", "1")
	if e, err := w.Next(ctxOf(t)); err != nil || format(e.Entry) != at("d", "1", after) {
		t.Errorf("after a conflict the watch sees %v, %v", e, err)
	}
}

func testPutDelete(t *testing.T, s store.Store) {
	r1 := put(t, s, "a", "1", "b", "1")
	var b store.Batch
	b.Put("a", []byte("2"))
	b.Delete("b")
	b.Delete("never there")
	b.Put("c", []byte("2"))
	r2 := commit(t, s, b)
	if r2 <= r1 {
		t.Errorf("revision %d is not above %d", r2, r1)
	}
	wantEntries(t, s, "", at("a", "2", r2), at("c", "2", r2))
	_, err := s.Get(ctxOf(t), "b")
	wantErr(t, "get of a deleted key", err, store.ErrNotFound)

	var again store.Batch
	again.IfAbsent("b")
	again.Put("b", []byte("3"))
	r3 := commit(t, s, again)
	wantEntries(t, s, "b", at("b", "3", r3))
}

func testConditionsBeforeChanges(t *testing.T, s store.Store) {
	var b store.Batch
	b.Put("a", []byte("1"))
	b.IfAbsent("a") // looked at before the batch puts it
	r := commit(t, s, b)
	var next store.Batch
	next.Delete("a")
	next.If("a", r)
	next.IfAbsent("b")
	next.Put("b", []byte("1"))
	r = commit(t, s, next)
	wantEntries(t, s, "", at("b", "1", r))
}

func testRevisionsGrow(t *testing.T, s store.Store) {
	var last store.Revision
	for i := range 50 {
		var b store.Batch
		if i%3 == 2 {
			b.Delete(fmt.Sprintf("k%d", i-1))
		} else {
			b.Put(fmt.Sprintf("k%d", i), nil)
		}
		r := commit(t, s, b)
		if r <= last || r < 1 {
			t.Fatalf("batch %d has revision %d after %d", i, r, last)
		}
		if _, listed := list(t, s, "none"); listed != r {
			t.Fatalf("listing has revision %d after batch %d", listed, r)
		}
		last = r
	}
}

func testInvalid(t *testing.T, s store.Store) {
	batch := func(fill func(b *store.Batch)) (b store.Batch) {
		fill(&b)
		return b
	}
	ops := func(n int) store.Batch {
		return batch(func(b *store.Batch) {
			for i := range n {
				b.Put(fmt.Sprintf("k%d", i), nil)
			}
		})
	}
	tests := []struct {
		name  string
		batch store.Batch
		want  error
	}{
		{"empty", store.Batch{}, store.ErrInvalid},
		{"only conditions", batch(func(b *store.Batch) { b.IfAbsent("a") }), store.ErrInvalid},
		{"put of an empty key", batch(func(b *store.Batch) { b.Put("", nil) }), store.ErrInvalid},
		{"deletion of an empty key", batch(func(b *store.Batch) { b.Delete("") }), store.ErrInvalid},
		{"condition on an empty key", batch(func(b *store.Batch) { b.IfAbsent(""); b.Put("a", nil) }), store.ErrInvalid},
		{"condition below 0", batch(func(b *store.Batch) { b.If("a", -1); b.Put("a", nil) }), store.ErrInvalid},
		{"a key put twice", batch(func(b *store.Batch) { b.Put("a", nil); b.Put("a", nil) }), store.ErrInvalid},
		{"a key put and deleted", batch(func(b *store.Batch) { b.Put("a", nil); b.Put("b", nil); b.Delete("a") }), store.ErrInvalid},
		{"a key twice among many", batch(func(b *store.Batch) { b.Append(ops(100)); b.Delete("k99") }), store.ErrInvalid},
		{"a key that is not UTF-8", batch(func(b *store.Batch) { b.Put("a\xff", nil) }), store.ErrInvalid},
		{"a condition that is not UTF-8", batch(func(b *store.Batch) { b.IfAbsent("\xc0"); b.Put("a", nil) }), store.ErrInvalid},
		{"too many operations", ops(store.MaxOps + 1), store.ErrTooLarge},
		{"too many with conditions", batch(func(b *store.Batch) { b.IfAbsent("x"); b.Append(ops(store.MaxOps)) }), store.ErrTooLarge},
		{"too long a key", batch(func(b *store.Batch) { b.Put(strings.Repeat("k", store.MaxKeyBytes+1), nil) }), store.ErrTooLarge},
		{"too large a value", batch(func(b *store.Batch) { b.Put("a", make([]byte, store.MaxBytes)) }), store.ErrTooLarge},
		{"too many bytes together", batch(func(b *store.Batch) {
			b.Put("a", make([]byte, store.MaxBytes/2))
			b.Put("b", make([]byte, store.MaxBytes/2))
		}), store.ErrTooLarge},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := s.Commit(ctxOf(t), test.batch)
			wantErr(t, "commit", err, test.want)
			wantEntries(t, s, "")
		})
	}
}

func testLargest(t *testing.T, s store.Store) {
	var many store.Batch
	for i := range store.MaxOps / 2 {
		many.IfAbsent(fmt.Sprintf("m/%03d", i))
		many.Put(fmt.Sprintf("m/%03d", i), []byte("v"))
	}
	commit(t, s, many)
	if entries, _ := list(t, s, "m/"); len(entries) != store.MaxOps/2 {
		t.Errorf("%d entries of a full batch", len(entries))
	}

	value := bytes.Repeat([]byte("large "), store.MaxBytes)[:store.MaxBytes-1]
	var large store.Batch
	large.Put("l", value)
	commit(t, s, large)
	if e, err := s.Get(ctxOf(t), "l"); err != nil || !bytes.Equal(e.Value, value) {
		t.Errorf("a value of %d bytes came back with %d (%v)", len(value), len(e.Value), err)
	}

	// Several at once: a store that groups commits must split them.
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			var b store.Batch
			b.Put(fmt.Sprintf("g/%d", i), value[:len(value)-2])
			if _, err := s.Commit(ctxOf(t), b); err != nil {
				t.Errorf("large batch %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if entries, _ := list(t, s, "g/"); len(entries) != 8 {
		t.Errorf("%d of 8 large batches are there", len(entries))
	}
}

func testContextEnded(t *testing.T, s store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var b store.Batch
	b.Put("a", nil)
	_, err := s.Commit(ctx, b)
	wantErr(t, "commit", err, context.Canceled)
	_, err = s.Get(ctx, "a")
	wantErr(t, "get", err, context.Canceled)
	_, _, err = s.List(ctx, "")
	wantErr(t, "list", err, context.Canceled)
	_, err = s.Watch(ctx, "", 0)
	wantErr(t, "watch", err, context.Canceled)
	wantEntries(t, s, "")
}

func testClose(t *testing.T, s store.Store) {
	r := put(t, s, "a", "1")
	for i := range 2 {
		if err := s.Close(); err != nil {
			t.Errorf("close %d: %v", i+1, err)
		}
	}
	var b store.Batch
	b.Put("a", nil)
	_, err := s.Commit(ctxOf(t), b)
	wantErr(t, "commit", err, store.ErrClosed)
	_, err = s.Get(ctxOf(t), "a")
	wantErr(t, "get", err, store.ErrClosed)
	_, _, err = s.List(ctxOf(t), "")
	wantErr(t, "list", err, store.ErrClosed)
	_, err = s.Watch(ctxOf(t), "", r)
	wantErr(t, "watch", err, store.ErrClosed)
}

// testCloseWhileCommitting has every caller answered when the store closes
// under it: done, or closed and then not done as far as this store can tell.
func testCloseWhileCommitting(t *testing.T, s store.Store) {
	const callers = 8
	started := make(chan struct{}, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for n := 0; ; n++ {
				var b store.Batch
				b.Put(fmt.Sprintf("%d/%d", i, n), nil)
				_, err := s.Commit(ctxOf(t), b)
				if n == 0 {
					started <- struct{}{}
				}
				switch {
				case err == nil:
					continue
				case !errors.Is(err, store.ErrClosed) && !errors.Is(err, store.ErrUnknown):
					t.Errorf("commit while closing: %v", err)
				}
				return
			}
		})
	}
	for range callers {
		<-started
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	wg.Wait()
}
