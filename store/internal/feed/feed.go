// Package feed gives the recent changes of a store to those who watch it. It
// is for stores whose changes all pass through one process.
package feed

import (
	"context"
	"slices"
	"strings"
	"sync"

	"berth/store"
)

// Options bound what a feed keeps.
type Options struct {
	// Events is the most changes kept. Default 4,096.
	Events int

	// Bytes is the most bytes of keys and values kept. Default 1 MiB.
	Bytes int
}

// Feed keeps the last changes of a store and lets watchers follow them.
type Feed struct {
	max  Options
	done chan struct{}

	mu      sync.Mutex
	ring    []store.Event  // the change numbered n is at n % max.Events
	first   uint64         // the oldest change that is kept
	next    uint64         // the change to come
	bytes   int            // of the changes kept
	floor   store.Revision // changes up to this revision are not all kept
	waiting map[*watcher]struct{}
	closed  bool
}

// New returns a feed of a store that is at revision now.
func New(now store.Revision, opts Options) *Feed {
	if opts.Events <= 0 {
		opts.Events = 4096
	}
	if opts.Bytes <= 0 {
		opts.Bytes = 1 << 20
	}
	return &Feed{max: opts, floor: now, done: make(chan struct{}), waiting: make(map[*watcher]struct{})}
}

// Publish adds changes, in the order of their revisions. The feed keeps their
// values, which must not be changed any more.
func (f *Feed) Publish(events []store.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	for _, e := range events {
		if len(f.ring) < f.max.Events {
			f.ring = append(f.ring, e)
		} else {
			if f.next-f.first == uint64(f.max.Events) {
				f.dropLocked()
			}
			f.ring[f.next%uint64(f.max.Events)] = e
		}
		f.next++
		f.bytes += size(e)
		for f.bytes > f.max.Bytes {
			f.dropLocked()
		}
	}
	for w := range f.waiting {
		switch {
		case w.ctx.Err() != nil:
			delete(f.waiting, w)
		case slices.ContainsFunc(events, w.wants):
			delete(f.waiting, w)
			w.wake <- struct{}{} // has room: a watcher waits once
		default:
			w.at = f.next // nothing for it: it cannot fall behind
		}
	}
}

// dropLocked forgets the oldest change.
func (f *Feed) dropLocked() {
	oldest := &f.ring[f.first%uint64(f.max.Events)]
	f.floor = oldest.Revision
	f.bytes -= size(*oldest)
	*oldest = store.Event{}
	f.first++
}

func size(e store.Event) int { return len(e.Key) + len(e.Value) }

// Watch follows the changes made after a revision to keys that start with
// prefix. Its error is ErrCompacted if not all of them are kept, ErrClosed
// after Close, or that of ctx.
func (f *Feed) Watch(ctx context.Context, prefix string, after store.Revision) (store.Watcher, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, store.ErrClosed
	}
	if after < f.floor {
		return nil, store.ErrCompacted
	}
	return &watcher{feed: f, ctx: ctx, prefix: prefix, after: after, at: f.first, wake: make(chan struct{}, 1)}, nil
}

// Reset forgets all changes: the store is at revision now, and how it came there
// is not known. Who watches is told ErrCompacted.
func (f *Feed) Reset(now store.Revision) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	f.ring = make([]store.Event, f.max.Events) // whole, so that numbers may be left out
	f.next++
	f.first, f.bytes, f.floor = f.next, 0, now
	for w := range f.waiting {
		delete(f.waiting, w)
		w.wake <- struct{}{} // has room: a watcher waits once
	}
}

// Close ends all watches with ErrClosed. It may be called twice.
func (f *Feed) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed {
		f.closed = true
		close(f.done)
		f.ring, f.waiting = nil, nil
	}
}

type watcher struct {
	feed   *Feed
	ctx    context.Context
	prefix string
	after  store.Revision
	wake   chan struct{}
	at     uint64 // the next change to look at; guarded by feed.mu
}

func (w *watcher) wants(e store.Event) bool {
	return e.Revision > w.after && strings.HasPrefix(e.Key, w.prefix)
}

// Next implements store.Watcher.
func (w *watcher) Next(ctx context.Context) (store.Event, error) {
	for {
		if err := ctx.Err(); err != nil {
			return store.Event{}, err
		}
		if err := w.ctx.Err(); err != nil {
			return store.Event{}, err
		}
		if e, ok, err := w.take(); ok || err != nil {
			return e, err
		}
		select {
		case <-w.wake:
		case <-ctx.Done():
		case <-w.ctx.Done():
		case <-w.feed.done:
		}
	}
}

// take returns the next change that is there, or has the watcher woken by the
// next one that it wants.
func (w *watcher) take() (e store.Event, ok bool, err error) {
	f := w.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return e, false, store.ErrClosed
	}
	if w.at < f.first {
		return e, false, store.ErrCompacted
	}
	for w.at < f.next {
		e = f.ring[w.at%uint64(f.max.Events)]
		w.at++
		if w.wants(e) {
			e.Value = slices.Clone(e.Value)
			return e, true, nil
		}
	}
	select { // a wake that came after an earlier wait had ended
	case <-w.wake:
	default:
	}
	f.waiting[w] = struct{}{}
	return store.Event{}, false, nil
}
