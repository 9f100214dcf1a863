package store_test

import (
	"errors"
	"fmt"
	"testing"

	"berth/store"
)

// TestValidateTwice finds a key that is changed twice wherever it stands.
func TestValidateTwice(t *testing.T) {
	for _, n := range []int{2, 8, 9, 10, 64, store.MaxOps} {
		for i := range n {
			var b store.Batch
			for j := range n {
				b.Put(fmt.Sprintf("key/%d", j), nil)
			}
			if err := b.Validate(); err != nil {
				t.Fatalf("%d different keys: %v", n, err)
			}
			b.Ops[i].Key = b.Ops[(i+1)%n].Key
			if err := b.Validate(); !errors.Is(err, store.ErrInvalid) {
				t.Fatalf("%d keys, number %d twice: %v", n, i, err)
			}
		}
	}
}

func TestValidateAllocatesNothing(t *testing.T) {
	var b store.Batch
	for i := range store.MaxOps {
		b.Put(fmt.Sprintf("key/%d", i), nil)
	}
	if n := testing.AllocsPerRun(100, func() { _ = b.Validate() }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkValidate(b *testing.B) {
	for _, n := range []int{2, 8, 16, store.MaxOps} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var batch store.Batch
			for i := range n {
				batch.Put(fmt.Sprintf("leases/host/tcp/%d", i), nil)
			}
			for b.Loop() {
				if err := batch.Validate(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
