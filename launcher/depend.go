package launcher

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"berth/descriptor"
)

// dependencyPatience is how long an exec waits until what its processes depend
// on listens, where it is not told to wait longer itself.
const dependencyPatience = time.Minute

// requirement is a process that an exec starts, under a profile.
type requirement struct {
	definition
	profile string
	asked   bool // by the exec itself
	needed  bool // by another one: it has to listen first
}

func (q *requirement) key() string {
	return strings.Join([]string{q.distribution.Name, q.distribution.Version, q.process.Name, q.profile}, "\x00")
}

// title names it for people: "db" (store 1.0, profile test).
func (q *requirement) title() string {
	return fmt.Sprintf("%q (%s %s, profile %s)", q.process.Name, q.distribution.Name, q.distribution.Version, q.profile)
}

// requirements are the targets of an exec and all that they depend on, each
// once and behind what it depends on itself. What is for a server with other tags
// is left out with a warning, and so is what only that depends on: there is
// where it runs. A circle, and what is not there, is ErrExecRefused.
func (l *Launcher) requirements(ctx context.Context, targets []definition) (_ []*requirement, warnings []string, err error) {
	have, err := l.tags(ctx)
	if err != nil {
		return nil, nil, err
	}
	all := make(map[string]*requirement)
	add := func(q requirement) *requirement {
		if known, ok := all[q.key()]; ok {
			return known
		}
		all[q.key()] = &q
		return &q
	}
	var asked []*requirement
	for _, t := range targets {
		q := add(requirement{definition: t, profile: t.starter.Profile, asked: true})
		if slices.Contains(asked, q) { // an exec configuration names it twice
			q.instances += t.instances
			continue
		}
		asked = append(asked, q)
	}
	var ordered, way []*requirement
	seen := make(map[*requirement]bool)
	var visit func(q *requirement) error
	visit = func(q *requirement) error {
		if at := slices.Index(way, q); at >= 0 {
			var names []string
			for _, on := range append(way[at:len(way):len(way)], q) {
				names = append(names, fmt.Sprintf("%q", on.process.Name))
			}
			return fmt.Errorf("%w: the dependencies go in a circle: %s", ErrExecRefused, strings.Join(names, " needs "))
		}
		if seen[q] {
			return nil
		}
		seen[q] = true
		way = append(way, q)
		for _, dep := range q.starter.Dependencies {
			d, profile, err := l.dependency(q, dep)
			if err != nil {
				return err
			}
			if lacks := d.lackingTags(have); len(lacks) > 0 {
				warnings = append(warnings, fmt.Sprintf("process %q depends on process %q (%s %s), which is for a server with %s",
					q.process.Name, d.process.Name, d.distribution.Name, d.distribution.Version, leftOut(lacks)))
				continue
			}
			on := add(requirement{definition: d, profile: profile})
			on.needed = true
			if err := visit(on); err != nil {
				return err
			}
		}
		way = way[:len(way)-1]
		ordered = append(ordered, q)
		return nil
	}
	for _, q := range asked {
		if err := visit(q); err != nil {
			return nil, nil, err
		}
	}
	return ordered, warnings, nil
}

// dependency finds the definition that a dependency of q names.
func (l *Launcher) dependency(q *requirement, dep descriptor.Dependency) (d definition, profile string, err error) {
	name, version, profile := dep.Distribution, dep.Version, dep.Profile
	if name == "" {
		name = q.distribution.Name
	}
	if version == "" {
		version = q.distribution.Version
	}
	if profile == "" {
		profile = q.profile
	}
	d, err = l.definitionOf(Process{Distribution: name, Version: version, Name: dep.Process, Profile: profile})
	if err != nil {
		return d, "", fmt.Errorf("%w: process %q depends on process %q of %s %s: %w", ErrExecRefused, q.process.Name, dep.Process, name, version, err)
	}
	return d, profile, nil
}

// startNeeded starts, one after the other, what has to listen before the rest of
// an exec is started, and returns that rest and what was started. What nobody has
// asked for and that runs already is not started; it has to listen as well.
func (l *Launcher) startNeeded(ctx context.Context, r ExecRequest, ordered []*requirement) (rest []definition, started []*unit, err error) {
	patience := max(r.Wait, dependencyPatience)
	for _, q := range ordered {
		if !q.needed {
			rest = append(rest, q.definition)
			continue
		}
		units, fresh, err := l.startOnce(ctx, r, q)
		if fresh {
			started = append(started, units...)
		}
		if err == nil {
			err = l.awaitListening(ctx, units, patience)
		}
		if err != nil {
			return nil, started, fmt.Errorf("process %s has to listen first: %w", q.title(), err)
		}
	}
	return rest, started, nil
}

// startOnce starts a process that another one needs, unless nobody has asked
// for it and it runs: then it returns the first of those that run. Two execs that
// need it start it once.
func (l *Launcher) startOnce(ctx context.Context, r ExecRequest, q *requirement) (units []*unit, fresh bool, err error) {
	l.needing.Lock()
	defer l.needing.Unlock()
	if !q.asked {
		running, err := l.selectUnits(Selector{Distribution: q.distribution.Name, Version: q.distribution.Version, Name: q.process.Name, Profile: q.profile})
		if err != nil {
			return nil, false, err
		}
		running = slices.DeleteFunc(running, func(u *unit) bool { return u.snapshot().Status == Stopping })
		if len(running) > 0 {
			return running[:1], false, nil
		}
	}
	r.Extra = nil
	units, _, err = l.launch(ctx, r, []definition{q.definition}, nil)
	return units, true, err
}
