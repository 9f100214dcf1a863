package gate

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"berth/launcher/gate/rlimit"

	"golang.org/x/sys/unix"
)

// block is all that the child reads and writes, with offsets known to the
// assembler. It lies in a mapping that Go neither moves nor gives back.
type block struct {
	path, argv, envp, dir uintptr
	files                 uintptr // source descriptors, 8 bytes each
	nfiles                uint64
	gate                  uint64
	mask                  uint64 // the empty signal set
	read                  uint64 // where the byte from the gate goes
	step, errno           uint64
	group                 uintptr // of the word that opens it with others, or 0
	clone                 cloneArgs
	pidfd                 int32 // written by the kernel
}

// cloneArgs is struct clone_args of clone3(2), its first 88 bytes.
type cloneArgs struct {
	flags, pidfd, childTID, parentTID, exitSignal uint64
	stack, stackSize, tls                         uint64
	setTID, setTIDSize, cgroup                    uint64
}

const stackSize = 4096

// pidDigits is the most digits of a process id.
const pidDigits = 10

// clone3 makes the child of a block. It returns the child's process id, or the
// negative errno.
//
//go:noescape
func clone3(b *block) (r uintptr)

// cloneRefused says that the kernel will not do it this way.
var cloneRefused atomic.Bool

func start(c *Command, conn *os.File, theirs int) (*Child, error) {
	if !cloneRefused.Load() && haveCloseRange() {
		child, err := startByClone(c, theirs)
		if err == nil || !cloneRefused.Load() {
			return child, err
		}
	}
	return startByExec(c, conn, theirs)
}

// haveCloseRange reports whether the kernel has close_range(2), which the child
// cannot do without. The range asked for is beyond every descriptor.
var haveCloseRange = sync.OnceValue(func() bool {
	return unix.CloseRange(1<<31-1, 1<<31-1, 0) == nil
})

// startByClone makes the child by clone3. Where the kernel does not have it or
// a filter refuses it, cloneRefused is set.
func startByClone(c *Command, theirs int) (*Child, error) {
	sources, closeSources, err := sourceFiles(c.Files, theirs)
	if err != nil {
		return nil, err
	}
	defer closeSources()

	m, b, at, err := newBlock(c, sources)
	if err != nil {
		return nil, err
	}
	if c.Cgroup != nil {
		b.clone.flags |= unix.CLONE_INTO_CGROUP
		b.clone.cgroup = uint64(c.Cgroup.Fd())
	}
	r := clone3(b)
	runtime.KeepAlive(c)
	if errno := syscall.Errno(-r); r > ^uintptr(4095) {
		_ = unix.Munmap(m)
		if c.Cgroup != nil && errno != unix.ENOSYS && errno != unix.EAGAIN && errno != unix.ENOMEM {
			return nil, fmt.Errorf("start %s: %w: clone3: %w", c.Path, ErrCgroup, errno)
		}
		switch errno {
		case unix.ENOSYS, unix.EINVAL, unix.EPERM:
			cloneRefused.Store(true)
		}
		return nil, fmt.Errorf("start %s: clone3: %w", c.Path, errno)
	}
	pid := int(r)
	if at.pid > 0 {
		// The child waits, and its memory is ours.
		strconv.AppendInt(m[at.pid:at.pid], int64(pid), 10)
	}
	if soft, hard, ok := rlimit.NoFile(); ok {
		// The program gets the limit that the daemon was given, not the one
		// that Go has raised for itself. The child waits, so it is not too late.
		_ = unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: soft, Max: hard}, nil)
	}
	return &Child{
		PID:     pid,
		pidfd:   int(b.pidfd),
		release: func() { _ = unix.Munmap(m) },
		tellLate: func(value string) error {
			clear(m[at.late : at.late+c.LateSize])
			copy(m[at.late:at.late+c.LateSize], value)
			return nil
		},
	}, nil
}

