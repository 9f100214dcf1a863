package launcher

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"berth/lease"
)

// Selector selects processes. Fields that are set narrow it down and hold all
// together; the strings are patterns, where * is any run of characters. IDs
// and PIDs are exact. The zero Selector selects all that have not ended.
type Selector struct {
	IDs, PIDs                            []int
	Distribution, Version, Name, Profile string
	// Port is RANGE:PORT, each a pattern.
	Port string
	// Ended also selects processes that have ended.
	Ended bool
}

// selectUnits returns the processes that a selector selects, ordered by id.
func (l *Launcher) selectUnits(s Selector) ([]*unit, error) {
	rangePattern, portPattern, ok := strings.Cut(s.Port, ":")
	if s.Port != "" && (!ok || rangePattern == "" || portPattern == "") {
		return nil, fmt.Errorf("%w: port %q is not RANGE:PORT, for example http:8080 or http:*", ErrInvalid, s.Port)
	}
	l.mu.Lock()
	all := make([]*unit, 0, len(l.units))
	for _, u := range l.units {
		all = append(all, u)
	}
	l.mu.Unlock()

	var selected []*unit
	ids, pids := missing(s.IDs), missing(s.PIDs)
	for _, u := range all {
		p := u.snapshot()
		if !p.Live() && !s.Ended {
			continue
		}
		delete(ids, p.ID)
		delete(pids, p.PID())
		if s.selects(p, rangePattern, portPattern) {
			selected = append(selected, u)
		}
	}
	for id := range ids {
		return nil, fmt.Errorf("%w: no process with id %d runs", ErrProcessNotFound, id)
	}
	for pid := range pids {
		return nil, fmt.Errorf("%w: no process here has the pid %d", ErrProcessNotFound, pid)
	}
	slices.SortFunc(selected, func(a, b *unit) int { return a.process.ID - b.process.ID })
	return selected, nil
}

func missing(wanted []int) map[int]bool {
	m := make(map[int]bool, len(wanted))
	for _, n := range wanted {
		m[n] = true
	}
	return m
}

func (s Selector) selects(p Process, rangePattern, portPattern string) bool {
	if len(s.IDs) > 0 && !slices.Contains(s.IDs, p.ID) || len(s.PIDs) > 0 && !slices.Contains(s.PIDs, p.PID()) {
		return false
	}
	for _, f := range [...]struct{ pattern, value string }{
		{s.Distribution, p.Distribution}, {s.Version, p.Version}, {s.Name, p.Name}, {s.Profile, p.Profile},
	} {
		if f.pattern != "" && !lease.Match(f.pattern, f.value) {
			return false
		}
	}
	return s.Port == "" || slices.ContainsFunc(p.Ports, func(port Port) bool {
		return lease.Match(rangePattern, port.Label()) && lease.Match(portPattern, strconv.Itoa(port.Number))
	})
}
