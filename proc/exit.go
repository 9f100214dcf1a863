package proc

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// Exit is how a process ended.
type Exit struct {
	// Known says that the kernel told how the process ended: it does for children always, for others since Linux 6.15.
	Known bool

	// Code is the exit code, 0 to 255. It is 0 when Signal is set.
	Code int

	// Signal is the signal that ended the process, or 0.
	Signal syscall.Signal

	// CoreDumped says that the signal left a core dump.
	CoreDumped bool
}

// String says it in words: "exit code 1", "signal SIGKILL", "signal SIGSEGV (core dumped)" or "exit code unknown".
func (e Exit) String() string {
	switch {
	case !e.Known:
		return "exit code unknown"
	case e.Signal == 0:
		return fmt.Sprintf("exit code %d", e.Code)
	case e.CoreDumped:
		return "signal " + signalName(e.Signal) + " (core dumped)"
	default:
		return "signal " + signalName(e.Signal)
	}
}

// exitOf translates a wait status as of wait(2).
func exitOf(status syscall.WaitStatus) Exit {
	if status.Signaled() {
		return Exit{Known: true, Signal: status.Signal(), CoreDumped: status.CoreDump()}
	}
	return Exit{Known: true, Code: status.ExitStatus()}
}

// signalName is the name of a signal, or its number where it has none (the real-time ones).
func signalName(sig syscall.Signal) string {
	if name := unix.SignalName(sig); name != "" {
		return name
	}
	return fmt.Sprint(int(sig))
}
