package shell

import (
	"context"
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
	words = withoutProgram(words)
	node := s.grammar.model
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
	if strings.HasPrefix(last, "-") {
		return optionsOf(node, last)
	}
	kind := ""
	switch flag := openFlag(s.grammar, node, words); {
	case flag != nil:
		kind = flag.Tag.Get("complete")
	case len(node.Positional) > 0:
		kind = node.Positional[0].Tag.Get("complete")
		if kind == "command" {
			return s.manNames(words, last)
		}
	default:
		return optionsOf(node, last)
	}
	ctx, cancel := context.WithTimeout(client.WithoutStart(ctx), askLimit)
	defer cancel()
	return matching(s.named(ctx, kind, last), last)
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
	if node == s.grammar.model {
		all = append(all, Candidate{"exit", "leave the prompt"})
	}
	return matching(all, last)
}

func (s *Shell) manNames(words []string, last string) []Candidate {
	node := s.grammar.node(words)
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
	var path []string
	for up := node; up.Parent != nil; up = up.Parent {
		path = append([]string{up.Name}, path...)
	}
	c := g.command(path)
	for i := len(words) - 1; i >= 0; i-- {
		if !isOption(words[i]) {
			continue
		}
		o := c.findWord(words[i])
		if o == nil || o.kind == takesNone || strings.Contains(words[i], "=") || o.kind != takesList && i != len(words)-1 {
			return nil
		}
		for up := node; up != nil; up = up.Parent {
			for _, flag := range up.Flags {
				if flag.Name == o.name {
					return flag
				}
			}
		}
		return nil
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

// named are the names of a kind.
func (s *Shell) named(ctx context.Context, kind, last string) []Candidate {
	switch kind {
	case "format":
		return []Candidate{{string(asTable), ""}, {string(asJSON), ""}, {string(asYAML), ""}}
	case "protocol":
		return []Candidate{{"tcp", ""}, {"udp", ""}}
	case "all":
		return []Candidate{{"all", "all processes"}}
	case "file":
		return files(last)
	case "scope":
		return []Candidate{{"p", "properties of processes"}, {"s", "properties of the server"}}
	case "property", "category", "tag":
		return s.settingNames(ctx, kind)
	case "range", "port":
		return s.rangeNames(ctx, kind)
	case "distribution", "version", "profile", "process":
		return s.distributionNames(ctx, kind)
	case "id", "pid", "ended":
		return s.processNames(ctx, kind)
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

func (s *Shell) settingNames(ctx context.Context, kind string) []Candidate {
	var all []Candidate
	if kind == "tag" {
		tags, _ := s.client.Tags(ctx, "")
		for _, tag := range tags {
			all = append(all, Candidate{tag.Name, ""})
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

func (s *Shell) distributionNames(ctx context.Context, kind string) []Candidate {
	ds, err := s.client.Distributions(ctx, "", "")
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

func (s *Shell) processNames(ctx context.Context, kind string) []Candidate {
	ps, err := s.client.Processes(ctx, api.Selector{}, kind == "ended")
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
