package shell

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"berth/api"
	"berth/lease"
)

// portCommands are the commands on ranges.
type portCommands struct {
	Add       portAddCommand       `cmd:"" help:"add a range, or those of a file"`
	Update    portUpdateCommand    `cmd:"" help:"change the bounds, policy, static ports or description of a range"`
	Del       portDelCommand       `cmd:"" help:"delete ranges"`
	Ls        portLsCommand        `cmd:"" help:"list ranges with what became of their ports"`
	Who       portWhoCommand       `cmd:"" help:"tell who has a port, be it of a range or not"`
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
	Name        string     `short:"n" placeholder:"NAME" help:"name of the range: letters, digits, '.', '_' and '-'"`
	Min         portNumber `placeholder:"PORT" help:"first port, 1 to 65535"`
	Max         portNumber `placeholder:"PORT" help:"last port, included"`
	Proto       protocol   `default:"tcp" placeholder:"PROTOCOL" complete:"protocol" help:"tcp or udp"`
	Policy      policyName `placeholder:"POLICY" complete:"policy" help:"how a port is picked: lowest (left out), next or random"`
	Static      *portCount `placeholder:"COUNT" help:"how many ports, the lowest, are kept for leases that ask for them by number"`
	Description string     `placeholder:"TEXT" help:"what the range is for, for people"`
	Ephemeral   bool       `help:"no ports of its own: the system chooses each, of those that lie in no range"`
	Properties  string     `short:"p" placeholder:"FILE" complete:"file" help:"add the ranges of a Java properties file, lines of NAME=MIN,MAX or NAME=PORT"`
	Clear       bool       `help:"replace the ranges that there are"`
	Force       bool       `short:"f" help:"with -clear: also where a range that goes has live leases"`
	outputOption
}

func (portAddCommand) page() page {
	return page{
		usage: []string{
			"berth port add -n NAME -min PORT -max PORT [-proto tcp|udp] [-policy POLICY] [-static COUNT] [-description TEXT]",
			"berth port add -n NAME -ephemeral [-proto tcp|udp] [-description TEXT]",
			"berth port add -p FILE [-proto tcp|udp] [-clear [-f]]",
		},
		long: `Adds a range of ports, or all ranges of a file. A range that overlaps another one of its protocol is refused; ends count, so 100 to 105 and 106 to 110 are neighbours. From a file either all ranges are added or none.

With -clear the ranges replace all that there are. A range that goes thereby and has live leases stops it, unless -f is given; its leases then live on until their processes end. Without -clear, -f is accepted and changes nothing.

-policy says which port is picked where any will do: the lowest one that is available; with next the one after the port leased last, also after a restart of the daemon, so that a port that came back rests as long as there are others; or with random any. With -static 16 the lowest 16 ports of the range are leased only to who asks for one of them by its number, and never picked.

A range with -ephemeral has no ports of its own. Berth binds port 0, as a program would that takes any port, leases what the kernel has chosen, and keeps it bound until it is handed over. A port that lies in another range is given back, and another one is taken.

In a file NAME=MIN,MAX,POLICY,static=COUNT and NAME=ephemeral say the same. Ports that the kernel may take by itself, or that the daemon may not bind, are warned of; berth doctor says what to do.`,
		examples: []example{
			{"port add -n http -min 8080 -max 8085", "add a range of six TCP ports"},
			{"port add -n syslog -min 514 -max 514 -proto udp", "add a range of one UDP port"},
			{"port add -n web -min 9000 -max 9099 -policy next -static 10", "add one in which ports rest, and ten of them are kept for who names them"},
			{`port add -n mail -min 2500 -max 2509 -description "mail team, see the wiki"`, "say what it is for, as port ls shows"},
			{"port add -n any -ephemeral", "add one whose ports the system chooses"},
			{"port add -p ranges.properties -clear", "replace all ranges by those of a file"},
		},
	}
}

