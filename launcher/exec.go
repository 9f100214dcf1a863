package launcher

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"berth/internal/failpoint"
	"berth/launcher/gate"
	"berth/lease"
	"berth/store"

	"golang.org/x/sync/errgroup"
)

// maxInstances is the most instances of a process that one exec may start.
const maxInstances = 10_000

// ExecRequest asks for processes.
type ExecRequest struct {
	// Distribution and Version are patterns.
	Distribution, Version string

	// Profile picks the starter.
	Profile string

	// Name is a pattern of process names. Empty: every process that need not
	// be named to start.
	Name string

	// Instances is how many of each; 0 means what its definition says, or 1.
	Instances int

	// Parts, unless it is nil, are what is asked for, in place of the fields above.
	Parts []ExecPart

	// Stable says that each instance gets the ports that it had last, where they
	// are free; without it the policy of the ranges counts alone.
	Stable bool

	// Wait is how long to wait until every process listens on its ports; 0
	// means not to wait.
	Wait time.Duration

	// Extra, unless it is nil, returns what is committed together with the
	// records of the processes that will have these ids, in ascending order
	// without a gap. It is asked again where ports were planned again.
	Extra func(ids []int, warnings []string) store.Batch
}

// ExecPart is a process with how many of it are asked for.
type ExecPart struct {
	Distribution, Version string
	Name, Profile         string
	Instances             int // 0 means 1
}

// ExecResult is what an exec started.
type ExecResult struct {
	Processes []Process
	Warnings  []string
}

// Exec starts processes, the ports of all of them or none. It returns when
// every command was exec'd and, where asked, listens on its ports. What they
// depend on starts first, once, and has to listen. Errors
// before anything started are ErrInvalid, ErrDistributionNotFound,
// ErrProcessNotFound, ErrProfileNotFound, ErrExecRefused, ErrUnsupported and
// those of package lease. ErrExecFailed and ErrTimeout come with the result:
// what did start stays.
func (l *Launcher) Exec(ctx context.Context, r ExecRequest) (ExecResult, error) {
	targets, warnings, err := l.resolve(ctx, r)
	if err != nil || len(targets) == 0 {
		return ExecResult{Warnings: warnings}, err
	}
	if err := failpoint.Fail("exec/resolved"); err != nil {
		return ExecResult{Warnings: warnings}, err
	}
	ordered, more, err := l.requirements(ctx, targets)
	if err != nil {
		return ExecResult{Warnings: warnings}, err
	}
	warnings = append(warnings, more...)
	held := make([]*deployed, len(ordered))
	for i, q := range ordered {
		held[i] = q.distribution
		if q.asked {
			continue // checked
		}
		more, err := l.check(q.definition, 0)
		if err != nil {
			return ExecResult{Warnings: warnings}, err
		}
		warnings = append(warnings, more...)
	}
	release, err := l.hold(held)
	if err != nil {
		return ExecResult{}, err
	}
	targets, units, err := l.startNeeded(ctx, r, ordered)
	result := ExecResult{Warnings: warnings}
	if err == nil && len(targets) > 0 {
		var asked []*unit
		var more []string
		asked, more, err = l.launch(ctx, r, targets, warnings)
		units, result.Warnings = append(units, asked...), append(warnings, more...)
	}
	release()
	if err == nil && r.Wait > 0 {
		err = l.awaitListening(ctx, units, r.Wait)
	}
	for _, u := range units {
		result.Processes = append(result.Processes, u.snapshot())
	}
	return result, err
}

// Started tells of the processes of an earlier exec, by their ids, as Exec
// would have: it waits until they listen. One that has ended since then is
// ErrExecFailed, whether it was forgotten or not.
func (l *Launcher) Started(ctx context.Context, ids []int, wait time.Duration) (ExecResult, error) {
	var result ExecResult
	units := make([]*unit, 0, len(ids))
	for _, id := range ids {
		u, err := l.unit(id)
		if err != nil {
			return result, fmt.Errorf("%w: process %d was started and has ended long ago", ErrExecFailed, id)
		}
		units = append(units, u)
	}
	var err error
	if wait > 0 {
		err = l.awaitListening(ctx, units, wait)
	}
	for _, u := range units {
		p := u.snapshot()
		if err == nil && !p.Live() {
			err = l.endedError(p)
		}
		result.Processes = append(result.Processes, p)
	}
	return result, err
}

