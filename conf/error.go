package conf

import (
	"errors"
	"fmt"
)

var (
	// ErrInvalid says that a property, a category, a tag or a file of them is
	// not well formed.
	ErrInvalid = errors.New("setting is not valid")

	// ErrArchiveInvalid says that the name of an archive is not well formed.
	ErrArchiveInvalid = errors.New("archive is not valid")

	// ErrArchiveNotFound says that there is no archive of that name.
	ErrArchiveNotFound = errors.New("archive not found")
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
