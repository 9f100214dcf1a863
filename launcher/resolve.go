package launcher

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"berth/descriptor"
	"berth/lease"
)

// resolve finds what a request means and checks what can be checked before
// anything is done. There is no target where all are for servers with other tags.
func (l *Launcher) resolve(ctx context.Context, r ExecRequest) (targets []definition, warnings []string, err error) {
	parts := r.Parts
	if parts == nil {
		parts = []ExecPart{{r.Distribution, r.Version, r.Name, r.Profile, r.Instances}}
	}
	for _, part := range parts {
		found, more, err := l.find(part)
		if err != nil {
			return nil, nil, err
		}
		targets, warnings = append(targets, found...), append(warnings, more...)
	}
	targets, more, err := l.tagged(ctx, targets)
	if err != nil {
		return nil, nil, err
	}
	warnings = append(warnings, more...)
	for _, t := range targets {
		more, err := l.check(t, t.instances)
		if err != nil {
			return nil, nil, err
		}
		warnings = append(warnings, more...)
	}
	return targets, warnings, nil
}

// find finds the processes that a part of a request means.
func (l *Launcher) find(r ExecPart) (targets []definition, warnings []string, err error) {
	if r.Profile == "" {
		return nil, nil, fmt.Errorf("%w: a profile is needed", ErrInvalid)
	}
	if r.Instances < 0 || r.Instances > maxInstances {
		return nil, nil, fmt.Errorf("%w: instances: %d is not between 1 and %d", ErrInvalid, r.Instances, maxInstances)
	}
	found := l.findDistributions(r.Distribution, r.Version)
	if len(found) == 0 {
		return nil, nil, fmt.Errorf("%w: %s %s is not deployed: berth ls shows what is", ErrDistributionNotFound, r.Distribution, r.Version)
	}
	var named, unnamed []string // processes that must be named; processes without the profile
	matched := false
	for _, d := range found {
		for i := range d.Descriptor.Processes {
			p := &d.Descriptor.Processes[i]
			if r.Name == "" && p.Invoke {
				named = append(named, p.Name)
				continue
			}
			if r.Name != "" && !lease.Match(r.Name, p.Name) {
				continue
			}
			matched = true
			starter, ok := p.Starter(r.Profile)
			if !ok {
				unnamed = append(unnamed, fmt.Sprintf("process %q has no profile %q, only %s", p.Name, r.Profile, profiles(p)))
				continue
			}
			targets = append(targets, definition{distribution: d, process: p, starter: starter, instances: cmp.Or(r.Instances, p.Instances, 1)})
		}
	}
	switch {
	case len(targets) > 0:
	case matched:
		return nil, nil, fmt.Errorf("%w: %s", ErrProfileNotFound, strings.Join(unnamed, "; "))
	case len(named) > 0:
		return nil, nil, fmt.Errorf("%w: processes with invoke=\"true\" start only when they are named: add -n %s", ErrExecRefused, strings.Join(named, " or -n "))
	default:
		return nil, nil, fmt.Errorf("%w: %s %s has no process %q", ErrProcessNotFound, r.Distribution, r.Version, r.Name)
	}
	for _, w := range unnamed {
		warnings = append(warnings, w+": left out")
	}
	return targets, warnings, nil
}

func profiles(p *descriptor.Process) string {
	var list []string
	for _, s := range p.Starters {
		list = append(list, fmt.Sprintf("%q", s.Profile))
	}
	return strings.Join(list, ", ")
}

// check looks at one target.
func (l *Launcher) check(t definition, instances int) (warnings []string, err error) {
	for _, port := range t.process.Ports {
		if err := l.checkNeed(t.process.Name, port, instances); err != nil {
			return nil, err
		}
	}
	if err := t.checkSelf(); err != nil {
		return nil, err
	}
	return warnings, l.checkMost(t, instances)
}

// checkMost refuses more instances than a process may have.
func (l *Launcher) checkMost(t definition, instances int) error {
	most := t.process.MaxInstances
	if most == 0 {
		return nil
	}
	running, err := l.Processes(Selector{Distribution: t.distribution.Name, Version: t.distribution.Version, Name: t.process.Name})
	if err != nil {
		return err
	}
	if len(running)+instances > most {
		return fmt.Errorf("%w: process %q may have %d instances and %d run: %d more are too many", ErrExecRefused, t.process.Name, most, len(running), instances)
	}
	return nil
}
