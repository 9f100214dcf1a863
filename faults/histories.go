package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"berth/api"
)

// histories checks that what concurrent clients of a daemon see, which is killed
// now and then, is what they would see one after the other: each operation
// happens at once, at some moment between its call and its answer.
var histories = measure{
	name: "histories", what: "operations that are linearizable, kills of the daemon included", unit: "operations", ci: 200_000, soak: 10_000_000, long: true,
	run: func(ctx context.Context, s *suite, n int) (f figure, err error) {
		h, _, decoys, err := s.loaded(ctx)
		if err != nil {
			return f, err
		}
		defer func() { err = finish(err, &f, h, decoys) }()
		kills := 0
		for f.done < n && ctx.Err() == nil {
			r, err := s.record(ctx, h, min(n-f.done, mostOfHistory))
			if err != nil {
				return f, err
			}
			kills += r.kills
			switch result := porcupine.CheckOperationsTimeout(portModel, r.operations, 5*patience); result {
			case porcupine.Illegal:
				f.broken("a history of %d answers over %d kills is not linearizable", r.answers, r.kills)
			case porcupine.Unknown:
				return f, fmt.Errorf("a history of %d operations takes too long to check", len(r.operations))
			}
			if err := r.plant(); err != nil {
				return f, err
			}
			f.done += r.answers
		}
		f.note("%d kills", kills)
		return f, ctx.Err()
	},
}

// mostOfHistory is how many answers are checked together.
const mostOfHistory = 200_000

// use is what a client did with a port, or saw of it.
type use struct {
	kind useKind
	port int
	id   string // of the lease; empty where nobody was seen to have one
}

type useKind int

const (
	acquired useKind = iota
	released
	seen
)

