package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"berth/api"
	"berth/proc"
)

// ledger is what clients were told: what is there, and what may be there
// because the daemon died before it answered.
type ledger struct {
	mu        sync.Mutex
	leases    map[string]held // acknowledged and not released, by their holders
	uncertain map[string]bool // holders whose acquisition or release has no answer
	taken     map[string]bool // holders that an actor goes on with
	processes map[int]bool    // ids that were acknowledged and not asked to end
	lost      bool            // an exec or a kill has no answer
	expected  []api.Code      // refusals of execs for which there is a reason
	wrong     []string        // answers that should not have been
	answers   int
}

type held struct {
	id         string
	generation int64
	port       int
}

func newLedger() *ledger {
	return &ledger{leases: map[string]held{}, uncertain: map[string]bool{}, taken: map[string]bool{}, processes: map[int]bool{}}
}

// mostLeases is how many leases an actor holds at most, so that the range does
// not fill up.
const mostLeases = 20

// act acquires and releases leases, or starts and ends processes, until ctx
// ends or the daemon is gone. Holders are named after the actor; it goes on
// with some of those that the actors before it left.
func (l *ledger) act(ctx context.Context, h *host, name string, random *rand.Rand, withProcesses bool) {
	var mine []string
	if !withProcesses {
		mine = l.take(mostLeases)
	}
	for i := 0; ctx.Err() == nil; i++ {
		if !l.step(ctx, h, fmt.Sprintf("%s-%d", name, i), &mine, random, withProcesses) {
			return
		}
	}
}

// actors has some clients act, so many of them on processes, until end is called.
func (l *ledger) actors(ctx context.Context, h *host, name string, random *rand.Rand, processes int) (end func()) {
	stop := make(chan struct{})
	var wait sync.WaitGroup
	for i := range 5 {
		random := rand.New(rand.NewPCG(random.Uint64(), 0))
		wait.Go(func() { l.goOn(ctx, stop, h, fmt.Sprintf("%s.%d", name, i), random, i < processes) })
	}
	return func() {
		close(stop)
		wait.Wait()
	}
}

// goOn acts until stop is closed, whatever is refused and whether the daemon is
// there, and ends with an answer: of what it asked nothing is under way then.
func (l *ledger) goOn(ctx context.Context, stop <-chan struct{}, h *host, name string, random *rand.Rand, withProcesses bool) {
	var mine []string
	if !withProcesses {
		mine = l.take(mostLeases)
	}
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		case <-ctx.Done():
			return
		default:
		}
		if !l.step(ctx, h, fmt.Sprintf("%s-%d", name, i), &mine, random, withProcesses) {
			time.Sleep(2 * time.Millisecond) // the daemon may be about to start
		}
	}
}

// step does one thing, and reports whether it was done. An acquisition is for
// the given holder, and mine are the holders to release of.
func (l *ledger) step(ctx context.Context, h *host, holder string, mine *[]string, random *rand.Rand, withProcesses bool) bool {
	switch {
	case withProcesses:
		return l.actOnProcesses(ctx, h, random)
	case len(*mine) > 0 && random.IntN(2) == 0 || len(*mine) > mostLeases:
		n := random.IntN(len(*mine))
		ok := l.release(ctx, h, (*mine)[n])
		*mine = slices.Delete(*mine, n, n+1)
		return ok
	default:
		ok := l.acquire(ctx, h, holder)
		if ok {
			*mine = append(*mine, holder)
		}
		return ok
	}
}

// take returns up to n holders that no actor goes on with.
func (l *ledger) take(n int) (mine []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, holder := range slices.Sorted(maps.Keys(l.leases)) {
		if len(mine) < n && !l.taken[holder] {
			l.taken[holder] = true
			mine = append(mine, holder)
		}
	}
	return mine
}

// refused reports whether the daemon has answered that it did not do it.
func refused(err error) bool {
	var answer *api.Error
	return errors.As(err, &answer) && answer.Code != api.CodeStore && answer.Code != api.CodeInternal && answer.Code != api.CodeStopping
}

