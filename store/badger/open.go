package badger

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	driver "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"berth/internal/failpoint"
	"berth/store"
	"berth/store/internal/feed"
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
