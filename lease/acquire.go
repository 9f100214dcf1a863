package lease

import (
	"context"
	"errors"

	"berth/internal/failpoint"
	"berth/store"
)

// Acquire plans and commits leases, all or none, in the order of the requests.
// It plans again if a port was lost to another host, and reads again what a
// commit of unknown outcome has done. Its errors are those of Plan and of
// Commit, but never ErrTaken.
func (m *Manager) Acquire(ctx context.Context, requests ...Request) ([]Lease, error) {
	return m.AcquireWith(ctx, nil, requests...)
}

// AcquireWith acquires leases, and commits with them what extra, unless it is
// nil, returns for them: records of the caller, as in Commit. It is asked again
// where ports were planned again. One of its conditions that does not hold is
// store.ErrConflict.
func (m *Manager) AcquireWith(ctx context.Context, extra func([]Lease) store.Batch, requests ...Request) ([]Lease, error) {
	for {
		p, err := m.Plan(ctx, requests)
		if err != nil {
			return nil, err
		}
		var more store.Batch
		if extra != nil {
			more = extra(p.Leases())
		}
		err = m.Commit(ctx, p, more)
		failpoint.At("acquire/committed")
		switch {
		case err == nil:
			return p.leases, nil
		case errors.Is(err, ErrTaken):
		case errors.Is(err, store.ErrUnknown):
			if settleErr := m.Settle(ctx); settleErr != nil {
				return nil, err
			}
			if m.holds(p) {
				return p.leases, nil
			}
		default:
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}

// holds reports whether all leases of a plan are live.
func (m *Manager) holds(p *Plan) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range p.slots {
		if !s.live || s.state != leased {
			return false
		}
	}
	return true
}
