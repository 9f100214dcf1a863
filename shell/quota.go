package shell

import (
	"context"
	"strconv"
	"strings"

	"berth/api"
)

// quotaCommands are the commands on quotas.
type quotaCommands struct {
	Set quotaSetCommand `cmd:"" help:"set how many leases an owner may have"`
	Ls  quotaLsCommand  `cmd:"" help:"list quotas"`
	Del quotaDelCommand `cmd:"" help:"take the quota of an owner away"`
}

func (quotaCommands) page() page {
	return page{
		long: `A quota is how many leases an owner may have at a time, however and by whom they are acquired for it. An acquire by which it would have more is refused with the code quota-exceeded, and leases nothing. The leases of processes that Berth runs are nobody's quota.`,
		examples: []example{
			{"quota set -owner web -max 10", "let an owner have ten leases"},
			{"quota ls", "list the quotas, and what is used of them"},
		},
	}
}

type quotaSetCommand struct {
	Owner string      `placeholder:"NAME" needed:"" complete:"owner" help:"the owner; '*' stands for each that has no quota of its own"`
	Max   *leaseLimit `placeholder:"N" help:"how many leases it may have; left out, as many as -tcp and -udp say together"`
	TCP   *leaseLimit `name:"tcp" placeholder:"N" help:"its demand of TCP ports: how many of them may be among these"`
	UDP   *leaseLimit `name:"udp" placeholder:"N" help:"its demand of UDP ports"`
	outputOption
}

func (quotaSetCommand) page() page {
	return page{
		long: `Sets how many leases an owner may have. Leases that it has already are not touched, also where they are more. Where a token has a quota of its own, the smaller one counts.

With -tcp and -udp it may have no more of each protocol than that: the demands of a NethServer module.`,
		examples: []example{
			{"quota set -owner web -max 10", "let an owner have ten leases"},
			{"quota set -owner '*' -max 4", "let every other owner have four"},
			{"quota set -owner mail1 -tcp 4 -udp 0", "let a module have four TCP ports and no UDP port"},
		},
	}
}

func (c *quotaSetCommand) run(ctx context.Context, s *Shell) error {
	in := api.SetQuota{TCP: (*int)(c.TCP), UDP: (*int)(c.UDP)}
	switch {
	case c.Max != nil:
		in.Max = int(*c.Max)
	case c.TCP != nil && c.UDP != nil:
		in.Max = *in.TCP + *in.UDP
	default:
		return &UsageError{Text: "option -max is missing, or both -tcp and -udp"}
	}
	set, err := s.client.SetQuota(ctx, c.Owner, in)
	if err != nil {
		return err
	}
	return list(s, c.Output, []api.Quota{set}, func() {
		leases := "leases"
		if set.Max == 1 {
			leases = "lease"
		}
		s.out.printf("owner %s may have %s %s\n", oneLine(set.Owner), mostOf(set), leases)
	})
}

type quotaLsCommand struct{ outputOption }

func (quotaLsCommand) page() page {
	return page{
		long: `Lists the quotas of owners, with how many leases each has. The owner * stands for each that has no quota of its own.`,
		examples: []example{
			{"quota ls", "list the quotas"},
		},
	}
}

func (c *quotaLsCommand) run(ctx context.Context, s *Shell) error {
	quotas, err := s.client.Quotas(ctx)
	if err != nil {
		return err
	}
	return list(s, c.Output, quotas, func() {
		if len(quotas) == 0 {
			s.note("there are no quotas: every owner may have as many leases as there are ports")
			return
		}
		t := table{head: []string{"OWNER", "MAX", "HAS"}}
		for _, q := range quotas {
			have := strconv.Itoa(q.Have)
			switch {
			case q.Owner == "*":
				have = "-"
			case q.Have >= q.Max:
				have = s.out.odd(have)
			}
			t.add(oneLine(q.Owner), mostOf(q), have)
		}
		s.out.table(t)
	})
}

type quotaDelCommand struct {
	Owner string `placeholder:"NAME" needed:"" complete:"owner" help:"the owner, or '*'"`
}

func (quotaDelCommand) page() page {
	return page{
		long: `Takes the quota of an owner away; then the quota of * counts for it, if there is one. An owner without a quota is no error.`,
		examples: []example{
			{"quota del -owner web", "let an owner have as many leases as the others"},
		},
	}
}

func (c *quotaDelCommand) run(ctx context.Context, s *Shell) error {
	if err := s.client.DeleteQuota(ctx, c.Owner); err != nil {
		return err
	}
	s.out.printf("owner %s has no quota of its own\n", oneLine(c.Owner))
	return nil
}

// mostOf words how many leases a quota allows: 6, or 6 (4 tcp, 2 udp).
func mostOf(q api.Quota) string {
	var demands []string
	if q.TCP != nil {
		demands = append(demands, strconv.Itoa(*q.TCP)+" tcp")
	}
	if q.UDP != nil {
		demands = append(demands, strconv.Itoa(*q.UDP)+" udp")
	}
	if len(demands) == 0 {
		return strconv.Itoa(q.Max)
	}
	return strconv.Itoa(q.Max) + " (" + strings.Join(demands, ", ") + ")"
}

// leaseLimit is a number of leases, 0 to 131070.
type leaseLimit int

func (c *leaseLimit) UnmarshalText(text []byte) error {
	n, err := number(string(text), 0, 2*65535)
	*c = leaseLimit(n)
	return err
}
