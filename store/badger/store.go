package badger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	driver "github.com/dgraph-io/badger/v4"

	"berth/internal/failpoint"
	"berth/store"
	"berth/store/internal/feed"
)

// Options of a store. The zero value is good.
type Options struct {
	// Logger gets what Badger has to say: errors and warnings as such, the
	// rest at debug level. Default: nobody.
	Logger *slog.Logger

	// History is the most changes that are kept, in memory, for watches that
	// begin in the past; of their keys and values at most 1 MiB. Default 4,096.
	History int

	// JournalBytes is how large each of the journal's two files is before Badger
	// gets what it has. Default 4 MiB.
	JournalBytes int64

	// CloseLimit is how long Close waits for Badger, and Open for room on the
	// disk once Badger makes tables. Default 20 s.
	CloseLimit time.Duration
}

const defaultCloseLimit = 20 * time.Second

// Sizes of Badger's parts. They are bound to each other: a transaction may
// have 15 % of a memtable, a batch has to fit into a transaction with its
// revisions, and a value that is not below the threshold would go to the value
// log, which would need collecting.
const (
	memTableBytes  = 4 << 20
	valueThreshold = 600_000
	valueLogBytes  = 1 << 20

	groupBytes   = 600_000 // of a transaction, by our own, larger estimate
	groupEntries = 4_000   // of a transaction; Badger takes 15 % of a memtable in nodes of 96 bytes
)

// Store is a Badger database in a folder. It is for one process at a time.
type Store struct {
	dir  string
	opts Options
	db   *driver.DB
	lock *os.File
	feed *feed.Feed
	log  *slog.Logger

	closeLimit time.Duration

	// reading is held by readers, and by Close to wait for them.
	reading sync.RWMutex
	shut    bool // guarded by reading

	mu      sync.Mutex
	queue   []*request // what waits for the committer
	spare   []*request // an empty queue to swap with
	closing bool
	failure *FailedError
	damage  []string // found and not accepted

	wake      chan struct{} // there is something in the queue, or closing is set
	failed    chan struct{} // closed when failure is set
	ended     chan struct{} // closed when the committer has ended
	closeOnce sync.Once
	closeErr  error

	committer committer
	journal   *journal       // written by the committer
	sequence  *sequence      // written by the committer
	inBadger  store.Revision // of the last checkpoint; its goroutine's while one is under way
	under     *checkpoint    // the last one, begun by the committer
	overlay   overlay
	broken    error       // of a checkpoint; guarded by mu
	again     *time.Timer // wakes the committer, which awaits room
	room      room
	stuck     bool  // Badger did not come to an end of opening or closing
	atLook    int64 // where the journal was when room was looked at
}

var (
	_ store.Store     = (*Store)(nil)
	_ store.Inspector = (*Store)(nil)
)

// Failed is closed when a write has failed and the store could not open itself
// anew: it answers nothing any more then. Close it, and open it again.
func (s *Store) Failed() <-chan struct{} { return s.failed }

// Err is nil, or a *FailedError once Failed is closed.
func (s *Store) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failureLocked()
}

func (s *Store) failureLocked() error {
	if s.failure != nil {
		return s.failure
	}
	return nil
}

