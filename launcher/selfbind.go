package launcher

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"berth/descriptor"
	"berth/lease"
	"berth/proc"
	"berth/sockdiag"
	"berth/store"
	"berth/sysctl"
)

// A process may bind port 0 by itself: it is told 0, and the system chooses. Berth
// finds out on which port it, or a descendant, listens, and leases that to it: the
// lease and the record of the process in one batch. Until then the port has no
// number and no lease, and is awaited. A process that is started again is told 0
// again, and what the one before had bound has ended before that.

// awaited is the port as it is while its process has not bound it.
func (p Port) awaited() Port {
	return Port{Name: p.Name, Protocol: p.Protocol, Self: true, State: PortAwaited}
}

// isAwaited reports whether the process is to bind the port by itself, and it is
// not known which one that is.
func (p Port) isAwaited() bool { return p.Self && p.Number == 0 }

// unwatched is the state of a port of which nothing has been seen.
func (p Port) unwatched() PortState {
	if p.isAwaited() {
		return PortAwaited
	}
	return PortLeased
}

// checkSelf refuses a process that cannot bind a port by itself, as far as Berth
// could see it.
func (d definition) checkSelf() error {
	if d.starter.Kind != descriptor.Docker {
		return nil
	}
	for _, need := range d.process.Ports {
		if need.BindSelf {
			return fmt.Errorf("%w: process %q: port %q with bind=\"self\": what a container listens on is not seen here; leave the attribute out, and map a leased port", ErrUnsupported, d.process.Name, need.Name)
		}
	}
	return nil
}

// sighting is what was there when the port of a process was last looked for:
// while nothing new listens it is not looked for again, but once in a while.
type sighting struct {
	process   proc.Identity
	listeners uint64
	at        time.Time
}

// lookAgain is how long a port is not looked for while nothing new listens: a
// socket may be passed from one process to another.
const lookAgain = time.Second

// selfLook is what looking for ports that processes have bound by themselves
// needs of one look, made once.
type selfLook struct {
	listeners uint64 // tells the sets of listening sockets apart
	local     sysctl.Interval
}

func (k *look) self() *selfLook {
	if k.selves != nil {
		return k.selves
	}
	k.selves = &selfLook{local: sysctl.Interval{First: lease.MinPort, Last: lease.MaxPort}}
	for _, inodes := range k.sockets[lease.TCP] {
		for _, inode := range inodes {
			// Mixed, so that two sockets do not make up for one.
			inode *= 0x9e3779b97f4a7c15
			k.selves.listeners += inode ^ inode>>29
		}
	}
	if kernel, err := (sysctl.Kernel{}).Ports(); err == nil {
		k.selves.local = kernel.Local
	}
	return k.selves
}

// findOwn looks for the port that a process has bound by itself, and has its owner
// lease it.
func (k *look) findOwn(c watched, at int) {
	last, known := k.sightings[c.process.ID]
	seen := sighting{c.process.Identity, k.self().listeners, time.Now()}
	if known && last.process == seen.process && last.listeners == seen.listeners && seen.at.Sub(last.at) < lookAgain {
		k.found[c.process.ID] = last
		return
	}
	k.found[c.process.ID] = seen
	number, err := k.ownPort(c.process)
	if err != nil {
		k.err = err
		return
	}
	if number == 0 {
		return
	}
	delete(k.found, c.process.ID) // it is looked for again until it is leased
	done := make(chan error, 1)
	select {
	case c.unit.events <- request{done: done, run: func() error {
		return c.unit.leaseOwn(c.unit.l.life, c.process.Identity, at, number)
	}}:
	default: // its owner is at something else
	}
}

// ownPort is the port on which a process, or a descendant, listens that it was
// not given: of those that the kernel chooses from, the one of the socket that was
// made first. 0 is none.
func (k *look) ownPort(p Process) (int, error) {
	wanted := make(map[uint64]bool)
	ports := make(map[uint64]int)
	for number, inodes := range k.sockets[lease.TCP] {
		local := k.self().local
		given := slices.ContainsFunc(p.Ports, func(port Port) bool { return port.Protocol == lease.TCP && port.Number == number })
		if given || number < local.First || number > local.Last {
			continue
		}
		for _, inode := range inodes {
			wanted[inode], ports[inode] = true, number
		}
	}
	if len(wanted) == 0 {
		return 0, nil
	}
	owned := sockdiag.OwnedBy([]int{p.Identity.PID}, wanted)
	if len(owned) == 0 {
		if k.tree == nil {
			tree, err := proc.Snapshot()
			if err != nil {
				return 0, err
			}
			k.tree = tree
		}
		owned = sockdiag.OwnedBy(k.tree.Of(p.Identity.PID), wanted)
	}
	first := uint64(0)
	for inode := range owned {
		if first == 0 || inode < first {
			first = inode
		}
	}
	return ports[first], nil
}

