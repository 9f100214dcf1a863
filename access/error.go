package access

import (
	"errors"
	"fmt"
)

var (
	// ErrInvalid says that a name, a role, a time or a rule is not well formed.
	ErrInvalid = errors.New("invalid")

	// ErrUnauthenticated says that it is not known who the caller is.
	ErrUnauthenticated = errors.New("not authenticated")

	// ErrForbidden says that the caller may not do this.
	ErrForbidden = errors.New("forbidden")

	// ErrTokenExists says that there is a token of that name.
	ErrTokenExists = errors.New("token exists")

	// ErrTokenNotFound says that there is no token of that name.
	ErrTokenNotFound = errors.New("token not found")

	// ErrQuota says that an owner would have more leases than its quota.
	ErrQuota = errors.New("quota exceeded")
)

// stated is an error of a kind whose text is all there is to say.
func stated(kind error, format string, args ...any) error {
	return &statedError{kind, fmt.Sprintf(format, args...)}
}

type statedError struct {
	kind error
	text string
}

func (e *statedError) Error() string { return e.text }
func (e *statedError) Unwrap() error { return e.kind }
