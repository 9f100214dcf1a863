package badger

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"berth/store"
)

// reopenPauses are before each try to open the store anew.
var reopenPauses = [...]time.Duration{0, 100 * time.Millisecond, time.Second}

// reopen closes the files after a write or a sync failed and opens them anew, as
// after a crash: what the disk has then is what holds. Nobody reads meanwhile, so
// nobody takes for absent what turns out to be there. Only the committer calls it,
// and answers those whose outcome is unknown afterwards.
//
// It is not enough to sync again: the kernel reports an error once and takes the
// pages for clean. Opening brings all that the journal has to Badger, whose
// closing and opening write the tables anew, and begins the journal anew.
func (s *Store) reopen(cause error) error {
	s.log.Error("a write failed: the store opens itself anew", "error", cause)
	s.reading.Lock()
	defer s.reading.Unlock()
	if under := s.under; under != nil {
		await := func() error { <-under.done; return nil }
		if err := s.unlessTablesWait(await); err != nil {
			return err
		}
	}
	if err := s.inPlace(); err != nil {
		return err
	}
	if err := s.room.forDriver(true); err != nil {
		return err // Badger would have to write to be closed
	}
	closed := make(chan error, 1)
	go func() { closed <- s.closeFiles() }()
	limit := time.NewTimer(s.closeLimit)
	defer limit.Stop()
	select {
	case err := <-closed:
		if err != nil {
			s.log.Warn("closing what has failed", "error", err)
		}
	case <-limit.C:
		s.stuck = true
		return errNotClosed
	}
	s.again = nil
	s.mu.Lock()
	s.broken = nil
	s.mu.Unlock()
	var err error
	for _, pause := range reopenPauses {
		time.Sleep(pause)
		err = s.unlessTablesWait(s.openFiles)
		if s.stuck {
			return err
		}
		if err == nil {
			s.feed.Reset(s.committer.revision)
			s.log.Info("the store is open again", "revision", int64(s.committer.revision))
			return nil
		}
	}
	return err
}

// unlessTablesWait does what needs Badger, and gives up where Badger has tables
// that wait for room on the disk: nobody can tell how long. Badger goes on then,
// in files that nobody else may open.
func (s *Store) unlessTablesWait(work func() error) error {
	done := make(chan error, 1)
	go func() { done <- work() }()
	tick := time.NewTicker(tablePause)
	defer tick.Stop()
	told := false
	for {
		select {
		case err := <-done:
			return err
		case <-tick.C:
		}
		switch waited := longestWait(s.lock); {
		case waited > s.closeLimit:
			s.stuck = true
			return s.noRoomForTable()
		case waited > 0 && !told:
			told = true
			s.log.Warn(waitsForRoom, "folder", s.dir)
		}
	}
}

// waitsForRoom is logged once for each time that Badger waits.
const waitsForRoom = "the store waits for room on its disk"

// noRoomForTable says that Badger was not waited for any longer.
func (s *Store) noRoomForTable() error {
	return fmt.Errorf("%w: Badger has waited for %v to make a table: make room on the disk of %s", store.ErrNoSpace, s.closeLimit, s.dir)
}

// errMoved says that a store's folder is not where it was.
var errMoved = errors.New("its folder was moved or replaced")

// inPlace reports whether the folder is the one that was opened: by its path
// another one would be opened, or made.
func (s *Store) inPlace() error {
	ours, err := s.lock.Stat()
	if err != nil {
		return err
	}
	there, err := os.Stat(filepath.Join(s.dir, lockName))
	if err != nil || !os.SameFile(ours, there) {
		return errMoved
	}
	return nil
}
