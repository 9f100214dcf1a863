package lease

import (
	"context"
	"maps"
)

// UpdateOptions tell what of a range is changed.
type UpdateOptions struct {
	// Min and Max are the new bounds; 0 leaves one as it is.
	Min, Max int

	// Policy is how its ports are picked from now on; empty leaves it.
	Policy Policy

	// Static is how many of its ports, the lowest, are kept for pinned leases; nil
	// leaves it. What is leased of them stays leased.
	Static *int

	// Description is the new one; nil leaves it.
	Description *string

	// Force allows ports that are leased to fall out of the range. The leases
	// live on until they end.
	Force bool
}

// UpdatedRange is a range that was changed.
type UpdatedRange struct {
	// Before is the range as it was, Range as it is.
	Before, Range Range

	// Outside are the leased ports that were the range's and are not any more.
	Outside []ActivePort
}

// UpdateRange changes bounds, policy, static ports or description of a range and
// returns when that is durable.
// Leases keep their ports, and ports that come to the range can be leased at
// once; what is leased of them is shown as active.
//
// Its errors are ErrRangeNotFound, ErrRangeInvalid, ErrRangeOverlaps,
// ErrRangeLeased (a port that is leased would fall out, without Force), after
// which nothing has changed, and the store's.
func (m *Manager) UpdateRange(ctx context.Context, name string, o UpdateOptions) (UpdatedRange, error) {
	var u UpdatedRange
	err := m.changeRanges(ctx, o.Force, "with force they live on outside of it", func(current map[string]Range) (map[string]Range, error) {
		old, ok := current[name]
		switch {
		case !ok:
			return nil, stated(ErrRangeNotFound, "there is no range %q", name)
		case old.isUnread():
			return nil, stated(ErrRangeNotFound, "the record of range %q cannot be read; delete it and add it again", name)
		}
		u.Before, u.Range = old, old
		if o.Min != 0 {
			u.Range.Min = o.Min
		}
		if o.Max != 0 {
			u.Range.Max = o.Max
		}
		if o.Policy != "" {
			u.Range.Policy = o.Policy
		}
		if o.Static != nil {
			u.Range.Static = *o.Static
		}
		if o.Description != nil {
			u.Range.Description = *o.Description
		}
		if err := u.Range.Validate(); err != nil {
			return nil, err
		}
		u.Range = u.Range.normal()
		next := maps.Clone(current)
		next[name] = u.Range
		return next, nil
	})
	if err != nil {
		return UpdatedRange{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if u.Range.Ephemeral {
		return u, nil // nothing of it can be changed
	}
	m.table(u.Before.Protocol).each(u.Before.Min, u.Before.Max, func(s *slot) bool {
		if s.taken() && !u.Range.Contains(s.port) {
			u.Outside = append(u.Outside, ActivePort{Port: s.port, Lease: *s.lease})
		}
		return true
	})
	return u, nil
}
