package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"berth/home"
)

// DefaultStartLimit is how long a daemon that was started may take to answer. One
// that ends is not waited for; one that runs may have a slow disk.
const DefaultStartLimit = time.Minute

// logLines is how many of the log's last lines an error shows.
const logLines = 5

// Autostart starts a daemon where none answers. Its Start belongs into Options.
type Autostart struct {
	// Paths are where the daemon shall live.
	Paths home.Paths

	// Command is the program and its arguments. Empty: this program with the
	// argument serve.
	Command []string

	// Env is the daemon's environment; nil is the caller's. BERTH_AUTOSTART=0 in
	// it forbids the start.
	Env []string

	// Limit is how long the daemon may take to answer; 0 is DefaultStartLimit.
	Limit time.Duration
}

// Start starts a daemon and returns once it answers. Of several that start one
// at the same time for one state folder, in whatever process, one does and the
// others wait for it. The daemon is in a session of its own, works in / and
// holds no descriptor of the caller's; its output is appended to the log.
//
// So that the daemon inherits none, all descriptors of the calling process from
// 3 up are marked close-on-exec, also those that it was given when it started.
//
// Errors: ErrNoDaemon where the start is forbidden; else an error that holds
// the last lines of the log.
func (a Autostart) Start(ctx context.Context) error {
	env := a.Env
	if env == nil {
		env = os.Environ()
	}
	if lookup(env, "BERTH_AUTOSTART") == "0" {
		return fmt.Errorf("%w on %s, and BERTH_AUTOSTART=0 forbids starting one: run berth serve", ErrNoDaemon, a.Paths.Socket)
	}
	if err := a.Paths.Prepare(); err != nil {
		return fmt.Errorf("start a daemon: %w", err)
	}
	limit := a.Limit
	if limit <= 0 {
		limit = DefaultStartLimit
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit,
		fmt.Errorf("%w on %s: one was started and is not ready after %v: see %s", ErrNoDaemon, a.Paths.Socket, limit, a.Paths.Log))
	defer cancel()

	unlock, err := lockFile(ctx, filepath.Join(a.Paths.State, "start.lock"))
	if err != nil {
		return fmt.Errorf("start a daemon: %w", err)
	}
	defer unlock()
	// Whoever had the lock before may have started one.
	if answers(ctx, a.Paths.Socket) {
		return nil
	}
	return a.run(ctx, env)
}

// run starts the command and waits until the socket answers or the command ended.
func (a Autostart) run(ctx context.Context, env []string) error {
	command := a.Command
	if len(command) == 0 {
		self, err := ownPath()
		if err != nil {
			return fmt.Errorf("start a daemon: %w", err)
		}
		command = []string{self, "serve"}
	}
	log, err := os.OpenFile(a.Paths.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("start a daemon: open its log: %w", err)
	}
	defer log.Close()
	begin, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("start a daemon: read its log: %w", err)
	}
	if err := closeOnExec(); err != nil {
		return fmt.Errorf("start a daemon: mark the descriptors close-on-exec: %w", err)
	}

	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = "/"
	cmd.Env = a.absolute(env)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start a daemon: %w", err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()

	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if answers(ctx, a.Paths.Socket) {
			return nil
		}
		select {
		case <-tick.C:
		case <-exited:
			return fmt.Errorf("%w: the one that was started ended (%v)%s", ErrNoDaemon, cmd.ProcessState, lastLines(a.Paths.Log, begin))
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// absolute makes the paths in the environment absolute, as the daemon works in
// another folder than its caller.
func (a Autostart) absolute(env []string) []string {
	out := make([]string, 0, len(env))
	for _, pair := range env {
		switch name, value, _ := strings.Cut(pair, "="); {
		case name == "BERTH_HOME" && value != "":
			pair = name + "=" + a.Paths.State
		case name == "BERTH_SOCKET" && value != "":
			pair = name + "=" + a.Paths.Socket
		case (name == "BERTH_TLS_CERT" || name == "BERTH_TLS_KEY") && value != "":
			if path, err := filepath.Abs(value); err == nil {
				pair = name + "=" + path
			}
		}
		out = append(out, pair)
	}
	return out
}

func answers(ctx context.Context, socket string) bool {
	conn, err := connect(ctx, socket)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// ownPath is the path of the running program. One that was replaced meanwhile,
// by an update, is shown as deleted, and the new one stands in its place.
func ownPath() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find the own program: %w", err)
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("find the own program: %w", err)
	}
	return path, nil
}

// lockFile takes an exclusive lock on a file that it makes, and returns what
// gives it up. Waiting for it ends with ctx.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return func() { f.Close() }, nil
		case !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR):
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, context.Cause(ctx)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// closeOnExec marks every descriptor from 3 up. Those that Go opens are marked
// already; those that this process inherited are not.
func closeOnExec() error {
	err := unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC)
	if err == nil || !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	// Kernels before 5.11 do not know the call or its flag.
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if fd, err := strconv.Atoi(entry.Name()); err == nil && fd >= 3 {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

// lastLines are the last lines of a log from an offset on, joined to one.
func lastLines(path string, from int64) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return ""
	}
	from = max(from, end-4096)
	data, err := io.ReadAll(io.NewSectionReader(f, from, end-from))
	if err != nil {
		return ""
	}
	var lines []string
	for line := range bytes.Lines(data) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			lines = append(lines, string(line))
		}
	}
	if len(lines) == 0 {
		return ", its log " + path + " is empty"
	}
	return ": " + strings.Join(lines[max(0, len(lines)-logLines):], " | ")
}

// lookup finds the last value of a variable, which is the one that package exec
// passes on.
func lookup(env []string, name string) string {
	for i := len(env) - 1; i >= 0; i-- {
		if k, v, _ := strings.Cut(env[i], "="); k == name {
			return v
		}
	}
	return ""
}
