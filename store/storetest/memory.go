package storetest

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"berth/store"
	"berth/store/internal/feed"
)

// Memory is a store that lives in memory and ends with its process.
type Memory struct {
	feed *feed.Feed

	mu       sync.RWMutex
	entries  map[string]store.Entry
	revision store.Revision
	closed   bool
}

var _ store.Store = (*Memory)(nil)

// NewMemory returns an empty store in memory.
func NewMemory() *Memory {
	return &Memory{feed: feed.New(0, feed.Options{}), entries: make(map[string]store.Entry)}
}

// check answers for a context that has ended and a closed store.
func (m *Memory) checkLocked(ctx context.Context) error {
	if m.closed {
		return store.ErrClosed
	}
	return ctx.Err()
}

// Get implements store.Store.
func (m *Memory) Get(ctx context.Context, key string) (store.Entry, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.checkLocked(ctx); err != nil {
		return store.Entry{}, err
	}
	e, ok := m.entries[key]
	if !ok {
		return store.Entry{}, store.ErrNotFound
	}
	e.Value = slices.Clone(e.Value)
	return e, nil
}

// List implements store.Store.
func (m *Memory) List(ctx context.Context, prefix string) ([]store.Entry, store.Revision, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.checkLocked(ctx); err != nil {
		return nil, 0, err
	}
	var found []store.Entry
	for _, key := range slices.Sorted(maps.Keys(m.entries)) {
		if strings.HasPrefix(key, prefix) {
			e := m.entries[key]
			e.Value = slices.Clone(e.Value)
			found = append(found, e)
		}
	}
	return found, m.revision, nil
}

// Commit implements store.Store.
func (m *Memory) Commit(ctx context.Context, batch store.Batch) (store.Revision, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.checkLocked(ctx); err != nil {
		return 0, err
	}
	if err := batch.Validate(); err != nil {
		return 0, err
	}
	for _, c := range batch.Conditions {
		if m.entries[c.Key].Revision != c.Revision {
			return 0, &store.ConflictError{Key: c.Key}
		}
	}
	m.revision++
	var events []store.Event
	for _, op := range batch.Ops {
		e := store.Entry{Key: op.Key, Revision: m.revision}
		if op.Delete {
			if _, ok := m.entries[op.Key]; !ok {
				continue
			}
			delete(m.entries, op.Key)
		} else {
			e.Value = slices.Clone(op.Value)
			m.entries[op.Key] = e
		}
		events = append(events, store.Event{Entry: e, Deleted: op.Delete})
	}
	m.feed.Publish(events)
	return m.revision, nil
}

// Watch implements store.Store.
func (m *Memory) Watch(ctx context.Context, prefix string, after store.Revision) (store.Watcher, error) {
	return m.feed.Watch(ctx, prefix, after)
}

// Close implements store.Store.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	m.feed.Close()
	return nil
}
