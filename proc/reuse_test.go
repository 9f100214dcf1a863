package proc_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"berth/internal/require"
	"berth/proc"
)

// A stranger that has the pid of a process that is gone is neither taken for it nor signalled, even if it was started within the
// same tick of the clock.
func TestReusedPIDIsAStranger(t *testing.T) {
	require.Root(t)
	const rounds = 20
	cmd := self("reuse", strconv.Itoa(rounds))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, unix.EPERM) {
		require.Missing(t, "a pid namespace", "run the tests where unshare(2) is allowed")
	}
	if want := fmt.Sprintf("%d rounds", rounds); err != nil || !strings.HasSuffix(strings.TrimSpace(string(out)), want) {
		t.Errorf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// reuse forces pids to be used again, in the pid namespace of which it is the first process.
func reuse(arg string) {
	rounds, _ := strconv.Atoi(arg)
	check := func(err error) {
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	check(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	check(unix.Mount("proc", "/proc", "proc", 0, ""))
	sameTick, wrong := 0, 0
	blame := func(format string, args ...any) {
		wrong++
		fmt.Printf(format+"\n", args...)
	}
	for done := 0; done < rounds; {
		first := sleeper()
		check(first.Start())
		id, err := proc.Identify(first.Process.Pid)
		check(err)
		handle, err := proc.Open(id)
		check(err)
		check(first.Process.Kill())
		_ = first.Wait()

		if id.Inode == 0 { // without it two of one tick are one
			for start := startOf(os.Getpid()); start <= id.StartTime; {
				probe := exec.Command("true")
				check(probe.Start())
				start = startOf(probe.Process.Pid)
				_ = probe.Wait()
			}
		}
		check(os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(strconv.Itoa(id.PID-1)), 0))
		stranger := sleeper()
		check(stranger.Start())
		if stranger.Process.Pid == id.PID { // else a thread of this program was quicker
			done++
			if startOf(id.PID) == id.StartTime {
				sameTick++
			}
			if p, err := proc.Open(id); !errors.Is(err, proc.ErrGone) {
				blame("the stranger was opened as %+v: %v", id, err)
				if err == nil {
					_ = p.Close()
				}
			}
			if err := handle.Signal(unix.SIGKILL); !errors.Is(err, proc.ErrGone) {
				blame("signal: %v", err)
			}
			if err := handle.SignalGroup(unix.SIGKILL); !errors.Is(err, proc.ErrGone) {
				blame("signal to the group: %v", err)
			}
			var info unix.Siginfo
			if err := unix.Waitid(unix.P_PID, id.PID, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); err != nil || info.Signo != 0 {
				blame("the stranger has ended: %v, %+v", err, info)
			}
		}
		check(handle.Close())
		check(stranger.Process.Kill())
		_ = stranger.Wait()
	}
	fmt.Printf("%d of the same tick, %d rounds\n", sameTick, rounds)
	if wrong > 0 {
		os.Exit(1)
	}
}

// sleeper leads a session, and sleeps.
func sleeper() *exec.Cmd {
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd
}

func startOf(pid int) uint64 {
	id, _ := proc.Identify(pid)
	return id.StartTime
}
