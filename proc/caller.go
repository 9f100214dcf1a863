package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"
)

// ErrNoCaller says that nobody is left who has started this process.
var ErrNoCaller = errors.New("whoever called has ended")

// forkNoExec is PF_FORKNOEXEC: the process was forked and has not exec'd since.
const forkNoExec = 0x40

// Caller tells which process has called this one: its nearest ancestor that was
// exec'd. The subshells in which a shell runs $(… | …) and the like were not;
// they are passed over, up to the shell itself. The error is ErrNoCaller where
// an ancestor has ended, and ErrUnseen where one cannot be seen.
func Caller() (pid int, err error) {
	if _, err := OwnNamespace(); err != nil {
		return 0, err
	}
	for pid = os.Getppid(); ; {
		if pid == 0 {
			return 0, fmt.Errorf("it is of another pid namespace: %w", ErrUnseen)
		}
		s, err := readStat(pid)
		switch {
		case errors.Is(err, ErrGone):
			return 0, ErrNoCaller
		case errors.Is(err, os.ErrPermission):
			return 0, fmt.Errorf("pid %d: %w", pid, ErrUnseen)
		case err != nil:
			return 0, fmt.Errorf("look at pid %d: %w", pid, err)
		case s.flags&forkNoExec != 0 && pid != 1:
			pid = s.parent
			continue
		}
		if name := Name(pid); pid == 1 && (name == "systemd" || name == "init") {
			return 0, ErrNoCaller // it has taken in who was left alone
		}
		return pid, nil
	}
}

// Name is the short name of a process' command, at most 15 characters, all
// printable. It is empty where there is no such process.
func Name(pid int) string {
	var buf [64]byte
	n, err := readFile(unix.AT_FDCWD, "/proc/"+strconv.Itoa(pid)+"/comm", buf[:])
	if err != nil {
		return ""
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, string(bytes.ToValidUTF8(bytes.TrimSuffix(buf[:n], []byte("\n")), []byte("?"))))
}
