package launcher

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"berth/descriptor"
	"berth/internal/failpoint"
	"berth/proc"
	"berth/store"
)

const (
	// shortestRevival is the pause before the second revival in a row; the first
	// one comes at once. Each further pause is twice as long, up to longestRevival.
	shortestRevival = 100 * time.Millisecond
	longestRevival  = 30 * time.Second

	// steadyRun is how long a process runs for its revivals to be counted anew,
	// where its definition does not say, and where it has ports on which it never
	// listened: what ends after that has not failed in a row.
	steadyRun = time.Minute
)

// revivalPause is how long a process waits that was revived so many times in a
// row, first the first time. Up to a quarter of the others is left out at random,
// 0 to 1, so that those that ended together do not start together for ever.
func revivalPause(inARow int, first time.Duration, random float64) time.Duration {
	if inARow == 0 {
		return first
	}
	pause := shortestRevival
	for range inARow - 1 {
		if pause = min(2*pause, longestRevival); pause == longestRevival {
			break
		}
	}
	return max(first, pause-time.Duration(random*float64(pause)/4))
}

// revives reports whether a process that nobody has asked to end, and that
// ended like that, is to be started again. Where only the number of its
// revivals forbids it, that is the reason why it will have ended.
func (u *unit) revives(x proc.Exit) bool {
	p := u.snapshot()
	d, err := u.l.definitionOf(p)
	if err != nil {
		return false
	}
	well := x.Known && x.Signal == 0 && x.Code == 0 // what cannot be told is a failure
	switch d.process.Restart {
	case descriptor.RestartAlways:
	case descriptor.RestartOnFailure:
		if well {
			return false
		}
	default:
		return false
	}
	most := d.process.MaxRestarts
	u.startAnewIfSteady(&p)
	if p.InARow < most {
		return true
	}
	if most > 0 {
		u.because(fmt.Sprintf("exited %d times in a row, last %s: not started again", p.InARow+1, how(x)))
	}
	return false
}

// how says in words how a process ended, after "exited".
func how(x proc.Exit) string {
	switch {
	case !x.Known:
		return "in a way that the kernel does not tell"
	case x.Signal != 0:
		return "by " + signalName(x.Signal)
	default:
		return fmt.Sprintf("with code %d", x.Code)
	}
}

// startAnewIfSteady counts the revivals of a process anew, and the ports that
// it lost, if it has run for long enough and, where it is checked, has answered.
// One that waits does not run.
func (u *unit) startAnewIfSteady(p *Process) {
	steady := steadyRun
	if d, err := u.l.definitionOf(*p); err == nil && d.process.MinUptime > 0 {
		steady = d.process.MinUptime
		if len(silent(*p)) > 0 { // it took long to fail, and was of no use
			steady = max(steady, steadyRun)
		}
	}
	u.mu.Lock()
	unanswered := u.unanswered
	u.mu.Unlock()
	if p.Status != Waiting && !unanswered && u.l.Now().Sub(p.StartedAt) >= steady {
		p.InARow, p.Retries, p.Retried = 0, 0, ""
	}
}

// rest takes the exit of a process that is to be revived, and has it wait for
// that. As for a restart, what is left of its group goes: it may have the ports.
func (u *unit) rest(ctx context.Context) {
	exit := u.exitOf(u.collect(true))
	failpoint.At("revive/collected")
	u.forgetReason()
	if u.sick != "" {
		exit.Reason, u.sick = "unhealthy: "+u.sick, ""
	}
	p := u.snapshot()
	u.startAnewIfSteady(&p)
	p.LastExit = exit
	u.l.Logger.Warn("a process has ended and is started again", "process", p.Title(), "reason", exit.Reason, "in a row", p.InARow+1)
	u.pause(ctx, p)
}

