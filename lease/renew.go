package lease

import (
	"context"
	"time"

	"berth/store"
)

// Renew has the time of a session run out later: ttl from now on, or as long as
// it had where ttl is 0. The generation grows; one other than 0 has to be the
// lease's. It returns the lease as it is then, once that is durable.
//
// Its errors are ErrLeaseNotFound, also where the time has run out already,
// ErrLeaseChanged, ErrRequest for a lease that is not a session's, and the
// store's.
func (m *Manager) Renew(ctx context.Context, id ID, generation int64, ttl time.Duration) (Lease, error) {
	return m.change(ctx, id, generation, store.Batch{}, func(l *Lease) error {
		if l.Holder.Kind != Session {
			return stated(ErrRequest, "lease %q is held %s: it is not renewed", id, l.Holder.until())
		}
		h := l.Holder
		h.Expires = time.Time{}
		if ttl != 0 {
			h.TTL = ttl
		}
		if h.TTL == 0 {
			return stated(ErrRequest, "lease %q was made without a time to live: say for how long it is renewed", id)
		}
		if err := h.validate(); err != nil {
			return err
		}
		l.Holder = h.from(m.now().UTC().Round(0))
		return nil
	})
}

// Pass has another holder have a lease, together with the caller's records, all
// or nothing. The lease keeps its id; its generation grows, and one other than 0
// has to be the lease's. The port is not looked at. It returns the lease as it
// is then, once that is durable.
//
// Its errors are ErrLeaseNotFound, also where the time of a session has run out
// already, ErrLeaseChanged, ErrRequest, the store's, and store.ErrConflict
// where one of the caller's conditions did not hold.
func (m *Manager) Pass(ctx context.Context, id ID, generation int64, to Holder, extra store.Batch) (Lease, error) {
	return m.change(ctx, id, generation, extra, func(l *Lease) error {
		if err := to.validate(); err != nil {
			return err
		}
		l.Holder = to.from(m.now().UTC().Round(0))
		return nil
	})
}

// change changes a live lease.
func (m *Manager) change(ctx context.Context, id ID, generation int64, extra store.Batch, edit func(*Lease) error) (Lease, error) {
	slots, err := m.beginEnd(ctx, []ID{id}, generation)
	if err != nil {
		return Lease{}, err
	}
	m.mu.Lock()
	l, over := *slots[0].lease, m.isOver(slots[0])
	m.mu.Unlock()
	if over {
		err = stated(ErrLeaseNotFound, "the time of lease %q has run out", id)
	} else {
		err = edit(&l)
	}
	if err != nil {
		m.keepAll(slots)
		return Lease{}, err
	}
	l.Generation++
	if err := m.finishEnd(ctx, nil, []passing{{slots[0], l}}, extra); err != nil {
		return Lease{}, err
	}
	return l, nil
}
