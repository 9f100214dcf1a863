package lease

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"berth/internal/failpoint"
	"berth/store"
)

// Archive keeps the ranges that there are under rev, in place of what was kept
// there, and returns them ordered by name. A rev has letters, digits, '.', '_'
// and '-', at most MaxName of them; another one is ErrArchiveInvalid.
func (m *Manager) Archive(ctx context.Context, rev string) ([]Range, error) {
	return m.ArchiveWith(ctx, rev, store.Batch{})
}

// ArchiveWith does as Archive, and commits extra together with it.
func (m *Manager) ArchiveWith(ctx context.Context, rev string, extra store.Batch) ([]Range, error) {
	if err := ValidRevision(rev); err != nil {
		return nil, err
	}
	if err := m.ranging.enter(ctx); err != nil {
		return nil, fmt.Errorf("archive ranges: %w", err)
	}
	defer m.ranging.leave()
	if err := m.open(); err != nil {
		return nil, err
	}
	if err := failpoint.Fail("archive/begun"); err != nil {
		return nil, err
	}
	m.mu.Lock()
	ranges := slices.SortedFunc(maps.Values(m.ranges), func(a, b Range) int { return strings.Compare(a.Name, b.Name) })
	m.mu.Unlock()
	records := make([]rangeRecord, len(ranges))
	for i, r := range ranges {
		records[i] = rangeRecord(r)
	}
	value, err := json.Marshal(records)
	if err != nil {
		return nil, fmt.Errorf("archive ranges: %w", err)
	}
	var batch store.Batch
	batch.Put(archiveFolder+rev, value)
	if _, err := m.write(ctx, batch, extra); err != nil {
		return nil, fmt.Errorf("archive ranges as %s: %w", rev, err)
	}
	failpoint.At("archive/written")
	return ranges, nil
}

// Unarchive adds the ranges that are kept under rev and returns them ordered by
// name. Ranges of the same names are replaced, others stay, and so does the
// archive. Nothing changes if it cannot be done whole: ErrArchiveNotFound,
// ErrArchiveInvalid, ErrRangeOverlaps with a range that stays, ErrRangeLeased
// if a replaced range would lose a port that is leased, or the store's errors.
func (m *Manager) Unarchive(ctx context.Context, rev string) ([]Range, error) {
	return m.UnarchiveWith(ctx, rev, store.Batch{})
}

// UnarchiveWith does as Unarchive, and commits extra together with it.
func (m *Manager) UnarchiveWith(ctx context.Context, rev string, extra store.Batch) ([]Range, error) {
	if err := ValidRevision(rev); err != nil {
		return nil, err
	}
	e, err := m.store.Get(ctx, archiveFolder+rev)
	if errors.Is(err, store.ErrNotFound) {
		return nil, stated(ErrArchiveNotFound, "there is no archive %q of ranges", rev)
	}
	if err != nil {
		return nil, fmt.Errorf("read archive %s: %w", rev, err)
	}
	var records []rangeRecord
	if err := json.Unmarshal(e.Value, &records); err != nil {
		return nil, stated(ErrRecord, "archive %q: %v", rev, err)
	}
	if err := failpoint.Fail("unarchive/read"); err != nil {
		return nil, err
	}
	ranges := make([]Range, len(records))
	for i, rec := range records {
		r := Range(rec)
		if err := r.Validate(); err != nil {
			return nil, stated(ErrRecord, "archive %q: %v", rev, err)
		}
		ranges[i] = r.normal()
	}
	err = m.changeRangesWith(ctx, extra, false, "delete the range by force before", func(current map[string]Range) (map[string]Range, error) {
		next := maps.Clone(current)
		for _, r := range ranges {
			next[r.Name] = r
		}
		return next, nil
	})
	if err != nil {
		return nil, fmt.Errorf("unarchive %s: %w", rev, err)
	}
	failpoint.At("unarchive/changed")
	return ranges, nil
}

// ValidRevision checks the name of an archive. Another one is ErrArchiveInvalid.
func ValidRevision(rev string) error {
	if err := validName("archive", rev); err != nil {
		return stated(ErrArchiveInvalid, "%v", err)
	}
	return nil
}
