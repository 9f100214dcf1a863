package main_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long a demo may take.
const patience = 3 * time.Minute

// clean checks that a demo whose temporary folder was in dir left nothing: no
// file, and no process that knows the folder.
func clean(t *testing.T, dir string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(dir, "berth-demo-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left in the temporary folder: %q %v", left, err)
	}
	environs, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil || len(environs) == 0 {
		t.Fatalf("no process can be looked at: %v", err)
	}
	for _, file := range environs {
		// One that ended meanwhile or is another user's cannot be read.
		environ, _ := os.ReadFile(file)
		if bytes.Contains(environ, []byte("BERTH_HOME="+dir+"/")) {
			name, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
			t.Errorf("%s is left: %q", filepath.Dir(file), name)
		}
	}
}

// command is a demo, with its temporary folder in dir.
func command(t *testing.T, dir, name string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	return cmd
}

// The README's first command.
func TestGoRun(t *testing.T) {
	dir := t.TempDir()
	cmd := command(t, dir, "go", "run", "./samples/demo", "-min", "24900")
	cmd.Dir = filepath.Join("..", "..")
	var messages bytes.Buffer
	cmd.Stderr = &messages
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, &messages)
	}
	text := string(out)
	for _, line := range []string{
		"$ berth port add -n http -min 24900 -max 24905", "added http [24900 - 24905] tcp",
		"$ berth deploy samples/http-generic", "deployed http-generic 1.0: httpServer",
		"$ berth exec -d http-generic -v 1.0 -p test -i 3 -w",
		"$ berth ps -ports", "$ berth port ls", "$ berth kill all -w", "$ berth stop",
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("there is no line %q", line)
		}
	}
	for pattern, times := range map[string]int{
		`(?m)^started httpServer \d \(pid \d+\) on http:2490[0-5]$`:                                                     3,
		`(?m)^http-generic .* running +http:2490[0-5] listening$`:                                                       3,
		`(?m)^GET http://127.0.0.1:2490[0-5]/ → 200 OK: PORT=2490[0-5] .*corus.process.port.http=2490[0-5] .* pid=\d+$`: 3,
		`(?m)^ended httpServer \d$`:                                                                     3,
		`(?m)^the daemon \(pid \d+\) ended; no process was running$`:                                    1,
		`\nIt works: 3 processes ran on the ports 2490\d, 2490\d and 2490\d; .* available again.*\.\n$`: 1,
	} {
		if n := len(regexp.MustCompile(pattern).FindAllString(text, -1)); n != times {
			t.Errorf("%d matches, not %d, of %s", n, times, pattern)
		}
	}
	if messages.Len() > 0 {
		t.Errorf("messages: %s", &messages)
	}
	if t.Failed() {
		t.Log(text)
	}
	clean(t, dir)
}

