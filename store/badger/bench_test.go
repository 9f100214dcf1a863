package badger_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	driver "github.com/dgraph-io/badger/v4"

	"berth/bench/floor"
	"berth/store"
	"berth/store/badger"
)

// reportRate adds operations a second.
func reportRate(b *testing.B) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}

// share has callers do b.N operations altogether.
func share(b *testing.B, callers int, operation func(caller, n int) error) {
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for caller := range callers {
		wg.Go(func() {
			for {
				n := int(next.Add(1)) - 1
				if n >= b.N {
					return
				}
				if err := operation(caller, n); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	reportRate(b)
}

// BenchmarkCommit commits batches of one condition and one operation, with
// 150 bytes: in turn a key is put if absent and deleted if it is still that
// one, as a lease is acquired and released. Beside it are the floors of this
// machine.
func BenchmarkCommit(b *testing.B) {
	for _, held := range []int{10, 60_000} {
		for _, callers := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("held=%d/callers=%d", held, callers), func(b *testing.B) {
				benchmarkCommit(b, held, callers)
			})
		}
	}
	b.Run("floor=one by one", func(b *testing.B) {
		if err := floor.OneByOne(b.TempDir(), b.N); err != nil {
			b.Fatal(err)
		}
		reportRate(b)
	})
	for _, writers := range []int{16, 64} {
		b.Run(fmt.Sprintf("floor=grouped/callers=%d", writers), func(b *testing.B) {
			if err := floor.Grouped(b.TempDir(), writers, b.N); err != nil {
				b.Fatal(err)
			}
			reportRate(b)
		})
	}
	b.Run("floor=badger update each/callers=64", benchmarkUpdateEach)
}

func benchmarkCommit(b *testing.B, held, callers int) {
	s, err := badger.Open(b.TempDir(), badger.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	value := make([]byte, 150)
	for i := 0; i < held; i += 100 {
		var batch store.Batch
		for j := i; j < min(i+100, held); j++ {
			batch.Put(fmt.Sprintf("leases/host/tcp/%05d", j), value)
		}
		if _, err := s.Commit(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	at := make([]store.Revision, callers)
	keys := make([]string, callers)
	for i := range keys {
		keys[i] = fmt.Sprintf("leases/host/udp/%05d", i)
	}
	b.ReportAllocs()
	share(b, callers, func(caller, _ int) error {
		var batch store.Batch
		key := keys[caller]
		batch.If(key, at[caller])
		release := at[caller] != 0
		if release {
			batch.Delete(key)
		} else {
			batch.Put(key, value)
		}
		r, err := s.Commit(b.Context(), batch)
		if at[caller] = r; release {
			at[caller] = 0
		}
		return err
	})
}

// BenchmarkPut has a condition and a put of 150 bytes in each batch.
func BenchmarkPut(b *testing.B) {
	for _, callers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			s, err := badger.Open(b.TempDir(), badger.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			value := make([]byte, 150)
			at := make([]store.Revision, callers)
			keys := make([]string, callers)
			for i := range keys {
				keys[i] = fmt.Sprintf("leases/host/tcp/%05d", i)
			}
			b.ReportAllocs()
			share(b, callers, func(caller, _ int) (err error) {
				var batch store.Batch
				key := keys[caller]
				batch.If(key, at[caller])
				batch.Put(key, value)
				at[caller], err = s.Commit(b.Context(), batch)
				return err
			})
		})
	}
}

func benchmarkUpdateEach(b *testing.B) {
	db, err := driver.Open(driver.DefaultOptions(b.TempDir()).WithLogger(nil).WithSyncWrites(true))
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	value := make([]byte, 150)
	share(b, 64, func(caller, n int) error {
		key := fmt.Appendf(nil, "leases/host/tcp/%05d", caller)
		return db.Update(func(txn *driver.Txn) error { return txn.Set(key, value) })
	})
}
