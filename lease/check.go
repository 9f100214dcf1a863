package lease

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"berth/store"
)

// errBusy says that Check never saw the manager at rest.
var errBusy = errors.New("check: leases keep changing; try again when less is going on")

// Check holds the manager and its store against the invariants of the
// package, and returns all that is broken. Ports whose leases are just being
// made or ended are left out.
func (m *Manager) Check(ctx context.Context) error {
	const tries = 100
	for range tries {
		m.mu.Lock()
		before := m.changes
		m.mu.Unlock()
		var entries []store.Entry
		for _, scope := range [...]Scope{HostScope, ClusterScope} {
			list, _, err := m.store.List(ctx, leaseFolder+scopeKey(scope, m.host)+"/")
			if err != nil {
				return fmt.Errorf("check: list leases: %w", err)
			}
			entries = append(entries, list...)
		}
		ranges, _, err := m.readRanges(ctx)
		if err != nil {
			return fmt.Errorf("check: %w", err)
		}
		m.mu.Lock()
		if m.changes != before {
			m.mu.Unlock()
			continue
		}
		errs := append(m.checkStore(entries), m.checkMemory(ranges)...)
		m.mu.Unlock()
		if len(errs) > 0 {
			return fmt.Errorf("check: %w", errors.Join(errs...))
		}
		return nil
	}
	return errBusy
}

// checkStore compares the lease records of the store with memory. The lock is held.
func (m *Manager) checkStore(entries []store.Entry) (errs []error) {
	inStore := make(map[string]store.Entry, len(entries))
	type place struct {
		protocol Protocol
		port     int
	}
	mine := make(map[place]string)
	ids := make(map[ID]string)
	for _, e := range entries {
		inStore[e.Key] = e
		l, err := ParseRecord(e.Key, e.Value)
		if err != nil {
			if _, _, _, _, keyErr := parseKey(e.Key); keyErr == nil && m.slotOf(e.Key) == nil {
				errs = append(errs, fmt.Errorf("%w, and its port is not known as taken", err))
			}
			continue
		}
		if other, ok := ids[l.ID]; ok {
			errs = append(errs, fmt.Errorf("lease %s is under %q and %q", l.ID, other, e.Key))
		}
		ids[l.ID] = e.Key
		if l.Host == m.host {
			at := place{l.Protocol, l.Port}
			if other, ok := mine[at]; ok {
				errs = append(errs, fmt.Errorf("%s port %d is leased twice: %q and %q", l.Protocol, l.Port, other, e.Key))
			}
			mine[at] = e.Key
		}
		switch s := m.slotOf(e.Key); {
		case s == nil && l.Host == m.host:
			errs = append(errs, fmt.Errorf("key %q is in the store, and its port is not known as taken", e.Key))
		case s == nil || s.state != leased:
			// Another host's that has not been seen yet, or just being changed.
		case *s.lease != l:
			errs = append(errs, fmt.Errorf("key %q: the store has %+v, memory has %+v", e.Key, l, *s.lease))
		case s.revision != 0 && s.revision != e.Revision:
			errs = append(errs, fmt.Errorf("key %q: the store has revision %d, memory has %d", e.Key, e.Revision, s.revision))
		case !bytes.Equal(l.Record(), e.Value):
			errs = append(errs, fmt.Errorf("key %q: its record is not what would be written", e.Key))
		}
	}
	for _, s := range m.byID {
		if _, ok := inStore[s.key]; !ok && s.state == leased {
			errs = append(errs, fmt.Errorf("key %q is a lease in memory, and not in the store", s.key))
		}
	}
	return errs
}

// slotOf returns the slot of a lease's key, nil if there is none.
func (m *Manager) slotOf(key string) *slot {
	_, _, p, port, err := parseKey(key)
	if err != nil {
		return nil
	}
	for s := m.table(p).at(port); s != nil; s = s.under {
		if s.key == key {
			return s
		}
	}
	return nil
}

