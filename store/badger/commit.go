package badger

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"berth/internal/failpoint"
	"berth/store"
)

// request is a batch that waits for the committer.
type request struct {
	batch store.Batch
	mends bool        // it puts back what was lost
	taken atomic.Bool // by the committer, or by a caller that withdraws it
	done  chan answer // has room for one
}

type answer struct {
	revision store.Revision
	err      error
}

var requests = sync.Pool{New: func() any { return &request{done: make(chan answer, 1)} }}

// Commit implements store.Store.
func (s *Store) Commit(ctx context.Context, batch store.Batch) (store.Revision, error) {
	if err := batch.Validate(); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	r := requests.Get().(*request)
	r.batch, r.mends = batch, store.IsRebuilding(ctx)
	r.taken.Store(false)
	if err := s.enqueue(r); err != nil {
		requests.Put(r)
		return 0, err
	}
	select {
	case a := <-r.done:
		r.batch = store.Batch{}
		requests.Put(r)
		return a.revision, a.err
	case <-ctx.Done():
		if r.taken.CompareAndSwap(false, true) {
			return 0, ctx.Err() // the committer drops it
		}
		a := <-r.done // it was begun: the outcome is near
		return a.revision, a.err
	}
}

func (s *Store) enqueue(r *request) error {
	s.mu.Lock()
	if s.closing || s.failure != nil {
		defer s.mu.Unlock()
		if s.failure != nil {
			return s.failure
		}
		return store.ErrClosed
	}
	s.queue = append(s.queue, r)
	first := len(s.queue) == 1
	s.mu.Unlock()
	if first {
		s.signal()
	}
	return nil
}

func (s *Store) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run is the committer: it commits what waits until the store closes or fails.
func (s *Store) run() {
	defer close(s.ended)
	for range s.wake {
		for {
			if err := s.checkpointErr(); err != nil && !s.awaitsRoom(err) {
				if reopenErr := s.reopen(err); reopenErr != nil {
					s.fail(errors.Join(err, reopenErr), nil, nil)
					return
				}
			}
			s.gather()
			group, closing := s.take()
			if len(group) == 0 {
				if closing {
					return
				}
				break
			}
			if err := s.commitAll(group); err != nil {
				return
			}
			clear(group)
			s.mu.Lock()
			s.spare = group[:0]
			s.mu.Unlock()
		}
	}
}

// gatherings is how often the committer lets others run before it takes what waits.
const gatherings = 2

// gather lets the callers that are ready to run have their batches in the same
// group, because a sync costs more than a batch does. It waits for nobody: where
// no batch has come meanwhile, nobody else is about to.
func (s *Store) gather() {
	before := 0
	for range gatherings {
		s.mu.Lock()
		waiting := len(s.queue)
		s.mu.Unlock()
		if waiting == before {
			return
		}
		before = waiting
		runtime.Gosched()
	}
}

// take empties the queue.
func (s *Store) take() (group []*request, closing bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	group, s.queue, s.spare = s.queue, s.spare, nil
	return group, s.closing
}

// commitAll commits a group, in several records if it is too large for one,
// and answers.
func (s *Store) commitAll(group []*request) error {
	c := &s.committer
	for len(group) > 0 {
		// Before anything is decided, so that a full disk leaves nothing half done.
		if err := s.makeRoom(); err != nil {
			for _, r := range group {
				if r.taken.CompareAndSwap(false, true) {
					r.done <- answer{err: err}
				}
			}
			return nil
		}
		c.damaged, c.noRoom = s.damaged(), s.room.refusal()
		n := c.evaluate(group)
		if c.revision >= c.first {
			err := s.journal.append(c.first, c.revision, c.events)
			if failpoint.Planted("ignore-write-errors") {
				err = nil
			}
			if err == nil {
				err = s.sequence.write(mark{c.revision, c.digest})
			}
			if err != nil {
				answers := slices.Clone(c.answers)
				if reopenErr := s.reopen(err); reopenErr != nil {
					s.committer.answers = answers
					err = errors.Join(err, reopenErr)
					s.fail(err, group[:n], group[n:])
					return err
				}
				for i, r := range group[:n] {
					if answers[i] != withdrawn {
						r.done <- answer{err: fmt.Errorf("%w: %w", store.ErrUnknown, err)}
					}
				}
				group = group[n:]
				continue
			}
			s.overlay.add(c.revision, c.events)
			s.feed.Publish(c.events)
			failpoint.At("journal/published")
		}
		for i, r := range group[:n] {
			if a := c.answers[i]; a != withdrawn {
				r.done <- a
			}
		}
		group = group[n:]
	}
	return nil
}

// makeRoom has the journal take the next record, in the other file if this one
// is full. Its error is store.ErrNoSpace where the disk has no block left for it.
func (s *Store) makeRoom() error {
	s.turnIfFull()
	err := s.journal.extend()
	if noSpace(err) && s.room.drop() {
		s.log.Warn("the disk is full: the ballast is given up, so that leases can end", "dir", s.dir)
		err = s.journal.extend()
	}
	s.room.look(max(s.journal.offset-s.atLook, 0))
	s.atLook = s.journal.offset
	if noSpace(err) {
		return fmt.Errorf("%w: nothing can be written to %s: make room on its disk", store.ErrNoSpace, s.dir)
	}
	return err
}

// fail ends the store: begun may have been written, waiting was not.
func (s *Store) fail(cause error, begun, waiting []*request) {
	s.log.Error("the store closes itself because a write failed", "error", cause)
	failure := &FailedError{Cause: cause}
	s.mu.Lock()
	s.failure = failure
	waiting = append(waiting, s.queue...)
	s.queue = nil
	s.mu.Unlock()
	close(s.failed)
	s.feed.Close()
	for i, r := range begun {
		if s.committer.answers[i] != withdrawn {
			r.done <- answer{err: fmt.Errorf("%w: %w", store.ErrUnknown, failure)}
		}
	}
	for _, r := range waiting {
		if r.taken.CompareAndSwap(false, true) {
			r.done <- answer{err: failure}
		}
	}
}
