package lease

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"berth/internal/failpoint"
	"berth/store"
)

// AddOptions tell how ranges are added.
type AddOptions struct {
	// Clear takes away the ranges that there are: those that are added
	// replace them.
	Clear bool

	// Force allows Clear to take away ports that have live leases. The leases
	// live on until they end.
	Force bool
}

// AddRanges adds ranges, all or none, and returns when that is durable.
//
// Its errors are ErrRangeInvalid, ErrRangeExists, ErrRangeOverlaps (with
// another range of its protocol, of whatever scope), ErrRangeLeased (Clear
// without Force), and the store's.
func (m *Manager) AddRanges(ctx context.Context, ranges []Range, o AddOptions) error {
	seen := make(map[string]bool, len(ranges))
	for _, r := range ranges {
		if err := r.Validate(); err != nil {
			return err
		}
		if seen[r.Name] {
			return stated(ErrRangeInvalid, "range %q is given twice", r.Name)
		}
		seen[r.Name] = true
	}
	return m.changeRanges(ctx, o.Force, "with force they live on without it", func(current map[string]Range) (map[string]Range, error) {
		next := make(map[string]Range, len(ranges))
		if !o.Clear {
			next = maps.Clone(current)
		}
		for _, r := range ranges {
			if old, ok := next[r.Name]; ok && old.isUnread() {
				return nil, stated(ErrRangeExists, "range %q exists, but its record cannot be read; delete it first", r.Name)
			} else if ok {
				return nil, stated(ErrRangeExists, "range %q exists already, as %s %v; delete it first or choose another name", r.Name, old.Protocol, old)
			}
			next[r.Name] = r.normal()
		}
		return next, nil
	})
}

// DeleteRanges deletes the ranges whose names match pattern and returns them,
// ordered by name; none is no error. A range with live leases is ErrRangeLeased,
// and then nothing is deleted, unless force is given: the leases live on then.
func (m *Manager) DeleteRanges(ctx context.Context, pattern string, force bool) ([]Range, error) {
	var deleted []Range
	err := m.changeRanges(ctx, force, "with force they live on without it", func(current map[string]Range) (map[string]Range, error) {
		next := make(map[string]Range, len(current))
		for _, name := range slices.Sorted(maps.Keys(current)) {
			if Match(pattern, name) {
				deleted = append(deleted, current[name])
			} else {
				next[name] = current[name]
			}
		}
		return next, nil
	})
	if err != nil {
		return nil, err
	}
	return deleted, nil
}

// changeRanges replaces the current ranges by those that change returns. A
// range whose record cannot be read has neither ports nor protocol in current.
// Ports with live leases are not taken away from their range without force;
// hint tells what else can be done.
func (m *Manager) changeRanges(ctx context.Context, force bool, hint string, change func(current map[string]Range) (map[string]Range, error)) error {
	return m.changeRangesWith(ctx, store.Batch{}, force, hint, change)
}

// changeRangesWith does as changeRanges, and commits extra together with it.
func (m *Manager) changeRangesWith(ctx context.Context, extra store.Batch, force bool, hint string, change func(current map[string]Range) (map[string]Range, error)) error {
	if err := m.ranging.enter(ctx); err != nil {
		return fmt.Errorf("change ranges: %w", err)
	}
	defer m.ranging.leave()
	if err := m.open(); err != nil {
		return err
	}
	if err := failpoint.Fail("range/begun"); err != nil {
		return err
	}
	current, revisions, err := m.readRanges(ctx)
	if err != nil {
		return err
	}
	m.setRanges(current)
	next, err := change(current)
	if err != nil {
		return err
	}
	changed := changedNames(current, next)
	if len(changed) == 0 && extra.Len() == 0 {
		return nil
	}
	if err := overlap(next, changed); err != nil {
		return err
	}
	if err := m.closeRanges(current, next, changed, force, hint); err != nil {
		return err
	}
	defer m.reopenRanges()
	if err := failpoint.Fail("range/closed"); err != nil {
		return fmt.Errorf("change ranges: %w", err)
	}

	var batch store.Batch
	for _, name := range changed {
		key := rangeFolder + name
		batch.If(key, revisions[name])
		if r, ok := next[name]; ok {
			batch.Put(key, r.record())
		} else {
			batch.Delete(key)
		}
	}
	m.deletePlaces(&batch, current, next, changed)
	_, err = m.write(ctx, batch, extra)
	failpoint.At("range/written")
	if err != nil && extra.Len() > 0 && !nothingChanged(err) {
		// The ranges tell nothing about the rest.
		if settled := m.settleRanges(ctx, next, err); settled != nil {
			return settled
		}
		return fmt.Errorf("change ranges: %w", err)
	}
	if err != nil && !nothingChanged(err) && !errors.Is(err, store.ErrClosed) || errors.Is(err, store.ErrUnknown) {
		if err = m.settleRanges(ctx, next, err); err == nil {
			m.tellRanges(current, next, changed)
		}
		return err
	}
	if err != nil {
		return fmt.Errorf("change ranges: %w", err)
	}
	m.setRanges(next)
	m.tellRanges(current, next, changed)
	failpoint.At("range/changed")
	return nil
}

