package badger

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	driver "github.com/dgraph-io/badger/v4"
	"golang.org/x/sys/unix"

	"berth/store"
)

// Badger's files are memory-mapped: a page of them for which the disk has no
// block ends the process with SIGBUS, and opening again ends it again. So
// nothing is brought to Badger, and Badger is not opened, unless the disk has
// room for all that this can take. Before it comes to that, no more keys are
// made. What changes and deletes keys goes on in the journal, whose blocks are
// allocated before a record is written, and uses up the ballast: a file that
// is only there to be deleted.
const (
	// driverRoom is what a checkpoint or an opening can make Badger write: two
	// tables, a memtable, its logs. Merging tables can take as much again as there is in them.
	driverRoom = 12 << 20
	// spareRoom must be there beside that for keys to be made.
	spareRoom = 4 << 20
	// ballastBytes is the least size of the ballast.
	ballastBytes = 16 << 20

	ballastName = "ballast"

	// How old and how far off what is known of the disk may be.
	roomAge   = 250 * time.Millisecond
	shortAge  = 10 * time.Millisecond // while there is too little
	roomBytes = 1 << 20
)

// room is what is known of the disk of a store's folder.
type room struct {
	dir string

	mu        sync.Mutex
	looked    time.Time
	written   int64 // since then
	available int64
	tables    int64 // bytes that merging Badger's tables and bringing a long journal to it can take
	ballast   int64 // bytes of it; 0 where it is not there
	short     bool  // no keys are made
}

// look asks the disk, unless what is known is fresh.
func (r *room) look(written int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.written += written
	age := roomAge
	if r.short {
		age = shortAge
	}
	if r.written < roomBytes && time.Since(r.looked) < age {
		return
	}
	r.lookLocked()
}

func (r *room) lookLocked() {
	r.looked, r.written = time.Now(), 0
	var s unix.Statfs_t
	if err := unix.Statfs(r.dir, &s); err != nil {
		return // the next write tells what is wrong
	}
	r.available = int64(s.Bavail) * s.Bsize
	r.tables = 0
	var st unix.Stat_t
	tables, _ := filepath.Glob(filepath.Join(r.dir, "*.sst"))
	for _, name := range tables {
		// Its blocks: one that could not be written has a size and none of them.
		if err := unix.Stat(name, &st); err == nil {
			r.tables += min(st.Size, st.Blocks*512)
		}
	}
	journals, _ := filepath.Glob(filepath.Join(r.dir, "journal-*"))
	for _, name := range journals {
		if info, err := os.Stat(name); err == nil {
			r.tables += 2 * max(info.Size()-defaultJournalBytes-recordRoom, 0)
		}
	}
	needed := r.neededLocked()
	if r.short {
		needed += spareRoom / 2 // so that it does not change with every key
	}
	r.short = r.available < needed
	want := max(ballastBytes, driverRoom+r.tables+spareRoom)
	if !r.short && r.ballast < want && r.available-want > needed {
		r.ballast = makeBallast(r.dir, want)
		r.available -= r.ballast
	}
}

// neededLocked is what must be available for keys to be made.
func (r *room) neededLocked() int64 { return driverRoom + spareRoom + r.tables }

// refusal is store.ErrNoSpace where there is too little room for keys to be made.
func (r *room) refusal() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.short {
		return nil
	}
	return r.errorLocked(r.neededLocked() + spareRoom/2)
}

func (r *room) errorLocked(needed int64) error {
	return fmt.Errorf("%w: the disk of %s has %.1f MiB available and needs %.1f: make room on it",
		store.ErrNoSpace, r.dir, float64(r.available)/(1<<20), float64(needed)/(1<<20))
}

// forDriver reports whether Badger may write. With all at stake, the ballast is
// given up for it.
func (r *room) forDriver(giveUp bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lookLocked()
	if r.available < driverRoom+r.tables && giveUp {
		r.dropLocked()
		r.lookLocked()
	}
	if r.available < driverRoom+r.tables {
		return r.errorLocked(driverRoom + r.tables)
	}
	return nil
}

// drop deletes the ballast, and reports whether there was one.
func (r *room) drop() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dropLocked()
}

func (r *room) dropLocked() bool {
	r.ballast, r.short = 0, true
	return os.Remove(filepath.Join(r.dir, ballastName)) == nil
}

// makeBallast makes the ballast and returns its size: 0 where the file system
// cannot allocate blocks ahead, or has none.
func makeBallast(dir string, size int64) int64 {
	f, err := os.OpenFile(filepath.Join(dir, ballastName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return 0
	}
	defer f.Close()
	if err := allocate(f, 0, size); err != nil {
		_ = os.Remove(f.Name())
		return 0
	}
	return size
}

// allocate has the blocks of a part of a file be there, so that writing it needs none.
func allocate(f *os.File, from, size int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), 0, from, size)
		if !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("fallocate", err)
		}
	}
}

// manifestRoom is more than Badger's manifest grows by between two checkpoints: a
// hundred bytes for each table that is made or merged.
const manifestRoom = 256 << 10

// allocateDriver has the blocks of Badger's logs be there, and those of what its
// manifest grows by: where Badger can write half a change into that, it goes on
// behind it later, and reads none of what follows when it opens.
func allocateDriver(dir string) error {
	if err := allocateBehind(filepath.Join(dir, driver.ManifestFilename), manifestRoom); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.mem"))
	if err != nil {
		return err
	}
	for _, name := range files {
		if err := allocateBehind(name, 0); err != nil {
			return err
		}
	}
	return nil
}

// allocateBehind has the blocks of a file be there, and of so many bytes more,
// which it does not have.
func allocateBehind(name string, more int64) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil // a log that has become a table; or nothing is there yet
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size()+more == 0 {
		return err
	}
	return allocateRange(int(f.Fd()), 0, info.Size()+more)
}

// noSpace reports whether err says that the disk is full. Badger keeps of some
// errors only the text.
func noSpace(err error) bool {
	if err == nil {
		return false
	}
	for _, of := range []unix.Errno{unix.ENOSPC, unix.EDQUOT} {
		if errors.Is(err, of) || strings.Contains(err.Error(), of.Error()) {
			return true
		}
	}
	return false
}
