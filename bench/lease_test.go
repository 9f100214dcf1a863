package bench_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	driver "github.com/dgraph-io/badger/v4"

	"berth/bench/floor"
	"berth/lease"
	"berth/store/badger"
)

// The ports that benchmarks may bind: probed and leased ones, and those of
// servers that are started without Berth.
const (
	minPort, maxPort       = 28000, 30999
	minRawPort, maxRawPort = 31000, 31999
)

// BenchmarkLease acquires a lease and releases it, through the manager, on
// Badger with synchronous writes, the port being probed each time. Each of the
// two is an operation, and as durable as a record of the floor is.
func BenchmarkLease(b *testing.B) {
	managers := make(map[int]*lease.Manager)
	manager := func(sub *testing.B, active int) *lease.Manager {
		if managers[active] == nil {
			managers[active] = openManager(b, sub, active)
		}
		return managers[active]
	}
	const few = 10
	many := size(60_000, 2_000)
	for _, callers := range []int{1, 16, 64} {
		for _, active := range []int{few, many} {
			b.Run(fmt.Sprintf("callers=%d/active=%d", callers, active), func(b *testing.B) {
				n := map[int]int{1: size(1_000, 50), 16: size(8_000, 200), 64: size(24_000, 500)}[callers]
				operations := func(active int) func(*testing.B) float64 {
					m := manager(b, active)
					return func(b *testing.B) float64 { return 2 * measurePairs(b, m, callers, n) }
				}
				floorName := "append and fsync, one by one"
				if callers > 1 {
					floorName = fmt.Sprintf("append and fsync, grouped, %d writers", callers)
				}
				const ours, fewActive, updates = "ours", "with 10 active", "one Badger Update each, 64 callers"
				all := []series{
					{floorName, func(b *testing.B) float64 { return measureFloor(b, callers, 2*n) }},
					{ours, operations(active)},
				}
				if active != few {
					all = append(all, series{fewActive, operations(few)})
				}
				if callers == 64 {
					db := openBadger(b)
					all = append(all, series{updates, func(b *testing.B) float64 { return measureUpdates(b, db, callers, n/8) }})
				}
				f := alternate(b, all...)

				target := ""
				if callers == 64 {
					target = "≥ 0.5×"
				}
				what := fmt.Sprintf("acquire + release, %d callers, %d active leases: single operations", callers, active)
				f.report(b, what, rate, ours, floorName, target)
				b.ReportMetric(f.median(ours)/2, "pairs/s")
				if active != few {
					f.row(what, rate, ours, fewActive, "≥ 0.67×, as time ≤ 1.5×")
					b.ReportMetric(f.ratio(fewActive, ours), "growth")
				}
				if callers == 64 {
					f.row(what, rate, ours, updates, "≥ 8×")
					b.ReportMetric(f.ratio(ours, updates), "x-badger-update")
				}
			})
		}
	}
}

// openManager opens a manager of which active leases are held already. It
// lives as long as the benchmark b; sub is told what goes wrong.
func openManager(b, sub *testing.B, active int) *lease.Manager {
	sub.Helper()
	store, err := badger.Open(b.TempDir(), badger.Options{})
	if err != nil {
		sub.Fatal(err)
	}
	filling := &filler{active: true}
	m, err := lease.Open(context.Background(), lease.Options{
		Store: store, Prober: filling, Picker: filling, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		sub.Fatal(err)
	}
	b.Cleanup(func() {
		if err := m.Check(context.Background()); err != nil {
			b.Error(err)
		}
		if err := m.Close(); err != nil {
			b.Error(err)
		}
		if err := store.Close(); err != nil {
			b.Error(err)
		}
	})
	r := lease.Range{Name: "bench", Min: minPort, Max: maxPort}
	if active > 100 {
		r.Min, r.Max = 1024, lease.MaxPort
	}
	if err := m.AddRanges(context.Background(), []lease.Range{r}, lease.AddOptions{}); err != nil {
		sub.Fatal(err)
	}
	const batch = 60
	for left := active; left > 0; left -= batch {
		requests := make([]lease.Request, min(left, batch))
		for i := range requests {
			requests[i] = lease.Request{Range: r.Name, Holder: lease.Holder{Kind: lease.Process, Name: "httpServer #1 (demo 1.0)", Process: left - i}}
		}
		if _, err := m.Acquire(context.Background(), requests...); err != nil {
			sub.Fatal(err)
		}
	}
	if r.Min < minPort {
		// What is free below the ports of benchmarks is not theirs to bind.
		filling.from = minPort
	}
	filling.active = false
	return m
}

// filler leases ports that are not bound while a manager is filled: those that
// the benchmarks bind are left out. Afterwards it picks the lowest port and
// probes it as Berth does.
type filler struct {
	active bool
	from   int
}

func (f *filler) Probe(p lease.Protocol, port int) error {
	if f.active {
		return nil
	}
	return lease.SystemProber().Probe(p, port)
}

func (f *filler) Pick(free *lease.Bits, first, last int) (int, bool) {
	if !f.active || first >= minPort {
		return lease.Lowest().Pick(free, max(first, f.from), last)
	}
	if port, ok := free.Next(first, minPort-1); ok {
		return port, true
	}
	return free.Next(maxRawPort+1, last)
}

// share has callers do n operations altogether and returns how many a second
// they did. Once one fails, no other is begun.
func share(b *testing.B, callers, n int, operation func(caller int) error) float64 {
	b.Helper()
	var next atomic.Int64
	var wait sync.WaitGroup
	begin := time.Now()
	for caller := range callers {
		wait.Go(func() {
			for next.Add(1) <= int64(n) {
				if err := operation(caller); err != nil {
					next.Store(int64(n))
					b.Error(err)
				}
			}
		})
	}
	wait.Wait()
	took := time.Since(begin)
	if b.Failed() {
		b.FailNow()
	}
	return perSecond(n, took)
}

// measurePairs is how many leases a second are acquired and released.
func measurePairs(b *testing.B, m *lease.Manager, callers, n int) float64 {
	request := lease.Request{Range: "bench", Holder: lease.Holder{Kind: lease.Manual, Name: "bench"}}
	return share(b, callers, n, func(int) error {
		l, err := m.Acquire(context.Background(), request)
		if err != nil {
			return err
		}
		return m.Release(context.Background(), l[0].ID, l[0].Generation)
	})
}

// measureFloor is how many records a second the disk takes.
func measureFloor(b *testing.B, writers, n int) float64 {
	b.Helper()
	dir := b.TempDir()
	begin := time.Now()
	var err error
	if writers == 1 {
		err = floor.OneByOne(dir, n)
	} else {
		err = floor.Grouped(dir, writers, n)
	}
	if err != nil {
		b.Fatal(err)
	}
	return perSecond(n, time.Since(begin))
}

func openBadger(b *testing.B) *driver.DB {
	b.Helper()
	db, err := driver.Open(driver.DefaultOptions(b.TempDir()).WithLogger(nil).WithSyncWrites(true))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	})
	return db
}

// measureUpdates is how many operations a second Badger does if each is a
// transaction of its own.
func measureUpdates(b *testing.B, db *driver.DB, callers, n int) float64 {
	value := make([]byte, 150)
	return share(b, callers, n, func(caller int) error {
		key := fmt.Appendf(nil, "leases/host-local/tcp/%05d", caller)
		return db.Update(func(txn *driver.Txn) error { return txn.Set(key, value) })
	})
}
