package shell

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"berth/api"
	"berth/client"
	"berth/lease"
	"berth/proc"
)

// leaseCommands are the commands on leases of whoever needs a port.
type leaseCommands struct {
	Acquire leaseAcquireCommand `cmd:"" help:"lease ports, and print them"`
	Renew   leaseRenewCommand   `cmd:"" help:"have the time of leases run out later"`
	Release leaseReleaseCommand `cmd:"" help:"release leases"`
	Ls      leaseLsCommand      `cmd:"" help:"list leases"`
}

func (leaseCommands) page() page {
	return page{
		long: `Leases ports to whoever needs one: a shell, a test, a deployment script. A port is leased to one at a time, to the processes that berth starts as well as to these, and comes back when its holder is gone.

A holder is a process, until that has ended; a session, until its time to live has run out without a renewal; or nobody but you, until you release the lease.`,
		examples: []example{
			{"lease acquire -n http", "lease a port of the range http for the calling shell, and print it"},
			{"lease acquire 3000 -ttl 30s", "lease port 3000 for half a minute"},
			{"lease ls", "list all leases with who has them"},
			{"lease release 3000", "release a lease"},
		},
	}
}

type leaseAcquireCommand struct {
	Ports  []string    `arg:"" optional:"" name:"spec" complete:"range" help:"what is wanted: the name of a range, 3000, 3000-3003 for all of these, auto:5000-5100 for one of these, or 0 for any"`
	Name   string      `short:"n" placeholder:"RANGE" complete:"range" help:"name of the range to lease from"`
	Count  blockCount  `placeholder:"N" help:"how many contiguous ports; left out, one"`
	Proto  protocol    `placeholder:"PROTOCOL" complete:"protocol" help:"tcp or udp; left out, that of the range, and tcp where there is none"`
	For    identity    `placeholder:"PID" help:"the process that holds them, one of yours; left out, the calling shell"`
	TTL    holdTime    `name:"ttl" placeholder:"TIME" help:"hold them for so long, as 30s or 5m, unless they are renewed"`
	Manual bool        `help:"hold them until they are released"`
	Owner  string      `placeholder:"NAME" complete:"owner" help:"whose they are; what it has of the same ranges is given up for them"`
	Keep   bool        `help:"with -owner: keep what it has"`
	Output leaseFormat `short:"o" default:"port" placeholder:"FORMAT" complete:"lease format" help:"print as port, a line each, or as env, table, json or yaml"`
}

func (leaseAcquireCommand) page() page {
	return page{
		usage: []string{
			"berth lease acquire -n RANGE [-count N] [-for PID | -ttl TIME | -manual] [-owner NAME [-keep]] [-o FORMAT]",
			"berth lease acquire SPEC… [-count N] [-proto tcp|udp] [-for PID | -ttl TIME | -manual] [-owner NAME [-keep]] [-o FORMAT]",
		},
		long: `Leases ports, all that are asked for or none, and prints their numbers, a line each: PORT=$(berth lease acquire -n http). A port is probed by binding it before it is leased.

The holder is the process that calls berth, and the ports come back when that has ended, however it ends: the shell in which the line above was typed, the shell that runs a script, a program that calls berth by itself. It is the nearest ancestor of this command that was exec'd; the subshells that a shell forks for $(… | …) or ( … ) are passed over. A tool that stands in between is an ancestor that was exec'd: under timeout, sudo, xargs or make it is that tool, which ends with the command, or make's shell, which ends with its line. There name the process with -for PID: -for $$ is the shell's own. It has to be a process of your own user, unless you are root.

With -ttl they are held for that time, and longer if they are renewed (lease renew). With -manual they are held until they are released. Both are for callers whose process the daemon cannot see, in a container for example: in a pid namespace that is not below the daemon's, -for and the calling shell are refused.

With -owner they are somebody's, a user's or a module's, and what that one has of the same ranges is given up in the same step: whoever asks again has what it asked for last, and no more. With -keep it is added. Ports that were asked for directly are given up for others that are.

-o env prints PORT, and TCP_PORT, TCP_PORTS_RANGE (more than one) and TCP_PORTS (two to eight), or the same of UDP, and the leases' ids as BERTH_LEASES.`,
		examples: []example{
			{"lease acquire -n http", "a port of the range http, for the calling shell"},
			{"lease acquire -n media -count 4 -owner turn1 -manual", "four contiguous ports for a module, until they are released"},
			{"lease acquire auto:5000-5100 -ttl 30s -o json", "one of these ports for half a minute, with all about its lease"},
			{"lease acquire http admin -for 4711", "a port of each of two ranges, for a process"},
			{"lease acquire 3000-3003 -o env", "these four ports, as variables"},
		},
	}
}

