package sockdiag

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"
)

// Owner is a process that has a socket open.
type Owner struct {
	// PID is the process' number, or 0 where it is not known.
	PID int

	// Command is the short name of the program: at most 64 characters, all printable. It may be empty.
	Command string
}

// String names the owner in a message: "pid 77 (nginx)", or "another process" where it is not known.
func (o Owner) String() string {
	switch {
	case o.PID == 0:
		return "another process"
	case o.Command == "":
		return fmt.Sprintf("pid %d", o.PID)
	default:
		return fmt.Sprintf("pid %d (%s)", o.PID, o.Command)
	}
}

// IsProxy reports whether the owner is a container engine's port proxy, which listens on behalf of a process that cannot be
// seen from here.
func (o Owner) IsProxy() bool {
	return o.Command == "docker-proxy" || o.Command == "rootlessport"
}

// Find tells which process is bound to a port: the first one seen that has a listening socket there or, where nobody listens,
// another socket (bound only, or connected). It reports false where nothing is bound to the port, and where
// the owner cannot be seen; OnPort tells the two apart.
func Find(protocol string, port int) (Owner, bool, error) {
	sockets, err := OnPort(protocol, port)
	if err == nil && len(sockets) == 0 {
		sockets, err = list(protocol, uint16(port), stateOwned)
	}
	if err != nil || len(sockets) == 0 {
		return Owner{}, false, err
	}
	wanted := make(map[uint64]bool, len(sockets))
	for _, s := range sockets {
		wanted[s.Inode] = true
	}
	var found Owner
	err = eachProcess(func(dir, pid int) bool {
		scanFiles(dir, pid, func(inode uint64) bool {
			if wanted[inode] {
				found = Owner{PID: pid, Command: command(dir, pid)}
			}
			return found.PID == 0
		})
		return found.PID == 0
	})
	return found, found.PID != 0, err
}

// Owners tells for each inode which processes have that socket open. Of one that several processes share it names at least the
// first one seen: the search ends when every inode has an owner. An inode whose owner cannot be seen, being another user's
// or in another pid namespace, is missing from the answer.
func Owners(inodes ...uint64) (map[uint64][]Owner, error) {
	missing := make(map[uint64]bool, len(inodes))
	for _, inode := range inodes {
		missing[inode] = true
	}
	wanted := len(missing)
	owners := make(map[uint64][]Owner, wanted)
	if wanted == 0 {
		return owners, nil
	}
	err := eachProcess(func(dir, pid int) bool {
		var has []uint64
		scanFiles(dir, pid, func(inode uint64) bool {
			if missing[inode] && !slices.Contains(has, inode) {
				has = append(has, inode)
			}
			return true
		})
		if len(has) > 0 {
			owner := Owner{PID: pid, Command: command(dir, pid)}
			for _, inode := range has {
				owners[inode] = append(owners[inode], owner)
			}
		}
		return len(owners) < wanted
	})
	if err != nil {
		return nil, err
	}
	return owners, nil
}

// OwnedBy tells which of the wanted inodes the given processes have open, and for each the first of them that has it. Processes
// that have ended or cannot be read are passed over. It looks at those processes only, and ends when all are found.
func OwnedBy(pids []int, inodes map[uint64]bool) map[uint64]int {
	wanted := 0
	for _, w := range inodes {
		if w {
			wanted++
		}
	}
	owned := make(map[uint64]int, min(wanted, len(pids)))
	if wanted == 0 || len(pids) == 0 {
		return owned
	}
	dir, err := openDir(unix.AT_FDCWD, "/proc")
	if err != nil {
		return owned
	}
	defer func() { _ = unix.Close(dir) }()
	for _, pid := range pids {
		scanFiles(dir, pid, func(inode uint64) bool {
			if _, found := owned[inode]; !found && inodes[inode] {
				owned[inode] = pid
			}
			return len(owned) < wanted
		})
		if len(owned) == wanted {
			break
		}
	}
	return owned
}

// commandLimit bounds a command's name, in characters.
const commandLimit = 64

// commLimit is what the kernel keeps of a program's name, in bytes.
const commLimit = 15

// command tells the short name of a process: the kernel's or, where that is cut off or empty, the base name of its first
// argument.
func command(dir, pid int) string {
	folder := strconv.Itoa(pid)
	var buf [256]byte
	n, _ := readFile(dir, folder+"/comm", buf[:])
	name := string(bytes.TrimSuffix(buf[:max(n, 0)], []byte("\n")))
	if name != "" && len(name) < commLimit {
		return printable(name)
	}
	n, _ = readFile(dir, folder+"/cmdline", buf[:])
	first, _, _ := strings.Cut(string(buf[:max(n, 0)]), "\x00")
	if base := path.Base(first); first != "" && strings.HasPrefix(base, name) {
		name = base
	}
	return printable(name)
}

// printable replaces what must not reach a terminal.
func printable(name string) string {
	var b strings.Builder
	count := 0
	for _, r := range name {
		if count++; count > commandLimit {
			break
		}
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			r = '?'
		}
		b.WriteRune(r)
	}
	return b.String()
}
