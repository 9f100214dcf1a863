package badger

import (
	"errors"
	"os"
	"path/filepath"
	"time"
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
	if s.under != nil {
		<-s.under.done
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
	s.mu.Lock()
	s.broken = nil
	s.mu.Unlock()
	var err error
	for _, pause := range reopenPauses {
		time.Sleep(pause)
		if err = s.openFiles(); err == nil {
			s.feed.Reset(s.committer.revision)
			s.log.Info("the store is open again", "revision", int64(s.committer.revision))
			return nil
		}
	}
	return err
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
