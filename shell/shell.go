package shell

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/term"

	"berth/client"
)

// Options say what a Shell works with.
type Options struct {
	// Client reaches the daemon.
	Client *client.Client

	// In, Out and Err default to those of the process.
	In  io.Reader
	Out io.Writer
	Err io.Writer

	// IsTerminal tells whether one of In, Out and Err is a terminal. The default
	// asks the system about *os.File and says no for all else.
	IsTerminal func(stream any) bool

	// Env looks variables up; the default is os.LookupEnv.
	Env func(name string) (value string, ok bool)

	// Version is the program's own, for ver.
	Version string

	// History is the file that keeps the lines typed at the prompt; empty keeps none.
	History string

	// Serve runs the daemon until ctx is done, for the command serve. Nil says
	// that this program has no daemon in it.
	Serve func(ctx context.Context, o ServeOptions) error

	// Replace makes this process another program, as syscall.Exec does, for the
	// command run. Nil says that this program runs no commands in the foreground.
	Replace func(path string, args, env []string) error

	// Dir is the folder from which files are named; empty is the working one.
	Dir string

	// Categories are those of the process that the commands are run for: of
	// properties that several categories have, those of the later ones count.
	Categories []string

	// Variables are replaced in script lines beside the environment, and win over it.
	Variables map[string]string
}

// The exit codes.
const (
	ExitDone     = 0   // done; patterns that match nothing included
	ExitFailed   = 1   // refused or failed
	ExitUsage    = 2   // wrong usage
	ExitNoDaemon = 3   // no daemon answers
	ExitNotThere = 4   // what was named exactly by its id is not there
	ExitSignal   = 130 // ended by Ctrl-C, as shells have it
	ExitPipe     = 141 // nobody reads the output any more
)

// Shell runs commands. It serves one caller at a time.
type Shell struct {
	opts    Options
	client  *client.Client
	grammar func() *grammar // of all commands

	in  *bufio.Reader
	out *output
	err io.Writer

	loaded  map[string]string   // what conf load loaded
	aliases map[string][]string // the words that each stands for

	// foreign says that another shell completes a line, not the prompt; forFile
	// that the line wants a file.
	foreign, forFile bool

	// count is where lists add how long they are in place of being printed, nil
	// where they are printed.
	count *int

	// depth counts the scripts within scripts; stdin says that commands are
	// being read from In; prompting says that a prompt is up.
	depth     int
	stdin     bool
	prompting bool
}

// New returns a Shell.
func New(o Options) *Shell {
	if o.In == nil {
		o.In = os.Stdin
	}
	if o.Out == nil {
		o.Out = os.Stdout
	}
	if o.Err == nil {
		o.Err = os.Stderr
	}
	if o.IsTerminal == nil {
		o.IsTerminal = isTerminal
	}
	if o.Env == nil {
		o.Env = os.LookupEnv
	}
	s := &Shell{opts: o, client: o.Client, grammar: sync.OnceValue(newGrammar), err: o.Err}
	s.in = bufio.NewReader(o.In)
	s.out = newOutput(o.Out, o.IsTerminal(o.Out), s.colour(o.Out))
	return s
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// colour reports whether a stream may have colour. See https://no-color.org.
func (s *Shell) colour(stream any) bool {
	if v, ok := s.opts.Env("NO_COLOR"); ok && v != "" {
		return false
	}
	if v, _ := s.opts.Env("TERM"); v == "dumb" {
		return false
	}
	return s.opts.IsTerminal(stream)
}

// Run runs the command that args are, without the program's name, and returns
// the exit code. Without args it prompts on a terminal, and else reads commands
// from In, a line each. What is wrong is told on Err.
func (s *Shell) Run(ctx context.Context, args []string) int {
	var err error
	switch {
	case len(args) > 0 && args[0] == completing:
		s.proposals(ctx, args[1:])
		_ = s.out.Flush()
		return ExitDone
	case len(args) == 1 && args[0] == heldBack:
		return s.beHeldBack()
	case len(args) == 1 && args[0] == waking:
		return s.wakeDaemon(ctx)
	case len(args) > 0:
		err = s.interruptible(ctx, args, func(ctx context.Context) error { return s.Exec(ctx, args) })
	case s.opts.IsTerminal(s.opts.In):
		err = s.prompt(ctx)
	default:
		err = s.interruptible(ctx, nil, func(ctx context.Context) error { return s.scriptFrom(ctx, "", s.in) })
	}
	return s.report(err)
}

// Exec runs one command and returns what went wrong, for callers that have
// their own way to tell it.
func (s *Shell) Exec(ctx context.Context, args []string) error {
	err := s.run(ctx, args)
	if flush := s.out.Flush(); err == nil {
		err = flush
	}
	return err
}

// interruptible runs work that Ctrl-C cancels, unless this program was started
// so that it ignores it. Serving, and running a command in the foreground, have their own way with signals.
func (s *Shell) interruptible(ctx context.Context, args []string, work func(context.Context) error) error {
	if len(args) > 0 && (args[0] == "serve" || args[0] == "run") || signal.Ignored(os.Interrupt) {
		return work(ctx)
	}
	inner, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	err := work(inner)
	if err != nil && inner.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("%w: %w", errInterrupted, err)
	}
	return err
}

// report tells err on Err, a line, and returns its exit code.
func (s *Shell) report(err error) int {
	if flush := s.out.Flush(); err == nil {
		err = flush
	}
	code := exitCode(err)
	if code != ExitDone && code != ExitSignal && code != ExitPipe && !isTold(err) {
		fmt.Fprintf(s.err, "berth: %s\n", oneLine(err.Error()))
	}
	return code
}

// note tells something beside the output: a warning, or that nothing matched.
func (s *Shell) note(format string, args ...any) {
	// Before it, what was printed so far, so that a terminal has them in order.
	_ = s.out.Flush()
	fmt.Fprintf(s.err, "%s\n", oneLine(fmt.Sprintf(format, args...)))
}

// oneLine makes text that others wrote safe to show on a line.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t':
			return ' '
		case r < ' ', r == 0x7f, r >= 0x80 && r < 0xa0:
			return -1
		}
		return r
	}, strings.TrimRight(text, "\r\n"))
}

// brokenPipe reports whether nobody reads any more.
func brokenPipe(err error) bool { return errors.Is(err, syscall.EPIPE) }
