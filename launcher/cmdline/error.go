package cmdline

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

var (
	// ErrUnsupported says that a starter is of a kind that cannot be started.
	ErrUnsupported = errors.New("starter is not supported")

	// ErrCircle says that a variable's value needs the variable itself. A
	// *CircleError tells which ones.
	ErrCircle = errors.New("variables form a circle")

	// ErrTooLong says that a value grows beyond MaxValue when its variables
	// are replaced, or takes too much work to replace.
	ErrTooLong = errors.New("value is too long")

	// ErrInvalid says that a value cannot be part of a command: a NUL
	// character, a quote that is not closed, a name with "=".
	ErrInvalid = errors.New("value is not valid in a command")
)

// CircleError tells the variables of a circle. It is an ErrCircle.
type CircleError struct {
	// Names are the variables in the order in which they need each other; the
	// first is also the last.
	Names []string
}

// Error names the whole circle.
func (e *CircleError) Error() string {
	shown := make([]string, len(e.Names))
	for i, name := range e.Names {
		shown[i] = show(name)
	}
	return fmt.Sprintf("variable %s: circle: %s", quote(e.Names[0]), strings.Join(shown, " → "))
}

// Is makes the error an ErrCircle.
func (e *CircleError) Is(target error) bool { return target == ErrCircle }

// problem is an error with a text of its own that is also a sentinel.
type problem struct {
	text     string
	sentinel error
}

func (p *problem) Error() string { return p.text }
func (p *problem) Unwrap() error { return p.sentinel }

func problemf(sentinel error, format string, args ...any) error {
	return &problem{text: fmt.Sprintf(format, args...), sentinel: sentinel}
}

// maxShown is how many bytes of a name a message shows.
const maxShown = 80

// quote returns a name in quotes, on one line and shortened.
func quote(name string) string {
	if len(name) > maxShown {
		return strconv.Quote(strings.ToValidUTF8(name[:maxShown], "") + "…")
	}
	return strconv.Quote(name)
}

// show returns a name as it is where it is plain, quoted where it is not.
func show(name string) string {
	quoted := quote(name)
	if quoted == `"`+name+`"` {
		return name
	}
	return quoted
}
