package lease_test

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"berth/lease"
	"berth/store"
)

// use is what a caller did with a port: it got it by an acquisition, or it
// ended that lease.
type use struct {
	port    int
	id      lease.ID
	acquire bool
}

// portModel is the sequential specification of leases, a port at a time: it is
// acquired when nobody has it, and ended by the one who has it.
var portModel = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byPort := make(map[int][]porcupine.Operation)
		for _, o := range history {
			port := o.Input.(use).port
			byPort[port] = append(byPort[port], o)
		}
		var parts [][]porcupine.Operation
		for _, part := range byPort {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() any { return lease.ID("") },
	Step: func(state, input, _ any) (bool, any) {
		holder, u := state.(lease.ID), input.(use)
		if u.acquire {
			return holder == "", u.id
		}
		return holder == u.id, lease.ID("")
	},
}

// history records what many callers did at the same time.
type history struct {
	mu    sync.Mutex
	start time.Time
	list  []porcupine.Operation
}

func (h *history) add(client int, call time.Time, u use) {
	end := time.Since(h.start)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.list = append(h.list, porcupine.Operation{ClientId: client, Input: u, Call: call.Sub(h.start).Nanoseconds(), Return: end.Nanoseconds()})
}

func TestHistoryIsLinearizable(t *testing.T) {
	f := open(t)
	narrow := lease.Range{Name: "narrow", Min: 20000, Max: 20019}
	f.add(t, narrow, rtp)
	h := &history{start: time.Now()}
	const clients, rounds = 64, 60
	var wait sync.WaitGroup
	for c := range clients {
		wait.Go(func() {
			random := rand.New(rand.NewPCG(uint64(c), 1))
			for range rounds {
				n := 1 + random.IntN(3)
				call := time.Now()
				leases, err := f.Acquire(t.Context(), requests([]string{"narrow", "narrow", "narrow"}[:n]...)...)
				if errors.Is(err, lease.ErrRangeFull) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				for _, l := range leases {
					h.add(c, call, use{port: l.Port, id: l.ID, acquire: true})
				}
				call = time.Now()
				if random.IntN(2) == 0 {
					ids := make([]lease.ID, len(leases))
					for i, l := range leases {
						ids[i] = l.ID
					}
					err = f.Recuperate(t.Context(), ids, store.Batch{})
				} else {
					for _, l := range leases {
						err = errors.Join(err, f.Release(t.Context(), l.ID, l.Generation))
					}
				}
				if err != nil {
					t.Error(err)
					return
				}
				for _, l := range leases {
					h.add(c, call, use{port: l.Port, id: l.ID})
				}
			}
		})
	}
	wait.Wait()
	if len(h.list) < clients {
		t.Fatalf("only %d operations went through", len(h.list))
	}
	if !porcupine.CheckOperations(portModel, h.list) {
		t.Fatalf("the history of %d operations is not linearizable", len(h.list))
	}

	// A lease that is given out a second time while it is held is noticed.
	held := h.list[len(h.list)/2].Input.(use)
	from, to := int64(-1), int64(-1)
	for _, o := range h.list {
		if u := o.Input.(use); u.id == held.id && u.port == held.port {
			if u.acquire {
				from = o.Return
			} else {
				to = o.Call
			}
		}
	}
	if from < 0 || to <= from {
		t.Fatalf("lease %s was held from %d to %d", held.id, from, to)
	}
	planted := append(h.list[:len(h.list):len(h.list)],
		porcupine.Operation{ClientId: clients, Input: use{held.port, "planted", true}, Call: from, Return: to - 1},
		porcupine.Operation{ClientId: clients, Input: use{held.port, "planted", false}, Call: to - 1, Return: to - 1})
	if porcupine.CheckOperations(portModel, planted) {
		t.Error("a port that was leased twice was not noticed")
	}
}

// TestConcurrentRanges: callers of several ranges, with ports that come and go,
// never share a port.
func TestConcurrentRanges(t *testing.T) {
	f := open(t)
	var names []string
	var ranges []lease.Range
	for i := range 8 {
		p := []lease.Protocol{lease.TCP, lease.UDP}[i%2]
		r := lease.Range{Name: "r" + string(rune('0'+i)), Min: 20000 + 10*(i/2), Max: 20009 + 10*(i/2), Protocol: p}
		names, ranges = append(names, r.Name), append(ranges, r)
	}
	f.add(t, ranges...)

	var mu sync.Mutex
	holder := make(map[portKey]lease.ID)
	stop := make(chan struct{})
	var background, callers sync.WaitGroup
	background.Go(func() {
		random := rand.New(rand.NewPCG(1, 2))
		for {
			select {
			case <-stop:
				return
			default:
			}
			p, port := []lease.Protocol{lease.TCP, lease.UDP}[random.IntN(2)], 20000+random.IntN(40)
			f.net.occupy(p, port, 1, "somebody")
			if err := f.RunOnce(t.Context()); err != nil {
				t.Error(err)
			}
			f.Ranges("*")
			f.net.vacate(p, port)
		}
	})
	for c := range 64 {
		callers.Go(func() {
			random := rand.New(rand.NewPCG(uint64(c), 3))
			for range 30 {
				i := random.IntN(len(names))
				leases, err := f.Acquire(t.Context(), requests(names[i], names[(i+1)%len(names)])...)
				if errors.Is(err, lease.ErrRangeFull) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for _, l := range leases {
					k := portKey{l.Protocol, l.Port}
					if other, ok := holder[k]; ok {
						t.Errorf("%v was leased as %s and %s", k, other, l.ID)
					}
					holder[k] = l.ID
				}
				for _, l := range leases {
					delete(holder, portKey{l.Protocol, l.Port})
				}
				mu.Unlock()
				for _, l := range leases {
					if err := f.Release(t.Context(), l.ID, 0); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	callers.Wait()
	close(stop)
	background.Wait()
	if got := f.Leases(); len(got) != 0 {
		t.Errorf("%d leases are left", len(got))
	}
}