// launch leases the ports, starts the children behind their gates, writes all
// of it down and opens the gates.
func (l *Launcher) launch(ctx context.Context, r ExecRequest, targets []definition, said []string) ([]*unit, []string, error) {
	if slices.ContainsFunc(targets, func(t definition) bool { return t.process.MaxInstances > 0 }) {
		// Execs at once must not be too many together.
		l.limited.Lock()
		defer l.limited.Unlock()
		for _, t := range targets {
			if err := l.checkMost(t, t.instances); err != nil {
				return nil, nil, err
			}
		}
	}
	processes, definitions, requests := l.layOut(r, targets)
	first := processes[0].ID
	extra := func(more []string) store.Batch {
		if r.Extra == nil {
			return store.Batch{}
		}
		ids := make([]int, len(processes))
		for i, p := range processes {
			ids[i] = p.ID
		}
		return r.Extra(ids, slices.Concat(said, more))
	}
	var units []*unit
	var warnings []string
	for {
		var err error
		units, warnings, err = l.launchOnce(ctx, processes, definitions, requests, extra)
		if errors.Is(err, lease.ErrTaken) && ctx.Err() == nil {
			continue // another host was quicker: the next ports are tried
		}
		if err != nil && units == nil {
			l.giveBackIDs(first, len(processes))
			return nil, warnings, err
		}
		if err != nil {
			return units, warnings, err
		}
		break
	}
	return units, warnings, l.openGates(units)
}

// layOut makes the processes of an exec and the leases that they need.
func (l *Launcher) layOut(r ExecRequest, targets []definition) (processes []Process, definitions []definition, requests []lease.Request) {
	total := 0
	for _, t := range targets {
		total += t.instances
	}
	id := l.takeIDs(total)
	for _, t := range targets {
		for i := range t.instances {
			p := Process{
				ID: id, Distribution: t.distribution.Name, Version: t.distribution.Version,
				Profile: t.starter.Profile, Name: t.process.Name, Instance: i, Status: Starting,
			}
			id++
			preferred := make([]int, len(t.process.Ports))
			if r.Stable {
				preferred = l.lastPorts(p, t.process.Ports)
			}
			for k, port := range t.process.Ports {
				if port.BindSelf {
					continue
				}
				q := requestFor(port, p)
				q.Prefer = preferred[k]
				requests = append(requests, q)
			}
			processes = append(processes, p)
			definitions = append(definitions, t)
		}
	}
	return processes, definitions, requests
}

func (l *Launcher) launchOnce(ctx context.Context, processes []Process, definitions []definition, requests []lease.Request, extra func(warnings []string) store.Batch) (units []*unit, warnings []string, err error) {
	plan, err := l.Leases.Plan(ctx, requests)
	if err != nil {
		return nil, nil, err
	}
	if err := failpoint.Fail("exec/planned"); err != nil {
		l.Leases.Abort(plan)
		return nil, nil, err
	}
	handovers, err := l.handOver(ctx, plan, processes, definitions)
	if err != nil {
		l.Leases.Abort(plan)
		return nil, nil, err
	}
	defer func() {
		if units == nil {
			for _, h := range handovers {
				h.close()
			}
		}
	}()
	// From here on, nobody's hanging up leaves it half done.
	ctx = context.WithoutCancel(ctx)
	var together *gate.Group
	if len(processes) > 1 {
		if together, err = gate.NewGroup(); err != nil {
			l.Leases.Abort(plan)
			return nil, nil, err
		}
		defer together.Close()
	}
	started, warnings, err := l.prepareAll(processes, definitions, handovers, together)
	if failpoint.Planted("run-unrecorded") {
		for _, s := range started {
			_ = s.child.Open()
		}
	}
	if err == nil {
		if err = failpoint.Fail("exec/prepared"); err != nil {
			l.undo(processes, started)
		}
	}
	if err != nil {
		l.Leases.Abort(plan)
		return nil, warnings, err
	}
	var batch store.Batch
	now := l.Now().UTC().Truncate(time.Millisecond)
	for i, s := range started {
		p := &processes[i]
		p.Identity, p.StartedAt, p.Cgroup = s.handle.Identity(), now, s.cgroup
		key := l.processKey(p.ID)
		if i > 0 && failpoint.Planted("record-one") {
			continue
		}
		batch.IfAbsent(key)
		batch.Put(key, encodeProcess(*p))
	}
	batch.Append(extra(warnings))
	err = l.Leases.Commit(ctx, plan, batch)
	failpoint.At("exec/committed")
	if err != nil && !errors.Is(err, store.ErrUnknown) {
		l.undo(processes, started)
		return nil, warnings, err
	}
	for _, h := range handovers {
		h.beforeExec()
	}
	if err == nil && together != nil {
		together.Open()
	}
	for i, s := range started {
		u := newUnit(l, processes[i], s.handle)
		u.incarnation, u.passed, u.handover = s, make(chan struct{}), handovers[i].lasting()
		u.unsure = err != nil
		units = append(units, u)
	}
	l.add(units)
	failpoint.At("exec/listed")
	if err != nil {
		// It may be written down. The children end behind their gates, and the
		// owners end what there is of records.
		for _, u := range units {
			u.because("the store did not tell whether it was written down")
			u.incarnation.child.Abandon()
			close(u.passed)
		}
		return units, warnings, err
	}
	return units, warnings, nil
}

