package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"berth/api"
	"berth/sockdiag"
)

// racer starts processes while a stranger binds the ports that they have just
// been leased. Each of them listens in the end, or it is told that it does not.
var racer = measure{
	name: "racer", what: "starts with a foreign binder racing for the port", unit: "rounds", ci: 300, soak: 20_000,
	run: func(ctx context.Context, s *suite, n int) (f figure, err error) {
		h, _, decoys, err := s.loaded(ctx)
		if err != nil {
			return f, err
		}
		defer func() { err = finish(err, &f, h, decoys) }()
		racing, stop := context.WithCancel(ctx)
		var wait sync.WaitGroup
		defer wait.Wait()
		defer stop()
		var binds atomic.Int64
		for i := range 3 {
			random := rand.New(rand.NewPCG(s.random.Uint64(), 0))
			wait.Go(func() { race(racing, h, random, i > 0, &binds) })
		}
		outcomes := map[string]int{}
		for (f.done < n || binds.Load() == 0) && ctx.Err() == nil {
			// Its failure is one of the ways to tell.
			_, execErr := h.Exec(ctx, api.Exec{Distribution: "demo", Version: "1.0", Profile: "test", Name: "server", WaitSeconds: 3})
			var answer *api.Error
			if execErr != nil && !errors.As(execErr, &answer) {
				return f, execErr
			}
			outcome, err := h.told(ctx, execErr)
			if err != nil {
				f.broken("round %d: %v", f.done, err)
			}
			outcomes[outcome]++
			if _, err := h.Kill(ctx, api.Kill{Selector: api.Selector{All: true}, Hard: true, WaitSeconds: patience.Seconds()}); err != nil {
				return f, err
			}
			f.done++
		}
		f.note("%d listened, %d were stolen, %d ended, %d refused; the stranger bound %d times",
			outcomes["listens"], outcomes["stolen"], outcomes["ended"], outcomes["refused"], binds.Load())
		return f, ctx.Err()
	},
}

// race binds ports and listens on them for a moment: those that are leased and
// that nobody listens on yet, or with atRandom any of the first ones.
func race(ctx context.Context, h *host, random *rand.Rand, atRandom bool, binds *atomic.Int64) {
	for ctx.Err() == nil {
		port := firstProcessPort + random.IntN(8)
		if !atRandom {
			ps, err := h.Processes(ctx, api.Selector{}, false)
			i := slices.IndexFunc(ps, func(p api.Process) bool { return len(p.Ports) > 0 && p.Ports[0].State == api.PortLeased })
			if err != nil || i < 0 {
				continue
			}
			port = ps[i].Ports[0].Port
		}
		l, err := net.Listen("tcp", fmt.Sprint(":", port)) // with SO_REUSEADDR
		if err == nil {
			binds.Add(1)
			time.Sleep(time.Duration(random.Int64N(int64(20 * time.Millisecond))))
			_ = l.Close()
		}
		if atRandom {
			time.Sleep(time.Duration(random.Int64N(int64(5 * time.Millisecond))))
		}
	}
}

// told waits until the process that was started listens, or is said not to. The
// error says that it is neither, or that what is said is not so.
func (h *host) told(ctx context.Context, execErr error) (string, error) {
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		ps, err := h.Processes(ctx, api.Selector{}, false)
		if err != nil {
			return "", err
		}
		if len(ps) == 0 {
			if execErr == nil {
				// It listened, and has ended since: it must not have.
				return "", errors.New("the exec went well, and the process is gone")
			}
			// It may have been told first that it does not listen yet, on a busy machine.
			if errors.Is(execErr, api.CodeExecFailed) || errors.Is(execErr, api.CodeTimeout) {
				return "ended", nil
			}
			if errors.Is(execErr, api.CodeRangeFull) {
				return "refused", nil
			}
			return "", execErr
		}
		p := ps[0]
		switch {
		case runs(p):
			return "listens", listens(p)
		case len(p.Ports) > 0 && p.Ports[0].State == api.PortStolen && execErr != nil:
			return "stolen", nil
		}
		if time.Now().After(deadline) {
			return "", fmt.Errorf("process %d is %s and neither listens nor is reported: %v, exec said %v", p.ID, p.Status, p.Ports, execErr)
		}
	}
}

// listens holds what is said of a process against the kernel.
func listens(p api.Process) error {
	for _, port := range p.Ports {
		sockets, err := sockdiag.OnPort(port.Protocol, port.Port)
		if err != nil {
			return err
		}
		inodes := map[uint64]bool{}
		for _, s := range sockets {
			inodes[s.Inode] = true
		}
		if len(sockdiag.OwnedBy([]int{p.PID}, inodes)) == 0 {
			return fmt.Errorf("process %d is said to listen on port %d and does not: %+v", p.ID, port.Port, sockets)
		}
	}
	return nil
}
