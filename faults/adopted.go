package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"berth/api"
)

// The processes that are adopted, and how long that may take from the start of
// the daemon until all of them are listed.
const (
	adoptedProcesses = 200
	adoptionLimit    = time.Second
)

// adopted kills the daemon of many processes and starts another one, again and again.
var adopted = measure{
	timed: true,
	name:  "adopted", what: fmt.Sprintf("%d processes adopted after a restart within %v", adoptedProcesses, adoptionLimit),
	unit: "restarts", ci: 10, soak: 300,
	run: func(ctx context.Context, s *suite, n int) (f figure, err error) {
		h, l, decoys, err := s.loaded(ctx)
		if err != nil {
			return f, err
		}
		defer func() { err = finish(err, &f, h, decoys) }()
		out, err := h.Exec(ctx, api.Exec{Distribution: "demo", Version: "1.0", Profile: "test", Name: "server", Instances: adoptedProcesses, WaitSeconds: patience.Seconds()})
		if err != nil {
			return f, err
		}
		pids := map[int]int{}
		for _, p := range out.Processes {
			pids[p.ID] = p.PID
			l.processes[p.ID] = true
		}
		var took []time.Duration
		for range n {
			h.kill()
			begin := time.Now()
			if err := h.up(ctx); err != nil {
				return f, err
			}
			ps, err := h.Processes(ctx, api.Selector{}, false)
			if err != nil {
				return f, err
			}
			took = append(took, time.Since(begin))
			if len(ps) != len(pids) {
				f.broken("%d of %d processes are listed", len(ps), len(pids))
			}
			for _, p := range ps {
				if p.PID != pids[p.ID] || p.Status != api.StatusRunning {
					f.broken("process %d was pid %d; it is listed as pid %d, %s", p.ID, pids[p.ID], p.PID, p.Status)
				}
			}
			if took[len(took)-1] <= adoptionLimit {
				f.done++
			}
			if err := l.verify(ctx, h, &f); err != nil {
				return f, err
			}
		}
		slices.Sort(took)
		// Of fewer than a hundred this is the slowest.
		p99 := took[(len(took)*99+99)/100-1]
		if p99 <= adoptionLimit {
			f.done = len(took)
		}
		f.note("p99 %d ms, median %d ms", p99.Milliseconds(), took[len(took)/2].Milliseconds())
		return f, ctx.Err()
	},
}
