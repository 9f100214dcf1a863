package lease

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"berth/internal/failpoint"
	"berth/store"
)

// Release ends a lease because its holder says so. Its port can be leased
// again at once. A generation other than 0 has to be the lease's.
//
// Its errors are ErrLeaseNotFound, ErrLeaseChanged, store.ErrUnknown (the port
// stays leased until Settle has read it again) and the store's others, after
// which nothing has changed.
func (m *Manager) Release(ctx context.Context, id ID, generation int64) error {
	if err := failpoint.Fail("release/begun"); err != nil {
		return err
	}
	slots, err := m.beginEnd(ctx, []ID{id}, generation)
	if err != nil {
		return err
	}
	err = m.finishEnd(ctx, slots, nil, store.Batch{})
	failpoint.At("release/ended")
	return err
}

// Recuperate ends leases whose holder is gone, all or none and together with
// the caller's records, which must not be below leases/. The ports are
// checked: those that can be bound are available afterwards, the others are
// set aside with who has them. Without ids it commits the caller's records.
//
// Its errors are those of Release, and store.ErrConflict where one of the
// caller's conditions did not hold.
func (m *Manager) Recuperate(ctx context.Context, ids []ID, extra store.Batch) error {
	return m.RecuperateOrPass(ctx, ids, nil, extra)
}

// RecuperateOrPass is Recuperate, and has other holders have the leases that
// are passed on, all of it or nothing. Ids of both may be the same; then they
// are passed on. What is passed on keeps its id and is not looked at: whoever
// gets it is bound to the port.
func (m *Manager) RecuperateOrPass(ctx context.Context, ids []ID, passed map[ID]Holder, extra store.Batch) error {
	if err := failpoint.Fail("recuperate/begun"); err != nil {
		return err
	}
	all := slices.Clone(ids)
	for id := range passed {
		all = append(all, id)
	}
	marked, err := m.beginEnd(ctx, all, 0)
	if err != nil {
		return err
	}
	slots, passing := m.part(marked, passed)
	return m.recuperate(ctx, slots, passing, extra)
}

// recuperate checks the ports of leases that are marked as ending, and ends
// them, and passes others on.
func (m *Manager) recuperate(ctx context.Context, slots []*slot, passing []passing, extra store.Batch) error {
	for _, s := range slots {
		blocked, err := m.look(s.protocol, s.port, false)
		if err == nil {
			err = failpoint.Fail("recuperate/probing")
		}
		if err != nil {
			blocked = &SetAside{Port: s.port, Reason: "it could not be checked: " + err.Error(), Since: m.now().UTC()}
		}
		m.mu.Lock()
		s.blocked = blocked
		m.mu.Unlock()
	}
	failpoint.At("recuperate/probed")
	err := m.finishEnd(ctx, slots, passing, extra)
	failpoint.At("recuperate/ended")
	return err
}

// beginEnd marks leases as ending, all or none: nobody else can change them
// until finishEnd.
func (m *Manager) beginEnd(ctx context.Context, ids []ID, generation int64) ([]*slot, error) {
	for again := false; ; again = true {
		slots, err := m.markEnding(ids, generation)
		if !again && errors.Is(err, errUnsettled) {
			if err := m.Settle(ctx); err != nil {
				return nil, fmt.Errorf("%w: %w", store.ErrUnknown, err)
			}
			continue
		}
		return slots, err
	}
}

// errUnsettled says that what became of a lease has to be read first.
var errUnsettled = stated(store.ErrUnknown, "the outcome of the lease's last change is not known yet")

func (m *Manager) markEnding(ids []ID, generation int64) ([]*slot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	slots := make([]*slot, 0, len(ids))
	for _, id := range ids {
		s := m.byID[id]
		switch {
		case s == nil:
			return nil, leaseNotFound(id)
		case s.state == unsettled:
			return nil, errUnsettled
		case s.state != leased:
			return nil, stated(ErrLeaseChanged, "lease %q is just being ended", id)
		case generation != 0 && generation != s.lease.Generation && !failpoint.Planted("any-generation"):
			return nil, stated(ErrLeaseChanged, "lease %q has generation %d, not %d", id, s.lease.Generation, generation)
		}
		slots = append(slots, s)
	}
	unique := slots[:0]
	for _, s := range slots {
		if s.state == leased {
			m.move(s, ending)
			unique = append(unique, s)
		}
	}
	return unique, nil
}

