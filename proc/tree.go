package proc

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Tree is a picture of all processes that can be seen, taken in one pass over /proc. Processes that start or end during the
// pass may be missing.
type Tree struct {
	processes map[int]kin
	children  map[int][]int
	sessions  map[int][]int
}

// kin is what a picture holds of a process.
type kin struct {
	parent, session int
	ended           bool
}

// Snapshot takes a picture of all processes.
func Snapshot() (*Tree, error) {
	t := &Tree{processes: map[int]kin{}, children: map[int][]int{}, sessions: map[int][]int{}}
	look := lookByPidfd
	var failed error
	err := eachPID(func(dir, pid int) {
		k, err := look(dir, pid)
		if err == errNoInfo {
			look = lookByStat
			k, err = look(dir, pid)
		}
		switch {
		case errors.Is(err, ErrGone), errors.Is(err, os.ErrPermission): // ended since it was listed, or hidden
			return
		case err != nil: // no descriptor left, say: a picture with holes would mislead
			failed = fmt.Errorf("look at pid %d: %w", pid, err)
			return
		}
		t.processes[pid] = k
		t.children[k.parent] = append(t.children[k.parent], pid)
		t.sessions[k.session] = append(t.sessions[k.session], pid)
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

var errNoInfo = errors.New("the kernel does not tell about a process by its pidfd")

// lookByPidfd asks for a process' kin by system calls, in a third of the time that the kernel takes to write a line of
// /proc/PID/stat. The error is errNoInfo before Linux 6.13.
func lookByPidfd(_, pid int) (kin, error) {
	fd, err := retry(func() (int, error) { return unix.PidfdOpen(pid, 0) })
	if err == unix.ESRCH {
		return kin{}, ErrGone
	}
	if err != nil {
		return kin{}, errNoInfo
	}
	defer func() { _ = unix.Close(fd) }()
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_PID}
	switch _, err := retry(func() (int, error) { return 0, unix.IoctlPidfdInfo(fd, &info) }); {
	case err == unix.ESRCH, err == unix.EREMOTE: // reaped meanwhile
		return kin{}, ErrGone
	case err != nil:
		return kin{}, errNoInfo
	}
	session, err := unix.Getsid(pid)
	if err != nil {
		return kin{}, ErrGone
	}
	return kin{parent: int(info.Ppid), session: session, ended: hasExited(fd)}, nil
}

// lookByStat reads a process' kin from /proc, open as dir.
func lookByStat(dir, pid int) (kin, error) {
	s, err := readStatAt(dir, strconv.Itoa(pid)+"/stat")
	if err != nil {
		return kin{}, err
	}
	return kin{parent: s.parent, session: s.session, ended: s.ended()}, nil
}

// Of lists the processes that come from the process pid: itself, the members of its session, their children and theirs,
// and the sessions that any of them leads; so also those whose parent has ended or that began a session of their own.
// Processes that have exited are left out. The process itself is first, if it is there.
//
// pid is taken as it was when the picture was taken: OfIdentity makes sure that it is the process that is meant.
func (t *Tree) Of(pid int) []int {
	if pid <= 0 {
		return nil
	}
	var found []int
	seen := map[int]bool{pid: true}
	queue := []int{pid}
	for len(queue) > 0 {
		next := queue[0]
		queue = queue[1:]
		if k, ok := t.processes[next]; ok && !k.ended {
			found = append(found, next)
		}
		for _, group := range [][]int{t.sessions[next], t.children[next]} {
			for _, member := range group {
				if !seen[member] {
					seen[member] = true
					queue = append(queue, member)
				}
			}
		}
	}
	return found
}

// Leaders lists the processes that lead a session, those that have exited left out.
func (t *Tree) Leaders() (pids []int) {
	for pid, k := range t.processes {
		if k.session == pid && !k.ended {
			pids = append(pids, pid)
		}
	}
	return pids
}

// OfIdentity is Of for the process that id names. It is empty when the pid is another process' now: then nothing is left of
// its session, which would have kept the number from being used again. It is empty, too, for a process that was reaped since
// the picture was taken: the next picture shows what it left.
func (t *Tree) OfIdentity(id Identity) []int {
	if boot, err := BootID(); err != nil || boot != id.BootID {
		return nil
	}
	if _, ok := t.processes[id.PID]; ok {
		// Who has the pid now and is that old had it in the picture.
		if s, err := readStat(id.PID); err != nil || s.start != id.StartTime {
			return nil
		}
	}
	return t.Of(id.PID)
}

// Descendants lists for each of several processes those that come from it, as Tree.Of does, in one pass over /proc.
func Descendants(roots ...int) (map[int][]int, error) {
	t, err := Snapshot()
	if err != nil {
		return nil, err
	}
	found := make(map[int][]int, len(roots))
	for _, root := range roots {
		found[root] = t.Of(root)
	}
	return found, nil
}

// Session lists the pids of the processes whose session is sid, those that have exited left out.
func Session(sid int) ([]int, error) {
	var found []int
	err := eachPID(func(dir, pid int) {
		if session, err := unix.Getsid(pid); err != nil || session != sid {
			return
		}
		if s, err := readStatAt(dir, strconv.Itoa(pid)+"/stat"); err == nil && !s.ended() && s.session == sid {
			found = append(found, pid)
		}
	})
	return found, err
}

// eachPID calls f for each process of /proc, with the descriptor of /proc.
func eachPID(f func(dir, pid int)) error {
	dir, err := retry(func() (int, error) {
		return unix.Open("/proc", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return fmt.Errorf("list processes: open /proc: %w", err)
	}
	defer func() { _ = unix.Close(dir) }()
	buf := make([]byte, 32<<10)
	var names []string
	for {
		n, err := retry(func() (int, error) { return unix.ReadDirent(dir, buf) })
		if err != nil {
			return fmt.Errorf("list processes: read /proc: %w", err)
		}
		if n == 0 {
			return nil
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names[:0])
		for _, name := range names {
			if pid, err := strconv.Atoi(name); err == nil {
				f(dir, pid)
			}
		}
	}
}
