package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"berth/api"
	"berth/client"
	"berth/proc"
)

// host is a state folder on which daemons run, one after the other.
type host struct {
	*client.Client
	s    *suite
	dir  string
	home string
	env  []string // more of the daemon's environment

	// planted are bugs that the daemon shall have, and other switches of the
	// tagged build.
	planted []string

	// decoys are the pids of processes that carry this folder's id and are not
	// its daemons'.
	decoys map[int]bool

	decoyListens bool // on decoyPort

	daemon *os.Process   // the last one that was started
	ended  chan struct{} // closed when that has ended
	exit   *exec.Cmd     // tells how, once it has ended
}

// newHost makes a state folder; nothing runs on it yet.
func (s *suite) newHost() (*host, error) {
	dir, err := os.MkdirTemp(s.dir, "host")
	if err != nil {
		return nil, err
	}
	h := &host{s: s, dir: dir, planted: slices.Clone(s.planted), env: slices.Clone(s.env), decoys: map[int]bool{}}
	h.useHome(filepath.Join(dir, "home"))
	return h, nil
}

// useHome has the daemons that follow use a state folder.
func (h *host) useHome(dir string) {
	h.home = dir
	h.Client = client.New(client.Options{Socket: filepath.Join(dir, "berth.sock")})
}

// start starts a daemon and does not wait for it. Its log goes on in the file
// of the one before.
func (h *host) start(wrapper ...string) error {
	log, err := os.OpenFile(filepath.Join(h.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	words := append(slices.Clone(wrapper), h.s.berth, "serve")
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Env = append(environ(), "BERTH_HOME="+h.home, suiteVariable+"="+strconv.Itoa(os.Getpid()))
	cmd.Env = append(append(cmd.Env, "BERTH_PLANTED="+strings.Join(h.planted, ",")), h.env...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	h.daemon, h.ended, h.exit = cmd.Process, ended, cmd
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	return nil
}

// kill kills the daemon and waits until it is gone.
func (h *host) kill() {
	_ = h.daemon.Kill() // gone already or not
	<-h.ended
	h.Close()
}

// environ is this program's environment without what is Berth's.
func environ() []string {
	return slices.DeleteFunc(os.Environ(), func(pair string) bool { return strings.HasPrefix(pair, "BERTH_") })
}

// up starts a daemon and waits until it answers.
func (h *host) up(ctx context.Context) error {
	if err := h.start(); err != nil {
		return err
	}
	return h.answers(ctx)
}

// answers waits until the daemon answers.
func (h *host) answers(ctx context.Context) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		_, err := h.Daemon(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-h.ended:
			return fmt.Errorf("the daemon ended: %s", h.logTail())
		case <-ctx.Done():
			return ctx.Err()
		default:
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the daemon does not answer: %w: %s", err, h.logTail())
		}
	}
}

// logTail is the end of what the daemons logged.
func (h *host) logTail() string {
	text, err := os.ReadFile(filepath.Join(h.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-2000):])
}

// end ends the processes and the daemon, and removes the folder.
func (h *host) end() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var errs []error
	select {
	case <-h.ended:
	default:
		if _, err := h.Kill(ctx, api.Kill{Selector: api.Selector{All: true}, Hard: true, WaitSeconds: patience.Seconds()}); err != nil {
			errs = append(errs, err)
		}
		if err := h.reaps(ctx); err != nil {
			errs = append(errs, err)
		}
		h.kill()
	}
	if left, err := h.carriers(); err != nil || len(left) > 0 {
		errs = append(errs, fmt.Errorf("processes %v are left (%v)", left, err))
		for _, pid := range left {
			if p, err := os.FindProcess(pid); err == nil {
				_ = p.Kill()
			}
		}
	}
	return errors.Join(append(errs, os.RemoveAll(h.dir))...)
}

// stateID is the id of the state folder.
func (h *host) stateID() (string, error) {
	id, err := os.ReadFile(filepath.Join(h.home, "state-id"))
	return string(bytes.TrimSpace(id)), err
}

// carriers are the pids of the processes that this folder's daemons started.
func (h *host) carriers() ([]int, error) {
	id, err := h.stateID()
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || h.decoys[pid] {
			continue
		}
		// Of a zombie or another user's process there is nothing to read.
		if value, ok, err := proc.EnvironValue(pid, "BERTH_STATE_ID"); err == nil && ok && value == id {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// deploy deploys a distribution whose processes listen on a port of the range
// processes each: server, and guarded, which is started again when it ends.
func (h *host) deploy(ctx context.Context) error {
	ranges := []api.Range{
		{Name: "leases", Min: firstLeasePort, Max: lastLeasePort},
		{Name: "processes", Min: firstProcessPort, Max: lastProcessPort},
	}
	if _, err := h.AddRanges(ctx, api.AddRanges{Ranges: ranges}); err != nil {
		return err
	}
	descriptor := fmt.Sprintf(`<distribution name="demo" version="1.0">
  <process name="server" shutdownTimeout="5000">
    <port name="processes"/>
    <generic profile="test"><arg value=%[1]q/><arg value=%[2]q/></generic>
  </process>
  <process name="guarded" shutdownTimeout="5000" invoke="true" restart="always">
    <port name="processes"/>
    <generic profile="test"><arg value=%[1]q/><arg value=%[2]q/></generic>
  </process>
</distribution>
`, h.s.self, serverArgument)
	_, err := h.Deploy(ctx, "corus.xml", strings.NewReader(descriptor))
	return err
}
