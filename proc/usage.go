package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// ticksPerSecond is USER_HZ, in which the kernel tells times of /proc/PID/stat: 100 on all of Linux' processors but Alpha.
const ticksPerSecond = 100

// Usage is what processes use.
type Usage struct {
	// CPU is the processor time that they have had since each of them started, in user and kernel mode. That of children
	// that have ended is not in it.
	CPU time.Duration

	// Memory is what they have resident, in bytes. Pages that several of them share count for each.
	Memory uint64
}

// UsageOf adds up what processes use. Those that are gone use nothing.
func UsageOf(pids ...int) (Usage, error) {
	var sum Usage
	for _, pid := range pids {
		u, err := usageOf(pid)
		switch {
		case errors.Is(err, ErrGone):
		case err != nil:
			return Usage{}, fmt.Errorf("usage of pid %d: %w", pid, err)
		}
		sum.CPU += u.CPU
		sum.Memory += u.Memory
	}
	return sum, nil
}

// usageOf reads fields 14, 15 and 24 of /proc/PID/stat, as proc_pid_stat(5) numbers them.
func usageOf(pid int) (Usage, error) {
	var buf [statSize]byte
	n, err := readFile(unix.AT_FDCWD, "/proc/"+strconv.Itoa(pid)+"/stat", buf[:])
	if err != nil {
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
			err = ErrGone
		}
		return Usage{}, err
	}
	line := buf[:n]
	fields := bytes.Fields(line[bytes.LastIndexByte(line, ')')+1:]) // from field 3 on
	if len(fields) < 22 {
		return Usage{}, errStat
	}
	var numbers [3]uint64
	for i, field := range [3]int{14, 15, 24} {
		if numbers[i], err = strconv.ParseUint(string(fields[field-3]), 10, 64); err != nil {
			return Usage{}, errStat
		}
	}
	return Usage{
		CPU:    time.Duration(numbers[0]+numbers[1]) * (time.Second / ticksPerSecond),
		Memory: numbers[2] * uint64(os.Getpagesize()),
	}, nil
}

// Command reads the arguments that a process was exec'd with, or has put in their place. Those of a zombie are empty. The
// error is ErrGone where there is no such process.
func Command(pid int) ([]string, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, unix.ESRCH):
		return nil, ErrGone
	case err != nil:
		return nil, err
	case len(text) == 0:
		return nil, nil
	}
	var args []string
	for arg := range bytes.SplitSeq(bytes.TrimSuffix(text, []byte{0}), []byte{0}) {
		args = append(args, string(arg))
	}
	return args, nil
}
