package shell

import (
	"context"
	"strconv"

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
	Owner string     `placeholder:"NAME" needed:"" complete:"owner" help:"the owner; '*' stands for each that has no quota of its own"`
	Max   leaseLimit `placeholder:"N" needed:"" help:"how many leases it may have"`
	outputOption
}

func (quotaSetCommand) page() page {
	return page{
		long: `Sets how many leases an owner may have. Leases that it has already are not touched, also where they are more. Where a token has a quota of its own, the smaller one counts.`,
		examples: []example{
			{"quota set -owner web -max 10", "let an owner have ten leases"},
			{"quota set -owner '*' -max 4", "let every other owner have four"},
		},
	}
}

func (c *quotaSetCommand) run(ctx context.Context, s *Shell) error {
	set, err := s.client.SetQuota(ctx, c.Owner, int(c.Max))
	if err != nil {
		return err
	}
	return list(s, c.Output, []api.Quota{set}, func() { s.out.printf("owner %s may have %d leases\n", oneLine(set.Owner), set.Max) })
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
			t.add(oneLine(q.Owner), strconv.Itoa(q.Max), have)
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

// leaseLimit is a number of leases, 0 to 131070.
type leaseLimit int

func (c *leaseLimit) UnmarshalText(text []byte) error {
	n, err := number(string(text), 0, 2*65535)
	*c = leaseLimit(n)
	return err
}
