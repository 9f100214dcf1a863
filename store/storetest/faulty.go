package storetest

import (
	"context"
	"errors"
	"sync"

	"berth/store"
)

// Fault is what happens to a commit instead of its success.
type Fault int

const (
	// UnknownApplied applies the batch and answers ErrUnknown.
	UnknownApplied Fault = iota + 1

	// UnknownLost does not apply the batch and answers ErrUnknown.
	UnknownLost

	// Conflict does not apply the batch and answers a ConflictError with the
	// key of its first condition, or of its first operation if it has none.
	Conflict

	// NoSpace does not apply the batch and answers ErrNoSpace.
	NoSpace
)

// ErrStopped is what a store answers after StopAfter. It is ErrClosed.
var ErrStopped error = stopped{}

type stopped struct{}

func (stopped) Error() string        { return "stopped by the test" }
func (stopped) Is(target error) bool { return target == store.ErrClosed }

// Faulty wraps a store, counts its commits and lets chosen ones fail, wait, or
// be the last thing that happens. What is not chosen goes through unchanged.
type Faulty struct {
	store.Store

	mu      sync.Mutex
	commits int
	faults  map[int]Fault
	last    int // of the commits that get through; below 0: all
	gate    chan struct{}
	blocked int
	changed chan struct{} // closed and made anew when blocked changes
}

var _ store.Store = (*Faulty)(nil)

// NewFaulty wraps s.
func NewFaulty(s store.Store) *Faulty {
	return &Faulty{Store: s, faults: make(map[int]Fault), last: -1, changed: make(chan struct{})}
}

// Commits is the number of commits asked for, the failed ones included.
func (f *Faulty) Commits() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.commits
}

// FailCommit lets the nth commit fail, counted from 1 since NewFaulty.
func (f *Faulty) FailCommit(n int, fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults[n] = fault
}

// StopAfter makes the store answer ErrStopped to everything, except Close, once
// n commits have been asked for, as if its process had died then.
func (f *Faulty) StopAfter(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last = n
}

// Block makes commits wait before they reach the store, until release is called.
func (f *Faulty) Block() (release func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	gate := make(chan struct{})
	f.gate = gate
	return sync.OnceFunc(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.gate == gate {
			f.gate = nil
		}
		close(gate)
	})
}

// AwaitBlocked waits until at least n commits wait, or ctx ends.
func (f *Faulty) AwaitBlocked(ctx context.Context, n int) error {
	for {
		f.mu.Lock()
		enough, changed := f.blocked >= n, f.changed
		f.mu.Unlock()
		if enough {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (f *Faulty) addBlockedLocked(n int) {
	f.blocked += n
	close(f.changed)
	f.changed = make(chan struct{})
}

// wait waits at the gate if there is one.
func (f *Faulty) wait(ctx context.Context) error {
	f.mu.Lock()
	gate := f.gate
	if gate != nil {
		f.addBlockedLocked(1)
	}
	f.mu.Unlock()
	if gate == nil {
		return nil
	}
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.addBlockedLocked(-1)
	}()
	select {
	case <-gate:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Commit implements store.Store.
func (f *Faulty) Commit(ctx context.Context, batch store.Batch) (store.Revision, error) {
	f.mu.Lock()
	if f.stoppedLocked() {
		f.mu.Unlock()
		return 0, ErrStopped
	}
	f.commits++
	fault := f.faults[f.commits]
	f.mu.Unlock()

	if err := f.wait(ctx); err != nil {
		return 0, err
	}
	switch fault {
	case UnknownApplied:
		if _, err := f.Store.Commit(ctx, batch); err != nil && !errors.Is(err, store.ErrUnknown) {
			return 0, err
		}
		return 0, store.ErrUnknown
	case UnknownLost:
		return 0, store.ErrUnknown
	case NoSpace:
		return 0, store.ErrNoSpace
	case Conflict:
		switch {
		case len(batch.Conditions) > 0:
			return 0, &store.ConflictError{Key: batch.Conditions[0].Key}
		case len(batch.Ops) > 0:
			return 0, &store.ConflictError{Key: batch.Ops[0].Key}
		}
	}
	return f.Store.Commit(ctx, batch)
}

func (f *Faulty) stoppedLocked() bool { return f.last >= 0 && f.commits >= f.last }

func (f *Faulty) check() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stoppedLocked() {
		return ErrStopped
	}
	return nil
}

// Get implements store.Store.
func (f *Faulty) Get(ctx context.Context, key string) (store.Entry, error) {
	if err := f.check(); err != nil {
		return store.Entry{}, err
	}
	return f.Store.Get(ctx, key)
}

// List implements store.Store.
func (f *Faulty) List(ctx context.Context, prefix string) ([]store.Entry, store.Revision, error) {
	if err := f.check(); err != nil {
		return nil, 0, err
	}
	return f.Store.List(ctx, prefix)
}

// Watch implements store.Store.
func (f *Faulty) Watch(ctx context.Context, prefix string, after store.Revision) (store.Watcher, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	return f.Store.Watch(ctx, prefix, after)
}
