package shell

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"berth/api"
	"berth/lease"
)

// portCommands are the commands on ranges.
type portCommands struct {
	Add       portAddCommand       `cmd:"" help:"add a range, or those of a file"`
	Update    portUpdateCommand    `cmd:"" help:"change the bounds of a range"`
	Del       portDelCommand       `cmd:"" help:"delete ranges"`
	Ls        portLsCommand        `cmd:"" help:"list ranges with what became of their ports"`
	Archive   portArchiveCommand   `cmd:"" help:"keep the ranges under a revision"`
	Unarchive portUnarchiveCommand `cmd:"" help:"bring the ranges of a revision back"`
}

func (portCommands) page() page {
	return page{
		long: `A range is a name for the ports from min to max, both included, of one protocol. A process whose descriptor has <port name="http"/> is given one port of the range http when it starts; when it ends, the port comes back to the range. Ranges of one protocol do not overlap.`,
		examples: []example{
			{"port add -n http -min 8080 -max 8085", "add a range of six ports"},
			{"port ls", "list all ranges"},
		},
	}
}

type portAddCommand struct {
	Name       string     `short:"n" placeholder:"NAME" help:"name of the range: letters, digits, '.', '_' and '-'"`
	Min        portNumber `placeholder:"PORT" help:"first port, 1 to 65535"`
	Max        portNumber `placeholder:"PORT" help:"last port, included"`
	Proto      protocol   `default:"tcp" placeholder:"PROTOCOL" complete:"protocol" help:"tcp or udp"`
	Properties string     `short:"p" placeholder:"FILE" complete:"file" help:"add the ranges of a Java properties file, lines of NAME=MIN,MAX or NAME=PORT"`
	Clear      bool       `help:"replace the ranges that there are"`
	Force      bool       `short:"f" help:"with -clear: also where a range that goes has live leases"`
	outputOption
}

func (portAddCommand) page() page {
	return page{
		usage: []string{
			"berth port add -n NAME -min PORT -max PORT [-proto tcp|udp]",
			"berth port add -p FILE [-clear [-f]]",
		},
		long: `Adds a range of ports, or all ranges of a file. A range that overlaps another one of its protocol is refused; ends count, so 100 to 105 and 106 to 110 are neighbours. From a file either all ranges are added or none.

With -clear the ranges replace all that there are. A range that goes thereby and has live leases stops it, unless -f is given; its leases then live on until their processes end. Without -clear, -f is accepted and changes nothing.`,
		examples: []example{
			{"port add -n http -min 8080 -max 8085", "add a range of six TCP ports"},
			{"port add -n syslog -min 514 -max 514 -proto udp", "add a range of one UDP port"},
			{"port add -p ranges.properties -clear", "replace all ranges by those of a file"},
		},
	}
}

func (c *portAddCommand) run(ctx context.Context, s *Shell) error {
	in := api.AddRanges{Clear: c.Clear, Force: c.Force && c.Clear}
	switch {
	case c.Properties != "" && (c.Name != "" || c.Min != 0 || c.Max != 0):
		return &UsageError{Text: "option -p names a file of ranges, and goes without -n, -min and -max"}
	case c.Properties != "":
		ranges, err := propertiesFile(c.Properties, string(c.Proto))
		if err != nil {
			return err
		}
		in.Ranges = ranges
	case c.Name == "":
		return &UsageError{Text: "option -n is missing"}
	case c.Min == 0:
		return &UsageError{Text: "option -min is missing"}
	case c.Max == 0:
		return &UsageError{Text: "option -max is missing"}
	case c.Max < c.Min:
		return &UsageError{Text: fmt.Sprintf("option -max: %d is below -min %d", c.Max, c.Min)}
	default:
		in.Ranges = []api.Range{{Name: c.Name, Min: int(c.Min), Max: int(c.Max), Protocol: string(c.Proto)}}
	}
	added, err := s.client.AddRanges(ctx, in)
	if err != nil {
		if errors.Is(err, lease.ErrRangeLeased) && !c.Force {
			return fmt.Errorf("%w (-f forces it)", err)
		}
		return err
	}
	return list(s, c.Output, added, func() {
		for _, r := range added {
			s.out.printf("added %s %s %s\n", r.Name, interval(r), r.Protocol)
		}
	})
}

