package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"berth/store"
)

func watch(t *testing.T, s store.Store, prefix string, after store.Revision) store.Watcher {
	t.Helper()
	w, err := s.Watch(ctxOf(t), prefix, after)
	if err != nil {
		t.Fatalf("watch %q after %d: %v", prefix, after, err)
	}
	return w
}

// next returns the next n events, written as entries, with key-@revision for a
// deletion.
func next(t *testing.T, w store.Watcher, n int) []string {
	t.Helper()
	var got []string
	for range n {
		e, err := w.Next(ctxOf(t))
		if err != nil {
			t.Fatalf("next after %q: %v", got, err)
		}
		got = append(got, formatEvent(e))
	}
	return got
}

func formatEvent(e store.Event) string {
	if !e.Deleted {
		return format(e.Entry)
	}
	if e.Value != nil {
		return fmt.Sprintf("%s-@%d with a value", e.Key, e.Revision)
	}
	return gone(e.Key, e.Revision)
}

func gone(key string, r store.Revision) string { return fmt.Sprintf("%s-@%d", key, r) }

func wantNext(t *testing.T, w store.Watcher, want ...string) {
	t.Helper()
	if got := next(t, w, len(want)); !slices.Equal(got, want) {
		t.Errorf("watch:\n got %q\nwant %q", got, want)
	}
}

func now(t *testing.T, s store.Store) store.Revision {
	t.Helper()
	_, r := list(t, s, "none")
	return r
}

// testWatchOrder has the changes of several batches: in the order of the
// batches, all of each, and in the order of its operations or its keys, which
// are the same here. Deleting what is not there is no change.
func testWatchOrder(t *testing.T, s store.Store) {
	w := watch(t, s, "", now(t, s))
	r1 := put(t, s, "a", "1", "b", "1", "c", "1")
	var b store.Batch
	b.Put("a", []byte("2"))
	b.Delete("b")
	b.Delete("bb")
	b.Put("d", []byte("2"))
	r2 := commit(t, s, b)
	r3 := del(t, s, "a")
	wantNext(t, w, at("a", "1", r1), at("b", "1", r1), at("c", "1", r1),
		at("a", "2", r2), gone("b", r2), at("d", "2", r2), gone("a", r3))
}

func testWatchFrom(t *testing.T, s store.Store) {
	r0 := now(t, s)
	r1 := put(t, s, "a", "1", "b", "1")
	r2 := put(t, s, "a", "2")
	r3 := put(t, s, "a", "3")
	tests := []struct {
		after store.Revision
		want  []string
	}{
		{r0, []string{at("a", "1", r1), at("b", "1", r1), at("a", "2", r2), at("a", "3", r3)}},
		{r1, []string{at("a", "2", r2), at("a", "3", r3)}},
		{r2, []string{at("a", "3", r3)}},
		{r3, nil},
	}
	for _, test := range tests {
		wantNext(t, watch(t, s, "", test.after), test.want...)
	}
	w := watch(t, s, "", r3)
	r4 := put(t, s, "a", "4")
	wantNext(t, w, at("a", "4", r4))
}

// testWatchFromListing follows a store that changes meanwhile: a listing and
// the changes after it give what is there in the end.
func testWatchFromListing(t *testing.T, s store.Store) {
	const writers, writes = 4, 50
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for n := range writes {
				var b store.Batch
				b.Put(fmt.Sprintf("k/%d", (i+n)%7), fmt.Appendf(nil, "%d-%d", i, n))
				b.Delete(fmt.Sprintf("k/%d", (i+n+3)%7))
				if _, err := s.Commit(ctxOf(t), b); err != nil {
					t.Errorf("commit: %v", err)
					return
				}
			}
		})
	}
	entries, r := list(t, s, "k/")
	w := watch(t, s, "k/", r)
	seen := make(map[string]string)
	for _, e := range entries {
		seen[e.Key] = format(e)
	}
	wg.Wait()
	put(t, s, "k/end", "end")
	for {
		e, err := w.Next(ctxOf(t))
		if err != nil {
			t.Fatal(err)
		}
		if e.Key == "k/end" {
			break
		}
		if e.Deleted {
			delete(seen, e.Key)
		} else {
			seen[e.Key] = format(e.Entry)
		}
	}
	del(t, s, "k/end")
	var want []string
	for _, line := range seen {
		want = append(want, line)
	}
	slices.SortFunc(want, func(a, b string) int { return strings.Compare(a, b) })
	wantEntries(t, s, "k/", want...)
}

func testWatchPrefix(t *testing.T, s store.Store) {
	w := watch(t, s, "a/", now(t, s))
	put(t, s, "a", "no", "b/1", "no")
	r1 := put(t, s, "a/1", "yes", "aa", "no", "a/2", "yes")
	put(t, s, "b/1", "no")
	r2 := del(t, s, "a/1", "aa")
	wantNext(t, w, at("a/1", "yes", r1), at("a/2", "yes", r1), gone("a/1", r2))
}

