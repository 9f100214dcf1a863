package shell

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"berth/lease"
)

type aliasCommand struct {
	Action string `arg:"" optional:"" complete:"alias action" help:"ls: show the aliases; del: remove those that -n names"`
	Name   string `short:"n" placeholder:"NAME" complete:"alias" help:"name of the alias; with del a pattern"`
	Line   string `name:"command" short:"c" placeholder:"LINE" help:"the command that it stands for, with options, in quotes"`
	outputOption
}

func (aliasCommand) page() page {
	return page{
		usage: []string{
			`berth alias -n NAME -c "COMMAND …"`,
			"berth alias [ls]",
			"berth alias del -n PATTERN",
		},
		long: `Gives a command a name of its own. The name is then a command; what is typed behind it is put behind what it stands for. An alias may stand for another one, and not for itself; the name of a command cannot be one. An alias that is there already is replaced.

Aliases last as long as the prompt, or the script that is run, the scripts that it runs included.`,
		examples: []example{
			{`alias -n go -c "exec -d demo -v 1.0 -p test"`, "make go start the processes of demo"},
			{"alias ls", "show the aliases"},
			{`alias del -n "g*"`, "remove those that begin with g"},
		},
	}
}

// namedAlias is an alias as it is listed.
type namedAlias struct {
	Name    string `json:"name"`
	Command string `json:"command"`
}

func (c *aliasCommand) run(_ context.Context, s *Shell) error {
	switch {
	case c.Action == "del" && c.Name == "":
		return &UsageError{Text: "option -n is missing"}
	case c.Action == "del" && c.Line != "":
		return &UsageError{Text: "option -c goes without del"}
	case c.Action == "del":
		return c.delete(s)
	case c.Action == "ls" && (c.Name != "" || c.Line != ""):
		return &UsageError{Text: "ls takes no options: it shows all"}
	case c.Action == "ls", c.Action == "" && c.Name == "" && c.Line == "":
		return c.print(s, slices.Sorted(maps.Keys(s.aliases)), "")
	case c.Action != "":
		return &UsageError{Text: "unexpected word " + quote(c.Action) + ": it is ls, del, or an alias is made with -n NAME -c LINE, the line in quotes"}
	case c.Name == "":
		return &UsageError{Text: "option -n is missing"}
	case c.Line == "":
		return &UsageError{Text: "option -c is missing"}
	}
	words, err := s.aliased(c.Name, c.Line)
	if err != nil {
		return err
	}
	if s.aliases == nil {
		s.aliases = make(map[string][]string)
	}
	s.aliases[c.Name] = words
	if s.depth == 0 && !s.stdin && !s.prompting {
		s.note("alias: it ends with this command: aliases last as long as the prompt, or a script")
	}
	return nil
}

// aliased checks a new alias and returns the words that it stands for. Aliases
// among them are replaced now, so that none can stand for itself.
func (s *Shell) aliased(name, line string) ([]string, error) {
	if strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "" || name[0] == '-' {
		return nil, &UsageError{Text: fmt.Sprintf("option -n: %s: letters, digits, '.', '_' and '-' may be in it", quote(name))}
	}
	if s.grammar().isCommand(name) {
		return nil, &UsageError{Text: fmt.Sprintf("option -n: %s is a command: take another name", name)}
	}
	words, err := split(line, nil)
	if err != nil {
		return nil, &UsageError{Text: "option -c: " + err.Error()}
	}
	if words = withoutProgram(words); len(words) == 0 {
		return nil, &UsageError{Text: "option -c is empty"}
	}
	if words[0] == name {
		return nil, &UsageError{Text: fmt.Sprintf("option -c: %s cannot stand for itself", name)}
	}
	words = s.unalias(words)
	if !s.grammar().isCommand(words[0]) {
		_, err := s.grammar().table.normalise(words)
		return nil, err
	}
	return words, nil
}

// isCommand reports whether a word is that of a command, or does what one does.
func (g *grammar) isCommand(word string) bool {
	return g.table.child(word) != nil || word == "help" || word == "exit" || word == "quit" || word == "berth"
}

// unalias puts what an alias stands for in its place.
func (s *Shell) unalias(words []string) []string {
	if len(words) == 0 {
		return words
	}
	if stands, ok := s.aliases[words[0]]; ok {
		return append(slices.Clone(stands), words[1:]...)
	}
	return words
}

func (c *aliasCommand) delete(s *Shell) error {
	var gone []string
	for _, name := range slices.Sorted(maps.Keys(s.aliases)) {
		if lease.Match(c.Name, name) {
			gone = append(gone, name)
		}
	}
	if err := c.print(s, gone, "deleted "); err != nil {
		return err
	}
	for _, name := range gone {
		delete(s.aliases, name)
	}
	return nil
}

func (c *aliasCommand) print(s *Shell, names []string, verb string) error {
	var all []namedAlias
	for _, name := range names {
		all = append(all, namedAlias{name, joined(s.aliases[name])})
	}
	s.noneMatch(c.Output, len(all), c.Name, "alias", "")
	return list(s, c.Output, all, func() {
		for _, a := range all {
			s.out.printf("%s%s = %s\n", verb, a.Name, a.Command)
		}
	})
}

// joined writes words so that split reads them again.
func joined(words []string) string {
	var all []string
	for _, word := range words {
		if word == "" || strings.ContainsAny(word, " \t\r\n\"'\\#$") {
			word = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
		all = append(all, word)
	}
	return strings.Join(all, " ")
}