func (c *portAddCommand) run(ctx context.Context, s *Shell) error {
	in := api.AddRanges{Clear: c.Clear, Force: c.Force && c.Clear}
	switch {
	case c.Properties != "" && (c.Name != "" || c.Min != 0 || c.Max != 0):
		return &UsageError{Text: "option -p names a file of ranges, and goes without -n, -min and -max"}
	case c.Properties != "" && (c.Policy != "" || c.Static != nil || c.Ephemeral):
		return &UsageError{Text: "option -p names a file of ranges, which says policies, static ports and what is ephemeral: it goes without -policy, -static and -ephemeral"}
	case c.Properties != "" && c.Description != "":
		return &UsageError{Text: "option -p names a file of ranges, and goes without -description: port update gives each its own"}
	case c.Properties != "":
		ranges, err := propertiesFile(c.Properties, string(c.Proto))
		if err != nil {
			return err
		}
		in.Ranges = ranges
	case c.Name == "":
		return &UsageError{Text: "option -n is missing"}
	case c.Ephemeral && (c.Min != 0 || c.Max != 0 || c.Policy != "" || c.Static != nil):
		return &UsageError{Text: "option -ephemeral has the system choose, and goes without -min, -max, -policy and -static"}
	case c.Ephemeral:
		in.Ranges = []api.Range{{Name: c.Name, Protocol: string(c.Proto), Ephemeral: true, Description: c.Description}}
	case c.Min == 0:
		return &UsageError{Text: "option -min is missing"}
	case c.Max == 0:
		return &UsageError{Text: "option -max is missing"}
	case c.Max < c.Min:
		return &UsageError{Text: fmt.Sprintf("option -max: %d is below -min %d", c.Max, c.Min)}
	default:
		r := api.Range{Name: c.Name, Min: int(c.Min), Max: int(c.Max), Protocol: string(c.Proto), Policy: string(c.Policy), Description: c.Description}
		if c.Static != nil {
			r.Static = int(*c.Static)
		}
		in.Ranges = []api.Range{r}
	}
	added, err := s.client.AddRanges(ctx, in)
	if err != nil {
		if errors.Is(err, lease.ErrRangeLeased) && !c.Force {
			return fmt.Errorf("%w (-f forces it)", err)
		}
		return err
	}
	err = list(s, c.Output, added, func() {
		for _, r := range added {
			s.out.printf("added %s %s%s\n", r.Name, interval(r.Range), terms(r.Range))
		}
	})
	for _, r := range added {
		s.warn(r.Warnings)
	}
	return err
}

// warn tells what may keep ports from being bound.
func (s *Shell) warn(warnings []string) {
	for _, warning := range warnings {
		s.note("warning: %s", warning)
	}
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
		out = append(out, api.Range{
			Name: r.Name, Min: r.Min, Max: r.Max, Protocol: proto, Policy: string(r.Policy), Static: r.Static, Ephemeral: r.Ephemeral,
		})
	}
	return out, nil
}

type portUpdateCommand struct {
	Name        string     `short:"n" placeholder:"NAME" needed:"" complete:"range" help:"name of the range"`
	Min         portNumber `placeholder:"PORT" help:"first port, 1 to 65535; left out, it stays as it is"`
	Max         portNumber `placeholder:"PORT" help:"last port, included; left out, it stays as it is"`
	Policy      policyName `placeholder:"POLICY" complete:"policy" help:"how a port is picked: lowest, next or random; left out, it stays as it is"`
	Static      *portCount `placeholder:"COUNT" help:"how many ports, the lowest, are kept for leases that ask for them by number; left out, it stays as it is"`
	Description *string    `placeholder:"TEXT" blank:"" help:"what the range is for, for people; '' takes it away; left out, it stays as it is"`
	Force       bool       `short:"f" help:"also where ports that are leased fall out of the range"`
	outputOption
}

func (portUpdateCommand) page() page {
	return page{
		long: `Changes the first or the last port of a range, or both, its policy, how many of its ports are static, or what it is said to be for; port add tells of these. What is leased of ports that become static stays leased. The leases of the range stay as they are, and ports that are new to it can be leased at once. Bounds that overlap another range of the protocol are refused.

Where ports that are leased would fall out of the range nothing is changed, and the error names them and who has them. With -f it is done all the same: those leases live on until their processes end, and their ports are no range's then.`,
		examples: []example{
			{"port update -n http -max 8099", "give a range more ports"},
			{"port update -n http -min 9080 -max 9085 -f", "move it, whoever has ports of it"},
			{"port update -n http -policy next -static 0", "have ports rest, and none of them kept"},
		},
	}
}

