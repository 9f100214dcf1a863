package shell

import (
	"io"
	"os"
	"strings"
	"sync"

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

// Relay shows what comes out of a pipe, each line with something before it.
func Relay(to io.Writer, before string, from *os.File) {
	(&relay{lock: new(sync.Mutex), to: to, before: before}).copy(from)
}

// EndRelay has a relay end once what is in its pipe was shown.
func EndRelay(from *os.File) { endRelay(from) }

// Order is an order as a child gets it.
func Order(path string, args, env []string) []byte { return order{path, args, env}.bytes() }

// ParseOrder reads an order.
func ParseOrder(text []byte) (path string, args, env []string, ok bool) {
	o, ok := parseOrder(text)
	return o.path, o.args, o.env, ok
}

// FindProgram finds a program; code is the exit code where it cannot be run.
func FindProgram(name, path string) (found string, code int) {
	found, err := findProgram(name, path)
	return found, exitCode(err)
}
