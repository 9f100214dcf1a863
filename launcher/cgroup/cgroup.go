package cgroup

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrUnsupported says that processes cannot have cgroups here; its text says why.
var ErrUnsupported = errors.New("processes cannot have cgroups of their own here")

// Parent is the cgroup below which those of a state folder's processes lie.
type Parent struct {
	mount string // where the file system is mounted
	root  string // the cgroup that is mounted there, "/" but for containers
	name  string // of a parent: berth-<hash>
	path  string // of this one, as in /proc/PID/cgroup
}

// namePrefix begins the names of all parents.
const namePrefix = "berth-"

// Open makes the parent for a state folder below the cgroup of this process. A
// daemon that was started from within a process of a state folder leaves that
// one's cgroup first, because it would be killed with it. The error is
// ErrUnsupported where there is no such file system, kernel, or right.
func Open(stateID string) (*Parent, error) {
	mount, root, err := findMount()
	if err != nil {
		return nil, err
	}
	own, err := Of(os.Getpid())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	sum := sha256.Sum256([]byte("berth cgroup " + stateID)) // anybody can see the names, and the id is not for everybody
	p := &Parent{mount: mount, root: root, name: namePrefix + hex.EncodeToString(sum[:16])}
	if outer, inside := outside(own); inside {
		dir, err := p.dir(outer)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte("0"), 0)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: this daemon cannot leave the cgroup of the process that it was started from: %w", ErrUnsupported, err)
		}
		own = outer
	}
	p.path = filepath.Join(own, p.name)
	dir, err := p.dir(p.path)
	if err == nil {
		if err = os.Mkdir(dir, 0o755); errors.Is(err, fs.ErrExist) {
			err = nil
		}
	}
	if err == nil {
		if _, statErr := os.Stat(filepath.Join(dir, "cgroup.kill")); statErr != nil {
			err = errors.New("there is no cgroup.kill, which came with Linux 5.14")
		}
	}
	if err == nil {
		err = p.try()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return p, nil
}

// try starts a child in a cgroup. Linux 6.18 compares how often the cgroup of
// the parent and that of the child were killed, and kills the child if it is not
// the same: where the daemon lives in a cgroup that was, nothing can be started.
func (p *Parent) try() error {
	program, err := exec.LookPath("true")
	if err != nil {
		return nil // the first process will tell
	}
	const nobody = 0 // no process has that id
	folder, err := p.Make(nobody)
	if err != nil {
		return err
	}
	defer folder.Close()
	defer p.Remove(p.Path(nobody))
	cmd := exec.Command(program)
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(folder.Fd())}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("a program that was started in the cgroup %s ended: %w", p.Path(nobody), err)
	}
	return nil
}

// Close removes the parent if no cgroup is left below it. It may be called twice,
// and Make makes it again.
func (p *Parent) Close() error {
	dir, err := p.dir(p.path)
	if err == nil {
		err = unix.Rmdir(dir)
	}
	if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.ENOTEMPTY) || isGone(err) {
		return nil
	}
	return err
}

// findMount returns where version 2 is mounted, alone or beside version 1, and
// which cgroup its root is.
func findMount() (mount, root string, err error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", "", fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	for line := range strings.Lines(string(text)) {
		// proc_pid_mountinfo(5): the root is field 4, the place 5, and the type is
		// the first after the dash.
		before, after, _ := strings.Cut(line, " - ")
		field, kind := strings.Fields(before), strings.Fields(after)
		if len(field) > 4 && len(kind) > 0 && kind[0] == "cgroup2" {
			return field[4], field[3], nil
		}
	}
	return "", "", fmt.Errorf("%w: no file system of type cgroup2 is mounted", ErrUnsupported)
}

// Of returns the cgroup of a process.
func Of(pid int) (string, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return "", err
	}
	for line := range bytes.Lines(text) {
		if path, ok := bytes.CutPrefix(bytes.TrimSuffix(line, []byte("\n")), []byte("0::")); ok {
			return strings.TrimSuffix(string(path), " (deleted)"), nil
		}
	}
	return "", fmt.Errorf("process %d is in no cgroup of version 2", pid)
}

// outside returns the cgroup around that of a process of any state folder, if
// path lies in one.
func outside(path string) (outer string, inside bool) {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if hash, ok := strings.CutPrefix(part, namePrefix); ok && len(hash) == 32 && i+1 < len(parts) {
			return "/" + strings.Join(parts[1:i], "/"), true
		}
	}
	return path, false
}

// dir is the folder of a cgroup.
func (p *Parent) dir(path string) (string, error) {
	below, err := filepath.Rel(p.root, path)
	if err != nil || !filepath.IsLocal(below) {
		return "", fmt.Errorf("the cgroup %s cannot be seen below %s", path, p.mount)
	}
	return filepath.Join(p.mount, below), nil
}