// blockCount is how many contiguous ports are wanted, 1 to 1024.
type blockCount int

func (c *blockCount) UnmarshalText(text []byte) error {
	n, err := number(string(text), 1, lease.MaxCount)
	*c = blockCount(n)
	return err
}

// holdTime is how long a session lives: 30s, 5m, 1h30m, or a number of seconds.
type holdTime time.Duration

func (l *holdTime) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	if err != nil {
		n, numberErr := strconv.ParseFloat(string(text), 64)
		if numberErr != nil || !(n >= 0 && n < 1e9) {
			return fmt.Errorf("%s is not a time, as 30s, 5m or 1h30m", quote(string(text)))
		}
		d = time.Duration(n * float64(time.Second))
	}
	if d <= 0 || d > lease.MaxTTL {
		return fmt.Errorf("%s is not above 0 and at most %d hours", quote(string(text)), int(lease.MaxTTL.Hours()))
	}
	*l = holdTime(d)
	return nil
}

// leaseFormat is how acquired leases are printed.
type leaseFormat string

const (
	asPort leaseFormat = "port"
	asEnv  leaseFormat = "env"
)

func (f *leaseFormat) UnmarshalText(text []byte) error {
	switch v := leaseFormat(text); v {
	case asPort, asEnv, leaseFormat(asTable), leaseFormat(asJSON), leaseFormat(asYAML):
		*f = v
		return nil
	}
	return fmt.Errorf("%s is not port, env, table, json or yaml", quote(string(text)))
}

func (c *leaseAcquireCommand) run(ctx context.Context, s *Shell) error {
	in := api.AcquireLeases{Owner: c.Owner, Keep: c.Keep}
	var err error
	if in.Ports, err = c.requests(); err != nil {
		return err
	}
	if c.Keep && c.Owner == "" {
		return &UsageError{Text: "option -keep goes with -owner: it keeps what that one has"}
	}
	if in.Holder, err = c.holder(s); err != nil {
		return err
	}
	leases, err := s.client.AcquireLeases(ctx, in)
	if errors.Is(err, api.CodeHolderUnseen) {
		return fmt.Errorf("%w: %s", err, insteadOfProcess)
	}
	if err != nil {
		return err
	}
	switch c.Output {
	case asPort, asEnv:
		if s.count != nil {
			*s.count += len(leases)
			return nil
		}
		if c.Output == asEnv {
			s.printEnv(leases)
			return nil
		}
		for _, l := range leases {
			s.out.printf("%d\n", l.Port)
		}
		return nil
	}
	return list(s, format(c.Output), leases, func() { s.out.table(leaseTable(s.out, leases)) })
}

// insteadOfProcess is what to do where the calling process cannot hold.
const insteadOfProcess = "hold it for a time with -ttl 30s, renewed by lease renew; or until it is released with -manual; or name a process that the daemon sees with -for PID, from outside"

