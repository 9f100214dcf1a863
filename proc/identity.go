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
	s, err := readStat(pid)
	if err != nil {
		return Identity{}, fmt.Errorf("identify pid %d: %w", pid, err)
	}
	return Identity{BootID: boot, PID: pid, StartTime: s.start}, nil
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
