package shell

import (
	"context"
	"fmt"
	"io"
)

type countCommand struct {
	Assert itemCount `short:"a" default:"-1" placeholder:"N" help:"fail unless there are as many"`
	Line   []string  `arg:"" name:"command" verbatim:"" complete:"line" help:"the command whose items are counted, with its options"`
}

// itemCount is a number of items, 0 to a million.
type itemCount int

func (c *itemCount) UnmarshalText(text []byte) error {
	if string(text) == "-1" { // as the default says that none is wanted
		*c = -1
		return nil
	}
	n, err := number(string(text), 0, 1_000_000)
	*c = itemCount(n)
	return err
}

func (countCommand) page() page {
	return page{
		usage: []string{"berth count [-a N] COMMAND …"},
		long: `Runs a command and prints how many items are in its list, in place of the list: processes for ps and kill, ranges for port ls, distributions for ls. A command without a list has none. Where the command fails, count fails with its exit code.

With -a another number than the one given is a failure, with exit code 1, which ends a script. What stands behind the first word of the command belongs to it.`,
		examples: []example{
			{"count ps -d demo", "how many processes of a distribution run"},
			{"count -a 3 ps -n httpServer", "make sure that there are three"},
		},
	}
}

func (c *countCommand) run(ctx context.Context, s *Shell) error {
	n := 0
	out, before := s.out, s.count
	s.out, s.count = newOutput(io.Discard, false, false), &n
	err := s.run(ctx, withoutProgram(c.Line))
	s.out, s.count = out, before
	if err != nil {
		return err
	}
	if c.Assert >= 0 && int(c.Assert) != n {
		return fmt.Errorf("%d wanted, and there are %d", c.Assert, n)
	}
	s.out.printf("%d\n", n)
	return nil
}
