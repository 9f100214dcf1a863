package launcher

import (
	"errors"
	"os"
	"strconv"
	"time"

	"berth/launcher/gate"
	"berth/proc"
)

// makeCgroup makes the cgroup that a process is to be started in. It is nil where
// none is wanted, or none can be had, which is logged: then the process shares
// the daemon's.
func (l *Launcher) makeCgroup(p Process) (folder *os.File, path string) {
	if l.Cgroups == nil {
		return nil, ""
	}
	folder, err := l.Cgroups.Make(p.ID)
	if err != nil {
		l.Logger.Error("a process gets no cgroup of its own", "process", p.Title(), "error", err)
		return nil, ""
	}
	return folder, l.Cgroups.Path(p.ID)
}

// startIn starts a child in its cgroup, or without one where the kernel refuses
// that. It returns the path of the cgroup that the child is in, if it has one.
func (l *Launcher) startIn(p Process, command gate.Command) (*gate.Child, string, error) {
	folder, path := l.makeCgroup(p)
	if folder == nil {
		child, err := gate.Start(command)
		return child, "", err
	}
	defer folder.Close()
	command.Cgroup = folder
	child, err := gate.Start(command)
	if err == nil {
		return child, path, nil
	}
	_, _ = l.Cgroups.Remove(path)
	if !errors.Is(err, gate.ErrCgroup) {
		return nil, "", err
	}
	l.Logger.Error("a process gets no cgroup of its own", "process", p.Title(), "error", err)
	command.Cgroup = nil
	child, err = gate.Start(command)
	return child, "", err
}

// hasCgroup reports whether the record of a process names a cgroup that is ours.
func (l *Launcher) hasCgroup(p Process) bool {
	return l.Cgroups != nil && p.Cgroup != "" && l.Cgroups.Ours(p.Cgroup, p.ID)
}

// killCgroup kills what is in the cgroup of a process, unless somebody is there
// who does not come from it, and reports whether all of it ends now.
func (l *Launcher) killCgroup(p Process) bool {
	if !l.hasCgroup(p) {
		return false
	}
	members, err := l.Cgroups.Members(p.Cgroup)
	if err == nil && len(members) == 0 {
		return true // who is just ending is not listed any more
	}
	for _, pid := range members {
		if why := l.stranger(p, pid); why != "" {
			l.Logger.Error("the cgroup of a process is not killed: somebody else is in it", "process", p.Title(), "cgroup", p.Cgroup, "pid", pid, "why", why)
			return false
		}
	}
	if err == nil {
		err = l.Cgroups.Kill(p.Cgroup)
	}
	if err != nil {
		l.Logger.Error("the cgroup of a process cannot be killed", "process", p.Title(), "cgroup", p.Cgroup, "error", err)
		return false
	}
	return true
}

// stranger tells why a member of the cgroup of a process does not come from it;
// it is empty where it does. Who is in a cgroup was started there, or was moved there by somebody
// who may: one who was there before the process, this daemon, or a process of
// another state folder or id, which a daemon in the cgroup has started.
func (l *Launcher) stranger(p Process, pid int) (why string) {
	if pid == 0 || pid == os.Getpid() {
		return "it is this daemon, or cannot be seen"
	}
	id, err := proc.Identify(pid)
	if errors.Is(err, proc.ErrGone) {
		return ""
	}
	if err != nil {
		return err.Error()
	}
	if id.StartTime < p.Identity.StartTime {
		return "it is older than the process"
	}
	environ, err := proc.Environ(pid)
	if err != nil {
		return "" // it has other rights by now, or is gone
	}
	if state, ok := environ["BERTH_STATE_ID"]; ok && state != l.StateID {
		return "it is of another state folder"
	}
	if name, ok := environ["BERTH_PROCESS_ID"]; ok && name != strconv.Itoa(p.ID) {
		return "it is of process " + strconv.Quote(name)
	}
	return ""
}

// emptyCgroup kills what a process that is gone has left in its cgroup, and
// waits until it has ended.
func (l *Launcher) emptyCgroup(p Process) {
	if !l.killCgroup(p) || l.Cgroups.AwaitEmpty(p.Cgroup, groupPatience) {
		return
	}
	l.Logger.Error("what a process has left in its cgroup does not end although it was killed", "process", p.Title(), "cgroup", p.Cgroup)
}

// The pauses between two looks at a cgroup that is to be removed and is not empty.
const (
	firstCgroupPause   = 100 * time.Millisecond
	longestCgroupPause = 30 * time.Second
)

// removeCgroup removes the cgroup of a process that has ended, as soon as nobody
// is in it.
func (l *Launcher) removeCgroup(p Process) {
	if l.hasCgroup(p) {
		l.removeCgroupAt(p.Cgroup)
	}
}

func (l *Launcher) removeCgroupAt(path string) {
	remove := func() (done bool) {
		gone, err := l.Cgroups.Remove(path)
		if err != nil {
			l.Logger.Error("a cgroup cannot be removed", "cgroup", path, "error", err)
		}
		return gone || err != nil
	}
	if remove() {
		return
	}
	l.owners.Go(func() {
		for pause := firstCgroupPause; ; pause = min(2*pause, longestCgroupPause) {
			select {
			case <-l.life.Done():
				return
			case <-time.After(pause):
			}
			if remove() {
				return
			}
		}
	})
}

// sweepCgroups removes the cgroups that no process has: those of processes that
// have ended, and what was left by a daemon that died before it started one.
// Those that are not empty are removed later.
func (l *Launcher) sweepCgroups() {
	if l.Cgroups == nil {
		return
	}
	used := make(map[string]bool)
	left := make(map[string]bool)
	l.mu.Lock()
	for _, u := range l.units {
		switch p := u.snapshot(); {
		case p.Live():
			used[p.Cgroup] = true
		case l.hasCgroup(p):
			left[p.Cgroup] = true // below another daemon's cgroup, perhaps
		}
	}
	l.mu.Unlock()
	ids, err := l.Cgroups.IDs()
	if err != nil {
		l.Logger.Error("cannot look for left cgroups", "error", err)
	}
	for _, id := range ids {
		left[l.Cgroups.Path(id)] = true
	}
	for path := range left {
		if !used[path] {
			l.removeCgroupAt(path)
		}
	}
}
