package launcher

import (
	"context"
	"errors"
	"fmt"
	"time"

	"berth/internal/failpoint"
	"berth/lease"
	"berth/store"
)

const (
	// reloadWait is how long a new instance may take until it listens where
	// nothing else is said.
	reloadWait = time.Minute

	// reloadTrial is how long a new instance has to have nothing to do that shows
	// by nothing else that it is at work: it has no port of its own to bind. Until
	// then it may be about to fail still, on a busy machine for longer than that.
	reloadTrial = 2 * time.Second
)

// ReloadRequest asks for processes to be exchanged for new ones.
type ReloadRequest struct {
	Selector

	// Ports, unless there are none, are other ports for this run, as
	// descriptor.ParsePortSpec reads them, in place of the first ones of the
	// definition; what is deployed stays as it is. All new instances start
	// together then: an interval makes as many as it has ports.
	Ports []string

	// Wait is how long each new one may take until it listens; 0 means a minute,
	// and with Ports not to wait.
	Wait time.Duration
}

// ReloadResult is what a reload has come to.
type ReloadResult struct {
	// Processes are the new ones, and those that were restarted instead.
	Processes []Process
	// Restarted are the ids of the latter.
	Restarted []int
	Warnings  []string
}

// Reload exchanges the selected processes one after the other: a new one of the
// same definition and instance is started on ports of its own, and once it
// listens the old one is asked to end and its ports are recuperated. A socket
// that was handed over is handed to the new one too, on the same port. Where a
// new one cannot have ports beside the old one, that one is restarted, and a
// warning says so.
//
// A new one that ends or does not listen in time is stopped, the old one stays,
// and so do those that would have come after it: the error, ErrExecFailed or
// ErrTimeout, comes with those that were exchanged before. A daemon that dies
// meanwhile leaves the old one, or both, in its records.
func (l *Launcher) Reload(ctx context.Context, r ReloadRequest) (ReloadResult, error) {
	var result ReloadResult
	r.Ended = false
	units, err := l.selectUnits(r.Selector)
	if err != nil {
		return result, err
	}
	if r.Wait == 0 && len(r.Ports) == 0 {
		r.Wait = reloadWait
	}
	// Something to start has to be there before anything is done.
	for _, u := range units {
		if _, err := l.definitionOf(u.snapshot()); err != nil {
			return result, err
		}
	}
	release, err := l.beginReload(units)
	if err != nil {
		return result, err
	}
	defer release()
	if len(r.Ports) > 0 {
		return l.reloadOnto(ctx, units, r)
	}
	for i, u := range units {
		next, warning, err := l.exchange(ctx, u, r.Wait)
		if warning != "" {
			result.Warnings = append(result.Warnings, warning)
			l.Logger.Warn("reload: " + warning)
		}
		if next == u {
			result.Restarted = append(result.Restarted, u.process.ID)
		}
		if next != nil {
			result.Processes = append(result.Processes, next.snapshot())
		}
		if err != nil {
			if n := len(units); n > 1 {
				err = fmt.Errorf("%d of %d were reloaded: %w", i, n, err)
			}
			return result, err
		}
	}
	return result, nil
}

// beginReload keeps processes from being reloaded twice at the same time.
func (l *Launcher) beginReload(units []*unit) (release func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, u := range units {
		if l.reloading[u.process.ID] {
			return nil, fmt.Errorf("%w: process %d is being reloaded already", ErrExecRefused, u.process.ID)
		}
	}
	for _, u := range units {
		l.reloading[u.process.ID] = true
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, u := range units {
			delete(l.reloading, u.process.ID)
		}
	}, nil
}

// exchange exchanges one process for a new one. The result is nil where there
// is none, because the process has ended by itself or nothing came of it.
func (l *Launcher) exchange(ctx context.Context, u *unit, wait time.Duration) (next *unit, warning string, err error) {
	p := u.snapshot()
	switch {
	case p.Status == Stopping || !p.Live():
		return nil, p.Title() + " has ended meanwhile, or is about to", nil
	case p.Status != Running:
		return nil, "", fmt.Errorf("%w: %s is %s: reload it when it runs", ErrExecRefused, p.Title(), p.Status)
	}
	if err := failpoint.Fail("reload/begun"); err != nil {
		return nil, "", err
	}
	next, handed, err := l.startBeside(ctx, u, p)
	if why := l.whyNotBeside(err); why != "" {
		warning = fmt.Sprintf("%s cannot have a new one beside it, and is restarted instead: %s", p.Title(), why)
		return u, warning, l.restartInstead(ctx, u, p, wait)
	}
	if err != nil && next == nil {
		return nil, "", fmt.Errorf("%s stays: %w", p.Title(), err)
	}
	failpoint.At("reload/started")
	if err == nil {
		err = l.awaitAtWork(ctx, next, handed, wait)
	}
	if err != nil {
		return nil, "", l.giveUp(ctx, next, p, err)
	}
	failpoint.At("reload/listening")
	u.because(fmt.Sprintf("replaced by process %d", next.snapshot().ID))
	if err := u.tell(ctx, stopAsked); err != nil {
		return next, "", fmt.Errorf("%s runs, and %s could not be asked to end: %w", next.snapshot().Title(), p.Title(), err)
	}
	// Its ports may be those that the one after it needs.
	if err := l.awaitEnded(ctx, []*unit{u}, l.longestEnd(p)); err != nil {
		return next, "", fmt.Errorf("%s runs, and what it replaces does not end: %w", next.snapshot().Title(), err)
	}
	failpoint.At("reload/ended")
	return next, "", nil
}

