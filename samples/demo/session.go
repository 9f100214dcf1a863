package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"berth/api"
)

// session runs berth commands in a workspace, on a daemon of its own.
type session struct {
	*workspace
	daemon bool // there may be one
}

// command runs a command and prints it with its output, as at a terminal.
func (s *session) command(ctx context.Context, args ...string) error {
	fmt.Println("$ berth", strings.Join(args, " "))
	_, err := s.run(ctx, os.Stdout, args...)
	fmt.Println()
	return err
}

// stop ends the daemon.
func (s *session) stop(ctx context.Context) error {
	if err := s.command(ctx, "stop"); err != nil {
		return err
	}
	s.daemon = false
	return nil
}

// list runs a command that lists something, without showing it.
func (s *session) list(ctx context.Context, into any, args ...string) error {
	out, err := s.run(ctx, io.Discard, append(args, "-o", "json")...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(out, into); err != nil {
		return fmt.Errorf("berth %s -o json: %w", strings.Join(args, " "), err)
	}
	return nil
}

func (s *session) ranges(ctx context.Context) (api.RangeStatus, error) {
	var all []api.RangeStatus
	if err := s.list(ctx, &all, "port", "ls"); err != nil {
		return api.RangeStatus{}, err
	}
	if len(all) != 1 {
		return api.RangeStatus{}, fmt.Errorf("berth port ls lists %d ranges, not the one that was added", len(all))
	}
	return all[0], nil
}

func (s *session) processes(ctx context.Context) (all []api.Process, err error) {
	err = s.list(ctx, &all, "ps", "-ports")
	return all, err
}

// run runs a berth command. Its output goes to shown too, its messages to
// standard error.
func (s *session) run(ctx context.Context, shown io.Writer, args ...string) ([]byte, error) {
	s.daemon = true // every command starts one where none answers
	cmd := exec.CommandContext(ctx, s.berth(), args...)
	cmd.Dir = s.dir
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "BERTH_") {
			cmd.Env = append(cmd.Env, pair)
		}
	}
	cmd.Env = append(cmd.Env, "BERTH_HOME="+s.home())
	var out, messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&out, shown), &messages
	// A Ctrl-C is for the demo alone: a command that is under way ends before
	// its work is undone, for what the daemon was asked for it goes on doing.
	// One that takes long has been understood by then, and only waits.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return nil }
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	text := strings.TrimSpace(messages.String())
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, fmt.Errorf("`berth %s` failed: %w: %s", strings.Join(args, " "), err, strings.ReplaceAll(text, "\n", " | "))
	case text != "" && shown != io.Discard:
		fmt.Fprintln(shown, text)
	}
	return out.Bytes(), nil
}

// end stops what still runs: all processes, then the daemon. Where that has
// crashed, the command starts another one, which finds the processes.
func (s *session) end() error {
	if !s.daemon {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), time.Minute, errors.New("it takes longer than a minute"))
	defer cancel()
	if _, err := s.run(ctx, io.Discard, "kill", "all", "-hard", "-w"); err != nil {
		return fmt.Errorf("stop what still runs: %w", err)
	}
	left, err := s.processes(ctx)
	if err != nil {
		return fmt.Errorf("stop what still runs: %w", err)
	}
	if len(left) > 0 {
		return fmt.Errorf("stop what still runs: %d processes are left", len(left))
	}
	if _, err := s.run(ctx, io.Discard, "stop"); err != nil {
		return fmt.Errorf("stop the daemon: %w", err)
	}
	s.daemon = false
	return nil
}

// tellHow says how to look at a folder that is kept.
func (s *session) tellHow() {
	fmt.Printf(`
# %[1]s is kept; the daemon's log is %[2]s. To look at it:
export BERTH_HOME=%[3]s
%[4]s ps -a
%[4]s logs 1
%[4]s stop && rm -r %[1]s
`, s.dir, filepath.Join(s.home(), "berth.log"), s.home(), s.berth())
}
