package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"berth/proc"
)

// calls are the system calls at which the daemon is killed, with the number of
// times that a thread of it makes them at most while it opens and works.
var calls = []struct {
	name string
	most int
}{
	{"openat", 60}, {"pwrite64", 30}, {"fdatasync", 30}, {"write", 40}, {"ftruncate", 4}, {"fsync", 4}, {"mkdirat", 10},
	{"unlinkat", 20}, {"clone3", 10}, {"bind", 60}, {"listen", 10}, {"accept4", 20}, {"pidfd_open", 10}, {"pidfd_send_signal", 5},
	{"close", 200}, {"mmap", 60}, {"socketpair", 5}, {"sendto", 10}, {"waitid", 8}, {"prlimit64", 8},
}

// killsAtCalls has strace kill the daemon in the middle of a system call.
var killsAtCalls = measure{
	name: "calls", what: "SIGKILL at a system call", unit: "kills", ci: 100, soak: 2000,
	needs: []need{needTool("strace")},
	run: func(ctx context.Context, s *suite, n int) (f figure, err error) {
		h, l, decoys, err := s.loaded(ctx)
		if err != nil {
			return f, err
		}
		defer func() { err = finish(err, &f, h, decoys) }()
		reached := map[string]int{}
		most := map[string]int{} // times that a call is made, as far as that is known
		for round := 0; f.done < n && ctx.Err() == nil; round++ {
			call := calls[round%len(calls)]
			nth := 1 + s.random.IntN(max(1, min(call.most, most[call.name])))
			h.kill()
			hit, err := h.killedAt(ctx, l, s, call.name, nth, fmt.Sprint("round", round))
			if err != nil {
				return f, err
			}
			if hit {
				f.done++
				reached[call.name]++
				most[call.name] = max(most[call.name], 2*nth)
			} else {
				most[call.name] = nth / 2
			}
			if err := h.up(ctx); err != nil {
				return f, fmt.Errorf("killed at %s: %w", call.name, err)
			}
			before := len(f.violations)
			if err := l.verify(ctx, h, &f); err != nil {
				return f, fmt.Errorf("killed at %s: %w", call.name, err)
			}
			for i := range f.violations[before:] {
				f.violations[before+i] = "killed at " + call.name + ": " + f.violations[before+i]
			}
		}
		for _, call := range calls {
			if reached[call.name] == 0 && f.done >= len(calls) {
				f.broken("the daemon was never killed at %s", call.name)
			}
		}
		f.note("at %d different calls", len(reached))
		return f, ctx.Err()
	},
}

// killedAt runs a daemon under strace until its nth call of that name in a
// thread, or for a moment if there is none, and reports whether there was.
func (h *host) killedAt(ctx context.Context, l *ledger, s *suite, call string, nth int, name string) (bool, error) {
	// Its children are let go when they exec: they are not the daemon.
	err := h.start("strace", "-f", "-qq", "-b", "execve", "-o", "/dev/null", "-e", "trace="+call,
		"-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", call, nth))
	if err != nil {
		return false, err
	}
	acting, stop := context.WithTimeout(ctx, 600*time.Millisecond)
	defer stop()
	var actors sync.WaitGroup
	for i := range 3 {
		random := rand.New(rand.NewPCG(s.random.Uint64(), 0))
		actors.Go(func() {
			for acting.Err() == nil { // it may not answer yet
				if _, err := h.Daemon(acting); err == nil {
					l.act(acting, h, fmt.Sprint(name, ".", i), random, i == 0)
					return
				}
				select {
				case <-h.ended:
					return
				case <-time.After(5 * time.Millisecond):
				}
			}
		})
	}
	select {
	case <-h.ended:
		stop()
		actors.Wait()
		return true, nil
	case <-acting.Done():
	}
	actors.Wait()
	select {
	case <-h.ended:
		return true, nil
	default:
		return false, h.killDaemon()
	}
}

// killDaemon kills a daemon that runs below strace, and waits until it is gone.
// strace goes first: it may hold on to a child that waits behind its gate.
func (h *host) killDaemon() error {
	h.kill()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return err
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		// The processes carry more of Berth's variables than the daemon does.
		home, ok, err := proc.EnvironValue(pid, "BERTH_HOME")
		if _, process, _ := proc.EnvironValue(pid, "BERTH_PROCESS_ID"); err != nil || !ok || home != h.home || process {
			continue
		}
		id, err := proc.Identify(pid)
		if err != nil {
			continue // gone by now
		}
		p, err := proc.Open(id)
		if err != nil {
			continue
		}
		_ = p.Signal(unix.SIGKILL) // gone already or not
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		err = p.Exited(ctx)
		cancel()
		if closeErr := p.Close(); err != nil || closeErr != nil {
			return fmt.Errorf("the daemon, pid %d, does not end: %v, %v", pid, err, closeErr)
		}
	}
	return nil
}