// requests are the ports that are wanted.
func (c *leaseAcquireCommand) requests() ([]api.PortRequest, error) {
	specs := c.Ports
	if c.Name != "" {
		specs = append([]string{c.Name}, specs...)
	}
	if len(specs) == 0 {
		return nil, &UsageError{Text: "say which port is wanted: -n RANGE, or 3000, 3000-3003, auto:5000-5100 or 0"}
	}
	requests := make([]api.PortRequest, len(specs))
	for i, text := range specs {
		var err error
		if i == 0 && c.Name != "" {
			requests[i].Range = c.Name // whatever it is called
		} else if requests[i], err = client.ParsePort(text); err != nil {
			return nil, &UsageError{Text: err.Error()}
		}
		q := &requests[i]
		q.Protocol = string(c.Proto)
		switch n := int(c.Count); {
		case n == 0:
		case q.Count != 0 && n != q.Count:
			return nil, &UsageError{Text: fmt.Sprintf("option -count: %s is %d ports, not %d", text, q.Count, n)}
		case q.System && n > 1:
			return nil, &UsageError{Text: "option -count: the system chooses one port at a time; name a range, or auto:5000-5100"}
		default:
			q.Count = n
		}
	}
	return requests, nil
}

// holder is who is to hold: as the options say, or the calling process.
func (c *leaseAcquireCommand) holder(s *Shell) (api.Holder, error) {
	given := 0
	for _, is := range []bool{c.For != 0, c.TTL != 0, c.Manual} {
		if is {
			given++
		}
	}
	switch {
	case given > 1:
		return api.Holder{}, &UsageError{Text: "of -for, -ttl and -manual only one can be: they say what ends the leases"}
	case c.Manual:
		return api.Holder{Kind: api.HolderManual, Name: c.Owner}, nil
	case c.TTL != 0:
		return api.Holder{Kind: api.HolderSession, Name: c.Owner, TTL: time.Duration(c.TTL).String()}, nil
	case c.For != 0:
		return api.Holder{Kind: api.HolderProcess, PID: int(c.For)}, nil
	}
	pid, err := proc.Caller()
	if err != nil {
		return api.Holder{}, fmt.Errorf("the process that calls cannot hold: %w: %s", err, insteadOfProcess)
	}
	name := proc.Name(pid)
	if slices.Contains(passing, name) {
		s.note("the lease is held by %s (pid %d) and ends with it: -for PID names another process", name, pid)
	}
	return api.Holder{Kind: api.HolderProcess, PID: pid}, nil
}

// passing are programs that run another one and end with it: hardly anybody
// means them.
var passing = []string{"timeout", "sudo", "doas", "su", "runuser", "xargs", "make", "gmake", "ninja", "time", "strace", "ltrace", "watch", "parallel", "flock", "script"}

// printEnv prints leases as variables: PORT, and those of each protocol.
func (s *Shell) printEnv(leases []api.Lease) {
	if len(leases) == 0 {
		return
	}
	s.out.printf("PORT=%d\n", leases[0].Port)
	var ids []string
	for _, l := range leases {
		ids = append(ids, l.ID)
	}
	for _, p := range []string{"tcp", "udp"} {
		var ports []int
		var texts []string
		for _, l := range leases {
			if l.Protocol == p {
				ports = append(ports, l.Port)
				texts = append(texts, strconv.Itoa(l.Port))
			}
		}
		if len(ports) == 0 {
			continue
		}
		name := strings.ToUpper(p)
		s.out.printf("%s_PORT=%d\n", name, ports[0])
		if len(ports) > 1 {
			sorted := slices.Sorted(slices.Values(ports))
			s.out.printf("%s_PORTS_RANGE=%s\n", name, strings.ReplaceAll(runs(sorted), ", ", ","))
		}
		if len(ports) > 1 && len(ports) <= 8 {
			s.out.printf("%s_PORTS=%s\n", name, strings.Join(texts, ","))
		}
	}
	s.out.printf("BERTH_LEASES=%s\n", strings.Join(ids, ","))
}

func leaseTable(o *output, leases []api.Lease) table {
	t := table{head: []string{"ID", "RANGE", "PROTOCOL", "PORT", "HOLDER", "OWNER", "UNTIL"}}
	for _, l := range leases {
		t.add(l.ID, orNothing(l.Range), l.Protocol, strconv.Itoa(l.Port), oneLine(l.Holder), orNothing(l.Owner), until(o, l))
	}
	return t
}

func orNothing(text string) string {
	if text == "" {
		return "-"
	}
	return oneLine(text)
}

// until is what ends a lease.
func until(o *output, l api.Lease) string {
	switch l.Kind {
	case api.HolderProcess:
		return "it ends"
	case api.HolderSession:
		return o.odd(l.ExpiresAt.Local().Format(time.DateTime))
	}
	return "released"
}

type leaseRenewCommand struct {
	Leases []string `arg:"" name:"lease" complete:"lease" help:"ids of leases, or their ports"`
	Proto  protocol `default:"tcp" placeholder:"PROTOCOL" complete:"protocol" help:"of the ports: tcp or udp"`
	TTL    holdTime `name:"ttl" placeholder:"TIME" help:"how long they are held from now on, as 30s or 5m; left out, as long as before"`
	outputOption
}

func (leaseRenewCommand) page() page {
	return page{
		long: `Has the time of leases that were acquired with -ttl begin anew. A lease whose time has run out is gone, and is not renewed; whoever renews after a third of the time has two more tries. While the daemon is away no time runs out: when it is back, there is as much time as the lease has, at most a minute, to renew it.`,
		examples: []example{
			{"lease renew 8080", "renew the lease of port 8080"},
			{"lease renew 7h3k9w2m5xq8r -ttl 5m", "renew a lease by its id for another time"},
		},
	}
}

func (c *leaseRenewCommand) run(ctx context.Context, s *Shell) error {
	found, err := s.leasesOf(ctx, c.Leases, c.Proto)
	if err != nil {
		return err
	}
	var renewed []api.Lease
	for _, l := range found {
		now, err := s.client.RenewLease(ctx, l.ID, 0, time.Duration(c.TTL))
		if err != nil {
			return byID(err)
		}
		renewed = append(renewed, now)
	}
	return list(s, c.Output, renewed, func() {
		for _, l := range renewed {
			s.out.printf("renewed %d %s until %s\n", l.Port, l.Protocol, until(s.out, l))
		}
	})
}

type leaseReleaseCommand struct {
	Leases []string `arg:"" optional:"" name:"lease" complete:"lease" help:"ids of leases, or their ports"`
	Name   string   `short:"n" placeholder:"PATTERN" pattern:"" complete:"range" help:"all of these ranges"`
	Owner  string   `placeholder:"PATTERN" pattern:"" complete:"owner" help:"all of these owners"`
	Proto  protocol `placeholder:"PROTOCOL" complete:"protocol" help:"tcp or udp; of ports tcp where it is left out"`
	outputOption
}

func (leaseReleaseCommand) page() page {
	return page{
		usage: []string{
			"berth lease release LEASE… [-proto tcp|udp]",
			"berth lease release [-n PATTERN] [-owner PATTERN] [-proto tcp|udp]",
		},
		long: `Releases leases: those that are named by id or port, or all that fit -n, -owner and -proto together. Their ports can be leased again at once. What the processes hold that berth runs is not released: kill ends it.

An id or a port that is not leased is an error with exit code 4; a pattern that fits nothing is none.`,
		examples: []example{
			{"lease release 8080", "release the lease of port 8080"},
			{"lease release 5004 -proto udp", "release that of a UDP port"},
			{"lease release -owner turn1", "release all that an owner has"},
		},
	}
}

