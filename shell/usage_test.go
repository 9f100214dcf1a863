package shell_test

import (
	"strings"
	"testing"
)

// What newcomers type is answered with what they may have meant.
func TestNewcomers(t *testing.T) {
	d := newDaemon(t)
	for line, want := range map[string]string{
		"list":         "unknown command `list`, did you mean ls?",
		"port list":    "port: unknown command `list`, did you mean ls?",
		"port rm":      "did you mean del?",
		"remove x":     "did you mean undeploy?",
		"run demo":     "run: `demo` stands before --: the command goes behind it; try berth run --help",
		"version":      "did you mean ver?",
		"pause x":      "pause: SECONDS: `x` is not a number of seconds",
		"completion x": "completion: SHELL: `x` is not bash, zsh or fish",
		"frob":         "unknown command `frob`; try berth --help",
	} {
		if got := d.run(t, "", strings.Fields(line)...); got.code != 2 || !strings.Contains(got.err, want) || strings.Count(got.err, "\n") != 1 {
			t.Errorf("%s: code %d, %q does not say %q", line, got.code, got.err, want)
		}
	}
}

// The lease of a process that runs is not released under it, and the others of
// that line stay.
func TestReleaseOfAProcess(t *testing.T) {
	d := sample(newDaemon(t))
	got := d.run(t, "", "lease", "release", "8080", "8081")
	if got.code != 1 || !strings.Contains(got.err, "port 8081 is held by httpServer 2 (demo 1.0), which runs: kill -i 2 ends it") {
		t.Errorf("code %d, %q", got.code, got.err)
	}
	for _, line := range d.requests() {
		if strings.HasPrefix(line, "DELETE") {
			t.Errorf("it was asked %q", line)
		}
	}
}
