package sockdiag

import (
	"bytes"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// eachProcess calls f for each process, with the descriptor of /proc, until f says that it is enough.
func eachProcess(f func(dir, pid int) bool) error {
	dir, err := openDir(unix.AT_FDCWD, "/proc")
	if err != nil {
		return fmt.Errorf("list processes: open /proc: %w", err)
	}
	defer func() { _ = unix.Close(dir) }()
	err = eachName(dir, func(name string) bool {
		pid, err := strconv.Atoi(name)
		return err != nil || f(dir, pid)
	})
	if err != nil {
		return fmt.Errorf("list processes: read /proc: %w", err)
	}
	return nil
}

// scanFiles calls f with the inode of each socket that a process has open, until f says that it is enough. A process that
// cannot be read has none.
func scanFiles(proc, pid int, f func(inode uint64) bool) {
	dir, err := openDir(proc, strconv.Itoa(pid)+"/fd")
	if err != nil {
		return
	}
	defer func() { _ = unix.Close(dir) }()
	var link [64]byte
	// An error in the middle means that the process has ended.
	_ = eachName(dir, func(name string) bool {
		n, err := unix.Readlinkat(dir, name, link[:])
		if err != nil {
			return true
		}
		inode, ok := socketInode(link[:n])
		return !ok || f(inode)
	})
}

// socketInode reads the inode from "socket:[123]".
func socketInode(link []byte) (uint64, bool) {
	digits, ok := bytes.CutPrefix(link, []byte("socket:["))
	if !ok {
		return 0, false
	}
	digits, ok = bytes.CutSuffix(digits, []byte("]"))
	if !ok {
		return 0, false
	}
	inode, err := strconv.ParseUint(string(digits), 10, 64)
	return inode, err == nil
}

// eachName calls f for each name in a folder but "." and "..", until f says that it is enough.
func eachName(dir int, f func(name string) bool) error {
	buf := buffers.Get().(*[32 << 10]byte)
	defer buffers.Put(buf)
	var names []string
	for {
		n, err := retry(func() (int, error) { return unix.ReadDirent(dir, buf[:]) })
		if err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names[:0])
		for _, name := range names {
			if !f(name) {
				return nil
			}
		}
	}
}

func openDir(dir int, path string) (int, error) {
	return retry(func() (int, error) {
		return unix.Openat(dir, path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	})
}

// readFile reads the beginning of a file of /proc.
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