// portModel is what a port is: it can be acquired when nobody has it, it is
// released by the one who has it, and what is seen is who has it.
var portModel = porcupine.Model{
	Partition: func(all []porcupine.Operation) [][]porcupine.Operation {
		byPort := map[int][]porcupine.Operation{}
		for _, o := range all {
			port := o.Input.(use).port
			byPort[port] = append(byPort[port], o)
		}
		var parts [][]porcupine.Operation
		for _, part := range byPort {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() any { return "" },
	Step: func(state, input, _ any) (bool, any) {
		u := input.(use)
		switch u.kind {
		case acquired:
			return state == "", u.id
		case released:
			return state == u.id, ""
		default:
			return state == u.id, state
		}
	},
}

// recording is the history of one host.
type recording struct {
	begin time.Time
	kills int

	mu         sync.Mutex
	answers    int
	sawLease   bool // after a kill
	operations []porcupine.Operation
	unanswered map[string]int64      // the call of an acquisition without an answer, by holder
	unreleased []porcupine.Operation // releases without an answer
}

func (r *recording) now() int64 { return time.Since(r.begin).Nanoseconds() }

func (r *recording) addLocked(client int, call, end int64, u use) {
	r.operations = append(r.operations, porcupine.Operation{ClientId: client, Input: u, Call: call, Return: end})
}

// record has clients acquire and release until they have got n answers, while
// the daemon is killed, and leaves nothing leased.
func (s *suite) record(ctx context.Context, h *host, n int) (*recording, error) {
	r := &recording{begin: time.Now(), unanswered: map[string]int64{}}
	const clients = 16
	var left []api.Lease // by the clients of the round before
	for round := 0; (r.answers < n || !r.sawLease) && ctx.Err() == nil; round++ {
		acting, stop := context.WithCancel(ctx)
		var wait sync.WaitGroup
		for c := range clients {
			random := rand.New(rand.NewPCG(s.random.Uint64(), 0))
			var mine []api.Lease
			for i := c; i < len(left); i += clients {
				mine = append(mine, left[i])
			}
			wait.Go(func() { r.act(acting, h, c, fmt.Sprintf("round%d.%d", round, c), mine, random) })
		}
		time.Sleep(time.Duration(s.random.Int64N(int64(2 * time.Second))))
		h.kill()
		r.kills++
		stop()
		wait.Wait()
		if err := h.up(ctx); err != nil {
			return nil, err
		}
		var err error
		if left, err = r.look(ctx, h); err != nil {
			return nil, err
		}
	}
	for _, l := range left {
		call := r.now()
		if err := h.ReleaseLease(ctx, l.ID, l.Generation); err != nil {
			return nil, err
		}
		r.answers++
		r.addLocked(0, call, r.now(), use{released, l.Port, l.ID})
	}
	return r, ctx.Err()
}

// act acquires and releases until ctx ends or the daemon does not answer. It
// has some leases already.
func (r *recording) act(ctx context.Context, h *host, client int, name string, mine []api.Lease, random *rand.Rand) {
	for i := 0; ctx.Err() == nil; i++ {
		if len(mine) > 0 && (random.IntN(2) == 0 || len(mine) > 5) {
			k := random.IntN(len(mine))
			a := mine[k]
			call := r.now()
			err := h.ReleaseLease(ctx, a.ID, a.Generation)
			r.mu.Lock()
			end := r.now()
			o := porcupine.Operation{ClientId: client, Input: use{released, a.Port, a.ID}, Call: call, Return: end}
			if err == nil {
				r.answers++
				r.operations = append(r.operations, o)
			} else if refused(err) {
				// Whoever has a lease can release it: as an answer this fits no history.
				r.addLocked(client, call, end, use{seen, a.Port, "refused: " + err.Error()})
			} else {
				r.unreleased = append(r.unreleased, o)
			}
			r.mu.Unlock()
			if err != nil {
				return
			}
			mine = append(mine[:k], mine[k+1:]...)
			continue
		}
		holder := fmt.Sprintf("%s-%d", name, i)
		call := r.now()
		list, err := h.AcquireLeases(ctx, api.AcquireLeases{Ranges: []string{"leases"}, Holder: api.Holder{Name: holder}})
		r.mu.Lock()
		switch {
		case err == nil:
			r.answers++
			r.addLocked(client, call, r.now(), use{acquired, list[0].Port, list[0].ID})
			mine = append(mine, list[0])
		case !refused(err):
			r.unanswered[holder] = call
		}
		r.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// look sees every port of the range, while nobody acts. What had no answer has
// happened by now, at any moment since its call, or it never will, for its daemon
// is gone: the leases that are there tell.
func (r *recording) look(ctx context.Context, h *host) ([]api.Lease, error) {
	call := r.now()
	leases, err := h.Leases(ctx)
	end := r.now()
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	there := map[int]string{}
	for _, l := range leases {
		if _, twice := there[l.Port]; twice {
			return nil, fmt.Errorf("port %d is listed twice", l.Port)
		}
		there[l.Port], r.sawLease = l.ID, true
		if began, ok := r.unanswered[l.Holder]; ok {
			r.addLocked(0, began, call, use{acquired, l.Port, l.ID})
		}
	}
	for _, o := range r.unreleased {
		if u := o.Input.(use); there[u.port] != u.id {
			o.Return = call
			r.operations = append(r.operations, o)
		}
	}
	clear(r.unanswered)
	r.unreleased = nil
	for port := firstLeasePort; port <= lastLeasePort; port++ {
		r.addLocked(0, call, end, use{seen, port, there[port]})
	}
	return leases, nil
}

// plant adds a lease of a port that is leased already, which has to be noticed.
func (r *recording) plant() error {
	for _, o := range r.operations {
		u := o.Input.(use)
		if u.kind != seen || u.id == "" {
			continue
		}
		planted := append(r.operations[:len(r.operations):len(r.operations)],
			porcupine.Operation{Input: use{acquired, u.port, "planted"}, Call: o.Return + 1, Return: o.Return + 1},
			porcupine.Operation{Input: use{seen, u.port, u.id}, Call: o.Return + 2, Return: o.Return + 2})
		if porcupine.CheckOperationsTimeout(portModel, planted, 5*patience) != porcupine.Illegal {
			return errors.New("a port that was leased twice was not noticed")
		}
		return nil
	}
	return errors.New("no kill left a lease behind: nothing was shown")
}
