package launcher

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"berth/lease"
	"berth/proc"
	"berth/store"

	"golang.org/x/sys/unix"
)

const (
	// raceWindow is how long after its start an exit may still come from a
	// port that something else has taken.
	raceWindow = time.Minute

	// maxRetries is how often a process is started on other ports.
	maxRetries = 3
)

// lostRace is that something else has taken ports of a process between their
// lease and its bind.
type lostRace struct {
	plan *lease.Plan // of other ports in place of those that were taken
	text string      // which were taken, and by whom
}

// whyGone tells whether the process ended for good, lost a race for a port, or
// is to be started again all the same.
func (u *unit) whyGone(ctx context.Context) event {
	p := u.snapshot()
	if u.sick != "" && p.Status == Restarting {
		return relapsed
	}
	if u.hasReason() || p.Status != Running && p.Status != Starting {
		return exited // it never ran, or was asked to end
	}
	lost, why := u.losesRace(ctx, p)
	if lost {
		return raceLost
	}
	exit, err := u.handle.Peek()
	if err != nil {
		exit = proc.Exit{}
	}
	if u.revives(exit) {
		return relapsed
	}
	if why != "" {
		u.because(why)
	}
	return exited
}

// losesRace reports whether the process has lost a race for a port and is to
// be started on another one. It has lost one if it failed soon after its start,
// and something else is bound to a port that it was never seen to listen on.
// Whatever else it ended of is its own affair. If no other port can be had, it
// says why the process will have ended.
func (u *unit) losesRace(ctx context.Context, p Process) (lost bool, why string) {
	if u.l.Now().Sub(p.StartedAt) > raceWindow || !u.failed() {
		return false, ""
	}
	plan, text, err := u.planInstead(ctx, p, silent(p))
	switch {
	case errors.Is(err, lease.ErrRangeFull), errors.Is(err, lease.ErrRangeNotFound):
		return false, text + ", and no other can be leased: " + err.Error()
	case errors.Is(err, lease.ErrInUse), errors.Is(err, lease.ErrPrivileged), errors.Is(err, lease.ErrAssigned):
		return false, text + ", and no other will do: it was asked for by its number"
	case err != nil:
		u.l.Logger.Error("cannot lease another port for a process that lost one", "process", p.Title(), "error", err)
		return false, ""
	case plan == nil:
		return false, ""
	case p.Retries >= maxRetries:
		u.l.Leases.Abort(plan)
		return false, fmt.Sprintf("%s, after %d starts on other ports", text, p.Retries)
	}
	u.race = &lostRace{plan, text}
	return true, ""
}

// planInstead plans other ports in place of those of a process that something
// else is bound to, and tells which these are, and who has them. What the
// process has left behind itself, and what the daemon holds for it, is not
// something else. Without such a port the plan is nil.
func (u *unit) planInstead(ctx context.Context, p Process, ports []Port) (plan *lease.Plan, text string, err error) {
	wanted := make(map[lease.ID]Port)
	for _, port := range ports {
		wanted[port.Lease] = port
	}
	replaced := u.replacements(p, wanted)
	if len(replaced) == 0 {
		return nil, "", nil
	}
	var taken []string
	plan, err = u.l.Leases.PlanInstead(ctx, replaced, func(l lease.Lease, aside lease.SetAside) bool {
		port, ok := wanted[l.ID]
		if !ok {
			return false // another one of a block
		}
		if u.isOurs(p, aside.PID) || aside.PID == os.Getpid() && u.handover.has(l) {
			return false
		}
		taken = append(taken, fmt.Sprintf("%v was taken before it could listen (%s)", port, aside.Reason))
		return true
	})
	return plan, strings.Join(taken, ", "), err
}

// replacements are the leases of those needs of a process of which at least one
// port may be replaced, and what is asked for in their place. Of a need that has
// lost a lease otherwise, as where one was released by hand, there is none.
func (u *unit) replacements(p Process, wanted map[lease.ID]Port) (list []lease.Replacement) {
	d, err := u.l.definitionOf(p)
	if err != nil {
		return nil
	}
	held := make(map[lease.ID]bool)
	for _, l := range u.l.Leases.ByProcess(p.ID) {
		held[l.ID] = true
	}
	for i, g := range groups(d.process.Ports, p.Ports) {
		if d.process.Ports[i].BindSelf {
			continue // nobody has leased it before it is bound
		}
		r := lease.Replacement{Request: requestFor(d.process.Ports[i], p)}
		any := false
		for _, port := range g {
			if _, ok := wanted[port.Lease]; ok {
				any = true
			}
			if held[port.Lease] {
				r.IDs = append(r.IDs, port.Lease)
			}
		}
		if any && len(r.IDs) == len(g) {
			list = append(list, r)
		}
	}
	return list
}

// failed reports whether the incarnation that is gone ended as programs end
// that cannot do their work: by an exit code, or by abort(3).
func (u *unit) failed() bool {
	exit, err := u.handle.Peek()
	return err == nil && exit.Known && (exit.Code != 0 || exit.Signal == syscall.SIGABRT)
}

// isOurs reports whether a pid is what a process has left behind: of its
// session, or with its id in the environment.
func (u *unit) isOurs(p Process, pid int) bool {
	if pid == 0 {
		return false // somebody whom we may not see
	}
	if session, err := unix.Getsid(pid); err == nil && session == p.Identity.PID {
		return true
	}
	environ, err := proc.Environ(pid)
	return err == nil && environ["BERTH_STATE_ID"] == u.l.StateID && environ["BERTH_PROCESS_ID"] == strconv.Itoa(p.ID)
}

// startElsewhere starts a process that has lost a race again, on other ports in
// place of those that were taken. Its other ports stay as they are, and so
// what is left of its group goes, as for a restart. If it cannot be done, the
// process ends.
func (u *unit) startElsewhere(ctx context.Context) {
	race := u.race
	u.race = nil
	u.collect(true)
	p := u.update(func(p *Process) { p.Status = Starting })
	u.move(&p, race.plan, race.text)
	i, err := u.prepareAgain(&p, func(b store.Batch) error { return u.l.Leases.Commit(ctx, race.plan, b) })
	if err != nil {
		u.l.Leases.Abort(race.plan)
		u.unsure = errors.Is(err, store.ErrUnknown)
		u.because(race.text + ", and it could not be started on another one: " + err.Error())
		_ = u.happened(ctx, startFailed)
		return
	}
	u.goOn(ctx, p, i)
}

// move gives a process the ports of a plan that PlanInstead made.
func (u *unit) move(p *Process, plan *lease.Plan, why string) {
	u.letGoChosen()
	u.chosen = plan.Sockets()
	p.Retries, p.Retried = p.Retries+1, why
	made := plan.Instead()
	ports := append([]Port(nil), p.Ports...)
	for i, port := range ports {
		if l, ok := made[port.Lease]; ok {
			ports[i].Range, ports[i].Number, ports[i].Lease = l.Range, l.Port, l.ID
			u.l.Logger.Warn("a port was taken before the process could listen; it starts again on another one", "process", p.Title(),
				"name", port.Label(), "taken", port.Number, "port", l.Port, "why", why, "retry", p.Retries)
		}
	}
	if d, err := u.l.definitionOf(*p); err == nil {
		nameDirect(d.process.Ports, ports)
	}
	p.Ports = ports
}
