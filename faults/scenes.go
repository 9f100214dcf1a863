package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"berth/api"
)

// act is something that is done to a host.
type act func(*stage, context.Context) error

// scene is what is done to a host to reach points.
type scene struct {
	// Points are names, with @2 where it shall be the second time that one is
	// reached. Told are points at which an error can come, of which whoever asked is
	// told then; overcome are those where the daemon may get over it. At the
	// others no error can come.
	told, overcome, others []string

	// also arms other points, to get to those.
	also string

	// empty has it be done to a state folder that is not there yet.
	empty bool

	// before is done by a daemon to which nothing happens.
	before act

	// do is done once the point is armed. Nil is the start of a daemon.
	do act

	// ends says that the daemon may end itself after an error, stops that it
	// is asked to end.
	ends, stops bool

	// after cleans up, with a daemon to which nothing happens any more.
	after act
}

// takes are what happens in a scene, one after the other.
func (sc scene) takes() (takes []take) {
	add := func(points, actions []string, told bool) {
		for _, point := range points {
			for _, action := range actions {
				name, nth, again := strings.Cut(point, "@")
				if again {
					nth = "@" + nth
				}
				takes = append(takes, take{scene: sc, point: name, nth: nth, action: action, refused: told && action == "error"})
			}
		}
	}
	add(sc.told, actions, true)
	add(sc.overcome, actions, false)
	add(sc.others, actionsWithoutError, false)
	return takes
}

// What can happen at a point, and at one at which no error can come.
var (
	actions             = []string{"kill", "error", "delay"}
	actionsWithoutError = []string{"kill", "delay"}
)

