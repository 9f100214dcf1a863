package shell_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"berth/shell"
)

func TestNormalise(t *testing.T) {
	tests := []struct {
		name string
		line string // words, parted by blanks; '' is an empty one
		want string // Args in the same way, or what the error says
	}{
		// Ways to write an option.
		{"one dash and a word", "port add -n http -min 8080 -max 8085", "port add --name=http --min=8080 --max=8085"},
		{"two dashes", "port add --name http --min 8080 --max 8085", "port add --name=http --min=8080 --max=8085"},
		{"joined", "port add -n=http -min=8080 --max=8085", "port add --name=http --min=8080 --max=8085"},
		{"a long name with one dash", "port add -name http", "port add --name=http"},
		{"a letter with two dashes", "port add --n http", "port add --name=http"},
		{"a flag", "kill all -hard", "kill --hard -- all"},
		{"a flag with a value", "kill all --hard=false", "kill --hard=false -- all"},
		{"another name", "ps -pid 3", "ps --op=3"},
		{"short and long of similar names", "ps -p test -pr http:* -ports", "ps --profile=test --pr=http:* --ports"},
		{"short options do not bundle", "logs -fn 3 4", "logs: unknown option -fn"},
		{"a value does not stick to a letter", "port ls -nhttp", "port ls: unknown option -nhttp"},
		{"three dashes", "port ls ---name x", "port ls: unknown option ---name"},
		{"a near option", "port add -mim 3", "did you mean -min?"},
		{"the name written out", "port add -protocol udp", "did you mean -proto?"},
		{"no near option", "ps -bogus", "ps: unknown option -bogus; try berth ps --help"},
		{"an option of another command", "port ls -min 3", "port ls: unknown option -min"},

		// Values.
		{"a value like a negative number", "port add -min -5", "port add --min=-5"},
		{"a value with a dash", "port ls -n -x", "port ls --name=-x"},
		{"a value that is =", "port ls -n a=b", "port ls --name=a=b"},
		{"a missing value at the end", "port ls -n", "port ls: option -n needs a value"},
		{"a missing value before an option", "port add -n -min 3", "port add: option -n needs a value"},
		{"a missing value before --", "port ls -n --", "port ls: option -n needs a value"},
		{"an empty value", "port del -n ''", "port del: option -n is empty"},
		{"an empty value behind =", "port del -n=", "port del: option -n is empty"},
		{"twice", "port ls -n a -n b", "port ls: option -n is given twice"},
		{"twice under two names", "port ls -n a --name b", "port ls: option -n is given twice"},
		{"a flag twice is a flag", "kill all -hard -hard", "kill --hard --hard -- all"},

		// Values that may be left out.
		{"wait with a number", "exec -d d -v v -p p -w 30", "exec --distribution=d --version=v --profile=p --wait=30"},
		{"wait joined", "exec -d d -v v -p p -w=30", "exec --distribution=d --version=v --profile=p --wait=30"},
		{"bare wait of exec", "exec -d d -v v -p p -w", "exec --distribution=d --version=v --profile=p --wait=120"},
		{"bare wait of kill", "kill -w -i 3", "kill --wait=60 --id=3"},
		{"bare wait before a word", "kill -w all", "kill --wait=60 -- all"},
		{"bare wait of restart", "restart all -w", "restart --wait=60 -- all"},
		{"wait with a unit", "kill all -w 2m", "kill --wait=2m -- all"},

		// Lists.
		{"a list", "kill -i 1 2 3", "kill --id=1 --id=2 --id=3"},
		{"a list before an option", "kill -i 1 2 -hard", "kill --id=1 --id=2 --hard"},
		{"a list twice", "kill -i 1 -i 2", "kill --id=1 --id=2"},
		{"a list with commas", "kill -i 1,2", "kill --id=1,2"},
		{"an empty list", "kill -i", "kill: option -i needs a value"},
		{"an empty list before an option", "kill -i -hard", "kill: option -i needs a value"},

		// -cluster.
		{"cluster bare", "port ls -cluster", "port ls --cluster=*"},
		{"cluster before an option", "port ls -cluster -n x", "port ls --cluster=* --name=x"},
		{"cluster with hosts", "port ls -cluster web1,web2", "port ls --cluster=web1,web2"},
		{"cluster before the command", "-cluster port ls", "port ls --cluster=*"},
		{"cluster with hosts before the command", "-cluster=web1 port ls", "port ls --cluster=web1"},
		{"cluster twice", "-cluster port ls -cluster", "port ls: option -cluster is given twice"},
		{"cluster in a group", "port -cluster ls", "port ls --cluster=*"},
		{"cluster of echo", "echo -cluster", "echo --cluster=*"},

		// Words.
		{"words", "deploy a.zip b.zip", "deploy -- a.zip b.zip"},
		{"words and options", "deploy a.zip -o json b.zip", "deploy --output=json -- a.zip b.zip"},
		{"a dash alone is a word", "script -", "script -- -"},
		{"nothing behind -- is touched", "deploy -- -n --help -- x", "deploy -- -n --help -- x"},
		{"-- without words", "port ls --", "port ls"},
		{"a missing word", "logs", "logs: NAME|ID is missing"},
		{"a surplus word", "logs 1 2", "logs: unexpected word `2`"},
		{"a surplus word of a pattern", "port del -n a b c", "did your shell expand `*`? quote it"},
		{"a surplus word behind --", "port ls -- x", "port ls: unexpected word `x`"},
		{"echo keeps what looks like options", "echo -n -x --help", "echo: help"},
		{"echo keeps all behind its first word", "echo a -n --help -- b", "echo -- a -n --help -- b"},
		{"echo keeps unknown options", "echo -x y", "echo -- -x y"},
		{"stop keeps options for its own message", "stop -i 3", "stop -- -i 3"},

		// Commands.
		{"no command", "", "no command is given; try berth --help"},
		{"an unknown command", "frobnicate", "unknown command `frobnicate`; try berth --help"},
		{"a near command", "deplyo x", "unknown command `deplyo`, did you mean deploy?"},
		{"two letters swapped", "prot ls", "unknown command `prot`, did you mean port?"},
		{"nothing near", "bogus", "unknown command `bogus`; try berth --help"},
		{"a near one of a group", "port lss", "port: unknown command `lss`, did you mean ls?"},
		{"a group alone", "port", "port: name one of add, update, del, ls, who, archive, unarchive; try berth port --help"},
		{"an unknown option before the command", "-x port", "unknown option -x"},
		{"an option of a command before it", "-n x port ls", "unknown option -n"},
		{"an empty word", "''", "unknown command ``"},
		{"-- before the command", "-- port ls", "unknown command `--`"},
		{"needed", "port del -f", "port del: option -n is missing"},

		// Help.
		{"help", "--help", ": help"},
		{"help of a group", "port -h", "port: help"},
		{"help before the command", "--help port add", "port add: help"},
		{"help wins over what is wrong", "port add -bogus -h", "port add: help"},
		{"help in Corus' way", "port add -help", "port add: help"},
		{"help before an unknown command", "-h frobnicate", "unknown command"},
	}
	s := shell.New(shell.Options{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			words := strings.Fields(tt.line)
			for i := range words {
				if words[i] == "''" {
					words[i] = ""
				}
			}
			line, err := s.Normalise(words)
			got := strings.Join(line.Args, " ")
			switch {
			case err != nil:
				if !errors.Is(err, shell.ErrUsage) {
					t.Errorf("%v is not wrong usage", err)
				}
				got = err.Error()
				if !strings.Contains(got, tt.want) {
					t.Errorf("%s: error %q, want %q", tt.line, got, tt.want)
				}
				return
			case line.Help:
				got = strings.Join(line.Path, " ") + ": help"
			}
			if got != tt.want {
				t.Errorf("%s:\ngot  %s\nwant %s", tt.line, got, tt.want)
			}
		})
	}
}

