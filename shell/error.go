package shell

import (
	"errors"
	"fmt"

	"berth/api"
	"berth/client"
)

var (
	// ErrUsage says that a line is not a command as it should be. See UsageError.
	ErrUsage = errors.New("wrong usage")

	// ErrUnknownCommand says that a line begins with no command that there is.
	ErrUnknownCommand = errors.New("unknown command")

	errInterrupted = errors.New("interrupted")
)

// UsageError is wrong usage of a command. It is ErrUsage.
type UsageError struct {
	Command string // the command as far as it was understood: port add
	Text    string // what is wrong, and what to do
	unknown bool
}

func (e *UsageError) Error() string {
	if e.Command == "" {
		return e.Text + "; try berth --help"
	}
	return fmt.Sprintf("%s: %s; try berth %s --help", e.Command, e.Text, e.Command)
}

// Is reports whether target is ErrUsage, or ErrUnknownCommand where it is that.
func (e *UsageError) Is(target error) bool {
	return target == ErrUsage || e.unknown && target == ErrUnknownCommand
}

// exitCode is the exit code that an error stands for.
func exitCode(err error) int {
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	switch {
	case err == nil:
		return ExitDone
	case errors.Is(err, errInterrupted):
		return ExitSignal
	case brokenPipe(err):
		return ExitPipe
	case errors.Is(err, ErrUsage), errors.Is(err, api.CodeInvalid):
		return ExitUsage
	case errors.Is(err, client.ErrNoDaemon):
		return ExitNoDaemon
	case errors.Is(err, errNotThere):
		return ExitNotThere
	default:
		return ExitFailed
	}
}

// errNotThere marks that what was named exactly by its id is not there.
var errNotThere = errors.New("not there")

// byID marks an error of a call that named things by their ids.
func byID(err error) error {
	for _, code := range []api.Code{api.CodeProcessNotFound, api.CodeLeaseNotFound, api.CodeArchiveNotFound, api.CodeExecNotFound} {
		if errors.Is(err, code) {
			return &notThereError{err}
		}
	}
	return err
}

type notThereError struct{ err error }

func (e *notThereError) Error() string        { return e.err.Error() }
func (e *notThereError) Unwrap() error        { return e.err }
func (e *notThereError) Is(target error) bool { return target == errNotThere }

// exitError ends the program with the exit code of a command that it ran, or
// could not run.
type exitError struct {
	code int
	text string
	told bool // the command ran, and has told what is to be told
}

func (e *exitError) Error() string { return e.text }

// isTold reports whether nothing is left to tell of an error. In a script there
// is: the line.
func isTold(err error) bool {
	e, ok := errors.AsType[*exitError](err)
	_, ofLine := errors.AsType[*LineError](err)
	return ok && e.told && !ofLine
}
