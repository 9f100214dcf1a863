package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// The packages that are built, and where the sample is deployed from. Inside of
// the module the former can be named wherever the demo is started.
const (
	berthPackage  = "berth/cmd/berth"
	samplePackage = "berth/samples/http-generic"
	sampleFolder  = "samples/http-generic"
)

// longest is the most bytes that a socket's path may have, see unix(7).
const longest = 107

// workspace is the temporary folder of a demo: bin/berth, the sample as it is
// deployed, and the daemon's state folder.
type workspace struct{ dir string }

func newWorkspace() (*workspace, error) {
	// The number that is put behind the name has up to ten digits.
	parent := os.TempDir()
	if len(filepath.Join(parent, "berth-demo-0123456789", "home", "berth.sock")) > longest {
		parent = "/tmp"
	}
	dir, err := os.MkdirTemp(parent, "berth-demo-")
	if err != nil {
		return nil, fmt.Errorf("make a temporary folder: %w", err)
	}
	return &workspace{dir: dir}, nil
}

func (w *workspace) berth() string { return filepath.Join(w.dir, "bin", "berth") }
func (w *workspace) home() string  { return filepath.Join(w.dir, "home") }

func (w *workspace) remove() error {
	if err := os.RemoveAll(w.dir); err != nil {
		return fmt.Errorf("remove the temporary folder: %w", err)
	}
	return nil
}

// build builds berth, and lays the sample out as a distribution: descriptor and program.
func (w *workspace) build(ctx context.Context) error {
	fmt.Println("# building berth and the sample; the first time this takes a while")
	began := time.Now()
	sample := filepath.Join(w.dir, sampleFolder)
	for _, step := range []struct{ pkg, file string }{
		{berthPackage, w.berth()},
		{samplePackage, filepath.Join(sample, "bin", "server")},
	} {
		// Without -buildvcs=false a clone that belongs to another user is refused.
		if _, err := w.tool(ctx, "build", "-buildvcs=false", "-o", step.file, step.pkg); err != nil {
			return err
		}
	}
	source, err := w.tool(ctx, "list", "-f", "{{.Dir}}", samplePackage)
	if err != nil {
		return err
	}
	descriptor := filepath.Join("META-INF", "corus.xml")
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(source), descriptor))
	if err != nil {
		return fmt.Errorf("read the sample's descriptor: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(sample, filepath.Dir(descriptor)), 0o755); err != nil {
		return fmt.Errorf("lay out the sample: %w", err)
	}
	if err := os.WriteFile(filepath.Join(sample, descriptor), text, 0o644); err != nil {
		return fmt.Errorf("lay out the sample: %w", err)
	}
	fmt.Printf("# built in %.1f s\n\n", time.Since(began).Seconds())
	return nil
}

// tool runs the go command and returns its output.
func (w *workspace) tool(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	// In a group of its own, it and its compilers are interrupted together.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case errors.Is(err, exec.ErrNotFound):
		return "", fmt.Errorf("the go command is not on the PATH: put its folder there")
	case err != nil:
		return "", fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	return out.String(), nil
}