// Whatever is typed, the one form of a line is its own one form, and words
// behind -- come through as they are.
func FuzzNormalise(f *testing.F) {
	for _, seed := range []string{
		"port add -n http -min 8080 -max 8085", "kill -i 1 2 3 -w 30 -hard", "exec -d a -v b -p c -w", "echo -n -- x",
		"-cluster port ls -n * -o json", "deploy a b -- -c", "port del -n a b", "script -", "port -cluster=x ls", "help", "man port add", "--", "- -- -", "ps -i 1 -op 2 -pr a:b",
	} {
		f.Add(strings.ReplaceAll(seed, " ", "\n"))
	}
	s := shell.New(shell.Options{})
	f.Fuzz(func(t *testing.T, text string) {
		words := strings.Split(text, "\n")
		given := slices.Clone(words)
		line, err := s.Normalise(words)
		if !slices.Equal(words, given) {
			t.Fatalf("the words were changed: %q, were %q", words, given)
		}
		if err != nil {
			if !errors.Is(err, shell.ErrUsage) {
				t.Fatalf("%q: %v is not wrong usage", words, err)
			}
			if strings.ContainsAny(err.Error(), "\n\r\x1b") {
				t.Fatalf("%q: the error is not a clean line: %q", words, err)
			}
			return
		}
		if line.Help {
			return
		}
		again, err := s.Normalise(line.Args)
		if err != nil || !slices.Equal(again.Args, line.Args) || !slices.Equal(again.Path, line.Path) {
			t.Fatalf("%q became %q, and that became %q (%v)", words, line.Args, again.Args, err)
		}
		if !slices.Equal(line.Args[:len(line.Path)], line.Path) {
			t.Fatalf("%q: %q does not begin with %q", words, line.Args, line.Path)
		}
		for _, arg := range line.Args[len(line.Path):] {
			if arg == "--" {
				break
			}
			if !strings.HasPrefix(arg, "--") {
				t.Fatalf("%q: %q stands among the options of %q", words, arg, line.Args)
			}
		}
		if at := slices.Index(words, "--"); at >= 0 && line.Path[0] != "echo" && line.Path[0] != "stop" {
			if behind := words[at+1:]; !slices.Equal(line.Args[len(line.Args)-len(behind):], behind) {
				t.Fatalf("%q: what stands behind -- became %q", words, line.Args)
			}
		}
	})
}