// finishEnd commits the end of leases that are marked as ending, and that
// others which are marked so are passed on.
func (m *Manager) finishEnd(ctx context.Context, slots []*slot, passing []passing, extra store.Batch) error {
	batch := store.Batch{
		Conditions: make([]store.Condition, 0, len(slots)+len(passing)+len(extra.Conditions)),
		Ops:        make([]store.Op, 0, len(slots)+len(passing)+len(extra.Ops)),
	}
	err := m.deleteRecords(ctx, &batch, slots)
	if err == nil {
		err = m.putPassed(ctx, &batch, passing)
	}
	if err == nil {
		err = failpoint.Fail("end/writing")
	}
	var r store.Revision
	if err == nil {
		r, err = m.write(ctx, batch, extra)
	}
	failpoint.At("end/written")

	m.mu.Lock()
	changed := m.ended(slots, err)
	if of := m.passed(passing, r, err); changed == nil {
		changed = of
	}
	m.mu.Unlock()
	switch {
	case err == nil:
		return nil
	case changed != nil:
		return m.changedError(ctx, changed, err)
	case len(slots)+len(passing) == 0:
		return fmt.Errorf("commit: %w", err)
	}
	return fmt.Errorf("end %d leases: %w", len(slots)+len(passing), err)
}

// deleteRecords adds to a batch that the records of ending leases go, if they
// are what they were read as.
func (m *Manager) deleteRecords(ctx context.Context, batch *store.Batch, slots []*slot) error {
	for _, s := range slots {
		if failpoint.Planted("keep-records") {
			continue
		}
		revision := s.revision
		if revision == 0 {
			var err error
			if revision, err = m.revisionOf(ctx, s); err != nil {
				return err
			}
		}
		batch.If(s.key, revision)
		batch.Delete(s.key)
	}
	return nil
}

// ended does in memory what became of ending leases in a commit that returned
// err. It returns the one that somebody else has changed, if that is why it
// failed. The lock is held.
func (m *Manager) ended(slots []*slot, err error) (changed *slot) {
	for _, s := range slots {
		switch outcomeOf(err, s.key) {
		case applied:
			m.end(s)
		case conflicted:
			changed = s
			m.move(s, unsettled)
		case unknown:
			m.move(s, unsettled)
		case aborted:
			s.blocked, s.gone = nil, false
			m.move(s, leased)
		}
	}
	return changed
}

// changedError says that a lease could not be ended because somebody else has
// changed it, which is read first.
func (m *Manager) changedError(ctx context.Context, changed *slot, err error) error {
	if settleErr := m.settle(ctx, changed); settleErr != nil {
		m.log.Warn("a lease that somebody else has changed cannot be read", "protocol", changed.protocol, "port", changed.port, "error", settleErr)
	}
	return fmt.Errorf("end lease of %s port %d: %w: %w", changed.protocol, changed.port, ErrLeaseChanged, err)
}

// revisionOf reads the revision of the record of a lease that is ending; 0 if
// the record is gone. A record of another lease is a conflict.
func (m *Manager) revisionOf(ctx context.Context, s *slot) (store.Revision, error) {
	e, err := m.store.Get(ctx, s.key)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return 0, nil
	case err != nil:
		// Nothing was committed, whatever the store says.
		return 0, fmt.Errorf("read key %q: %w: %v", s.key, errUnread, err)
	}
	if l, err := ParseRecord(e.Key, e.Value); err != nil || l.ID != s.lease.ID {
		return 0, &store.ConflictError{Key: s.key}
	}
	return e.Revision, nil
}
