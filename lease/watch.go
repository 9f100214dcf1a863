package lease

import (
	"context"
	"errors"
	"fmt"
	"time"

	"berth/proc"
	"berth/store"
)

// Processes gives handles on the processes that hold leases.
type Processes interface {
	// Open returns a handle on a process, or an error that is proc.ErrGone where
	// it has ended.
	Open(id proc.Identity) (Handle, error)
}

// Handle is on one process, and never on another one.
type Handle interface {
	// Exited returns nil once the process has exited, and an error where it can
	// no longer be waited for.
	Exited(ctx context.Context) error
	Close() error
}

// SystemProcesses opens pidfds.
func SystemProcesses() Processes { return systemProcesses{} }

type systemProcesses struct{}

func (systemProcesses) Open(id proc.Identity) (Handle, error) {
	p, err := proc.Open(id)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// holders is what the manager knows of the processes of the system that hold
// leases. It is the manager's lock's.
type holders struct {
	leases  map[Identity][]*slot // live ones
	watched map[Identity]Handle

	// pending are those that have just got a first lease, lost their last one,
	// or could not be opened; gone are those that have ended, until their leases
	// have.
	pending, gone map[Identity]struct{}
}

func newHolders() holders {
	return holders{
		leases: make(map[Identity][]*slot), watched: make(map[Identity]Handle),
		pending: make(map[Identity]struct{}), gone: make(map[Identity]struct{}),
	}
}

const (
	// holderPause is how long it is until what could not be done for a holder
	// is tried again, holderRest how long it is at most until Run looks whether
	// a time has run out.
	holderPause = time.Second
	holderRest  = time.Minute

	// maxTogether is how many leases are recuperated in one batch.
	maxTogether = 32
)

// wakeHolders has Run look at the holders. The lock is held.
func (m *Manager) wakeHolders() {
	select {
	case m.holdersAgain <- struct{}{}:
	default:
	}
}

// indexIdentity notes that a process has a lease. The lock is held.
func (m *Manager) indexIdentity(s *slot) {
	id := s.lease.Holder.Identity
	if id.IsZero() {
		return
	}
	h := &m.holders
	h.leases[id] = append(h.leases[id], s)
	if h.watched[id] == nil {
		h.pending[id] = struct{}{}
		m.wakeHolders()
	}
}

func (m *Manager) unindexIdentity(s *slot) {
	id := s.lease.Holder.Identity
	if id.IsZero() {
		return
	}
	h := &m.holders
	h.leases[id] = without(h.leases[id], s)
	if len(h.leases[id]) == 0 {
		delete(h.leases, id)
		h.pending[id] = struct{}{}
		m.wakeHolders()
	}
}

// runHolders recuperates the leases of holders that are gone until ctx ends.
func (m *Manager) runHolders(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.holdersAgain:
		case <-timer.C:
		}
		err := m.RecuperateOnce(ctx)
		if err != nil && ctx.Err() == nil {
			m.log.Warn("leases whose holders are gone cannot be recuperated yet", "error", err)
		}
		timer.Reset(m.untilHolders(err != nil))
	}
}

// untilHolders is how long it is until the holders have to be looked at.
func (m *Manager) untilHolders(failed bool) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if failed {
		return holderPause
	}
	wait := holderRest
	if len(m.holders.pending) > 0 {
		wait = holderPause
	}
	if len(m.expiries) > 0 {
		// One that is over and just being changed is looked at again soon.
		wait = min(wait, max(m.expiries[0].ends.Sub(m.now()), 10*time.Millisecond))
	}
	return wait
}

