package proc

import "errors"

var (
	// ErrGone says that a process has ended, or that its pid belongs to another process now.
	ErrGone = errors.New("process is gone")

	// ErrRunning says that a process has not exited, so that there is no exit to collect.
	ErrRunning = errors.New("process is still running")

	// ErrClosed says that a process handle was closed.
	ErrClosed = errors.New("process handle is closed")
)
