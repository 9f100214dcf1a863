package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"berth/internal/require"
)

// A shell that is started on a terminal, and typed into, completes commands,
// options, values behind them and behind a colon, and files.
func TestCompletion(t *testing.T) {
	script := require.Tool(t, "script")
	for _, tt := range []struct{ shell, command, begin string }{
		{"bash", "bash --norc --noprofile -i", "source <(berth completion bash)\n"},
		{"zsh", "zsh -f -i", "autoload -U compinit; compinit -D; source <(berth completion zsh)\n"},
	} {
		t.Run(tt.shell, func(t *testing.T) {
			require.Tool(t, tt.shell)
			dir, environ := completionHome(t)
			typed := tt.begin +
				"berth po\tadd -n https -min 24602 -max 24602\n" +
				"berth port ls -n https\t-o js\t> named\n" +
				"berth port ls --output=ya\t> joined\n" +
				"berth deploy some\t 2> file\n" +
				"berth count ps -pr http:\t> colon\n" +
				"exit\n"
			ctx, cancel := context.WithTimeout(t.Context(), 2*scriptPatience)
			defer cancel()
			cmd := exec.CommandContext(ctx, script, "-qec", tt.command, "/dev/null")
			cmd.Dir, cmd.Env, cmd.Stdin = dir, environ, strings.NewReader(typed)
			screen, err := cmd.CombinedOutput()
			for name, want := range map[string]string{
				"named": `"name": "https"`, "joined": "name: https", "file": "some file.zip", "colon": "0\n",
			} {
				if got, _ := os.ReadFile(filepath.Join(dir, name)); !strings.Contains(string(got), want) {
					t.Errorf("%s: %q does not say %q", name, got, want)
				}
			}
			if t.Failed() {
				t.Logf("%v; the screen shows\n%q", err, screen)
			}
		})
	}

	// fish tells by itself what it would propose.
	t.Run("fish", func(t *testing.T) {
		fish := require.Tool(t, "fish")
		dir, environ := completionHome(t)
		for line, want := range map[string]string{
			"berth port ls -n h":         "http\t[24600 - 24601]",
			"berth port ls --output=js":  "--output=json",
			"berth ps -por":              "-ports\tshow their ports",
			"berth ps -pr http:":         "http:*\tany port of the range",
			"berth deploy some":          "some file.zip",
			"berth completi":             "completion\tprint what makes another shell complete commands",
			"berth frob ":                "",
			"berth port ls -n http -o y": "yaml",
		} {
			cmd := exec.CommandContext(t.Context(), fish, "--no-config", "-c", "berth completion fish | source; complete -C $argv[1]", line)
			cmd.Dir, cmd.Env = dir, environ
			got, err := cmd.Output()
			if err != nil || strings.TrimSpace(string(got)) != want {
				t.Errorf("%s: %v, %q, want %q", line, err, got, want)
			}
		}
	})

	// Without a daemon nothing is proposed, said or started.
	t.Run("no daemon", func(t *testing.T) {
		dir := t.TempDir()
		cmd := exec.CommandContext(t.Context(), "berth", "__complete", "-line", "berth port ls -n ")
		cmd.Env = append(os.Environ(), "BERTH_HOME="+filepath.Join(dir, "home"))
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%v: %q", err, out)
		}
		if _, err := os.Stat(filepath.Join(dir, "home")); err == nil {
			t.Error("a daemon was started")
		}
	})
}

// completionHome makes a folder with a daemon that has a range, and returns it
// with an environment for it.
func completionHome(t *testing.T) (dir string, environ []string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "some file.zip"), []byte("no zip"), 0o600); err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(dir, "home")
	environ = append(os.Environ(), "BERTH_HOME="+home, "HOME="+dir, "TERM=xterm", "GORACE=atexit_sleep_ms=0")
	t.Cleanup(func() { endDaemon(scriptT{t}, home) })
	cmd := exec.CommandContext(t.Context(), "berth", "port", "add", "-n", "http", "-min", "24600", "-max", "24601")
	cmd.Env = environ
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return dir, environ
}

// scriptT is a test as testscript knows one.
type scriptT struct{ *testing.T }

func (t scriptT) Run(name string, f func(testscript.T)) {
	t.T.Run(name, func(t *testing.T) { f(scriptT{t}) })
}

func (t scriptT) Verbose() bool { return testing.Verbose() }
