package shell

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"berth/api"
	"berth/conf"
)

// confCommands are the commands on properties and tags.
type confCommands struct {
	Add       confAddCommand       `cmd:"" help:"set properties, or give the server tags"`
	Del       confDelCommand       `cmd:"" help:"delete properties or tags"`
	Ls        confLsCommand        `cmd:"" help:"list properties or tags"`
	Export    confExportCommand    `cmd:"" help:"write properties or tags to a file"`
	Merge     confMergeCommand     `cmd:"" help:"write a file of properties with those of processes merged in"`
	Load      confLoadCommand      `cmd:"" help:"make properties variables of the lines that follow"`
	Ren       confRenCommand       `cmd:"" help:"rename tags"`
	Archive   confArchiveCommand   `cmd:"" help:"keep the properties, or the tags, under a revision"`
	Unarchive confUnarchiveCommand `cmd:"" help:"bring the properties, or the tags, of a revision back"`
}

func (confCommands) page() page {
	return page{
		long: `Processes are given properties as -D: the global ones, then those of the categories that the distribution and the process name in the descriptor (propertyCategories), the later winning. A process starts only on a server that has all tags of its distribution and its own.

The values of properties whose names say that they are secrets (*password*, *username*, *secret*, *access*key*) are shown as *********, and reach a process in a file, not on its command line.`,
		examples: []example{
			{"conf add -p db.url=jdbc:acme,db.pool=8", "set two properties for all processes"},
			{"conf add -t web,linux", "give the server two tags"},
			{"conf ls", "list the properties of processes"},
		},
	}
}

// optionalText is the value of an option that may also stand bare.
type optionalText struct {
	given bool
	text  string
}

func (o *optionalText) UnmarshalText(text []byte) error {
	*o = optionalText{true, string(text)}
	return nil
}

// propertyScope is process or server, of which Corus takes the first letter.
type propertyScope string

func (p *propertyScope) UnmarshalText(text []byte) error {
	scope, err := conf.ParseScope(strings.ToLower(string(text)))
	if err != nil {
		return fmt.Errorf("%s is not s (server) or p (process)", quote(string(text)))
	}
	*p = propertyScope(scope)
	return nil
}

// errBoth is the error of a command that is given properties and tags.
func errBoth(tags, properties optionalText) error {
	if tags.given && properties.given {
		return &UsageError{Text: "-p is of properties and -t of tags: give one of them"}
	}
	return nil
}

// commaList are the words between commas.
func commaList(text string) []string {
	var words []string
	for word := range strings.SplitSeq(text, ",") {
		if word = strings.TrimSpace(word); word != "" {
			words = append(words, word)
		}
	}
	return words
}

type confAddCommand struct {
	Properties optionalText  `short:"p" placeholder:"NAME=VALUE,…|FILE" bare:"" word:"" help:"properties, a comma in a value written \\, or a file of them"`
	Tags       optionalText  `short:"t" placeholder:"TAG,…|FILE" bare:"" word:"" complete:"file" help:"tags, or a file of them"`
	File       string        `short:"f" placeholder:"FILE" complete:"file" help:"take them from this file"`
	Category   string        `short:"c" placeholder:"CATEGORY,…" complete:"category" help:"only for processes that name one of these categories"`
	Scope      propertyScope `short:"s" default:"p" placeholder:"SCOPE" complete:"scope" help:"p: processes are given them, s: the server's own"`
	Clear      bool          `help:"delete the others that there are"`
	outputOption
}

func (confAddCommand) page() page {
	return page{
		usage: []string{
			"berth conf add -p NAME=VALUE[,NAME=VALUE…] [-c CATEGORY,…] [-s p|s] [-clear]",
			"berth conf add [-p] -f FILE [-c CATEGORY,…] [-s p|s] [-clear]",
			"berth conf add -t TAG,… [-clear]",
			"berth conf add -t -f FILE [-clear]",
		},
		long: `Sets properties, or gives the server tags, all or none. What -p names is a file where there is no = in it: Java properties. A file of tags has them parted by commas or on lines of their own.

A comma in a value is written \, with a backslash, which your shell may want twice or in quotes; what stands behind a comma and has no = belongs to the value before it.

Properties of processes (-s p) reach each process as -D. Those of the server (-s s) are its own: variables of a descriptor find them, behind the properties of the process and what Berth tells every process, and no process is given them.

With -c the properties are set in each of the categories, and only processes that name one in propertyCategories are given them. With -clear the scope and these categories, or the server's tags, hold nothing else afterwards.

A value on a command line can be seen by others on this machine while the command runs: set secrets from a file, or at the prompt.`,
		examples: []example{
			{"conf add -p db.url=jdbc:acme,db.pool=8", "set two properties for all processes"},
			{"conf add -p gc=G1 -c batch,report", "set one in two categories"},
			{"conf add -p -f app.properties -clear", "replace the global ones by those of a file"},
			{"conf add -s s -p site=main", "set one that a descriptor uses as ${site}"},
			{"conf add -t web,linux", "give the server two tags"},
		},
	}
}

