package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"berth/api"
)

// full fills the disk of a daemon while clients work, at random moments, now to
// the last byte and now not. Nothing is granted then, what is there can end, the
// daemon lives and can be started, and with room all is well by itself.
var full = measure{
	name: "full", what: "full disks", unit: "times", ci: 40, soak: 1000,
	needs: []need{needDisk},
	run: func(ctx context.Context, s *suite, n int) (f figure, err error) {
		var told disktold
		for i, fill := range []func() (*volume, error){s.newTmpfs, s.newExt4} {
			part := n / 2
			if i == 0 {
				part = n - n/2
			}
			v, err := fill()
			if err != nil {
				return f, err
			}
			err = s.fillAgain(ctx, v, part, &f, &told)
			if err = errors.Join(err, v.end()); err != nil {
				return f, err
			}
		}
		f.note("%d refusals, %d leases released and %d processes ended meanwhile; %d starts on full disks, of which %d said why they were not possible",
			told.refusals, told.releases, told.kills, told.starts, told.refusedStarts)
		return f, ctx.Err()
	},
}

// disktold counts what was answered while a disk was full.
type disktold struct{ refusals, releases, kills, starts, refusedStarts int }

// regrant is how long it may take after room was made until ports are leased again.
const regrant = 10 * time.Second

func (s *suite) fillAgain(ctx context.Context, v *volume, n int, f *figure, told *disktold) (err error) {
	h, err := s.newHost()
	if err != nil {
		return err
	}
	h.useHome(filepath.Join(v.root, "home"))
	h.planted = append(h.planted, "small-journal") // so that Badger writes as well
	if err := h.up(ctx); err != nil {
		return err
	}
	d := &diskFull{host: h, v: v, l: newLedger(), f: f, told: told}
	defer func() { err = finish(errors.Join(err, v.empty()), f, h, nil) }()
	if err := h.deploy(ctx); err != nil {
		return err
	}
	d.l.expected = []api.Code{api.CodeNoSpace}
	for i := 0; i < n && ctx.Err() == nil; i++ {
		if err := d.round(ctx, fmt.Sprintf("full%d", i)); err != nil {
			return fmt.Errorf("%w: %s", err, h.logTail())
		}
		f.done++
	}
	return ctx.Err()
}

// diskFull is a daemon on a volume that is filled.
type diskFull struct {
	*host
	v    *volume
	l    *ledger
	f    *figure
	told *disktold

	probes int
}

func (d *diskFull) round(ctx context.Context, name string) error {
	random := d.s.random
	var own []string // holders of leases that no actor releases
	for i := range 5 {
		holder := fmt.Sprintf("%s.own-%d", name, i)
		if !d.l.acquire(ctx, d.host, holder) {
			return errors.New("nothing is leased though there is room")
		}
		own = append(own, holder)
	}
	end := d.l.actors(ctx, d.host, name, random, 1)
	time.Sleep(time.Duration(random.Int64N(int64(100 * time.Millisecond))))
	var leave int64 // bytes
	if random.IntN(2) == 0 {
		leave = random.Int64N(15 << 20)
	}
	// Somebody else takes what the daemon gives up or leaves.
	filling, empty := context.WithCancel(ctx)
	defer empty()
	var filler sync.WaitGroup
	filled := make(chan error, 1)
	filler.Go(func() { filled <- d.v.keepFull(filling, leave) })
	err := d.whileFull(ctx, own, leave)
	empty()
	filler.Wait()
	if err := errors.Join(err, <-filled, d.v.empty()); err != nil {
		end()
		return err
	}
	err = d.grantsAgain(ctx)
	end()
	if err != nil {
		return err
	}
	if random.IntN(3) == 0 {
		d.kill()
		if err := d.up(ctx); err != nil {
			return err
		}
	}
	return d.l.verify(ctx, d.host, d.f)
}

