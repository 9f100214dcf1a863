package launcher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"berth/internal/failpoint"
	"berth/proc"
	"berth/store"

	"golang.org/x/sync/errgroup"
)

// Launcher deploys distributions and runs their processes. Its methods may be
// called from many goroutines.
type Launcher struct {
	Options

	// life ends with Close: owners and watchers stop, processes go on.
	life   context.Context
	cancel context.CancelFunc
	owners sync.WaitGroup

	ports  *portWatcher
	usages usages

	outputs outputs

	needing sync.Mutex // held while it is found out whether what is needed runs
	limited sync.Mutex // held while a process starts of which there may be only so many

	// succession is held while a process begins to replace another one, and
	// while one of such a pair ends. Other ends only read it.
	succession sync.RWMutex

	mu            sync.Mutex
	successors    map[int]int // by the id of a process, that of the one that was started in its place
	closed        bool
	distributions map[distributionID]*deployed
	units         map[int]*unit // by process id: live ones, and the last that ended
	reloading     map[int]bool  // ids of those that are being exchanged
	ended         []int         // ids of those that ended, the longest ago first
	ending        int           // how many ends are just being written down
	nextID        int
	highestID     int // of all that were ever written down
	rebuilding    Rebuilding
}

// Open reads the records of a state folder, adopts the processes that still
// run and recuperates the ports of those that do not. It returns when all of
// them have been looked at.
func Open(ctx context.Context, o Options) (*Launcher, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	for _, dir := range []string{"distributions", "archives", "processes", "staging"} {
		if err := os.MkdirAll(filepath.Join(o.Home, dir), 0o700); err != nil {
			return nil, err
		}
	}
	l := &Launcher{
		Options:       o,
		distributions: make(map[distributionID]*deployed),
		units:         make(map[int]*unit),
		reloading:     make(map[int]bool),
		successors:    make(map[int]int),
		nextID:        1,
	}
	l.life, l.cancel = context.WithCancel(context.Background())
	l.ports = newPortWatcher(l)
	if err := failpoint.Fail("adopt/begun"); err != nil {
		return nil, err
	}
	if _, err := store.Recover(ctx, l.Store, l.intentScope()); err != nil {
		return nil, fmt.Errorf("undo what was left half done: %w", err)
	}
	if err := l.loadDistributions(ctx); err != nil {
		return nil, err
	}
	if err := l.sweepArchives(ctx); err != nil {
		return nil, err
	}
	if err := l.loadProcesses(ctx); err != nil {
		_ = l.Close()
		return nil, err
	}
	if err := l.noteRebuilding(); err != nil {
		l.Logger.Error("cannot write down what was rebuilt", "error", err)
	}
	if _, err := l.ports.RunOnce(); err != nil {
		l.Logger.Error("cannot see who listens", "error", err)
	}
	return l, nil
}

// Run does what has to be done all the time, watching who listens on the leased
// ports and how long outputs are, until ctx ends. It returns nil then.
func (l *Launcher) Run(ctx context.Context) error {
	var rotating sync.WaitGroup
	rotating.Go(func() { l.keepRotating(ctx) })
	defer rotating.Wait()
	return l.ports.Run(ctx)
}

// Close stops watching. The processes go on, and the next Open finds them. It
// may be called twice.
func (l *Launcher) Close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.cancel()
	l.owners.Wait()
	return nil
}

