package shell_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"berth/api"
	"berth/shell"
)

// A script runs line by line, and stops at the first that fails with its line
// and its exit code.
func TestScript(t *testing.T) {
	dir := t.TempDir()
	nested := filepath.Join(dir, "nested.berth")
	if err := os.WriteFile(nested, []byte("echo nested\n\nps -i 9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	loop := filepath.Join(dir, "loop.berth")
	if err := os.WriteFile(loop, []byte("script "+loop+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	tests := []struct {
		name   string
		script string
		out    string
		err    string // of FILE is the script's path
		code   int
		asked  []string
	}{
		{"nothing", "", "", "", 0, nil},
		{"comments and empty lines", "# one\n\n   # two\n\techo a # b\r\n", "a\n", "", 0, nil},
		{"the last line without its end", "echo a\necho b", "a\nb\n", "", 0, nil},
		{"Corus' way", "port add -n http -min 8080 -max 8085\nberth port del -n http", "added http [8080 - 8085] tcp\ndeleted http [8080 - 8085] tcp\n", "", 0,
			[]string{`POST /v1/ranges {"ranges":[{"name":"http","min":8080,"max":8085,"protocol":"tcp"}]}`, "DELETE /v1/ranges?name=http"}},
		{"quotes", `echo "a  b" 'c  d' e\ f`, "a  b c  d e f\n", "", 0, nil},
		{"variables", "echo ${GREETING} ${corus.server.host} ${corus.server.port} ${corus.process.dir}/gc.log '${GREETING}'",
			"hello world 10.0.0.1 ${corus.server.port} ${corus.process.dir}/gc.log ${GREETING}\n", "", 0, []string{"GET /v1/daemon"}},
		{"a failure", "echo a\n# comment\nkill -i 9\necho b", "a\n", "berth: script: FILE:3: kill: not there\n", 4, []string{`POST /v1/processes/kill {"ids":[9]}`}},
		{"wrong usage", "echo a\nport add -n x\necho b", "a\n", "berth: script: FILE:2: port add: option -min is missing; try berth port add --help\n", 2, nil},
		{"an unknown command", "frob", "", "berth: script: FILE:1: unknown command `frob`; try berth --help\n", 2, nil},
		{"an open quote", "echo a\necho \"b\n", "a\n", "berth: script: FILE:2: a quote is not closed; try berth --help\n", 2, nil},
		{"a script of a script", "echo a\nscript " + nested + "\necho b", "a\nnested\n", "berth: script: FILE:2: script: " + nested + ":3: ps: not there\n", 4, []string{"GET /v1/processes?id=9"}},
		{"exit", "echo a\nexit\necho b", "a\n", "", 0, nil},
		{"help goes on", "ver --help\necho a", "berth ver: show versions\n\nUsage: berth ver\n\nOptions:\n  -h, --help         show the help of the command\n  -cluster [HOST,…]  do it on these hosts of the cluster; without HOST on all\n\nExamples:\n  berth ver\n      show versions\na\n", "", 0, nil},
		{"no match goes on", "port del -n x\necho a", "a\n", "no range matches x\n", 0, []string{"DELETE /v1/ranges?name=x"}},
		{"a script that is not there", "script none", "", "berth: script: FILE:1: script: open none: no such file or directory\n", 1, nil},
		{"a script that runs itself", "script " + loop, "", "more than 16 deep", 1, nil},
		{"serve", "serve", "", "berth: script: FILE:1: serve: the daemon is not run from the prompt or a script; try berth serve --help\n", 2, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s.berth")
			if err := os.WriteFile(path, []byte(tt.script), 0o600); err != nil {
				t.Fatal(err)
			}
			// The same lines come from a file, from standard input named so, and
			// from standard input without a command.
			ways := []struct {
				name, input, prefix string
				args                []string
			}{
				{"file", "", path + ":", []string{"script", path}},
				{"dash", tt.script, "line ", []string{"script", "-"}},
				{"input", tt.script, "line ", nil},
			}
			for _, way := range ways {
				d := sample(newDaemon(t))
				d.problems["POST /v1/processes/kill"] = api.Error{Detail: "not there", Code: api.CodeProcessNotFound}
				d.problems["GET /v1/processes"] = d.problems["POST /v1/processes/kill"]
				got := d.runWith(t, context.Background(), shell.Options{
					In: strings.NewReader(way.input), Variables: map[string]string{"corus.server.host": "10.0.0.1"},
				}, way.args...)
				want := strings.ReplaceAll(tt.err, "FILE:", way.prefix)
				if way.name == "input" {
					want = strings.Replace(want, "berth: script: ", "berth: ", 1)
				}
				ok := got.err == want
				if tt.name == "a script that runs itself" {
					ok = strings.Contains(got.err, tt.err)
				}
				if got.code != tt.code || got.out != tt.out || !ok {
					t.Errorf("%s: code %d, want %d\nout:\n%s\nwant:\n%s\nerr:  %swant: %s", way.name, got.code, tt.code, got.out, tt.out, got.err, want)
				}
				if asked := d.requests(); !slices.Equal(asked, tt.asked) {
					t.Errorf("%s: asked %q, want %q", way.name, asked, tt.asked)
				}
			}
		})
	}
}

// While commands are read from standard input nothing else is.
func TestInputIsTaken(t *testing.T) {
	d := sample(newDaemon(t))
	for script, want := range map[string]string{
		"pause\necho a\n":    "berth: line 1: pause: commands are read from standard input",
		"script -\necho a\n": "berth: line 1: script: standard input is being read for commands already",
	} {
		if got := d.run(t, script); got.code != 2 || !strings.HasPrefix(got.err, want) || got.out != "" {
			t.Errorf("%q: code %d, out %q, err %q", script, got.code, got.out, got.err)
		}
	}
	// In a script from a file, pause takes one line of it.
	path := filepath.Join(t.TempDir(), "s.berth")
	if err := os.WriteFile(path, []byte("pause\necho a\npause\necho b\npause\necho c\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := d.run(t, "\n\n", "script", path); got.code != 0 || got.out != "a\nb\nc\n" {
		t.Errorf("code %d, out %q, err %q", got.code, got.out, got.err)
	}
}

// The address of this host is known without being told.
func TestHostVariable(t *testing.T) {
	got := newDaemon(t).run(t, "echo ${corus.server.host}\n")
	if got.code != 0 || strings.Contains(got.out, "$") || strings.Count(got.out, ".") != 3 {
		t.Errorf("code %d, out %q, err %q", got.code, got.out, got.err)
	}
}

func TestLongLine(t *testing.T) {
	d := newDaemon(t)
	long := "echo " + strings.Repeat("x", 100_000)
	if got := d.run(t, long); got.code != 0 || len(got.out) != 100_001 {
		t.Errorf("code %d, %d bytes, err %q", got.code, len(got.out), got.err)
	}
	got := d.run(t, "echo a\necho "+strings.Repeat("x", 1<<20))
	if got.code != 1 || got.out != "a\n" || got.err != "berth: line 2: the line has more than 1048576 bytes\n" {
		t.Errorf("code %d, out %q, err %.100q", got.code, got.out, got.err)
	}
}
