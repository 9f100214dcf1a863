package descriptor

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

var (
	// ErrInvalid says that a descriptor or an archive is not acceptable as it
	// is: reading it again gives the same answer.
	ErrInvalid = errors.New("invalid distribution")

	// ErrUnsupported says that a descriptor asks for something that is known
	// and not done. Such an error is ErrInvalid too.
	ErrUnsupported = errors.New("not supported")
)

// InvalidError tells everything that is wrong with a descriptor or an
// archive. It is ErrInvalid, and ErrUnsupported where that is a cause.
type InvalidError struct {
	// Problems are one line each, at least one and at most ten, in the order
	// in which they were found.
	Problems []string

	// More is how many problems were found beyond those.
	More int

	unsupported bool
}

// maxProblems is how many problems an InvalidError tells.
const maxProblems = 10

// Error joins the problems on one line.
func (e *InvalidError) Error() string {
	s := strings.Join(e.Problems, "; ")
	if e.More > 0 {
		s += fmt.Sprintf("; and %d more", e.More)
	}
	return s
}

// Is reports whether target is ErrInvalid, or ErrUnsupported where that is a cause.
func (e *InvalidError) Is(target error) bool {
	return target == ErrInvalid || target == ErrUnsupported && e.unsupported
}

// invalid returns an InvalidError of one problem.
func invalid(format string, args ...any) *InvalidError {
	return &InvalidError{Problems: []string{fmt.Sprintf(format, args...)}}
}

// prefixed puts where in front of each problem of an InvalidError, and in front
// of the text of any other error.
func prefixed(where string, err error) error {
	var inv *InvalidError
	if !errors.As(err, &inv) {
		return fmt.Errorf("%s: %w", where, err)
	}
	out := *inv
	out.Problems = make([]string, len(inv.Problems))
	for i, p := range inv.Problems {
		out.Problems[i] = where + ": " + p
	}
	return &out
}

// maxShown is how many characters of a foreign text an error repeats.
const maxShown = 80

// quote returns a text of the input for an error: quoted, on one line, cut
// where it is long.
func quote(s string) string { return fmt.Sprintf("%q", cut(s)) }

// plain returns another library's message for an error: on one line, cut
// where it is long.
func plain(s string) string {
	return cut(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s))
}

func cut(s string) string {
	if len(s) <= maxShown {
		return s
	}
	end := maxShown
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}