func testWatchFuture(t *testing.T, s store.Store) {
	r1 := put(t, s, "a", "1")
	w := watch(t, s, "", r1+2)
	var later []string
	for range 4 {
		r := put(t, s, "a", "x")
		if r > r1+2 {
			later = append(later, at("a", "x", r))
		}
	}
	wantNext(t, w, later...)
}

func testWatchValues(t *testing.T, s store.Store) {
	r0 := now(t, s)
	r := put(t, s, "a", "value")
	for range 2 {
		e, err := watch(t, s, "a", r0).Next(ctxOf(t))
		if err != nil {
			t.Fatal(err)
		}
		if format(e.Entry) != at("a", "value", r) {
			t.Errorf("event %s", format(e.Entry))
		}
		copy(e.Value, "spoil")
	}
	wantEntries(t, s, "a", at("a", "value", r))
}

// testWatchCompacted writes until the first changes are no longer kept.
func testWatchCompacted(t *testing.T, s store.Store) {
	r0 := now(t, s)
	behind := watch(t, s, "", r0)
	idle := watch(t, s, "other", r0) // waits all the time
	idleSaw := make(chan error, 1)
	idleCtx := ctxOf(t)
	go func() {
		_, err := idle.Next(idleCtx)
		idleSaw <- err
	}()
	value := make([]byte, 64<<10)
	compacted := false
	for i := 0; i < 2000 && !compacted; i++ {
		var b store.Batch
		b.Put("k", value)
		commit(t, s, b)
		_, err := s.Watch(ctxOf(t), "", r0)
		if compacted = errors.Is(err, store.ErrCompacted); err != nil && !compacted {
			t.Fatal(err)
		}
	}
	if !compacted {
		t.Skip("this store keeps more changes than this test makes")
	}
	_, err := behind.Next(ctxOf(t))
	wantErr(t, "a watcher that fell behind", err, store.ErrCompacted)
	r := now(t, s)
	w := watch(t, s, "", r)
	r = put(t, s, "other", "x")
	wantNext(t, w, at("other", "x", r))
	if err := <-idleSaw; err != nil && !errors.Is(err, store.ErrCompacted) {
		t.Errorf("a watcher that waited: %v", err)
	}
}

func testWatchEnds(t *testing.T, s store.Store) {
	r := put(t, s, "a", "1")
	waiting := func(ctx, own context.Context) <-chan error {
		w, err := s.Watch(own, "", r)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() {
			_, err := w.Next(ctx)
			ended <- err
		}()
		return ended
	}
	ctx, cancel := context.WithCancel(ctxOf(t))
	byNext, byWatch, byClose := waiting(ctx, ctxOf(t)), waiting(ctxOf(t), ctx), waiting(ctxOf(t), ctxOf(t))
	open := watch(t, s, "", r)
	cancel()
	wantErr(t, "next with an ended context", <-byNext, context.Canceled)
	wantErr(t, "a watch with an ended context", <-byWatch, context.Canceled)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantErr(t, "a watch of a store that closed", <-byClose, store.ErrClosed)
	_, err := open.Next(ctxOf(t))
	wantErr(t, "next after close", err, store.ErrClosed)
}

// testWatchConcurrent has several watchers and writers: all see the same
// changes in the same order, without a gap, batches whole.
func testWatchConcurrent(t *testing.T, s store.Store) {
	const watchers, writers, writes = 3, 4, 40
	r0 := now(t, s)
	seen := make([][]string, watchers)
	var watching, writing sync.WaitGroup
	for i := range watchers {
		w := watch(t, s, "w/", r0)
		watching.Go(func() {
			for range 2 * writers * writes {
				e, err := w.Next(ctxOf(t))
				if err != nil {
					t.Errorf("next: %v", err)
					return
				}
				seen[i] = append(seen[i], formatEvent(e))
			}
		})
	}
	for i := range writers {
		writing.Go(func() {
			for n := range writes {
				var b store.Batch
				b.Put(fmt.Sprintf("w/%d/a", i), fmt.Append(nil, n))
				b.Put(fmt.Sprintf("w/%d/b", i), fmt.Append(nil, n))
				b.Put(fmt.Sprintf("x/%d", i), nil)
				if _, err := s.Commit(ctxOf(t), b); err != nil {
					t.Errorf("commit: %v", err)
				}
			}
		})
	}
	writing.Wait()
	watching.Wait()
	for i := range watchers {
		if !slices.Equal(seen[i], seen[0]) {
			t.Errorf("watchers 0 and %d saw different changes", i)
		}
	}
	next := make(map[string]int)
	for pair := range slices.Chunk(seen[0], 2) {
		var writer, n, m int
		var ra, rb store.Revision
		if _, err := fmt.Sscanf(strings.Join(pair, " "), "w/%d/a=%d@%d w/"+pair[0][2:3]+"/b=%d@%d", &writer, &n, &ra, &m, &rb); err != nil {
			t.Fatalf("changes %q are not those of a batch: %v", pair, err)
		}
		key := fmt.Sprint(writer)
		if n != m || ra != rb || n != next[key] {
			t.Fatalf("changes %q: want number %d of writer %s twice, at one revision", pair, next[key], key)
		}
		next[key]++
	}
}
