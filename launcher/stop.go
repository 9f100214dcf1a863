package launcher

import (
	"context"
	"errors"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// StopRequest asks processes to end, for good or to start again.
type StopRequest struct {
	Selector

	// Hard forces them at once, without asking.
	Hard bool

	// Wait is how long to wait until they have ended and their ports are
	// recuperated, or until they listen again; 0 means not to wait.
	Wait time.Duration
}

// Kill ends the selected processes and returns them. ErrTimeout comes with them
// where they did not end in time.
func (l *Launcher) Kill(ctx context.Context, r StopRequest) ([]Process, error) {
	e := stopAsked
	if r.Hard {
		e = forceAsked
	}
	units, err := l.ask(ctx, r.Selector, e)
	if err == nil && r.Wait > 0 {
		err = l.awaitEnded(ctx, units, r.Wait)
	}
	return snapshots(units), err
}

// Restart ends the selected processes and starts them again on the ports that
// they have; nobody else can lease these in between. It returns the processes;
// ErrTimeout and ErrExecFailed come with them.
func (l *Launcher) Restart(ctx context.Context, r StopRequest) ([]Process, error) {
	e := restartAsked
	if r.Hard {
		e = reforceAsked
	}
	selected, err := l.selectUnits(r.Selector)
	if err != nil {
		return nil, err
	}
	// Something to start again has to be there before anything is stopped.
	for _, u := range selected {
		if _, err := l.definitionOf(u.snapshot()); err != nil {
			return nil, err
		}
	}
	before := snapshots(selected)
	err = tellAll(ctx, selected, e)
	if err == nil && r.Wait > 0 {
		err = l.awaitListeningAgain(ctx, selected, before, r.Wait)
	}
	return snapshots(selected), err
}

// ask sends an event to all selected processes.
func (l *Launcher) ask(ctx context.Context, s Selector, e event) ([]*unit, error) {
	s.Ended = false
	units, err := l.selectUnits(s)
	if err != nil {
		return nil, err
	}
	return units, tellAll(ctx, units, e)
}

// tellAll sends an event to many owners at once, so that their commits go together.
func tellAll(ctx context.Context, units []*unit, e event) error {
	errs := make(chan error, len(units))
	for _, u := range units {
		go func() { errs <- u.tell(ctx, e) }()
	}
	var all error
	for range units {
		all = errors.Join(all, <-errs)
	}
	return all
}

func snapshots(units []*unit) []Process {
	list := make([]Process, len(units))
	for i, u := range units {
		list[i] = u.snapshot()
	}
	return list
}

// signalName is the name that people know a signal by.
func signalName(s syscall.Signal) string {
	if name := unix.SignalName(s); name != "" {
		return name
	}
	return s.String()
}
