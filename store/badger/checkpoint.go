package badger

import (
	"fmt"

	"berth/store"
)

// A checkpoint brings to Badger what a file of the journal has, after which the
// file can be written over.

// mostBehind is how many times its size the journal's file may grow while the
// checkpoint of the other one is under way, before callers have to wait for that.
const mostBehind = 16

// checkpoint is what is on its way to Badger.
type checkpoint struct {
	changes map[string]store.Event
	last    store.Revision
	done    chan struct{} // closed when Badger has it, or the store has failed
}

// turnIfFull goes on in the journal's other file when the active one is full
// and the other one's changes are in Badger. Only the committer calls it.
func (s *Store) turnIfFull() {
	if s.journal.offset < s.journal.size {
		return
	}
	if under := s.under; under != nil {
		select {
		case <-under.done:
		default:
			if s.journal.offset < mostBehind*s.journal.size {
				return
			}
			<-under.done
		}
	}
	if s.checkpointErr() != nil {
		return // the journal's other file is all that has its changes
	}
	changes, last := s.overlay.turn()
	s.under = &checkpoint{changes: changes, last: last, done: make(chan struct{})}
	s.journal.begin()
	go s.carryOut(s.under)
}

func (s *Store) carryOut(c *checkpoint) {
	defer close(c.done)
	if err := writeChanges(s.db, c.changes, c.last); err != nil {
		s.mu.Lock()
		s.broken = fmt.Errorf("bring the journal to Badger: %w", err)
		s.mu.Unlock()
		s.signal()
		return
	}
	s.overlay.applied()
}

// checkpointErr is why the last checkpoint failed.
func (s *Store) checkpointErr() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}

// finish brings to Badger all that the journal has. The committer has ended.
func (s *Store) finish() error {
	if s.under != nil {
		<-s.under.done
	}
	if err := s.checkpointErr(); err != nil {
		return err
	}
	changes, last := s.overlay.turn()
	if len(changes) == 0 {
		return nil
	}
	if err := writeChanges(s.db, changes, last); err != nil {
		return err
	}
	s.overlay.applied()
	return nil
}

// recover brings to Badger what the journal has and Badger has not, and begins
// the journal anew.
func (s *Store) recover() error {
	c := &s.committer
	inBadger := c.revision
	err := s.journal.replay(func(g group) error {
		if g.last <= inBadger {
			return nil
		}
		if g.first > c.revision+1 {
			s.log.Error("the journal lacks changes that were acknowledged; they are lost", "after", c.revision, "before", g.first)
		}
		for _, change := range g.changes {
			if change.Deleted {
				delete(c.index, change.Key)
			} else {
				c.index[change.Key] = change.Revision
			}
		}
		c.revision = max(c.revision, g.last)
		s.overlay.add(c.revision, g.changes)
		return nil
	})
	if err != nil {
		return err
	}
	s.overlay.revision = c.revision
	if err := s.finish(); err != nil {
		return fmt.Errorf("bring the journal to Badger: %w", err)
	}
	s.journal.begin()
	return nil
}