// RecuperateOnce recuperates the leases of holders that are gone: sessions whose
// time has run out, and processes of the system that have ended. Those that it
// has not seen before it looks up, and watches from then on. Leases that cannot
// be ended stay, and the errors are returned together.
func (m *Manager) RecuperateOnce(ctx context.Context) error {
	if err := m.recuperating.enter(ctx); err != nil {
		return fmt.Errorf("recuperate: %w", err)
	}
	defer m.recuperating.leave()
	errs := m.watchHolders()
	tried := make(map[*slot]bool)
	for ctx.Err() == nil {
		slots := m.markGone(maxTogether, tried)
		if len(slots) == 0 {
			break
		}
		err := m.recuperate(ctx, slots, nil, store.Batch{})
		if err == nil {
			continue
		}
		if len(slots) == 1 {
			errs = append(errs, err)
			continue
		}
		// One of them may be what is wrong.
		for _, s := range slots {
			m.mu.Lock()
			again := s.state == leased && s.live
			if again {
				m.move(s, ending)
				s.gone = true
			}
			m.mu.Unlock()
			if !again {
				continue
			}
			if err := m.recuperate(ctx, []*slot{s}, nil, store.Batch{}); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(append(errs, ctx.Err())...)
}

// markGone marks leases as ending whose holders are gone, at most n of them and
// none that was tried.
func (m *Manager) markGone(n int, tried map[*slot]bool) (slots []*slot) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil
	}
	take := func(s *slot) bool {
		if s.state == leased && !tried[s] {
			tried[s] = true
			s.gone = true
			m.move(s, ending)
			slots = append(slots, s)
		}
		return len(slots) < n
	}
	m.expiries.due(m.now(), take)
	for id := range m.holders.gone {
		if len(m.holders.leases[id]) == 0 {
			delete(m.holders.gone, id)
			continue
		}
		for _, s := range m.holders.leases[id] {
			if len(slots) == n {
				return slots
			}
			take(s)
		}
	}
	return slots
}

// watchHolders opens handles on processes that have leases, and closes those of
// the ones that have none any more.
func (m *Manager) watchHolders() (errs []error) {
	m.mu.Lock()
	var open []Identity
	var idle []Handle
	for id := range m.holders.pending {
		_, gone := m.holders.gone[id]
		h := m.holders.watched[id]
		has := len(m.holders.leases[id]) > 0
		if has && h == nil && !gone && !m.isElsewhere(id) {
			open = append(open, id) // it stays pending until that is done
			continue
		}
		delete(m.holders.pending, id)
		if !has && h != nil {
			idle = append(idle, h)
			delete(m.holders.watched, id)
		}
	}
	m.mu.Unlock()
	for _, h := range idle {
		if err := h.Close(); err != nil {
			errs = append(errs, err)
		}
	}
	for _, id := range open {
		h, err := m.processes.Open(id.Identity)
		switch {
		case errors.Is(err, proc.ErrGone):
			m.mu.Lock()
			m.holders.gone[id] = struct{}{}
			delete(m.holders.pending, id)
			m.mu.Unlock()
		case err != nil:
			errs = append(errs, fmt.Errorf("watch a process that holds leases: %w", err))
		case !m.watch(id, h):
			_ = h.Close() // the manager is closed
		}
	}
	return errs
}

// isElsewhere reports whether a process is of another pid namespace than the
// manager's, where it cannot be looked up. Of an earlier boot none is left.
func (m *Manager) isElsewhere(id Identity) bool {
	if id.Namespace == 0 || m.namespace == 0 || id.Namespace == m.namespace {
		return false
	}
	if boot, err := proc.BootID(); err == nil && boot != id.BootID {
		return false
	}
	m.log.Warn("a lease is held by a process of another pid namespace, which cannot be looked up: release it by hand once it has ended", "pid", id.PID, "leases", len(m.holders.leases[id]))
	return true
}

// watch keeps a handle until its process has exited, or nobody needs it, and
// reports whether the manager still does.
func (m *Manager) watch(id Identity, h Handle) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	m.holders.watched[id] = h
	if len(m.holders.leases[id]) > 0 {
		delete(m.holders.pending, id)
	} else {
		m.wakeHolders() // they have ended meanwhile
	}
	go func() {
		err := h.Exited(context.Background()) // closing the handle ends it
		m.mu.Lock()
		mine := m.holders.watched[id] == h
		if mine {
			delete(m.holders.watched, id)
			if err == nil {
				m.holders.gone[id] = struct{}{}
				m.wakeHolders()
			} else {
				m.holders.pending[id] = struct{}{} // for when Run looks next
			}
		}
		m.mu.Unlock()
		if mine {
			_ = h.Close()
		}
	}()
	return true
}

// unwatch closes all handles. The lock is held.
func (m *Manager) unwatch() {
	for id, h := range m.holders.watched {
		delete(m.holders.watched, id)
		_ = h.Close() // only wakes who waits
	}
}

// without is a list with one slot less.
func without(list []*slot, s *slot) []*slot {
	for i, other := range list {
		if other == s {
			return append(list[:i], list[i+1:]...)
		}
	}
	return list
}
