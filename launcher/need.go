package launcher

import (
	"fmt"
	"slices"
	"strconv"

	"berth/descriptor"
	"berth/lease"
)

// directName names a port that was asked for directly and lies in no range; the
// second one of a process is port2.
const directName = "port"

// countOf is how many ports a need is for.
func countOf(need descriptor.Port) int { return max(need.Count, 1) }

// isDirect reports whether a need is for ports that need not be a range's.
func isDirect(need descriptor.Port) bool { return need.Spec != nil && need.Spec.Range == "" }

// rangeOf is the range that a need is for; empty where it is for none.
func rangeOf(need descriptor.Port) string {
	switch {
	case need.BindSelf:
		return ""
	case need.Spec == nil:
		return need.Name
	}
	return need.Spec.Range
}

// requestFor is the request for the ports of one need of a process.
func requestFor(need descriptor.Port, p Process) lease.Request {
	q := lease.Request{
		Range: rangeOf(need), Protocol: lease.Protocol(need.Protocol), Count: need.Count,
		Holder: lease.Holder{Kind: lease.Process, Name: p.Title(), Process: p.ID},
	}
	if !isDirect(need) {
		return q
	}
	switch s := need.Spec; {
	case s.Auto:
		q.Min, q.Max = s.First, s.Last
	case s.First == 0:
		q.System = true
	default:
		q.Port = s.First + p.Instance*countOf(need)
	}
	return q
}

// checkNeed looks whether n instances can have the ports of a need, as far as
// that can be told without looking at what is leased.
func (l *Launcher) checkNeed(process string, need descriptor.Port, n int) error {
	if need.BindSelf {
		return nil // it is leased once it is bound
	}
	if name := rangeOf(need); name != "" {
		r, err := l.Leases.Range(name)
		if err != nil {
			return fmt.Errorf("process %q needs a port of range %q: %w: add it (berth port add -n %s -min … -max …)", process, name, lease.ErrRangeNotFound, name)
		}
		if need.Protocol != "" && lease.Protocol(need.Protocol) != r.Protocol {
			return fmt.Errorf("process %q needs %s ports, and range %q is of %s: %w: name another range, or add one with -proto %s", process, need.Protocol, name, r.Protocol, lease.ErrProtocol, need.Protocol)
		}
		if count := countOf(need); r.Ephemeral && count > 1 {
			return fmt.Errorf("%w: process %q needs %d contiguous ports, and range %q is ephemeral: the system chooses each port by itself", ErrExecRefused, process, count, name)
		} else if count > r.Len() && !r.Ephemeral {
			return fmt.Errorf("%w: process %q needs %d contiguous ports, and range %q %v has %d", ErrExecRefused, process, count, name, r, r.Len())
		}
		return nil
	}
	s := need.Spec
	if s == nil || s.First == 0 {
		return nil
	}
	have, want := s.Last-s.First+1, n*countOf(need)
	if !s.Auto && s.First == s.Last {
		have = countOf(need) // the others follow it
	}
	if have < want {
		return fmt.Errorf("%w: process %q: port %s is %s, and %s %s: give %d-%d", ErrExecRefused, process, s, plural(have, "port"),
			plural(n, "instance"), needs(n, want), s.First, s.First+want-1)
	}
	return nil
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

func needs(n, want int) string {
	if n == 1 {
		return "needs " + strconv.Itoa(want)
	}
	return "need " + strconv.Itoa(want)
}

// requestsOf are the requests for what a process needs and is not handed.
func requestsOf(p Process, d definition) (requests []lease.Request) {
	for k, need := range d.process.Ports {
		if d.kept[k] == nil && !need.BindSelf {
			requests = append(requests, requestFor(need, p))
		}
	}
	return requests
}

// portsOf makes the records of the ports of a process: those that it is handed,
// by the place of their need, and of leases that are in the order of its other
// needs and begin with its own. It returns the leases that are left.
func portsOf(list []descriptor.Port, kept map[int][]Port, leases []lease.Lease) (made []Port, left []lease.Lease) {
	for k, need := range list {
		if kept[k] != nil {
			made = append(made, kept[k]...)
			continue
		}
		if need.BindSelf {
			made = append(made, Port{Name: need.Name, Protocol: lease.TCP}.awaited())
			continue
		}
		for _, held := range leases[:countOf(need)] {
			made = append(made, Port{Range: held.Range, Protocol: held.Protocol, Number: held.Port, Lease: held.ID, State: PortLeased})
		}
		leases = leases[countOf(need):]
	}
	nameDirect(list, made)
	return made, leases
}

// nameDirect names the ports that are of no range: those of one need alike.
func nameDirect(list []descriptor.Port, made []Port) {
	taken := make(map[string]bool)
	for _, port := range made {
		taken[port.Range] = true
		if port.Self {
			taken[port.Name] = true
		}
	}
	n := 0
	for _, g := range groups(list, made) {
		name := ""
		for i := range g {
			if g[i].Self {
				continue
			}
			g[i].Name = ""
			if g[i].Range != "" {
				continue
			}
			for name == "" || taken[name] {
				name = directName
				if n++; n > 1 {
					name += strconv.Itoa(n)
				}
			}
			g[i].Name = name
		}
	}
}

// groups parts the ports of a process by its needs, in their order. What there
// is beyond them, or cannot be told because ports are missing, is left out.
func groups(list []descriptor.Port, all []Port) [][]Port {
	parted := make([][]Port, 0, len(list))
	for _, need := range list {
		if len(all) < countOf(need) {
			break
		}
		parted = append(parted, all[:countOf(need):countOf(need)])
		all = all[countOf(need):]
	}
	return parted
}

// lastPorts are, for each need of a process that is to be made, the first of the
// ports that the same instance had last: of the distribution, version and
// process that ended last. 0 is none.
func (l *Launcher) lastPorts(p Process, list []descriptor.Port) []int {
	preferred := make([]int, len(list))
	l.mu.Lock()
	ended := slices.Clone(l.ended)
	l.mu.Unlock()
	for _, id := range slices.Backward(ended) {
		u, err := l.unit(id)
		if err != nil {
			continue
		}
		before := u.snapshot()
		if before.Distribution != p.Distribution || before.Version != p.Version || before.Name != p.Name || before.Instance != p.Instance {
			continue
		}
		for i, g := range groups(list, before.Ports) {
			if name := rangeOf(list[i]); name == "" || name == g[0].Range {
				preferred[i] = g[0].Number
			}
		}
		break
	}
	return preferred
}
