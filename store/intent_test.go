package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"berth/store"
	"berth/store/storetest"
)

// contents is what is there, key to value.
func contents(t *testing.T, s store.Store) map[string]string {
	t.Helper()
	entries, _, err := s.List(context.Background(), "")
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	for _, e := range entries {
		all[e.Key] = string(e.Value)
	}
	return all
}

// work is a store with something in it, a batch that has to be split, and what
// the store holds when the batch was applied.
func work(t *testing.T) (s *storetest.Memory, batch store.Batch, before, after map[string]string) {
	t.Helper()
	s = storetest.NewMemory()
	var revision store.Revision
	for i := range 200 {
		var b store.Batch
		b.Put(fmt.Sprintf("old/%03d", i), fmt.Appendf(nil, "old %d", i))
		r, err := s.Commit(context.Background(), b)
		if err != nil {
			t.Fatal(err)
		}
		if i == 7 {
			revision = r
		}
	}
	before = contents(t, s)
	after = maps.Clone(before)
	change := func(key, value string) {
		batch.Put(key, []byte(value))
		after[key] = value
	}
	for i := range 100 {
		change(fmt.Sprintf("old/%03d", i), fmt.Sprintf("new %d", i))
		change(fmt.Sprintf("new/%03d", i), "new")
	}
	for i := range 60 {
		key := fmt.Sprintf("old/%03d", 120+i)
		batch.Delete(key)
		delete(after, key)
		batch.Delete(fmt.Sprintf("absent/%03d", i))
		batch.IfAbsent(fmt.Sprintf("never/%03d", i))
	}
	change("old/190", before["old/190"]) // the value it has already
	batch.If("old/007", revision)
	batch.IfAbsent("new/003")
	return s, batch, before, after
}

// commits is how many commits work takes.
func commits(t *testing.T) int {
	t.Helper()
	s, batch, _, after := work(t)
	f := storetest.NewFaulty(s)
	if err := store.CommitAll(t.Context(), f, "test", batch); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, s); !maps.Equal(got, after) {
		t.Fatalf("after CommitAll: %v, want %v", got, after)
	}
	if f.Commits() < 8 {
		t.Fatalf("only %d commits: the work is not large", f.Commits())
	}
	return f.Commits()
}

// recovered runs Recover until it ends, each time stopped after one more
// commit if interrupted is set, and returns what is there then.
func recovered(t *testing.T, s store.Store, interrupted bool) map[string]string {
	t.Helper()
	if interrupted {
		for k := 1; ; k++ {
			f := storetest.NewFaulty(s)
			f.StopAfter(k % 3) // 0: it cannot even list
			_, err := store.Recover(t.Context(), f, "test")
			if err != nil && !errors.Is(err, storetest.ErrStopped) {
				t.Fatalf("interrupted recovery: %v", err)
			}
			if k > 60 {
				break
			}
		}
	}
	if _, err := store.Recover(t.Context(), s, "test"); err != nil {
		t.Fatalf("recover: %v", err)
	}
	if undone, err := store.Recover(t.Context(), s, "test"); undone != 0 || err != nil {
		t.Fatalf("recover again: %d undone, %v", undone, err)
	}
	return contents(t, s)
}

// TestCommitAllFaults ends or disturbs the work at each of its commits.
func TestCommitAllFaults(t *testing.T) {
	total := commits(t)
	faults := []struct {
		name   string
		inject func(f *storetest.Faulty, k int)
		want   error
	}{
		{"stopped", func(f *storetest.Faulty, k int) { f.StopAfter(k) }, store.ErrClosed},
		{"unknown, applied", func(f *storetest.Faulty, k int) { f.FailCommit(k, storetest.UnknownApplied) }, store.ErrUnknown},
		{"unknown, lost", func(f *storetest.Faulty, k int) { f.FailCommit(k, storetest.UnknownLost) }, store.ErrUnknown},
		{"unknown, applied, and stopped", func(f *storetest.Faulty, k int) {
			f.FailCommit(k, storetest.UnknownApplied)
			f.StopAfter(k)
		}, store.ErrUnknown},
		{"conflict", func(f *storetest.Faulty, k int) { f.FailCommit(k, storetest.Conflict) }, store.ErrConflict},
		{"conflict, and stopped after two commits", func(f *storetest.Faulty, k int) {
			f.FailCommit(k, storetest.Conflict)
			f.StopAfter(k + 2)
		}, nil},
		{"conflict, and the undoing unknown, applied", func(f *storetest.Faulty, k int) {
			f.FailCommit(k, storetest.Conflict)
			f.FailCommit(k+2, storetest.UnknownApplied)
		}, nil},
		{"conflict, and the undoing unknown, lost", func(f *storetest.Faulty, k int) {
			f.FailCommit(k, storetest.Conflict)
			f.FailCommit(k+2, storetest.UnknownLost)
		}, nil},
	}
	for _, fault := range faults {
		for _, interrupted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, recovery interrupted %v", fault.name, interrupted), func(t *testing.T) {
				for k := 1; k <= total; k++ {
					s, batch, before, after := work(t)
					f := storetest.NewFaulty(s)
					fault.inject(f, k)
					err := store.CommitAll(t.Context(), f, "test", batch)
					if fault.want != nil && err != nil && !errors.Is(err, fault.want) {
						t.Errorf("commit %d: error %v, want %v", k, err, fault.want)
					}
					if fault.want == store.ErrConflict && errors.Is(err, store.ErrConflict) {
						if got := contents(t, s); !maps.Equal(visible(got), before) {
							t.Errorf("commit %d: a conflict left changes", k)
						}
					}
					got := recovered(t, s, interrupted)
					switch whole, nothing := maps.Equal(got, after), maps.Equal(got, before); {
					case whole && nothing:
						t.Fatal("the work changes nothing")
					case !whole && !nothing:
						t.Errorf("commit %d of %d (%v): half done", k, total, err)
					case err == nil && !whole:
						t.Errorf("commit %d of %d: done was answered, but nothing is there", k, total)
					case errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrUnknown) && whole:
						t.Errorf("commit %d of %d: a conflict was answered, but all is there", k, total)
					}
				}
			})
		}
	}
}

