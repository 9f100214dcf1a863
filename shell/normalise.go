package shell

import (
	"slices"
	"strings"
)

// kind is how an option takes its value.
type kind int

const (
	takesNone   kind = iota // -hard
	takesOne                // the next word: -n http
	takesNumber             // the next word where it begins with a digit: -w 30, or -w
	takesWord               // the next word unless it begins with a dash: -cluster web1
	takesList               // the next words up to one with a dash: -i 1 2 3
)

// option is what the normaliser knows about an option of a command.
type option struct {
	name    string // the long name, without dashes
	short   string // the letter, may be empty
	kind    kind
	missing string // its value where it stands bare
	pattern bool   // its value may hold *
	needed  bool
	blank   bool // its value may be empty
}

// String is the option as it is spelled in messages, in Corus' way.
func (o *option) String() string {
	if o.short != "" {
		return "-" + o.short
	}
	return "-" + o.name
}

// command is what the normaliser knows about a command or a group of commands.
type command struct {
	name     string
	children []*command // of a group, in order
	options  []*option
	named    map[string]*option // by every name that it has

	// least and most bound the words beside the options; most -1 is no bound.
	least, most int
	words       string // what they are called
	verbatim    bool   // words that look like options are words
	behind      bool   // words stand behind --
}

// Line is a command line in its one form.
type Line struct {
	// Path are the words of the command: port add.
	Path []string

	// Args is the whole line as kong is given it: the path; options as --name or
	// --name=value; behind -- the words beside them.
	Args []string

	// Help says that the command's help was asked for; nothing else was looked at.
	Help bool
}

// Normalise turns the ways in which a line may be written into one. It knows
// the selected command, so that -word is an option where the command has one of
// that name, short options never bundle, and values that may be left out can be
// told from the words behind. It leaves the Args that it returned as they are.
// Errors are *UsageError.
func (s *Shell) Normalise(words []string) (Line, error) { return s.grammar().table.normalise(words) }

// normalise does the work of Normalise for the table that it is.
func (root *command) normalise(words []string) (Line, error) {
	n := normaliser{root: root, words: words}
	return n.line()
}

type normaliser struct {
	root  *command
	words []string
	path  []string
	args  []string
	rest  []string
	given []*option
	last  *option // the pattern option whose value stands right before
	value string  // that value
}

func (n *normaliser) fail(text string) error {
	return &UsageError{Command: strings.Join(n.path, " "), Text: oneLine(text)}
}

func (n *normaliser) line() (Line, error) {
	cmd, done, err := n.selected()
	if err != nil || done {
		return Line{Path: n.path, Help: done}, err
	}
	if cmd.asksForHelp(n.words) {
		return Line{Path: n.path, Help: true}, nil
	}
	if len(cmd.children) > 0 {
		if len(n.path) == 0 {
			return Line{}, n.fail("no command is given")
		}
		return Line{}, n.fail("name one of " + strings.Join(cmd.names(), ", "))
	}
	for len(n.words) > 0 {
		if err := n.step(cmd); err != nil {
			return Line{}, err
		}
	}
	for _, o := range cmd.options {
		if o.needed && !slices.Contains(n.given, o) {
			return Line{}, n.fail("option " + o.String() + " is missing")
		}
	}
	if len(n.rest) < cmd.least {
		return Line{}, n.fail(cmd.words + " is missing")
	}
	args := append(slices.Clone(n.path), n.args...)
	if len(n.rest) > 0 {
		args = append(append(args, "--"), n.rest...)
	}
	return Line{Path: n.path, Args: args}, nil
}

