package feed_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"berth/store"
	"berth/store/internal/feed"
)

func event(key string, r store.Revision, bytes int) store.Event {
	return store.Event{Entry: store.Entry{Key: key, Value: make([]byte, bytes), Revision: r}}
}

// TestBounds looks at what is kept: by number, by bytes, and both, with batches
// of three changes.
func TestBounds(t *testing.T) {
	tests := []struct {
		name    string
		opts    feed.Options
		batches int
		bytes   int            // of a value
		oldest  store.Revision // that can be watched from
	}{
		{"all", feed.Options{Events: 100}, 5, 1, 10},
		{"exactly full", feed.Options{Events: 15}, 5, 1, 10},
		{"one batch dropped", feed.Options{Events: 12}, 5, 1, 11},
		{"half a batch dropped is a batch dropped", feed.Options{Events: 13}, 5, 1, 11},
		{"many times around", feed.Options{Events: 7}, 1000, 1, 1008},
		{"by bytes", feed.Options{Events: 100, Bytes: 305}, 5, 99, 14},
		{"nothing fits", feed.Options{Events: 100, Bytes: 50}, 5, 99, 15},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := feed.New(10, test.opts)
			last := store.Revision(10 + test.batches)
			for r := store.Revision(11); r <= last; r++ {
				f.Publish([]store.Event{event("a", r, test.bytes), event("b", r, test.bytes), event("c", r, test.bytes)})
			}
			if _, err := f.Watch(t.Context(), "", test.oldest-1); !errors.Is(err, store.ErrCompacted) {
				t.Errorf("watch after %d: %v", test.oldest-1, err)
			}
			w, err := f.Watch(t.Context(), "", test.oldest)
			if err != nil {
				t.Fatalf("watch after %d: %v", test.oldest, err)
			}
			for r := test.oldest + 1; r <= last; r++ {
				for _, key := range []string{"a", "b", "c"} {
					e, err := w.Next(t.Context())
					if err != nil || e.Key != key || e.Revision != r {
						t.Fatalf("got %s of %d (%v), want %s of %d", e.Key, e.Revision, err, key, r)
					}
				}
			}
		})
	}
}

// TestIdleWatcherKeepsUp has a watcher wait for a key while more changes of
// other keys go by than are kept.
func TestIdleWatcherKeepsUp(t *testing.T) {
	f := feed.New(0, feed.Options{Events: 4})
	w, err := f.Watch(t.Context(), "mine/", 0)
	if err != nil {
		t.Fatal(err)
	}
	// Next with a context that ends at once leaves it waiting, as far as the
	// feed knows, without another goroutine.
	ctx := &endsWhenAsked{Context: t.Context()}
	if _, err := w.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	r := store.Revision(0)
	for range 100 {
		r++
		f.Publish([]store.Event{event(fmt.Sprint("other/", r), r, 1)})
	}
	r++
	f.Publish([]store.Event{event("mine/a", r, 1)})
	if e, err := w.Next(t.Context()); err != nil || e.Revision != r {
		t.Errorf("got %v, %v", e, err)
	}
	for range 5 {
		r++
		f.Publish([]store.Event{event("mine/b", r, 1)})
	}
	if _, err := w.Next(t.Context()); !errors.Is(err, store.ErrCompacted) {
		t.Errorf("a watcher that was busy: %v", err)
	}
}

// endsWhenAsked has ended from the second time that somebody looks.
type endsWhenAsked struct {
	context.Context
	asked int
}

var ended = func() <-chan struct{} { c := make(chan struct{}); close(c); return c }()

func (c *endsWhenAsked) Done() <-chan struct{} { return ended }

func (c *endsWhenAsked) Err() error {
	if c.asked++; c.asked > 1 {
		return context.Canceled
	}
	return nil
}

func TestClose(t *testing.T) {
	f := feed.New(0, feed.Options{})
	w, err := f.Watch(t.Context(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	f.Close()
	f.Publish([]store.Event{event("a", 1, 1)})
	if _, err := w.Next(t.Context()); !errors.Is(err, store.ErrClosed) {
		t.Errorf("next: %v", err)
	}
	if _, err := f.Watch(t.Context(), "", 0); !errors.Is(err, store.ErrClosed) {
		t.Errorf("watch: %v", err)
	}
}

// A feed that was reset sends who watches back to the store, and serves who
// watches from then on.
func TestReset(t *testing.T) {
	t.Parallel()
	event := func(r store.Revision) []store.Event {
		return []store.Event{{Entry: store.Entry{Key: "k", Revision: r}}}
	}
	f := feed.New(0, feed.Options{Events: 3})
	f.Publish(event(1))
	behind, err := f.Watch(t.Context(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	waiting, err := f.Watch(t.Context(), "", 1)
	if err != nil {
		t.Fatal(err)
	}
	answer := make(chan error)
	go func() {
		_, err := waiting.Next(t.Context())
		answer <- err
	}()
	f.Reset(5)
	if err := <-answer; !errors.Is(err, store.ErrCompacted) {
		t.Errorf("who waited: %v", err)
	}
	if _, err := behind.Next(t.Context()); !errors.Is(err, store.ErrCompacted) {
		t.Errorf("who was behind: %v", err)
	}
	if _, err := f.Watch(t.Context(), "", 4); !errors.Is(err, store.ErrCompacted) {
		t.Errorf("a watch from before: %v", err)
	}
	w, err := f.Watch(t.Context(), "", 5)
	if err != nil {
		t.Fatal(err)
	}
	for r := store.Revision(6); r < 14; r++ {
		f.Publish(event(r))
		if e, err := w.Next(t.Context()); err != nil || e.Revision != r {
			t.Errorf("change %d: %+v, %v", r, e, err)
		}
	}
}
