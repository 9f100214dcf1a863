package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"berth/api"
	"berth/client"
)

// clientCount is how many clients lease at the same time.
const clientCount = 64

// clients has many clients acquire and release leases of every kind of holder
// over the socket, and checks that no answer is an error, that no port is leased
// twice, and that what they see is what they would see one after the other.
var clients = measure{
	name: "clients", what: fmt.Sprintf("pairs of acquire and release by %d clients, as one history", clientCount), unit: "pairs",
	ci: clientCount * 2000, soak: clientCount * 20_000, long: true,
	run: func(ctx context.Context, s *suite, n int) (f figure, err error) {
		h, _, decoys, err := s.loaded(ctx)
		if err != nil {
			return f, err
		}
		defer func() { err = finish(err, &f, h, decoys) }()
		r := &recording{begin: time.Now(), unanswered: map[string]int64{}}
		each := (n + clientCount - 1) / clientCount
		var wait sync.WaitGroup
		for i := range clientCount {
			wait.Go(func() { r.pairs(ctx, &f, h.Socket(), i, each) })
		}
		wait.Wait()
		if ctx.Err() != nil {
			return f, ctx.Err()
		}
		f.note("%.0f pairs/s", float64(f.done)/time.Since(r.begin).Seconds())
		// One that is left lets a second lease of its port be planted.
		before := r.now()
		last, err := h.AcquireLeases(ctx, api.AcquireLeases{Ranges: []string{"leases"}})
		if err != nil {
			return f, err
		}
		r.addLocked(clientCount, before, r.now(), use{acquired, last[0].Port, last[0].ID})
		if _, err := r.look(ctx, h); err != nil {
			return f, err
		}
		switch result := porcupine.CheckOperationsTimeout(portModel, r.operations, 5*patience); result {
		case porcupine.Illegal:
			f.broken("a history of %d operations is not linearizable", len(r.operations))
		case porcupine.Unknown:
			return f, fmt.Errorf("a history of %d operations takes too long to check", len(r.operations))
		}
		if err := r.plant(); err != nil {
			return f, err
		}
		return f, h.ReleaseLease(ctx, last[0].ID, last[0].Generation)
	},
}

// pairs has one client acquire and release n times on a connection of its own.
func (r *recording) pairs(ctx context.Context, f *figure, socket string, number, n int) {
	c := client.New(client.Options{Socket: socket})
	defer c.Close()
	holders := []api.Holder{
		{Name: fmt.Sprint("client ", number)},
		{Kind: api.HolderSession, TTL: "10m"},
		{Kind: api.HolderProcess, PID: os.Getpid()},
	}
	for i := range n {
		in := api.AcquireLeases{Ranges: []string{"leases"}, Holder: holders[i%len(holders)]}
		if i%8 == 0 {
			in.Owner = fmt.Sprint("owner ", number) // who has nothing to give up
		}
		call := r.now()
		got, err := c.AcquireLeases(ctx, in)
		acquiredAt := r.now()
		if err == nil && len(got) != 1 {
			err = fmt.Errorf("%d leases were answered", len(got))
		}
		var releasing, releasedAt int64
		if err == nil {
			releasing = r.now()
			err = c.ReleaseLease(ctx, got[0].ID, got[0].Generation)
			releasedAt = r.now()
		}
		r.mu.Lock()
		if err != nil {
			if ctx.Err() == nil {
				f.broken("client %d: pair %d: %v", number, i, err)
			}
			r.mu.Unlock()
			return
		}
		f.done++
		r.addLocked(number, call, acquiredAt, use{acquired, got[0].Port, got[0].ID})
		r.addLocked(number, releasing, releasedAt, use{released, got[0].Port, got[0].ID})
		r.mu.Unlock()
	}
}
