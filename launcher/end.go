package launcher

import (
	"context"
	"errors"
	"os"
	"slices"
	"syscall"
	"time"

	"berth/internal/failpoint"
	"berth/lease"
	"berth/proc"
	"berth/store"

	"golang.org/x/sys/unix"
)

// collect takes the exit of the incarnation that is gone. With its group, what
// is left of that goes too.
func (u *unit) collect(group bool) proc.Exit {
	u.stopChecking()
	if u.timer != nil {
		u.timer.Stop()
		u.timer = nil
	}
	u.forced = 0
	if group {
		defer u.l.emptyCgroup(u.snapshot()) // before anything of it is looked at
	}
	if u.handle == nil {
		u.endContainer(proc.Exit{})
		return proc.Exit{}
	}
	if group {
		// Before the reaping: the number of the group is still its own.
		_ = u.signalGroup(syscall.SIGKILL)
	}
	if failpoint.Planted("leave-zombies") {
		u.handle = nil
		return proc.Exit{}
	}
	exit, err := u.handle.Reap()
	if err != nil {
		u.l.Logger.Error("cannot tell how a process ended", "process", u.snapshot().Title(), "error", err)
	}
	if group {
		u.awaitGroup()
	}
	u.endContainer(exit)
	_ = u.handle.Close()
	if failpoint.Planted("leak-descriptors") {
		_, _ = unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
	u.handle = nil
	return exit
}

// awaitGroup waits until the killed group has no living members, so that none
// of them is in the way when the ports are probed. Zombies have no ports; one
// that is not our child may stay for as long as its parent likes.
func (u *unit) awaitGroup() {
	leader := u.handle.Identity().PID
	deadline := time.Now().Add(groupPatience)
	for pause := time.Millisecond; time.Now().Before(deadline); pause = min(2*pause, 50*time.Millisecond) {
		if errors.Is(u.handle.SignalGroup(0), proc.ErrGone) {
			return
		}
		session, err := proc.Session(leader)
		if err == nil && !slices.ContainsFunc(session, func(pid int) bool {
			group, err := unix.Getpgid(pid)
			return err == nil && group == leader
		}) {
			return
		}
		time.Sleep(pause)
	}
}

// end ends the leases and the record in one batch.
func (u *unit) end(ctx context.Context) {
	asked := u.snapshot().Status == Stopping
	close(u.gone)
	waited := u.handle == nil && u.snapshot().LastExit != nil
	exit := u.collect(asked)
	failpoint.At("exit/collected")
	u.letGo()
	p := u.snapshot()
	p.Status, p.EndedAt = Ended, u.l.Now().UTC().Truncate(time.Millisecond)
	p.Exit, p.Due = u.exitOf(exit), time.Time{}
	if waited { // how it ended is known from before
		p.Exit.Code, p.Exit.Signal = p.LastExit.Code, p.LastExit.Signal
	}

	forget := u.l.noteEnding()
	pause := 50 * time.Millisecond
	for {
		err := u.commitEnd(ctx, p, forget)
		if err == nil {
			break
		}
		u.l.Logger.Error("cannot record the end of a process; its ports stay leased until then", "process", p.Title(), "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
			pause = min(2*pause, 5*time.Second)
		}
	}
	failpoint.At("exit/committed")
	u.l.noteEnded(p.ID)
	u.update(func(q *Process) { *q = p })
	close(u.over)
	u.l.forget(forget)
	failpoint.At("exit/forgotten")
	if asked && u.l.deletesOnKill(p) {
		u.l.removeDir(p.ID)
	}
	u.l.removeCgroup(p)
	u.l.Logger.Info("ended", "process", p.Title(), "reason", p.Exit.Reason)
}

func (u *unit) commitEnd(ctx context.Context, p Process, forget []int) error {
	var b store.Batch
	b.Put(u.l.processKey(p.ID), encodeProcess(p))
	for _, id := range forget {
		b.Delete(u.l.processKey(id))
	}
	if err := failpoint.Fail("exit/committing"); err != nil {
		return err
	}
	if u.unsure {
		// Leases that may be there have to be known to be ended.
		if err := u.l.Leases.Settle(ctx); err != nil {
			return err
		}
		u.unsure = false
	}
	unlock, passed := u.l.endSuccession(p.ID)
	var err error
	defer func() { unlock(err == nil) }()
	var leases []lease.ID
	for _, held := range u.l.Leases.ByProcess(p.ID) {
		leases = append(leases, held.ID)
	}
	if failpoint.Planted("keep-leases") {
		leases = nil
	}
	if len(leases) == 0 {
		err = store.CommitAll(ctx, u.l.Store, u.l.intentScope(), b)
		return err
	}
	err = u.l.Leases.RecuperateOrPass(ctx, leases, passed, b)
	if errors.Is(err, store.ErrUnknown) {
		err = errors.Join(err, u.l.Leases.Settle(ctx))
	}
	return err
}

// exitOf tells how and why the process ended.
func (u *unit) exitOf(x proc.Exit) *Exit {
	e := new(Exit)
	switch {
	case !x.Known:
	case x.Signal != 0:
		e.Signal = signalName(x.Signal)
	default:
		e.Code = &x.Code
	}
	u.mu.Lock()
	e.Reason = u.reason
	u.mu.Unlock()
	switch {
	case e.Reason != "":
	case !x.Known:
		e.Reason = "ended; how, the kernel does not tell"
	case x.Signal != 0:
		e.Reason = "ended by a signal from outside or a fault"
	default:
		e.Reason = "ended by itself"
	}
	return e
}