// checkMemory compares what memory has with itself, and the ranges with those
// of the store. The lock is held.
func (m *Manager) checkMemory(stored map[string]Range) (errs []error) {
	live, foreigners, loose := 0, 0, 0
	for i, p := range [...]Protocol{TCP, UDP} {
		t := &m.tables[i]
		var free, set Bits
		free.fill()
		t.each(0, MaxPort, func(top *slot) bool {
			free.remove(top.port)
			if !top.taken() {
				set.add(top.port)
			}
			mine := 0
			for s := top; s != nil; s = s.under {
				if s.live {
					live++
					mine++
				}
				if s.state == foreign {
					foreigners++
				}
				if s.state == unsettled {
					loose++
				}
				errs = append(errs, m.checkSlot(s, p, top.port)...)
			}
			if t.at(top.port) != top || mine > 1 {
				errs = append(errs, fmt.Errorf("%s port %d is leased %d times on this host", p, top.port, mine))
			}
			return true
		})
		if free != t.free {
			errs = append(errs, fmt.Errorf("the bitmap of free %s ports is not what the slots say", p))
		}
		if set != t.aside {
			errs = append(errs, fmt.Errorf("the bitmap of %s ports that are set aside is not what the slots say", p))
		}
	}
	if live != len(m.byID) {
		errs = append(errs, fmt.Errorf("%d leases are live, %d can be found by id", live, len(m.byID)))
	}
	if foreigners != m.elsewhere || loose != len(m.unsettled) {
		errs = append(errs, fmt.Errorf("%d ports are leased elsewhere and %d unsettled, %d and %d were counted", foreigners, loose, m.elsewhere, len(m.unsettled)))
	}
	for process, list := range m.byProcess {
		for _, s := range list {
			if s.lease == nil || m.byID[s.lease.ID] != s || s.lease.Holder.Process != process {
				errs = append(errs, fmt.Errorf("process %d: %s port %d is not its", process, s.protocol, s.port))
			}
		}
	}
	errs = append(errs, m.checkHolders()...)
	sorted := slices.SortedFunc(maps.Values(m.ranges), byPort)
	for i, r := range sorted {
		if i > 0 && sorted[i-1].Overlaps(r) {
			errs = append(errs, fmt.Errorf("ranges %s %v and %s %v overlap", sorted[i-1].Name, sorted[i-1], r.Name, r))
		}
		if stored[r.Name] != r {
			errs = append(errs, fmt.Errorf("range %s: the store has %+v, memory has %+v", r.Name, stored[r.Name], r))
		}
	}
	if n := len(m.ranges) + len(m.badRanges); n != len(stored) {
		errs = append(errs, fmt.Errorf("%d ranges are in memory, %d in the store", n, len(stored)))
	}
	return errs
}

// checkHolders compares by whom leases can be found with who has them. The lock
// is held.
func (m *Manager) checkHolders() (errs []error) {
	owned, timed, watched := 0, 0, 0
	for _, s := range m.byID {
		h := s.lease.Holder
		if h.Owner != "" {
			owned++
		}
		if h.Expires.IsZero() != s.ends.IsZero() {
			errs = append(errs, fmt.Errorf("lease %s expires %v, which is known as %v", s.lease.ID, h.Expires, s.ends))
		}
		if !h.Expires.IsZero() {
			timed++
			if s.place >= len(m.expiries) || m.expiries[s.place] != s {
				errs = append(errs, fmt.Errorf("lease %s is not among those whose time runs out", s.lease.ID))
			}
		}
		if !h.Identity.IsZero() {
			watched++
			_, pending := m.holders.pending[h.Identity]
			_, gone := m.holders.gone[h.Identity]
			if m.holders.watched[h.Identity] == nil && !pending && !gone && (h.Identity.Namespace == 0 || h.Identity.Namespace == m.namespace) {
				errs = append(errs, fmt.Errorf("lease %s is held by pid %d, and nobody watches that", s.lease.ID, h.Identity.PID))
			}
		}
	}
	for owner, list := range m.byOwner {
		owned -= len(list)
		for _, s := range list {
			if s.lease == nil || m.byID[s.lease.ID] != s || s.lease.Holder.Owner != owner {
				errs = append(errs, fmt.Errorf("owner %q: %s port %d is not its", owner, s.protocol, s.port))
			}
		}
	}
	for id, list := range m.holders.leases {
		watched -= len(list)
		for _, s := range list {
			if s.lease == nil || m.byID[s.lease.ID] != s || s.lease.Holder.Identity != id {
				errs = append(errs, fmt.Errorf("pid %d: %s port %d is not its", id.PID, s.protocol, s.port))
			}
		}
	}
	if owned != 0 || timed != len(m.expiries) || watched != 0 {
		errs = append(errs, fmt.Errorf("of the live leases %d too many have an owner, %d of %d an end, %d too many a process", owned, timed, len(m.expiries), watched))
	}
	return errs
}

func (m *Manager) checkSlot(s *slot, p Protocol, port int) (errs []error) {
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s port %d: "+format, append([]any{p, port}, args...)...))
	}
	if s.protocol != p || s.port != port || port < MinPort {
		bad("its slot is of %s port %d", s.protocol, s.port)
	}
	if s.taken() {
		switch {
		case s.lease == nil:
			bad("it is taken without a lease")
			return errs
		case s.lease.Port != port || s.lease.Protocol != p || s.lease.Key() != s.key:
			bad("its lease is %+v with key %q", *s.lease, s.key)
		}
	} else if s.blocked == nil {
		bad("it is set aside without a reason")
	}
	if s.live && m.byID[s.lease.ID] != s {
		bad("lease %s cannot be found by its id", s.lease.ID)
	}
	if s.live != (s.state == leased || s.state == ending) && s.state != unsettled {
		bad("live is %v in state %d", s.live, s.state)
	}
	return errs
}
