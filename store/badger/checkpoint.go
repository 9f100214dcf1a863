package badger

import (
	"errors"
	"fmt"
	"time"

	"berth/internal/failpoint"
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
			if s.journal.offset < mostBehind*s.journal.size || !s.awaitCheckpoint(under) {
				return
			}
		}
	}
	if s.room.forDriver(false) != nil {
		return // the journal grows instead, as long as it can
	}
	if s.checkpointErr() != nil {
		return // the journal's other file is all that has its changes
	}
	failpoint.At("checkpoint/due")
	changes, last := s.overlay.turn()
	s.under = &checkpoint{changes: changes, last: last, done: make(chan struct{})}
	s.journal.begin()
	failpoint.At("checkpoint/turned")
	go s.carryOut(s.under)
}

// awaitCheckpoint waits until Badger has a checkpoint. It reports false where
// Badger waits for room on the disk: nobody can tell how long.
func (s *Store) awaitCheckpoint(c *checkpoint) bool {
	tick := time.NewTicker(roomAge)
	defer tick.Stop()
	for {
		select {
		case <-c.done:
			return true
		case <-tick.C:
			if s.room.forDriver(false) != nil {
				return false
			}
		}
	}
}

func (s *Store) carryOut(c *checkpoint) {
	defer close(c.done)
	s.log.Debug("a checkpoint begins", "revision", int64(c.last), "keys", len(c.changes))
	// Not written to the disk before what was acknowledged is: else a checkpoint
	// that is cut off could not be told from damage.
	err := failpoint.Fail("checkpoint/begun")
	if err == nil {
		err = s.sequence.sync()
	}
	if err == nil {
		err = writeChanges(s.db, c.changes, c.last)
	}
	if err == nil {
		err = allocateDriver(s.dir)
	}
	if err != nil {
		s.mu.Lock()
		s.broken = fmt.Errorf("bring the journal to Badger: %w", err)
		s.mu.Unlock()
		s.signal()
		return
	}
	failpoint.At("checkpoint/written")
	s.inBadger = c.last
	s.overlay.applied()
	failpoint.At("checkpoint/applied")
}

// checkpointErr is why the last checkpoint failed.
func (s *Store) checkpointErr() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}

// awaitsRoom reports whether a checkpoint has failed for want of room on the disk
// that is not there yet: Badger can be neither closed nor opened. The store goes on
// in the journal, without making keys, and what only Badger has cannot be read. The
// committer calls it, and is woken to call it again.
func (s *Store) awaitsRoom(failed error) bool {
	if !noSpace(failed) || s.room.forDriver(false) == nil {
		return false
	}
	if s.again == nil {
		s.log.Warn(waitsForRoom, "folder", s.dir)
		s.again = time.AfterFunc(roomAge, s.signal)
	} else {
		s.again.Reset(roomAge) // one at a time, however many commits come
	}
	return true
}

// finish brings to Badger all that the journal has. The committer has ended, or calls it.
func (s *Store) finish() error {
	if s.under != nil {
		<-s.under.done
	}
	if err := s.checkpointErr(); err != nil {
		return err
	}
	if err := s.sequence.sync(); err != nil {
		return err
	}
	changes, last := s.overlay.turn()
	if len(changes) == 0 && last == s.inBadger {
		return nil
	}
	if err := writeChanges(s.db, changes, last); err != nil {
		return err
	}
	s.inBadger = last
	s.overlay.applied()
	return nil
}

// recover applies what the journal has and Badger has not, compares the outcome
// with what was acknowledged, brings it to Badger, and begins the journal anew.
func (s *Store) recover() error {
	c := &s.committer
	s.inBadger = c.revision
	acknowledged, err := s.sequence.read()
	if err != nil && !errors.Is(err, errNoMark) {
		return err
	}
	known := err == nil && !failpoint.Planted("trust-journal")
	var found []string // damage
	note := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }

	matched := false
	match := func() {
		if known && c.revision == acknowledged.revision {
			matched = true
			if c.digest != acknowledged.digest {
				note("keys are missing, or older than they were when revision %d was acknowledged", c.revision)
			}
		}
	}
	match()
	// The keys of a checkpoint that was not complete are newer than the
	// revision, but never than what the sequence has.
	err = s.journal.replay(func(g group) error {
		if g.last <= s.inBadger {
			return nil
		}
		if g.first > c.revision+1 {
			note("the changes from revision %d to %d are lost: the journal does not have them", c.revision+1, g.first-1)
		}
		for _, change := range g.changes {
			switch {
			case change.Revision < c.index[change.Key]:
				continue
			case change.Deleted:
				c.set(change.Key, 0)
			default:
				c.set(change.Key, change.Revision)
			}
			s.overlay.add(g.last, []store.Event{change})
		}
		c.revision = max(c.revision, g.last)
		match()
		return nil
	})
	if err != nil {
		return err
	}
	switch {
	case !known && !failpoint.Planted("trust-journal") && (c.revision > 0 || len(c.index) > 0):
		note("%v: what was acknowledged last is not known", errNoMark)
	case known && c.revision < acknowledged.revision:
		note("the changes from revision %d to %d are lost: the journal does not have them", c.revision+1, acknowledged.revision)
	case known && !matched:
		note("revision %d was acknowledged, and the store does not have it between %d and %d", acknowledged.revision, s.inBadger, c.revision)
	}
	c.revision = max(c.revision, acknowledged.revision)
	for _, r := range c.index {
		c.revision = max(c.revision, r)
	}
	s.overlay.revision = c.revision
	if err := failpoint.Fail("recover/replayed"); err != nil {
		return err
	}

	// In this order nothing that was found is forgotten by a crash, and the
	// sequence is never ahead of the journal: a killed process leaves records
	// that nobody has synced.
	if err := s.addDamage(found); err != nil {
		return err
	}
	if err := s.journal.sync(); err != nil {
		return err
	}
	if err := s.sequence.write(mark{c.revision, c.digest}); err != nil {
		return err
	}
	if err := s.finish(); err != nil {
		return fmt.Errorf("bring the journal to Badger: %w", err)
	}
	if err := failpoint.Fail("recover/finished"); err != nil {
		return err
	}
	s.journal.begin()
	return nil
}
