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
			for noSpace(err) && isTable(fd) {
				time.Sleep(tablePause)
				err = allocateRange(fd, offset, int64(length))
			}
			if err != nil {
				return 0, err
			}
		}
		return system(addr, length, prot, flags, fd, offset)
	}
})

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