func (c *confAddCommand) run(ctx context.Context, s *Shell) error {
	if err := errBoth(c.Tags, c.Properties); err != nil {
		return err
	}
	if c.Tags.given {
		return c.addTags(ctx, s)
	}
	var pairs []conf.Pair
	var err error
	switch {
	case c.Properties.text != "" && c.File != "":
		return &UsageError{Text: "option -f names the file of properties, and goes with -p alone"}
	case c.File != "":
		pairs, err = s.propertyFile(c.File)
	case strings.Contains(c.Properties.text, "="):
		pairs, err = conf.ParsePairs(c.Properties.text)
	case c.Properties.text != "":
		pairs, err = s.propertyFile(c.Properties.text)
	default:
		return &UsageError{Text: "name properties with -p NAME=VALUE, a file of them with -f, or tags with -t"}
	}
	if err != nil {
		return err
	}
	in := api.AddProperties{Scope: string(c.Scope), Categories: commaList(c.Category), Clear: c.Clear, Properties: []api.Pair{}}
	for _, p := range pairs {
		in.Properties = append(in.Properties, api.Pair(p))
	}
	added, err := s.client.AddProperties(ctx, in)
	if err != nil {
		return err
	}
	return list(s, c.Output, added, func() {
		for _, p := range added {
			s.out.printf("set %s=%s%s\n", oneLine(p.Name), oneLine(p.Value), behind(" in category ", oneLine(p.Category)))
		}
	})
}

func (c *confAddCommand) addTags(ctx context.Context, s *Shell) error {
	text := c.Tags.text
	switch {
	case c.Category != "":
		return &UsageError{Text: "tags have no category: leave out -c"}
	case c.File != "" && text != "":
		return &UsageError{Text: "option -f names the file of tags, and goes with -t alone"}
	case c.File != "" || text != "" && s.isFile(text):
		if c.File != "" {
			text = c.File
		}
		content, err := s.readFile(text)
		if err != nil {
			return err
		}
		text = content
	case text == "":
		return &UsageError{Text: "option -t needs tags, or a file of them behind -f"}
	}
	tags := conf.ParseTags(text)
	all, err := s.client.AddTags(ctx, api.AddTags{Tags: notNil(tags), Clear: c.Clear})
	if err != nil {
		return err
	}
	return list(s, c.Output, all, func() {
		s.out.printf("the server has the tags %s\n", orNoTag(all))
	})
}

func orNoTag(tags []api.Tag) string {
	var names []string
	for _, tag := range tags {
		names = append(names, oneLine(tag.Name))
	}
	if len(names) == 0 {
		return "(none)"
	}
	return strings.Join(names, ", ")
}

type confDelCommand struct {
	Properties optionalText  `short:"p" placeholder:"PATTERN,…" bare:"" word:"" pattern:"" complete:"property" help:"names of the properties"`
	Tags       optionalText  `short:"t" placeholder:"PATTERN" bare:"" word:"" pattern:"" complete:"tag" help:"names of the tags"`
	Category   string        `short:"c" placeholder:"PATTERN,…" complete:"category" help:"those of these categories, in place of the global ones"`
	Scope      propertyScope `short:"s" default:"p" placeholder:"SCOPE" complete:"scope" help:"p: of processes, s: the server's own"`
	All        string        `arg:"" optional:"" complete:"all" help:"all: the properties of the scope, those of all categories included"`
	outputOption
}

func (confDelCommand) page() page {
	return page{
		usage: []string{
			"berth conf del -p PATTERN [-c PATTERN,…] [-s p|s]",
			"berth conf del -t PATTERN",
			"berth conf del all [-s p|s]",
		},
		long: `Deletes properties or tags that match, all or none. Without -c only global properties are deleted, with it only those of the categories that match. What runs keeps what it was given. No match is no error.`,
		examples: []example{
			{"conf del -p db.url", "delete one property"},
			{`conf del -p "com.acme.*" -c "*"`, "delete some in every category"},
			{"conf del -t web", "take a tag from the server"},
			{"conf del all", "delete all properties of processes"},
		},
	}
}

