package lease

import (
	"context"
	"errors"
	"fmt"

	"berth/internal/failpoint"
	"berth/store"
)

// Settle reads the keys of the ports whose commits had no known outcome, and
// so learns it: they are leased or come back. Those that cannot be read stay
// pending, and the errors are returned together.
func (m *Manager) Settle(ctx context.Context) error {
	m.mu.Lock()
	list := make([]*slot, 0, len(m.unsettled))
	for s := range m.unsettled {
		list = append(list, s)
	}
	mustRecover := m.intentLeft
	m.mu.Unlock()
	if len(list) == 0 && !mustRecover {
		return nil
	}
	return m.settle(ctx, list...)
}

func (m *Manager) settle(ctx context.Context, list ...*slot) error {
	if err := m.settling.enter(ctx); err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	defer m.settling.leave()
	if err := m.undoIntents(ctx); err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	var errs []error
	for _, s := range list {
		if err := m.settleSlot(ctx, s); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("settle: %w", errors.Join(errs...))
	}
	return nil
}

// undoIntents undoes work larger than a batch that may have been left half done.
func (m *Manager) undoIntents(ctx context.Context) error {
	m.mu.Lock()
	must := m.intentLeft
	m.mu.Unlock()
	if !must {
		return nil
	}
	m.recovery.Lock()
	defer m.recovery.Unlock()
	if _, err := store.Recover(ctx, m.store, m.intentScope()); err != nil {
		return err
	}
	m.mu.Lock()
	m.intentLeft = false // no commit that could set it goes on
	m.mu.Unlock()
	return nil
}

// settleSlot reads the key of a slot of unknown outcome. The key is not the
// slot's lock's: a slot that is unsettled keeps it.
func (m *Manager) settleSlot(ctx context.Context, s *slot) error {
	m.mu.Lock()
	_, still := m.unsettled[s]
	key := s.key
	m.mu.Unlock()
	if !still {
		return nil
	}
	if err := failpoint.Fail("settle/reading"); err != nil {
		return err
	}
	e, err := m.store.Get(ctx, key)
	failpoint.At("settle/read")
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("read key %q: %w", key, err)
	}
	gone := err != nil
	var l Lease
	if !gone {
		l, err = ParseRecord(e.Key, e.Value)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, still := m.unsettled[s]; !still {
		return nil
	}
	switch {
	case gone:
		m.end(s)
	case err == nil && l.ID == s.lease.ID:
		s.blocked = nil
		m.replace(s, &l)
		m.enliven(s, e.Revision)
	case err == nil && m.besides(s, l.ID) != nil:
		// The one that took its place, or whose place it did not take, has its
		// slot already.
		s.blocked = nil
		m.end(s)
	default:
		// Somebody else's record.
		m.drop(s)
		m.put(m.recordSlot(e, l, err))
	}
	return nil
}

// refresh reads the leases of the cluster's ranges: ports that other hosts
// have leased or let go of since they were read last.
func (m *Manager) refresh(ctx context.Context) error {
	m.mu.Lock()
	known := make(map[string]*slot, m.elsewhere)
	for i := range m.tables {
		m.tables[i].each(MinPort, MaxPort, func(s *slot) bool {
			for ; s != nil; s = s.under {
				if s.state == foreign {
					known[s.key] = s
				}
			}
			return true
		})
	}
	m.mu.Unlock()
	folder := leaseFolder + string(ClusterScope) + "/"
	entries, _, err := m.store.List(ctx, folder)
	if err != nil {
		return fmt.Errorf("list the leases of the cluster: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range entries {
		l, err := ParseRecord(e.Key, e.Value)
		if err != nil || l.Host == m.host {
			continue // what is this host's own is known
		}
		s := known[e.Key]
		delete(known, e.Key)
		switch {
		case s == nil:
			// A port that is not free here is left as it is: the commit will tell.
			if m.table(l.Protocol).free.Has(l.Port) {
				m.put(m.recordSlot(e, l, nil))
			}
		case s.state == foreign && s.revision != e.Revision:
			m.changes++
			s.lease, s.revision = &l, e.Revision
		}
	}
	for _, s := range known {
		if s.state == foreign {
			m.drop(s)
		}
	}
	return nil
}
