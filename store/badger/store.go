package badger

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	driver "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

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
	broken    error // of a checkpoint; guarded by mu
	room      room
	stuck     bool  // Badger did not come to an end of opening or closing
	atLook    int64 // where the journal was when room was looked at
}

var (
	_ store.Store     = (*Store)(nil)
	_ store.Inspector = (*Store)(nil)
)

// Open opens the store in a folder, which is created if it is not there. Its
// error is store.ErrLocked if another process, or another Store of this one,
// has it open.
func Open(dir string, opts Options) (*Store, error) {
	s, err := open(dir, opts)
	if err != nil && !errors.Is(err, store.ErrNoSpace) && noSpace(err) {
		err = fmt.Errorf("%w: make room on the disk: %w", store.ErrNoSpace, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", dir, err)
	}
	return s, nil
}

func open(dir string, opts Options) (_ *Store, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := acquireLock(dir)
	if err != nil {
		return nil, err
	}
	var s *Store
	defer func() {
		// A Badger that does not end may write still: the lock stays until the process ends.
		if err != nil && (s == nil || !s.stuck) {
			_ = releaseLock(lock)
		}
	}()
	log := opts.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if err := failpoint.Fail("store/locked"); err != nil {
		return nil, err
	}
	swept, err := sweep(dir)
	if err != nil {
		return nil, fmt.Errorf("sweep empty files: %w", err)
	}
	if len(swept) > 0 {
		log.Info("deleted empty files that a killed process left in the store", "files", swept)
	}
	s = &Store{
		dir: dir, opts: opts, lock: lock, log: log, closeLimit: cmp.Or(opts.CloseLimit, defaultCloseLimit),
		wake: make(chan struct{}, 1), failed: make(chan struct{}), ended: make(chan struct{}),
	}
	s.room.dir = dir
	if info, err := os.Stat(filepath.Join(dir, ballastName)); err == nil {
		s.room.ballast = info.Size()
	}
	if s.damage, err = readDamage(dir); err != nil {
		return nil, err
	}
	if err := s.unlessTablesWait(s.openFiles); err != nil {
		return nil, err
	}
	failpoint.At("store/ready")
	s.feed = feed.New(s.committer.revision, feed.Options{Events: opts.History})
	go s.run()
	return s, nil
}

// openFiles opens Badger, the journal and the sequence, and has them agree.
func (s *Store) openFiles() (err error) {
	defer func() {
		if err != nil {
			_ = s.closeFiles()
		}
	}()
	if err := s.room.forDriver(true); err != nil {
		return err
	}
	s.overlay = overlay{fresh: make(map[string]store.Event)}
	s.under, s.committer = nil, committer{}
	if s.db, err = s.openDriver(s.opts); err != nil {
		return err
	}
	if s.sequence, err = openSequence(s.dir); err != nil {
		return err
	}
	// Which syncs the folder, too.
	if s.journal, err = openJournal(s.dir, cmp.Or(s.opts.JournalBytes, defaultJournalBytes)); err != nil {
		return err
	}
	return s.recover()
}

// closeFiles closes what is open of what openFiles has opened.
func (s *Store) closeFiles() error {
	var errs []error
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	if s.journal != nil {
		errs = append(errs, s.journal.close())
	}
	if s.sequence != nil {
		errs = append(errs, s.sequence.file.Close())
	}
	s.db, s.journal, s.sequence = nil, nil, nil
	return errors.Join(errs...)
}

// openDriver opens Badger and reads what it has. Where that is damaged beyond
// reading it is set aside, and an empty one takes its place: the journal has
// what came last, and the sequence tells that the rest is lost.
func (s *Store) openDriver(opts Options) (*driver.DB, error) {
	db, err := s.tryDriver(opts)
	if err == nil || !damagedDriver(err) {
		return db, err
	}
	if removeErr := removeEmpties(s.dir); removeErr != nil {
		return nil, fmt.Errorf("%w; %w", err, removeErr)
	}
	db, err = s.tryDriver(opts)
	if err == nil || !damagedDriver(err) {
		return db, err
	}
	aside, moveErr := setAside(s.dir)
	if moveErr != nil {
		return nil, fmt.Errorf("%w; set it aside: %w", err, moveErr)
	}
	if damageErr := s.addDamage([]string{fmt.Sprintf("Badger cannot be opened (%v); what it had is in %s", err, aside)}); damageErr != nil {
		return nil, damageErr
	}
	return s.tryDriver(opts)
}

func (s *Store) tryDriver(opts Options) (db *driver.DB, err error) {
	defer func() {
		if r := recover(); r != nil { // where a file's structure is not as it should be
			err = fmt.Errorf("open Badger: %v", r)
		}
	}()
	if err := checkTables(s.dir); err != nil {
		return nil, err
	}
	mapAllocated()
	if err := allocateDriver(s.dir); err != nil { // opening writes, too
		return nil, err
	}
	if db, err = driver.Open(driverOptions(s.dir, opts.Logger)); err != nil {
		return nil, err
	}
	if err := allocateDriver(s.dir); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s.committer = committer{}
	err = failpoint.Fail("store/opened")
	if err == nil {
		err = s.committer.load(db)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// damagedDriver reports whether an error of opening Badger is about what its
// files have, not about the system or another process. Badger words some errors
// of the system anew, of which the text is left.
func damagedDriver(err error) bool {
	if noSpace(err) || strings.Contains(err.Error(), syscall.EIO.Error()) {
		return false
	}
	var errno syscall.Errno
	return !errors.As(err, &errno) || errno == syscall.ENOENT || errno == syscall.EINVAL
}

func driverOptions(dir string, log *slog.Logger) driver.Options {
	o := driver.DefaultOptions(dir).
		WithLogger(nil).
		WithSyncWrites(true).
		WithDetectConflicts(false). // the committer is the only writer
		WithNumVersionsToKeep(1).
		WithMemTableSize(memTableBytes).
		WithNumMemtables(2).
		WithValueThreshold(valueThreshold).
		WithValueLogFileSize(valueLogBytes).
		WithCompression(options.None). // so that no block cache is needed
		WithBlockCacheSize(0).
		WithIndexCacheSize(0).
		WithNumCompactors(2).
		WithMetricsEnabled(false).
		WithChecksumVerificationMode(options.OnBlockRead) // checkTables has seen them whole
	if log != nil {
		o = o.WithLogger(logger{log})
	}
	return o
}

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
func (s *Store) view(ctx context.Context, over func() bool, read func(txn *driver.Txn) error) error {
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
	txn := s.db.NewTransaction(false)
	s.overlay.mu.RUnlock()
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
