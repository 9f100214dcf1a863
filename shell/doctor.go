package shell

import (
	"context"
	"errors"
	"fmt"

	"berth/api"
)

type doctorCommand struct {
	outputOption
	Accept bool `help:"accept what the store has lost, so that ports are leased again"`
}

func (doctorCommand) page() page {
	return page{
		long: `Shows how the daemon's disk and its store are: how much room there is, whether ports can be leased, and what is lost or damaged. The exit code is 0 if all is well, and else 1.

With too little room on the disk nothing new is written: no port is leased and no process started, but those that are there can end. Once there is room that is over by itself.

A store that has lost what was acknowledged, because a file of it is damaged, leases nothing until that is accepted. The daemon puts back the records and leases of processes that run, where it can be certain of them, and tells of each; leases without a process, ranges, and distributions of which nothing runs have to be made again. Processes that are not rebuilt are left alone, and the ports that they use are set aside. See with berth ps, and with ss -ltnp, what uses the ports; then accept it.`,
		examples: []example{
			{"doctor", "show how disk and store are"},
			{"doctor -accept", "go on with what the store has, after some of it was lost"},
		},
	}
}

// errUnwell ends doctor where something is not as it should be.
var errUnwell = errors.New("not all is well")

func (c *doctorCommand) run(ctx context.Context, s *Shell) error {
	if c.Accept {
		before, err := s.client.AcceptDamage(ctx)
		if err != nil {
			return err
		}
		if len(before.Damage) == 0 {
			s.note("nothing is lost or damaged: there is nothing to accept")
		}
		for _, line := range before.Damage {
			s.note("accepted: %s", line)
		}
		for _, line := range before.Rebuilt {
			s.note("rebuilt: %s", line)
		}
		for _, line := range before.Left {
			s.note("not rebuilt: %s", line)
		}
	}
	h, err := s.client.Health(ctx)
	if err != nil {
		return err
	}
	if err := list(s, c.Output, []api.Health{h}, func() { s.showHealth(h) }); err != nil {
		return err
	}
	switch {
	case h.Healthy:
		return nil
	case len(h.Damage) > 0:
		return fmt.Errorf("%w: acknowledged changes are lost; once you know what uses the ports: berth doctor -accept", errUnwell)
	default:
		return fmt.Errorf("%w: %s", errUnwell, h.Reason)
	}
}

func (s *Shell) showHealth(h api.Health) {
	room := fmt.Sprintf("%s available, %s needed", bytesOf(h.Available), bytesOf(h.Needed))
	t := table{rows: [][]string{{"store", h.Folder}, {"disk", room}}}
	if h.ReadOnly {
		t.add("leasing", s.out.bad("stopped: "+oneLine(h.Reason)))
	} else {
		t.add("leasing", s.out.good("possible"))
	}
	for _, line := range h.Damage {
		t.add("damage", s.out.bad(oneLine(line)))
	}
	if len(h.Damage) == 0 {
		t.add("damage", s.out.good("none"))
	}
	for _, line := range h.Rebuilt {
		t.add("rebuilt", s.out.good(oneLine(line)))
	}
	for _, line := range h.Left {
		t.add("not rebuilt", s.out.bad(oneLine(line)))
	}
	s.out.table(t)
}
