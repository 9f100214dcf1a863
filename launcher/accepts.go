package launcher

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"berth/proc"
	"berth/sockdiag"

	"golang.org/x/sys/unix"
)

// accepts reports whether a process, or a descendant of it, waits for
// connections on a listening socket of one of its ports: by epoll(7), or in
// accept(2). What waits in another way is not seen. See proc_pid_fdinfo(5).
func accepts(p Process) bool {
	inodes := make(map[uint64]bool)
	for _, port := range p.Ports {
		list, err := sockdiag.Listeners(string(port.Protocol))
		if err != nil {
			return false
		}
		for _, s := range list {
			if int(s.Local.Port()) == port.Number {
				inodes[s.Inode] = true
			}
		}
	}
	for _, pid := range pidsOf(p) {
		dir := filepath.Join("/proc", strconv.Itoa(pid))
		if polls(dir, inodes) || blocksInAccept(dir, inodes) {
			return true
		}
	}
	return false
}

// isBusy reports whether a process, or a descendant of it, is at work, or would
// be if it had a processor or its disk.
func isBusy(p Process) bool { return slices.ContainsFunc(pidsOf(p), proc.Busy) }

// pidsOf are the pids of a process and of its descendants.
func pidsOf(p Process) []int {
	tree, err := proc.Snapshot()
	if err != nil {
		return []int{p.Identity.PID}
	}
	return tree.Of(p.Identity.PID)
}

// polls reports whether an epoll instance of a process watches one of the inodes.
func polls(dir string, inodes map[uint64]bool) bool {
	files, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err != nil {
		return false
	}
	for _, f := range files {
		if to, err := os.Readlink(filepath.Join(dir, "fd", f.Name())); err != nil || to != "anon_inode:[eventpoll]" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, "fdinfo", f.Name()))
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
			fields := strings.Fields(lines.Text())
			for _, field := range fields {
				hex, ok := strings.CutPrefix(field, "ino:")
				if inode, err := strconv.ParseUint(hex, 16, 64); ok && err == nil && fields[0] == "tfd:" && inodes[inode] {
					return true
				}
			}
		}
	}
	return false
}

// blocksInAccept reports whether a thread of a process is in accept(2) on one of the inodes.
func blocksInAccept(dir string, inodes map[uint64]bool) bool {
	threads, err := os.ReadDir(filepath.Join(dir, "task"))
	if err != nil {
		return false
	}
	for _, thread := range threads {
		text, err := os.ReadFile(filepath.Join(dir, "task", thread.Name(), "syscall"))
		fields := strings.Fields(string(text))
		if err != nil || len(fields) < 2 || !isAccept(fields[0]) {
			continue
		}
		fd, err := strconv.ParseUint(fields[1], 0, 64)
		if err != nil {
			continue
		}
		to, _ := os.Readlink(filepath.Join(dir, "fd", strconv.FormatUint(fd, 10)))
		if inode, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimPrefix(to, "socket:["), "]"), 10, 64); err == nil && inodes[inode] {
			return true
		}
	}
	return false
}

func isAccept(number string) bool {
	n, err := strconv.ParseInt(number, 10, 64)
	return err == nil && (n == unix.SYS_ACCEPT || n == unix.SYS_ACCEPT4)
}
