package storetest_test

import (
	"context"
	"errors"
	"testing"

	"berth/store"
	"berth/store/storetest"
)

func batch(key string) (b store.Batch) {
	b.IfAbsent(key)
	b.Put(key, []byte("v"))
	return b
}

func there(t *testing.T, s store.Store, key string) bool {
	t.Helper()
	_, err := s.Get(context.Background(), key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

func TestFaults(t *testing.T) {
	tests := []struct {
		name    string
		fault   storetest.Fault
		want    error
		applied bool
	}{
		{"unknown, applied", storetest.UnknownApplied, store.ErrUnknown, true},
		{"unknown, lost", storetest.UnknownLost, store.ErrUnknown, false},
		{"conflict", storetest.Conflict, store.ErrConflict, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := storetest.NewMemory()
			f := storetest.NewFaulty(m)
			f.FailCommit(2, test.fault)
			for n, key := range []string{"a", "b", "c"} {
				_, err := f.Commit(t.Context(), batch(key))
				want := error(nil)
				if n == 1 {
					want = test.want
				}
				if !errors.Is(err, want) {
					t.Errorf("commit %d: %v, want %v", n+1, err, want)
				}
			}
			if !there(t, m, "a") || there(t, m, "b") != test.applied || !there(t, m, "c") {
				t.Errorf("a %v, b %v, c %v", there(t, m, "a"), there(t, m, "b"), there(t, m, "c"))
			}
			if f.Commits() != 3 {
				t.Errorf("%d commits", f.Commits())
			}
		})
	}
}

func TestStopAfter(t *testing.T) {
	m := storetest.NewMemory()
	f := storetest.NewFaulty(m)
	f.StopAfter(1)
	if _, err := f.Commit(t.Context(), batch("a")); err != nil {
		t.Fatal(err)
	}
	_, commitErr := f.Commit(t.Context(), batch("b"))
	_, getErr := f.Get(t.Context(), "a")
	_, _, listErr := f.List(t.Context(), "")
	_, watchErr := f.Watch(t.Context(), "", 0)
	for _, err := range []error{commitErr, getErr, listErr, watchErr} {
		if !errors.Is(err, storetest.ErrStopped) || !errors.Is(err, store.ErrClosed) {
			t.Errorf("after the stop: %v", err)
		}
	}
	if !there(t, m, "a") || there(t, m, "b") {
		t.Errorf("a %v, b %v", there(t, m, "a"), there(t, m, "b"))
	}
}

func TestBlock(t *testing.T) {
	m := storetest.NewMemory()
	f := storetest.NewFaulty(m)
	release := f.Block()
	answers := make(chan error, 2)
	for _, key := range []string{"a", "b"} {
		go func() {
			_, err := f.Commit(context.Background(), batch(key))
			answers <- err
		}()
	}
	if err := f.AwaitBlocked(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if there(t, m, "a") || there(t, m, "b") {
		t.Error("a blocked commit got through")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Commit(ctx, batch("c")); !errors.Is(err, context.Canceled) {
		t.Errorf("a blocked commit whose context ends: %v", err)
	}
	release()
	release()
	for range 2 {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	if !there(t, m, "a") || !there(t, m, "b") || there(t, m, "c") {
		t.Error("not what was let go")
	}
	if _, err := f.Commit(t.Context(), batch("d")); err != nil {
		t.Errorf("after the release: %v", err)
	}
}