// loadProcesses reads the records and takes up each process where it is.
func (l *Launcher) loadProcesses(ctx context.Context) error {
	prefix := l.processPrefix()
	entries, _, err := l.Store.List(ctx, prefix)
	if err != nil {
		return fmt.Errorf("list the processes: %w", err)
	}
	if err := failpoint.Fail("adopt/listed"); err != nil {
		return err
	}
	known := make(map[string]bool, len(entries))
	var live []*unit
	var ended []Process
	for _, e := range entries {
		name := strings.TrimPrefix(e.Key, prefix)
		known[name] = true
		id, err := strconv.Atoi(name)
		if err == nil {
			l.highestID = max(l.highestID, id)
			if !failpoint.Planted("use-ids-again") {
				l.nextID = l.highestID + 1
			}
		}
		p, err := decodeProcess(e.Value)
		if err != nil || p.ID != id {
			l.Logger.Error("a process record cannot be read and is left alone; its ports stay leased", "key", e.Key, "error", err)
			continue
		}
		u := newUnit(l, p, nil)
		l.units[id] = u
		if p.Live() {
			live = append(live, u)
		} else {
			ended = append(ended, p)
		}
	}
	slices.SortFunc(ended, func(a, b Process) int {
		return cmp.Or(a.EndedAt.Compare(b.EndedAt), a.ID-b.ID)
	})
	for _, p := range ended {
		l.ended = append(l.ended, p.ID)
	}
	if l.Copied {
		if err := disown(live); err != nil {
			return err
		}
	}
	var claims map[int]*claim
	if l.Lost && !l.Copied {
		if claims, err = l.findClaims(); err != nil {
			l.Logger.Error("cannot look for processes whose records are lost", "error", err)
		}
		l.renew(ctx, live, claims)
	}
	l.findSuccessors(live)
	// Only now that all are known: what has ended meanwhile changes the maps,
	// and is the last of those that ended.
	var takenUp errgroup.Group
	for _, u := range live {
		takenUp.Go(func() error { return u.takeUp(ctx) })
	}
	if err := takenUp.Wait(); err != nil {
		return err
	}
	if err := takenUp.Wait(); err != nil {
		return err
	}
	if err := l.rebuild(ctx, known, claims); err != nil {
		return err
	}
	if err := l.reportUnrecorded(known, claims); err != nil {
		l.Logger.Error("cannot look for processes without a record", "error", err)
	}
	failpoint.At("adopt/all")
	l.sweepCgroups()
	if l.Lost {
		l.skipIDs()
	} else {
		l.sweep(filepath.Join(l.Home, "processes"), known)
	}
	if err := failpoint.Fail("adopt/swept"); err != nil {
		return err
	}
	return nil
}

// disown makes sure that no process of copied records runs, and that none of
// them is started again: all of them are gone.
func disown(live []*unit) error {
	for _, u := range live {
		p := u.snapshot()
		handle, err := proc.Open(p.Identity)
		if err == nil {
			_ = handle.Close()
			return fmt.Errorf("%w: %s (pid %d)", ErrCopied, p.Title(), p.Identity.PID)
		}
		if !errors.Is(err, proc.ErrGone) {
			return fmt.Errorf("tell whether %s (pid %d) still runs: %w", p.Title(), p.Identity.PID, err)
		}
		u.update(func(p *Process) { p.Status, p.Again = Running, false })
		u.because("the state folder was copied")
		u.disowned = true
	}
	return nil
}

// reportUnrecorded logs which session leaders carry the id of this state folder
// and that of a process without a record: what is left of a state folder that
// was set back, or of a process that is forgotten. They are never touched, since
// a record is all that says what Berth may do to a process. Where records
// are lost it says why they could not be rebuilt, and their ids are not given again.
func (l *Launcher) reportUnrecorded(known map[string]bool, claims map[int]*claim) error {
	recorded := make(map[int]bool)
	l.mu.Lock()
	units := slices.Collect(maps.Values(l.units))
	l.mu.Unlock()
	for _, u := range units {
		recorded[u.snapshot().Identity.PID] = true
	}
	tree, err := proc.Snapshot()
	if err != nil {
		return err
	}
	for _, pid := range tree.Leaders() {
		if recorded[pid] {
			continue
		}
		environ, err := proc.Environ(pid)
		if err != nil || environ["BERTH_STATE_ID"] != l.StateID {
			continue // ended since, or another user's, or not ours
		}
		id := environ["BERTH_PROCESS_ID"]
		c := claims[pid]
		if id == "" || known[id] && (c == nil || c.err == nil || c.process.ID == 0) {
			continue // a child of a process that is known
		}
		if !l.Lost {
			l.Logger.Warn("a process carries the id of this state folder and is in no record; it is left alone", "pid", pid, "process", id)
			if failpoint.Planted("end-strangers") {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
			continue
		}
		l.skipID(id)
		why := "it is not the process that Berth has started"
		if c != nil && c.err != nil {
			why = c.err.Error()
		}
		l.Logger.Warn("a process carries the id of this state folder and is in no record; it is left alone", "pid", pid, "process", id, "why", why)
		l.rebuilding.Left = append(l.rebuilding.Left, fmt.Sprintf("pid %d carries the id of process %s: %s", pid, id, why))
	}
	return nil
}

// sweep removes the folders that no record names: what was left by a daemon
// that died between the disk and the store.
func (l *Launcher) sweep(dir string, known map[string]bool) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		l.Logger.Error("cannot look for left folders", "error", err)
		return
	}
	for _, e := range entries {
		if known[e.Name()] {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			l.Logger.Error("cannot remove a left folder", "error", err)
		}
	}
}

