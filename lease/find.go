package lease

import (
	"sync"

	"berth/sockdiag"
)

// Finder tells who is bound to a port.
type Finder interface {
	// Find reports whether a socket listens on the TCP port, or is bound to
	// the UDP port, and whose it is as far as that can be seen. It may name
	// who is bound to a TCP port without listening.
	Find(protocol Protocol, port int) (who Occupant, listening bool, err error)
}

// Occupant is who is bound to a port.
type Occupant struct {
	PID     int    // 0 where it cannot be seen
	Command string // may be empty
}

// SystemFinder asks the kernel for sockets and /proc for whose they are. The
// processes of other users can be seen by root only.
func SystemFinder() Finder { return &systemFinder{known: make(map[uint64]Occupant)} }

// systemFinder remembers who had a socket: looking through all processes for
// each port that stays set aside would cost milliseconds each time.
type systemFinder struct {
	mu    sync.Mutex
	known map[uint64]Occupant // by inode
}

// maxKnown bounds what a systemFinder remembers.
const maxKnown = 1024

func (f *systemFinder) Find(p Protocol, port int) (Occupant, bool, error) {
	sockets, err := sockdiag.OnPort(string(p), port)
	if err != nil {
		return Occupant{}, false, err
	}
	if len(sockets) == 0 {
		owner, _, err := sockdiag.Find(string(p), port)
		return Occupant{PID: owner.PID, Command: owner.Command}, false, err
	}
	inodes := make([]uint64, len(sockets))
	for i, s := range sockets {
		inodes[i] = s.Inode
		if who, ok := f.remembered(s.Inode); ok {
			return who, true, nil
		}
	}
	owners, err := sockdiag.Owners(inodes...)
	if err != nil {
		return Occupant{}, true, err
	}
	for _, inode := range inodes {
		if list := owners[inode]; len(list) > 0 {
			who := Occupant{PID: list[0].PID, Command: list[0].Command}
			f.remember(inode, who)
			return who, true, nil
		}
	}
	return Occupant{}, true, nil
}

// remembered returns who had the socket, if that process still has it.
func (f *systemFinder) remembered(inode uint64) (Occupant, bool) {
	f.mu.Lock()
	who, ok := f.known[inode]
	f.mu.Unlock()
	if !ok {
		return who, false
	}
	if sockdiag.OwnedBy([]int{who.PID}, map[uint64]bool{inode: true})[inode] != who.PID {
		f.mu.Lock()
		delete(f.known, inode)
		f.mu.Unlock()
		return who, false
	}
	return who, true
}

func (f *systemFinder) remember(inode uint64, who Occupant) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.known) >= maxKnown {
		clear(f.known)
	}
	f.known[inode] = who
}
