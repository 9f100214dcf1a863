package shell

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/reeflective/readline"

	"berth/api"
	"berth/client"
)

// askLimit is how long completion waits for the daemon.
const askLimit = 300 * time.Millisecond

// Candidate is something that may stand at a place, and what it is.
type Candidate struct{ Value, About string }

// completions are what readline proposes behind a line. The blank behind a word
// is part of it, as the library puts none there; the path of a folder has none.
func (s *Shell) completions(ctx context.Context, line string) readline.Completions {
	var all []readline.Completion
	for _, c := range s.Complete(ctx, line) {
		value := c.Value
		if !strings.HasSuffix(value, "/") {
			value += " "
		}
		all = append(all, readline.Completion{Value: value, Display: c.Value, Description: c.About})
	}
	return readline.CompleteRaw(all).NoSpace(' ').NoSort()
}

// Complete proposes what may stand for the last word of a line: commands,
// options, and the names that the daemon knows. It starts no daemon, and gives
// one little time.
func (s *Shell) Complete(ctx context.Context, line string) []Candidate {
	words, last := lastWord(line)
	return s.completeWords(ctx, words, last)
}

// completeWords does the work of Complete for a line that is parted already.
func (s *Shell) completeWords(ctx context.Context, words []string, last string) []Candidate {
	words = s.unalias(withoutProgram(words))
	node := s.grammar().model
	for len(words) > 0 && len(node.Children) > 0 {
		if isOption(words[0]) {
			words = words[1:]
			continue
		}
		next := childNode(node, words[0])
		if next == nil {
			return nil
		}
		node, words = next, words[1:]
	}
	if len(node.Children) > 0 && !isOption(last) && last != "-" {
		return s.commandsOf(node, last)
	}
	if len(node.Positional) > 0 && node.Positional[0].Tag.Get("complete") == "line" {
		if inner := lineWithin(s.grammar().command(pathOf(node)), words); len(inner) > 0 {
			return s.completeWords(ctx, inner, last)
		}
	}
	kind, option := "", ""
	switch flag := openFlag(s.grammar(), node, words); {
	case strings.HasPrefix(last, "-"):
		// A value joined to its option: --output=js.
		name, value, ok := strings.Cut(last, "=")
		if flag = flagOf(s.grammar(), node, name); !ok || flag == nil {
			return optionsOf(node, last)
		}
		option, last = name+"=", value
		kind = flag.Tag.Get("complete")
	case flag != nil:
		kind = flag.Tag.Get("complete")
	case len(node.Positional) > 0:
		kind = node.Positional[0].Tag.Get("complete")
		switch kind {
		case "command":
			return s.manNames(words, last)
		case "line":
			return s.commandsOf(s.grammar().model, last)
		}
	default:
		return optionsOf(node, last)
	}
	ctx, cancel := context.WithTimeout(client.WithoutStart(ctx), askLimit)
	defer cancel()
	all := matching(s.named(ctx, kind, last, distributionOf(s.grammar(), node, words)), last)
	for i := range all {
		all[i].Value = option + all[i].Value
	}
	return all
}

// lineWithin is the command within the words of one that runs another.
func lineWithin(c *command, words []string) []string {
	for len(words) > 0 && isOption(words[0]) {
		o := c.findWord(words[0])
		if o != nil && o.kind != takesNone && !strings.Contains(words[0], "=") {
			words = words[1:]
		}
		words = words[min(1, len(words)):]
	}
	return words
}

// distributionOf is what the words give for the distribution: of what they
// select, names of others are not proposed.
func distributionOf(g *grammar, node *kong.Node, words []string) string {
	for i, word := range words {
		if flag := flagOf(g, node, word); flag == nil || flag.Tag.Get("complete") != "distribution" {
			continue
		}
		if _, value, ok := cut(word); ok {
			return value
		}
		if i+1 < len(words) {
			return words[i+1]
		}
	}
	return ""
}

func pathOf(node *kong.Node) []string {
	var path []string
	for up := node; up.Parent != nil; up = up.Parent {
		path = append([]string{up.Name}, path...)
	}
	return path
}

// flagOf is the flag that a word names, nil if it names none.
func flagOf(g *grammar, node *kong.Node, word string) *kong.Flag {
	if !isOption(word) {
		return nil
	}
	o := g.command(pathOf(node)).findWord(word)
	for up := node; o != nil && up != nil; up = up.Parent {
		for _, flag := range up.Flags {
			if flag.Name == o.name {
				return flag
			}
		}
	}
	return nil
}

// lastWord parts a line into the words that are done and the one being typed.
func lastWord(line string) (words []string, last string) {
	all, err := split(line, nil)
	if err != nil {
		// A quote is open: what stands behind it is being typed.
		at := strings.LastIndexAny(line, `"'`)
		all, _ = split(line[:max(at, 0)], nil)
		return all, line[at+1:]
	}
	if line == "" || strings.HasSuffix(line, " ") || len(all) == 0 {
		return all, ""
	}
	return all[:len(all)-1], all[len(all)-1]
}

