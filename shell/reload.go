package shell

import (
	"context"
	"fmt"
	"slices"

	"berth/api"
)

type reloadCommand struct {
	target
	Port []string `placeholder:"SPEC" help:"other ports for this run: 3001, 4000-4003 (an instance for each), auto:5000-5100, or a range"`
	Wait seconds  `short:"w" placeholder:"SECONDS" bare:"60" help:"how long each new one may take until it listens, 60 seconds if no number is given"`
	outputOption
}

func (reloadCommand) page() page {
	return page{
		usage: []string{
			"berth reload NAME [-port SPEC…] [-w [SECONDS]]",
			"berth reload all [-w [SECONDS]]",
			"berth reload -i ID… | -op PID… | -pr RANGE:PORT [-w [SECONDS]]",
			"berth reload -d PATTERN -v PATTERN [-n PATTERN] [-p PATTERN] [-w [SECONDS]]",
		},
		long: `Exchanges processes for new ones, one after the other: a new process is started on ports of its own, and once it listens, and answers at its health_check_url where it has one, the old one is asked to end and its ports come back. So one free port in each range is enough for any number of instances. The new process has an id of its own and the instance number of the one that it replaces. A port with handoff="listen" stays the same: its socket is handed to the new process as well, and no connection is lost.

A new process that ends, or does not listen in time, is stopped again; the old one stays, and so do those that would have come after it. A process that cannot have a new one beside it, because no port is free or its maxInstances is reached, is restarted instead, and a warning says so.

With -port the processes of one name get other ports for this run, in place of the first ones of their definition, which stays as it is: all new ones start together, as many as an interval has ports, and once all listen the old ones are asked to end. With none of them listening in time nothing changes. It lasts until they are killed.

A process that binds the port that it was handed listens from the first moment on; it is waited for until it accepts connections, or has had nothing to do for two seconds.`,
		examples: []example{
			{"reload httpServer", "exchange the processes of one name"},
			{"reload -d demo -v 1.0 -w 30", "those of a distribution, with 30 seconds for each to listen"},
			{"reload -i 3", "exchange one process"},
			{"reload api -port 4000-4003", "four instances on other ports, in place of what runs"},
		},
	}
}

func (c *reloadCommand) run(ctx context.Context, s *Shell) error {
	sel, err := c.selector("reload")
	if err != nil {
		return err
	}
	var out api.Reloaded
	err = s.busy(ctx, "exchanging processes", func(ctx context.Context) (err error) {
		out, err = s.client.Reload(ctx, api.Reload{Selector: sel, Ports: c.Port, WaitSeconds: float64(c.Wait)})
		return err
	})
	if err != nil {
		return byID(err)
	}
	for _, warning := range out.Warnings {
		s.note("warning: %s", warning)
	}
	s.noneMatch(c.Output, len(out.Processes)+len(out.Warnings), c.String(), "process", "")
	return list(s, c.Output, withPorts(out.Processes), func() {
		for _, p := range out.Processes {
			how := fmt.Sprintf("for %d", p.Replaces)
			if slices.Contains(out.Restarted, p.ID) {
				how = "restarted"
			}
			s.out.printf("%s %s %d, %s (pid %d)%s\n", p.Status, oneLine(p.Name), p.ID, how, p.PID, behind(" on ", portList(p.Ports)))
		}
	})
}