// leaseOwn leases to a process the port that it was found to have bound by itself,
// and writes that into its record, in one batch. A port that is leased already is
// told of, and not leased twice. It is the owner's.
func (u *unit) leaseOwn(ctx context.Context, seen proc.Identity, at, number int) error {
	p := u.snapshot()
	if p.Identity != seen || p.Status != Running || at >= len(p.Ports) || !p.Ports[at].isAwaited() {
		return nil
	}
	made, plan, err := u.planOwn(p, number)
	var assigned *lease.AssignedError
	switch {
	case errors.As(err, &assigned):
		u.conflicts(at, fmt.Sprintf("it listens on port %d, which is leased to %s: it is not leased twice", number, assigned.Holder))
		return nil
	case errors.Is(err, lease.ErrLeaseChanged):
		return nil // the next look comes again
	case err != nil:
		u.l.Logger.Error("a port that a process has bound by itself cannot be leased", "process", p.Title(), "port", number, "error", err)
		return err
	}
	port := p.Ports[at].awaited()
	port.Range, port.Number, port.Lease, port.State = made.Range, number, made.ID, PortListening
	p.Ports[at] = port
	record := p
	record.Status = Starting // what is stored of a process that runs
	var b store.Batch
	b.Put(u.l.processKey(p.ID), encodeProcess(record))
	if plan != nil {
		err = u.l.Leases.Commit(ctx, plan, b)
	} else {
		_, err = u.l.Store.Commit(ctx, b)
	}
	if errors.Is(err, store.ErrUnknown) {
		err = errors.Join(err, u.l.Leases.Settle(ctx))
	}
	if err != nil {
		u.l.Logger.Error("a port that a process has bound by itself cannot be leased", "process", p.Title(), "port", number, "error", err)
		return err
	}
	u.update(func(q *Process) { q.Ports = p.Ports })
	u.l.Logger.Info("leased what the process has bound by itself", "process", p.Title(), "name", port.Label(), "port", number)
	return nil
}

// planOwn plans the lease of a port that a process has bound. Where the process
// has that lease already, since the outcome of making it was not known, there is
// no plan.
func (u *unit) planOwn(p Process, number int) (lease.Lease, *lease.Plan, error) {
	for _, held := range u.l.Leases.ByProcess(p.ID) {
		if held.Protocol == lease.TCP && held.Port == number {
			return held, nil, nil
		}
	}
	plan, err := u.l.Leases.PlanFound(lease.TCP, number, lease.Holder{Kind: lease.Process, Name: p.Title(), Process: p.ID})
	if err != nil {
		return lease.Lease{}, nil, err
	}
	return plan.Leases()[0], plan, nil
}

// conflicts notes why a port is not leased to its process, and tells of it once.
func (u *unit) conflicts(at int, why string) {
	p := u.snapshot()
	if p.Ports[at].Conflict == why {
		return
	}
	u.l.Logger.Warn("a port that a process has bound by itself is leased to somebody else", "process", p.Title(), "name", p.Ports[at].Label(), "why", why)
	u.l.Events.Add("process", "conflict", strconv.Itoa(p.ID), p.Title()+": port "+p.Ports[at].Label()+": "+why)
	u.update(func(q *Process) {
		q.Ports = slices.Clone(q.Ports)
		q.Ports[at].Conflict = why
	})
}

// forgetOwn ends the leases of what the incarnation that is gone had bound by
// itself, together with the record that says so, before the next one is started as
// p: that binds anew.
func (u *unit) forgetOwn(p *Process) error {
	isOwn := func(port Port) bool { return port.Self && !port.isAwaited() }
	if !slices.ContainsFunc(p.Ports, isOwn) {
		return nil
	}
	record := u.snapshot()
	var ended []lease.ID
	for i, port := range record.Ports {
		if !isOwn(port) {
			continue
		}
		record.Ports[i] = port.awaited()
		if _, err := u.l.Leases.Lease(port.Lease); err == nil { // unless it was released by hand
			ended = append(ended, port.Lease)
		}
	}
	stored := record
	if stored.Status == Running {
		stored.Status = Starting
	}
	var b store.Batch
	b.Put(u.l.processKey(p.ID), encodeProcess(stored))
	err := u.l.Leases.Recuperate(u.l.life, ended, b)
	if errors.Is(err, store.ErrUnknown) {
		err = errors.Join(err, u.l.Leases.Settle(u.l.life))
	}
	if err != nil {
		return fmt.Errorf("end the lease of what it had bound by itself: %w", err)
	}
	u.update(func(q *Process) { q.Ports = record.Ports })
	p.Ports = slices.Clone(p.Ports)
	for i, port := range p.Ports {
		if isOwn(port) {
			p.Ports[i] = port.awaited()
		}
	}
	return nil
}
