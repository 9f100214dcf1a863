package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"berth/internal/failpoint"
)

// Recover undoes what CommitAll left half done in a scope, and returns how
// many intents there were. Call it at start, and after an ErrUnknown of
// CommitAll; work of the scope that still goes on is undone too and gets a
// ConflictError.
//
// A key that has been changed by somebody else since its chunk was applied
// keeps that change; every other key gets its old value back, or is deleted if
// it was absent. Recover may be interrupted at any point and run again. One bad
// intent does not keep it from the others: their errors are joined.
func Recover(ctx context.Context, s Store, scope string) (undone int, err error) {
	if err := validateScope(scope); err != nil {
		return 0, err
	}
	if failpoint.Planted("keep-half") {
		return 0, nil
	}
	folder := intentFolder + scope + "/"
	entries, _, err := s.List(ctx, folder)
	if err != nil {
		return 0, fmt.Errorf("list intents of %s: %w", scope, err)
	}
	var errs []error
	last := ""
	for _, e := range entries {
		id, _, _ := strings.Cut(strings.TrimPrefix(e.Key, folder), "/")
		if id == last {
			continue
		}
		last = id
		in := &intent{store: s, head: folder + id}
		switch begun, err := in.recover(ctx); {
		case err != nil:
			errs = append(errs, fmt.Errorf("recover intent %s of %s: %w", id, scope, err))
		case begun:
			undone++
		}
	}
	return undone, errors.Join(errs...)
}

// recover undoes an intent if it was begun, and sweeps what is left of it.
func (in *intent) recover(ctx context.Context) (begun bool, err error) {
	head, err := in.store.Get(ctx, in.head)
	if errors.Is(err, ErrNotFound) {
		return false, in.sweep(ctx)
	}
	if err != nil {
		return false, err
	}
	in.fence = head.Revision
	return true, in.undo(ctx)
}

// undo gives the keys of the applied chunks their old values back, ends the
// intent and sweeps it.
func (in *intent) undo(ctx context.Context) error {
	// A chunk may still be on its way: with a new revision of the head it
	// cannot be applied any more.
	var fence Batch
	fence.If(in.head, in.fence)
	fence.Put(in.head, []byte("undo"))
	r, err := in.store.Commit(ctx, fence)
	if err != nil {
		return err
	}
	in.fence = r

	if err := failpoint.Fail("undo/fenced"); err != nil {
		return err
	}
	marks, _, err := in.store.List(ctx, in.head+"/done/")
	if err != nil {
		return err
	}
	for _, mark := range marks {
		n, err := strconv.Atoi(strings.TrimPrefix(mark.Key, in.head+"/done/"))
		if err != nil {
			return fmt.Errorf("key %q is not a mark of a chunk: %w", mark.Key, err)
		}
		if err := in.undoChunk(ctx, n, mark); err != nil {
			return fmt.Errorf("undo chunk %d: %w", n, err)
		}
	}

	if err := failpoint.Fail("undo/undone"); err != nil {
		return err
	}
	var end Batch
	end.If(in.head, in.fence)
	end.Delete(in.head)
	if _, err := in.store.Commit(ctx, end); err != nil {
		return err
	}
	failpoint.At("undo/ended")
	return in.sweep(ctx)
}

// undoChunk restores the keys of a chunk and deletes its mark in one batch.
// A key that is changed by somebody else meanwhile is looked at again.
func (in *intent) undoChunk(ctx context.Context, n int, mark Entry) error {
	e, err := in.store.Get(ctx, in.planKey(n))
	if err != nil {
		return fmt.Errorf("read its plan: %w", err)
	}
	p, err := decodePlan(e.Value)
	if err != nil {
		return err
	}
	for {
		var b Batch
		b.If(in.head, in.fence)
		b.Delete(mark.Key)
		for _, st := range p {
			if err := in.undoStep(ctx, &b, st, mark.Revision); err != nil {
				return err
			}
		}
		err := failpoint.Fail("undo/chunk")
		if err == nil {
			_, err = in.store.Commit(ctx, b)
		}
		var conflict *ConflictError
		if errors.As(err, &conflict) && conflict.Key != in.head {
			continue
		}
		return err
	}
}

// undoStep adds to b what undoes a step of a chunk applied at revision r,
// unless its key has been changed since.
func (in *intent) undoStep(ctx context.Context, b *Batch, st step, r Revision) error {
	want := r
	if st.deletes {
		want = 0
	}
	now, err := in.store.Get(ctx, st.key)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	if now.Revision != want || want == 0 && !st.existed {
		return nil
	}
	b.If(st.key, want)
	if st.existed {
		b.Put(st.key, st.old)
	} else {
		b.Delete(st.key)
	}
	return nil
}

// sweep deletes the plans and marks of an intent that has no head.
func (in *intent) sweep(ctx context.Context) error {
	entries, _, err := in.store.List(ctx, in.head+"/")
	if err != nil {
		return err
	}
	for rest := entries; len(rest) > 0; {
		some := rest[:min(len(rest), MaxOps)]
		rest = rest[len(some):]
		var b Batch
		for _, e := range some {
			b.Delete(e.Key)
		}
		if _, err := in.store.Commit(ctx, b); err != nil {
			return err
		}
	}
	return nil
}