// prepareAll prepares processes, all or none, as many at a time as there are
// processors: most of it is the kernel's work, on folders and files above all.
func (l *Launcher) prepareAll(processes []Process, definitions []definition, handovers []handover, together *gate.Group) (started []*incarnation, warnings []string, err error) {
	sets, err := l.propertiesOf(l.life, definitions)
	if err != nil {
		return nil, nil, err
	}
	started = make([]*incarnation, len(processes))
	said := make([][]string, len(processes))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	var failed atomic.Bool
	for i := range processes {
		group.Go(func() (err error) {
			if failed.Load() {
				return nil
			}
			started[i], said[i], err = l.prepare(processes[i], definitions[i], sets[i], handovers[i], together)
			if err != nil {
				l.removeDir(processes[i].ID)
				failed.Store(true)
			}
			return err
		})
	}
	err = group.Wait()
	for _, text := range slices.Concat(said...) {
		if !slices.Contains(warnings, text) {
			warnings = append(warnings, text)
		}
	}
	if err != nil {
		l.undo(processes, started)
		return nil, warnings, err
	}
	return started, warnings, nil
}

// undo ends the children that were started for processes, nil where there is
// none, and removes their folders.
func (l *Launcher) undo(processes []Process, started []*incarnation) {
	for i, s := range started {
		if s != nil {
			s.abandon()
			l.removeDir(processes[i].ID)
		}
	}
}

// openGates lets the children go on, and tells which could not.
func (l *Launcher) openGates(units []*unit) error {
	var failed []error
	for _, u := range units {
		u.incarnation.handover.beforeExec()
		failpoint.At("exec/opening")
		if err := u.incarnation.child.Open(); err != nil && !failpoint.Planted("run-unrecorded") {
			failed = append(failed, err)
		}
	}
	failpoint.At("exec/opened")
	for _, u := range units {
		err := execError(u.incarnation.child.Executed(l.life))
		failpoint.At("exec/executed")
		if err != nil {
			u.because(err.Error())
		}
		u.incarnation = nil
		close(u.passed)
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", u.snapshot().Title(), err))
			continue
		}
		if err := u.tell(l.life, executed); err != nil {
			failed = append(failed, err)
		}
	}
	switch len(failed) {
	case 0:
		return nil
	case 1:
		return failed[0]
	default:
		return fmt.Errorf("%w (and %d more)", failed[0], len(failed)-1)
	}
}

// add registers processes and starts their owners.
func (l *Launcher) add(units []*unit) {
	l.mu.Lock()
	for _, u := range units {
		l.units[u.process.ID] = u
		l.highestID = max(l.highestID, u.process.ID)
	}
	l.mu.Unlock()
	for _, u := range units {
		l.tellStatus(u.snapshot())
		u.own()
	}
}

// takeIDs returns the first of n new ids.
func (l *Launcher) takeIDs(n int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := l.nextID
	l.nextID += n
	return first
}

// giveBackIDs takes back ids that nobody has seen, if they are the last ones.
func (l *Launcher) giveBackIDs(first, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.nextID == first+n {
		l.nextID = first
	}
}