// selected takes the words of the command off the line. Options that every
// command has may stand before it. It reports whether help was asked for.
func (n *normaliser) selected() (cmd *command, help bool, err error) {
	cmd = n.root
	for len(n.words) > 0 && len(cmd.children) > 0 {
		word := n.words[0]
		if isOption(word) {
			name, value, joined := cut(word)
			o := n.root.find(word, name)
			switch {
			case o == nil:
				return nil, false, n.fail("unknown option " + word)
			case o.name == "help":
				// Help of the command that follows, if one does.
				n.words = n.words[1:]
				cmd, _, err = n.selected()
				return cmd, true, err
			case slices.Contains(n.given, o):
				return nil, false, n.fail("option " + o.String() + " is given twice")
			case joined && value == "":
				return nil, false, n.fail("option " + o.String() + " is empty")
			}
			// Without its = it stands bare here: the next word is the command.
			if !joined && o.kind != takesNone {
				value, joined = o.missing, true
			}
			n.given = append(n.given, o)
			n.take(o, value, joined)
			n.words = n.words[1:]
			continue
		}
		next := cmd.child(word)
		if next == nil {
			return nil, false, n.unknown(cmd, word)
		}
		cmd = next
		n.path = append(n.path, cmd.name)
		n.words = n.words[1:]
	}
	return cmd, false, nil
}

func (n *normaliser) unknown(group *command, word string) error {
	text := "unknown command " + quote(word)
	near := nearest(word, group.names())
	if near == "" {
		near = meant(word, group.names())
	}
	if near != "" {
		text += ", did you mean " + near + "?"
	}
	return &UsageError{Command: strings.Join(n.path, " "), Text: text, unknown: true}
}

// step takes the next option with its value, or the next word, off the line.
func (n *normaliser) step(cmd *command) error {
	word := n.words[0]
	if word == "--" {
		return n.word(cmd, n.words[1:]...)
	}
	if !isOption(word) {
		if cmd.verbatim {
			return n.word(cmd, n.words...)
		}
		if cmd.behind {
			return n.fail(quote(word) + " stands before --: the " + strings.ToLower(cmd.words) + " goes behind it")
		}
		rest := n.words[1:]
		if err := n.word(cmd, word); err != nil {
			return err
		}
		n.words = rest
		return nil
	}
	name, value, joined := cut(word)
	o := cmd.find(word, name)
	if o == nil {
		if cmd.verbatim {
			return n.word(cmd, n.words...)
		}
		text := "unknown option " + word
		if near := nearest(name, cmd.optionNames()); near != "" {
			text += ", did you mean -" + near + "?"
		}
		if cmd.behind {
			text += "; the " + strings.ToLower(cmd.words) + " and its options go behind --"
		}
		return n.fail(text)
	}
	if o.kind != takesList && o.kind != takesNone && slices.Contains(n.given, o) {
		return n.fail("option " + o.String() + " is given twice")
	}
	n.given = append(n.given, o)
	n.words = n.words[1:]
	n.last = nil
	return n.withValue(cmd, o, value, joined)
}

// withValue takes the value of an option, from behind its = or off the line.
func (n *normaliser) withValue(cmd *command, o *option, value string, joined bool) error {
	if joined && value == "" && !o.blank {
		return n.fail("option " + o.String() + " is empty")
	}
	if joined || o.kind == takesNone {
		n.take(o, value, joined)
		return nil
	}
	next, there := "", len(n.words) > 0
	if there {
		next = n.words[0]
	}
	switch o.kind {
	case takesNumber:
		if there = there && next != "" && next[0] >= '0' && next[0] <= '9'; !there {
			n.take(o, o.missing, true)
			return nil
		}
	case takesWord:
		if there = there && next != "" && !isOption(next) && next != "--"; !there {
			n.take(o, o.missing, true)
			return nil
		}
	case takesList:
		for len(n.words) > 0 && !isOption(n.words[0]) && n.words[0] != "--" {
			if n.words[0] == "" {
				return n.fail("option " + o.String() + " is empty")
			}
			n.take(o, n.words[0], true)
			n.words = n.words[1:]
			value = "taken"
		}
		if value == "" {
			return n.fail("option " + o.String() + " needs a value")
		}
		return nil
	case takesOne:
		if !there || next == "--" || isOption(next) && cmd.findWord(next) != nil {
			return n.fail("option " + o.String() + " needs a value")
		}
		if next == "" && !o.blank {
			return n.fail("option " + o.String() + " is empty")
		}
	}
	n.take(o, next, true)
	n.words = n.words[1:]
	if o.pattern {
		n.last, n.value = o, next
	}
	return nil
}