// pause has a process that is gone wait until its revival is due, and writes
// that down. Where it cannot be written down the record is that of a process
// that ran: the next daemon finds it gone, and revives it as well.
func (u *unit) pause(ctx context.Context, p Process) {
	var first time.Duration
	if d, err := u.l.definitionOf(p); err == nil {
		first = d.process.RestartDelay
	}
	pause := revivalPause(p.InARow, first, rand.Float64())
	p.Status, p.Again, p.Due = Waiting, false, u.l.Now().Add(pause).UTC().Truncate(time.Millisecond)
	for i := range p.Ports {
		p.Ports[i].State = p.Ports[i].unwatched()
	}
	if pause == 0 {
		u.update(func(q *Process) { *q = p })
		u.revive(ctx)
		return
	}
	var b store.Batch
	b.Put(u.l.processKey(p.ID), encodeProcess(p))
	err := failpoint.Fail("revive/pausing")
	if err == nil {
		_, err = u.l.Store.Commit(ctx, b)
	}
	if err != nil {
		u.l.Logger.Error("cannot record that a process waits to be started again", "process", p.Title(), "error", err)
	}
	failpoint.At("revive/paused")
	u.timer = time.NewTimer(pause)
	u.update(func(q *Process) { *q = p })
}

// revive starts a process that waits on its ports, or on others in place of
// those that something else has taken meanwhile. If it cannot be done it waits
// on, and in the end it ends.
func (u *unit) revive(ctx context.Context) {
	if u.timer != nil {
		u.timer.Stop()
		u.timer = nil
	}
	failpoint.At("revive/due")
	p := u.update(func(p *Process) { p.Status = Starting })
	p.Ports = append([]Port(nil), p.Ports...)
	plan, taken, err := u.planInstead(ctx, p, p.Ports)
	if err == nil {
		if err = failpoint.Fail("revive/planned"); err != nil && plan != nil {
			u.l.Leases.Abort(plan)
		}
	}
	switch {
	case err != nil && taken != "":
		u.wait(ctx, fmt.Errorf("%s, and no other can be leased: %w", taken, err))
		return
	case err != nil:
		u.wait(ctx, err)
		return
	}
	p.Restarts, p.InARow, p.Due = p.Restarts+1, p.InARow+1, time.Time{}
	commit := func(b store.Batch) error {
		_, err := u.l.Store.Commit(ctx, b)
		return err
	}
	if plan != nil {
		u.move(&p, plan, taken)
		commit = func(b store.Batch) error { return u.l.Leases.Commit(ctx, plan, b) }
	}
	i, err := u.prepareAgain(&p, commit)
	switch {
	case err == nil:
		u.goOn(ctx, p, i)
	case plan == nil:
		u.wait(ctx, err)
	default:
		u.l.Leases.Abort(plan)
		if u.unsure = errors.Is(err, store.ErrUnknown); !u.unsure {
			u.wait(ctx, err)
			return
		}
		// Which ports it has is not known any more.
		u.because("could not be started again: " + err.Error())
		_ = u.happened(ctx, startFailed)
	}
}

// wait has a process that could not be revived wait for the next time, which
// counts as if it had been started.
func (u *unit) wait(ctx context.Context, why error) {
	p := u.snapshot()
	p.InARow++
	d, err := u.l.definitionOf(p)
	if err != nil || p.InARow >= d.process.MaxRestarts {
		u.because(fmt.Sprintf("could not be started again: %v (%d times in a row)", why, p.InARow))
		_ = u.happened(ctx, startFailed)
		return
	}
	u.l.Logger.Error("a process could not be started again and waits", "process", p.Title(), "error", why)
	p.LastExit = &Exit{Reason: "could not be started again: " + why.Error()}
	u.pause(ctx, p)
}

// takeUpAgain sees to a process that an earlier daemon has left, or was about,
// to revive, and reports whether there was anything to see to. Nothing is
// revived after the machine was started anew, as nothing else is, nor where the
// records may be old.
func (u *unit) takeUpAgain(ctx context.Context) bool {
	p := u.snapshot()
	boot, err := proc.BootID()
	if err != nil || u.l.Lost || u.hasReason() || p.Identity.BootID != boot {
		return false
	}
	d, err := u.l.definitionOf(p)
	if err != nil {
		return false
	}
	switch {
	case p.Status == Waiting:
		// The clock may have been set meanwhile.
		left := min(p.Due.Sub(u.l.Now()), max(longestRevival, d.process.RestartDelay))
		u.timer = time.NewTimer(max(left, 0))
		u.l.Logger.Info("waits to be started again", "process", p.Title(), "due", p.Due.Format(time.RFC3339))
		return true
	case p.Status == Starting && !p.Again && u.revives(proc.Exit{}):
		u.because(endedAway)
		_ = u.happened(ctx, relapsed)
		return true
	}
	return false
}
