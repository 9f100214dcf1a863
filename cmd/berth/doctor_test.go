package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"berth/api"
	"berth/store"
)

// What is lost is an error of its own on the client's side, too, and what is
// left can be released.
func TestDamageCrossesTheSocket(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := start(t, dir)
	ctx := t.Context()
	if _, err := r.client.AddRanges(ctx, api.AddRanges{Ranges: []api.Range{{Name: "kept", Min: 26950, Max: 26955}}}); err != nil {
		t.Fatal(err)
	}
	held, err := r.client.AcquireLeases(ctx, api.AcquireLeases{Ranges: []string{"kept"}})
	if err != nil || len(held) != 1 {
		t.Fatal(held, err)
	}
	r.cancel()
	if err := <-r.ended; err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "store", "sequence")); err != nil {
		t.Fatal(err)
	}

	r = start(t, dir)
	_, err = r.client.AcquireLeases(ctx, api.AcquireLeases{Ranges: []string{"kept"}})
	if !errors.Is(err, store.ErrDamaged) || !errors.Is(err, api.CodeDamaged) {
		t.Errorf("acquire: %v", err)
	}
	if h, err := r.client.Health(ctx); err != nil || h.Healthy || !h.ReadOnly || len(h.Damage) != 1 || h.Available <= 0 {
		t.Errorf("health %+v, %v", h, err)
	}
	if err := r.client.ReleaseLease(ctx, held[0].ID, held[0].Generation); err != nil {
		t.Errorf("release: %v", err)
	}
	if before, err := r.client.AcceptDamage(ctx); err != nil || len(before.Damage) != 1 {
		t.Errorf("accept: %+v, %v", before, err)
	}
	if _, err := r.client.AcquireLeases(ctx, api.AcquireLeases{Ranges: []string{"kept"}}); err != nil {
		t.Errorf("acquire after the acceptance: %v", err)
	}
	if h, err := r.client.Health(ctx); err != nil || !h.Healthy || h.ReadOnly {
		t.Errorf("health after the acceptance %+v, %v", h, err)
	}
}
