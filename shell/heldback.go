package shell

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A child of run exists before its ports are leased, so that the leases can be
// held by it, and becomes the command once they are: this program is started with
// the word heldBack, waits on a socket for an order, and executes it. The end of
// the socket without a whole order is the end of the child, so that nothing runs
// whose caller was killed before all had their ports.

// heldBack is the word by which a child is started. It is no command.
const heldBack = "__heldback"

// gateFD is the child's descriptor of the socket.
const gateFD = 3

// order is what a child is to run.
type order struct {
	path      string
	args, env []string
}

// bytes are an order as it is sent: the number of bytes behind the first NUL,
// then the path, the number of arguments, these, and the environment, each ended
// by a NUL, which none of them holds.
func (o order) bytes() []byte {
	fields := slices.Concat([]string{o.path, strconv.Itoa(len(o.args))}, o.args, o.env)
	body := strings.Join(fields, "\x00") + "\x00"
	return []byte(strconv.Itoa(len(body)) + "\x00" + body)
}

// parseOrder reads an order, and tells whether it is whole.
func parseOrder(text []byte) (o order, ok bool) {
	head, body, found := bytes.Cut(text, []byte{0})
	size, err := strconv.Atoi(string(head))
	if !found || err != nil || size != len(body) || size == 0 || body[size-1] != 0 {
		return o, false
	}
	fields := strings.Split(string(body[:size-1]), "\x00")
	if len(fields) < 2 {
		return o, false
	}
	n, err := strconv.Atoi(fields[1])
	if err != nil || n < 1 || n > len(fields)-2 {
		return o, false
	}
	return order{fields[0], fields[2 : 2+n], fields[2+n:]}, true
}

// beHeldBack is the child until it becomes the command.
func (s *Shell) beHeldBack() int {
	unix.CloseOnExec(gateFD)
	gate := os.NewFile(gateFD, "gate")
	text, err := io.ReadAll(gate)
	if err != nil {
		return ExitFailed
	}
	o, ok := parseOrder(text)
	if !ok || s.opts.Replace == nil {
		return ExitFailed
	}
	// The signal of holdBack is the first thread's, and the command would be run by
	// this one, which has none.
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGTERM), 0, 0, 0); err != nil {
		fmt.Fprintf(gate, "%d ask for a signal at the end of berth: %v", ExitFailed, err)
		return ExitFailed
	}
	e := notRun(o.args[0], s.opts.Replace(o.path, o.args, o.env))
	fmt.Fprintf(gate, "%d %s", e.code, e.text)
	return e.code
}

// holdBack starts a child that waits for its order. It gets SIGTERM when the thread that
// calls this ends.
func holdBack(cmd *exec.Cmd) (gate *os.File, err error) {
	if cmd.Path, err = os.Executable(); err != nil {
		return nil, err
	}
	cmd.Args = []string{cmd.Path, heldBack}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make a socket: %w", err)
	}
	gate = os.NewFile(uintptr(pair[0]), "gate")
	theirs := os.NewFile(uintptr(pair[1]), "gate")
	defer theirs.Close()
	cmd.ExtraFiles = []*os.File{theirs}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGTERM
	if err := cmd.Start(); err != nil {
		gate.Close()
		return nil, err
	}
	return gate, nil
}

// give has a child run its order, and returns once it does. The gate is closed.
func give(gate *os.File, o order) error {
	defer gate.Close()
	if _, err := gate.Write(o.bytes()); err != nil {
		return fmt.Errorf("the child has ended before it could run: %w", err)
	}
	if err := unix.Shutdown(int(gate.Fd()), unix.SHUT_WR); err != nil {
		return fmt.Errorf("the child has ended before it could run: %w", err)
	}
	answer, err := io.ReadAll(gate)
	if err != nil || len(answer) == 0 {
		return err
	}
	code, text, _ := strings.Cut(string(answer), " ")
	n, _ := strconv.Atoi(code)
	return &exitError{code: max(n, ExitFailed), text: text}
}