// whileFull looks at the daemon while its disk is full.
func (d *diskFull) whileFull(ctx context.Context, own []string, leave int64) error {
	random := d.s.random
	if err := d.refuses(ctx); err != nil {
		return err
	}
	d.endSome(ctx, own)
	time.Sleep(time.Duration(random.Int64N(int64(100 * time.Millisecond))))
	for range random.IntN(3) {
		if random.IntN(2) == 0 {
			d.kill()
		} else if _, err := d.StopDaemon(ctx); err == nil {
			<-d.ended
			d.lived("told to stop on a full disk")
		}
		if err := d.start(); err != nil {
			return err
		}
		d.told.starts++
		err := d.answers(ctx)
		select {
		case <-d.ended:
			d.told.refusedStarts++
			d.lived(fmt.Sprintf("started with %d bytes left", leave))
			return nil
		default:
		}
		if err == nil {
			err = d.refuses(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// lived looks how a daemon has ended: by itself it ends with a word about the
// disk, and not by a signal or a panic.
func (d *diskFull) lived(when string) {
	state := d.exit.ProcessState
	tail := strings.TrimSpace(d.logTail())
	last := tail[strings.LastIndexByte(tail, '\n')+1:]
	switch {
	case state.Success():
	case state.ExitCode() != 1:
		d.f.broken("%s the daemon crashed: %v: %s", when, state, d.lastCrash())
	case !strings.Contains(last, "room on") && !strings.Contains(last, syscall.ENOSPC.Error()):
		d.f.broken("%s the daemon ended and does not say why: %s", when, last)
	}
}

// lastCrash is how the text begins with which a Go program crashes, of the last
// daemon that did.
func (h *host) lastCrash() string {
	text, err := os.ReadFile(filepath.Join(h.dir, "log"))
	if err != nil {
		return err.Error()
	}
	at := 0
	for _, mark := range []string{"\nunexpected fault address", "\nfatal error: ", "\npanic: ", "\nSIG"} {
		at = max(at, bytes.LastIndex(text, []byte(mark)))
	}
	return string(text[at:min(len(text), at+1500)])
}

// refuses waits until the daemon grants nothing for want of room.
func (d *diskFull) refuses(ctx context.Context) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		err := d.probe(ctx)
		switch {
		case errors.Is(err, api.CodeNoSpace):
			d.told.refusals++
			return nil
		case err != nil:
			return fmt.Errorf("acquire on a full disk: %w", err)
		case time.Now().After(deadline):
			return errors.New("ports are leased on a full disk, again and again")
		}
	}
}

// probe acquires a lease and, as far as that is possible, releases it.
func (d *diskFull) probe(ctx context.Context) error {
	d.probes++
	holder := fmt.Sprint("probe-", d.probes)
	list, err := d.AcquireLeases(ctx, api.AcquireLeases{Ranges: []string{"leases"}, Holder: api.Holder{Name: holder}})
	d.l.mu.Lock()
	defer d.l.mu.Unlock()
	if err != nil {
		if !refused(err) {
			d.l.uncertain[holder] = true
		}
		return err
	}
	if d.ReleaseLease(ctx, list[0].ID, list[0].Generation) != nil {
		d.l.uncertain[holder] = true
	}
	return nil
}

// endSome releases leases and ends a process. That is refused only when the disk
// has no block left and the daemon has nothing more to give up.
func (d *diskFull) endSome(ctx context.Context, own []string) {
	refused := func(what string, err error) {
		_, ballast := os.Stat(filepath.Join(d.home, "store", "ballast"))
		switch {
		case err == nil:
		case !errors.Is(err, api.CodeNoSpace) && !errors.Is(err, api.CodeTimeout):
			d.f.broken("%s on a full disk: %v", what, err)
		case ballast == nil:
			d.f.broken("%s on a full disk, though there is ballast: %v", what, err)
		}
	}
	for _, holder := range own {
		d.l.mu.Lock()
		what := d.l.leases[holder]
		d.l.mu.Unlock()
		err := d.ReleaseLease(ctx, what.id, what.generation)
		refused("release", err)
		if err == nil {
			d.told.releases++
			d.l.mu.Lock()
			delete(d.l.leases, holder)
			d.l.mu.Unlock()
		}
	}
	d.l.mu.Lock()
	ids := slices.Sorted(maps.Keys(d.l.processes))
	d.l.mu.Unlock()
	if len(ids) > 0 {
		_, err := d.Kill(ctx, api.Kill{Selector: api.Selector{IDs: ids[:1]}, Hard: true, WaitSeconds: 1})
		if errors.Is(err, api.CodeProcessNotFound) {
			return // an actor was quicker
		}
		refused("kill", err)
		d.l.mu.Lock()
		defer d.l.mu.Unlock()
		delete(d.l.processes, ids[0])
		if err == nil {
			d.told.kills++
		} else {
			d.l.lost = true
		}
	}
}

// grantsAgain starts the daemon if it has ended, and waits until it grants.
func (d *diskFull) grantsAgain(ctx context.Context) error {
	select {
	case <-d.ended:
		if err := d.up(ctx); err != nil {
			return err
		}
	default:
	}
	for begin := time.Now(); ; time.Sleep(time.Millisecond) {
		err := d.probe(ctx)
		if err == nil {
			return nil
		}
		if time.Since(begin) > regrant {
			return fmt.Errorf("nothing is leased %v after there was room again: %w", regrant, err)
		}
	}
}

// volume is a file system of its own.
type volume struct {
	root    string
	unmount func() error
}

func (s *suite) newTmpfs() (*volume, error) {
	root, err := os.MkdirTemp(s.dir, "tmpfs")
	if err != nil {
		return nil, err
	}
	const bytes = 96 << 20
	if err := unix.Mount("tmpfs", root, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		return nil, err
	}
	return &volume{root, func() error { return unix.Unmount(root, 0) }}, nil
}

func (s *suite) newExt4() (*volume, error) {
	dir, err := os.MkdirTemp(s.dir, "ext4")
	if err != nil {
		return nil, err
	}
	d, err := newDisk(dir)
	if err != nil {
		return nil, err
	}
	return &volume{d.root, d.unmount}, nil
}

func (v *volume) end() error { return v.unmount() }

func (v *volume) filler() string { return filepath.Join(v.root, "filler") }

// keepFull takes all but so many bytes, again and again, until ctx ends.
func (v *volume) keepFull(ctx context.Context, leave int64) error {
	f, err := os.OpenFile(v.filler(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	var size int64
	for ctx.Err() == nil {
		var st unix.Statfs_t
		if err := unix.Statfs(v.root, &st); err != nil {
			return err
		}
		free := int64(st.Bavail) * st.Bsize
		if leave == 0 {
			free = int64(st.Bfree) * st.Bsize // root has the reserve, too
		}
		for take := free - leave; take >= st.Bsize; {
			err := unix.Fallocate(int(f.Fd()), 0, size, take) // in less time than writing takes
			if err == nil {
				size += take
				break
			}
			if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EINTR) {
				return fmt.Errorf("fill %s: %w", v.root, err)
			}
			take /= 2
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}

// empty makes room again.
func (v *volume) empty() error {
	err := os.Remove(v.filler())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
