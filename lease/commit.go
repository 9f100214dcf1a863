package lease

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"berth/internal/failpoint"
	"berth/store"
)

// Commit writes the leases of a plan together with the caller's records, all
// or nothing, and returns once that is durable. The caller's records must not
// be below leases/. Except after ErrUnknown nothing of a failed plan is left;
// either way it is done.
//
// Its errors are
//   - ErrTaken: another host leased one of the ports, or a port's record was
//     changed by somebody else. That port is known as taken now: plan again;
//   - ErrLeaseChanged: a lease that the plan was to end (PlanInstead, or its
//     owner's) was changed by somebody else;
//   - store.ErrConflict without these: one of the caller's conditions did not hold;
//   - store.ErrUnknown: it may have happened. The ports stay pending until
//     Settle has read them again;
//   - ErrPlanDone, and the store's other errors: nothing changed.
func (m *Manager) Commit(ctx context.Context, p *Plan, extra store.Batch) error {
	batch := store.Batch{
		Conditions: make([]store.Condition, 0, len(p.slots)+len(p.ends)+len(extra.Conditions)),
		Ops:        make([]store.Op, 0, len(p.slots)+len(p.ends)+len(extra.Ops)),
	}
	m.mu.Lock()
	done := p.done
	p.done = true
	if !done {
		m.putPlaces(&batch, p)
	}
	m.mu.Unlock()
	if done {
		return ErrPlanDone
	}
	defer p.letGo()
	err := m.putInstead(ctx, &batch, p)
	if err == nil {
		err = failpoint.Fail("acquire/writing")
	}
	var r store.Revision
	if err == nil {
		r, err = m.write(ctx, batch, extra)
	}
	failpoint.At("acquire/written")

	m.mu.Lock()
	var lost *slot
	var lostLease Lease
	for i, s := range p.slots {
		switch outcomeOf(err, s.key) {
		case applied:
			m.enliven(s, r)
		case conflicted:
			lost, lostLease = s, p.leases[i]
			m.move(s, unsettled)
		case unknown:
			m.move(s, unsettled)
		case aborted:
			m.drop(s)
		}
	}
	changed := m.ended(p.ends, err)
	m.mu.Unlock()
	p.left()
	switch {
	case err == nil:
		return nil
	case changed != nil:
		return m.changedError(ctx, changed, err)
	case lost != nil:
		if settleErr := m.settle(ctx, lost); settleErr != nil {
			m.log.Warn("a port that was lost to somebody else cannot be read", "key", lostLease.Key(), "error", settleErr)
		}
		return fmt.Errorf("lease %s port %d of range %s: %w: %w", lostLease.Protocol, lostLease.Port, lostLease.Range, ErrTaken, err)
	case len(p.slots) == 0:
		return fmt.Errorf("commit: %w", err)
	}
	return fmt.Errorf("lease %d ports: %w", len(p.slots), err)
}

// write commits the manager's changes with the caller's. The revision is 0 if
// it is not known.
func (m *Manager) write(ctx context.Context, batch, extra store.Batch) (store.Revision, error) {
	for _, op := range extra.Ops {
		if strings.HasPrefix(op.Key, leaseFolder) {
			return 0, fmt.Errorf("%w: key %q is the lease manager's", store.ErrInvalid, op.Key)
		}
	}
	batch.Append(extra)
	if batch.Len() == 0 {
		return 0, nil
	}
	if batch.Len() <= store.MaxOps && batch.Size() <= store.MaxBytes {
		return m.store.Commit(ctx, batch)
	}
	m.recovery.RLock()
	defer m.recovery.RUnlock()
	err := store.CommitAll(ctx, m.store, m.intentScope(), batch)
	if err != nil && !nothingChanged(err) {
		m.mu.Lock()
		m.intentLeft = true
		m.mu.Unlock()
		if !errors.Is(err, store.ErrUnknown) {
			err = fmt.Errorf("%w: %w", store.ErrUnknown, err)
		}
	}
	return 0, err
}

// nothingChanged reports whether a batch of any size that failed with err has
// left nothing behind.
func nothingChanged(err error) bool {
	if errors.Is(err, store.ErrUnknown) {
		return false
	}
	for _, known := range [...]error{store.ErrConflict, store.ErrTooLarge, store.ErrInvalid, store.ErrNoSpace, store.ErrDamaged, errUnread, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// errUnread says that a commit was given up before it was begun.
var errUnread = errors.New("nothing was changed")

// outcome is what became of a key in a batch.
type outcome uint8

const (
	applied outcome = iota
	aborted
	conflicted // aborted because of this key
	unknown
)

func outcomeOf(err error, key string) outcome {
	if err == nil {
		return applied
	}
	var conflict *store.ConflictError
	switch {
	case errors.Is(err, store.ErrUnknown):
		return unknown
	case !nothingChanged(err) && !errors.Is(err, store.ErrClosed):
		return unknown
	case errors.As(err, &conflict) && conflict.Key == key:
		return conflicted
	}
	return aborted
}
