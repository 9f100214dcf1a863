package launcher

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"berth/internal/failpoint"
	"berth/lease"
	"berth/proc"
	"berth/store"
)

// groupPatience is how long the end of a process waits for what is left of its
// group to be gone after it was killed.
const groupPatience = 2 * time.Second

// unit is a process with its owner: the goroutine that alone changes the
// record. Others read snapshots and send events.
type unit struct {
	l      *Launcher
	events chan request
	gone   chan struct{} // closed when the process is known to have ended
	over   chan struct{} // closed once that is written down

	// Of the owner alone.
	handle *proc.Process // nil where an adopted process was gone already
	exit   chan struct{} // closed when the present incarnation has exited
	timer  *time.Timer   // runs from asking to forcing, or until its revival is due; nil otherwise
	forced int           // how often it was forced
	race   *lostRace     // why it is to move to other ports
	unsure bool          // what a commit has done with its leases is not known
	sick   string        // why it is unhealthy, where it is restarted for that

	unchecked context.CancelFunc // ends the checks of the present incarnation; nil where there are none

	disowned bool // its record is a copy of another state folder's

	// handover is the owner's too, once the process is registered.
	handover handover
	chosen   []lease.Socket // by which the system chose ports that it is started on next

	// Of the one who opens the gate of an exec: the child, and a channel to be
	// closed once it is known whether the command runs. Nil for adopted ones.
	incarnation *incarnation
	passed      chan struct{}

	mu      sync.Mutex
	process Process
	reason  string // why it will have ended, where that is known before

	unanswered bool // the present incarnation has a check and has not answered it yet

	changed chan struct{} // closed at the next change; nil while nobody waits
}

// request is an event that somebody waits for.
type request struct {
	event event
	done  chan<- error

	// run, unless it is nil, is done by the owner in place of an event.
	run func() error
}

func newUnit(l *Launcher, p Process, handle *proc.Process) *unit {
	u := &unit{l: l, process: p, handle: handle, events: make(chan request), gone: make(chan struct{}), over: make(chan struct{})}
	if !p.Live() {
		close(u.over)
	}
	return u
}

// snapshot is the process as it is now.
func (u *unit) snapshot() Process {
	u.mu.Lock()
	defer u.mu.Unlock()
	p := u.process
	p.Ports = slices.Clone(p.Ports)
	return p
}

func (u *unit) nextChange() <-chan struct{} {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.changed == nil {
		u.changed = make(chan struct{})
	}
	return u.changed
}

// update changes what is told of the process.
func (u *unit) update(change func(*Process)) Process {
	u.mu.Lock()
	defer u.mu.Unlock()
	before := u.process
	change(&u.process)
	u.l.tell(before, u.process)
	if u.changed != nil {
		close(u.changed)
		u.changed = nil
	}
	return u.process
}

// because notes why the process will have ended. The first reason stays.
func (u *unit) because(reason string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.reason == "" {
		u.reason = reason
	}
}

// tell sends an event to the owner and waits until it was acted upon. A process
// that has ended takes none: that is no error, also where the end cannot be
// written down yet.
func (u *unit) tell(ctx context.Context, e event) error {
	return u.send(ctx, request{event: e})
}

// send sends a request to the owner, as tell does.
func (u *unit) send(ctx context.Context, r request) error {
	done := make(chan error, 1)
	r.done = done
	select {
	case u.events <- r:
	case <-u.gone:
		return nil
	case <-u.l.life.Done():
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// forgetReason forgets why an incarnation has ended that another one follows.
func (u *unit) forgetReason() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.reason = ""
}

// hasReason reports whether it is known why the process will have ended.
func (u *unit) hasReason() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.reason != ""
}

// own starts the owner of a live process.
func (u *unit) own() {
	if u.exit == nil && u.handle != nil {
		u.watchExit()
	}
	u.l.owners.Go(func() {
		for u.snapshot().Live() {
			var timeout <-chan time.Time
			if u.timer != nil {
				timeout = u.timer.C
			}
			select {
			case <-u.l.life.Done():
				if u.handle != nil {
					_ = u.handle.Close()
				}
				u.handover.close()
				return
			case r := <-u.events:
				if r.run != nil {
					r.done <- r.run()
					continue
				}
				r.done <- u.happened(u.l.life, r.event)
			case <-u.exit:
				failpoint.At("exit/noticed")
				u.exit = nil
				if u.passed != nil {
					<-u.passed // why it ended may be that it could not be exec'd
				}
				_ = u.happened(u.l.life, u.whyGone(u.l.life))
			case <-timeout:
				e := timedOut
				if u.snapshot().Status == Waiting {
					e = pauseOver
				}
				_ = u.happened(u.l.life, e)
			}
		}
	})
}

