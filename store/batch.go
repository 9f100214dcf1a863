package store

import (
	"fmt"
	"hash/maphash"
	"unicode/utf8"
)

// Batch is a set of changes that happen together if every condition holds,
// and otherwise not at all. Conditions are looked at before any change of the
// batch. A key is changed at most once in a batch.
type Batch struct {
	Conditions []Condition
	Ops        []Op
}

// Condition is something that must hold for a batch to be applied: that the
// key's revision is Revision, where 0 means that the key is absent.
type Condition struct {
	Key      string
	Revision Revision
}

// Op puts Value at Key, or deletes Key. Deleting an absent key does nothing.
type Op struct {
	Key    string
	Value  []byte
	Delete bool
}

// IfAbsent adds the condition that key does not exist.
func (b *Batch) IfAbsent(key string) { b.If(key, 0) }

// If adds the condition that key was last put at revision r.
func (b *Batch) If(key string, r Revision) {
	b.Conditions = append(b.Conditions, Condition{Key: key, Revision: r})
}

// Put adds the writing of value at key.
func (b *Batch) Put(key string, value []byte) {
	b.Ops = append(b.Ops, Op{Key: key, Value: value})
}

// Delete adds the deletion of key.
func (b *Batch) Delete(key string) {
	b.Ops = append(b.Ops, Op{Key: key, Delete: true})
}

// Append adds the conditions and operations of other.
func (b *Batch) Append(other Batch) {
	b.Conditions = append(b.Conditions, other.Conditions...)
	b.Ops = append(b.Ops, other.Ops...)
}

// Len is the number of conditions and operations, as MaxOps counts them.
func (b Batch) Len() int { return len(b.Conditions) + len(b.Ops) }

// Size is the number of bytes of keys and values, as MaxBytes counts them.
func (b Batch) Size() int {
	n := 0
	for _, c := range b.Conditions {
		n += len(c.Key)
	}
	for _, op := range b.Ops {
		n += len(op.Key)
		if !op.Delete {
			n += len(op.Value)
		}
	}
	return n
}

// Validate checks what every store refuses: a batch without operations, a key
// that is empty or not UTF-8, a key changed twice (ErrInvalid); more than
// MaxOps conditions and operations, more than MaxBytes bytes, a key longer
// than MaxKeyBytes (ErrTooLarge).
func (b Batch) Validate() error {
	if len(b.Ops) == 0 {
		return fmt.Errorf("%w: a batch without operations", ErrInvalid)
	}
	if b.Len() > MaxOps {
		return fmt.Errorf("%w: %d conditions and operations, at most %d", ErrTooLarge, b.Len(), MaxOps)
	}
	if err := b.validateKeys(); err != nil {
		return err
	}
	if n := b.Size(); n > MaxBytes {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, n, MaxBytes)
	}
	if twice, ok := b.changedTwice(); ok {
		return fmt.Errorf("%w: key %q is changed twice", ErrInvalid, twice)
	}
	return nil
}

func (b Batch) validateKeys() error {
	for _, c := range b.Conditions {
		if err := validateKey(c.Key); err != nil {
			return fmt.Errorf("condition: %w", err)
		}
		if c.Revision < 0 {
			return fmt.Errorf("%w: condition on key %q: revision %d is below 0", ErrInvalid, c.Key, c.Revision)
		}
	}
	for _, op := range b.Ops {
		if err := validateKey(op.Key); err != nil {
			return fmt.Errorf("operation: %w", err)
		}
	}
	return nil
}

func validateKey(key string) error {
	switch {
	case key == "":
		return fmt.Errorf("%w: an empty key", ErrInvalid)
	case len(key) > MaxKeyBytes:
		return fmt.Errorf("%w: a key of %d bytes, at most %d", ErrTooLarge, len(key), MaxKeyBytes)
	case !utf8.ValidString(key):
		return fmt.Errorf("%w: key %q is not UTF-8", ErrInvalid, key)
	}
	return nil
}

// fewOps is up to how many operations comparing each with each is quicker than
// hashing them.
const fewOps = 8

var hashSeed = maphash.MakeSeed()

// changedTwice returns a key that two operations change.
func (b Batch) changedTwice() (string, bool) {
	switch {
	case len(b.Ops) <= fewOps:
		for i, op := range b.Ops {
			for _, earlier := range b.Ops[:i] {
				if earlier.Key == op.Key {
					return op.Key, true
				}
			}
		}
	case len(b.Ops) <= MaxOps:
		// A table with open addressing that fits on the stack: a slot holds
		// an operation's index plus 1.
		var slots [2 * MaxOps]uint8
		for i, op := range b.Ops {
			at := maphash.String(hashSeed, op.Key) % uint64(len(slots))
			for slots[at] != 0 {
				if b.Ops[slots[at]-1].Key == op.Key {
					return op.Key, true
				}
				at = (at + 1) % uint64(len(slots))
			}
			slots[at] = uint8(i + 1)
		}
	default:
		seen := make(map[string]struct{}, len(b.Ops))
		for _, op := range b.Ops {
			if _, ok := seen[op.Key]; ok {
				return op.Key, true
			}
			seen[op.Key] = struct{}{}
		}
	}
	return "", false
}
