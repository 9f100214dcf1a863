package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Memory tells how much memory a process has resident, in bytes, shared pages included. The error is ErrGone where there is
// no such process.
func Memory(pid int) (uint64, error) {
	var buf [256]byte
	n, err := readFile(unix.AT_FDCWD, "/proc/"+strconv.Itoa(pid)+"/statm", buf[:])
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
		err = ErrGone
	}
	if err != nil {
		return 0, fmt.Errorf("read memory of pid %d: %w", pid, err)
	}
	fields := bytes.Fields(buf[:n])
	if len(fields) < 2 {
		return 0, fmt.Errorf("read memory of pid %d: /proc/PID/statm has %d fields, not 7", pid, len(fields))
	}
	pages, err := strconv.ParseUint(string(fields[1]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read memory of pid %d: %w", pid, err)
	}
	return pages * uint64(os.Getpagesize()), nil
}
