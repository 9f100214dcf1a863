package shell

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// commands is the grammar: a field is a command, and its struct's fields are
// options. Beside kong's own tags these are read: bare, the value of an option
// whose value may be left out, a number, or with word any word without a dash
// before it; pattern, that * is any run of characters; blank, that the
// value may be empty; needed, that the option must be given; behind, that words
// stand behind --; complete, what the prompt proposes.
type commands struct {
	Globals globals `embed:""`

	Archive   archiveCommand   `cmd:"" help:"keep properties, tags, ranges and exec configurations under a revision"`
	Unarchive unarchiveCommand `cmd:"" help:"bring properties, tags, ranges and exec configurations of a revision back"`

	Port     portCommands    `cmd:"" help:"ranges of ports"`
	Lease    leaseCommands   `cmd:"" help:"leases of ports, for whoever needs one"`
	Conf     confCommands    `cmd:"" help:"properties and tags"`
	Deploy   deployCommand   `cmd:"" help:"deploy distributions"`
	Undeploy undeployCommand `cmd:"" help:"remove distributions"`
	Ls       lsCommand       `cmd:"" help:"list distributions"`
	Exec     execCommand     `cmd:"" help:"start processes"`
	Start    startCommand    `cmd:"" help:"start a command in the background, or an app file"`
	Run      runCommand      `cmd:"" help:"run a command in the foreground, with its ports"`
	Ps       psCommand       `cmd:"" help:"list processes"`
	Info     infoCommand     `cmd:"" help:"show all of a process"`
	Kill     killCommand     `cmd:"" help:"stop processes"`
	Restart  restartCommand  `cmd:"" help:"restart processes on the ports that they have"`
	Reload   reloadCommand   `cmd:"" help:"exchange processes for new ones, one after the other"`
	Diags    diagsCommand    `cmd:"" help:"ask processes how they are"`
	HTTP     httpCommands    `cmd:"" name:"http" help:"ask servers over HTTP"`
	Logs     logsCommand     `cmd:"" help:"show the output of a process"`
	Events   eventsCommand   `cmd:"" help:"show what has happened, and what happens"`
	Status   statusCommand   `cmd:"" help:"show how things are, on one screen"`
	Token    tokenCommands   `cmd:"" help:"tokens, by which callers are known"`
	Quota    quotaCommands   `cmd:"" help:"how many leases owners may have"`
	Audit    auditCommand    `cmd:"" help:"show who has changed what"`
	Script   scriptCommand   `cmd:"" help:"run commands from a file"`
	Doctor   doctorCommand   `cmd:"" help:"show how disk and store are"`
	Echo     echoCommand     `cmd:"" help:"print words"`
	Pause    pauseCommand    `cmd:"" help:"wait for Enter"`
	Count    countCommand    `cmd:"" help:"count what a command lists"`
	Alias    aliasCommand    `cmd:"" help:"give a command a name of its own"`
	Complete completeCommand `cmd:"" name:"completion" help:"print what makes another shell complete commands"`
	Man      manCommand      `cmd:"" help:"show the manual of a command"`
	Ver      verCommand      `cmd:"" help:"show versions"`
	Serve    serveCommand    `cmd:"" help:"run the daemon in the foreground"`
	Stop     stopCommand     `cmd:"" help:"end the daemon; processes go on"`
}

// globals are the options of every command.
type globals struct {
	Help    bool   `short:"h" help:"show the help of the command"`
	Cluster string `placeholder:"HOST,…" hosts:"*" help:"do it on these hosts of the cluster; without HOST on all"`
}

// runner is what every command of the grammar is.
type runner interface {
	run(ctx context.Context, s *Shell) error
	page() page
}

// grammar reads lines. It has all commands, or one of them: reading the struct
// of all takes as long as everything else that a short command does.
type grammar struct {
	globals *globals
	kong    *kong.Kong
	model   *kong.Node
	table   *command
}

// newGrammar makes the grammar of all commands.
func newGrammar() *grammar {
	all := new(commands)
	return grammarOf(&all.Globals, all)
}

// grammarFor makes the grammar of the command that the first word is, with its
// own ones, and that of all where it is none.
func grammarFor(words []string) *grammar {
	if len(words) > 0 {
		if field, ok := commandField(words[0]); ok {
			g := new(globals)
			return grammarOf(g, g, kong.DynamicCommand(words[0], field.Tag.Get("help"), "", reflect.New(field.Type).Interface()))
		}
	}
	return newGrammar()
}

func grammarOf(g *globals, target any, options ...kong.Option) *grammar {
	k := kong.Must(target, append(options, kong.Name("berth"), kong.NoDefaultHelp())...)
	return &grammar{globals: g, kong: k, model: k.Model.Node, table: tableOf(k.Model.Node, nil)}
}

