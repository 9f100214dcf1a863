package store

import (
	"errors"
	"fmt"
)

var (
	// ErrNotFound says that a key does not exist.
	ErrNotFound = errors.New("key not found")

	// ErrConflict says that a condition of a batch did not hold; nothing changed.
	ErrConflict = errors.New("conflict")

	// ErrUnknown says that a batch may or may not have been applied.
	ErrUnknown = errors.New("outcome unknown")

	// ErrCompacted says that the changes since a revision are no longer kept.
	ErrCompacted = errors.New("revision compacted")

	// ErrTooLarge says that a batch is larger than a store takes.
	ErrTooLarge = errors.New("batch too large")

	// ErrInvalid says that a batch or key is not well formed.
	ErrInvalid = errors.New("invalid batch")

	// ErrClosed says that the store is closed.
	ErrClosed = errors.New("store closed")

	// ErrNoSpace says that the disk has too little room for a batch; nothing changed.
	ErrNoSpace = errors.New("too little room on the disk")

	// ErrDamaged says that acknowledged changes are lost and that a batch is not
	// taken until an administrator has accepted that; nothing changed.
	ErrDamaged = errors.New("the store is damaged")

	// ErrLocked says that another process has the store open.
	ErrLocked = errors.New("in use by another process")
)

// ConflictError names the key whose condition did not hold. It is ErrConflict.
type ConflictError struct {
	Key string
}

func (e *ConflictError) Error() string { return fmt.Sprintf("conflict on key %q", e.Key) }

// Is reports whether target is ErrConflict.
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }
