package launcher

import (
	"context"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"berth/internal/failpoint"
	"berth/lease"
	"berth/proc"
	"berth/sockdiag"
)

// The pauses between two looks at who listens: short after something was
// started, and longer and longer while nothing changes, but never as long as
// that while somebody waits for it.
const (
	shortestPause = 4 * time.Millisecond
	awaitedPause  = 12 * time.Millisecond
	longestPause  = time.Second
)

// portWatcher finds out when processes listen on their ports. One look serves
// all processes: the listening sockets are asked for once, and only the
// descriptors of those processes are read whose port has a listener.
type portWatcher struct {
	l        *Launcher
	kick     chan struct{}
	awaiting atomic.Int32 // how many wait for processes to listen

	// sightings are, by the ids of processes, when their own ports were last looked
	// for. They are RunOnce's, which one at a time calls.
	sightings map[int]sighting
}

func newPortWatcher(l *Launcher) *portWatcher {
	return &portWatcher{l: l, kick: make(chan struct{}, 1)}
}

// wake has the watcher look soon, and often.
func (w *portWatcher) wake() {
	select {
	case w.kick <- struct{}{}:
	default:
	}
}

// await has the watcher look often until the returned function is called.
func (w *portWatcher) await() (done func()) {
	w.awaiting.Add(1)
	w.wake()
	return func() { w.awaiting.Add(-1) }
}

// Run looks until ctx ends. It returns nil then.
func (w *portWatcher) Run(ctx context.Context) error {
	pause := shortestPause
	for {
		waiting, err := w.RunOnce()
		if err != nil {
			w.l.Logger.Error("cannot see who listens", "error", err)
		}
		var again <-chan time.Time
		if waiting {
			again = time.After(pause)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-w.kick:
			pause = shortestPause
		case <-again:
			longest := longestPause
			if w.awaiting.Load() > 0 {
				longest = awaitedPause
			}
			pause = min(pause*5/4, longest)
		}
	}
}

// watched is a process with a port that it does not listen on yet.
type watched struct {
	unit    *unit
	process Process
}

// RunOnce looks once. It reports whether there are ports left that nobody of
// their process listens on.
func (w *portWatcher) RunOnce() (waiting bool, err error) {
	candidates, protocols := w.candidates()
	if len(candidates) == 0 {
		return false, nil
	}
	sockets := make(map[lease.Protocol]map[int][]uint64, len(protocols))
	for protocol := range protocols {
		list, err := sockdiag.Listeners(string(protocol))
		if err != nil {
			return true, err
		}
		sockets[protocol] = make(map[int][]uint64)
		for _, s := range list {
			port := int(s.Local.Port())
			sockets[protocol][port] = append(sockets[protocol][port], s.Inode)
		}
	}
	look := &look{sockets: sockets, sightings: w.sightings, found: make(map[int]sighting)}
	for _, c := range candidates {
		if !look.at(c) {
			waiting = true
		}
	}
	w.sightings = look.found
	return waiting, look.err
}

// candidates are the running processes with ports to be watched.
func (w *portWatcher) candidates() (list []watched, protocols map[lease.Protocol]bool) {
	protocols = make(map[lease.Protocol]bool)
	w.l.mu.Lock()
	units := make([]*unit, 0, len(w.l.units))
	for _, u := range w.l.units {
		units = append(units, u)
	}
	w.l.mu.Unlock()
	for _, u := range units {
		p := u.snapshot()
		if p.Status != Running {
			continue
		}
		open := silent(p)
		for _, port := range open {
			protocols[port.Protocol] = true
		}
		if len(open) > 0 {
			list = append(list, watched{u, p})
		}
	}
	return list, protocols
}

// look is one look at the sockets of the host.
type look struct {
	sockets map[lease.Protocol]map[int][]uint64
	tree    *proc.Tree // made when a process itself does not have a socket
	err     error

	selves           *selfLook // made when a process has bound a port by itself
	sightings, found map[int]sighting
}

// at sees to the ports of one process, and reports whether it listens on all.
func (k *look) at(c watched) (all bool) {
	all = true
	for i, port := range c.process.Ports {
		if port.State == PortListening {
			continue
		}
		if port.isAwaited() {
			k.findOwn(c, i)
			all = false
			continue
		}
		inodes := k.sockets[port.Protocol][port.Number]
		state := PortLeased
		if len(inodes) > 0 {
			state = k.stateOf(c.process.Identity.PID, port, inodes)
		}
		if state != port.State {
			c.unit.setPortState(c.process.Identity, i, state)
		}
		if state != PortListening {
			all = false
		}
	}
	return all
}

// stateOf tells whose the sockets on a port are: of the process or a
// descendant, or somebody else's. Where the owner cannot be seen it is taken
// for the process, unless that is because the socket has been closed.
func (k *look) stateOf(pid int, port Port, inodes []uint64) PortState {
	wanted := make(map[uint64]bool, len(inodes))
	for _, inode := range inodes {
		wanted[inode] = true
	}
	if len(sockdiag.OwnedBy([]int{pid}, wanted)) > 0 || failpoint.Planted("any-listener") {
		return PortListening
	}
	if k.tree == nil {
		tree, err := proc.Snapshot()
		if err != nil {
			k.err = err
			return PortLeased
		}
		k.tree = tree
	}
	if len(sockdiag.OwnedBy(k.tree.Of(pid), wanted)) > 0 {
		return PortListening
	}
	owners, err := sockdiag.Owners(inodes...)
	if err != nil {
		k.err = err
		return PortLeased
	}
	state := PortListening
	for _, list := range owners {
		for _, o := range list {
			switch {
			case o.PID == os.Getpid():
				state = PortLeased // what was handed over, and the process has closed
			case !o.IsProxy():
				return PortStolen
			}
		}
	}
	left, err := sockdiag.OnPort(string(port.Protocol), port.Number)
	if err != nil {
		k.err = err
		return PortLeased
	}
	if !slices.ContainsFunc(left, func(s sockdiag.Socket) bool { return wanted[s.Inode] }) {
		return PortLeased
	}
	return state
}

// setPortState notes what was seen of a port, unless the process is another
// incarnation by now.
func (u *unit) setPortState(seen proc.Identity, i int, s PortState) {
	u.mu.Lock()
	current := u.process.Identity == seen && i < len(u.process.Ports)
	u.mu.Unlock()
	if current {
		u.update(func(p *Process) {
			if p.Identity == seen {
				p.Ports = append([]Port(nil), p.Ports...)
				p.Ports[i].State = s
			}
		})
	}
}