// visible leaves out what belongs to intents.
func visible(all map[string]string) map[string]string {
	maps.DeleteFunc(all, func(key, _ string) bool { return strings.HasPrefix(key, "intents/") })
	return all
}

func TestCommitAllSmall(t *testing.T) {
	f := storetest.NewFaulty(storetest.NewMemory())
	var b store.Batch
	for i := range store.MaxOps {
		b.Put(fmt.Sprintf("k%d", i), nil)
	}
	if err := store.CommitAll(t.Context(), f, "test", b); err != nil {
		t.Fatal(err)
	}
	if f.Commits() != 1 {
		t.Errorf("%d commits for a batch that fits", f.Commits())
	}
}

func TestCommitAllRefused(t *testing.T) {
	many := func(n int) (b store.Batch) {
		for i := range n {
			b.Put(fmt.Sprintf("k%d", i), nil)
		}
		return b
	}
	tests := []struct {
		name  string
		scope string
		batch func() store.Batch
		want  error
	}{
		{"empty", "test", func() store.Batch { return store.Batch{} }, store.ErrInvalid},
		{"scope with a slash", "a/b", func() store.Batch { return many(1) }, store.ErrInvalid},
		{"no scope", "", func() store.Batch { return many(1) }, store.ErrInvalid},
		{"many conditions, no operation", "test", func() (b store.Batch) {
			for i := range 200 {
				b.IfAbsent(fmt.Sprint(i))
			}
			return b
		}, store.ErrInvalid},
		{"a key twice", "test", func() store.Batch { b := many(300); b.Delete("k7"); return b }, store.ErrInvalid},
		{"an empty key", "test", func() store.Batch { b := many(300); b.Delete(""); return b }, store.ErrInvalid},
		{"too large a value", "test", func() store.Batch { b := many(300); b.Put("x", make([]byte, store.MaxBytes)); return b }, store.ErrTooLarge},
		{"a condition on a changed key", "test", func() store.Batch { b := many(300); b.If("k5", 77); return b }, store.ErrConflict},
		{"a condition on another key", "test", func() store.Batch { b := many(300); b.IfAbsent("there"); return b }, store.ErrConflict},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := storetest.NewMemory()
			var there store.Batch
			there.Put("there", nil)
			if _, err := s.Commit(t.Context(), there); err != nil {
				t.Fatal(err)
			}
			before := contents(t, s)
			if err := store.CommitAll(t.Context(), s, test.scope, test.batch()); !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
			if got := contents(t, s); !maps.Equal(got, before) {
				t.Errorf("changed: %v", got)
			}
		})
	}
}

// TestCommitAllManyBytes has few operations and many bytes, old and new.
func TestCommitAllManyBytes(t *testing.T) {
	s := storetest.NewMemory()
	var old, b store.Batch
	for i := range 7 {
		key := fmt.Sprint("k", i)
		old = store.Batch{}
		old.Put(key, bytes.Repeat([]byte("o"), store.MaxBytes-1000))
		if _, err := s.Commit(t.Context(), old); err != nil {
			t.Fatal(err)
		}
		b.Put(key, bytes.Repeat([]byte("n"), store.MaxBytes-2000))
	}
	before := contents(t, s)
	f := storetest.NewFaulty(s)
	f.StopAfter(11) // seven plans, the head with the last of them, four chunks
	if err := store.CommitAll(t.Context(), f, "test", b); !errors.Is(err, storetest.ErrStopped) {
		t.Fatal(err)
	}
	if maps.Equal(visible(contents(t, s)), before) {
		t.Fatal("nothing was applied before the stop")
	}
	if undone, err := store.Recover(t.Context(), s, "test"); undone != 1 || err != nil {
		t.Fatalf("recover: %d, %v", undone, err)
	}
	if !maps.Equal(contents(t, s), before) {
		t.Error("not as before")
	}
	if err := store.CommitAll(t.Context(), s, "test", b); err != nil {
		t.Fatal(err)
	}
	for key, value := range contents(t, s) {
		if value[0] != 'n' {
			t.Errorf("%s is old", key)
		}
	}
}

