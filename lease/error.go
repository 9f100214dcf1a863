package lease

import (
	"errors"
	"fmt"

	"berth/store"
)

var (
	// ErrRangeInvalid says that a range's name, ports, protocol or scope is not well formed.
	ErrRangeInvalid = errors.New("range is not valid")

	// ErrRangeExists says that a range of that name is there already.
	ErrRangeExists = errors.New("range exists")

	// ErrRangeOverlaps says that ports of a range belong to another one.
	ErrRangeOverlaps = errors.New("range overlaps")

	// ErrRangeNotFound says that there is no range of that name.
	ErrRangeNotFound = errors.New("range not found")

	// ErrRangeLeased says that a range has live leases.
	ErrRangeLeased = errors.New("range has live leases")

	// ErrRangeFull says that a range has too few ports that can be leased. See FullError.
	ErrRangeFull = errors.New("range is full")

	// ErrRequest says that what is asked for is not well formed, or is not there to be had.
	ErrRequest = errors.New("request for ports is not valid")

	// ErrAssigned says that a port that was asked for by its number is leased. See AssignedError.
	ErrAssigned = errors.New("port is assigned")

	// ErrProtocol says that a request names another protocol than its range has.
	ErrProtocol = errors.New("protocol is another one")

	// ErrArchiveInvalid says that the name of an archive is not well formed.
	ErrArchiveInvalid = errors.New("archive is not valid")

	// ErrArchiveNotFound says that there is no archive of that name.
	ErrArchiveNotFound = errors.New("archive not found")

	// ErrLeaseNotFound says that there is no live lease of that id.
	ErrLeaseNotFound = errors.New("lease not found")

	// ErrLeaseChanged says that a lease has another generation than the one
	// given, or is just being changed by somebody else.
	ErrLeaseChanged = errors.New("lease changed")

	// ErrTaken says that a planned port was leased by another host in the
	// meantime. Nothing was committed: plan again.
	ErrTaken = errors.New("port was leased by another host")

	// ErrPlanDone says that a plan was committed or aborted before.
	ErrPlanDone = errors.New("plan is done")

	// ErrInUse says that a port cannot be bound because something else is. See InUseError.
	ErrInUse = errors.New("port is in use")

	// ErrPrivileged says that binding a port needs a privilege that this process lacks.
	ErrPrivileged = errors.New("port is privileged")

	// ErrRecord says that a record of the store cannot be read.
	ErrRecord = errors.New("record cannot be read")

	// ErrNoSpace says that a port cannot be leased because the disk has too
	// little room to write that down. It is store.ErrNoSpace.
	ErrNoSpace = store.ErrNoSpace

	// ErrDamaged says that nothing is leased because the store has lost what was
	// acknowledged, until an administrator accepts that. It is store.ErrDamaged.
	ErrDamaged = store.ErrDamaged

	// ErrClosed says that the manager is closed.
	ErrClosed = errors.New("lease manager is closed")
)

// stated is an error that says the formatted text and is err.
func stated(err error, format string, args ...any) error {
	return &statedError{err: err, text: fmt.Sprintf(format, args...)}
}

type statedError struct {
	err  error
	text string
}

func (e *statedError) Error() string { return e.text }
func (e *statedError) Unwrap() error { return e.err }

// InUseError says that something else is bound to a port. It is ErrInUse.
type InUseError struct {
	Protocol Protocol
	Port     int
	PID      int    // who is bound to it; 0 where that cannot be seen
	Command  string // its command; may be empty
}

func (e *InUseError) Error() string {
	return fmt.Sprintf("%s port %d is %s", e.Protocol, e.Port, inUseBy(e.PID, e.Command))
}

// Is reports whether target is ErrInUse.
func (e *InUseError) Is(target error) bool { return target == ErrInUse }

// inUseBy words who is bound to a port.
func inUseBy(pid int, command string) string {
	switch {
	case pid == 0:
		return "in use by another process"
	case command == "":
		return fmt.Sprintf("in use by pid %d", pid)
	default:
		return fmt.Sprintf("in use by pid %d (%s)", pid, command)
	}
}
