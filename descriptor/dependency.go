package descriptor

import (
	"fmt"
	"slices"
	"strings"
)

// Dependency names a process that starts before another. An empty
// Distribution, Version or Profile means that of the process that depends.
type Dependency struct {
	Distribution string
	Version      string
	Process      string
	Profile      string
}

// within reports whether the dependency is on a process of d itself.
func (dep Dependency) within(d *Distribution) bool {
	return (dep.Distribution == "" || dep.Distribution == d.Name) && (dep.Version == "" || dep.Version == d.Version)
}

// addDependency reads a dependency element of starter s of process p of d.
func (e *element) addDependency(d *Distribution, p *Process, s *Starter) {
	dep := Dependency{
		Distribution: e.optionalName("distribution"),
		Version:      e.optionalName("version"),
		Process:      e.name("process"),
		Profile:      e.optionalName("profile"),
	}
	if dist := e.optionalName("dist"); dep.Distribution == "" {
		dep.Distribution = dist
	} else if dist != "" && dist != dep.Distribution {
		e.problem("attributes \"dist\" and \"distribution\" mean the same: keep one")
	}
	switch {
	case dep.within(d) && dep.Process != "" && dep.Process == p.Name:
		e.warn("the process depends on itself, which is ignored")
	case !slices.Contains(s.Dependencies, dep):
		s.Dependencies = append(s.Dependencies, dep)
	}
}

// step is a process under a profile: a node of what depends on what.
type step struct{ process, profile string }

// circles warns of dependencies that lead back to where they came from, once
// for each circle, and of those on what the distribution does not have.
func (r *reader) circles(d *Distribution) {
	const open, done = 1, 2
	state := map[step]int{}
	var way []step
	var visit func(step)
	visit = func(at step) {
		process, ok := d.Process(at.process)
		if !ok {
			return
		}
		starter, ok := process.Starter(at.profile)
		if !ok {
			return
		}
		state[at] = open
		way = append(way, at)
		for _, dep := range starter.Dependencies {
			if !dep.within(d) {
				continue
			}
			to := step{dep.Process, dep.Profile}
			if to.profile == "" {
				to.profile = at.profile
			}
			switch state[to] {
			case open:
				r.warnCircle(way[slices.Index(way, to):])
			case 0:
				visit(to)
			}
		}
		way = way[:len(way)-1]
		state[at] = done
	}
	for _, p := range d.Processes {
		for _, s := range p.Starters {
			r.warnUnknown(d, &p, &s)
			if at := (step{p.Name, s.Profile}); state[at] == 0 {
				visit(at)
			}
		}
	}
}

// warnCircle says which steps depend on each other.
func (r *reader) warnCircle(circle []step) {
	const shown = 8
	var b strings.Builder
	for _, s := range circle[:min(len(circle), shown)] {
		fmt.Fprintf(&b, "%s, ", quote(s.process))
	}
	if len(circle) > shown {
		fmt.Fprintf(&b, "%d more, ", len(circle)-shown)
	}
	r.warn("process %s: dependencies in profile %s lead in a circle: %s%s",
		quote(circle[0].process), quote(circle[0].profile), b.String(), quote(circle[0].process))
}

// warnUnknown warns of dependencies on what the distribution does not have.
func (r *reader) warnUnknown(d *Distribution, p *Process, s *Starter) {
	for _, dep := range s.Dependencies {
		if !dep.within(d) {
			continue
		}
		profile := dep.Profile
		if profile == "" {
			profile = s.Profile
		}
		where := fmt.Sprintf("process %s: %s (profile %s): dependency %s", quote(p.Name), s.Kind, quote(s.Profile), quote(dep.Process))
		if on, ok := d.Process(dep.Process); !ok {
			r.warn("%s: the distribution has no such process", where)
		} else if _, ok := on.Starter(profile); !ok {
			r.warn("%s: that process has no profile %s", where, quote(profile))
		}
	}
}
