package shell_test

import (
	"strings"
	"testing"
	"unicode"

	"berth/shell"
)

// Every command and every option is explained, all in one style, and every
// example is a line that the grammar takes.
func TestHelpStyle(t *testing.T) {
	n := 0
	s := shell.New(shell.Options{})
	for _, c := range shell.Described() {
		t.Run(c.Path, func(t *testing.T) {
			check := func(what, text string) {
				t.Helper()
				switch r := []rune(text); {
				case text == "":
					t.Errorf("%s is not explained", what)
				case unicode.IsUpper(r[0]) && (len(r) < 2 || !unicode.IsUpper(r[1])):
					t.Errorf("%s: %q begins with a capital letter", what, text)
				case strings.HasSuffix(text, "."):
					t.Errorf("%s: %q ends with a full stop", what, text)
				case strings.Contains(text, "\n"):
					t.Errorf("%s: %q has more than a line", what, text)
				}
			}
			if c.Path != "" {
				check("the command", c.Help)
			}
			for name, help := range c.Options {
				check("option "+name, help)
			}
			if !strings.HasSuffix(c.Long, ".") || len(c.Long) < 40 {
				t.Errorf("the manual says %q, which is no sentence or two", c.Long)
			}
			if len(c.Examples) == 0 {
				t.Error("there is no example")
			}
			for line, does := range c.Examples {
				n++
				check("example "+line, does)
				words, err := shell.Split(line, nil)
				if err != nil {
					t.Fatal(err)
				}
				if err := s.Parses(words); err != nil {
					t.Errorf("example %s: %v", line, err)
				}
				if c.Path != "" && !strings.HasPrefix(line, c.Path) {
					t.Errorf("example %s is none of %s", line, c.Path)
				}
			}
		})
	}
	if n < 30 {
		t.Errorf("only %d examples were looked at", n)
	}
}

// Help and manual show the same things for every command, in whatever way they
// are asked for, and end nothing.
func TestHelp(t *testing.T) {
	d := newDaemon(t)
	for _, c := range shell.Described() {
		path := strings.Fields(c.Path)
		short := d.run(t, "", append(path, "--help")...)
		long := d.run(t, "", append([]string{"man"}, path...)...)
		for line := range c.Examples {
			for _, got := range []result{short, long} {
				if got.code != 0 || got.err != "" || !strings.Contains(got.out, line) {
					t.Errorf("%s: code %d, err %q, no example %s in\n%s", c.Path, got.code, got.err, line, got.out)
				}
			}
		}
		for name, help := range c.Options {
			if !strings.Contains(short.out, help) || !strings.Contains(long.out, help) {
				t.Errorf("%s: option %s is not shown", c.Path, name)
			}
		}
		if joined := strings.Join(strings.Fields(long.out), " "); !strings.Contains(joined, strings.Join(strings.Fields(c.Long), " ")) {
			t.Errorf("%s: the manual lacks its text:\n%s", c.Path, long.out)
		}
		for _, ways := range [][]string{append(path, "-h"), append(path, "-help"), append([]string{"--help"}, path...), append([]string{"help"}, path...)} {
			if got := d.run(t, "", ways...); got != short {
				t.Errorf("%v: code %d and other text:\n%s", ways, got.code, got.out)
			}
		}
	}
	if asked := d.requests(); len(asked) != 0 {
		t.Errorf("help asked the daemon %q", asked)
	}
}

// Every command takes -cluster, with hosts and without, before and behind its
// other options.
func TestClusterEverywhere(t *testing.T) {
	s := shell.New(shell.Options{})
	for _, c := range shell.Described() {
		path := strings.Fields(c.Path)
		for line := range c.Examples {
			words, err := shell.Split(line, nil)
			if err != nil || c.Path == "" || c.Group {
				continue
			}
			for _, option := range [][]string{{"-cluster"}, {"-cluster=web1,web2"}, {"--cluster=web1"}} {
				with := append(append(append([]string{}, path...), option...), words[len(path):]...)
				if option[0] == "-cluster" && len(words) > len(path) && (words[len(path)] == "-" || !strings.HasPrefix(words[len(path)], "-")) {
					with = append(append([]string{}, option...), words...) // a word behind it would be a host
				}
				if _, err := s.Normalise(with); err != nil {
					t.Errorf("%q: %v", with, err)
				}
				if _, err := s.Normalise(append(words[:len(words):len(words)], option...)); err != nil {
					t.Errorf("%s %s: %v", line, option[0], err)
				}
			}
		}
	}
}