func (l *ledger) acquire(ctx context.Context, h *host, holder string) bool {
	list, err := h.AcquireLeases(ctx, api.AcquireLeases{Ranges: []string{"leases"}, Holder: api.Holder{Name: holder}})
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		l.answers++
		l.leases[holder] = held{list[0].ID, list[0].Generation, list[0].Port}
		l.taken[holder] = true
		if h.decoyListens && list[0].Port == decoyPort {
			l.wrong = append(l.wrong, fmt.Sprintf("port %d was leased to %s, and a stranger listens on it", decoyPort, holder))
		}
	case !refused(err):
		l.uncertain[holder] = true
	}
	return err == nil
}

// release releases the lease of a holder, now and then after somebody who has
// another generation of it has tried to.
func (l *ledger) release(ctx context.Context, h *host, holder string) bool {
	l.mu.Lock()
	what := l.leases[holder]
	l.mu.Unlock()
	if what.port%8 == 0 { // by somebody who has an older one
		if err := h.ReleaseLease(ctx, what.id, what.generation+1); err == nil {
			l.mu.Lock()
			l.wrong = append(l.wrong, fmt.Sprintf("the lease of %s was ended by one who has another generation of it", holder))
			l.mu.Unlock()
		}
	}
	return l.releaseOwn(ctx, h, holder)
}

// releaseOwn is release in one request.
func (l *ledger) releaseOwn(ctx context.Context, h *host, holder string) bool {
	l.mu.Lock()
	what := l.leases[holder]
	l.mu.Unlock()
	err := h.ReleaseLease(ctx, what.id, what.generation)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		l.answers++
		delete(l.leases, holder)
	case !refused(err):
		delete(l.leases, holder)
		l.uncertain[holder] = true
	}
	return err == nil
}

// mostProcesses is how many processes there are at most.
const mostProcesses = 12

func (l *ledger) actOnProcesses(ctx context.Context, h *host, random *rand.Rand) bool {
	l.mu.Lock()
	var ids []int
	for id := range l.processes {
		ids = append(ids, id)
	}
	l.mu.Unlock()
	slices.Sort(ids)
	if len(ids) > 0 && (random.IntN(2) == 0 || len(ids) >= mostProcesses) {
		id := ids[random.IntN(len(ids))]
		kill := api.Kill{Selector: api.Selector{IDs: []int{id}}, Hard: true, WaitSeconds: patience.Seconds()}
		if random.IntN(2) == 0 {
			kill.Hard, kill.WaitSeconds = false, 0
		}
		killed, err := h.Kill(ctx, kill)
		early := ""
		if err == nil && !kill.Hard {
			early = h.freedEarly(ctx, killed)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if early != "" {
			l.wrong = append(l.wrong, early)
		}
		delete(l.processes, id)
		if err != nil {
			l.lost = true
			return false
		}
		l.answers++
		return true
	}
	out, err := h.Exec(ctx, api.Exec{Distribution: "demo", Version: "1.0", Profile: "test", Name: "server", Instances: 1 + random.IntN(2)})
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.lost = true
		expected := slices.ContainsFunc(l.expected, func(c api.Code) bool { return errors.Is(err, c) })
		if !expected && (refused(err) || errors.Is(err, api.CodeInternal) || strings.Contains(err.Error(), "conflict")) {
			l.wrong = append(l.wrong, "an exec was refused: "+err.Error())
		}
		return false
	}
	l.answers++
	for _, p := range out.Processes {
		l.processes[p.ID] = true
	}
	return true
}

// freedEarly tells which process still runs, though it was asked to end, and has
// lost its lease.
func (h *host) freedEarly(ctx context.Context, asked api.Affected) string {
	leases, err := h.Leases(ctx)
	if err != nil {
		return ""
	}
	for _, p := range asked.Processes {
		holds := slices.ContainsFunc(leases, func(a api.Lease) bool { return a.Process == p.ID })
		// Looked at afterwards: what has begun to exit has no environment any more.
		id, runs, err := proc.EnvironValue(p.PID, "BERTH_PROCESS_ID")
		if !holds && err == nil && runs && id == strconv.Itoa(p.ID) {
			return fmt.Sprintf("lost lease: that of process %d has ended, and it still runs", p.ID)
		}
	}
	return ""
}