// build builds the demo, what it builds, and a go command that copies the
// latter, in a folder to be put on the PATH.
func build(t *testing.T) (demo, path string) {
	t.Helper()
	dir := t.TempDir()
	for name, pkg := range map[string]string{"demo": ".", "berth": "berth/cmd/berth", "http-generic": "berth/samples/http-generic"} {
		out, err := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", filepath.Join(dir, name), pkg).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, "path")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf(`#!/bin/sh -e
[ "$1" = build ] || exec %q "$@"
[ -z "$SLOW_BUILD" ] || exec sleep 600
mkdir -p "$(dirname "$4")"
exec cp %q/"$(basename "$5")" "$4"
`, tool, dir)
	if err := os.WriteFile(filepath.Join(path, "go"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "demo"), path
}

// taken listens on ports, as other programs do.
func taken(t *testing.T, addresses ...string) {
	t.Helper()
	for _, address := range addresses {
		l, err := net.Listen("tcp", address)
		if errors.Is(err, syscall.EADDRINUSE) {
			continue // another program does already
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
	}
}

func TestDemo(t *testing.T) {
	demo, path := build(t)
	t.Setenv("PATH", path+string(filepath.ListSeparator)+os.Getenv("PATH"))

	t.Run("kept, and past a taken port", func(t *testing.T) {
		taken(t, "127.0.0.1:24911")
		dir := t.TempDir()
		out, err := command(t, dir, demo, "-keep", "-min", "24910").CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if want := regexp.MustCompile(`; \d of 6 ports are available again, and other programs have .*24911.*, which Berth passed over\.`); !want.Match(out) {
			t.Errorf("it does not say that 24911 was passed over:\n%s", out)
		}
		// What it says at the end can be done.
		_, how, found := strings.Cut(string(out), "To look at it:\n")
		if !found {
			t.Fatalf("it does not say how to look at it:\n%s", out)
		}
		said, err := exec.CommandContext(t.Context(), "sh", "-e", "-c", how).CombinedOutput()
		if err != nil || !strings.Contains(string(said), "listening on 127.0.0.1:2491") || strings.Count(string(said), "stopped by request") != 3 {
			t.Errorf("%s\n%v\n%s", how, err, said)
		}
		clean(t, dir)
	})

	t.Run("too few ports", func(t *testing.T) {
		taken(t, "127.0.0.1:24920", "127.0.0.1:24922", "127.0.0.1:24923", "127.0.0.1:24925")
		dir := t.TempDir()
		cmd := command(t, dir, demo, "-min", "24920")
		var messages bytes.Buffer
		cmd.Stderr = &messages
		out, err := cmd.Output()
		if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 1 {
			t.Fatalf("%v, not exit code 1\n%s", err, out)
		}
		if text := messages.String(); !strings.Contains(text, "24920") || !strings.Contains(text, "-min") || strings.Count(text, "\n") != 1 {
			t.Errorf("%q is no line that says what to do", text)
		}
		clean(t, dir)
	})

	const whileItBuilds = "# building"
	for _, tt := range []struct {
		name  string
		at    string // the line at which it ends
		group bool   // a Ctrl-C reaches all of the terminal's group
		end   syscall.Signal
		says  string
	}{
		{"Ctrl-C while it builds", whileItBuilds, true, syscall.SIGINT, "interrupt"},
		{"Ctrl-C at exec", "$ berth exec", true, syscall.SIGINT, "interrupt"},
		{"terminated with processes running", "GET ", false, syscall.SIGTERM, "terminated"},
		{"nobody reads its output", "added http", false, 0, "broken pipe"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			cmd := command(t, dir, demo, "-min", "24930")
			if tt.at == whileItBuilds {
				cmd.Env = append(cmd.Env, "SLOW_BUILD=1")
			}
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			var messages bytes.Buffer
			cmd.Stderr = &messages
			pipe, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(pipe)
			seen := false
			for !seen && lines.Scan() {
				seen = strings.HasPrefix(lines.Text(), tt.at)
			}
			switch pid := cmd.Process.Pid; {
			case !seen:
				t.Errorf("it ended before %q", tt.at)
			case tt.end == 0:
				err = pipe.Close()
			case tt.group:
				err = syscall.Kill(-pid, tt.end)
			default:
				err = syscall.Kill(pid, tt.end)
			}
			if err != nil {
				t.Error(err)
			}
			if tt.end != 0 {
				_, _ = io.Copy(io.Discard, pipe)
			}
			_ = cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != 1 {
				t.Errorf("exit code %d", code)
			}
			if text := messages.String(); !strings.HasPrefix(text, "demo: ") || !strings.Contains(text, tt.says) || strings.Count(text, "\n") != 1 {
				t.Errorf("%q is no line that says %q", text, tt.says)
			}
			clean(t, dir)
		})
	}

	for _, args := range [][]string{{"-min", "65531"}, {"-min", "0"}, {"-min", "x"}, {"word"}, {"-what"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			dir := t.TempDir()
			cmd := command(t, dir, demo, args...)
			if out, err := cmd.CombinedOutput(); cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), "usage: ") {
				t.Errorf("%v, not exit code 2 and the usage: %s", err, out)
			}
			clean(t, dir)
		})
	}
}
