package shell

import (
	"context"
	"fmt"
	"strings"

	"berth/api"
)

// target is what kill, restart and reload act on.
type target struct {
	Which string `arg:"" optional:"" name:"name" complete:"named" help:"name of the processes, or a pattern; all: all processes"`
	selection
}

// String is the target as it was typed, for messages.
func (t *target) String() string {
	if t.Which != "" {
		return t.Which
	}
	return t.selection.String()
}

// selector is the target as the daemon takes it. Nothing selected is wrong
// usage: it is not everything.
func (t *target) selector(verb string) (api.Selector, error) {
	s := t.selection.selector()
	picked := t.selection.String()
	switch {
	case t.Which == "all" && picked != "":
		return s, &UsageError{Text: fmt.Sprintf("`all` goes without %s", picked)}
	case t.Which == "all":
		return api.Selector{All: true}, nil
	case t.Which != "" && picked == "" && strings.Trim(t.Which, "0123456789") != "":
		return api.Selector{Name: t.Which}, nil
	case t.Which != "":
		text := "unexpected word " + quote(t.Which)
		if t.Distribution != "" || t.Version != "" || t.Name != "" || t.Profile != "" || t.Pr != "" {
			text += ": did your shell expand `*`? quote it"
		} else {
			text += ": an id stands behind -i"
		}
		return s, &UsageError{Text: text}
	case picked == "":
		return s, &UsageError{Text: fmt.Sprintf("say what to %s: its NAME, all, -i ID…, -op PID…, -pr RANGE:PORT, or -d NAME -v VERSION with -n and -p", verb)}
	}
	return s, nil
}

type killCommand struct {
	target
	Hard bool    `help:"force them at once, without asking"`
	Wait seconds `short:"w" placeholder:"SECONDS" bare:"60" help:"wait until their ports are back, 60 seconds if no number is given"`
	outputOption
}

func (killCommand) page() page {
	return page{
		usage: []string{
			"berth kill NAME [-hard] [-w [SECONDS]]",
			"berth kill all [-hard] [-w [SECONDS]]",
			"berth kill -i ID… | -op PID… | -pr RANGE:PORT [-hard] [-w [SECONDS]]",
			"berth kill -d PATTERN -v PATTERN [-n PATTERN] [-p PATTERN] [-hard] [-w [SECONDS]]",
		},
		long: `Asks processes to stop; one that has not within the shutdownTimeout of its descriptor is forced, -hard forces it at once. Its ports come back when it has ended. With -w the command waits for that.

Options that select hold together. An id that is not there is an error with exit code 4; a pattern that matches nothing is none.`,
		examples: []example{
			{"kill httpServer", "stop the processes of one name"},
			{"kill -i 3 -w", "stop one process and wait until its ports are back"},
			{`kill -d demo -v "*"`, "stop the processes of all versions of a distribution"},
			{"kill all -hard", "force all processes"},
		},
	}
}

func (c *killCommand) run(ctx context.Context, s *Shell) error {
	sel, err := c.selector("stop")
	if err != nil {
		return err
	}
	what := "stopping processes"
	if c.Wait > 0 {
		what = fmt.Sprintf("waiting until their ports are back (at most %gs)", float64(c.Wait))
	}
	var out api.Affected
	err = s.busyWith(ctx, what, func(ctx context.Context, tell func(string)) (err error) {
		if c.Wait > 0 {
			defer s.waitedFor(ctx, sel, tell, notEnded)()
		}
		out, err = s.client.Kill(ctx, api.Kill{Selector: sel, Hard: c.Hard, WaitSeconds: float64(c.Wait)})
		return err
	})
	return c.print(s, c.Output, out, err)
}

type restartCommand struct {
	target
	Port []string `placeholder:"SPEC" help:"other ports for this run: 3001, 4000-4003, auto:5000-5100, or a range"`
	Hard bool     `help:"force them at once, without asking"`
	Wait seconds  `short:"w" placeholder:"SECONDS" bare:"60" help:"wait until they listen again, 60 seconds if no number is given"`
	outputOption
}

func (restartCommand) page() page {
	return page{
		usage: []string{
			"berth restart NAME [-port SPEC…] [-hard] [-w [SECONDS]]",
			"berth restart all [-hard] [-w [SECONDS]]",
			"berth restart -i ID… | -op PID… | -pr RANGE:PORT [-hard] [-w [SECONDS]]",
			"berth restart -d PATTERN -v PATTERN [-n PATTERN] [-p PATTERN] [-hard] [-w [SECONDS]]",
		},
		long: `Stops processes and starts them again. A process keeps its id and its ports: nothing else can get them in between. With -w the command waits until all listen again and, where they have a health_check_url, answer there.

With -port the processes of one name get other ports for this run; what is deployed stays as it is. They are new processes then, with ids of their own, which are started before the old ones are asked to end: a port that cannot be had changes nothing.

Options that select hold together. An id that is not there is an error with exit code 4; a pattern that matches nothing is none.`,
		examples: []example{
			{"restart web -port 3001", "on another port for this run"},
			{"restart -i 3 4 -w 30", "restart two processes and wait up to 30 seconds"},
			{"restart -d demo -v 1.0 -n httpServer", "restart the processes of one name"},
		},
	}
}

func (c *restartCommand) run(ctx context.Context, s *Shell) error {
	sel, err := c.selector("restart")
	if err != nil {
		return err
	}
	if len(c.Port) > 0 && c.Hard {
		return &UsageError{Text: "option -hard does not go with -port: the new processes start before the old ones end"}
	}
	what := "restarting processes"
	if c.Wait > 0 {
		what = fmt.Sprintf("waiting until they listen again (at most %gs)", float64(c.Wait))
	}
	var out api.Affected
	err = s.busyWith(ctx, what, func(ctx context.Context, tell func(string)) (err error) {
		if c.Wait > 0 {
			defer s.waitedFor(ctx, sel, tell, notListening)()
		}
		out, err = s.client.Restart(ctx, api.Restart{Selector: sel, Ports: c.Port, Hard: c.Hard, WaitSeconds: float64(c.Wait)})
		return err
	})
	return c.print(s, c.Output, out, err)
}

// print tells which processes were reached.
func (t *target) print(s *Shell, as format, out api.Affected, err error) error {
	if err != nil {
		return byID(err)
	}
	s.noneMatch(as, len(out.Processes), t.String(), "process", "")
	return list(s, as, withPorts(out.Processes), func() {
		for _, p := range out.Processes {
			if p.PID == 0 || p.Status == api.StatusEnded {
				s.out.printf("%s %s %d\n", p.Status, oneLine(p.Name), p.ID)
				continue
			}
			s.out.printf("%s %s %d (pid %d)%s\n", p.Status, oneLine(p.Name), p.ID, p.PID, behind(" on ", portList(p.Ports)))
		}
	})
}
