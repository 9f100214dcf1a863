package proc

import (
	"bytes"
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Identity says which process is meant, beyond the life of its pid. Two identities are the same process when they are equal.
type Identity struct {
	// BootID is the kernel's random id of the boot in which the process was started.
	BootID string `json:"bootId"`

	// PID is the process' number, as seen in this pid namespace.
	PID int `json:"pid"`

	// StartTime is when the process was started, in clock ticks (1/100 s) since the boot: field 22 of /proc/PID/stat.
	StartTime uint64 `json:"startTime"`

	// Inode is that of the process' pidfd, which no other process of the boot has: it tells two processes apart that had one
	// pid within one tick. It is 0 before Linux 6.9, where all pidfds have one inode.
	Inode uint64 `json:"inode,omitempty"`
}

// IsZero reports whether the identity names no process.
func (id Identity) IsZero() bool { return id == Identity{} }

// Identify tells the identity of the process that has pid now. The error is ErrGone where there is none; a zombie has
// an identity until it is reaped.
func Identify(pid int) (Identity, error) {
	boot, err := BootID()
	if err != nil {
		return Identity{}, err
	}
	inode := inodeOf(pid)
	s, err := readStat(pid)
	if err != nil {
		return Identity{}, fmt.Errorf("identify pid %d: %w", pid, err)
	}
	return Identity{BootID: boot, PID: pid, StartTime: s.start, Inode: inode}, nil
}

// inodeOf tells the inode of the pidfd of the process that has pid now, 0 where it has none of its own.
func inodeOf(pid int) uint64 {
	fd, err := retry(func() (int, error) { return unix.PidfdOpen(pid, 0) })
	if err != nil {
		return 0 // no such process, or a thread: the start time decides
	}
	defer func() { _ = unix.Close(fd) }()
	return pidfdInode(fd)
}

// pidfdInode tells the inode of a pidfd, 0 where it is not of pidfs.
func pidfdInode(fd int) uint64 {
	var fs unix.Statfs_t
	var st unix.Stat_t
	if unix.Fstatfs(fd, &fs) != nil || fs.Type != unix.PID_FS_MAGIC || unix.Fstat(fd, &st) != nil {
		return 0
	}
	return st.Ino
}

const bootIDPath = "/proc/sys/kernel/random/boot_id"

var bootID atomic.Pointer[string]

// BootID tells the kernel's random id of the present boot. It is read once.
func BootID() (string, error) {
	if id := bootID.Load(); id != nil {
		return *id, nil
	}
	var buf [128]byte
	n, err := readFile(unix.AT_FDCWD, bootIDPath, buf[:])
	if err != nil {
		return "", fmt.Errorf("read %s: %w", bootIDPath, err)
	}
	id := string(bytes.TrimSpace(buf[:n]))
	if id == "" {
		return "", fmt.Errorf("read %s: %w", bootIDPath, errors.New("the file is empty"))
	}
	bootID.Store(&id)
	return id, nil
}