func propertiesFile(path, proto string) ([]api.Range, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("option -p: %w", err)
	}
	defer f.Close()
	parsed, err := lease.ParseProperties(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(parsed) == 0 {
		return nil, fmt.Errorf("%s: there is no range in it", path)
	}
	out := make([]api.Range, 0, len(parsed))
	for _, r := range parsed {
		out = append(out, api.Range{Name: r.Name, Min: r.Min, Max: r.Max, Protocol: proto})
	}
	return out, nil
}

type portUpdateCommand struct {
	Name  string     `short:"n" placeholder:"NAME" needed:"" complete:"range" help:"name of the range"`
	Min   portNumber `placeholder:"PORT" help:"first port, 1 to 65535; left out, it stays as it is"`
	Max   portNumber `placeholder:"PORT" help:"last port, included; left out, it stays as it is"`
	Force bool       `short:"f" help:"also where ports that are leased fall out of the range"`
	outputOption
}

func (portUpdateCommand) page() page {
	return page{
		long: `Changes the first or the last port of a range, or both. The leases of the range stay as they are, and ports that are new to it can be leased at once. Bounds that overlap another range of the protocol are refused.

Where ports that are leased would fall out of the range nothing is changed, and the error names them and who has them. With -f it is done all the same: those leases live on until their processes end, and their ports are no range's then.`,
		examples: []example{
			{"port update -n http -max 8099", "give a range more ports"},
			{"port update -n http -min 9080 -max 9085 -f", "move it, whoever has ports of it"},
		},
	}
}

func (c *portUpdateCommand) run(ctx context.Context, s *Shell) error {
	switch {
	case c.Min == 0 && c.Max == 0:
		return &UsageError{Text: "options -min and -max are missing: give one of them or both"}
	case c.Min != 0 && c.Max != 0 && c.Max < c.Min:
		return &UsageError{Text: fmt.Sprintf("option -max: %d is below -min %d", c.Max, c.Min)}
	}
	u, err := s.client.UpdateRange(ctx, c.Name, api.UpdateRange{Min: int(c.Min), Max: int(c.Max), Force: c.Force})
	if err != nil {
		if errors.Is(err, lease.ErrRangeLeased) && !c.Force {
			return fmt.Errorf("%w (-f forces it)", err)
		}
		return err
	}
	u.Outside = notNil(u.Outside)
	return list(s, c.Output, []api.UpdatedRange{u}, func() {
		if u.Range == u.Before {
			s.out.printf("%s %s %s is as it was\n", u.Name, interval(u.Range), u.Protocol)
			return
		}
		s.out.printf("updated %s %s %s, before %s\n", u.Name, interval(u.Range), u.Protocol, interval(u.Before))
		for _, line := range activeLines(s.out, u.Outside) {
			s.out.printf("still leased outside of it: %s\n", line)
		}
	})
}

// interval is how Corus shows the ports of a range.
func interval(r api.Range) string { return fmt.Sprintf("[%d - %d]", r.Min, r.Max) }

type portDelCommand struct {
	Name  string `short:"n" placeholder:"PATTERN" needed:"" pattern:"" complete:"range" help:"name of the ranges to delete"`
	Force bool   `short:"f" help:"also where a range has live leases"`
	outputOption
}

func (portDelCommand) page() page {
	return page{
		long: `Deletes the ranges that match the pattern, or none of them where one has live leases. With -f it deletes them all the same: the leases live on until their processes end, and a range that is added over them later shows them as active. No match is no error.`,
		examples: []example{
			{"port del -n http", "delete one range"},
			{`port del -n "test.*" -f`, "delete all that begin with test., leased or not"},
		},
	}
}

func (c *portDelCommand) run(ctx context.Context, s *Shell) error {
	out, err := s.client.DeleteRanges(ctx, c.Name, c.Force)
	if err != nil {
		if errors.Is(err, lease.ErrRangeLeased) && !c.Force {
			return fmt.Errorf("%w (-f forces it)", err)
		}
		return err
	}
	s.noneMatch(c.Output, len(out.Deleted), c.Name, "range", "")
	return list(s, c.Output, out.Deleted, func() {
		for _, r := range out.Deleted {
			s.out.printf("deleted %s %s %s\n", r.Name, interval(r), r.Protocol)
		}
	})
}

