package shell

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxScripts is how deep scripts may run scripts.
const maxScripts = 16

// maxScriptLine is the longest line of a script in bytes.
const maxScriptLine = 1 << 20

type scriptCommand struct {
	File string `arg:"" complete:"file" help:"file of commands, - for standard input"`
}

func (scriptCommand) page() page {
	return page{
		long: `Runs the commands of a file, a line each, and stops at the first that fails, telling its line; the exit code is that command's. A # begins a comment. Quotes and backslashes work as in a shell.

${name} is replaced by a property that conf load loaded, or a variable of the environment, ${corus.server.host} by this host's address, and ${corus.server.port} by the daemon's TCP port where it has one; a name that is none of these stays as it stands.`,
		examples: []example{
			{"script setup.berth", "run a script"},
			{"script -", "run the lines of standard input"},
		},
	}
}

func (c *scriptCommand) run(ctx context.Context, s *Shell) error {
	if s.depth >= maxScripts {
		return fmt.Errorf("scripts run scripts more than %d deep: does %s run itself?", maxScripts, c.File)
	}
	s.depth++
	defer func() { s.depth-- }()
	if c.File == "-" {
		if s.stdin {
			return &UsageError{Text: "standard input is being read for commands already"}
		}
		return s.scriptFrom(ctx, "", s.in)
	}
	f, err := os.Open(c.File)
	if err != nil {
		return err
	}
	defer f.Close()
	return s.scriptFrom(ctx, c.File, bufio.NewReader(f))
}

// LineError is what went wrong on a line of a script.
type LineError struct {
	File string // empty for standard input
	Line int    // from 1
	Err  error
}

func (e *LineError) Error() string {
	if e.File == "" {
		return fmt.Sprintf("line %d: %v", e.Line, e.Err)
	}
	return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err)
}

// Unwrap returns what went wrong.
func (e *LineError) Unwrap() error { return e.Err }

// scriptFrom runs the lines of r until one fails or exit is read.
func (s *Shell) scriptFrom(ctx context.Context, name string, r *bufio.Reader) error {
	if name == "" {
		s.stdin = true
		defer func() { s.stdin = false }()
	}
	for n := 1; ; n++ {
		text, end, err := scriptLine(r)
		if err != nil {
			return &LineError{name, n, err}
		}
		leave, err := s.scriptWords(ctx, text)
		if err != nil {
			return &LineError{name, n, err}
		}
		if end || leave {
			return nil
		}
		if ctx.Err() != nil {
			return &LineError{name, n, context.Cause(ctx)}
		}
	}
}

// scriptLine reads a line and tells whether it is the last one.
func scriptLine(r *bufio.Reader) (text string, end bool, err error) {
	var b strings.Builder
	for {
		part, err := r.ReadSlice('\n')
		b.Write(part)
		switch {
		case b.Len() > maxScriptLine:
			return "", false, fmt.Errorf("the line has more than %d bytes", maxScriptLine)
		case err == nil:
			return b.String(), false, nil
		case errors.Is(err, io.EOF):
			return b.String(), true, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return "", false, err
		}
	}
}

// scriptWords runs a line of a script and tells whether it ends the script.
func (s *Shell) scriptWords(ctx context.Context, text string) (leave bool, err error) {
	words, err := split(text, s.variable)
	if err != nil {
		return false, &UsageError{Text: err.Error()}
	}
	if words = withoutProgram(words); len(words) == 0 {
		return false, nil
	}
	if isLeave(words) {
		return true, nil
	}
	return false, s.Exec(ctx, words)
}

// RunLine runs a line as one of a script.
func (s *Shell) RunLine(ctx context.Context, line string) error {
	_, err := s.scriptWords(ctx, line)
	return err
}

// withoutProgram takes the program's name off a line that was copied from elsewhere.
func withoutProgram(words []string) []string {
	if len(words) > 1 && words[0] == "berth" {
		return words[1:]
	}
	return words
}

func isLeave(words []string) bool {
	return len(words) == 1 && (words[0] == "exit" || words[0] == "quit")
}

// loadedVariable is the value of a name that conf load loaded. At the prompt
// there are no others: who types a $ there means it.
func (s *Shell) loadedVariable(name string) (string, bool) {
	v, ok := s.loaded[name]
	return v, ok
}

// variable is the value of a name in a script line.
func (s *Shell) variable(name string) (string, bool) {
	if v, ok := s.opts.Variables[name]; ok {
		return v, true
	}
	if v, ok := s.loadedVariable(name); ok {
		return v, true
	}
	switch name {
	case "corus.server.host":
		return hostAddress(), true
	case "corus.server.port":
		if port := s.serverPort(); port != "" {
			return port, true
		}
	}
	return s.opts.Env(name)
}
