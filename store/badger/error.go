package badger

import (
	"errors"
	"fmt"

	"berth/store"
)

// errNotClosed says that Badger did not end in time.
var errNotClosed = errors.New("it has not ended")

// FailedError is what a store answers after a write or a sync has failed. It
// is store.ErrClosed, and its cause can be unwrapped. What was answered before
// is on the disk; open the store again to go on.
type FailedError struct {
	Cause error
}

func (e *FailedError) Error() string {
	return fmt.Sprintf("store closed itself because a write failed, open it again: %v", e.Cause)
}

// Is reports whether target is store.ErrClosed.
func (e *FailedError) Is(target error) bool { return target == store.ErrClosed }

func (e *FailedError) Unwrap() error { return e.Cause }