// scenes are all that is done. Together they have every point of the source.
var scenes = []scene{
	{
		told:   []string{"acquire/begun", "acquire/picked", "acquire/probed", "acquire/writing"},
		others: []string{"acquire/written", "acquire/committed"},
		do:     (*stage).acquireOne,
		after:  (*stage).releaseOne,
	},
	{
		told:   []string{"release/begun", "end/writing"},
		others: []string{"release/ended", "end/written"},
		before: (*stage).acquireOne,
		do:     (*stage).releaseOne,
	},
	{
		// The second release has to know what became of the first.
		told:   []string{"settle/reading"},
		others: []string{"settle/read"},
		also:   "end/writing=error",
		before: (*stage).acquireOne,
		do: func(st *stage, ctx context.Context) error {
			st.mu.Lock()
			lease := st.leases[st.holder()]
			st.mu.Unlock()
			return errors.Join(st.releaseOne(ctx), st.ReleaseLease(ctx, lease.id, lease.generation))
		},
	},
	{
		overcome: []string{"recheck/looked"},
		others:   []string{"aside/found", "recheck/listed"},
		do: func(st *stage, ctx context.Context) error {
			l, err := net.Listen("tcp", ":28000")
			if err != nil {
				return err
			}
			defer l.Close()
			_, err = st.AcquireLeases(ctx, api.AcquireLeases{Ranges: []string{"blocked"}, Holder: api.Holder{Name: "nobody"}})
			if err == nil {
				st.figure.broken("port 28000 was leased, and something listens on it")
			}
			if refused(err) {
				return nil
			}
			return err
		},
		after: func(st *stage, ctx context.Context) error {
			list, err := st.AcquireLeases(ctx, api.AcquireLeases{Ranges: []string{"blocked"}, Holder: api.Holder{Name: "somebody"}})
			if err != nil {
				return err
			}
			return st.ReleaseLease(ctx, list[0].ID, list[0].Generation)
		},
	},
	{
		told:   []string{"range/begun", "range/closed"},
		others: []string{"range/written", "range/changed"},
		do:     (*stage).addTwo,
		after:  (*stage).deleteTwo,
	},
	{
		told:   []string{"archive/begun"},
		others: []string{"archive/written"},
		do:     (*stage).archive,
	},
	{
		told:   []string{"unarchive/read"},
		others: []string{"unarchive/changed"},
		before: func(st *stage, ctx context.Context) error {
			if err := st.addTwo(ctx); err != nil {
				return err
			}
			if _, err := st.ArchiveRanges(ctx, "two"); err != nil {
				return err
			}
			return st.deleteTwo(ctx)
		},
		do: func(st *stage, ctx context.Context) error {
			_, err := st.RestoreRanges(ctx, "two")
			return st.changed(err, true, "range two-a", "range two-b")
		},
		after: (*stage).deleteTwo,
	},
	{
		told:   []string{"intent/read", "intent/planned", "intent/begun", "intent/chunk"},
		others: []string{"intent/applied", "intent/whole", "intent/swept"},
		do:     (*stage).addMany,
		after:  (*stage).deleteMany,
	},
	{
		told:   []string{"undo/fenced", "undo/chunk", "undo/undone"},
		others: []string{"undo/ended"},
		also:   "intent/chunk=error@2",
		do:     (*stage).addMany,
		after:  (*stage).deleteMany,
	},
	{
		told:   []string{"exec/resolved", "exec/planned", "exec/folder@2", "exec/gated@2", "exec/prepared"},
		others: []string{"exec/committed", "exec/listed", "exec/opening@2", "exec/opened", "exec/executed"},
		do:     func(st *stage, ctx context.Context) error { return st.execSome(ctx, 2) },
		after:  (*stage).killAllButThree,
	},
	{
		told:     []string{"record/writing"},
		overcome: []string{"exit/committing", "recuperate/begun", "recuperate/probing"},
		others:   []string{"record/written", "stop/signalled", "exit/noticed", "exit/collected", "exit/committed", "exit/forgotten", "recuperate/probed", "recuperate/ended"},
		before:   (*stage).withProcess,
		do:       (*stage).killOne,
	},
	{
		told:     []string{"restart/prepared"},
		overcome: []string{"restart/completing"},
		others:   []string{"restart/collected", "restart/written", "restart/executed"},
		before:   (*stage).withProcess,
		do:       (*stage).restartOne,
	},
	{
		overcome: []string{"revive/planned", "revive/pausing"},
		others:   []string{"revive/collected", "revive/due", "revive/paused"},
		before:   (*stage).execGuarded,
		do:       (*stage).crashTwice,
		after:    (*stage).killGuarded,
	},
	{
		told:   []string{"reload/begun"},
		others: []string{"reload/started", "reload/listening", "reload/ended"},
		before: (*stage).withProcess,
		do:     (*stage).reloadOne,
		after:  (*stage).killAllButThree,
	},
	{
		told:   []string{"deploy/staged", "deploy/unpacked", "deploy/placing", "deploy/placed", "deploy/synced"},
		others: []string{"deploy/written"},
		do:     (*stage).deployExtra,
		after:  (*stage).undeployExtra,
	},
	{
		told:     []string{"undeploy/chosen"},
		overcome: []string{"undeploy/moved"},
		others:   []string{"undeploy/written"},
		before:   (*stage).deployExtra,
		do:       (*stage).undeployExtra,
		after:    (*stage).undeployExtra,
	},
	{
		// The store opens itself anew, and what was asked for is done then.
		overcome: []string{"journal/writing", "journal/written"},
		others:   []string{"journal/synced", "journal/published"},
		do:       (*stage).acquireOne,
		after:    (*stage).releaseOne,
		ends:     true,
	},
	{
		overcome: []string{"checkpoint/begun"},
		others:   []string{"checkpoint/due", "checkpoint/turned", "checkpoint/written", "checkpoint/applied"},
		do: func(st *stage, ctx context.Context) error {
			for range 200 { // more than a file of the journal has
				if err := st.archive(ctx); err != nil {
					return err
				}
			}
			return nil
		},
		ends: true,
	},
	{
		told:     []string{"serve/locked", "serve/held", "store/locked", "recover/replayed", "recover/finished", "serve/stored", "serve/leases", "adopt/begun", "adopt/listed", "adopt/swept", "serve/adopted"},
		overcome: []string{"store/opened"},
		others:   []string{"journal/opened", "store/ready", "adopt/looked", "adopt/gone", "adopt/one", "adopt/all", "serve/listening", "serve/answering"},
		before:   (*stage).beforeAdoption,
		ends:     true,
		after:    (*stage).releaseOne,
	},
	{
		told:  []string{"serve/named"},
		empty: true,
		ends:  true,
	},
	{
		others: []string{"store/closing", "store/finished", "store/closed"},
		before: (*stage).acquireOne,
		do: func(st *stage, ctx context.Context) error {
			if err := st.daemon.Signal(syscall.SIGTERM); err != nil {
				return err
			}
			<-st.ended
			return nil
		},
		stops: true,
		after: (*stage).releaseOne,
	},
}

