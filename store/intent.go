package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"berth/internal/failpoint"
)

// Keys of the work that CommitAll does in several batches:
//
//	intents/<scope>/<id>           the head: there from before the first chunk
//	                               until the last one, which deletes it
//	intents/<scope>/<id>/plan/<n>  the keys that chunk n changes, with what
//	                               they were before
//	intents/<scope>/<id>/done/<n>  put by chunk n itself, so that its revision
//	                               is that of all keys that the chunk put
//
// A plan or a mark without its head belongs to work that is whole or was never
// begun, and is only litter.
const intentFolder = "intents/"

// IsIntent reports whether a key is one of those that CommitAll keeps for
// itself. A batch with a condition that such a key is there goes on with work
// that has begun, or undoes it.
func IsIntent(key string) bool { return strings.HasPrefix(key, intentFolder) }

// CommitAll applies a batch of any size, all or nothing.
//
// Up to MaxOps and MaxBytes it is one Commit. A larger batch is split: an
// intent is written first, below "intents/<scope>/", which tells how to undo
// it; then the chunks are committed one after the other, and the last one ends
// the intent. Each chunk checks that its keys still are as they were at the
// beginning, changed ones even where the batch has no condition on them; each
// chunk also fails once its intent was recovered by somebody else. Conditions
// on keys that the batch does not change are checked at the beginning and
// again with the first chunks, not afterwards. While this goes on, others see
// the chunks that were applied.
//
// Its errors are those of Commit. After a ConflictError, or the end of ctx,
// the chunks that were applied have been undone; a key that somebody else has
// changed since then keeps that change. After ErrUnknown, or any other error
// that is not ErrConflict, ErrTooLarge, ErrInvalid or the context's, an intent
// can be left: Recover ends it. ErrTooLarge of a split batch says that a single
// operation is too large.
func CommitAll(ctx context.Context, s Store, scope string, batch Batch) error {
	if err := validateScope(scope); err != nil {
		return err
	}
	if batch.Len() <= MaxOps && batch.Size() <= MaxBytes {
		_, err := s.Commit(ctx, batch)
		return err
	}
	if err := batch.validateKeys(); err != nil {
		return err
	}
	if len(batch.Ops) == 0 {
		return fmt.Errorf("%w: a batch without operations", ErrInvalid)
	}
	if twice, ok := batch.changedTwice(); ok {
		return fmt.Errorf("%w: key %q is changed twice", ErrInvalid, twice)
	}

	before, err := readBefore(ctx, s, batch)
	if err != nil {
		return err
	}
	if err := failpoint.Fail("intent/read"); err != nil {
		return err
	}
	in := newIntent(s, scope)
	chunks, err := in.split(batch, before)
	if err != nil {
		return err
	}
	if err := in.begin(ctx, chunks); err != nil {
		return fmt.Errorf("write the intent of %d operations: %w", len(batch.Ops), err)
	}
	if err := failpoint.Fail("intent/begun"); err != nil {
		return err
	}
	if err := in.apply(ctx, chunks); err != nil {
		return err
	}
	failpoint.At("intent/whole")
	// The work is whole and the head is gone. What is left of the intent is
	// litter, which the next Recover sweeps if this cannot.
	_ = in.sweep(context.WithoutCancel(ctx))
	failpoint.At("intent/swept")
	return nil
}

func validateScope(scope string) error {
	if scope == "" || strings.Contains(scope, "/") {
		return fmt.Errorf("%w: scope %q of an intent is empty or has a slash", ErrInvalid, scope)
	}
	return validateKey(intentFolder + scope)
}

// readBefore reads every key that the batch changes or has a condition on, and
// checks the conditions. An absent key has revision 0.
func readBefore(ctx context.Context, s Store, batch Batch) (map[string]Entry, error) {
	before := make(map[string]Entry, len(batch.Ops))
	read := func(key string) (Entry, error) {
		if e, ok := before[key]; ok {
			return e, nil
		}
		e, err := s.Get(ctx, key)
		switch {
		case errors.Is(err, ErrNotFound):
			e = Entry{Key: key}
		case err != nil:
			return e, fmt.Errorf("read key %q: %w", key, err)
		}
		before[key] = e
		return e, nil
	}
	for _, c := range batch.Conditions {
		e, err := read(c.Key)
		if err != nil {
			return nil, err
		}
		if e.Revision != c.Revision {
			return nil, &ConflictError{Key: c.Key}
		}
	}
	for _, op := range batch.Ops {
		if _, err := read(op.Key); err != nil {
			return nil, err
		}
	}
	return before, nil
}

// intent is work in several batches that has been or will be written down.
type intent struct {
	store Store
	head  string   // its key
	fence Revision // of the head
}

func newIntent(s Store, scope string) *intent {
	var id [12]byte
	_, _ = rand.Read(id[:]) // never fails
	return &intent{store: s, head: intentFolder + scope + "/" + hex.EncodeToString(id[:])}
}

