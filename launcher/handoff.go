package launcher

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"berth/descriptor"
	"berth/lease"
)

// firstHanded is the descriptor of the first socket that a process is handed,
// SD_LISTEN_FDS_START of sd_listen_fds(3).
const firstHanded = 3

// unboundPatience is how long the end of a process waits for its ports to be
// unbound after the daemon has closed its sockets.
const unboundPatience = 100 * time.Millisecond

// handover is the sockets that the daemon has bound for a process, in the order
// of the descriptor. The daemon keeps its copies until the process has ended:
// the port is bound over a restart too, and where it listens, connections
// queue in between.
type handover []handed

// handed is the socket of one port.
type handed struct {
	socketKey
	name string // the port's label
	file *os.File
}

// socketKey tells the sockets of the daemon apart.
type socketKey struct {
	how      descriptor.Handoff
	protocol lease.Protocol
	number   int
}

func (k socketKey) bind() (*os.File, error) {
	if k.how == descriptor.Hold {
		return lease.Hold(k.protocol, k.number)
	}
	return lease.Listen(k.protocol, k.number)
}

// isPassed reports whether the process gets the socket itself.
func (k socketKey) isPassed() bool {
	return k.how == descriptor.Listen || k.how == descriptor.Inherit
}

// endsWithExec reports whether the socket has to be closed for the process to
// be able to bind: over a held UDP port nobody can, and over one that was only
// kept for it not every program.
func (k socketKey) endsWithExec() bool {
	return k.how == kept || k.how == descriptor.Hold && k.protocol == lease.UDP
}

// kept is how a port that the system chose is held, of which the descriptor asks
// for no hand-over: until the process is about to bind it.
const kept descriptor.Handoff = "kept"

// handoffs are the ports of a process that are handed over to it.
func handoffs(p Process, d *descriptor.Process) (h handover) {
	for i, g := range groups(d.Ports, p.Ports) {
		for _, port := range g {
			if how := d.Ports[i].Handoff; how != "" {
				h = append(h, handed{socketKey: socketKey{how, port.Protocol, port.Number}, name: port.Label()})
			}
		}
	}
	return h
}

// files are what the process gets from descriptor 3 on.
func (h handover) files() (list []*os.File) {
	for _, s := range h {
		if s.isPassed() {
			list = append(list, s.file)
		}
	}
	return list
}

// input is the socket that is descriptor 0 as well, nil where none is.
func (h handover) input() *os.File {
	for _, s := range h {
		if s.how == descriptor.Inherit {
			return s.file
		}
	}
	return nil
}

