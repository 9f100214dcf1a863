package shell

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"berth/api"
	"berth/conf"
)

// path is a file as a command names it: relative to the shell's folder.
func (s *Shell) path(name string) string {
	if s.opts.Dir == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(s.opts.Dir, name)
}

// isFile reports whether there is a file of that name.
func (s *Shell) isFile(name string) bool {
	info, err := os.Stat(s.path(name))
	return err == nil && !info.IsDir()
}

// maxSettings is the most bytes of a file of settings.
const maxSettings = 8 << 20

func (s *Shell) readFile(name string) (string, error) {
	f, err := os.Open(s.path(name))
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSettings+1))
	if err == nil && len(text) > maxSettings {
		err = fmt.Errorf("%s has more than %d bytes", name, maxSettings)
	}
	return string(text), err
}

func (s *Shell) propertyFile(name string) ([]conf.Pair, error) {
	f, err := os.Open(s.path(name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	pairs, err := conf.ParseProperties(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return pairs, nil
}

// writeFile writes a file in place of what it held, its folders as well. One
// with secrets is its owner's alone.
func (s *Shell) writeFile(name string, text []byte, secret bool) error {
	mode := os.FileMode(0o644)
	if secret {
		mode = 0o600
	}
	path := s.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, mode)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return err
	} else if info.Mode().IsRegular() {
		// It may have been there, for all to read.
		if secret {
			if err := f.Chmod(mode); err != nil {
				return err
			}
		}
		if err := f.Truncate(0); err != nil {
			return err
		}
	}
	if _, err := f.Write(text); err != nil {
		return err
	}
	return f.Close()
}

type confExportCommand struct {
	Properties optionalText  `short:"p" placeholder:"PATTERN,…" bare:"" word:"" pattern:"" complete:"property" help:"names of the properties"`
	Tags       bool          `short:"t" help:"the tags, a line each"`
	File       string        `short:"f" placeholder:"FILE" complete:"file" help:"file to write; standard output if none is named"`
	Category   string        `short:"c" placeholder:"PATTERN,…" complete:"category" help:"only those of these categories"`
	Scope      propertyScope `short:"s" default:"p" placeholder:"SCOPE" complete:"scope" help:"p: of processes, s: the server's own"`
}

func (confExportCommand) page() page {
	return page{
		long: `Writes properties as a file that conf add -f and Java read, or tags. A file with secrets is made readable for its owner alone; without -f secrets are left out.`,
		examples: []example{
			{"conf export -f app.properties", "write all properties of processes to a file"},
			{"conf export -p -f test.properties -c test", "those of one category"},
			{"conf export -t -f tags.txt", "write the tags"},
		},
	}
}

func (c *confExportCommand) run(ctx context.Context, s *Shell) error {
	if c.Tags {
		if c.Properties.given {
			return &UsageError{Text: "-p is of properties and -t of tags: give one of them"}
		}
		tags, err := s.client.Tags(ctx, "")
		if err != nil {
			return err
		}
		var text strings.Builder
		for _, tag := range tags {
			text.WriteString(tag.Name + "\n")
		}
		return c.write(s, text.String(), false, "tags", len(tags))
	}
	selection := api.PropertySelection{
		Scope: string(c.Scope), Names: commaList(c.Properties.text), Categories: commaList(c.Category), Every: true,
	}
	var found []api.Property
	var err error
	if c.File == "" {
		found, err = s.client.Properties(ctx, selection)
	} else {
		found, err = s.propertyValues(ctx, selection)
	}
	if err != nil {
		return err
	}
	hidden := 0
	var pairs []conf.Pair
	for _, p := range found {
		if p.Hidden {
			hidden++
			if c.File == "" {
				continue
			}
		}
		pairs = append(pairs, conf.Pair{Name: p.Name, Value: p.Value})
	}
	if hidden > 0 && c.File == "" {
		s.note("%d secrets are left out: -f FILE writes them", hidden)
	}
	var text bytes.Buffer
	if err := conf.WriteProperties(&text, pairs); err != nil {
		return err
	}
	return c.write(s, text.String(), hidden > 0, "properties", len(pairs))
}

func (c *confExportCommand) write(s *Shell, text string, secret bool, what string, n int) error {
	if c.File == "" {
		s.out.printf("%s", text)
		return nil
	}
	if err := s.writeFile(c.File, []byte(text), secret); err != nil {
		return err
	}
	s.out.printf("exported %d %s to %s\n", n, what, oneLine(c.File))
	return nil
}

// propertyValues are the properties that are selected, with their values. What
// the process is given that the shell works for comes last, so that it counts.
func (s *Shell) propertyValues(ctx context.Context, selection api.PropertySelection) ([]api.Property, error) {
	found, err := s.client.PropertyValues(ctx, selection)
	if err != nil || selection.Scope == api.ScopeServer || len(selection.Categories) > 0 || len(s.opts.Categories) == 0 {
		return found, err
	}
	// Those of the categories that are not the process' own come first.
	rank := func(p api.Property) int {
		own := -1
		for i, category := range s.opts.Categories {
			if category == p.Category {
				own = i
			}
		}
		switch {
		case p.Category == "":
			return 1
		case own >= 0:
			return 2 + own
		}
		return 0
	}
	slices.SortStableFunc(found, func(a, b api.Property) int { return rank(a) - rank(b) })
	return found, nil
}

type confMergeCommand struct {
	Base     string `short:"b" placeholder:"FILE" needed:"" complete:"file" help:"file of properties to begin with"`
	File     string `short:"f" placeholder:"FILE" needed:"" complete:"file" help:"file to write"`
	Replace  bool   `short:"r" help:"replace variables in the values of the base file"`
	Category string `short:"c" placeholder:"PATTERN,…" complete:"category" help:"merge only those of these categories"`
}

func (confMergeCommand) page() page {
	return page{
		long: `Writes a file that has the properties of the base file and the properties of processes, which win over those of the same name. It is what a process that reads a file of properties needs: as a command of preExec it writes into the process' folder before the process starts, and of properties that several categories have those count that the process is given.

With -r the variables in the values of the base file are replaced: by properties of processes, by the variables of the script or of the process, by the environment; unknown ones stay. A file with secrets is made readable for its owner alone.`,
		examples: []example{
			{"conf merge -b app.properties -f out/app.properties", "merge the properties into a copy of a file"},
			{"conf merge -r -b base.properties -f app.properties -c test", "only those of a category, variables replaced"},
		},
	}
}

func (c *confMergeCommand) run(ctx context.Context, s *Shell) error {
	base, err := s.propertyFile(c.Base)
	if err != nil {
		return err
	}
	found, err := s.propertyValues(ctx, api.PropertySelection{Scope: api.ScopeProcess, Categories: commaList(c.Category), Every: true})
	if err != nil {
		return err
	}
	values := make(map[string]string, len(found))
	var names []string
	secret := false
	for _, p := range found {
		if _, ok := values[p.Name]; !ok {
			names = append(names, p.Name)
		}
		values[p.Name] = p.Value
		secret = secret || p.Hidden
	}
	lookup := func(name string) (string, bool) {
		if v, ok := values[name]; ok {
			return v, true
		}
		return s.variable(name)
	}
	var merged []conf.Pair
	for _, p := range base {
		if v, ok := values[p.Name]; ok {
			p.Value = v
		} else if c.Replace {
			p.Value = replace(p.Value, lookup, 0)
		}
		merged = append(merged, p)
	}
	slices.Sort(names)
	for _, name := range names {
		if !slices.ContainsFunc(base, func(p conf.Pair) bool { return p.Name == name }) {
			merged = append(merged, conf.Pair{Name: name, Value: values[name]})
		}
	}
	var text bytes.Buffer
	if err := conf.WriteProperties(&text, merged); err != nil {
		return err
	}
	if err := s.writeFile(c.File, text.Bytes(), secret); err != nil {
		return err
	}
	s.out.printf("merged %d properties into %s\n", len(found), oneLine(c.File))
	return nil
}

// maxReplaced is how deep a variable's value may hold variables.
const maxReplaced = 16

// replace replaces ${name} and ${name:-default} where lookup knows the name, in
// what it finds as well. What it does not know stays as it is.
func replace(text string, lookup func(string) (string, bool), depth int) string {
	if depth >= maxReplaced {
		return text
	}
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "${")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		inside, after, closed := strings.Cut(rest, "}")
		if !closed {
			out.WriteString("${" + rest)
			return out.String()
		}
		name, otherwise, hasDefault := strings.Cut(inside, ":-")
		if value, ok := lookup(name); ok {
			out.WriteString(replace(value, lookup, depth+1))
		} else if hasDefault {
			out.WriteString(otherwise)
		} else {
			out.WriteString("${" + inside + "}")
		}
		text = after
	}
}