func (c *leaseReleaseCommand) run(ctx context.Context, s *Shell) error {
	var found []api.Lease
	var err error
	byFilter := c.Name != "" || c.Owner != ""
	switch {
	case len(c.Leases) > 0 && byFilter:
		return &UsageError{Text: "leases are named by id or port, or by -n and -owner, not by both"}
	case len(c.Leases) > 0:
		proto := c.Proto
		if proto == "" {
			proto = "tcp"
		}
		found, err = s.leasesOf(ctx, c.Leases, proto)
	case byFilter:
		found, err = s.client.FindLeases(ctx, api.LeaseFilter{Range: c.Name, Owner: c.Owner, Protocol: string(c.Proto)})
		found = slices.DeleteFunc(found, func(l api.Lease) bool { return l.Process != 0 })
	default:
		return &UsageError{Text: "say what to release: a lease's id or port, or -n RANGE or -owner NAME"}
	}
	if err != nil {
		return err
	}
	for _, l := range found {
		if l.Process != 0 {
			return fmt.Errorf("port %d is held by %s, which runs: kill -i %d ends it, and its lease", l.Port, oneLine(l.Holder), l.Process)
		}
	}
	s.noneMatch(c.Output, len(found), strings.TrimSpace(c.Name+" "+c.Owner), "lease", "")
	for _, l := range found {
		err := s.client.ReleaseLease(ctx, l.ID, 0)
		if byFilter && errors.Is(err, api.CodeLeaseNotFound) {
			continue // it has ended by itself
		}
		if err != nil {
			return byID(err)
		}
	}
	return list(s, c.Output, found, func() {
		for _, l := range found {
			s.out.printf("released %d %s\n", l.Port, l.Protocol)
		}
	})
}

// leasesOf are the leases of ids and ports, each of which has to be there.
func (s *Shell) leasesOf(ctx context.Context, words []string, proto protocol) ([]api.Lease, error) {
	all, err := s.client.Leases(ctx)
	if err != nil {
		return nil, err
	}
	found := make([]api.Lease, len(words))
	for i, word := range words {
		port, _ := strconv.Atoi(word)
		at := slices.IndexFunc(all, func(l api.Lease) bool {
			return l.ID == word || port != 0 && l.Port == port && l.Protocol == string(proto)
		})
		switch {
		case at >= 0:
			found[i] = all[at]
		case port >= lease.MinPort && port <= lease.MaxPort:
			return nil, &notThereError{fmt.Errorf("%s port %d is not leased", proto, port)}
		default:
			return nil, &notThereError{fmt.Errorf("there is no lease %s", quote(word))}
		}
	}
	return found, nil
}

type leaseLsCommand struct {
	Name  string   `short:"n" placeholder:"PATTERN" pattern:"" complete:"range" help:"only of these ranges"`
	Owner string   `placeholder:"PATTERN" pattern:"" complete:"owner" help:"only of these owners"`
	Proto protocol `placeholder:"PROTOCOL" complete:"protocol" help:"only of tcp or udp"`
	For   identity `placeholder:"PID" help:"only what this process of the system holds, as the daemon sees it"`
	outputOption
}

func (leaseLsCommand) page() page {
	return page{
		long: `Lists leases with who has them, whose they are, and what ends them: the end of the process that holds, a time, or nothing but their release. Those of the processes that berth runs are among them.`,
		examples: []example{
			{"lease ls", "list all leases"},
			{`lease ls -n "http*" -o json`, "list those of some ranges as JSON"},
			{"lease ls -owner turn1", "list what an owner has"},
		},
	}
}

func (c *leaseLsCommand) run(ctx context.Context, s *Shell) error {
	found, err := s.client.FindLeases(ctx, api.LeaseFilter{Range: c.Name, Owner: c.Owner, Protocol: string(c.Proto), PID: int(c.For)})
	if err != nil {
		return err
	}
	s.noneMatch(c.Output, len(found), strings.TrimSpace(c.Name+" "+c.Owner), "lease", "acquire one with lease acquire")
	return list(s, c.Output, found, func() {
		if len(found) > 0 {
			s.out.table(leaseTable(s.out, found))
		}
	})
}