func childNode(node *kong.Node, name string) *kong.Node {
	for _, child := range node.Children {
		if child.Name == name {
			return child
		}
	}
	return nil
}

func (s *Shell) commandsOf(node *kong.Node, last string) []Candidate {
	var all []Candidate
	for _, child := range node.Children {
		all = append(all, Candidate{child.Name, child.Help})
	}
	if node == s.grammar().model {
		for _, name := range slices.Sorted(maps.Keys(s.aliases)) {
			all = append(all, Candidate{name, joined(s.aliases[name])})
		}
		all = append(all, Candidate{"exit", "leave the prompt"})
	}
	return matching(all, last)
}

func (s *Shell) manNames(words []string, last string) []Candidate {
	node := s.grammar().node(words)
	if node == nil {
		return nil
	}
	return matching(s.commandsOf(node, last), last)
}

// optionsOf are the options of a command, written as the last word begins: with
// two dashes, or with one and then the letter where there is one.
func optionsOf(node *kong.Node, last string) []Candidate {
	var all []Candidate
	for up := node; up != nil; up = up.Parent {
		for _, flag := range up.Flags {
			name := "-" + flag.Name
			if strings.HasPrefix(last, "--") {
				name = "--" + flag.Name
			} else if flag.Short != 0 {
				all = append(all, Candidate{"-" + string(flag.Short), flag.Help})
				if len(last) < 2 {
					continue
				}
			}
			all = append(all, Candidate{name, flag.Help})
		}
	}
	return matching(all, last)
}

// openFlag is the option whose value stands next, nil if none is open.
func openFlag(g *grammar, node *kong.Node, words []string) *kong.Flag {
	c := g.command(pathOf(node))
	for i := len(words) - 1; i >= 0; i-- {
		if !isOption(words[i]) {
			continue
		}
		o := c.findWord(words[i])
		if o == nil || o.kind == takesNone || strings.Contains(words[i], "=") || o.kind != takesList && i != len(words)-1 {
			return nil
		}
		return flagOf(g, node, words[i])
	}
	return nil
}

func matching(all []Candidate, prefix string) []Candidate {
	var out []Candidate
	seen := make(map[string]bool)
	for _, c := range all {
		if strings.HasPrefix(c.Value, prefix) && !seen[c.Value] {
			seen[c.Value] = true
			out = append(out, c)
		}
	}
	return out
}

// named are the names of a kind; those of a distribution are of the one that is
// given, of all where it is empty.
func (s *Shell) named(ctx context.Context, kind, last, distribution string) []Candidate {
	switch kind {
	case "format":
		return []Candidate{{string(asTable), ""}, {string(asJSON), ""}, {string(asYAML), ""}}
	case "lease format":
		return append([]Candidate{{string(asPort), ""}, {string(asEnv), ""}}, s.named(ctx, "format", last, distribution)...)
	case "lease", "owner":
		return s.leaseNames(ctx, kind)
	case "alias action":
		return []Candidate{{"ls", "show the aliases"}, {"del", "remove aliases"}}
	case "alias":
		var all []Candidate
		for _, name := range slices.Sorted(maps.Keys(s.aliases)) {
			all = append(all, Candidate{name, joined(s.aliases[name])})
		}
		return all
	case "shell":
		return []Candidate{{"bash", ""}, {"zsh", ""}, {"fish", ""}}
	case "role":
		return []Candidate{{api.RoleRead, "see"}, {api.RoleLease, "acquire leases, too"}, {api.RoleExec, "start processes, too"}, {api.RoleAdmin, "everything"}}
	case "token":
		return s.tokenNames(ctx)
	case "protocol":
		return []Candidate{{"tcp", ""}, {"udp", ""}}
	case "policy":
		return []Candidate{{"lowest", "the lowest one that is available"}, {"next", "the one after the port leased last"}, {"random", "any"}}
	case "named":
		return append(s.processNames(ctx, false), Candidate{"all", "all processes"})
	case "known":
		return append(s.processNames(ctx, true), s.processIDs(ctx, "known")...)
	case "file":
		if s.foreign {
			s.forFile = true
			return nil
		}
		return files(last)
	case "scope":
		return []Candidate{{"p", "properties of processes"}, {"s", "properties of the server"}}
	case "action":
		return []Candidate{{"enable", "exec configurations"}, {"disable", "exec configurations"}, {"archive", "the exec configurations"}, {"unarchive", "the exec configurations"}}
	case "property", "category", "tag", "exec":
		return s.settingNames(ctx, kind)
	case "range", "port":
		return s.rangeNames(ctx, kind)
	case "distribution", "version", "profile", "process":
		if kind == "distribution" {
			distribution = ""
		}
		return s.distributionNames(ctx, kind, distribution)
	case "id", "pid":
		return s.processIDs(ctx, kind)
	}
	return nil
}

