package storetest

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"berth/store"
)

// testCounters has many goroutines add to counters by compare-and-swap.
func testCounters(t *testing.T, s store.Store) {
	const callers, adds, counters = 16, 20, 3
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for n := range adds {
				if err := add(t, s, fmt.Sprintf("counter/%d", (i+n)%counters)); err != nil {
					t.Errorf("add: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	sum := 0
	entries, _ := list(t, s, "counter/")
	for _, e := range entries {
		n, _ := strconv.Atoi(string(e.Value))
		sum += n
	}
	if sum != callers*adds {
		t.Errorf("the counters add up to %d, want %d", sum, callers*adds)
	}
}

// add adds 1 to a counter.
func add(t *testing.T, s store.Store, key string) error {
	for {
		e, err := s.Get(ctxOf(t), key)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		n, _ := strconv.Atoi(string(e.Value))
		var b store.Batch
		b.If(key, e.Revision)
		b.Put(key, strconv.AppendInt(nil, int64(n+1), 10))
		if _, err := s.Commit(ctxOf(t), b); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

// testOneWins has many writers that all want a key to be absent.
func testOneWins(t *testing.T, s store.Store) {
	const callers, rounds = 32, 8
	for round := range rounds {
		key := fmt.Sprintf("prize/%d", round)
		var won atomic.Int64
		var winner atomic.Int64
		var ready, wg sync.WaitGroup
		ready.Add(callers)
		for i := range callers {
			wg.Go(func() {
				ready.Done()
				ready.Wait()
				var b store.Batch
				b.IfAbsent(key)
				b.Put(key, strconv.AppendInt(nil, int64(i), 10))
				switch _, err := s.Commit(ctxOf(t), b); {
				case err == nil:
					won.Add(1)
					winner.Store(int64(i))
				case !errors.Is(err, store.ErrConflict):
					t.Errorf("commit: %v", err)
				}
			})
		}
		wg.Wait()
		e, err := s.Get(ctxOf(t), key)
		if err != nil || won.Load() != 1 || string(e.Value) != fmt.Sprint(winner.Load()) {
			t.Errorf("round %d: %d winners, the last of them %d; the key has %q (%v)", round, won.Load(), winner.Load(), e.Value, err)
		}
	}
}

// register is what is done to a key: a read, or a write if it is at a revision
// (compare-and-swap), or a write whatever there is.
type register struct {
	key   string
	read  bool
	any   bool // write without a condition
	at    store.Revision
	value string
}

// state is what a key holds, and what a read or a write answers.
type state struct {
	revision store.Revision
	value    string
	conflict bool
}

// registers is the sequential meaning of a store for single keys.
var registers = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		parts := make(map[string][]porcupine.Operation)
		for _, op := range history {
			key := op.Input.(register).key
			parts[key] = append(parts[key], op)
		}
		var all [][]porcupine.Operation
		for _, part := range parts {
			all = append(all, part)
		}
		return all
	},
	Init: func() any { return state{} },
	Step: func(before, input, output any) (bool, any) {
		now, in, out := before.(state), input.(register), output.(state)
		switch {
		case in.read:
			return out == now, now
		case out.conflict:
			return !in.any && in.at != now.revision, now
		default:
			return (in.any || in.at == now.revision) && out.revision > now.revision,
				state{revision: out.revision, value: in.value}
		}
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %+v", input, output) },
}

// testRegisters records what clients see and looks for an order that explains it.
func testRegisters(t *testing.T, s store.Store) {
	const clients, operations, keys = 8, 60, 4
	var mu sync.Mutex
	var history []porcupine.Operation
	start := time.Now()
	var wg sync.WaitGroup
	for client := range clients {
		wg.Go(func() {
			known := make(map[string]store.Revision)
			for n := range operations {
				in := register{key: fmt.Sprintf("r/%d", (client+n*n)%keys), value: fmt.Sprintf("%d-%d", client, n)}
				switch n % 4 {
				case 0, 2:
					in.read = true
				case 1:
					in.at = known[in.key]
				case 3:
					in.any = true
				}
				called := time.Since(start)
				out, err := apply(t, s, in)
				returned := time.Since(start)
				if err != nil {
					t.Errorf("%+v: %v", in, err)
					return
				}
				if !out.conflict {
					known[in.key] = out.revision
				}
				mu.Lock()
				history = append(history, porcupine.Operation{ClientId: client, Input: in, Output: out,
					Call: int64(called), Return: int64(returned)})
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if got := porcupine.CheckOperationsTimeout(registers, history, patience); got != porcupine.Ok {
		t.Errorf("history of %d operations: %v", len(history), got)
	}
}

func apply(t *testing.T, s store.Store, in register) (state, error) {
	if in.read {
		e, err := s.Get(ctxOf(t), in.key)
		if errors.Is(err, store.ErrNotFound) {
			return state{}, nil
		}
		return state{revision: e.Revision, value: string(e.Value)}, err
	}
	var b store.Batch
	if !in.any {
		b.If(in.key, in.at)
	}
	b.Put(in.key, []byte(in.value))
	r, err := s.Commit(ctxOf(t), b)
	if errors.Is(err, store.ErrConflict) {
		return state{conflict: true}, nil
	}
	return state{revision: r}, err
}

// testListMoment moves a token from key to key in one batch: every listing sees
// exactly one, at a revision that is not above its own.
func testListMoment(t *testing.T, s store.Store) {
	put(t, s, "token/0", "")
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			var last store.Revision
			for {
				entries, r, err := s.List(ctxOf(t), "token/")
				if err != nil || len(entries) != 1 || entries[0].Revision > r || r < last {
					t.Errorf("listing at %d after %d: %v (%v)", r, last, entries, err)
					return
				}
				last = r
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for n := range 100 {
		var b store.Batch
		b.Delete(fmt.Sprintf("token/%d", n))
		b.Put(fmt.Sprintf("token/%d", n+1), nil)
		commit(t, s, b)
	}
	close(done)
	wg.Wait()
}
