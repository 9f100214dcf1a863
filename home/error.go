package home

import "errors"

// What Find and Prepare refuse.
var (
	// ErrSocketTooLong says that the socket's path does not fit into a socket address.
	ErrSocketTooLong = errors.New("socket path is too long")

	// ErrUnsafe says that the runtime folder under /tmp could be another user's trap.
	ErrUnsafe = errors.New("runtime folder is not safe")

	// ErrNoHome says that the environment names no place for the state.
	ErrNoHome = errors.New("no state folder")
)
