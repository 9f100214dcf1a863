package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"berth/api"
	"berth/proc"
)

// reuse has strangers get the pids of processes that have ended, while there is
// no daemon or while it stands still. None of them is taken for the process,
// listed or signalled.
var reuse = measure{
	name: "reuse", what: "pids used again by strangers that nobody touches", unit: "pids", ci: 100, soak: 5000,
	needs: []need{needPIDNamespace},
	run: func(ctx context.Context, s *suite, n int) (f figure, err error) {
		if s.namespaces&unix.CLONE_NEWPID == 0 {
			r := s.apart(ctx, measure{name: "reuse"}, n, unix.CLONE_NEWPID|unix.CLONE_NEWNS)
			return r.figure, r.err
		}
		h, l, decoys, err := s.loaded(ctx)
		if err != nil {
			return f, err
		}
		defer func() { err = finish(err, &f, h, decoys) }()
		sameTick := 0
		for f.done < n && !s.caught(&f) && ctx.Err() == nil {
			c := &reused{host: h, f: &f, with: strangerKind(f.done % int(strangerKinds))}
			if err := c.round(ctx); err != nil {
				return f, fmt.Errorf("%s: %w", c.with, err)
			}
			if !c.hit {
				continue // something else was quicker to take the pid
			}
			f.done++
			if c.sameTick {
				sameTick++
			}
			if err := l.verify(ctx, h, &f); err != nil {
				return f, err
			}
		}
		f.note("%d of them within the clock tick of the process' start", sameTick)
		return f, ctx.Err()
	},
}

// needPIDNamespace is what a pid namespace takes.
var needPIDNamespace = need{"a pid namespace", func() string {
	if os.Geteuid() != 0 {
		return "only root makes it"
	}
	probe := exec.Command("true")
	probe.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS}
	if err := probe.Run(); err != nil {
		return err.Error()
	}
	return ""
}}

// strangerKind says what a stranger is like, and when it comes.
type strangerKind int

const (
	leader      strangerKind = iota // leads a session
	ofItsParent                     // is in the session and group of this program
	lookalike                       // leads a session and carries the process' ids
	standstill                      // leads a session, and comes while the daemon of an adopted process stands still
	askedToEnd                      // the same, and the process had been asked to end
	strangerKinds
)

func (k strangerKind) String() string {
	return [...]string{"a leader of a session", "a child without a session", "one that carries the ids", "one that comes while the daemon stands still", "one in place of a process that was asked to end"}[k]
}

// reused is a round.
type reused struct {
	*host
	f    *figure
	with strangerKind

	hit      bool // the stranger has got the pid
	sameTick bool // and was started in the same tick of the clock
}

func (c *reused) round(ctx context.Context) error {
	out, err := c.Exec(ctx, api.Exec{Distribution: "demo", Version: "1.0", Profile: "test", Name: "server", Instances: 1})
	if err != nil {
		return err
	}
	p := out.Processes[0]
	id, err := proc.Identify(p.PID)
	if err != nil {
		return err
	}
	c.kill() // the process is this program's to reap afterwards, which is the first one of the namespace
	still := c.with == standstill || c.with == askedToEnd
	if still {
		if err := c.up(ctx); err != nil {
			return err
		}
		if c.with == askedToEnd {
			if _, err := c.Kill(ctx, api.Kill{Selector: api.Selector{IDs: []int{p.ID}}}); err != nil {
				return err
			}
		}
		if err := c.freeze(); err != nil {
			return err
		}
	}
	if err := end(p.PID); err != nil {
		return err
	}
	stranger, err := c.stranger(p)
	if err != nil {
		return err
	}
	defer func() {
		_ = stranger.Process.Kill()
		_ = stranger.Wait()
	}()
	if c.hit = stranger.Process.Pid == p.PID; c.hit {
		now, err := proc.Identify(p.PID)
		if err != nil {
			return err
		}
		c.sameTick = now.StartTime == id.StartTime
	}
	if still {
		if err := c.daemon.Signal(syscall.SIGCONT); err != nil {
			return err
		}
	} else if err := c.up(ctx); err != nil {
		return err
	}
	if c.hit {
		return c.leftAlone(ctx, p, stranger.Process.Pid)
	}
	return nil
}

// end kills a process that is a child of this program by now, and reaps it.
func end(pid int) error {
	if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	for {
		switch _, err := unix.Wait4(pid, nil, 0, nil); {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ECHILD):
			return fmt.Errorf("pid %d is nobody's to reap", pid)
		default:
			return err
		}
	}
}

// stranger starts a process that is to get the pid of p.
func (c *reused) stranger(p api.Process) (*exec.Cmd, error) {
	cmd := exec.Command("sleep", "100000")
	cmd.Env = environ()
	if c.with == lookalike {
		state, err := c.stateID()
		if err != nil {
			return nil, err
		}
		cmd.Env = append(cmd.Env, "BERTH_STATE_ID="+state, "BERTH_PROCESS_ID="+strconv.Itoa(p.ID))
		c.decoys[p.PID] = true
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: c.with != ofItsParent}
	if err := os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(strconv.Itoa(p.PID-1)), 0); err != nil {
		return nil, err
	}
	return cmd, cmd.Start()
}

// leftAlone holds that the stranger at pid is not the process, whatever is asked
// of the daemon.
func (c *reused) leftAlone(ctx context.Context, p api.Process, pid int) error {
	ids := api.Selector{IDs: []int{p.ID}}
	_, killErr := c.Kill(ctx, api.Kill{Selector: ids, Hard: true})
	_, restartErr := c.Restart(ctx, api.Restart{Selector: ids, Hard: true})
	for _, err := range []error{killErr, restartErr} {
		var answer *api.Error
		if err != nil && !errors.As(err, &answer) {
			return err
		}
	}
	var leases []api.Lease
	var listed bool
	for deadline := time.Now().Add(patience / 12); ; time.Sleep(2 * time.Millisecond) {
		ps, err := c.Processes(ctx, api.Selector{}, false)
		if err != nil {
			return err
		}
		if leases, err = c.Leases(ctx); err != nil {
			return err
		}
		listed = slices.ContainsFunc(ps, func(q api.Process) bool { return q.PID == pid || q.ID == p.ID })
		held := slices.ContainsFunc(leases, func(a api.Lease) bool { return a.Process == p.ID })
		if !listed && !held {
			break
		}
		if time.Now().After(deadline) {
			c.f.broken("%s: process %d has ended and its pid %d is a stranger's: it is listed: %t, its lease is live: %t", c.with, p.ID, pid, listed, held)
			break
		}
	}
	var info unix.Siginfo
	if err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); err != nil || info.Signo != 0 {
		c.f.broken("%s: the stranger that has pid %d of process %d was signalled (%v)", c.with, pid, p.ID, err)
	}
	return nil
}
