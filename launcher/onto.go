package launcher

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"berth/descriptor"
	"berth/lease"
)

// onto is the definition with other ports in place of its first ones: those that
// a run of it was asked to have, as ParsePortSpec reads them. What is deployed
// stays as it is.
func (d definition) onto(specs []string) (definition, error) {
	if len(specs) == 0 {
		return d, nil
	}
	p := *d.process
	p.Ports = slices.Clone(p.Ports)
	for i, text := range specs {
		spec, err := descriptor.ParsePortSpec(text)
		if err != nil {
			return d, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		if i == len(p.Ports) {
			name := directName
			if i > 0 {
				name = fmt.Sprint(directName, i+1)
			}
			p.Ports = append(p.Ports, descriptor.Port{Name: name, Count: 1})
		}
		p.Ports[i].BindSelf = false
		if spec.Range != "" {
			p.Ports[i].Name, p.Ports[i].Spec = spec.Range, nil
		} else {
			p.Ports[i].Spec = &spec
		}
	}
	d.process = &p
	return d, nil
}

// instancesOnto is how many instances there will be on other ports: where they
// are an interval one for each port of it, and else as many as there were.
func (d definition) instancesOnto(specs []string, were int) int {
	n := were
	for i := range specs {
		if s := d.process.Ports[i].Spec; s != nil && !s.Auto && s.Last > s.First {
			n = max(n, (s.Last-s.First+1)/countOf(d.process.Ports[i]))
		}
	}
	return n
}

// reloadOnto starts instances on other ports, all or none, in place of processes
// of one definition, and once they listen, or with wait 0 at once, has those end.
func (l *Launcher) reloadOnto(ctx context.Context, units []*unit, r ReloadRequest) (ReloadResult, error) {
	var result ReloadResult
	if len(units) == 0 {
		return result, nil
	}
	old := snapshots(units)
	first := old[0]
	for _, p := range old {
		if p.Distribution != first.Distribution || p.Version != first.Version || p.Name != first.Name || p.Profile != first.Profile {
			return result, fmt.Errorf("%w: other ports are for the instances of one process, and these are of %s and %s: name one", ErrInvalid, first.Title(), p.Title())
		}
	}
	d, err := l.definitionOf(Process{Distribution: first.Distribution, Version: first.Version, Name: first.Name, Profile: first.Profile})
	if err == nil {
		d, err = d.onto(r.Ports)
	}
	if err != nil {
		return result, err
	}
	n := d.instancesOnto(r.Ports, len(old))
	if most := d.process.MaxInstances; most > 0 && n > most {
		return result, fmt.Errorf("%w: process %q may have %d instances: %d are too many", ErrExecRefused, first.Name, most, n)
	}
	for _, need := range d.process.Ports {
		if err := l.checkNeed(first.Name, need, n); err != nil {
			return result, err
		}
	}
	release, err := l.hold([]*deployed{d.distribution})
	if err != nil {
		return result, err
	}
	next, err := l.launchOnto(ctx, d, old, n, r.Ports)
	release()
	if err == nil && r.Wait > 0 {
		for _, u := range next {
			if err = l.awaitAtWork(ctx, u, nil, r.Wait); err != nil {
				break
			}
		}
	}
	if err != nil {
		for _, u := range next {
			u.because("it did not come to work in a reload")
		}
		if len(next) > 0 {
			err = errors.Join(err, tellAll(context.WithoutCancel(ctx), next, stopAsked), l.awaitEnded(ctx, next, l.longestEnd(first)))
		}
		return result, fmt.Errorf("%s stays: %w", first.Title(), err)
	}
	for i, u := range units {
		u.because(fmt.Sprintf("replaced by process %d", next[min(i, len(next)-1)].snapshot().ID))
	}
	err = tellAll(ctx, units, stopAsked)
	if err == nil && r.Wait > 0 {
		err = l.awaitEnded(ctx, units, l.longestEnd(first))
	}
	result.Processes = snapshots(next)
	return result, err
}

// launchOnto starts n instances in place of old ones.
func (l *Launcher) launchOnto(ctx context.Context, d definition, old []Process, n int, specs []string) ([]*unit, error) {
	id := l.takeIDs(n)
	var processes []Process
	var definitions []definition
	var requests []lease.Request
	for i := range n {
		p := Process{
			ID: id + i, Distribution: old[0].Distribution, Version: old[0].Version, Profile: old[0].Profile, Name: old[0].Name,
			Instance: i, Status: Starting, Onto: specs,
		}
		if i < len(old) {
			p.Replaces, p.Restarts = old[i].ID, old[i].Restarts+1
		}
		processes, definitions = append(processes, p), append(definitions, d)
		requests = append(requests, requestsOf(p, d)...)
	}
	for {
		units, _, err := l.launchOnce(ctx, processes, definitions, requests, noExtra)
		switch {
		case errors.Is(err, lease.ErrTaken) && ctx.Err() == nil:
			continue
		case err != nil && units == nil:
			l.giveBackIDs(id, n)
			return nil, err
		case err != nil:
			return units, err
		}
		return units, l.openGates(units)
	}
}
