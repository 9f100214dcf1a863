package proc

import (
	"bytes"
	"errors"
	"strconv"

	"golang.org/x/sys/unix"
)

var errStat = errors.New("/proc/PID/stat is not in the form that proc(5) describes")

// stat is what is needed of /proc/PID/stat; the numbers of the fields are those of proc_pid_stat(5).
type stat struct {
	state   byte   // 3
	parent  int    // 4
	session int    // 6
	flags   uint64 // 9, PF_* of the kernel's linux/sched.h
	threads int    // 20
	start   uint64 // 22, clock ticks since the boot
}

// ended reports whether nothing of the process runs any more. A process whose first thread has ended while others run is
// shown as a zombie too, but counts them.
func (s stat) ended() bool {
	return s.state == 'X' || s.state == 'x' || s.state == 'Z' && s.threads <= 1
}

// statSize holds a whole line up to field 22 and beyond: a name has at most 64 bytes, a number 20.
const statSize = 1024

// readStat reads the stat of a process; the error is ErrGone where there is none.
func readStat(pid int) (stat, error) {
	return readStatAt(unix.AT_FDCWD, "/proc/"+strconv.Itoa(pid)+"/stat")
}

func readStatAt(dir int, path string) (stat, error) {
	var buf [statSize]byte
	n, err := readFile(dir, path, buf[:])
	if err != nil {
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
			return stat{}, ErrGone
		}
		return stat{}, err
	}
	return parseStat(buf[:n])
}

// parseStat reads a line of /proc/PID/stat. The name, in parentheses, may itself hold spaces and parentheses, but nothing
// after it does: the last parenthesis is where it ends.
func parseStat(line []byte) (stat, error) {
	end := bytes.LastIndexByte(line, ')')
	if end < 0 || end+2 >= len(line) {
		return stat{}, errStat
	}
	rest := line[end+2:]
	var s stat
	for field := 3; field <= 22; field++ {
		space := bytes.IndexByte(rest, ' ')
		if space <= 0 {
			return stat{}, errStat
		}
		word := rest[:space]
		rest = rest[space+1:]
		var err error
		switch field {
		case 3:
			s.state = word[0]
		case 4:
			s.parent, err = strconv.Atoi(string(word))
		case 6:
			s.session, err = strconv.Atoi(string(word))
		case 9:
			s.flags, err = strconv.ParseUint(string(word), 10, 64)
		case 20:
			s.threads, err = strconv.Atoi(string(word))
		case 22:
			s.start, err = strconv.ParseUint(string(word), 10, 64)
		}
		if err != nil {
			return stat{}, errStat
		}
	}
	return s, nil
}

// readFile reads the beginning of a file of /proc in one go. The os package would try to register it with the poller first.
func readFile(dir int, path string, buf []byte) (int, error) {
	fd, err := retry(func() (int, error) { return unix.Openat(dir, path, unix.O_RDONLY|unix.O_CLOEXEC, 0) })
	if err != nil {
		return 0, err
	}
	defer func() { _ = unix.Close(fd) }()
	return retry(func() (int, error) { return unix.Read(fd, buf) })
}

// retry repeats a system call that a signal interrupted.
func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != unix.EINTR {
			return n, err
		}
	}
}
