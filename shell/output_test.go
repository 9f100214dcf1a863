package shell_test

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"berth/api"
	"berth/shell"
)

// JSON and YAML are one array with the keys that were promised.
func TestFormats(t *testing.T) {
	tests := []struct {
		args []string
		keys []string            // of an element; others may be there
		sub  map[string][]string // of the elements of a key
	}{
		{[]string{"port", "ls"}, []string{"name", "min", "max", "protocol", "scope", "available", "active", "setAside"},
			map[string][]string{"active": {"port", "state", "holder", "pid"}, "setAside": {"port", "reason", "pid", "command"}}},
		{[]string{"ps"}, []string{"id", "distribution", "version", "profile", "name", "instance", "pid", "status", "startedAt", "ports"},
			map[string][]string{"ports": {"name", "protocol", "port", "state"}}},
		{[]string{"ls"}, []string{"name", "version", "processes"}, nil},
		{[]string{"exec", "-d", "d", "-v", "v", "-p", "p"}, []string{"id", "pid", "ports"}, nil},
		{[]string{"kill", "all"}, []string{"id", "status", "ports"}, nil},
		{[]string{"restart", "all"}, []string{"id", "status", "ports"}, nil},
		{[]string{"undeploy", "-d", "d", "-v", "v"}, []string{"name", "version", "processes"}, nil},
		{[]string{"port", "add", "-n", "a", "-min", "1", "-max", "2"}, []string{"name", "min", "max", "protocol"}, nil},
		{[]string{"port", "del", "-n", "http"}, []string{"name", "min", "max"}, nil},
		{[]string{"port", "archive", "-rev", "r"}, []string{"name", "min", "max"}, nil},
		{[]string{"deploy", "shell_test.go"}, []string{"name", "version", "processes", "profiles"}, nil},
	}
	for _, tt := range tests {
		for _, as := range []string{"json", "yaml"} {
			t.Run(strings.Join(tt.args, " ")+" as "+as, func(t *testing.T) {
				d := sample(newDaemon(t))
				got := d.run(t, "", append(slices.Clone(tt.args), "-o", as)...)
				if got.code != 0 || got.err != "" {
					t.Fatalf("code %d, err %q", got.code, got.err)
				}
				var things []map[string]any
				var err error
				if as == "json" {
					err = json.Unmarshal([]byte(got.out), &things)
				} else {
					err = yaml.Unmarshal([]byte(got.out), &things)
				}
				if err != nil || len(things) == 0 {
					t.Fatalf("%v in\n%s", err, got.out)
				}
				for _, key := range tt.keys {
					if _, ok := things[0][key]; !ok {
						t.Errorf("no key %s in\n%s", key, got.out)
					}
				}
				for key, subs := range tt.sub {
					list, ok := things[0][key].([]any)
					if !ok || len(list) == 0 {
						t.Fatalf("%s is not a list in\n%s", key, got.out)
					}
					for _, sub := range subs {
						if _, ok := list[0].(map[string]any)[sub]; !ok {
							t.Errorf("no key %s.%s in\n%s", key, sub, got.out)
						}
					}
				}
				if strings.Contains(got.out, "null") {
					t.Errorf("there is a null in\n%s", got.out)
				}
			})
		}
	}
	t.Run("nothing", func(t *testing.T) {
		d := newDaemon(t)
		for _, args := range [][]string{{"ps"}, {"ls"}, {"port", "ls"}, {"kill", "all"}, {"port", "del", "-n", "x"}, {"undeploy", "-d", "x", "-v", "y"}} {
			for _, as := range []string{"json", "yaml"} {
				got := d.run(t, "", append(slices.Clone(args), "-o", as)...)
				if got.code != 0 || strings.TrimSpace(got.out) != "[]" || got.err != "" {
					t.Errorf("%v as %s: code %d, out %q, err %q", args, as, got.code, got.out, got.err)
				}
			}
			if got := d.run(t, "", args...); got.code != 0 || got.out != "" || !strings.HasPrefix(got.err, "no ") && !strings.HasPrefix(got.err, "there is no ") {
				t.Errorf("%v: code %d, out %q, err %q", args, got.code, got.out, got.err)
			}
		}
	})
}

// Text of the daemon's cannot move the cursor or end the line.
func TestControlCharacters(t *testing.T) {
	d := sample(newDaemon(t))
	d.processes[0].Name = "a\x1b[2Jb\nc"
	d.problems["GET /v1/ranges"] = api.Error{Detail: "one\ntwo\x1b[31m", Code: api.CodeInternal}
	if got := d.run(t, "", "ps"); strings.Contains(got.out, "\x1b") || strings.Count(got.out, "\n") != 3 {
		t.Errorf("ps printed %q", got.out)
	}
	if got := d.run(t, "", "port", "ls"); got.err != "berth: port ls: one two[31m\n" {
		t.Errorf("the error is %q", got.err)
	}
}

// Colour is for terminals that want it.
func TestColour(t *testing.T) {
	d := sample(newDaemon(t))
	always := func(any) bool { return true }
	tests := []struct {
		name     string
		env      map[string]string
		terminal func(any) bool
		want     bool
	}{
		{"a terminal", nil, always, true},
		{"no terminal", nil, func(any) bool { return false }, false},
		{"NO_COLOR", map[string]string{"NO_COLOR": "1"}, always, false},
		{"an empty NO_COLOR", map[string]string{"NO_COLOR": ""}, always, true},
		{"a dumb terminal", map[string]string{"TERM": "dumb"}, always, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := shell.Options{IsTerminal: tt.terminal, Env: func(name string) (string, bool) { v, ok := tt.env[name]; return v, ok }}
			got := d.runWith(t, context.Background(), o, "ps")
			if colour := strings.Contains(got.out, "\x1b["); colour != tt.want {
				t.Errorf("colour %v, want %v: %q", colour, tt.want, got.out)
			}
			plain := d.run(t, "", "ps").out
			if tt.want {
				plain = strings.ReplaceAll(plain, " ", "")
				bare := strings.ReplaceAll(stripStyles(got.out), " ", "")
				if bare != plain {
					t.Errorf("with its styles taken off it is\n%s, want\n%s", bare, plain)
				}
			}
		})
	}
}

func stripStyles(text string) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(text, "\x1b[")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		_, text, _ = strings.Cut(after, "m")
	}
}

// A long wait shows on a terminal that it goes on, and leaves nothing behind.
func TestProgress(t *testing.T) {
	d := sample(newDaemon(t))
	d.hold = make(chan struct{})
	var shown bytes.Buffer
	once := false
	o := shell.Options{
		IsTerminal: func(any) bool { return true },
		Err: writerFunc(func(p []byte) (int, error) {
			if !once {
				once = true
				close(d.hold) // the work ends once the line was shown
			}
			return shown.Write(p)
		}),
	}
	got := d.runWith(t, context.Background(), o, "kill", "all", "-w")
	if got.code != 0 || !strings.Contains(shown.String(), "waiting until their ports are back (at most 60s)") || !strings.HasSuffix(shown.String(), "\r\x1b[K") {
		t.Errorf("code %d, shown %q", got.code, shown.String())
	}
}
