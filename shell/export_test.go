package shell

import (
	"strings"

	"github.com/alecthomas/kong"
)

// What tests look at by itself.
var (
	Split = split
	Runs  = runs
	Fit   = fit

	Uploading = uploading
)

// Description is what the help has about a command or a group.
type Description struct {
	Path, Help, Long string
	Group            bool
	Options          map[string]string
	Examples         map[string]string
}

// Described describes the root, all groups and all commands.
func Described() []Description {
	var all []Description
	var walk func(node *kong.Node, path []string)
	walk = func(node *kong.Node, path []string) {
		p := pageOf(node)
		d := Description{Path: strings.Join(path, " "), Help: node.Help, Long: p.long, Group: len(node.Children) > 0, Options: map[string]string{}, Examples: map[string]string{}}
		for _, flag := range node.Flags {
			d.Options["-"+flag.Name] = flag.Help
		}
		for _, arg := range node.Positional {
			d.Options[arg.Name] = arg.Help
		}
		for _, e := range p.examples {
			d.Examples[e.line] = e.does
		}
		all = append(all, d)
		for _, child := range node.Children {
			walk(child, append(path[:len(path):len(path)], child.Name))
		}
	}
	walk(newGrammar().model, nil)
	return all
}

// Parses reads a line and does not run it.
func (s *Shell) Parses(words []string) error {
	_, err := parse(words)
	return err
}
