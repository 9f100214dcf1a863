package client

import (
	"errors"

	"berth/access"
	"berth/api"
	"berth/lease"
)

// What a client answers by itself.
var (
	// ErrNoDaemon says that no daemon answers and none was started.
	ErrNoDaemon = errors.New("no daemon answers")

	// ErrConnectionLost says that the daemon went away before it had answered.
	ErrConnectionLost = errors.New("the connection to the daemon was lost")

	// ErrSettings says that the settings by which the daemon is reached will not
	// do: the URL, the file of certificates, the token.
	ErrSettings = errors.New("the daemon cannot be reached as is set")

	// ErrCertificate says that whoever answers has no certificate that is
	// believed, or speaks no TLS 1.3.
	ErrCertificate = errors.New("the daemon's certificate is not believed")
)

// Error is a problem that the daemon answered. It is its api.Code, and where
// the code stands for a sentinel of package lease or access it is that too:
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

// Sentinel is the error of package lease or access that a code stands for, nil if none.
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
	{api.CodeUnauthenticated, access.ErrUnauthenticated},
	{api.CodeForbidden, access.ErrForbidden},
	{api.CodeQuotaExceeded, access.ErrQuota},
	{api.CodeTokenExists, access.ErrTokenExists},
	{api.CodeTokenNotFound, access.ErrTokenNotFound},
}
