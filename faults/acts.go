package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"berth/api"
)

// many are ranges that are more than a batch takes.
func many() (ranges []api.Range, names []string) {
	for i := range 150 {
		r := api.Range{Name: fmt.Sprintf("many-%03d", i), Min: 30000 + i, Max: 30000 + i}
		ranges, names = append(ranges, r), append(names, "range "+r.Name)
	}
	return ranges, names
}

func (st *stage) addMany(ctx context.Context) error {
	ranges, names := many()
	for _, name := range names {
		st.things[name] = false
	}
	_, err := st.AddRanges(ctx, api.AddRanges{Ranges: ranges})
	return st.changed(err, true, names...)
}

func (st *stage) deleteRanges(ctx context.Context, pattern string) error {
	deleted, err := st.DeleteRanges(ctx, pattern, true)
	for _, r := range deleted.Deleted {
		st.things["range "+r.Name] = false
	}
	return err
}

func (st *stage) deleteMany(ctx context.Context) error { return st.deleteRanges(ctx, "many-*") }

func (st *stage) addTwo(ctx context.Context) error {
	two := []api.Range{{Name: "two-a", Min: 29000, Max: 29001}, {Name: "two-b", Min: 29002, Max: 29003}}
	_, err := st.AddRanges(ctx, api.AddRanges{Ranges: two})
	return st.changed(err, true, "range two-a", "range two-b")
}

func (st *stage) deleteTwo(ctx context.Context) error { return st.deleteRanges(ctx, "two-*") }

func (st *stage) archive(ctx context.Context) error {
	_, err := st.ArchiveRanges(ctx, "kept")
	return err
}

func (st *stage) holder() string { return fmt.Sprint("stage-", st.n) }

var errNotDone = errors.New("it was not done")

func done(ok bool) error {
	if ok {
		return nil
	}
	return errNotDone
}

func (st *stage) acquireOne(ctx context.Context) error {
	return done(st.acquire(ctx, st.host, st.holder()))
}

func (st *stage) releaseOne(ctx context.Context) error {
	st.mu.Lock()
	_, ok := st.leases[st.holder()]
	st.mu.Unlock()
	if !ok {
		return nil
	}
	return done(st.releaseOwn(ctx, st.host, st.holder()))
}

// execSome starts servers; all are in the ledger afterwards.
func (st *stage) execSome(ctx context.Context, n int) error { return st.exec(ctx, "server", n) }

func (st *stage) exec(ctx context.Context, name string, n int) error {
	out, err := st.Exec(ctx, api.Exec{Distribution: "demo", Version: "1.0", Profile: "test", Name: name, Instances: n, WaitSeconds: patience.Seconds()})
	if err != nil {
		var answer *api.Error
		if st.lost = !errors.As(err, &answer) || answer.Code == api.CodeStore; st.lost {
			st.doubtfulExec = n
		}
		return err
	}
	for _, p := range out.Processes {
		st.processes[p.ID] = true
	}
	return nil
}

func (st *stage) anyProcess() (id int) {
	for id := range st.processes {
		return id
	}
	return 0
}

func (st *stage) killOne(ctx context.Context) error {
	id := st.anyProcess()
	_, err := st.Kill(ctx, api.Kill{Selector: api.Selector{IDs: []int{id}}, Hard: true, WaitSeconds: patience.Seconds()})
	delete(st.processes, id)
	st.lost = err != nil
	return err
}

func (st *stage) restartOne(ctx context.Context) error {
	id := st.anyProcess()
	before, err := st.Processes(ctx, api.Selector{IDs: []int{id}}, false)
	if err != nil {
		return err
	}
	st.restarted[id] = before[0].Ports[0].Port
	_, err = st.Restart(ctx, api.Restart{Selector: api.Selector{IDs: []int{id}}, Hard: true, WaitSeconds: patience.Seconds()})
	if answer := (*api.Error)(nil); errors.As(err, &answer) {
		delete(st.processes, id) // where it could not be started again, it has ended
		st.lost = true
	}
	return err // without an answer the next daemon completes it
}

func (st *stage) execGuarded(ctx context.Context) error { return st.exec(ctx, "guarded", 1) }

func (st *stage) killGuarded(ctx context.Context) error {
	killed, err := st.Kill(ctx, api.Kill{Selector: api.Selector{Name: "guarded"}, Hard: true, WaitSeconds: patience.Seconds()})
	for _, p := range killed.Processes {
		delete(st.processes, p.ID)
	}
	return err
}

// crashTwice has the guarded process end twice: it is started again at once, and
// then after a pause, on its port.
func (st *stage) crashTwice(ctx context.Context) error {
	for range 2 {
		before, err := st.Processes(ctx, api.Selector{Name: "guarded"}, false)
		if err != nil {
			return err
		}
		p := before[0]
		st.restarted[p.ID] = p.Ports[0].Port
		if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil {
			return err
		}
		for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
			now, err := st.Processes(ctx, api.Selector{IDs: []int{p.ID}}, false)
			if err != nil {
				return err // the next daemon goes on
			}
			if now[0].Restarts > p.Restarts && runs(now[0]) {
				break
			}
			if time.Now().After(deadline) {
				return errNotDone
			}
		}
	}
	return nil
}

// reloadOne exchanges a process. Where it had no answer the old one, or both, or
// the new one runs.
func (st *stage) reloadOne(ctx context.Context) error {
	id := st.anyProcess()
	out, err := st.Reload(ctx, api.Reload{Selector: api.Selector{IDs: []int{id}}, WaitSeconds: patience.Seconds()})
	if answer := (*api.Error)(nil); errors.As(err, &answer) {
		return err // it stays
	}
	delete(st.processes, id)
	if err != nil {
		st.lost = true
		return err
	}
	for _, p := range out.Processes {
		st.processes[p.ID] = true
	}
	return nil
}

func (st *stage) killAllButThree(ctx context.Context) error {
	for len(st.processes) > 3 {
		if err := st.killOne(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (st *stage) extra() string { return fmt.Sprint("extra-", st.n) }

func (st *stage) deployExtra(ctx context.Context) error {
	text := fmt.Sprintf(`<distribution name=%q version="1.0"><process name="p"><generic profile="test"><arg value="true"/></generic></process></distribution>`, st.extra())
	st.things["distribution "+st.extra()] = false
	_, err := st.Deploy(ctx, "corus.xml", strings.NewReader(text))
	return st.changed(err, true, "distribution "+st.extra())
}

func (st *stage) undeployExtra(ctx context.Context) error {
	_, err := st.Undeploy(ctx, st.extra(), "*")
	return st.changed(err, false, "distribution "+st.extra())
}

// beforeAdoption has one process end, and another one live, without a daemon.
func (st *stage) beforeAdoption(ctx context.Context) error {
	if n := 2 - len(st.processes); n > 0 {
		if err := st.execSome(ctx, n); err != nil {
			return err
		}
	}
	ps, err := st.Processes(ctx, api.Selector{}, false)
	if err != nil {
		return err
	}
	if err := st.acquireOne(ctx); err != nil {
		return err
	}
	st.host.kill()
	if err := syscall.Kill(ps[0].PID, syscall.SIGKILL); err != nil {
		return err
	}
	delete(st.processes, ps[0].ID)
	return nil
}

func (st *stage) withProcess(ctx context.Context) error {
	if len(st.processes) > 0 {
		return nil
	}
	return st.execSome(ctx, 1)
}
