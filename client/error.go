package client

import (
	"errors"

	"berth/api"
	"berth/lease"
)

// What a client answers by itself.
var (
	// ErrNoDaemon says that no daemon answers and none was started.
	ErrNoDaemon = errors.New("no daemon answers")

	// ErrConnectionLost says that the daemon went away before it had answered.
	ErrConnectionLost = errors.New("the connection to the daemon was lost")
)

// Error is a problem that the daemon answered. It is its api.Code, and where
// the code stands for a sentinel of package lease it is that too:
// errors.Is(err, lease.ErrRangeFull) holds on both sides of the socket.
type Error struct {
	Problem api.Error
}

// Error is what the daemon says, one line.
func (e *Error) Error() string { return e.Problem.Error() }

// Is reports whether target is the problem's code or what the code stands for.
func (e *Error) Is(target error) bool {
	if e.Problem.Is(target) {
		return true
	}
	sentinel := Sentinel(e.Problem.Code)
	return sentinel != nil && target == sentinel
}

// Unwrap returns the problem, for errors.As with *api.Error.
func (e *Error) Unwrap() error { return &e.Problem }

// Sentinel is the error of package lease that a code stands for, nil if none.
func Sentinel(code api.Code) error {
	for _, row := range table {
		if row.code == code {
			return row.sentinel
		}
	}
	return nil
}

// table pairs the codes with what they stand for.
var table = []struct {
	code     api.Code
	sentinel error
}{
	{api.CodeRangeInvalid, lease.ErrRangeInvalid},
	{api.CodeRangeExists, lease.ErrRangeExists},
	{api.CodeRangeOverlaps, lease.ErrRangeOverlaps},
	{api.CodeRangeNotFound, lease.ErrRangeNotFound},
	{api.CodeRangeLeased, lease.ErrRangeLeased},
	{api.CodeRangeFull, lease.ErrRangeFull},
	{api.CodePortAssigned, lease.ErrAssigned},
	{api.CodePortInUse, lease.ErrInUse},
	{api.CodePortPrivileged, lease.ErrPrivileged},
	{api.CodeArchiveNotFound, lease.ErrArchiveNotFound},
	{api.CodeLeaseNotFound, lease.ErrLeaseNotFound},
	{api.CodeLeaseChanged, lease.ErrLeaseChanged},
	{api.CodeNoSpace, lease.ErrNoSpace},
	{api.CodeDamaged, lease.ErrDamaged},
}
