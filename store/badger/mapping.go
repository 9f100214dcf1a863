package badger

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
	_ "unsafe" // for go:linkname

	"golang.org/x/sys/unix"
)

// mapper is what maps files for package unix, and so for Badger. Its beginning
// is declared here as golang.org/x/sys/unix has it (mmapper in syscall_unix.go).
//
//go:linkname mapper golang.org/x/sys/unix.mapper
var mapper *struct {
	sync.Mutex
	active map[*byte][]byte
	mmap   func(addr, length uintptr, prot, flags, fd int, offset int64) (uintptr, error)
	munmap func(addr, length uintptr) error
}

// tablePause is between two looks whether a table can have its blocks.
const tablePause = 50 * time.Millisecond

// mapAllocated has every file that is mapped to be written have its blocks
// before. Badger makes its files by truncate(2), which allocates none: a write
// into such a page ends the process with SIGBUS where the disk is full by then,
// whoever has looked for room before. So mapping fails instead, which Badger
// reports like any other error.
//
// A table, though, waits until there is room: when Badger 4.9 cannot make one
// while it merges others, it forgets the error (subcompact evaluates the argument
// of its deferred Done at once), deletes those, and what they had is lost.
var mapAllocated = sync.OnceFunc(func() {
	system := mapper.mmap
	mapper.mmap = func(addr, length uintptr, prot, flags, fd int, offset int64) (uintptr, error) {
		if prot&unix.PROT_WRITE != 0 && flags&unix.MAP_SHARED != 0 && fd >= 0 {
			err := allocateRange(fd, offset, int64(length))
			if noSpace(err) && isTable(fd) {
				err = awaitBlocks(fd, offset, int64(length))
			}
			if err != nil {
				return 0, err
			}
		}
		return system(addr, length, prot, flags, fd, offset)
	}
})

// waiting has the tables that wait for blocks, by their descriptors.
var waiting = struct {
	sync.Mutex
	tables map[int]waitingTable
}{tables: make(map[int]waitingTable)}

type waitingTable struct {
	device uint64
	since  time.Time
}

func awaitBlocks(fd int, offset, length int64) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	waiting.Lock()
	waiting.tables[fd] = waitingTable{device: st.Dev, since: time.Now()}
	waiting.Unlock()
	defer func() {
		waiting.Lock()
		delete(waiting.tables, fd)
		waiting.Unlock()
	}()
	for {
		time.Sleep(tablePause)
		if err := allocateRange(fd, offset, length); !noSpace(err) {
			return err
		}
	}
}

// longestWait is for how long a table on the disk of an open file has waited for blocks.
func longestWait(f *os.File) time.Duration {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return 0
	}
	waiting.Lock()
	defer waiting.Unlock()
	var longest time.Duration
	for _, t := range waiting.tables {
		if t.device == st.Dev {
			longest = max(longest, time.Since(t.since))
		}
	}
	return longest
}

func isTable(fd int) bool {
	name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	return err == nil && strings.HasSuffix(name, ".sst")
}

// allocateRange has the blocks of a part of a file be there, also of one behind
// its end, which stays where it is.
func allocateRange(fd int, from, size int64) error {
	for {
		err := unix.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, from, size)
		switch {
		case errors.Is(err, unix.EINTR):
		case noSpace(err), errors.Is(err, unix.EIO):
			return err
		default: // there are files and file systems for which there is no such thing
			return nil
		}
	}
}
