package launcher

import (
	"sync"
	"time"

	"berth/proc"
)

// Usage is what a process uses, with all that come from it.
type Usage struct {
	// CPUPercent is its share of one processor since it was asked for before, at
	// most a minute ago; the first time since it was started.
	CPUPercent float64

	// Memory is what it has resident, in bytes.
	Memory uint64

	// PIDs are the process itself and its descendants.
	PIDs []int
}

const (
	// shortestSpan is the time over which a share of a processor can be told:
	// the kernel counts in ticks of 10 ms.
	shortestSpan = 500 * time.Millisecond

	longestSpan = time.Minute
)

// usages remembers what processes have used, for those that ask again.
type usages struct {
	mu   sync.Mutex
	last map[int]usageSample
}

// usageSample is how much processor time a process had had at some moment.
type usageSample struct {
	identity proc.Identity
	at       time.Time
	cpu      time.Duration
	percent  float64
}

// Usages tells what processes use, by id. It reads /proc once, and nothing while
// nobody asks. What waits or has ended uses nothing, and is not there.
func (l *Launcher) Usages(list []Process) (map[int]Usage, error) {
	tree, err := proc.Snapshot()
	if err != nil {
		return nil, err
	}
	found := make(map[int]Usage)
	for _, p := range list {
		if !p.Live() || p.PID() == 0 {
			continue
		}
		pids := tree.OfIdentity(p.Identity)
		u, err := proc.UsageOf(pids...)
		if err != nil {
			return nil, err
		}
		found[p.ID] = Usage{CPUPercent: l.usages.share(p, u.CPU, l.Now()), Memory: u.Memory, PIDs: pids}
	}
	return found, nil
}

// share is the share of a processor, in percent, that a process has had lately.
func (s *usages) share(p Process, cpu time.Duration, now time.Time) float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil {
		s.last = make(map[int]usageSample)
	}
	for id, sample := range s.last {
		if now.Sub(sample.at) > longestSpan {
			delete(s.last, id)
		}
	}
	before, ok := s.last[p.ID]
	if !ok || before.identity != p.Identity || cpu < before.cpu { // a descendant has ended
		before = usageSample{identity: p.Identity, at: p.StartedAt}
	}
	span := now.Sub(before.at)
	if ok && span < shortestSpan && before.at != p.StartedAt {
		return before.percent
	}
	percent := 0.0
	if span > 0 {
		percent = 100 * (cpu - before.cpu).Seconds() / max(span, 10*time.Millisecond).Seconds()
	}
	s.last[p.ID] = usageSample{p.Identity, now, cpu, percent}
	return percent
}

// Uptime is how long the process has run, 0 where it does not.
func (p Process) Uptime(now time.Time) time.Duration {
	if !p.Live() || p.PID() == 0 || p.StartedAt.IsZero() {
		return 0
	}
	return max(0, now.Sub(p.StartedAt))
}
