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

// tagged leaves out the targets that need a tag that the server lacks, with a
// warning for each: they are for another server.
func (l *Launcher) tagged(ctx context.Context, targets []definition) (kept []definition, warnings []string, err error) {
	var have []string
	if l.Settings != nil {
		if have, err = l.Settings.Tags(ctx); err != nil {
			return nil, nil, fmt.Errorf("tags of the server: %w", err)
		}
	}
	for _, t := range targets {
		var lacks []string
		for _, tag := range slices.Concat(t.distribution.Descriptor.Tags, t.process.Tags) {
			if !slices.Contains(have, tag) && !slices.Contains(lacks, tag) {
				lacks = append(lacks, tag)
			}
		}
		if len(lacks) == 0 {
			kept = append(kept, t)
			continue
		}
		list := strings.Join(lacks, ",")
		warnings = append(warnings, fmt.Sprintf("process %q is for a server with the tags %s, which this one lacks: left out (berth conf add -t %s)", t.process.Name, strings.Join(lacks, ", "), list))
	}
	return kept, warnings, nil
}
