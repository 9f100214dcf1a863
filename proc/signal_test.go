package proc_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"berth/internal/require"
	"berth/proc"
)

func TestSignal(t *testing.T) {
	c := start(t, self("block", ""))
	p := open(t, c.pid)
	if err := p.Signal(0); err != nil {
		t.Error(err)
	}
	if err := p.Signal(200); !errors.Is(err, unix.EINVAL) {
		t.Errorf("signal 200: %v, want EINVAL", err)
	}
	if err := p.Signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := p.Exited(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.Signal(unix.SIGKILL); !errors.Is(err, proc.ErrGone) {
		t.Errorf("to a zombie: %v, want ErrGone", err)
	}
	if exit, err := p.Reap(); err != nil || exit.Signal != unix.SIGKILL {
		t.Errorf("%v, %v", exit, err)
	}
	if err := p.Signal(unix.SIGKILL); !errors.Is(err, proc.ErrGone) {
		t.Errorf("after the reaping: %v, want ErrGone", err)
	}
}

// startGroup starts a leader with a member of its group, each with its own input.
func startGroup(t *testing.T) (leader *child, member int) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	cmd := self("group", "")
	cmd.ExtraFiles = []*os.File{r}
	leader = start(t, cmd)
	_ = r.Close()
	return leader, leader.number(t)
}

func TestSignalGroup(t *testing.T) {
	for _, test := range []struct {
		name   string
		before func(t *testing.T, leader *proc.Process, in interface{ Close() error })
		newer  bool // needs Linux 6.9
	}{
		{"the leader runs", func(*testing.T, *proc.Process, interface{ Close() error }) {}, false},
		{"the leader has exited", func(t *testing.T, leader *proc.Process, in interface{ Close() error }) {
			_ = in.Close()
			if err := leader.Exited(t.Context()); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"the leader was reaped", func(t *testing.T, leader *proc.Process, in interface{ Close() error }) {
			_ = in.Close()
			if _, err := leader.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.newer && !kernel(t, 6, 9) {
				require.Missing(t, "a kernel that signals the group of a reaped leader", "run the tests on Linux 6.9 or later")
			}
			c, pid := startGroup(t)
			leader, member := open(t, c.pid), open(t, pid)
			test.before(t, leader, c.in)
			if err := leader.SignalGroup(unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if err := member.Exited(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := leader.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			if exit, err := member.Reap(); err != nil || exit.Known && exit.Signal != unix.SIGKILL {
				t.Errorf("the member ended with %v, %v", exit, err)
			}
		})
	}
}

func TestSignalGroupOfNone(t *testing.T) {
	c, pid := startGroup(t)
	if err := open(t, pid).SignalGroup(unix.SIGKILL); !errors.Is(err, proc.ErrGone) {
		t.Errorf("a member that leads no group: %v, want ErrGone", err)
	}
	leader := open(t, c.pid)
	if err := leader.Signal(0); err != nil {
		t.Errorf("the leader was signalled through a member: %v", err)
	}

	alone := open(t, start(t, self("exit", "0")).pid)
	if _, err := alone.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := alone.SignalGroup(unix.SIGKILL); !errors.Is(err, proc.ErrGone) {
		t.Errorf("a group without members: %v, want ErrGone", err)
	}
}

// On a kernel that knows neither group signals by pidfd nor exit statuses, the group of an unreaped leader is signalled still.
func TestOldKernel(t *testing.T) {
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		require.Missing(t, "a little-endian machine with 64 bits, for its system call filter", "run the tests on amd64 or arm64")
	}
	c := start(t, self("oldkernel", ""))
	if said := c.line(t); said != "done" {
		t.Error(said)
	}
	if exit, err := open(t, c.pid).Wait(t.Context()); err != nil || exit != (proc.Exit{Known: true}) {
		t.Errorf("%v, %v", exit, err)
	}
}

// oldKernel is the child of TestOldKernel.
func oldKernel(string) {
	if err := forgetNewCalls(); err != nil {
		fmt.Println("filter system calls:", err)
		return
	}
	cmd := exec.Command("sh", "-c", "sleep 1000 & echo $!; wait")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	var pid int
	if _, err := fmt.Fscan(out, &pid); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(signalOldGroup(cmd.Process.Pid, pid))
}

func signalOldGroup(leaderPID, memberPID int) string {
	var handles []*proc.Process
	for _, pid := range []int{leaderPID, memberPID} {
		id, err := proc.Identify(pid)
		if err != nil {
			return err.Error()
		}
		p, err := proc.Open(id)
		if err != nil {
			return err.Error()
		}
		handles = append(handles, p)
	}
	leader, member := handles[0], handles[1]
	background := context.Background()
	if err := leader.Signal(unix.SIGKILL); err != nil {
		return err.Error()
	}
	if err := leader.Exited(background); err != nil {
		return err.Error()
	}
	if err := member.Signal(0); err != nil {
		return "the member ended with the leader: " + err.Error()
	}
	tree, err := proc.Snapshot()
	if err != nil {
		return err.Error()
	}
	if all := tree.OfIdentity(leader.Identity()); len(all) != 1 || all[0] != memberPID {
		return fmt.Sprintf("of an exited leader: %v, want %d", all, memberPID)
	}
	if all := tree.Of(os.Getpid()); !slices.Contains(all, memberPID) || slices.Contains(all, leaderPID) {
		return fmt.Sprintf("of this process: %v, want %d and not %d", all, memberPID, leaderPID)
	}
	if err := leader.SignalGroup(unix.SIGKILL); err != nil {
		return err.Error()
	}
	if exit, err := member.Wait(background); err != nil || exit.Known {
		return fmt.Sprintf("member: %v, %v", exit, err)
	}
	if exit, err := leader.Reap(); err != nil || exit.Signal != unix.SIGKILL {
		return fmt.Sprintf("leader: %v, %v", exit, err)
	}
	if err := leader.SignalGroup(unix.SIGKILL); !errors.Is(err, proc.ErrGone) {
		return fmt.Sprintf("group of a reaped leader: %v", err)
	}
	return "done"
}

// forgetNewCalls makes the kernel answer this process as an older one would: EINVAL to flags of pidfd_send_signal, ENOTTY
// to PIDFD_GET_INFO.
func forgetNewCalls() error {
	const (
		number = 0       // offsets in struct seccomp_data
		second = 16 + 8  // the low half of the second argument
		fourth = 16 + 24 // and of the fourth
	)
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	jumpEqual := func(value uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: yes, Jf: no, K: value}
	}
	answer := func(value uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: value}
	}
	filter := []unix.SockFilter{
		load(number),
		jumpEqual(unix.SYS_PIDFD_SEND_SIGNAL, 0, 3),
		load(fourth),
		jumpEqual(0, 4, 0),
		answer(unix.SECCOMP_RET_ERRNO | uint32(unix.EINVAL)),
		jumpEqual(unix.SYS_IOCTL, 0, 2),
		load(second),
		jumpEqual(unix.PIDFD_GET_INFO, 1, 0),
		answer(unix.SECCOMP_RET_ALLOW),
		answer(unix.SECCOMP_RET_ERRNO | uint32(unix.ENOTTY)),
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	// For all threads: this one may have set the privilege on another, but each needs it.
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
		uintptr(unsafe.Pointer(&program)))
	runtime.KeepAlive(filter)
	if errno != 0 {
		return errno
	}
	return nil
}