// files are the files whose path begins with last, folders with a slash behind.
func files(last string) []Candidate {
	found, err := filepath.Glob(escapeGlob(last) + "*")
	if err != nil {
		return nil
	}
	var all []Candidate
	for _, path := range found {
		about := ""
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			path += "/"
			about = "folder"
		}
		all = append(all, Candidate{path, about})
	}
	return all
}

func escapeGlob(text string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(text)
}

func (s *Shell) tokenNames(ctx context.Context) []Candidate {
	tokens, _ := s.client.Tokens(ctx, "")
	var all []Candidate
	for _, t := range tokens {
		all = append(all, Candidate{t.Name, t.Role})
	}
	return all
}

func (s *Shell) rangeNames(ctx context.Context, kind string) []Candidate {
	ranges, err := s.client.Ranges(ctx, "")
	if err != nil {
		return nil
	}
	var all []Candidate
	for _, r := range ranges {
		if kind == "range" {
			all = append(all, Candidate{r.Name, interval(r.Range)})
			continue
		}
		all = append(all, Candidate{r.Name + ":*", "any port of the range"})
		for _, p := range r.Active[:min(len(r.Active), 50)] {
			all = append(all, Candidate{r.Name + ":" + strconv.Itoa(p.Port), p.Holder})
		}
	}
	return all
}

// leaseNames are the ids of leases, or the names of their owners.
func (s *Shell) leaseNames(ctx context.Context, kind string) []Candidate {
	leases, err := s.client.Leases(ctx)
	if err != nil {
		return nil
	}
	var all []Candidate
	for _, l := range leases {
		switch {
		case kind == "lease" && l.Process == 0:
			all = append(all, Candidate{l.ID, strconv.Itoa(l.Port) + " " + l.Protocol + " " + l.Holder})
		case kind == "owner" && l.Owner != "":
			all = append(all, Candidate{l.Owner, ""})
		}
	}
	return all
}

func (s *Shell) settingNames(ctx context.Context, kind string) []Candidate {
	var all []Candidate
	if kind == "tag" {
		tags, _ := s.client.Tags(ctx, "")
		for _, tag := range tags {
			all = append(all, Candidate{tag.Name, ""})
		}
		return all
	}
	if kind == "exec" {
		execs, _ := s.client.ExecConfigs(ctx, "")
		for _, x := range execs {
			all = append(all, Candidate{x.Name, execProcesses(x)})
		}
		return all
	}
	properties, _ := s.client.Properties(ctx, api.PropertySelection{Every: true})
	for _, p := range properties {
		switch {
		case kind == "property":
			all = append(all, Candidate{p.Name, p.Category})
		case p.Category != "":
			all = append(all, Candidate{p.Category, ""})
		}
	}
	return all
}

func (s *Shell) distributionNames(ctx context.Context, kind, distribution string) []Candidate {
	ds, err := s.client.Distributions(ctx, distribution, "")
	if err != nil {
		return nil
	}
	var all []Candidate
	for _, d := range ds {
		about := d.Name + " " + d.Version
		switch kind {
		case "distribution":
			all = append(all, Candidate{d.Name, strings.Join(d.Processes, ", ")})
		case "version":
			all = append(all, Candidate{d.Version, d.Name})
		case "profile":
			for _, name := range d.Profiles {
				all = append(all, Candidate{name, about})
			}
		case "process":
			for _, name := range d.Processes {
				all = append(all, Candidate{name, about})
			}
		}
	}
	return all
}

// processNames are the names of the processes that run, or of those that have
// ended too.
func (s *Shell) processNames(ctx context.Context, ended bool) []Candidate {
	ps, err := s.client.Processes(ctx, api.Selector{}, ended)
	if err != nil {
		return nil
	}
	var all []Candidate
	for _, p := range ps {
		all = append(all, Candidate{p.Name, p.Distribution + " " + p.Version})
	}
	slices.SortStableFunc(all, func(a, b Candidate) int { return strings.Compare(a.Value, b.Value) })
	return all
}

// processIDs are the ids or the pids of the processes that run; with "known" the
// ids of those that have ended too.
func (s *Shell) processIDs(ctx context.Context, kind string) []Candidate {
	ps, err := s.client.Processes(ctx, api.Selector{}, kind == "known")
	if err != nil {
		return nil
	}
	slices.SortFunc(ps, func(a, b api.Process) int { return a.ID - b.ID })
	var all []Candidate
	for _, p := range ps {
		id := p.ID
		if kind == "pid" {
			id = p.PID
		}
		all = append(all, Candidate{strconv.Itoa(id), p.Name + " " + p.Status + behind(" on ", portList(p.Ports))})
	}
	return all
}
