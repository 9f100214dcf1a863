package shell

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/reeflective/readline"
)

// prompt reads commands from a terminal until it is left by exit, quit or
// Ctrl-D. Ctrl-C clears the line, or ends the command that runs. What is wrong
// with a command does not end the prompt.
func (s *Shell) prompt(ctx context.Context) error {
	s.prompting = true
	defer func() { s.prompting = false }()
	if v, _ := s.opts.Env("TERM"); v == "dumb" {
		return s.plainPrompt(ctx)
	}
	rl := readline.NewShell()
	rl.Prompt.Primary(func() string { return s.out.strong("berth") + "> " })
	rl.Completer = func(line []rune, cursor int) readline.Completions {
		return s.completions(ctx, string(line[:min(cursor, len(line))]))
	}
	if err := bindKeys(rl); err != nil {
		return err
	}
	if err := s.history(rl); err != nil {
		s.note("the history is not kept: %v", err)
	}
	for ctx.Err() == nil {
		s.out.printf("%s", roomBelow)
		if err := s.out.Flush(); err != nil {
			return err
		}
		line, err := rl.Readline()
		switch {
		case errors.Is(err, io.EOF):
			s.out.printf("\n")
			return nil
		case errors.Is(err, readline.ErrInterrupt):
			continue
		case err != nil:
			return err
		}
		if s.promptLine(ctx, line) {
			return nil
		}
	}
	return context.Cause(ctx)
}

// roomBelow makes sure that there are rows below the cursor, and stays where it
// is. Without asking the terminal, the library does not know when it is on the
// last row, and would then write over what was printed before.
const roomBelow = "\n\n\x1b[2A"

// bindKeys sets the keys that are not as the library has them.
func bindKeys(rl *readline.Shell) error {
	// Asking the terminal where the cursor is loses keys that are typed meanwhile
	// (https://github.com/reeflective/readline/pull/118), and hangs on terminals
	// that do not answer. The prompt begins a line anyway.
	if err := rl.Config.Set("cursor-position-probe", false); err != nil {
		return err
	}
	// Tab puts in what all candidates share and lists them; the next ones go
	// through the list.
	if err := rl.Config.Set("menu-complete-display-prefix", true); err != nil {
		return err
	}
	binds := []struct {
		keymap, key, action string
		macro               bool
	}{
		{"emacs", "\t", "menu-complete", false},
		{"emacs-standard", "\t", "menu-complete", false},
		{"vi-insert", "\t", "menu-complete", false},
		// In the list, Ctrl-C would leave the list only; Ctrl-G, which the list
		// does not know, leaves the line.
		{"menu-select", "\x03", `\C-g`, true},
	}
	for _, b := range binds {
		if err := rl.Config.Bind(b.keymap, b.key, b.action, b.macro); err != nil {
			return err
		}
	}
	return nil
}

// plainPrompt is the prompt of a terminal that can only print.
func (s *Shell) plainPrompt(ctx context.Context) error {
	for ctx.Err() == nil {
		s.out.printf("berth> ")
		if err := s.out.Flush(); err != nil {
			return err
		}
		line, end, err := scriptLine(s.in)
		if err != nil {
			return err
		}
		if end && line == "" {
			s.out.printf("\n")
			return nil
		}
		if s.promptLine(ctx, line) {
			return nil
		}
	}
	return context.Cause(ctx)
}

// promptLine runs a line and tells whether it leaves the prompt.
func (s *Shell) promptLine(ctx context.Context, line string) (leave bool) {
	words, err := split(line, s.loadedVariable)
	if err != nil {
		s.report(&UsageError{Text: err.Error()})
		return false
	}
	if words = withoutProgram(words); len(words) == 0 {
		return false
	}
	if isLeave(words) {
		return true
	}
	code := s.report(s.interruptible(ctx, nil, func(ctx context.Context) error { return s.Exec(ctx, words) }))
	return code == ExitPipe
}

// history keeps the lines in a file that is its user's alone.
func (s *Shell) history(rl *readline.Shell) error {
	path := s.opts.History
	if path == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	rl.History.AddFromFile("berth", path)
	return nil
}