// environ is what tells the process of its sockets, sd_listen_fds(3); LISTEN_PID
// is for the gate to add. It is empty where there are none.
func (h handover) environ() []string {
	var names []string
	for _, s := range h {
		if s.isPassed() {
			names = append(names, s.name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return []string{"LISTEN_FDS=" + strconv.Itoa(len(names)), "LISTEN_FDNAMES=" + strings.Join(names, ":")}
}

// has reports whether one of the sockets is bound to the port of a lease.
func (h handover) has(l lease.Lease) bool {
	return slices.ContainsFunc(h, func(s handed) bool { return s.protocol == l.Protocol && s.number == l.Port })
}

func (h handover) hasFile(f *os.File) bool {
	return slices.ContainsFunc(h, func(s handed) bool { return s.file == f })
}

// beforeExec closes what the process could not bind over. It comes right
// before its gate opens, and may come again. A child that was just started may
// have copies, until it comes to close what is not its own: that is waited for.
func (h handover) beforeExec() {
	var closed []handed
	for _, s := range h {
		if s.endsWithExec() && s.file.Close() == nil { // else it was closed before
			closed = append(closed, s)
		}
	}
	deadline := time.Now().Add(unboundPatience)
	for _, s := range closed {
		for pause := 50 * time.Microsecond; lease.IsBound(s.protocol, s.number) && time.Now().Before(deadline); pause *= 2 {
			time.Sleep(pause)
		}
	}
}

// lasting is the sockets that stay the daemon's while the process runs.
func (h handover) lasting() handover {
	return slices.DeleteFunc(slices.Clone(h), func(s handed) bool { return s.how == kept })
}

// close closes the daemon's copies. It may be called twice, and at the same
// time as beforeExec.
func (h handover) close() {
	for _, s := range h {
		_ = s.file.Close()
	}
}

// sockets are sockets that the daemon has, while it is found out whose they
// will be.
type sockets map[socketKey]*os.File

// bind gives each port of a handover its socket, the one that is there or a new one.
func (s sockets) bind(h handover) error {
	for i := range h {
		file, ok := s[h[i].socketKey]
		if !ok {
			var err error
			if file, err = h[i].socketKey.bind(); err != nil {
				return err
			}
			s[h[i].socketKey] = file
		}
		h[i].file = file
	}
	return nil
}

// choose adds the sockets that the system chose ports by to a handover that they
// are of, or as what is kept for it, and puts them into s: there its own finds them.
func (s sockets) choose(h handover, p Process, chosen []lease.Socket) (handover, error) {
	for _, c := range chosen {
		at := slices.IndexFunc(p.Ports, func(port Port) bool { return port.Protocol == c.Protocol && port.Number == c.Port })
		if at < 0 {
			continue // another process'
		}
		k := socketKey{kept, c.Protocol, c.Port}
		if i := slices.IndexFunc(h, func(one handed) bool { return one.protocol == c.Protocol && one.number == c.Port }); i >= 0 {
			k = h[i].socketKey
		} else {
			h = append(h, handed{socketKey: k, name: p.Ports[at].Label()})
		}
		if _, has := s[k]; has {
			continue
		}
		s[k] = c.File
		if k.isPassed() {
			if err := lease.ListenOn(c.Protocol, c.File); err != nil {
				return h, err
			}
		}
	}
	return h, nil
}

// closeOthers closes all sockets but those of the given handovers.
func (s sockets) closeOthers(used ...handover) {
	for _, h := range used {
		for _, one := range h {
			delete(s, one.socketKey)
		}
	}
	for _, file := range s {
		_ = file.Close()
	}
}

// handOver binds the ports of planned processes that are to be handed over, all
// or none. A port that cannot be bound, because somebody was quicker since the
// probe, is set aside, and the plan and the processes get another one.
func (l *Launcher) handOver(ctx context.Context, plan *lease.Plan, processes []Process, definitions []definition) ([]handover, error) {
	have := make(sockets)
	for _, d := range definitions {
		maps.Copy(have, d.sockets)
	}
	var chosen []lease.Socket
	for {
		layPorts(processes, definitions, plan.Leases())
		chosen = append(chosen, plan.Sockets()...)
		list := make([]handover, len(processes))
		var err error
		for i := range processes {
			list[i], err = have.choose(handoffs(processes[i], definitions[i].process), processes[i], chosen)
			if err == nil {
				err = have.bind(list[i])
			}
			if err != nil {
				err = fmt.Errorf("process %q: %w", processes[i].Name, err)
				break
			}
		}
		if err == nil {
			have.closeOthers(list...)
			for _, c := range chosen {
				// One that was refused is nobody's.
				if !slices.ContainsFunc(list, func(h handover) bool { return h.hasFile(c.File) }) {
					_ = c.File.Close()
				}
			}
			return list, nil
		}
		var inUse *lease.InUseError
		if errors.As(err, &inUse) {
			l.Logger.Warn("a port was lost between the probe and the bind; another one is taken", "protocol", inUse.Protocol, "port", inUse.Port)
			err = l.Leases.Refuse(ctx, plan, inUse.Protocol, inUse.Port)
		}
		if err != nil {
			have.closeOthers()
			for _, c := range chosen {
				_ = c.File.Close() // again, or of a process that was not come to
			}
			return nil, err
		}
	}
}

// layPorts gives processes the ports of planned leases, in their order.
func layPorts(processes []Process, definitions []definition, leases []lease.Lease) {
	for i := range processes {
		processes[i].Ports, leases = portsOf(definitions[i].process.Ports, definitions[i].kept, leases)
	}
}

// handOverAgain sees to the sockets of a restart: those that the daemon has
// stay, others are bound anew.
func (u *unit) handOverAgain(p Process, d *descriptor.Process) error {
	have := make(sockets)
	for _, s := range u.handover {
		if !s.endsWithExec() {
			have[s.socketKey] = s.file
		} else {
			_ = s.file.Close()
		}
	}
	again, err := have.choose(handoffs(p, d), p, u.chosen)
	if err == nil {
		err = have.bind(again)
	}
	if err != nil {
		u.letGoChosen()
	}
	u.chosen = nil // they are the handover's
	if err != nil {
		u.handover = nil
		have.closeOthers()
		var inUse *lease.InUseError
		if errors.As(err, &inUse) {
			if who, _, findErr := lease.SystemFinder().Find(inUse.Protocol, inUse.Port); findErr == nil {
				inUse.PID, inUse.Command = who.PID, who.Command
			}
		}
		return err
	}
	have.closeOthers(again)
	u.handover = again
	return nil
}

// letGoChosen closes the sockets by which the system chose ports that the process
// was not started on.
func (u *unit) letGoChosen() {
	for _, c := range u.chosen {
		_ = c.File.Close()
	}
	u.chosen = nil
}

// letGo closes the daemon's sockets of a process that has ended, before its
// ports are probed. A child that is just being started may have copies, until
// it comes to close what is not its own: that is waited for. Those that a
// descendant keeps are not.
func (u *unit) letGo() {
	u.letGoChosen()
	u.handover.close()
	deadline := time.Now().Add(unboundPatience)
	for _, s := range u.handover {
		if u.l.isHandedOn(u.process.ID, s.socketKey) {
			continue
		}
		for pause := time.Millisecond; time.Now().Before(deadline); pause *= 2 {
			if !errors.Is(lease.SystemProber().Probe(s.protocol, s.number), lease.ErrInUse) {
				break
			}
			time.Sleep(pause)
		}
	}
	u.handover = nil
}