// settleRanges reads what a change of unknown outcome has done.
func (m *Manager) settleRanges(ctx context.Context, next map[string]Range, cause error) error {
	if err := m.undoIntents(ctx); err != nil {
		return fmt.Errorf("change ranges: %w", cause)
	}
	found, _, err := m.readRanges(ctx)
	if err != nil {
		return fmt.Errorf("change ranges: %w", cause)
	}
	m.setRanges(found)
	if maps.Equal(found, next) {
		return nil
	}
	return fmt.Errorf("change ranges: nothing was changed: %v", cause)
}

// readRanges reads the ranges of the store and the revisions of their records.
func (m *Manager) readRanges(ctx context.Context) (map[string]Range, map[string]store.Revision, error) {
	entries, _, err := m.store.List(ctx, rangeFolder)
	if err != nil {
		return nil, nil, fmt.Errorf("list ranges: %w", err)
	}
	ranges := make(map[string]Range, len(entries))
	revisions := make(map[string]store.Revision, len(entries))
	for _, e := range entries {
		name := strings.TrimPrefix(e.Key, rangeFolder)
		r, err := parseRange(e.Key, e.Value)
		if err != nil {
			r = Range{Name: name}
		}
		ranges[name], revisions[name] = r, e.Revision
	}
	return ranges, revisions, nil
}

// loadRanges reads the ranges at the start.
func (m *Manager) loadRanges(ctx context.Context) error {
	ranges, _, err := m.readRanges(ctx)
	if err != nil {
		return err
	}
	sorted := slices.SortedFunc(maps.Values(ranges), byPort)
	for i, r := range sorted {
		switch {
		case r.isUnread():
			m.log.Error("a range cannot be read and is left out", "range", r.Name)
		case i > 0 && sorted[i-1].Overlaps(r):
			m.log.Error("two ranges overlap, delete one of them", "range", sorted[i-1].Name, "other", r.Name)
		}
	}
	m.setRanges(ranges)
	return nil
}

// setRanges makes the ranges those of the manager, but for what cannot be read.
func (m *Manager) setRanges(ranges map[string]Range) {
	good := make(map[string]Range, len(ranges))
	bad := make(map[string]bool)
	banded := false
	for name, r := range ranges {
		if r.isUnread() {
			bad[name] = true
		} else {
			good[name] = r
			banded = banded || r.Static > 0
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ranges, m.badRanges, m.banded = good, bad, banded
	maps.DeleteFunc(m.places, func(name string, _ int) bool { return good[name].Policy != PolicyNext })
	m.changes++
}

// changedNames are the names of the ranges that are not the same in both, in order.
func changedNames(current, next map[string]Range) []string {
	var names []string
	for name, r := range current {
		if now, ok := next[name]; !ok || now != r {
			names = append(names, name)
		}
	}
	for name := range next {
		if _, ok := current[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// byPort orders ranges by protocol and first port.
func byPort(a, b Range) int {
	if c := strings.Compare(string(a.Protocol), string(b.Protocol)); c != 0 {
		return c
	}
	if c := a.Min - b.Min; c != 0 {
		return c
	}
	return strings.Compare(a.Name, b.Name)
}

// overlap looks for a changed range that overlaps another one.
func overlap(next map[string]Range, changed []string) error {
	sorted := slices.SortedFunc(maps.Values(next), byPort)
	for i, r := range sorted {
		// Of two that overlap, the one that reaches furthest so far is the first.
		if i == 0 || sorted[i-1].Min == 0 || !sorted[i-1].Overlaps(r) {
			continue
		}
		other := sorted[i-1]
		if _, isChanged := slices.BinarySearch(changed, r.Name); !isChanged {
			r, other = other, r
		}
		if _, isChanged := slices.BinarySearch(changed, r.Name); !isChanged {
			continue // they did so before
		}
		return stated(ErrRangeOverlaps, "range %q %v overlaps range %q %v", r.Name, r, other.Name, other)
	}
	return nil
}

// closeRanges keeps ports from being leased from the changed ranges until
// reopenRanges. Without force it is an error if one of them would lose a port
// that is leased.
func (m *Manager) closeRanges(current, next map[string]Range, changed []string, force bool, hint string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var holders []string
	for _, name := range changed {
		old, ok := current[name]
		if !ok || old.isUnread() {
			continue
		}
		now, stays := next[name]
		stays = stays && now.Protocol == old.Protocol && now.Scope == old.Scope && now.Ephemeral == old.Ephemeral
		left := Range{} // what may be leased meanwhile
		if stays && now.Overlaps(old) {
			left = Range{Min: max(old.Min, now.Min), Max: min(old.Max, now.Max)}
		}
		m.closing[name] = left
		lost := 0
		m.eachOf(old, func(s *slot) bool {
			if !s.taken() || stays && now.Contains(s.port) {
				return true
			}
			if lost++; lost <= maxNamed && !force {
				holders = append(holders, fmt.Sprintf("%d by %s", s.port, s.lease.Holder))
			}
			return true
		})
		if lost > 0 && !force {
			clear(m.closing)
			more := ""
			if lost > len(holders) {
				more = fmt.Sprintf(" and %s more", thousands(lost-len(holders)))
			}
			return stated(ErrRangeLeased, "range %s has live leases: %s%s; %s", name, strings.Join(holders, ", "), more, hint)
		}
	}
	return nil
}

func (m *Manager) reopenRanges() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.closing)
}