func (c *portUpdateCommand) run(ctx context.Context, s *Shell) error {
	switch {
	case c.Min == 0 && c.Max == 0 && c.Policy == "" && c.Static == nil && c.Description == nil:
		return &UsageError{Text: "options -min and -max are missing: give one of them or both, or -policy, -static or -description"}
	case c.Min != 0 && c.Max != 0 && c.Max < c.Min:
		return &UsageError{Text: fmt.Sprintf("option -max: %d is below -min %d", c.Max, c.Min)}
	}
	in := api.UpdateRange{Min: int(c.Min), Max: int(c.Max), Policy: string(c.Policy), Description: c.Description, Force: c.Force}
	if c.Static != nil {
		static := int(*c.Static)
		in.Static = &static
	}
	u, err := s.client.UpdateRange(ctx, c.Name, in)
	if err != nil {
		if errors.Is(err, lease.ErrRangeLeased) && !c.Force {
			return fmt.Errorf("%w (-f forces it)", err)
		}
		return err
	}
	u.Outside = notNil(u.Outside)
	err = list(s, c.Output, []api.UpdatedRange{u}, func() {
		before := interval(u.Before)
		described := u.Before
		described.Description = u.Description
		switch {
		case u.Range == u.Before:
			s.out.printf("%s %s%s is as it was\n", u.Name, interval(u.Range), terms(u.Range))
			return
		case u.Range == described && u.Description == "":
			s.out.printf("%s %s%s is not described any more\n", u.Name, interval(u.Range), terms(u.Range))
			return
		case u.Range == described:
			s.out.printf("%s %s%s is described as %q now\n", u.Name, interval(u.Range), terms(u.Range), u.Description)
			return
		case u.Policy != u.Before.Policy || u.Static != u.Before.Static:
			before += terms(u.Before)
		}
		s.out.printf("updated %s %s%s, before %s\n", u.Name, interval(u.Range), terms(u.Range), before)
		for _, line := range activeLines(s.out, u.Outside) {
			s.out.printf("still leased outside of it: %s\n", line)
		}
	})
	s.warn(u.Warnings)
	return err
}

// interval is how Corus shows the ports of a range.
func interval(r api.Range) string {
	if r.Ephemeral {
		return "ephemeral"
	}
	return fmt.Sprintf("[%d - %d]", r.Min, r.Max)
}

// terms are what a range has besides its ports, after them: its protocol, and
// what was not left out.
func terms(r api.Range) string {
	text := " " + r.Protocol
	if r.Static > 0 {
		text += fmt.Sprintf(", %d static", r.Static)
	}
	if r.Policy != "" {
		text += ", policy " + r.Policy
	}
	return text
}

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
		long: `Lists ranges. A port of a range is available; or active, which means leased, with its holder; or set aside, because something else is bound to it, with what that is. Runs of ports are shortened: 8082-8085. Ports that are kept for leases that ask for them by number are shown as static. Of an ephemeral range those that are leased are shown.`,
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
	t := table{head: []string{"NAME", "RANGE", "PROTOCOL"}}
	policies := slices.ContainsFunc(ranges, func(r api.RangeStatus) bool { return r.Policy != "" })
	if policies {
		t.head = append(t.head, "POLICY")
	}
	t.head = append(t.head, "AVAILABLE", "ACTIVE", "SET ASIDE")
	described := slices.ContainsFunc(ranges, func(r api.RangeStatus) bool { return r.Description != "" })
	if described {
		t.head = append(t.head, "DESCRIPTION")
	}
	for _, r := range ranges {
		active, aside := activeLines(o, r.Active), asideLines(o, r.SetAside)
		row := []string{oneLine(r.Name), interval(r.Range), r.Protocol}
		if policies {
			policy := cmp.Or(r.Policy, api.PolicyLowest)
			if r.Ephemeral {
				policy = "-" // the system picks
			}
			row = append(row, policy)
		}
		row = append(row, available(o, r), "-", "-")
		at := len(row) - 2 // of what is active, before what is set aside
		if described {
			row = append(row, cmp.Or(oneLine(r.Description), "-"))
		}
		for i := range max(1, len(active), len(aside)) {
			if i > 0 {
				row = make([]string, len(row))
			}
			if i < len(active) {
				row[at] = active[i]
			}
			if i < len(aside) {
				row[at+1] = aside[i]
			}
			t.add(row...)
		}
	}
	return t
}

// available are the ports of a range that can be leased, the static ones apart.
func available(o *output, r api.RangeStatus) string {
	if r.Static == 0 || len(r.Available) == 0 {
		return o.good(runs(r.Available))
	}
	at, _ := slices.BinarySearch(r.Available, r.Min+r.Static)
	text := o.good(runs(r.Available[at:]))
	if at > 0 {
		text += ", static " + runs(r.Available[:at])
	}
	return text
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