// changed notes what a change of ranges or distributions has come to.
func (st *stage) changed(err error, there bool, names ...string) error {
	for _, name := range names {
		switch {
		case err == nil:
			st.things[name] = there
		case !st.refusedAtPoint(err):
			st.doubtful[name] = true
		}
	}
	return err
}

// refusedAtPoint reports whether an answer says that nothing was done.
func (st *stage) refusedAtPoint(err error) bool {
	var answer *api.Error
	return refused(err) || errors.As(err, &answer) && answer.Code == api.CodeInternal
}

// compare holds the ranges and distributions against what is known of them. What
// is doubtful is there as a whole or not at all. A process whose restart had no
// answer has its port.
func (st *stage) compare(ctx context.Context, f *figure) error {
	there := map[string]bool{}
	ranges, err := st.Ranges(ctx, "")
	if err != nil {
		return err
	}
	for _, r := range ranges {
		there["range "+r.Name] = true
	}
	distributions, err := st.Distributions(ctx, "", "")
	if err != nil {
		return err
	}
	for _, d := range distributions {
		there["distribution "+d.Name] = true
	}
	doubtful := 0
	for name := range st.doubtful {
		if there[name] {
			doubtful++
		}
	}
	if doubtful != 0 && doubtful != len(st.doubtful) {
		f.broken("half done: %d of %d ranges and distributions are there", doubtful, len(st.doubtful))
	}
	for name, want := range st.things {
		if there[name] != want && !st.doubtful[name] {
			f.broken("%s is there: %t, and was acknowledged: %t", name, there[name], want)
		}
	}
	for name := range st.doubtful {
		st.things[name] = there[name]
	}
	clear(st.doubtful)
	ps, err := st.Processes(ctx, api.Selector{}, false)
	if err != nil {
		return err
	}
	for _, p := range ps {
		if port, ok := st.restarted[p.ID]; ok && p.Ports[0].Port != port {
			f.broken("process %d has port %d after a restart, and had %d", p.ID, p.Ports[0].Port, port)
		}
	}
	clear(st.restarted)
	for name := range st.things {
		st.things[name] = there[name]
	}
	return nil
}

// portsComeBack waits until each port of a range is either available or that of
// a lease: none stays pending or set aside for ever, but for the one that a
// decoy has.
func (st *stage) portsComeBack(ctx context.Context, f *figure) error {
	for deadline := time.Now().Add(st.comeBack); ; time.Sleep(2 * time.Millisecond) {
		ranges, err := st.Ranges(ctx, "")
		if err != nil {
			return err
		}
		leases, err := st.Leases(ctx)
		if err != nil {
			return err
		}
		others := map[int]bool{}
		if st.decoyListens {
			others[decoyPort] = true
		}
		held := map[int]bool{}
		for _, l := range leases {
			held[l.Port] = true
		}
		why := ""
		for _, r := range ranges {
			if why = portsAmiss(r, held, others); why != "" {
				break
			}
		}
		if why == "" || ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Now().After(deadline) {
			f.broken("ports do not come back: %s", why)
			st.comeBack = 0 // that is not waited out after each take
			return nil
		}
	}
}

// portsAmiss says what is amiss with the ports of a range, of which some are held
// by leases, and some are bound by others.
func portsAmiss(r api.RangeStatus, held, others map[int]bool) string {
	listed := map[int]bool{}
	for _, a := range r.SetAside {
		if !others[a.Port] {
			return fmt.Sprintf("port %d of %s is set aside: %s", a.Port, r.Name, a.Reason)
		}
		listed[a.Port] = true
	}
	for _, port := range r.Available {
		if held[port] {
			return fmt.Sprintf("port %d of %s is available and leased", port, r.Name)
		}
		listed[port] = true
	}
	for _, a := range r.Active {
		if !held[a.Port] {
			return fmt.Sprintf("port %d of %s is active, and there is no lease of it", a.Port, r.Name)
		}
		if listed[a.Port] {
			return fmt.Sprintf("port %d of %s is listed twice", a.Port, r.Name)
		}
		listed[a.Port] = true
	}
	if n := r.Max - r.Min + 1; len(listed) != n {
		return fmt.Sprintf("%d of the %d ports of %s are listed", len(listed), n, r.Name)
	}
	return ""
}
