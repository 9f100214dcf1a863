package lease_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"syscall"
	"testing"
	"time"

	"berth/lease"
	"berth/store/storetest"
)

// free is a network in which every port is free.
type free struct{}

func (free) Probe(lease.Protocol, int) error { return nil }
func (free) Find(lease.Protocol, int) (lease.Occupant, bool, error) {
	return lease.Occupant{}, false, nil
}

// filled opens a manager with a range of 64,000 ports of which active are leased.
func filled(b *testing.B, active int) *lease.Manager {
	b.Helper()
	m, err := lease.Open(context.Background(), lease.Options{
		Store: storetest.NewMemory(), Prober: free{}, Finder: free{}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := m.AddRanges(context.Background(), []lease.Range{{Name: "all", Min: 1024, Max: 65023}}, lease.AddOptions{}); err != nil {
		b.Fatal(err)
	}
	many := make([]lease.Request, active)
	for i := range many {
		many[i] = lease.Request{Range: "all", Holder: lease.Holder{Kind: lease.Process, Name: "httpServer #1 (demo 1.0)", Process: i + 1}}
	}
	for len(many) > 0 {
		n := min(len(many), 60)
		if _, err := m.Acquire(context.Background(), many[:n]...); err != nil {
			b.Fatal(err)
		}
		many = many[n:]
	}
	return m
}

// cpu is the time that this process has run, on all processors.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkAcquireRelease is one port leased and released, the store being in
// memory and every port free: what the manager itself costs.
func BenchmarkAcquireRelease(b *testing.B) {
	for _, active := range []int{10, 60000} {
		m := filled(b, active)
		for _, callers := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("active=%d/callers=%d", active, callers), func(b *testing.B) {
				b.ReportAllocs()
				start := cpu()
				var wait sync.WaitGroup
				for c := range callers {
					wait.Go(func() {
						q := lease.Request{Range: "all", Holder: lease.Holder{Kind: lease.Manual, Name: "bench"}}
						for i := c; i < b.N; i += callers {
							l, err := m.Acquire(context.Background(), q)
							if err != nil {
								b.Error(err)
								return
							}
							if err := m.Release(context.Background(), l[0].ID, l[0].Generation); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wait.Wait()
				b.ReportMetric(float64(cpu()-start)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

// BenchmarkRanges is the listing of one range of 64,000 ports.
func BenchmarkRanges(b *testing.B) {
	for _, active := range []int{500, 60000} {
		m := filled(b, active)
		b.Run(fmt.Sprintf("active=%d", active), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				m.Ranges("*")
			}
		})
	}
}

func BenchmarkProbe(b *testing.B) {
	for _, p := range []lease.Protocol{lease.TCP, lease.UDP} {
		b.Run(string(p), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := lease.SystemProber().Probe(p, 21999); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRecord(b *testing.B) {
	l := lease.Lease{ID: "0123456789abc", Generation: 1, Range: "http", Protocol: lease.TCP, Scope: lease.HostScope, Port: 8080, Host: "local",
		Holder: lease.Holder{Kind: lease.Process, Name: "httpServer #1 (demo 1.0)", Process: 7}, Since: time.Now().UTC()}
	key, record := l.Key(), l.Record()
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = l.Record()
		}
	})
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := lease.ParseRecord(key, record); err != nil {
				b.Fatal(err)
			}
		}
	})
}