// TestConflictHalfWay has somebody else change a key of the last chunk while
// the chunks before it are applied, and one of the first chunk after that.
func TestConflictHalfWay(t *testing.T) {
	s, batch, before, _ := work(t)
	meddler := &meddling{Store: s, after: 4, put: map[string]string{"old/179": "theirs", "old/000": "theirs"}}
	err := store.CommitAll(t.Context(), meddler, "test", batch)
	var conflict *store.ConflictError
	if !errors.As(err, &conflict) || conflict.Key != "old/179" {
		t.Fatalf("error %v", err)
	}
	want := maps.Clone(before)
	maps.Copy(want, meddler.put)
	if got := contents(t, s); !maps.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

// TestRecoverWhileWorking has another process recover the scope: the work
// cannot go on, and nothing of it is left.
func TestRecoverWhileWorking(t *testing.T) {
	s, batch, before, _ := work(t)
	meddler := &meddling{Store: s, after: 4, do: func() {
		if undone, err := store.Recover(context.Background(), s, "test"); undone != 1 || err != nil {
			t.Errorf("recover: %d, %v", undone, err)
		}
	}}
	if err := store.CommitAll(t.Context(), meddler, "test", batch); !errors.Is(err, store.ErrConflict) {
		t.Errorf("error %v, want a conflict", err)
	}
	if got := contents(t, s); !maps.Equal(got, before) {
		t.Errorf("not as before: %v", got)
	}
}

// TestCommitAllContextEnds has the context end half way.
func TestCommitAllContextEnds(t *testing.T) {
	s, batch, before, _ := work(t)
	ctx, cancel := context.WithCancel(t.Context())
	meddler := &meddling{Store: s, after: 4, do: cancel}
	if err := store.CommitAll(ctx, meddler, "test", batch); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if got := contents(t, s); !maps.Equal(got, before) {
		t.Errorf("not as before: %v", got)
	}
}

// TestRecoverScopes recovers only its own scope.
func TestRecoverScopes(t *testing.T) {
	s, batch, before, _ := work(t)
	f := storetest.NewFaulty(s)
	f.StopAfter(5)
	if err := store.CommitAll(t.Context(), f, "one", batch); !errors.Is(err, storetest.ErrStopped) {
		t.Fatal(err)
	}
	if undone, err := store.Recover(t.Context(), s, "on"); undone != 0 || err != nil {
		t.Errorf("another scope: %d undone, %v", undone, err)
	}
	if undone, err := store.Recover(t.Context(), s, "one"); undone != 1 || err != nil {
		t.Errorf("its scope: %d undone, %v", undone, err)
	}
	if got := contents(t, s); !maps.Equal(got, before) {
		t.Errorf("not as before: %v", got)
	}
}

// TestRecoverBadIntent has an intent that cannot be read beside a good one.
func TestRecoverBadIntent(t *testing.T) {
	s, batch, before, _ := work(t)
	var bad store.Batch
	bad.Put("intents/test/0bad", []byte("1"))
	bad.Put("intents/test/0bad/done/000000", nil)
	bad.Put("intents/test/0bad/plan/000000", []byte{1, 200, 1})
	if _, err := s.Commit(t.Context(), bad); err != nil {
		t.Fatal(err)
	}
	f := storetest.NewFaulty(s)
	f.StopAfter(5)
	if err := store.CommitAll(t.Context(), f, "test", batch); !errors.Is(err, storetest.ErrStopped) {
		t.Fatal(err)
	}
	undone, err := store.Recover(t.Context(), s, "test")
	if undone != 1 || err == nil || !strings.Contains(err.Error(), "0bad") {
		t.Errorf("%d undone, error %v", undone, err)
	}
	if got := visible(contents(t, s)); !maps.Equal(got, before) {
		t.Errorf("not as before: %v", slices.Sorted(maps.Keys(got)))
	}
}

// meddling does something, or puts some keys, after a number of commits.
type meddling struct {
	store.Store
	after int
	put   map[string]string
	do    func()
}

func (m *meddling) Commit(ctx context.Context, b store.Batch) (store.Revision, error) {
	r, err := m.Store.Commit(ctx, b)
	if m.after--; m.after == 0 {
		for key, value := range m.put {
			var theirs store.Batch
			theirs.Put(key, []byte(value))
			if _, err := m.Store.Commit(ctx, theirs); err != nil {
				return 0, err
			}
		}
		if m.do != nil {
			m.do()
		}
	}
	return r, err
}
