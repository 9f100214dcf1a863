package launcher

import (
	"errors"

	"berth/launcher/cmdline"
)

var (
	// ErrDistributionInvalid says that an archive or its descriptor cannot be deployed.
	ErrDistributionInvalid = errors.New("invalid distribution")

	// ErrDistributionExists says that name and version are taken.
	ErrDistributionExists = errors.New("distribution exists")

	// ErrDistributionNotFound says that no such distribution is deployed.
	ErrDistributionNotFound = errors.New("distribution not found")

	// ErrDistributionRunning says that processes of a distribution run.
	ErrDistributionRunning = errors.New("distribution has running processes")

	// ErrProcessNotFound says that there is no such process.
	ErrProcessNotFound = errors.New("process not found")

	// ErrProfileNotFound says that a process has no starter for a profile.
	ErrProfileNotFound = errors.New("profile not found")

	// ErrExecRefused says that a check before the start of processes did not
	// hold; nothing was started.
	ErrExecRefused = errors.New("exec refused")

	// ErrExecFailed says that a command could not be exec'd, or that a process
	// ended while it was waited for.
	ErrExecFailed = errors.New("exec failed")

	// ErrTimeout says that what was waited for did not come in time.
	ErrTimeout = errors.New("timeout")

	// ErrUnsupported says that a descriptor asks for something that is known
	// and not done yet.
	ErrUnsupported = cmdline.ErrUnsupported

	// ErrInvalid says that a request is not well formed.
	ErrInvalid = errors.New("invalid request")

	// ErrCopied says that a process runs that belongs to another state folder,
	// of which this one is a copy.
	ErrCopied = errors.New("a process of the original still runs")

	// ErrClosed says that the launcher is closed.
	ErrClosed = errors.New("launcher closed")
)
