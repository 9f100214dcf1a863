package shell

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"berth/api"
)

type execCommand struct {
	Config       string        `short:"e" placeholder:"NAME" pattern:"" complete:"exec" help:"exec configuration, which has all the rest in it"`
	Distribution string        `short:"d" placeholder:"PATTERN" pattern:"" complete:"distribution" help:"name of the distribution"`
	Version      string        `short:"v" placeholder:"PATTERN" pattern:"" complete:"version" help:"version of the distribution"`
	Profile      string        `short:"p" placeholder:"PROFILE" complete:"profile" help:"profile, which picks how the processes are started"`
	Name         string        `short:"n" placeholder:"PATTERN" pattern:"" complete:"process" help:"name of the processes; left out, all but those that start by name only"`
	Instances    instanceCount `short:"i" placeholder:"N" help:"how many of each"`
	Wait         seconds       `short:"w" placeholder:"SECONDS" bare:"120" help:"wait until all listen on their ports, 120 seconds if no number is given"`
	Rev          revision      `placeholder:"REVISION" help:"with archive and unarchive: name of the revision"`
	Action       string        `arg:"" optional:"" complete:"action" help:"enable or disable, with -e; archive or unarchive, with -rev: the exec configurations"`
	outputOption
}

func (execCommand) page() page {
	return page{
		usage: []string{
			"berth exec -d PATTERN -v PATTERN -p PROFILE [-n PATTERN] [-i N] [-w [SECONDS]]",
			"berth exec -e NAME [-w [SECONDS]]",
			"berth exec enable|disable -e PATTERN",
			"berth exec archive|unarchive -rev REVISION",
		},
		long: `Starts processes of a distribution. All of them get the ports that their descriptor asks for, or nothing is started; what can be checked is checked before. Each is printed with its id, which ps, kill and logs take, and its ports.

With -w it waits until every process listens on its ports, and fails where one does not in time. When one ends meanwhile it fails at once and shows that one's last lines; the others stay. A process without ports counts as soon as its program runs. One with a health_check_url also has to answer there.

What a process depends on is started first, unless it runs, and has to listen on its ports before the process itself is started: within a minute, or as long as -w says. If one of them does not, what was started so far stays.

A process with invoke="true" starts only when -n names it. A process that needs tags which the server lacks is left out with a warning.

With -e it starts the processes of an exec configuration, which deploy -e has deployed, all or none. One that is disabled starts nothing, neither by exec nor when the host boots.`,
		examples: []example{
			{"exec -d demo -v 1.0 -p test", "start one of each process"},
			{"exec -d demo -v 1.0 -p test -n httpServer -i 3", "start three of one process"},
			{"exec -e site -w", "start the processes of an exec configuration and wait until they listen"},
			{"exec disable -e site", "have it start nothing from now on"},
			{"exec -d demo -v 1.0 -p test -w 30", "wait up to 30 seconds until they listen"},
		},
	}
}

func (c *execCommand) run(ctx context.Context, s *Shell) error {
	if done, err := c.act(ctx, s); done || err != nil {
		return err
	}
	in := api.Exec{
		Config:       c.Config,
		Distribution: c.Distribution, Version: c.Version, Profile: c.Profile, Name: c.Name,
		Instances: int(c.Instances), WaitSeconds: float64(c.Wait),
	}
	what := "starting processes"
	if c.Wait > 0 {
		what = fmt.Sprintf("waiting until they listen (at most %gs)", float64(c.Wait))
	}
	var out api.Started
	err := s.busyWith(ctx, what, func(ctx context.Context, tell func(string)) (err error) {
		if c.Wait > 0 {
			defer s.waitedFor(ctx, api.Selector{Distribution: c.Distribution, Version: c.Version, Name: c.Name, Profile: c.Profile}, tell, notListening)()
		}
		out, err = s.client.Exec(ctx, in)
		return err
	})
	if err != nil {
		if c.Config != "" && errors.Is(err, api.CodeExecNotFound) {
			return byID(err)
		}
		return err
	}
	for _, warning := range out.Warnings {
		s.note("warning: %s", warning)
	}
	if len(out.Processes) == 0 && c.Output == asTable {
		s.note("no process was started")
	}
	return list(s, c.Output, withPorts(out.Processes), func() {
		for _, p := range out.Processes {
			s.out.printf("started %s %d (pid %d)%s\n", oneLine(p.Name), p.ID, p.PID, behind(" on ", portList(p.Ports)))
		}
	})
}

// portList are the ports of a process: http:8080, admin:9000.
func portList(ports []api.ProcessPort) string {
	var all []string
	for _, p := range ports {
		one := fmt.Sprintf("%s:%d", oneLine(p.Name), p.Port)
		if p.State == api.PortAwaited {
			one = oneLine(p.Name) + ":?"
		}
		if p.Protocol != "" && p.Protocol != "tcp" {
			one += "/" + p.Protocol
		}
		all = append(all, one)
	}
	return strings.Join(all, ", ")
}

// behind puts text behind what it needs, unless there is none.
func behind(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}

func withPorts(ps []api.Process) []api.Process {
	for i := range ps {
		ps[i].Ports = notNil(ps[i].Ports)
	}
	return ps
}