// Processes returns the processes that a selector selects, ordered by id. An
// ID or PID that is not there is ErrProcessNotFound, a port that is not well
// formed ErrInvalid.
func (l *Launcher) Processes(s Selector) ([]Process, error) {
	units, err := l.selectUnits(s)
	if err != nil {
		return nil, err
	}
	list := make([]Process, len(units))
	for i, u := range units {
		list[i] = u.snapshot()
	}
	return list, nil
}

// Process returns a process that runs, or one of the last that ended.
func (l *Launcher) Process(id int) (Process, error) {
	u, err := l.unit(id)
	if err != nil {
		return Process{}, err
	}
	return u.snapshot(), nil
}

// Changed returns a channel that is closed when what Process tells of a
// process changes next. Of a process that is not there it is closed.
func (l *Launcher) Changed(id int) <-chan struct{} {
	u, err := l.unit(id)
	if err != nil {
		c := make(chan struct{})
		close(c)
		return c
	}
	return u.nextChange()
}

// Running is how many processes have not ended.
func (l *Launcher) Running() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	running := 0
	for _, u := range l.units {
		if u.snapshot().Live() {
			running++
		}
	}
	return running
}

// Dir is the folder of a process.
func (l *Launcher) Dir(id int) string {
	return filepath.Join(l.Home, "processes", strconv.Itoa(id))
}

func (l *Launcher) unit(id int) (*unit, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	u, ok := l.units[id]
	if !ok {
		return nil, fmt.Errorf("%w: there is no process %d", ErrProcessNotFound, id)
	}
	return u, nil
}

// endedAway is why a process has ended that an earlier daemon had started.
const endedAway = "ended while the daemon was away"

// takeUp continues a process of an earlier daemon: it is adopted if it still
// runs, and otherwise its end, or its start if it was restarting, comes now. The
// error says that it cannot be told which: then it is not touched.
func (u *unit) takeUp(ctx context.Context) error {
	p := u.snapshot()
	if failpoint.Planted("trust-pid") {
		p.Identity, _ = proc.Identify(p.Identity.PID)
	}
	handle, err := proc.Open(p.Identity)
	if err == nil && failpoint.Planted("forget-running") {
		err = proc.ErrGone
	}
	failpoint.At("adopt/looked")
	if err != nil && !errors.Is(err, proc.ErrGone) {
		return fmt.Errorf("tell whether %s (pid %d) still runs: %w", p.Title(), p.Identity.PID, err)
	}
	if err != nil {
		failpoint.At("adopt/gone")
		if u.takeUpAgain(ctx) {
			if u.snapshot().Live() {
				u.own()
			}
			return nil
		}
		u.because(endedAway)
		if p.Status == Starting && p.Again {
			u.update(func(p *Process) { p.Status = Restarting }) // it is still to be started
		}
		_ = u.happened(ctx, exited)
		if u.snapshot().Live() {
			u.own() // it was restarting, and was started again
		}
		return nil
	}
	u.handle = handle
	switch p.Status {
	case Starting, Waiting:
		u.update(func(p *Process) { p.Status = Starting })
		_ = u.happened(ctx, executed)
		if p.Again {
			u.startedAgain(ctx)
		}
	case Stopping, Restarting:
		// The signal may not have been sent: the record comes first.
		if err := u.do(terminate); err != nil {
			u.l.Logger.Error("cannot ask a process to end", "process", p.Title(), "error", err)
		}
	}
	u.own()
	failpoint.At("adopt/one")
	u.l.ports.wake()
	u.l.Events.Add("process", "adopted", strconv.Itoa(p.ID), p.Title()+" was adopted, pid "+strconv.Itoa(p.Identity.PID))
	u.l.Logger.Info("adopted", "process", p.Title(), "pid", p.Identity.PID, "since", p.StartedAt.Format(time.RFC3339))
	return nil
}
