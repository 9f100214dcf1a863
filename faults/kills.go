package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// kills kills the daemon at random moments while clients have it lease ports and
// start and end processes. After each kill all that was acknowledged is there,
// and nothing else.
var kills = measure{
	name: "kills", what: "SIGKILL of the daemon under load", unit: "kills", ci: 400, soak: 1500, long: true,
	run: func(ctx context.Context, s *suite, n int) (f figure, err error) {
		h, l, decoys, err := s.loaded(ctx)
		if err != nil {
			return f, err
		}
		defer func() { err = finish(err, &f, h, decoys) }()
		h.kill()
		for f.done < n && !s.caught(&f) && ctx.Err() == nil {
			// Every other daemon turns its journal all the time.
			h.planted = slices.Clone(s.planted)
			if f.done%2 == 1 {
				h.planted = append(h.planted, "small-journal")
			}
			if err := h.up(ctx); err != nil {
				return f, err
			}
			if err := l.verify(ctx, h, &f); err != nil {
				return f, err
			}
			acting, stop := context.WithCancel(ctx)
			var actors sync.WaitGroup
			for i := range 6 {
				random := rand.New(rand.NewPCG(s.random.Uint64(), 0))
				actors.Go(func() { l.act(acting, h, fmt.Sprintf("round%d.%d", f.done, i), random, i == 0) })
			}
			time.Sleep(time.Duration(s.random.Int64N(int64(150 * time.Millisecond))))
			h.kill()
			f.done++
			stop()
			actors.Wait()
		}
		if err := h.up(ctx); err != nil {
			return f, err
		}
		if err := l.verify(ctx, h, &f); err != nil {
			return f, err
		}
		f.note("%d answers held", l.answers)
		return f, ctx.Err()
	},
}

// killsWhileOpening kills daemons within the first 65 ms of their lives.
var killsWhileOpening = measure{
	name: "opening", what: "SIGKILL within 65 ms of the start", unit: "kills", ci: 100, soak: 2000,
	run: func(ctx context.Context, s *suite, n int) (f figure, err error) {
		h, l, decoys, err := s.loaded(ctx)
		if err != nil {
			return f, err
		}
		defer func() { err = finish(err, &f, h, decoys) }()
		random := rand.New(rand.NewPCG(s.random.Uint64(), 0))
		for f.done < n && ctx.Err() == nil {
			// Something to find for the next ones.
			acting, stop := context.WithTimeout(ctx, 30*time.Millisecond)
			l.act(acting, h, fmt.Sprint("round", f.done), random, false)
			stop()
			h.kill()
			for range 5 {
				if err := h.start(); err != nil {
					return f, err
				}
				time.Sleep(time.Duration(random.Int64N(int64(65 * time.Millisecond))))
				h.kill()
				f.done++
			}
			if err := h.up(ctx); err != nil {
				return f, err
			}
			if err := l.verify(ctx, h, &f); err != nil {
				return f, err
			}
		}
		return f, ctx.Err()
	},
}

// loaded is a host with a daemon, ranges and a distribution, and processes that
// look like Berth's and are not.
func (s *suite) loaded(ctx context.Context) (*host, *ledger, decoys, error) {
	h, err := s.newHost()
	if err != nil {
		return nil, nil, nil, err
	}
	if err := h.up(ctx); err != nil {
		return nil, nil, nil, err
	}
	if err := h.deploy(ctx); err != nil {
		return nil, nil, nil, err
	}
	d, err := h.newDecoys(4)
	return h, newLedger(), d, err
}

// finish ends a host; decoys that were ended by somebody are a broken promise.
func finish(err error, f *figure, h *host, d decoys) error {
	d.end(f)
	if endErr := h.end(); err == nil && endErr != nil {
		f.broken("at the end: %s", strings.ReplaceAll(endErr.Error(), "\n", "; "))
	}
	return err
}

// decoys are strangers: nobody may signal them, though some carry the id of the
// state folder, and nobody may lease the port on which one of them listens.
type decoys []decoy

type decoy struct {
	process *os.Process
	ended   chan struct{}
	socket  net.Listener // of the one that is this program
}

// decoyPort is the port on which a decoy listens.
const decoyPort = firstLeasePort + 3

func (h *host) newDecoys(n int) (decoys, error) {
	state, err := h.stateID()
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", fmt.Sprint(":", decoyPort))
	if err != nil {
		return nil, err
	}
	h.decoyListens = true
	d := decoys{{socket: l}}
	for i := range n {
		cmd := exec.Command("sleep", "100000")
		cmd.Env = append(environ(), fmt.Sprint("BERTH_PROCESS_ID=", i+1))
		if i%2 == 0 { // like one whose record is gone
			cmd.Env = append(environ(), fmt.Sprint("BERTH_PROCESS_ID=", 1_000_000+i), "BERTH_STATE_ID="+state)
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // Ctrl-C is not for them
		if err := cmd.Start(); err != nil {
			return d, err
		}
		h.decoys[cmd.Process.Pid] = true
		one := decoy{process: cmd.Process, ended: make(chan struct{})}
		go func() {
			_ = cmd.Wait()
			close(one.ended)
		}()
		d = append(d, one)
	}
	return d, nil
}

func (d decoys) end(f *figure) {
	for _, one := range d {
		if one.socket != nil {
			_ = one.socket.Close()
			continue
		}
		select {
		case <-one.ended:
			f.broken("stranger signalled: pid %d, which was none of the daemon's, has ended", one.process.Pid)
		default:
			_ = one.process.Kill()
			<-one.ended
		}
	}
}