// longestEnd is how long a process may take from being asked to end until that
// is written down.
func (l *Launcher) longestEnd(p Process) time.Duration {
	timeout, retries := l.patience(p)
	return timeout + time.Duration(retries+1)*l.KillPause + 30*time.Second
}

// giveUp stops a new process that did not come to work, so that all is as it
// was before.
func (l *Launcher) giveUp(ctx context.Context, next *unit, old Process, why error) error {
	err := fmt.Errorf("%s stays: %w", old.Title(), why)
	ctx = context.WithoutCancel(ctx)
	next.because("it did not come to work in a reload")
	if stopErr := next.tell(ctx, stopAsked); stopErr != nil {
		return errors.Join(err, stopErr)
	}
	return errors.Join(err, l.awaitEnded(ctx, []*unit{next}, l.longestEnd(old)))
}

// errTooMany says that a new instance beside the old one would be one too many.
var errTooMany = errors.New("too many instances")

// errNoSockets says that the daemon has no copy of sockets that it had handed over.
var errNoSockets = errors.New("its sockets were handed over by an earlier daemon")

// whyNotBeside says why there can be no new process beside the old one, though
// it could have its place. Empty: that is not what the error says.
func (l *Launcher) whyNotBeside(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, lease.ErrRangeFull), errors.Is(err, lease.ErrAssigned), errors.Is(err, lease.ErrInUse), errors.Is(err, errTooMany), errors.Is(err, errNoSockets):
		return err.Error()
	}
	return ""
}

// restartInstead restarts a process in its place, and waits until it listens.
func (l *Launcher) restartInstead(ctx context.Context, u *unit, before Process, wait time.Duration) error {
	if err := u.tell(ctx, restartAsked); err != nil {
		return err
	}
	timeout, _ := l.patience(before)
	return l.awaitListeningAgain(ctx, []*unit{u}, []Process{before}, wait+timeout)
}

// startBeside starts a new process for p, beside it, and returns it with the
// ports that are handed on. Where it was started and an error came then, it is
// returned with that.
func (l *Launcher) startBeside(ctx context.Context, u *unit, p Process) (next *unit, handed map[int][]Port, err error) {
	d, err := l.definitionOf(p)
	if err != nil {
		return nil, nil, err
	}
	if most := d.process.MaxInstances; most > 0 {
		running, err := l.Processes(Selector{Distribution: p.Distribution, Version: p.Version, Name: p.Name})
		if err != nil {
			return nil, nil, err
		}
		if len(running) >= most {
			return nil, nil, fmt.Errorf("%w: %d of it run, and its maxInstances is %d", errTooMany, len(running), most)
		}
	}
	release, err := l.hold([]*deployed{d.distribution})
	if err != nil {
		return nil, nil, err
	}
	defer release()
	now := Process{
		ID: l.takeIDs(1), Distribution: p.Distribution, Version: p.Version, Profile: p.Profile, Name: p.Name,
		Instance: p.Instance, Status: Starting, Replaces: p.ID, Restarts: p.Restarts + 1, Onto: p.Onto,
	}
	var units []*unit
	for {
		if d.sockets, err = u.copySockets(ctx); err != nil {
			break
		}
		if d.kept, err = handedOn(p, d); err != nil {
			break
		}
		err = l.succeed(u, now.ID, func() (err error) {
			units, _, err = l.launchOnce(ctx, []Process{now}, []definition{d}, requestsOf(now, d), noExtra)
			return err
		})
		if !errors.Is(err, lease.ErrTaken) || ctx.Err() != nil {
			break
		}
	}
	if units == nil {
		d.sockets.closeOthers()
		l.giveBackIDs(now.ID, 1)
		return nil, nil, err
	}
	if err == nil {
		err = l.openGates(units)
	}
	return units[0], d.kept, err
}

func countPorts(handed map[int][]Port) (n int) {
	for _, ports := range handed {
		n += len(ports)
	}
	return n
}

func noExtra([]string) store.Batch { return store.Batch{} }

// awaitAtWork waits until a new process listens on its ports and, where it is
// checked, answers. Ports that were handed on to it listen from the first
// moment: where it has no others, it is waited for until it accepts connections,
// or has had nothing to do for reloadTrial.
func (l *Launcher) awaitAtWork(ctx context.Context, u *unit, handed map[int][]Port, wait time.Duration) error {
	started := l.Now()
	awaited := l.ports.await()
	defer awaited()
	failed := func(p Process) error {
		switch {
		case !p.Live():
			return l.endedError(p)
		case p.Status != Starting && p.Status != Running, p.InARow > 0: // started again by itself, perhaps
			return fmt.Errorf("%w: %s has ended and is %s (berth logs %d)", ErrExecFailed, p.Title(), p.Status, p.ID)
		}
		return nil
	}
	err := l.await(ctx, []*unit{u}, wait, "does not listen on", func(_ int, p Process) (bool, error) {
		if err := failed(p); err != nil {
			return false, err
		}
		return p.Status == Running && len(silent(p)) == 0 && p.answers(), nil
	})
	if err != nil || countPorts(handed) < len(u.snapshot().Ports) {
		return err
	}
	tick := time.NewTicker(awaitedPause)
	defer tick.Stop()
	busy := started // when it last was
	for now := started; now.Sub(busy) < reloadTrial && now.Sub(started) < wait; now = l.Now() {
		p := u.snapshot()
		if err := failed(p); err != nil {
			return err
		}
		if len(handed) > 0 && accepts(p) {
			return nil
		}
		if isBusy(p) {
			busy = now
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-l.life.Done():
			return ErrClosed
		}
	}
	return nil
}
