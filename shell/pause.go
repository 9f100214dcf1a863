package shell

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

type pauseCommand struct {
	Seconds seconds `arg:"" optional:"" help:"go on after this time, without Enter"`
	Time    seconds `short:"t" placeholder:"SECONDS" help:"the same"`
}

func (pauseCommand) page() page {
	return page{
		long: `Waits until Enter is pressed, or until the time is over where one is given. The end of standard input counts as Enter.`,
		examples: []example{
			{"pause", "wait for Enter"},
			{"pause 2.5", "wait two and a half seconds"},
		},
	}
}

func (c *pauseCommand) run(ctx context.Context, s *Shell) error {
	if c.Seconds > 0 && c.Time > 0 {
		return &UsageError{Text: "the time is given twice"}
	}
	c.Time = max(c.Time, c.Seconds)
	if c.Time > 0 {
		select {
		case <-time.After(time.Duration(float64(c.Time) * float64(time.Second))):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if s.stdin {
		return &UsageError{Text: "commands are read from standard input, so nobody can press Enter: give the seconds"}
	}
	if s.opts.IsTerminal(s.opts.In) {
		s.note("press Enter to go on")
	}
	if err := s.readable(ctx); err != nil {
		return err
	}
	if _, err := s.in.ReadString('\n'); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// readable waits until something can be read from In, so that Ctrl-C is heard.
func (s *Shell) readable(ctx context.Context) error {
	f, ok := s.opts.In.(*os.File)
	for ok && s.in.Buffered() == 0 {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLIN}}, 50)
		switch {
		case err != nil && !errors.Is(err, unix.EINTR):
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case n > 0:
			return nil
		}
	}
	return nil
}
