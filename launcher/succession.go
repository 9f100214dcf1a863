package launcher

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"berth/lease"

	"golang.org/x/sys/unix"
)

// What two processes have in common while one replaces the other: the sockets
// that were handed over. Their leases are those of the old one until it ends,
// and are passed on to the new one in the batch of that end. So at every instant
// a port has one lease, and it has one as long as either lives.

// succeed has a process, which launch starts, replace another one, unless that
// has ended.
func (l *Launcher) succeed(old *unit, id int, launch func() error) error {
	l.succession.Lock()
	defer l.succession.Unlock()
	select {
	case <-old.gone:
		return fmt.Errorf("%w: it has ended by itself meanwhile", ErrExecRefused)
	default:
	}
	err := launch()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.units[id] != nil {
		l.successors[old.process.ID] = id
	}
	return err
}

// findSuccessors finds which of the processes of an earlier daemon replace others.
func (l *Launcher) findSuccessors(live []*unit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, u := range live {
		p := u.snapshot()
		if old := l.units[p.Replaces]; old != nil && old.snapshot().Live() {
			l.successors[p.Replaces] = p.ID
		}
	}
}

// endSuccession is called before the end of a process is written down, and tells
// which of its leases are passed on to whom. Unlock is called afterwards, with
// whether it was written down.
func (l *Launcher) endSuccession(id int) (unlock func(done bool), passed map[lease.ID]lease.Holder) {
	l.succession.RLock()
	if !l.hasSuccession(id) {
		return func(bool) { l.succession.RUnlock() }, nil
	}
	l.succession.RUnlock()
	l.succession.Lock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if next := l.units[l.successors[id]]; next != nil {
		p := next.snapshot()
		holder := lease.Holder{Kind: lease.Process, Name: p.Title(), Process: p.ID}
		passed = make(map[lease.ID]lease.Holder)
		for _, held := range l.Leases.ByProcess(id) {
			if slices.ContainsFunc(p.Ports, func(port Port) bool { return port.Lease == held.ID }) {
				passed[held.ID] = holder
			}
		}
	}
	return func(done bool) {
		defer l.succession.Unlock()
		if !done {
			return
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		next, ok := l.successors[id]
		delete(l.successors, id)
		for old, successor := range l.successors {
			if successor != id {
				continue
			}
			if delete(l.successors, old); ok {
				l.successors[old] = next
			}
		}
	}, passed
}

// hasSuccession reports whether a process replaces one that lives, or is replaced.
func (l *Launcher) hasSuccession(id int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for old, next := range l.successors {
		if old == id || next == id {
			return true
		}
	}
	return false
}

// isHandedOn reports whether the socket of a process is that of its successor too.
func (l *Launcher) isHandedOn(id int, k socketKey) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := l.units[l.successors[id]]
	return next != nil && slices.ContainsFunc(next.snapshot().Ports, func(p Port) bool {
		return p.Protocol == k.protocol && p.Number == k.number
	})
}

// copySockets makes copies of the sockets that were handed over to a process.
func (u *unit) copySockets(ctx context.Context) (sockets, error) {
	have := make(sockets)
	err := u.send(ctx, request{run: func() error {
		for _, s := range u.handover {
			if !s.isPassed() {
				continue
			}
			file, err := duplicate(s.file)
			if err != nil {
				return fmt.Errorf("copy the socket of %s port %d: %w", s.name, s.number, err)
			}
			have[s.socketKey] = file
		}
		return nil
	}})
	if err != nil {
		have.closeOthers()
		return nil, err
	}
	return have, nil
}

func duplicate(f *os.File) (*os.File, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd := -1
	var dupErr error
	err = raw.Control(func(from uintptr) {
		fd, dupErr = unix.FcntlInt(from, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err = errors.Join(err, dupErr); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// handedOn are the ports of p whose sockets are handed to the process that
// replaces it, by the place of their need.
func handedOn(p Process, d definition) (map[int][]Port, error) {
	kept := make(map[int][]Port)
	for k, g := range groups(d.process.Ports, p.Ports) {
		how := d.process.Ports[k].Handoff
		for _, port := range g {
			key := socketKey{how, port.Protocol, port.Number}
			if how == "" || !key.isPassed() {
				continue
			}
			if d.sockets[key] == nil {
				return nil, errNoSockets
			}
			port.State = PortLeased
			kept[k] = append(kept[k], port)
		}
	}
	return kept, nil
}
