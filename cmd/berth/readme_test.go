package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// step is a command of the README with the output that it shows.
type step struct{ command, output string }

// readmeSession returns the commands of all console blocks of the README.
func readmeSession(t *testing.T) (steps []step) {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	inside := false
	for line := range strings.Lines(string(text)) {
		command, isCommand := strings.CutPrefix(line, "$ ")
		switch {
		case strings.HasPrefix(line, "```"):
			inside = strings.TrimSpace(line) == "```console"
		case inside && isCommand:
			steps = append(steps, step{command: strings.TrimSpace(command)})
		case inside && len(steps) > 0:
			steps[len(steps)-1].output += line
		}
	}
	return steps
}

var (
	processIDs = regexp.MustCompile(`\b(pid |httpServer +\d+ +)\d+`)
	blanks     = regexp.MustCompile(` +`)
	ports      = regexp.MustCompile(`\b808(\d)\b`)
	testPorts  = regexp.MustCompile(`\b748(\d)\b`)
)

// comparable is an output without what differs from run to run: process ids,
// the widths of columns that follow from them, and their order in time.
func comparable(output string) string {
	output = processIDs.ReplaceAllString(output, "${1}PID")
	return strings.TrimSpace(blanks.ReplaceAllString(output, " "))
}

// The README's session is what happens. It is run on other ports than it
// shows, since 8080 is the first that a machine has something on.
func TestReadmeSession(t *testing.T) {
	steps := readmeSession(t)
	if len(steps) < 10 {
		t.Fatalf("the README has %d commands", len(steps))
	}
	dir := t.TempDir()
	home, err := os.MkdirTemp("", "berth-readme-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	environ := append(os.Environ(), "BERTH_HOME="+home, "BERTH_SOCKET=", "NO_COLOR=1", "PATH="+dir+":"+os.Getenv("PATH"))
	run := func(command string) string {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "sh", "-c", command)
		cmd.Dir, cmd.Env = filepath.Join("..", ".."), environ
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Logf("%s: %v", command, err) // the session shows a refusal, too
		}
		return string(out)
	}
	run("go build -o " + dir + "/berth ./cmd/berth")
	t.Cleanup(func() { run("BERTH_AUTOSTART=0 berth kill all -hard -w; BERTH_AUTOSTART=0 berth stop") })
	for _, s := range steps {
		got := run(ports.ReplaceAllString(s.command, "748$1"))
		got = testPorts.ReplaceAllString(got, "808$1")
		if comparable(got) != comparable(s.output) {
			t.Fatalf("$ %s\n%s\nthe README shows\n%s", s.command, got, s.output)
		}
	}
}
