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
	Fix    bool `help:"have the kernel leave the ports of ranges alone, which root may"`
}

func (doctorCommand) page() page {
	return page{
		long: `Shows how the daemon's disk and its store are: how much room there is, whether ports can be leased, and what is lost or damaged; and which ports of ranges the kernel may take by itself, or the daemon may not bind. The exit code is 0 if disk and store are well, and else 1.

With too little room on the disk nothing new is written: no port is leased and no process started, but those that are there can end. Once there is room that is over by itself.

A store that has lost what was acknowledged, because a file of it is damaged, leases nothing until that is accepted. The daemon puts back the records and leases of processes that run, where it can be certain of them, and tells of each; leases without a process, ranges, and distributions of which nothing runs have to be made again. Processes that are not rebuilt are left alone, and the ports that they use are set aside. See with berth ps, and with ss -ltnp, what uses the ports; then accept it.

The kernel takes ports of net.ipv4.ip_local_port_range for outgoing connections, and for programs that bind port 0. A port of a range that it has taken cannot be bound by whom it is leased to, for as long as the connection lasts. With -fix these ports are added to net.ipv4.ip_local_reserved_ports, of the daemon's network namespace: from then on only who binds one by its number gets it. That is lost when the machine is started anew; what to write into /etc/sysctl.d for it to last is printed.`,
		examples: []example{
			{"doctor", "show how disk and store are"},
			{"doctor -accept", "go on with what the store has, after some of it was lost"},
			{"doctor -fix", "keep the kernel from taking ports of ranges"},
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
	if c.Fix {
		if err := s.fixKernel(ctx); err != nil {
			return err
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
	s.addKernel(&t, h.Kernel)
	s.out.table(t)
	s.adviseKernel(h.Kernel)
}

// addKernel adds what the kernel's settings do to the ports of ranges.
func (s *Shell) addKernel(t *table, k *api.KernelPorts) {
	if k == nil {
		return
	}
	for _, r := range k.Exposed {
		t.add("kernel", s.out.odd(fmt.Sprintf("may take %s of range %s by itself (net.ipv4.ip_local_port_range is %d-%d)", oneLine(r.Ports), oneLine(r.Range), k.LocalMin, k.LocalMax)))
	}
	for _, r := range k.Privileged {
		t.add("kernel", s.out.odd(fmt.Sprintf("lets the daemon not bind %s of range %s (net.ipv4.ip_unprivileged_port_start is %d)", oneLine(r.Ports), oneLine(r.Range), k.Unprivileged)))
	}
}

// adviseKernel tells how to keep the kernel from taking ports of ranges.
func (s *Shell) adviseKernel(k *api.KernelPorts) {
	if k == nil || k.Wanted == "" {
		return
	}
	s.note("to keep the kernel from it: berth doctor -fix, or as root: sysctl -w %s=%s", reservedPorts, k.Wanted)
	s.note("and for that to last: %s", lasting(k.Wanted))
}

const reservedPorts = "net.ipv4.ip_local_reserved_ports"

// lasting is what has the kernel's setting last over a start of the machine.
func lasting(list string) string {
	return fmt.Sprintf("echo '%s = %s' > /etc/sysctl.d/90-berth.conf", reservedPorts, list)
}

// fixKernel has the kernel leave the ports of ranges alone.
func (s *Shell) fixKernel(ctx context.Context) error {
	fixed, err := s.client.FixKernel(ctx)
	switch {
	case err != nil:
		return err
	case fixed.Before.Wanted == "":
		s.note("the kernel takes no ports of ranges by itself: there is nothing to fix")
		return nil
	}
	for _, r := range fixed.Before.Exposed {
		s.note("fixed: the kernel does not take %s of range %s any more", r.Ports, r.Range)
	}
	s.note("%s is %s now, for it to last: %s", reservedPorts, fixed.Now.Reserved, lasting(fixed.Now.Reserved))
	return nil
}
