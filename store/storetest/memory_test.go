package storetest_test

import (
	"testing"

	"berth/store"
	"berth/store/storetest"
)

func TestMemory(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return storetest.NewMemory() })
}

func TestFaultyWithoutFaults(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return storetest.NewFaulty(storetest.NewMemory()) })
}