// watchExit has exit closed when the present incarnation is gone.
func (u *unit) watchExit() {
	handle, exit := u.handle, make(chan struct{})
	u.exit = exit
	if failpoint.Planted("leak-goroutines") {
		go func() { select {} }()
	}
	u.l.owners.Go(func() {
		if handle.Exited(u.l.life) == nil {
			close(exit)
		}
	})
}

// happened does what an event asks for.
func (u *unit) happened(ctx context.Context, e event) error {
	status := u.snapshot().Status
	step, ok := after(status, e)
	if !ok {
		return nil
	}
	switch step.do {
	case start:
		u.startAgain(ctx)
		return nil
	case move:
		u.startElsewhere(ctx)
		return nil
	case rest:
		u.rest(ctx)
		return nil
	case revive:
		u.revive(ctx)
		return nil
	case end:
		if e == stopAsked || e == forceAsked { // it waits: there is nobody to signal
			u.because("stopped by request")
			u.update(func(p *Process) { p.Status = Stopping })
		}
		u.end(ctx)
		return nil
	}
	if step.next == Stopping || step.next == Restarting {
		if err := u.record(ctx, step.next); err != nil {
			return err
		}
	}
	u.become(step.next, e)
	if e == forceAsked || e == reforceAsked {
		u.forced = 0 // whoever asks has it tried anew
	}
	switch {
	case step.next == Stopping && (e == stopAsked || e == forceAsked):
		u.because("stopped by request")
	case e == executed:
		u.l.ports.wake()
	}
	return u.do(step.do)
}

// become gives the process a status by an event. One that runs from then on is
// checked, and one that has ceased to run is not.
func (u *unit) become(s Status, e event) {
	var c *check
	var notChecked error
	if e == executed {
		c, notChecked = u.l.checkOf(u.snapshot())
	} else if s != Running {
		u.stopChecking()
	}
	u.update(func(p *Process) {
		p.Status = s
		if e == executed {
			u.unanswered = c != nil
		}
		switch {
		case c != nil:
			p.Health = Checking
		case notChecked != nil:
			p.HealthReason = "not checked: " + notChecked.Error()
		}
	})
	if c != nil {
		u.startChecking(c)
	}
}

// record makes a change of the status durable, before it is acted upon.
func (u *unit) record(ctx context.Context, s Status) error {
	p := u.snapshot()
	if p.Status == s {
		return nil
	}
	p.Status = s
	var b store.Batch
	b.Put(u.l.processKey(p.ID), encodeProcess(p))
	err := failpoint.Fail("record/writing")
	if err == nil {
		_, err = u.l.Store.Commit(ctx, b)
	}
	failpoint.At("record/written")
	if err != nil {
		return fmt.Errorf("record that process %d is %s: %w", p.ID, s, err)
	}
	return nil
}

// do sends the signal of an action.
func (u *unit) do(a action) error {
	timeout, retries := u.l.patience(u.snapshot())
	var sig syscall.Signal
	switch a {
	case terminate:
		sig = syscall.SIGTERM
	case force:
		sig, timeout = syscall.SIGKILL, u.l.KillPause
		u.forced++
		switch {
		case u.forced > 1+retries:
			u.timer = nil
			u.l.Logger.Error("a process does not end although it was killed", "process", u.snapshot().Title(), "times", u.forced-1)
			return nil
		case u.forced > 1:
			u.l.Logger.Warn("a process has not ended and is killed again", "process", u.snapshot().Title(), "retry", u.forced-1, "of", retries)
		}
	default:
		return nil
	}
	if u.timer == nil {
		u.timer = time.NewTimer(timeout)
	} else {
		u.timer.Reset(timeout)
	}
	if failpoint.Planted("free-early") {
		for _, held := range u.l.Leases.ByProcess(u.snapshot().ID) {
			_ = u.l.Leases.Release(context.Background(), held.ID, 0)
		}
	}
	err := u.signalGroup(sig)
	if a == force {
		u.l.killCgroup(u.snapshot())
	}
	failpoint.At("stop/signalled")
	if errors.Is(err, proc.ErrGone) {
		return nil // its exit is on the way
	}
	return err
}

func (u *unit) signalGroup(sig syscall.Signal) error {
	if failpoint.Planted("signal-number") {
		return syscall.Kill(-u.handle.Identity().PID, sig)
	}
	return u.handle.SignalGroup(sig)
}