func (n *normaliser) take(o *option, value string, joined bool) {
	arg := "--" + o.name
	if joined {
		arg += "=" + value
	}
	n.args = append(n.args, arg)
}

// word takes words beside the options. What takes all that is left leaves no line.
func (n *normaliser) word(cmd *command, words ...string) error {
	n.words = nil
	for _, w := range words {
		n.rest = append(n.rest, w)
		if cmd.most >= 0 && len(n.rest) > cmd.most {
			text := "unexpected word " + quote(w)
			if n.last != nil {
				text += " behind " + n.last.String() + " " + n.value + ": did your shell expand `*`? quote it"
			}
			return n.fail(text)
		}
	}
	return nil
}

// isOption reports whether a word is written like an option.
func isOption(word string) bool { return len(word) > 1 && word[0] == '-' && word != "--" }

// cut takes the dashes off an option and parts its name from a value behind =.
func cut(word string) (name, value string, joined bool) {
	return strings.Cut(strings.TrimPrefix(strings.TrimPrefix(word, "-"), "-"), "=")
}

// find is the option that a word names. -- and a name of three dashes name none.
func (c *command) find(word, name string) *option {
	if strings.HasPrefix(word, "---") {
		return nil
	}
	return c.named[name]
}

func (c *command) findWord(word string) *option {
	name, _, _ := cut(word)
	return c.find(word, name)
}

// asksForHelp reports whether help is among the options.
func (c *command) asksForHelp(words []string) bool {
	for _, word := range words {
		if word == "--" || c.verbatim && !isOption(word) {
			return false
		}
		if isOption(word) {
			if o := c.findWord(word); o != nil && o.name == "help" {
				return true
			}
		}
	}
	return false
}

func (c *command) child(name string) *command {
	for _, child := range c.children {
		if child.name == name {
			return child
		}
	}
	return nil
}

func (c *command) names() []string {
	var names []string
	for _, child := range c.children {
		names = append(names, child.name)
	}
	return names
}

func (c *command) optionNames() []string {
	var names []string
	for _, o := range c.options {
		names = append(names, o.name)
	}
	return names
}

// quote shows a word of the user's in a message, shortened.
func quote(word string) string {
	word = oneLine(word)
	if r := []rune(word); len(r) > 60 {
		word = string(r[:60]) + "…"
	}
	return "`" + word + "`"
}

// meant is the name that other programs have another word for, empty if none is.
func meant(word string, names []string) string {
	for _, words := range [][]string{
		{"ls", "list", "show"}, {"del", "rm", "remove", "delete"}, {"undeploy", "rm", "remove", "delete", "uninstall"},
		{"exec", "run", "start", "launch"}, {"kill", "end", "terminate"}, {"deploy", "install"}, {"logs", "log", "tail", "output"},
		{"ver", "version"}, {"port", "range", "ranges"}, {"conf", "config", "set"}, {"diags", "health", "check"},
	} {
		if slices.Contains(words[1:], word) && slices.Contains(names, words[0]) {
			return words[0]
		}
	}
	return ""
}

// nearest is the name that is most like word, empty if none is much like it:
// one slip in a short word, two in a longer one.
func nearest(word string, names []string) string {
	best, at := "", 2
	if len(word) > 5 {
		at = 3
	}
	for _, name := range names {
		if d := distance(word, name); d < at && d < len(word) {
			best, at = name, d
		}
	}
	if best != "" {
		return best
	}
	// -protocol for -proto, -descr for -description.
	const least = 3
	for _, name := range names {
		if len(word) >= least && len(name) >= least && (strings.HasPrefix(name, word) || strings.HasPrefix(word, name)) {
			return name
		}
	}
	return ""
}

// distance counts the slips that make b out of a: a letter put in, left out or
// changed, or two neighbours swapped (optimal string alignment). Long words are
// as far as they are long.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return max(len(a), len(b))
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			d := min(change, rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}