func TestSplit(t *testing.T) {
	lookup := func(name string) (string, bool) {
		switch name {
		case "a":
			return "one two", true
		case "empty":
			return "", true
		}
		return "", false
	}
	tests := []struct {
		name, line string
		want       []string
		err        bool
	}{
		{"nothing", "  \t ", nil, false},
		{"words", " a  b\tc \r\n", []string{"a", "b", "c"}, false},
		{"a comment", "a # b", []string{"a"}, false},
		{"only a comment", "# a", nil, false},
		{"# in a word", "a#b", []string{"a#b"}, false},
		{"# in quotes", `"#a" '#b' \#c`, []string{"#a", "#b", "#c"}, false},
		{"double quotes", `a "b c" d`, []string{"a", "b c", "d"}, false},
		{"single quotes", `'a "b" \c'`, []string{`a "b" \c`}, false},
		{"quotes in a word", `a'b c'"d e"f`, []string{"ab cd ef"}, false},
		{"empty quotes", `"" ''`, []string{"", ""}, false},
		{"escapes in quotes", `"a\"b\\c\d\$e"`, []string{`a"b\c\d$e`}, false},
		{"an escaped blank", `a\ b`, []string{"a b"}, false},
		{"a variable", "x${a}y", []string{"xone twoy"}, false},
		{"a variable in double quotes", `"x${a}"`, []string{"xone two"}, false},
		{"a variable in single quotes", `'${a}'`, []string{"${a}"}, false},
		{"an escaped variable", `\${a} "\${a}"`, []string{"${a}", "${a}"}, false},
		{"an empty variable is a word", "${empty}", []string{""}, false},
		{"an unknown variable", "${b}/gc.log", []string{"${b}/gc.log"}, false},
		{"an unknown one with blanks", `"${b c}"`, []string{"${b c}"}, false},
		{"a brace that is not closed", "${a b", []string{"${a", "b"}, false},
		{"a dollar", "$a $", []string{"$a", "$"}, false},
		{"an open double quote", `a "b`, nil, true},
		{"an open single quote", `a 'b`, nil, true},
		{"a backslash at the end", `a \`, nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := shell.Split(tt.line, lookup)
			if (err != nil) != tt.err || !slices.Equal(got, tt.want) {
				t.Errorf("%s: %q, %v; want %q", tt.line, got, err, tt.want)
			}
		})
	}
}

// Words in single quotes come back as they were.
func FuzzSplit(f *testing.F) {
	f.Add("a b", "c")
	f.Add("${x}", `\`)
	f.Fuzz(func(t *testing.T, a, b string) {
		if _, err := shell.Split(a+b, func(name string) (string, bool) { return name, true }); err != nil && strings.Contains(err.Error(), "\n") {
			t.Fatalf("the error has more than a line: %q", err)
		}
		if strings.Contains(a+b, "'") {
			return
		}
		got, err := shell.Split("'"+a+"' '"+b+"' # '", nil)
		if err != nil || !slices.Equal(got, []string{a, b}) {
			t.Fatalf("%q, %v; want %q", got, err, []string{a, b})
		}
	})
}

func TestRuns(t *testing.T) {
	for want, ports := range map[string][]int{
		"-": nil, "8080": {8080}, "8080-8081": {8080, 8081}, "8080, 8082-8085, 9000": {8080, 8082, 8083, 8084, 8085, 9000},
	} {
		if got := shell.Runs(ports); got != want {
			t.Errorf("%v: %s, want %s", ports, got, want)
		}
	}
}
