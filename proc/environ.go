package proc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// environLimit bounds what is read of an environment, in bytes: the kernel takes no more than 6 MiB of arguments and
// environment by default.
const environLimit = 8 << 20

// Environ reads the environment that a process was exec'd with, as name and value. Of a name that is there twice the first
// one counts, as for getenv(3). The error is ErrGone where there is no such process, and wraps os.ErrPermission
// for a process of another user. A zombie's environment is empty.
func Environ(pid int) (map[string]string, error) {
	environ := map[string]string{}
	err := eachVariable(pid, func(name, value []byte) bool {
		if _, twice := environ[string(name)]; !twice {
			environ[string(name)] = string(value)
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	return environ, nil
}

// EnvironValue looks up one variable of the environment that a process was exec'd with. Errors are those of Environ.
func EnvironValue(pid int, name string) (value string, ok bool, err error) {
	err = eachVariable(pid, func(n, v []byte) bool {
		if string(n) != name {
			return true
		}
		value, ok = string(v), true
		return false
	})
	return value, ok, err
}

// eachVariable calls f for each variable of an environment until f says that it is enough.
func eachVariable(pid int, f func(name, value []byte) bool) error {
	environ, err := readEnviron(pid)
	if err != nil {
		return fmt.Errorf("read environment of pid %d: %w", pid, err)
	}
	for entry := range bytes.SplitSeq(environ, []byte{0}) {
		if name, value, ok := bytes.Cut(entry, []byte("=")); ok && !f(name, value) {
			return nil
		}
	}
	return nil
}

func readEnviron(pid int) ([]byte, error) {
	file, err := os.Open("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, ErrGone
		}
		return nil, errors.Unwrap(err)
	}
	defer func() { _ = file.Close() }()
	environ, err := io.ReadAll(io.LimitReader(file, environLimit))
	if errors.Is(err, unix.ESRCH) {
		return nil, ErrGone
	}
	return environ, err
}
