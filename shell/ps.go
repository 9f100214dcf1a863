package shell

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"berth/api"
)

// selection is the options that select processes.
type selection struct {
	ID           []identity   `short:"i" placeholder:"ID" complete:"id" help:"ids of the processes"`
	Op           []identity   `aliases:"pid" placeholder:"PID" complete:"pid" help:"process ids of the operating system"`
	Distribution string       `short:"d" placeholder:"PATTERN" pattern:"" complete:"distribution" help:"name of their distribution"`
	Version      string       `short:"v" placeholder:"PATTERN" pattern:"" complete:"version" help:"version of their distribution"`
	Name         string       `short:"n" placeholder:"PATTERN" pattern:"" complete:"process" help:"name of the processes"`
	Profile      string       `short:"p" placeholder:"PATTERN" pattern:"" complete:"profile" help:"profile with which they were started"`
	Pr           portSelector `placeholder:"RANGE:PORT" pattern:"" complete:"port" help:"a port that they have: http:8080, http:*, *:8080"`
}

func (c *selection) selector() api.Selector {
	return api.Selector{
		IDs: ints(c.ID), PIDs: ints(c.Op), Distribution: c.Distribution, Version: c.Version,
		Name: c.Name, Profile: c.Profile, Port: string(c.Pr),
	}
}

// String is the selection as it was typed, for messages.
func (c *selection) String() string {
	var words []string
	add := func(option, value string) {
		if value != "" {
			words = append(words, option+" "+value)
		}
	}
	for _, id := range c.ID {
		add("-i", strconv.Itoa(int(id)))
	}
	for _, pid := range c.Op {
		add("-op", strconv.Itoa(int(pid)))
	}
	add("-d", c.Distribution)
	add("-v", c.Version)
	add("-n", c.Name)
	add("-p", c.Profile)
	add("-pr", string(c.Pr))
	return strings.Join(words, " ")
}

type psCommand struct {
	selection
	Ports bool `help:"show their ports"`
	All   bool `short:"a" help:"show those that ended as well, with how and why"`
	Long  bool `short:"l" help:"show their ports, uptime, restarts, processor time and memory"`
	outputOption
}

func (psCommand) page() page {
	return page{
		long: `Lists the processes that run: distribution, version, profile, name, id, process id of the operating system, and status. -ports adds the ports that each has, with whether it listens on them. -l adds the ports as well, how long each has run, how often it was started again, by request or by itself, its share of one processor since that was asked for before (at most a minute ago; the first time since its start), and its memory, both with its descendants; JSON and YAML have these always. -a adds the last ones that ended, with their exit code or signal and the reason; logs shows their output still.

(retry N) after a status says that the process was started again on other ports: something else had taken one of its ports before it could listen. -a shows what that was; port ls shows the port set aside. It is tried three times.

(healthy), (unhealthy) and (checking) tell what the health check of its app file has come to; checking is one that has not answered yet since it was started. info tells why.

A process that is waiting has ended and is started again by itself, as its descriptor says (restart, maxRestarts): at once the first time, then after pauses that grow to half a minute. It keeps its ports meanwhile. kill ends it, restart starts it now.

Options that select hold together. An id that is not there is an error with exit code 4; a pattern that matches nothing is none.`,
		examples: []example{
			{"ps", "list what runs"},
			{"ps -ports -d demo", "with the ports, of one distribution"},
			{`ps -pr "http:*" -o json`, "what has a port of the range http, as JSON"},
			{"ps -l", "with what they use"},
			{"ps -a", "also what ended"},
		},
	}
}

func (c *psCommand) run(ctx context.Context, s *Shell) error {
	processes := s.client.Processes
	if c.Long || c.Output != asTable {
		processes = s.client.ProcessesUsing
	}
	ps, err := processes(ctx, c.selector(), c.All)
	if err != nil {
		return byID(err)
	}
	s.noneMatch(c.Output, len(ps), c.String(), "process", "")
	return list(s, c.Output, withPorts(ps), func() {
		if len(ps) > 0 {
			s.out.table(processTable(s.out, ps, c.Ports || c.Long, c.All, c.Long))
		}
	})
}

func processTable(o *output, ps []api.Process, ports, ended, long bool) table {
	t := table{head: []string{"DISTRIBUTION", "VERSION", "PROFILE", "NAME", "ID", "PID", "STATUS"}}
	if long {
		t.head = append(t.head, "CPU", "MEMORY", "UPTIME", "RESTARTS")
	}
	if ports {
		t.head = append(t.head, "PORTS")
	}
	if ended {
		t.head = append(t.head, "EXIT", "REASON")
	}
	for _, p := range ps {
		row := []string{
			oneLine(p.Distribution), oneLine(p.Version), oneLine(p.Profile), oneLine(p.Name),
			strconv.Itoa(p.ID), orNoNumber(p.PID), status(o, p.Status) + retries(p) + health(o, p),
		}
		if long {
			row = append(row, cpu(p), memory(p), uptime(p), strconv.Itoa(p.Restarts))
		}
		if ports {
			row = append(row, portStates(o, p))
		}
		if ended {
			row = append(row, exit(p), oneLine(p.Reason))
		}
		t.rows = append(t.rows, row)
	}
	return t
}

func orNoNumber(n int) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(n)
}

func status(o *output, status string) string {
	switch status {
	case api.StatusRunning:
		return o.good(status)
	case api.StatusEnded:
		return o.faint(status)
	default:
		return o.odd(oneLine(status))
	}
}

// retries tells how often a process lost a race for a port.
func retries(p api.Process) string {
	if p.Retries == 0 {
		return ""
	}
	return fmt.Sprintf(" (retry %d)", p.Retries)
}

// health is what the check of a process has come to, where it has one.
func health(o *output, p api.Process) string {
	switch p.Health {
	case "":
		return ""
	case api.HealthHealthy:
		return " (" + o.good(p.Health) + ")"
	case api.HealthUnhealthy:
		return " (" + o.bad(p.Health) + ")"
	default:
		return " (" + o.odd(oneLine(p.Health)) + ")"
	}
}

// portStates are the ports of a process with what became of them.
func portStates(o *output, p api.Process) string {
	var all []string
	for _, port := range p.Ports {
		one := portList([]api.ProcessPort{port})
		switch {
		case p.Status == api.StatusEnded:
		case port.State == api.PortListening:
			one += " " + o.good(port.State)
		case port.State == api.PortStolen:
			one += " " + o.bad(port.State)
		case port.State != "":
			one += " " + o.odd(oneLine(port.State))
		}
		if port.Reason != "" {
			one += " (" + oneLine(port.Reason) + ")"
		}
		all = append(all, one)
	}
	if len(all) == 0 {
		return "-"
	}
	return strings.Join(all, ", ")
}

// exit is how a process ended.
func exit(p api.Process) string {
	switch {
	case p.Status != api.StatusEnded:
		return "-"
	case p.Signal != "":
		return oneLine(p.Signal)
	case p.ExitCode != nil:
		return fmt.Sprintf("code %d", *p.ExitCode)
	default:
		return "unknown"
	}
}