// commandField is the field that has a command of that name.
func commandField(name string) (reflect.StructField, bool) {
	all := reflect.TypeFor[commands]()
	for i := range all.NumField() {
		f := all.Field(i)
		if _, ok := f.Tag.Lookup("cmd"); ok && name == cmp.Or(f.Tag.Get("name"), strings.ToLower(f.Name)) {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

// parsed is a line that is a command.
type parsed struct {
	line    Line
	global  *globals
	command runner
}

// parse reads a line. Errors are *UsageError.
func parse(words []string) (parsed, error) {
	g := grammarFor(words) // it fills a struct of its own: a script runs commands while it is one
	line, err := g.table.normalise(words)
	if err != nil || line.Help {
		return parsed{line: line}, err
	}
	ctx, err := g.kong.Parse(line.Args)
	if err != nil {
		return parsed{}, g.usage(line, err)
	}
	cmd, ok := ctx.Selected().Target.Addr().Interface().(runner)
	if !ok {
		return parsed{}, fmt.Errorf("%s is not a command that runs", strings.Join(line.Path, " "))
	}
	return parsed{line: line, global: g.globals, command: cmd}, nil
}

// usage words an error of kong's as one of ours. Values that are not well
// formed are all that is left for kong to find.
func (g *grammar) usage(line Line, err error) error {
	if p, ok := errors.AsType[*kong.ParseError](err); ok {
		err = p.Unwrap()
	}
	text := err.Error()
	if rest, ok := strings.CutPrefix(text, "--"); ok {
		if name, what, ok := strings.Cut(rest, ": "); ok {
			if o := g.command(line.Path).named[name]; o != nil {
				text = "option " + o.String() + ": " + what
			}
		}
	} else if rest, ok := strings.CutPrefix(strings.TrimPrefix(text, "["), "<"); ok {
		rest = strings.Replace(rest, ">]: ", ">: ", 1) // one that may be left out
		if name, what, ok := strings.Cut(rest, ">: "); ok {
			text = strings.ToUpper(name) + ": " + what
		} else if name, what, ok := strings.Cut(rest, "> ...: "); ok {
			text = strings.ToUpper(name) + ": " + what
		}
	}
	return &UsageError{Command: strings.Join(line.Path, " "), Text: text}
}

// command is the command of a path that is there.
func (g *grammar) command(path []string) *command {
	c := g.table
	for _, name := range path {
		c = c.child(name)
	}
	return c
}

// node is kong's node of a path, nil if there is none.
func (g *grammar) node(path []string) *kong.Node {
	node := g.model
	for _, name := range path {
		var next *kong.Node
		for _, child := range node.Children {
			if child.Name == name {
				next = child
			}
		}
		if next == nil {
			return nil
		}
		node = next
	}
	return node
}

// run runs the command that words are.
func (s *Shell) run(ctx context.Context, words []string) error {
	if len(words) == 1 && (words[0] == "--version" || words[0] == "-version") {
		words = []string{"ver"} // what every program is asked first
	}
	words = s.unalias(words)
	if len(words) > 0 && words[0] == "help" {
		words = append(slices.Clone(words[1:]), "--help")
	}
	p, err := parse(words)
	if err != nil {
		return err
	}
	if p.line.Help {
		return s.help(p.line.Path)
	}
	name := strings.Join(p.line.Path, " ")
	if err := checkHosts(p.global.Cluster); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := p.command.run(ctx, s); err != nil {
		if _, ok := errors.AsType[*LineError](err); ok {
			return fmt.Errorf("%s: %w", name, err)
		}
		if u, ok := errors.AsType[*UsageError](err); ok {
			if u.Command == "" {
				u.Command = name
			}
			return err
		}
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// tableOf makes the normaliser's table of a node of the grammar.
func tableOf(node *kong.Node, inherited []*option) *command {
	c := &command{name: node.Name, named: make(map[string]*option)}
	for _, o := range inherited {
		c.add(o)
	}
	for _, flag := range node.Flags {
		o := &option{name: flag.Name, pattern: flag.Tag.Has("pattern"), needed: flag.Tag.Has("needed"), blank: flag.Tag.Has("blank")}
		if flag.Short != 0 {
			o.short = string(flag.Short)
		}
		switch {
		case flag.IsBool():
			o.kind = takesNone
		case flag.Tag.Has("hosts"):
			o.kind, o.missing = takesWord, flag.Tag.Get("hosts")
		case flag.Tag.Has("word"):
			o.kind, o.missing = takesWord, flag.Tag.Get("bare")
		case flag.Tag.Has("bare"):
			o.kind, o.missing = takesNumber, flag.Tag.Get("bare")
		case flag.IsSlice():
			o.kind = takesList
		default:
			o.kind = takesOne
		}
		c.add(o)
		for _, alias := range flag.Aliases {
			c.named[alias] = o
		}
	}
	for _, arg := range node.Positional {
		c.words = strings.ToUpper(arg.Name)
		c.verbatim = c.verbatim || arg.Tag.Has("verbatim")
		c.behind = c.behind || arg.Tag.Has("behind")
		if arg.Required {
			c.least++
		}
		if arg.IsCumulative() {
			c.most = -1
		} else if c.most >= 0 {
			c.most++
		}
	}
	for _, child := range node.Children {
		c.children = append(c.children, tableOf(child, c.options))
	}
	return c
}

func (c *command) add(o *option) {
	c.options = append(c.options, o)
	c.named[o.name] = o
	if o.short != "" {
		c.named[o.short] = o
	}
}
