package shell

import (
	"context"
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// page is what the manual has about a command beside what its options say.
type page struct {
	usage    []string // in place of the line made of the options
	long     string   // paragraphs, parted by empty lines
	examples []example
}

// example is a line that works as it is written, and what it does.
type example struct{ line, does string }

// manual is a command or a group of commands with a page.
type manual interface{ page() page }

func pageOf(node *kong.Node) page {
	if node.Type == kong.ApplicationNode {
		return rootPage
	}
	if m, ok := node.Target.Addr().Interface().(manual); ok {
		return m.page()
	}
	return page{}
}

var rootPage = page{
	usage: []string{"berth [COMMAND …]"},
	long: `Berth leases ports of named ranges to processes, and starts the processes. Without a command it prompts for commands on a terminal, and reads them from standard input, a line each, where that is none.

A pattern holds * for any run of characters; quote it, or your shell expands it. Options are written -name or --name. The exit code is 0 for done, 1 for refused or failed, 2 for wrong usage, 3 where no daemon answers and 4 where what was named by its id is not there.

A command that finds no daemon starts one, unless BERTH_AUTOSTART is 0. BERTH_HOME names another state folder, BERTH_SOCKET another socket.`,
	examples: []example{
		{"port add -n http -min 8080 -max 8085", "make a range of six ports"},
		{"deploy demo.zip", "deploy a distribution whose processes need ports of it"},
		{"exec -d demo -v 1.0 -p test -i 3 -w", "start three processes and wait until they listen"},
		{"ps -ports", "see which process has which port"},
	},
}

// help prints the short help of a command or a group.
func (s *Shell) help(path []string) error {
	node := s.grammar().node(path)
	w := s.out
	name := strings.Join(append([]string{"berth"}, path...), " ")
	if node.Help != "" {
		w.printf("%s: %s\n\n", w.strong(name), node.Help)
	}
	p := pageOf(node)
	for i, line := range usageLines(node, p, path) {
		w.printf("%s %s\n", [2]string{"Usage:", "      "}[min(i, 1)], line)
	}
	s.childrenAndOptions(node, false)
	if len(p.examples) > 0 {
		w.printf("\nExamples:\n")
		for _, e := range p.examples {
			w.printf("  berth %s\n      %s\n", e.line, e.does)
		}
	}
	if len(node.Children) > 0 {
		w.printf("\nMore of a command: berth %sCOMMAND --help, or man COMMAND.\n", strings.TrimPrefix(name+" ", "berth "))
	}
	return nil
}

// manPage prints the long form of the same.
func (s *Shell) manPage(path []string) error {
	node := s.grammar().node(path)
	if node == nil {
		return s.grammar().noSuch(path)
	}
	w := s.out
	name := strings.Join(append([]string{"berth"}, path...), " ")
	about := node.Help
	if about == "" {
		about = "leases ports to processes and starts them"
	}
	p := pageOf(node)
	w.printf("%s\n    %s - %s\n\n%s\n", w.strong("NAME"), name, about, w.strong("SYNOPSIS"))
	for _, line := range usageLines(node, p, path) {
		w.printf("    %s\n", line)
	}
	if p.long != "" {
		w.printf("\n%s\n", w.strong("DESCRIPTION"))
		for i, paragraph := range strings.Split(p.long, "\n\n") {
			if i > 0 {
				w.printf("\n")
			}
			for _, line := range wrap(paragraph, 76) {
				w.printf("    %s\n", line)
			}
		}
	}
	s.childrenAndOptions(node, true)
	if len(p.examples) > 0 {
		w.printf("\n%s\n", w.strong("EXAMPLES"))
		for _, e := range p.examples {
			w.printf("    %s\n        %s\n", e.line, e.does)
		}
	}
	return nil
}

// noSuch is the error of a path that is no command's.
func (g *grammar) noSuch(path []string) error {
	_, err := g.table.normalise(append(path, "--help"))
	return err
}

func (s *Shell) childrenAndOptions(node *kong.Node, long bool) {
	w := s.out
	indent, commandsTitle, optionsTitle := "  ", "Commands:", "Options:"
	if long {
		indent, commandsTitle, optionsTitle = "    ", w.strong("COMMANDS"), w.strong("OPTIONS")
	}
	if len(node.Children) > 0 {
		w.printf("\n%s\n", commandsTitle)
		var t table
		for _, child := range node.Children {
			t.add(indent+child.Name, child.Help)
		}
		w.table(t)
	}
	var t table
	add := func(flags []*kong.Flag) {
		for _, flag := range flags {
			help := flag.Help
			if flag.Tag.Has("needed") {
				help += " (needed)"
			}
			t.add(indent+flagNames(flag), help)
		}
	}
	for _, arg := range node.Positional {
		t.add(indent+strings.ToUpper(arg.Name), arg.Help)
	}
	add(node.Flags)
	for up := node.Parent; up != nil; up = up.Parent {
		add(up.Flags)
	}
	w.printf("\n%s\n", optionsTitle)
	w.table(t)
}

// flagNames are the ways to write an option: -n, --name NAME.
func flagNames(flag *kong.Flag) string {
	names := "-" + flag.Name
	if flag.Short != 0 {
		names = "-" + string(flag.Short) + ", --" + flag.Name
	}
	if flag.IsBool() {
		return names
	}
	holder := placeholder(flag)
	switch {
	case flag.Tag.Has("bare"), flag.Tag.Has("hosts"):
		return names + " [" + holder + "]"
	case flag.IsSlice():
		return names + " " + holder + " …"
	}
	return names + " " + holder
}

func placeholder(flag *kong.Flag) string {
	if flag.PlaceHolder != "" {
		return flag.PlaceHolder
	}
	return strings.ToUpper(flag.Name)
}

// usageLines are the synopsis: those of the page, or one made of the options.
func usageLines(node *kong.Node, p page, path []string) []string {
	if len(p.usage) > 0 {
		return p.usage
	}
	words := append([]string{"berth"}, path...)
	if len(node.Children) > 0 {
		return []string{strings.Join(append(words, "COMMAND"), " ")}
	}
	var may []string
	for _, flag := range node.Flags {
		name := "-" + flag.Name
		if flag.Short != 0 {
			name = "-" + string(flag.Short)
		}
		switch holder := placeholder(flag); {
		case flag.IsBool():
		case flag.Tag.Has("bare"):
			name += " [" + holder + "]"
		case flag.IsSlice():
			name += " " + holder + "…"
		default:
			name += " " + holder
		}
		if flag.Tag.Has("needed") {
			words = append(words, name)
		} else {
			may = append(may, "["+name+"]")
		}
	}
	words = append(words, may...)
	for _, arg := range node.Positional {
		word := strings.ToUpper(arg.Name)
		if arg.IsCumulative() {
			word += "…"
		}
		if !arg.Required {
			word = "[" + word + "]"
		}
		words = append(words, word)
	}
	return []string{strings.Join(words, " ")}
}

// wrap breaks a paragraph into lines of at most width letters where words allow it.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len([]rune(line))+1+len([]rune(word)) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

// manCommand shows the manual.
type manCommand struct {
	Command []string `arg:"" optional:"" complete:"command" help:"the command, all of its words"`
}

func (manCommand) page() page {
	return page{
		long: `Shows all there is to know of a command: what it does, its options, and examples. Without a command it shows what there is. --help behind a command shows the short form.`,
		examples: []example{
			{"man port add", "the manual of port add"},
			{"man", "all commands"},
		},
	}
}

func (c *manCommand) run(_ context.Context, s *Shell) error {
	if len(c.Command) > 0 && c.Command[0] == "berth" {
		c.Command = c.Command[1:]
	}
	for _, word := range c.Command {
		if isOption(word) {
			return &UsageError{Text: fmt.Sprintf("%s is not a command", quote(word))}
		}
	}
	return s.manPage(c.Command)
}