// verify compares a daemon that has just come up with what clients were told,
// and takes over what was uncertain.
func (l *ledger) verify(ctx context.Context, h *host, f *figure) error {
	// Only then the leases of those that were about to end have ended.
	ps, err := h.settled(ctx)
	if err != nil {
		return err
	}
	leases, err := h.Leases(ctx)
	if err != nil {
		return err
	}
	before := len(f.violations)
	ports := map[int]string{}
	found := map[string]bool{}
	for _, a := range leases {
		if other, twice := ports[a.Port]; twice {
			f.broken("double lease: port %d is leased to %s and to %s", a.Port, other, a.Holder)
		}
		ports[a.Port] = a.Holder
		if a.Process != 0 {
			continue // compared below
		}
		found[a.Holder] = true
		told, ok := l.leases[a.Holder]
		switch {
		case ok && (told.id != a.ID || told.port != a.Port):
			f.broken("changed lease: %s was told of %s on port %d and has %s on %d", a.Holder, told.id, told.port, a.ID, a.Port)
		case !ok && !l.uncertain[a.Holder]:
			f.broken("leaked lease: port %d of %s, which was released or never acknowledged", a.Port, a.Holder)
		}
		if !ok { // it is known now
			l.leases[a.Holder] = held{a.ID, a.Generation, a.Port}
		}
	}
	for holder, told := range l.leases {
		if !found[holder] {
			f.broken("lost lease: %s on port %d was acknowledged and is gone", holder, told.port)
			delete(l.leases, holder)
		}
	}
	clear(l.uncertain)
	clear(l.taken)
	l.verifyProcesses(ps, leases, h, f)
	if len(f.violations) > before {
		fmt.Fprintf(h.s.log, "%s\nthe daemon's log ends with\n%s", strings.Join(f.violations[before:], "\n"), h.logTail())
	}
	return nil
}

func (l *ledger) verifyProcesses(ps []api.Process, leases []api.Lease, h *host, f *figure) {
	listed := map[int]bool{}
	running := map[int]int{} // the process of a pid
	held := map[string]int{}
	for _, a := range leases {
		if a.Process != 0 {
			held[a.ID] = a.Process
		}
	}
	for _, p := range ps {
		listed[p.ID] = true
		running[p.PID] = p.ID
		for _, port := range p.Ports {
			if held[port.Lease] != p.ID {
				f.broken("lost lease: that of process %d on port %d is not live", p.ID, port.Port)
			}
			delete(held, port.Lease)
		}
		if !l.processes[p.ID] {
			if !l.lost {
				f.broken("process %d runs, and no exec told of it", p.ID)
			}
			l.processes[p.ID] = true
		}
	}
	for id, process := range held {
		f.broken("leaked lease: %s of process %d, which does not run", id, process)
	}
	for id := range l.processes {
		if !listed[id] {
			f.broken("process %d was acknowledged and is gone", id)
			delete(l.processes, id)
		}
	}
	for _, what := range l.wrong {
		f.broken("%s", what)
	}
	l.lost, l.wrong = false, nil
	carriers, err := h.carriers()
	if err != nil {
		f.broken("the processes of the machine cannot be read: %v", err)
	}
	for _, pid := range carriers {
		if _, ok := running[pid]; !ok {
			f.broken("orphan: pid %d was started by the daemon and is not listed", pid)
		}
	}
}

// settled waits until all processes run and listen, and those that are about to
// end have ended, and returns what runs.
func (h *host) settled(ctx context.Context) ([]api.Process, error) {
	soon := time.Now().Add(patience / 12) // then it is an orphan
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		ps, err := h.Processes(ctx, api.Selector{}, false)
		if err != nil {
			return nil, err
		}
		pids := map[int]bool{}
		for _, p := range ps {
			pids[p.PID] = true
		}
		why, unlisted := "", false
		if i := slices.IndexFunc(ps, func(p api.Process) bool { return !runs(p) }); i >= 0 {
			why = fmt.Sprintf("process %d is %s: %v", ps[i].ID, ps[i].Status, ps[i].Ports)
		} else if carriers, err := h.carriers(); err == nil {
			// Those behind a gate of the daemon before exit by themselves.
			for _, pid := range carriers {
				if !pids[pid] {
					why, unlisted = fmt.Sprintf("pid %d is not listed", pid), true
				}
			}
		}
		if why == "" || unlisted && time.Now().After(soon) {
			return ps, nil
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("it does not settle: %s: %s", why, h.logTail())
		}
	}
}

func runs(p api.Process) bool {
	return p.Status == api.StatusRunning && !slices.ContainsFunc(p.Ports, func(port api.ProcessPort) bool { return port.State != api.PortListening })
}