type confLoadCommand struct {
	Properties optionalText  `short:"p" placeholder:"PATTERN,…" bare:"" word:"" pattern:"" complete:"property" help:"names of the properties"`
	Category   string        `short:"c" placeholder:"PATTERN,…" complete:"category" help:"only those of these categories"`
	Scope      propertyScope `short:"s" default:"p" placeholder:"SCOPE" complete:"scope" help:"p: of processes, s: the server's own"`
}

func (confLoadCommand) page() page {
	return page{
		long: `Makes properties variables: in the lines of the script, or of the prompt's scripts, that follow, ${NAME} is replaced by the property's value. A secret is one as well: where the line shows it, it is shown.`,
		examples: []example{
			{"conf load", "load all properties of processes"},
			{`conf load -p "com.acme*" -c test`, "load some of a category"},
		},
	}
}

func (c *confLoadCommand) run(ctx context.Context, s *Shell) error {
	found, err := s.propertyValues(ctx, api.PropertySelection{
		Scope: string(c.Scope), Names: commaList(c.Properties.text), Categories: commaList(c.Category), Every: true,
	})
	if err != nil {
		return err
	}
	if s.loaded == nil {
		s.loaded = make(map[string]string, len(found))
	}
	for _, p := range found {
		s.loaded[p.Name] = p.Value
	}
	s.note("loaded %d properties", len(found))
	return nil
}