type portLsCommand struct {
	Name string `short:"n" placeholder:"PATTERN" pattern:"" complete:"range" help:"name of the ranges to list"`
	outputOption
}

func (portLsCommand) page() page {
	return page{
		long: `Lists ranges. A port of a range is available; or active, which means leased, with its holder; or set aside, because something else is bound to it, with what that is. Runs of ports are shortened: 8082-8085.`,
		examples: []example{
			{"port ls", "list all ranges"},
			{`port ls -n "http*" -o json`, "list some as JSON"},
		},
	}
}

func (c *portLsCommand) run(ctx context.Context, s *Shell) error {
	ranges, err := s.client.Ranges(ctx, c.Name)
	if err != nil {
		return err
	}
	for i := range ranges {
		ranges[i].Available = notNil(ranges[i].Available)
		ranges[i].Active = notNil(ranges[i].Active)
		ranges[i].SetAside = notNil(ranges[i].SetAside)
	}
	s.noneMatch(c.Output, len(ranges), c.Name, "range", "add one with port add")
	return list(s, c.Output, ranges, func() {
		if len(ranges) > 0 {
			s.out.table(rangeTable(s.out, ranges))
		}
	})
}

// noneMatch tells people that a list is empty, and why. Programs read [].
func (s *Shell) noneMatch(as format, n int, pattern, noun, otherwise string) {
	switch {
	case n > 0 || as != asTable || s.count != nil:
	case pattern != "":
		s.note("no %s matches %s", noun, pattern)
	case otherwise != "":
		s.note("there is no %s; %s", noun, otherwise)
	default:
		s.note("there is no %s", noun)
	}
}

func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// rangeTable has a range on one line, and as many more as it has holders or
// ports set aside.
func rangeTable(o *output, ranges []api.RangeStatus) table {
	t := table{head: []string{"NAME", "RANGE", "PROTOCOL", "AVAILABLE", "ACTIVE", "SET ASIDE"}}
	for _, r := range ranges {
		active, aside := activeLines(o, r.Active), asideLines(o, r.SetAside)
		row := []string{oneLine(r.Name), interval(r.Range), r.Protocol, o.good(runs(r.Available)), "", ""}
		for i := range max(1, len(active), len(aside)) {
			if i > 0 {
				row = make([]string, 6)
			}
			row[4], row[5] = "-", "-"
			if i > 0 {
				row[4], row[5] = "", ""
			}
			if i < len(active) {
				row[4] = active[i]
			}
			if i < len(aside) {
				row[5] = aside[i]
			}
			t.add(row...)
		}
	}
	return t
}

// activeLines are the active ports, those of one holder in a row shortened.
func activeLines(o *output, ports []api.ActivePort) []string {
	var lines []string
	for i := 0; i < len(ports); {
		p, j := ports[i], i
		for j+1 < len(ports) {
			next := ports[j+1]
			if next.Port != ports[j].Port+1 || next.Holder != p.Holder || next.PID != p.PID || next.State != p.State {
				break
			}
			j++
		}
		line := run(p.Port, ports[j].Port) + " " + oneLine(p.Holder)
		if pid := fmt.Sprintf("pid %d", p.PID); p.PID != 0 && !strings.Contains(p.Holder, pid) {
			line += " (" + pid + ")"
		}
		if p.State == api.PortStolen {
			line += " " + o.bad("stolen")
		}
		lines = append(lines, line)
		i = j + 1
	}
	return lines
}

// asideLines are the ports set aside, those of one reason in a row shortened.
func asideLines(o *output, ports []api.SetAsidePort) []string {
	var lines []string
	for i := 0; i < len(ports); {
		p, j := ports[i], i
		for j+1 < len(ports) {
			next := ports[j+1]
			if next.Port != ports[j].Port+1 || next.Reason != p.Reason || next.PID != p.PID {
				break
			}
			j++
		}
		line := o.odd(run(p.Port, ports[j].Port)) + " " + oneLine(p.Reason)
		if pid := fmt.Sprintf("pid %d", p.PID); p.PID != 0 && !strings.Contains(p.Reason, pid) {
			line += " (" + pid
			if p.Command != "" {
				line += ", " + oneLine(p.Command)
			}
			line += ")"
		}
		lines = append(lines, line)
		i = j + 1
	}
	return lines
}
