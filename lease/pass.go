package lease

import (
	"context"

	"berth/store"
)

// passing is a lease that is passed on, as it will be. Its slot is marked as ending.
type passing struct {
	slot  *slot
	lease Lease
}

// part parts marked slots into those of leases that end and those that are passed on.
func (m *Manager) part(marked []*slot, passed map[ID]Holder) (ending []*slot, list []passing) {
	if len(passed) == 0 {
		return marked, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range marked {
		holder, ok := passed[s.lease.ID]
		if !ok {
			ending = append(ending, s)
			continue
		}
		l := *s.lease
		l.Generation++
		l.Holder = holder
		list = append(list, passing{s, l})
	}
	return ending, list
}

// putPassed adds to a batch that leases are others' from now on, if their
// records are what they were read as.
func (m *Manager) putPassed(ctx context.Context, batch *store.Batch, list []passing) error {
	for _, p := range list {
		revision := p.slot.revision
		if revision == 0 {
			var err error
			if revision, err = m.revisionOf(ctx, p.slot); err != nil {
				return err
			}
		}
		batch.If(p.slot.key, revision)
		batch.Put(p.slot.key, p.lease.record(p.slot.key))
	}
	return nil
}

// passed does in memory what became of leases that were passed on in a commit
// which returned err. It returns the one that somebody else has changed, if
// that is why it failed. The lock is held.
func (m *Manager) passed(list []passing, r store.Revision, err error) (changed *slot) {
	for _, p := range list {
		switch outcomeOf(err, p.slot.key) {
		case applied:
			m.replace(p.slot, &p.lease)
			p.slot.revision = r
			m.move(p.slot, leased)
		case conflicted:
			changed = p.slot
			m.move(p.slot, unsettled)
		case unknown:
			m.move(p.slot, unsettled)
		case aborted:
			m.move(p.slot, leased)
		}
	}
	return changed
}

// replace makes l the lease of a slot that has it with another generation. The
// lock is held.
func (m *Manager) replace(s *slot, l *Lease) {
	if s.lease.Generation == l.Generation {
		return
	}
	before := s.lease.Holder
	if s.live {
		m.unindex(s)
	}
	s.lease = l
	if s.live {
		m.index(s)
		if !l.Holder.isAs(before) {
			m.tellPassed(l)
		}
	}
}
