package shell_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth/shell"
)

// A program is found as a shell finds it.
func TestFindProgram(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"one/plain": 0o644, "one/folder/x": 0o644, "two/plain": 0o755, "two/folder": 0o755, "one/only": 0o600} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(filepath.Join(dir, "two"))
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	for _, tt := range []struct {
		name, path, found string
		code              int
	}{
		{"plain", one + ":" + two, two + "/plain", 0},
		{"folder", one + ":" + two, two + "/folder", 0},
		{"plain", "/none::" + one, "./plain", 0},
		{"plain", one, "", 126},
		{"only", one + ":" + two, "", 126},
		{"folder", one, "", 126},
		{"none", one + ":" + two, "", 127},
		{"none", "", "", 127},
		{"./plain", "", "./plain", 0},
		{two + "/plain", "", two + "/plain", 0},
		{one + "/plain", "", one + "/plain", 126},
		{one, "", one, 126},
		{"./none", "", "./none", 127},
		{"./plain/x", "", "./plain/x", 126},
	} {
		if found, code := shell.FindProgram(tt.name, tt.path); found != tt.found || code != tt.code {
			t.Errorf("%s of %q: %q, exit code %d; want %q, %d", tt.name, tt.path, found, code, tt.found, tt.code)
		}
	}
}

// What is wrong with a line is told before the daemon is asked.
func TestRunUsage(t *testing.T) {
	d := newDaemon(t)
	for line, want := range map[string]string{
		"run":                   "run: the command is missing: it goes behind --",
		"run -port http x":      "run: the command is missing: it goes behind --",
		"run -i 2 x -y":         "run: `x` stands before --: the command goes behind it",
		"run -y -- x":           "run: unknown option -y; the command and its options go behind --",
		"run -port auto:x -- x": "run: option -port: port \"auto:x\"",
		"run -n 3000 -- x":      "run: option -n: `3000` is not the name of a range; ports are asked for with -port",
		"run -count 2 -- x":     "run: option -count: of ports in a row the first has to be known",
		"run -count 0 -- x":     "run: option -count: `0` is not between 1 and 1024",
		"run -proto sctp -- x":  "run: option -proto: `sctp` is not tcp or udp",
		"run -inject all -- x":  "run: option -inject: `all` is not env or none",
		"run -i 2 -count 2 -port 100-102 -- true": "run: port 100-102 is 3, and 4 are needed: give 100-103",
	} {
		words, err := shell.Split(line, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := d.runWith(t, t.Context(), shell.Options{Replace: func(string, []string, []string) error { return os.ErrInvalid }}, words...)
		if got.code != 2 && got.code != 1 || !strings.Contains(got.err, want) {
			t.Errorf("%s: code %d, %q does not say %q", line, got.code, got.err, want)
		}
	}
	// A program without that way, as the daemon's own scripts are, says so.
	if got := d.run(t, "", "run", "--", "true"); got.code != 1 || got.err != "berth: run: no commands are run in the foreground here: use start\n" {
		t.Errorf("code %d, %q", got.code, got.err)
	}
	if asked := d.requests(); len(asked) != 0 {
		t.Errorf("the daemon was asked %q", asked)
	}
}
