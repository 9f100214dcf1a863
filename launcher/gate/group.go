package gate

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Group opens several gates at one instant. Once it is open, a child of the
// group goes on also where it reads the end of the file from its gate: if the
// starter dies after Open, however few of the gates it came to, all children
// run their commands; if it dies before, none does.
type Group struct {
	file *os.File
	page []byte
	open *atomic.Uint32 // at the start of the page

	mu    sync.Mutex
	users int // children that may look at it, and its maker
}

// NewGroup makes a group, which its maker closes.
func NewGroup() (*Group, error) {
	fd, err := unix.MemfdCreate("gate", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a group of gates: %w", err)
	}
	file := os.NewFile(uintptr(fd), "gate")
	err = unix.Ftruncate(fd, groupSize)
	var page []byte
	if err == nil {
		page, err = unix.Mmap(fd, 0, groupSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	}
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("make a group of gates: %w", err)
	}
	return &Group{file: file, page: page, open: (*atomic.Uint32)(unsafe.Pointer(&page[0])), users: 1}, nil
}

const groupSize = 4

// Open opens the gates of all children. They go on when their own are opened as
// well, see [Child.Open], or when this process ends. The group is not closed yet.
func (g *Group) Open() { g.open.Store(1) }

// Close is called once no more children are started in the group. Those that
// were are not held up by it.
func (g *Group) Close() { g.leave() }

func (g *Group) join() {
	g.mu.Lock()
	g.users++
	g.mu.Unlock()
}

// leave gives the group's memory back once nobody looks at it.
func (g *Group) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.users--; g.users == 0 {
		_ = unix.Munmap(g.page)
		_ = g.file.Close()
	}
}

// address is where a child that shares this process' memory looks.
func (g *Group) address() uintptr { return uintptr(unsafe.Pointer(&g.page[0])) }