func (c *confDelCommand) run(ctx context.Context, s *Shell) error {
	if err := errBoth(c.Tags, c.Properties); err != nil {
		return err
	}
	selection := api.PropertySelection{Scope: string(c.Scope), Names: commaList(c.Properties.text), Categories: commaList(c.Category)}
	switch {
	case c.All != "" && c.All != "all":
		return &UsageError{Text: fmt.Sprintf("unexpected word %s: all, or a pattern behind -p or -t, did your shell expand `*`? quote it", quote(c.All))}
	case c.All != "" && (c.Properties.given || c.Tags.given || c.Category != ""):
		return &UsageError{Text: "all goes without -p, -t and -c"}
	case c.All != "":
		selection.Names, selection.Every = []string{"*"}, true
	case c.Tags.given && c.Tags.text == "":
		return &UsageError{Text: "option -t needs a value"}
	case c.Tags.given:
		return c.delTags(ctx, s)
	case len(selection.Names) == 0:
		return &UsageError{Text: "name properties with -p, tags with -t, or all"}
	}
	out, err := s.client.DeleteProperties(ctx, selection)
	if err != nil {
		return err
	}
	s.noneMatch(c.Output, len(out.Deleted), strings.Join(selection.Names, ","), "property", "")
	return list(s, c.Output, out.Deleted, func() {
		for _, p := range out.Deleted {
			s.out.printf("deleted %s%s\n", oneLine(p.Name), behind(" of category ", oneLine(p.Category)))
		}
	})
}

func (c *confDelCommand) delTags(ctx context.Context, s *Shell) error {
	out, err := s.client.DeleteTags(ctx, c.Tags.text)
	if err != nil {
		return err
	}
	s.noneMatch(c.Output, len(out.Deleted), c.Tags.text, "tag", "")
	return list(s, c.Output, out.Deleted, func() {
		for _, tag := range out.Deleted {
			s.out.printf("deleted tag %s\n", oneLine(tag.Name))
		}
	})
}

type confLsCommand struct {
	Properties optionalText  `short:"p" placeholder:"PATTERN,…" bare:"" word:"" pattern:"" complete:"property" help:"names of the properties"`
	Tags       optionalText  `short:"t" placeholder:"PATTERN" bare:"" word:"" pattern:"" complete:"tag" help:"list tags, those that match"`
	Category   string        `short:"c" placeholder:"PATTERN,…" complete:"category" help:"only those of these categories"`
	Scope      propertyScope `short:"s" default:"p" placeholder:"SCOPE" complete:"scope" help:"p: of processes, s: the server's own"`
	Pattern    string        `arg:"" optional:"" complete:"property" help:"names, as behind -p or -t"`
	outputOption
}

func (confLsCommand) page() page {
	return page{
		long: `Lists properties, the global ones first and then those of the categories, or tags. A value whose name says that it is a secret is shown as *********.`,
		examples: []example{
			{"conf ls", "list all properties of processes"},
			{`conf ls -p "com.acme*" -c test`, "list some of a category"},
			{"conf ls -s s", "list the server's own"},
			{"conf ls -t", "list the tags"},
		},
	}
}

func (c *confLsCommand) run(ctx context.Context, s *Shell) error {
	if err := errBoth(c.Tags, c.Properties); err != nil {
		return err
	}
	if c.Tags.given {
		pattern := c.Tags.text
		if pattern == "" {
			pattern = c.Pattern
		}
		tags, err := s.client.Tags(ctx, pattern)
		if err != nil {
			return err
		}
		s.noneMatch(c.Output, len(tags), pattern, "tag", "add one with conf add -t")
		return list(s, c.Output, tags, func() {
			if len(tags) == 0 {
				return
			}
			t := table{head: []string{"TAG"}}
			for _, tag := range tags {
				t.add(oneLine(tag.Name))
			}
			s.out.table(t)
		})
	}
	names := commaList(c.Properties.text)
	if c.Pattern != "" {
		names = append(names, commaList(c.Pattern)...)
	}
	found, err := s.client.Properties(ctx, api.PropertySelection{
		Scope: string(c.Scope), Names: names, Categories: commaList(c.Category), Every: true,
	})
	if err != nil {
		return err
	}
	s.noneMatch(c.Output, len(found), strings.Join(append(names, commaList(c.Category)...), ","), "property", "add one with conf add -p")
	return list(s, c.Output, found, func() {
		if len(found) == 0 {
			return
		}
		t := table{head: []string{"NAME", "VALUE", "CATEGORY"}}
		for _, p := range found {
			t.add(oneLine(p.Name), oneLine(p.Value), orDash(slices.DeleteFunc([]string{p.Category}, func(c string) bool { return c == "" })))
		}
		s.out.table(t)
	})
}