// view runs a read, unless the store is closed or has failed. Over is called
// with the overlay locked, at the moment that the transaction sees; unless it
// answers true, read follows.
func (s *Store) view(ctx context.Context, over func() bool, read func(txn *driver.Txn) error) (err error) {
	s.reading.RLock()
	defer s.reading.RUnlock()
	if s.shut {
		return store.ErrClosed
	}
	select {
	case <-s.failed:
		return s.Err()
	default:
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.overlay.mu.RLock()
	if over() {
		s.overlay.mu.RUnlock()
		return nil
	}
	// A checkpoint without room leaves Badger without a memtable.
	if err := s.checkpointErr(); noSpace(err) {
		s.overlay.mu.RUnlock()
		return fmt.Errorf("%w: what is on the disk of %s cannot be read before there is room on it: %w", store.ErrNoSpace, s.dir, err)
	}
	txn := s.db.NewTransaction(false)
	s.overlay.mu.RUnlock()
	defer func() {
		// The checkpoint may have come to that just now.
		if r := recover(); r != nil {
			err = fmt.Errorf("read Badger: %v", r)
		}
	}()
	defer txn.Discard()
	return read(txn)
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key string) (store.Entry, error) {
	e := store.Entry{Key: key}
	deleted := false
	err := s.view(ctx, func() bool {
		change, ok := s.overlay.getLocked(key)
		if ok {
			deleted = change.Deleted
			e = change.Entry
			e.Value = bytes.Clone(e.Value)
		}
		return ok
	}, func(txn *driver.Txn) error {
		item, err := txn.Get(dataKey(key))
		if errors.Is(err, driver.ErrKeyNotFound) {
			return store.ErrNotFound
		}
		if err != nil {
			return fmt.Errorf("get %q: %w", key, err)
		}
		e, err = entryOf(item)
		return err
	})
	if err == nil && deleted {
		err = store.ErrNotFound
	}
	if err != nil {
		return store.Entry{}, err
	}
	return e, nil
}

func entryOf(item *driver.Item) (store.Entry, error) {
	key := string(item.Key()[1:])
	stored, err := item.ValueCopy(nil)
	if err != nil {
		return store.Entry{}, fmt.Errorf("read %q: %w", key, err)
	}
	r, value, err := decodeValue(stored)
	if err != nil {
		return store.Entry{}, fmt.Errorf("read %q: %w", key, err)
	}
	return store.Entry{Key: key, Value: value[:len(value):len(value)], Revision: r}, nil
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, prefix string) ([]store.Entry, store.Revision, error) {
	var entries []store.Entry
	var revision store.Revision
	var changes []store.Event
	err := s.view(ctx, func() bool {
		revision, changes = s.overlay.revision, s.overlay.underLocked(prefix)
		return false
	}, func(txn *driver.Txn) (err error) {
		it := txn.NewIterator(driver.IteratorOptions{Prefix: dataKey(prefix)})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			e, err := entryOf(it.Item())
			if err != nil {
				return err
			}
			entries = append(entries, e)
			if len(entries)%1024 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
		}
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	return merge(entries, changes), revision, nil
}

// lastRevision is the revision of the last batch that a transaction sees.
func lastRevision(txn *driver.Txn) (store.Revision, error) {
	item, err := txn.Get(revisionKey)
	if errors.Is(err, driver.ErrKeyNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the last revision: %w", err)
	}
	stored, err := item.ValueCopy(nil)
	if err != nil {
		return 0, fmt.Errorf("read the last revision: %w", err)
	}
	r, _, err := decodeValue(stored)
	return r, err
}

// Watch implements store.Store. The changes of before Open are not kept.
func (s *Store) Watch(ctx context.Context, prefix string, after store.Revision) (store.Watcher, error) {
	if err := s.Err(); err != nil {
		return nil, err
	}
	return s.feed.Watch(ctx, prefix, after)
}

// Close implements store.Store. It writes what waits, and returns when the
// folder can be opened again.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.mu.Lock()
		s.closing = true
		s.mu.Unlock()
		s.signal()
		<-s.ended
		failpoint.At("store/closing")
		s.feed.Close()

		s.reading.Lock()
		s.shut = true
		s.reading.Unlock()
		// Badger tries for ever to write its tables, even where the folder is
		// gone or the disk full. What was answered is in its log already.
		closed := make(chan error, 1)
		go func() {
			// Badger writes what it has in memory to tables.
			err := s.room.forDriver(true)
			if s.stuck {
				return // until the limit
			}
			if err != nil {
				closed <- err
				return
			}
			if s.Err() == nil {
				err = s.finish()
			}
			failpoint.At("store/finished")
			closed <- errors.Join(err, s.closeFiles())
		}()
		limit := time.NewTimer(s.closeLimit)
		defer limit.Stop()
		select {
		case err := <-closed:
			if err != nil {
				s.closeErr = fmt.Errorf("close store: %w", err)
			}
		case <-limit.C:
			// It may write still, so the lock stays until the process ends.
			if longestWait(s.lock) > 0 {
				s.closeErr = fmt.Errorf("close store: %w; nothing acknowledged is lost", s.noRoomForTable())
				return
			}
			s.closeErr = fmt.Errorf("close store: %w after %v: is its folder gone? nothing acknowledged is lost", errNotClosed, s.closeLimit)
			return
		}
		failpoint.At("store/closed")
		if err := releaseLock(s.lock); err != nil && s.closeErr == nil {
			s.closeErr = fmt.Errorf("unlock store: %w", err)
		}
	})
	return s.closeErr
}
