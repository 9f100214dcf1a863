package bench_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"berth/event"
	"berth/launcher"
	"berth/lease"
)

// BenchmarkRecuperate is the time from the signal that ends a process, while
// five hundred others run, until its lease is back: written down, and there to
// be acquired.
func BenchmarkRecuperate(b *testing.B) {
	path := trivial(b)
	l := openLauncher(b)
	l.deploy(b, fmt.Sprintf(descriptor, path, filepath.Join(b.TempDir(), "stamp")))
	n := size(500, 10)
	ports, environ := rawPorts(maxRawPort-minRawPort+1), os.Environ()
	watch := func(b *testing.B, n int) *watcher {
		w := startWatcher(b, path, n, false, func(i int) (args, env []string) {
			return nil, append(environ[:len(environ):len(environ)], "PORT="+strconv.Itoa(ports[i]))
		})
		if err := connectAll(ports[:n]); err != nil {
			w.end()
			b.Fatal(err)
		}
		return w
	}
	const ours, none = "launcher", "a bare watcher of pidfds"

	b.Run("one", func(b *testing.B) {
		died, all := size(200, 5), make(deaths)
		f := alternate(b,
			series{none, func(b *testing.B) float64 {
				w := watch(b, n+died)
				defer w.end()
				return all.each(b, none, died, w.kill, func(int) { w.await(b, 1) })
			}},
			series{ours, func(b *testing.B) float64 {
				defer l.killAll(b)
				processes := l.processes(b, "serve", n+died, patience)
				pidfds := pidfdsOf(b, processes, pidOf)
				defer closeAll(b, pidfds)
				following := l.follow()
				return all.each(b, ours, died,
					func(i int) error { return kill(pidfds[i]) },
					func(i int) { following.untilReturned(b, leasesOf(processes[i])) })
			}})
		what := fmt.Sprintf("a death until the lease is back, %d processes run", n)
		f.report(b, what, ms, ours, none, "")
		all.tail(b, what, ours, none, "< 20 ms")
	})
	b.Run("all", func(b *testing.B) {
		f := alternate(b,
			series{none, func(b *testing.B) float64 {
				w := watch(b, n)
				defer w.end()
				begin := time.Now()
				for i := range n {
					if err := w.kill(i); err != nil {
						b.Fatal(err)
					}
				}
				w.await(b, n)
				return inMs(time.Since(begin))
			}},
			series{ours, func(b *testing.B) float64 {
				defer l.killAll(b)
				processes := l.processes(b, "serve", n, patience)
				pidfds := pidfdsOf(b, processes, pidOf)
				defer closeAll(b, pidfds)
				following := l.follow()
				begin := time.Now()
				for _, fd := range pidfds {
					if err := kill(fd); err != nil {
						b.Fatal(err)
					}
				}
				following.untilReturned(b, leasesOf(processes...))
				return inMs(time.Since(begin))
			}})
		f.report(b, fmt.Sprintf("%d deaths at once until all leases are back", n), ms, ours, none, "")
	})
}

func pidOf(p launcher.Process) int { return p.Identity.PID }

func leasesOf(processes ...launcher.Process) map[lease.ID]bool {
	ids := make(map[lease.ID]bool)
	for _, p := range processes {
		for _, port := range p.Ports {
			ids[port.Lease] = true
		}
	}
	return ids
}

// following reads the events of a launcher, each once.
type following struct {
	events *event.Log
	seen   int64
}

// follow returns a following that begins with the next event.
func (l inProcess) follow() *following {
	f := &following{events: l.events, seen: -1}
	latest, _, _ := l.events.After(-1, event.DefaultKept)
	if len(latest) > 0 {
		f.seen = latest[len(latest)-1].Sequence
	}
	return f
}

// untilReturned waits until leases are recuperated. The manager tells of that
// once it is on the disk and the port can be leased again.
func (f *following) untilReturned(b *testing.B, ids map[lease.ID]bool) {
	b.Helper()
	deadline := time.After(patience)
	for {
		latest, missed, more := f.events.After(f.seen, event.DefaultKept)
		if missed != 0 {
			b.Fatalf("%d events were missed", missed)
		}
		for _, e := range latest {
			f.seen = e.Sequence
			if e.Noun == "lease" && e.Kind == "recuperated" {
				delete(ids, lease.ID(e.ID))
			}
		}
		if len(ids) == 0 {
			return
		}
		select {
		case <-more:
		case <-deadline:
			b.Fatalf("%d leases are not back after %s", len(ids), patience)
		}
	}
}