type confRenCommand struct {
	Tags string `short:"t" placeholder:"TAG=NEW,…" needed:"" help:"tags with their new names"`
	outputOption
}

func (confRenCommand) page() page {
	return page{
		long: `Renames tags of the server, all or none. A tag that the server does not have is passed over.`,
		examples: []example{
			{"conf ren -t web=frontend,linux=debian", "rename two tags"},
		},
	}
}

func (c *confRenCommand) run(ctx context.Context, s *Shell) error {
	in := api.RenameTags{Tags: []api.RenamedTag{}}
	for _, word := range commaList(c.Tags) {
		from, to, ok := strings.Cut(word, "=")
		if !ok || strings.TrimSpace(from) == "" || strings.TrimSpace(to) == "" {
			return &UsageError{Text: fmt.Sprintf("option -t: %s is not TAG=NEW", quote(word))}
		}
		in.Tags = append(in.Tags, api.RenamedTag{From: strings.TrimSpace(from), To: strings.TrimSpace(to)})
	}
	out, err := s.client.RenameTags(ctx, in)
	if err != nil {
		return err
	}
	if len(out.Tags) == 0 && c.Output == asTable {
		s.note("the server has none of these tags")
	}
	return list(s, c.Output, out.Tags, func() {
		for _, r := range out.Tags {
			s.out.printf("renamed tag %s to %s\n", oneLine(r.From), oneLine(r.To))
		}
	})
}

// archivedWhat is what conf archive and conf unarchive are told: Corus' way to
// say it.
type archivedWhat struct {
	Properties optionalText `short:"p" bare:"" word:"" placeholder:"-" help:"the properties, which is what is meant without -t"`
	Tags       bool         `short:"t" help:"the tags"`
	Rev        revision     `placeholder:"REVISION" needed:"" help:"name of the revision: letters, digits, '-', '_' and '.'"`
}

func (w archivedWhat) kind() (string, error) {
	switch {
	case w.Properties.given && w.Tags:
		return "", &UsageError{Text: "-p is of properties and -t of tags: give one of them"}
	case w.Properties.text != "":
		return "", &UsageError{Text: "option -p stands bare here: all properties are meant"}
	case w.Tags:
		return api.KindTags, nil
	}
	return api.KindProperties, nil
}

type confArchiveCommand struct{ archivedWhat }

func (confArchiveCommand) page() page {
	return page{
		usage: []string{"berth conf archive [-p|-t] -rev REVISION"},
		long:  `Keeps a copy of all properties, or of all tags, under a revision. What was archived under it before is replaced. conf unarchive brings it back; archive keeps all settings together.`,
		examples: []example{
			{"conf archive -p -rev before-update", "keep the properties that there are now"},
			{"conf archive -t -rev before-update", "keep the tags"},
		},
	}
}

func (c *confArchiveCommand) run(ctx context.Context, s *Shell) error {
	kind, err := c.kind()
	if err != nil {
		return err
	}
	out, err := s.client.ArchiveSettings(ctx, string(c.Rev), kind)
	if err == nil {
		s.out.printf("archived %s: %d\n", out.Kind, out.Count)
	}
	return err
}

type confUnarchiveCommand struct{ archivedWhat }

func (confUnarchiveCommand) page() page {
	return page{
		usage: []string{"berth conf unarchive [-p|-t] -rev REVISION"},
		long:  `Brings the properties, or the tags, of a revision back, each in place of the one of its name and category; others stay. The revision is kept.`,
		examples: []example{
			{"conf unarchive -p -rev before-update", "bring the properties of a revision back"},
		},
	}
}

func (c *confUnarchiveCommand) run(ctx context.Context, s *Shell) error {
	kind, err := c.kind()
	if err != nil {
		return err
	}
	out, err := s.client.RestoreSettings(ctx, string(c.Rev), kind)
	if err != nil {
		return byID(err)
	}
	s.out.printf("restored %s: %d\n", out.Kind, out.Count)
	return nil
}
