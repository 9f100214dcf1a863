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

// whyGone tells whether the process ended or lost a race for a port. It has
// lost one if it failed soon after its start, and something else is bound to a
// port that it was never seen to listen on. Whatever else it ended of is its
// own affair.
func (u *unit) whyGone(ctx context.Context) event {
	p := u.snapshot()
	u.mu.Lock()
	known := u.reason != "" // it never ran, or was asked to end
	u.mu.Unlock()
	if known || p.Status != Running && p.Status != Starting || u.l.Now().Sub(p.StartedAt) > raceWindow {
		return exited
	}
	ports := make(map[lease.ID]bool)
	for _, port := range silent(p) {
		ports[port.Lease] = true
	}
	var silenced []lease.Replacement
	for _, held := range u.l.Leases.ByProcess(p.ID) { // one may have been released by hand
		if ports[held.ID] {
			silenced = append(silenced, lease.Replacement{
				IDs: []lease.ID{held.ID}, Request: lease.Request{Range: held.Range, Protocol: held.Protocol, Holder: held.Holder},
			})
		}
	}
	if len(silenced) == 0 || !u.failed() {
		return exited
	}
	var taken []string
	plan, err := u.l.Leases.PlanInstead(ctx, silenced, func(l lease.Lease, aside lease.SetAside) bool {
		if u.isOurs(p, aside.PID) || aside.PID == os.Getpid() && u.handover.has(l) {
			return false
		}
		taken = append(taken, fmt.Sprintf("%s port %d was taken before it could listen (%s)", l.Range, l.Port, aside.Reason))
		return true
	})
	if plan == nil && err == nil {
		return exited
	}
	text := strings.Join(taken, ", ")
	switch {
	case errors.Is(err, lease.ErrRangeFull), errors.Is(err, lease.ErrRangeNotFound):
		u.because(text + ", and no other can be leased: " + err.Error())
	case err != nil:
		u.l.Logger.Error("cannot lease another port for a process that lost one", "process", p.Title(), "error", err)
	case p.Retries >= maxRetries:
		u.l.Leases.Abort(plan)
		u.because(fmt.Sprintf("%s, after %d starts on other ports", text, p.Retries))
	default:
		u.race = &lostRace{plan, text}
		return raceLost
	}
	return exited
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
	p.Retries, p.Retried = p.Retries+1, race.text
	made := race.plan.Instead()
	ports := append([]Port(nil), p.Ports...)
	for i, port := range ports {
		if l, ok := made[port.Lease]; ok {
			ports[i].Number, ports[i].Lease = l.Port, l.ID
			u.l.Logger.Warn("a port was taken before the process could listen; it starts again on another one", "process", p.Title(),
				"range", port.Range, "taken", port.Number, "port", l.Port, "why", race.text, "retry", p.Retries)
		}
	}
	p.Ports = ports
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