// sourceFiles returns descriptors of the files and, last, of the gate, that
// all lie above the places that they are copied to: none is overwritten
// before it was copied.
func sourceFiles(files []*os.File, gate int) (fds []int, closeAll func(), err error) {
	lowest := len(files) + 1
	var copies []int
	closeAll = func() {
		for _, fd := range copies {
			_ = unix.Close(fd)
		}
		runtime.KeepAlive(files)
	}
	add := func(fd int) error {
		if fd < lowest {
			moved, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, lowest)
			if err != nil {
				return err
			}
			copies = append(copies, moved)
			fd = moved
		}
		fds = append(fds, fd)
		return nil
	}
	for _, f := range files {
		raw, err := f.SyscallConn()
		if err == nil {
			var addErr error
			err = raw.Control(func(fd uintptr) { addErr = add(int(fd)) })
			if err == nil {
				err = addErr
			}
		}
		if err != nil {
			closeAll()
			return nil, nil, fmt.Errorf("take over %s: %w", f.Name(), err)
		}
	}
	if err := add(gate); err != nil {
		closeAll()
		return nil, nil, err
	}
	return fds, closeAll, nil
}

// places are where values belong that are known later: the child's process id,
// 0 where it does not want it, and that of LateEnv.
type places struct{ pid, late int }

// newBlock maps memory for the child and writes all that it needs into it: the
// block, the stack, the pointer arrays and the strings.
func newBlock(c *Command, sources []int) (m []byte, b *block, at places, err error) {
	files := sources[:len(sources)-1]
	size := int(unsafe.Sizeof(block{})) + stackSize + 64 + 8*(len(files)+len(c.Args)+len(c.Env)+4)
	size += len(c.Path) + len(c.Dir) + 2 + len(c.PIDEnv) + len("=") + pidDigits + 1
	size += len(c.LateEnv) + len("=") + c.LateSize + 1
	for _, s := range c.Args {
		size += len(s) + 1
	}
	for _, s := range c.Env {
		size += len(s) + 1
	}
	m, err = unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, nil, at, fmt.Errorf("map memory for the start of %s: %w", c.Path, err)
	}
	base := uintptr(unsafe.Pointer(&m[0]))
	b = (*block)(unsafe.Pointer(&m[0]))
	next := (int(unsafe.Sizeof(block{})) + 15) &^ 15
	stack := next
	next += stackSize

	word := func(at int, v uintptr) { binary.NativeEndian.PutUint64(m[at:], uint64(v)) }
	filesAt := next
	for i, fd := range files {
		word(filesAt+8*i, uintptr(fd))
	}
	argvAt := filesAt + 8*len(files)
	envpAt := argvAt + 8*(len(c.Args)+1)
	next = envpAt + 8*(len(c.Env)+3)
	text := func(s string) uintptr {
		at := base + uintptr(next)
		next += copy(m[next:], s) + 1
		return at
	}
	b.path = text(c.Path)
	if c.Dir != "" {
		b.dir = text(c.Dir)
	}
	for i, s := range c.Args {
		word(argvAt+8*i, text(s))
	}
	for i, s := range c.Env {
		word(envpAt+8*i, text(s))
	}
	last := envpAt + 8*len(c.Env)
	reserve := func(name string, size int) int {
		word(last, text(name+"="))
		last += 8
		next += size // zeros, the one at the end included
		return next - 1 - size
	}
	if c.PIDEnv != "" {
		at.pid = reserve(c.PIDEnv, pidDigits)
	}
	if c.LateEnv != "" {
		at.late = reserve(c.LateEnv, c.LateSize)
	}
	b.argv, b.envp = base+uintptr(argvAt), base+uintptr(envpAt)
	b.files, b.nfiles = base+uintptr(filesAt), uint64(len(files))
	b.gate = uint64(sources[len(sources)-1])
	if c.Group != nil {
		b.group = c.Group.address()
	}
	b.clone = cloneArgs{
		flags:      unix.CLONE_VM | unix.CLONE_PIDFD | unix.CLONE_CLEAR_SIGHAND,
		pidfd:      uint64(uintptr(unsafe.Pointer(&b.pidfd))),
		exitSignal: uint64(unix.SIGCHLD),
		stack:      uint64(base) + uint64(stack),
		stackSize:  stackSize,
	}
	return m, b, at, nil
}
