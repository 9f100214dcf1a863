package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// ErrUnseen says that a process cannot be seen from this pid namespace.
var ErrUnseen = errors.New("process cannot be seen from here")

// OwnNamespace tells the inode of this process' pid namespace. The error is
// ErrUnseen where /proc is mounted for another one, so that it tells of other
// processes than the system calls do.
var OwnNamespace = sync.OnceValues(func() (uint64, error) {
	var buf [32]byte
	n, err := unix.Readlink("/proc/self", buf[:])
	if err != nil {
		return 0, fmt.Errorf("read /proc/self: %w", err)
	}
	if string(buf[:n]) != strconv.Itoa(os.Getpid()) {
		return 0, fmt.Errorf("/proc is of another pid namespace: %w", ErrUnseen)
	}
	return Namespace(os.Getpid())
})

// Namespace tells the inode of the pid namespace of a process, of the machine's
// namespaces. The error is ErrGone where there is no such process, and wraps
// os.ErrPermission where that may not be read.
func Namespace(pid int) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat("/proc/"+strconv.Itoa(pid)+"/ns/pid", &st); err != nil {
		if err == unix.ENOENT || err == unix.ESRCH {
			err = ErrGone
		}
		return 0, fmt.Errorf("pid namespace of pid %d: %w", pid, err)
	}
	return st.Ino, nil
}

// Within finds the process that has number pid in the pid namespace of another
// process, which is this one or one within it, and returns its pid here. The
// error is ErrGone where there is none, and wraps os.ErrPermission where it may
// not be told.
func Within(namespaceOf, pid int) (int, error) {
	own, err := OwnNamespace()
	if err != nil {
		return 0, err
	}
	numbers, err := numbersOf(namespaceOf)
	if err != nil {
		return 0, err
	}
	if len(numbers) <= 1 {
		return pid, nil
	}
	inner, err := Namespace(namespaceOf)
	if err != nil {
		return 0, err
	}
	if inner == own {
		return pid, nil
	}
	found := 0
	err = eachPID(func(_, candidate int) {
		if found != 0 {
			return
		}
		n, err := numbersOf(candidate)
		if err != nil || len(n) != len(numbers) || n[len(n)-1] != pid {
			return
		}
		if ns, err := Namespace(candidate); err == nil && ns == inner {
			found = candidate
		}
	})
	if err == nil && found == 0 {
		err = fmt.Errorf("find pid %d of another pid namespace: %w", pid, ErrGone)
	}
	return found, err
}

// numbersOf are the pids of a process, here first and then in each pid namespace
// that it is in below this one: NSpid of proc_pid_status(5).
func numbersOf(pid int) (numbers []int, err error) {
	line, err := statusLine(pid, "NSpid:")
	if err != nil {
		return nil, err
	}
	for field := range bytes.FieldsSeq(line) {
		n, err := strconv.Atoi(string(field))
		if err != nil {
			return nil, errStatus
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
}

// Users are the user ids of a process: the real one, and the saved one, which
// other users' signals are let through for (kill(2)). The error is ErrGone where
// there is no such process.
func Users(pid int) (real, saved int, err error) {
	line, err := statusLine(pid, "Uid:")
	if err != nil {
		return 0, 0, err
	}
	fields := bytes.Fields(line)
	if len(fields) < 3 {
		return 0, 0, errStatus
	}
	r, err1 := strconv.ParseUint(string(fields[0]), 10, 32)
	s, err2 := strconv.ParseUint(string(fields[2]), 10, 32)
	if err1 != nil || err2 != nil {
		return 0, 0, errStatus
	}
	return int(r), int(s), nil
}

var errStatus = errors.New("/proc/PID/status is not in the form that proc(5) describes")

// statusLine reads a line of /proc/PID/status, without its name.
func statusLine(pid int, name string) ([]byte, error) {
	var buf [16 << 10]byte
	n, err := readFile(unix.AT_FDCWD, "/proc/"+strconv.Itoa(pid)+"/status", buf[:])
	if err == unix.ENOENT || err == unix.ESRCH {
		err = ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("look at pid %d: %w", pid, err)
	}
	for line := range bytes.SplitSeq(buf[:n], []byte("\n")) {
		if value, ok := bytes.CutPrefix(line, []byte(name)); ok {
			return value, nil
		}
	}
	return nil, errStatus
}
