package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"berth/api"
	"berth/internal/require"
	"berth/store"
)

// On a full disk nothing is leased and what is leased can be released; with room
// it is over.
func TestServeOnAFullDisk(t *testing.T) {
	require.Root(t)
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=96m"); err != nil {
		require.Missing(t, "a file system that may be mounted ("+err.Error()+")", "run the tests where mount(2) is allowed")
	}
	t.Cleanup(func() { _ = unix.Unmount(disk, unix.MNT_DETACH) })
	r := start(t, filepath.Join(disk, "home"))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := r.client.AddRanges(ctx, api.AddRanges{Ranges: []api.Range{{Name: "disk", Min: 26900, Max: 26949}}}); err != nil {
		t.Fatal(err)
	}
	acquire := func() (api.Lease, error) {
		got, err := r.client.AcquireLeases(ctx, api.AcquireLeases{Ranges: []string{"disk"}})
		if err != nil {
			return api.Lease{}, err
		}
		return got[0], nil
	}
	// until has a port be leased and released until the error is the one wanted.
	until := func(want error) {
		t.Helper()
		for {
			l, err := acquire()
			if err == nil {
				if err := r.client.ReleaseLease(ctx, l.ID, l.Generation); err != nil {
					t.Fatalf("release: %v", err)
				}
			}
			if err == nil && want == nil || want != nil && errors.Is(err, want) {
				return
			}
			if err != nil && !errors.Is(err, store.ErrNoSpace) {
				t.Fatal(err)
			}
		}
	}
	held, err := acquire()
	if err != nil {
		t.Fatal(err)
	}
	filler, err := os.Create(filepath.Join(disk, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer filler.Close()
	for err == nil {
		_, err = filler.Write(make([]byte, 1<<20))
	}
	until(store.ErrNoSpace)
	if h, err := r.client.Health(ctx); err != nil || h.Healthy || !h.ReadOnly || h.Available >= h.Needed || len(h.Damage) > 0 {
		t.Errorf("health %+v, %v", h, err)
	}
	if err := r.client.ReleaseLease(ctx, held.ID, held.Generation); err != nil {
		t.Errorf("release on a full disk: %v", err)
	}
	if err := filler.Truncate(0); err != nil {
		t.Fatal(err)
	}
	until(nil)
	if h, err := r.client.Health(ctx); err != nil || !h.Healthy {
		t.Errorf("health with room again %+v, %v", h, err)
	}
}

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
