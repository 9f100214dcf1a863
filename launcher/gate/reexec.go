package gate

import (
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// gateName is the argument 0 by which the program knows that it is to be a gate.
const gateName = "berth-gate"

// order is what the gate is told of a Command.
type order struct {
	Path, Dir, PIDEnv, LateEnv string
	Args, Env                  []string
	Grouped                    bool // the descriptor after the gate is the group's
}

// startByExec makes the child by executing the running program again. It is
// given its command over the gate; see Main.
func startByExec(c *Command, conn *os.File, theirs int) (*Child, error) {
	gate, err := unix.FcntlInt(uintptr(theirs), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Path, err)
	}
	gateFile := os.NewFile(uintptr(gate), "gate")
	defer gateFile.Close()

	pidfd := -1
	files := append(append([]*os.File(nil), c.Files...), gateFile)
	if c.Group != nil {
		files = append(files, c.Group.file)
	}
	sys := &syscall.SysProcAttr{Setsid: true, PidFD: &pidfd}
	if c.Cgroup != nil {
		sys.UseCgroupFD, sys.CgroupFD = true, int(c.Cgroup.Fd())
	}
	process, err := os.StartProcess("/proc/self/exe", []string{gateName, strconv.Itoa(len(c.Files))}, &os.ProcAttr{
		Env:   []string{},
		Files: files,
		Sys:   sys,
	})
	if err != nil && c.Cgroup != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.ENOMEM) {
		return nil, fmt.Errorf("start %s: %w: %w", c.Path, ErrCgroup, err)
	}
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Path, err)
	}
	child := &Child{PID: process.Pid, pidfd: pidfd, release: func() {}}
	child.tellLate = func(value string) error { return gob.NewEncoder(conn).Encode(value) }
	_ = process.Release()
	if pidfd < 0 {
		// The child is not waited for by anybody else: its id is its own.
		child.pidfd, err = unix.PidfdOpen(child.PID, 0)
	}
	if err == nil {
		err = gob.NewEncoder(conn).Encode(order{
			Path: c.Path, Dir: c.Dir, PIDEnv: c.PIDEnv, LateEnv: c.LateEnv, Args: c.Args, Env: c.Env, Grouped: c.Group != nil,
		})
	}
	if err != nil {
		// Without its command the child reads the end of the file and exits.
		_ = conn.Close()
		var status syscall.WaitStatus
		_, _ = syscall.Wait4(child.PID, &status, 0, nil)
		if child.pidfd >= 0 {
			_ = unix.Close(child.pidfd)
		}
		return nil, fmt.Errorf("start %s: %w", c.Path, err)
	}
	return child, nil
}

// Main is the child's side where the program is executed again as the gate. A
// program that uses this package calls it first thing in main; it returns at
// once unless the program was started as a gate, and then it never returns.
func Main() {
	if len(os.Args) != 2 || os.Args[0] != gateName {
		return
	}
	n, err := strconv.Atoi(os.Args[1])
	if err != nil || n < 0 {
		os.Exit(127)
	}
	// What this program was given beyond the files goes with exec: the gate, and
	// descriptors of the starter that are not close-on-exec.
	if err := unix.CloseRange(uint(n), math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		for fd := n; fd < 1024; fd++ {
			unix.CloseOnExec(fd)
		}
	}
	gate := &unread{fd: n}
	var c order
	if err := gob.NewDecoder(gate).Decode(&c); err != nil {
		os.Exit(127)
	}
	report := func(step Step, err error) {
		var errno syscall.Errno
		errors.As(err, &errno)
		var b [reportSize]byte
		binary.NativeEndian.PutUint64(b[:8], uint64(step))
		binary.NativeEndian.PutUint64(b[8:], uint64(errno))
		_, _ = unix.Write(n, b[:])
		os.Exit(127)
	}
	if c.PIDEnv != "" {
		c.Env = append(c.Env, c.PIDEnv+"="+strconv.Itoa(os.Getpid()))
	}
	if c.Dir != "" {
		if err := unix.Chdir(c.Dir); err != nil {
			report(StepDir, err)
		}
	}
	if c.LateEnv != "" {
		var value string
		if err := gob.NewDecoder(gate).Decode(&value); err != nil {
			os.Exit(127)
		}
		c.Env = append(c.Env, c.LateEnv+"="+value)
	}
	if _, err := gate.ReadByte(); err != nil && !(err == io.EOF && c.Grouped && groupIsOpen(n+1)) {
		os.Exit(127)
	}
	// Exec also gives the program the limit of open files that this one had.
	report(StepExec, syscall.Exec(c.Path, c.Args, c.Env))
}

// groupIsOpen reads the file of a group.
func groupIsOpen(fd int) bool {
	var open [groupSize]byte
	n, err := unix.Pread(fd, open[:], 0)
	return err == nil && n == groupSize && open != [groupSize]byte{}
}

// unread reads the gate a byte at a time where asked, so that a decoder takes
// nothing that comes after its message: it is an io.ByteReader, which gob uses
// as it is.
type unread struct{ fd int }

func (u *unread) Read(p []byte) (int, error) {
	for {
		n, err := unix.Read(u.fd, p)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

func (u *unread) ReadByte() (byte, error) {
	var b [1]byte
	_, err := u.Read(b[:])
	return b[0], err
}
