package shell

import (
	"context"
	"encoding/json"
	"fmt"

	"berth/api"
	"berth/client"
)

type eventsCommand struct {
	Follow bool       `short:"f" help:"go on with what happens"`
	Lines  *lineCount `short:"n" placeholder:"N" help:"begin with the last N events"`
	outputOption
}

func (eventsCommand) page() page {
	return page{
		long: `Shows what has happened to ranges, leases, ports, distributions and processes: the latest that the daemon has in memory, the oldest first. With -f it goes on with what happens until Ctrl-C is pressed, also over a restart of the daemon.

The daemon keeps the last few thousand events. A line of the noun stream says where some are not kept any more, or that this reader was too slow and was dropped. -o json prints a line of JSON for each.`,
		examples: []example{
			{"events", "show what has happened lately"},
			{"events -f -n 0", "show what happens from now on"},
			{"events -f -o json", "follow, a line of JSON for each event"},
		},
	}
}

func (c *eventsCommand) run(ctx context.Context, s *Shell) error {
	o := client.Events{Follow: c.Follow}
	if c.Lines != nil {
		n := int(*c.Lines)
		o.Last = &n
	}
	for e, err := range s.client.Events(ctx, o) {
		if err != nil {
			return err
		}
		if err := s.printEvent(c.Output, e); err != nil {
			return err
		}
		// What happens is seen at once.
		if c.Follow {
			if err := s.out.Flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Shell) printEvent(as format, e api.Event) error {
	switch as {
	case asJSON:
		enc := json.NewEncoder(s.out)
		enc.SetEscapeHTML(false)
		return enc.Encode(e)
	case asYAML:
		return list(s, as, []api.Event{e}, nil) // lists behind each other are one
	}
	kind := fmt.Sprintf("%-11s", oneLine(e.Kind))
	switch e.Kind {
	case api.StatusRunning, api.PortListening, "available":
		kind = s.out.good(kind)
	case api.PortStolen, api.EventMissed, api.EventDropped:
		kind = s.out.bad(kind)
	case "set-aside", api.StatusRestarting, api.StatusStopping:
		kind = s.out.odd(kind)
	}
	at := s.out.faint(e.Time.Local().Format("2006-01-02 15:04:05.000"))
	s.out.printf("%s  %-12s  %s  %s\n", at, oneLine(e.Noun), kind, oneLine(e.Text))
	return nil
}