func (in *intent) planKey(n int) string { return fmt.Sprintf("%s/plan/%06d", in.head, n) }
func (in *intent) doneKey(n int) string { return fmt.Sprintf("%s/done/%06d", in.head, n) }

// chunk is one of the batches of an intent and the plan to undo it.
type chunk struct {
	batch Batch
	plan  plan
}

// split distributes a batch to chunks that each fit into a batch, with the
// condition on the head, the operation on the head or the mark, and, when they
// are undone, the same again.
func (in *intent) split(batch Batch, before map[string]Entry) ([]chunk, error) {
	room := MaxOps - 4
	bytes := MaxBytes - 4*len(in.doneKey(0)) - 64

	var chunks []chunk
	var current chunk
	var forward, backward int // bytes of the current chunk, and of its plan
	cut := func() {
		if current.batch.Len() > 0 {
			chunks = append(chunks, current)
		}
		current, forward, backward = chunk{}, 0, 0
	}

	changed := make(map[string]struct{}, len(batch.Ops))
	for _, op := range batch.Ops {
		changed[op.Key] = struct{}{}
	}
	for _, c := range batch.Conditions {
		if _, ok := changed[c.Key]; ok {
			continue // its operation brings its condition
		}
		if current.batch.Len()+1 > room || forward+len(c.Key) > bytes {
			cut()
		}
		current.batch.If(c.Key, c.Revision)
		forward += len(c.Key)
	}
	for _, op := range batch.Ops {
		old := before[op.Key]
		f := 2*len(op.Key) + len(op.Value)
		b := 2*len(op.Key) + len(old.Value) + planOverhead
		if f > bytes || b > bytes {
			return nil, fmt.Errorf("%w: key %q with its value, or the one before, has more than %d bytes", ErrTooLarge, op.Key, bytes)
		}
		if current.batch.Len()+2 > room || forward+f > bytes || backward+b > bytes {
			cut()
		}
		current.batch.If(op.Key, old.Revision)
		current.batch.Ops = append(current.batch.Ops, op)
		current.plan = append(current.plan, step{key: op.Key, deletes: op.Delete, existed: old.Revision != 0, old: old.Value})
		forward += f
		backward += b
	}
	cut()
	return chunks, nil
}

// begin writes the plans and, with the last ones, the head.
func (in *intent) begin(ctx context.Context, chunks []chunk) error {
	var b Batch
	for n, c := range chunks {
		key, value := in.planKey(n), c.plan.encode()
		if b.Len()+3 > MaxOps || b.Size()+len(key)+len(value)+2*len(in.head) > MaxBytes {
			if _, err := in.store.Commit(ctx, b); err != nil {
				return in.abandon(ctx, err)
			}
			b = Batch{}
		}
		b.Put(key, value)
	}
	if err := failpoint.Fail("intent/planned"); err != nil {
		return in.abandon(ctx, err)
	}
	b.IfAbsent(in.head)
	b.Put(in.head, []byte(strconv.Itoa(len(chunks))))
	r, err := in.store.Commit(ctx, b)
	if err != nil {
		return in.abandon(ctx, err)
	}
	in.fence = r
	return nil
}

// abandon sweeps the plans of an intent that was not begun, unless that is
// uncertain.
func (in *intent) abandon(ctx context.Context, cause error) error {
	if !errors.Is(cause, ErrUnknown) {
		_ = in.sweep(context.WithoutCancel(ctx))
	}
	return cause
}

// apply commits the chunks; the last one deletes the head.
func (in *intent) apply(ctx context.Context, chunks []chunk) error {
	for n, c := range chunks {
		b := c.batch
		b.If(in.head, in.fence)
		if n == len(chunks)-1 {
			b.Delete(in.head)
		} else {
			b.Put(in.doneKey(n), nil)
		}
		err := failpoint.Fail("intent/chunk")
		if err == nil {
			_, err = in.store.Commit(ctx, b)
		}
		if err == nil {
			failpoint.At("intent/applied")
			continue
		}
		err = fmt.Errorf("chunk %d of %d: %w", n+1, len(chunks), err)
		var conflict *ConflictError
		switch {
		case errors.As(err, &conflict):
			if conflict.Key == in.head {
				return err // a Recover has it now
			}
		case errors.Is(err, ErrNoSpace), errors.Is(err, ErrDamaged):
			// Nothing was changed.
		case errors.Is(err, ErrUnknown), ctx.Err() == nil:
			return err // Recover ends it
		}
		if undoErr := in.undo(context.WithoutCancel(ctx)); undoErr != nil {
			// The error must not be taken for "nothing changed".
			return fmt.Errorf("%v; undo: %w: %v", err, ErrUnknown, undoErr)
		}
		return err
	}
	return nil
}
