package shell

import (
	"context"
	"errors"
	"io"

	"berth/client"
)

type logsCommand struct {
	ID     identity   `arg:"" name:"id" complete:"ended" help:"id of the process"`
	Follow bool       `short:"f" help:"go on with what is written until the process ended"`
	Lines  *lineCount `short:"n" placeholder:"N" help:"begin with the last N lines"`
}

func (logsCommand) page() page {
	return page{
		long: `Shows what a process wrote to its standard output and error, also of one that ended not long ago. With -f it goes on with what is written, across restarts, until the process has ended or Ctrl-C is pressed. Output that was rotated is shown as well, as far as it is kept: 5 files of 10 MiB where serve is not told otherwise.`,
		examples: []example{
			{"logs 3", "show all output of a process"},
			{"logs -f -n 20 3", "show its last 20 lines and what follows"},
		},
	}
}

func (c *logsCommand) run(ctx context.Context, s *Shell) error {
	o := client.Output{Follow: c.Follow}
	if c.Lines != nil {
		n := int(*c.Lines)
		o.Tail = &n
	}
	r, err := s.client.Output(ctx, int(c.ID), o)
	if err != nil {
		return byID(err)
	}
	defer r.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			if _, werr := s.out.Write(buf[:n]); werr != nil {
				return werr
			}
			// What was written is seen at once.
			if werr := s.out.Flush(); werr != nil {
				return werr
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}