// Path is that of the cgroup of a process, as in /proc/PID/cgroup. It need not exist.
func (p *Parent) Path(id int) string { return filepath.Join(p.path, strconv.Itoa(id)) }

// Ours reports whether a path can be that of the cgroup of a process of the
// state folder: below this parent, or that of a daemon which lived elsewhere.
func (p *Parent) Ours(path string, id int) bool {
	return filepath.IsAbs(path) && filepath.Clean(path) == path &&
		filepath.Base(path) == strconv.Itoa(id) && filepath.Base(filepath.Dir(path)) == p.name
}

// Make makes the cgroup of a process, and opens its folder for the process to
// be started in. One that is there, left from before a restart or by a daemon
// that died in between, is removed first: with Linux 6.18, whoever is started in a cgroup
// that was once killed is killed as well. One that is not empty is an error.
func (p *Parent) Make(id int) (*os.File, error) {
	path := p.Path(id)
	dir, err := p.dir(path)
	if err != nil {
		return nil, err
	}
	err = os.Mkdir(dir, 0o755)
	switch {
	case errors.Is(err, fs.ErrNotExist): // the parent is gone with a reboot, or was removed
		if err = os.Mkdir(filepath.Dir(dir), 0o755); err == nil || errors.Is(err, fs.ErrExist) {
			err = os.Mkdir(dir, 0o755)
		}
	case errors.Is(err, fs.ErrExist):
		var gone bool
		if gone, err = p.Remove(path); err == nil && !gone {
			err = fmt.Errorf("there are processes in the cgroup %s already", path)
		}
		if err == nil {
			err = os.Mkdir(dir, 0o755)
		}
	}
	if err != nil {
		return nil, err
	}
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	return os.NewFile(uintptr(fd), dir), nil
}

// IDs are the processes that have a cgroup below this parent.
func (p *Parent) IDs() ([]int, error) {
	dir, err := p.dir(p.path)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var ids []int
	for _, e := range entries {
		if id, err := strconv.Atoi(e.Name()); err == nil && id > 0 && e.IsDir() {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// Members are the processes in a cgroup and those below it. A cgroup that is
// not there has none.
func (p *Parent) Members(path string) (pids []int, err error) {
	dir, err := p.dir(path)
	if err != nil {
		return nil, err
	}
	err = eachBelow(dir, func(dir string) error {
		text, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		for word := range strings.FieldsSeq(string(text)) {
			if pid, atoiErr := strconv.Atoi(word); atoiErr == nil {
				pids = append(pids, pid) // 0 is a process that cannot be seen from here
			}
		}
		if isGone(err) || errors.Is(err, unix.EOPNOTSUPP) { // of threads, whose processes are above
			return nil
		}
		return err
	})
	return pids, err
}

// Kill kills all processes in a cgroup and below it. It does not wait for their end.
func (p *Parent) Kill(path string) error {
	dir, err := p.dir(path)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0)
	}
	if isGone(err) {
		return nil
	}
	return err
}

// AwaitEmpty waits until no processes are left in a cgroup, at most for a
// while, and reports whether none are.
func (p *Parent) AwaitEmpty(path string, limit time.Duration) bool {
	dir, err := p.dir(path)
	if err != nil {
		return false
	}
	deadline := time.Now().Add(limit)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		if populated, err := isPopulated(dir); err == nil && !populated {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(pause)
	}
}

// Remove removes a cgroup and those below it, if no processes are left in
// them, and reports whether it is gone.
func (p *Parent) Remove(path string) (bool, error) {
	dir, err := p.dir(path)
	if err != nil {
		return false, err
	}
	if populated, err := isPopulated(dir); err != nil || populated {
		return false, err
	}
	var all []string
	if err := eachBelow(dir, func(dir string) error {
		all = append(all, dir)
		return nil
	}); err != nil {
		return false, err
	}
	slices.Reverse(all)
	for _, dir := range all {
		if err := unix.Rmdir(dir); errors.Is(err, unix.EBUSY) {
			return false, nil
		} else if err != nil && !isGone(err) {
			return false, &fs.PathError{Op: "rmdir", Path: dir, Err: err}
		}
	}
	return true, nil
}

// isPopulated reports whether there are processes in a cgroup or below it. One
// that is not there has none.
func isPopulated(dir string) (bool, error) {
	text, err := os.ReadFile(filepath.Join(dir, "cgroup.events"))
	if isGone(err) {
		return false, nil
	}
	return !strings.Contains(string(text), "populated 0"), err
}

// eachBelow calls f with the folder of a cgroup and those below it, each before
// what lies in it.
func eachBelow(dir string, f func(dir string) error) error {
	if err := f(dir); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if isGone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := eachBelow(filepath.Join(dir, e.Name()), f); err != nil {
				return err
			}
		}
	}
	return nil
}

// isGone reports whether an error is that of a cgroup that was removed.
func isGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV)
}
