package launcher

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"berth/launcher/cmdline"
)

// Settings are what an administrator has set for this server.
type Settings interface {
	// ProcessProperties returns the properties that a process of these
	// categories is given, each name once: the global ones, and those of the
	// categories, of which a later one wins.
	ProcessProperties(ctx context.Context, categories []string) ([]Property, error)

	// ServerProperties returns those of the server's own, which variables find and
	// no process is given.
	ServerProperties(ctx context.Context) ([]Property, error)

	// Tags returns the tags that the server has.
	Tags(ctx context.Context) ([]string, error)
}

// Property is a name with a value.
type Property = cmdline.Property

// categories are those of a process, its distribution's first.
func (d definition) categories() []string {
	return slices.Concat(d.distribution.Descriptor.PropertyCategories, d.process.PropertyCategories)
}

// properties are those that the administrator has set, as a process has to do with them.
type properties struct {
	own    []Property // that the process is given
	server []Property // the server's, which only variables find
}

// properties are the ones for a process.
func (l *Launcher) properties(ctx context.Context, d definition) (p properties, err error) {
	if l.Settings == nil {
		return p, nil
	}
	if p.own, err = l.Settings.ProcessProperties(ctx, d.categories()); err != nil {
		return p, fmt.Errorf("properties of process %q: %w", d.process.Name, err)
	}
	if p.server, err = l.Settings.ServerProperties(ctx); err != nil {
		return p, fmt.Errorf("properties of the server: %w", err)
	}
	return p, nil
}

// propertiesOf are those for several processes. What is the same for many of
// them, as for the instances of an exec, is read once.
func (l *Launcher) propertiesOf(ctx context.Context, definitions []definition) ([]properties, error) {
	all := make([]properties, len(definitions))
	read := make(map[string]properties)
	for i, d := range definitions {
		categories := strings.Join(d.categories(), "\x00")
		p, ok := read[categories]
		if !ok {
			var err error
			if p, err = l.properties(ctx, d); err != nil {
				return nil, err
			}
			read[categories] = p
		}
		all[i] = p
	}
	return all, nil
}

// tagged leaves out the targets that need a tag that the server lacks, with a
// warning for each: they are for another server.
func (l *Launcher) tagged(ctx context.Context, targets []definition) (kept []definition, warnings []string, err error) {
	have, err := l.tags(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, t := range targets {
		lacks := t.lackingTags(have)
		if len(lacks) == 0 {
			kept = append(kept, t)
			continue
		}
		warnings = append(warnings, fmt.Sprintf("process %q is for a server with %s", t.process.Name, leftOut(lacks)))
	}
	return kept, warnings, nil
}

// tags are those that the server has.
func (l *Launcher) tags(ctx context.Context) ([]string, error) {
	if l.Settings == nil {
		return nil, nil
	}
	have, err := l.Settings.Tags(ctx)
	if err != nil {
		return nil, fmt.Errorf("tags of the server: %w", err)
	}
	return have, nil
}

// lackingTags are those of the process and of its distribution that a server with
// these tags lacks.
func (d definition) lackingTags(have []string) (lacks []string) {
	for _, tag := range slices.Concat(d.distribution.Descriptor.Tags, d.process.Tags) {
		if !slices.Contains(have, tag) && !slices.Contains(lacks, tag) {
			lacks = append(lacks, tag)
		}
	}
	return lacks
}

// leftOut ends the warning about a process for another server.
func leftOut(lacks []string) string {
	return fmt.Sprintf("the tags %s, which this one lacks: left out (berth conf add -t %s)", strings.Join(lacks, ", "), strings.Join(lacks, ","))
}
