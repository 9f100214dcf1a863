package main

import (
	"bufio"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"berth/api"
	"berth/internal/require"
	"berth/launcher/cgroup"
)

// A daemon with cgroups starts each process in one, and kill ends what it has
// left there in a session of its own.
func TestServeWithCgroups(t *testing.T) {
	p, err := cgroup.Open(t.Name())
	if err != nil {
		require.Missing(t, "cgroups of version 2 ("+err.Error()+")", "run the tests as root or in a delegated cgroup, on Linux 5.14 or later")
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	r := start(t, dir, func(d *daemon) { d.cgroups = true })
	kill := func() error {
		_, err := r.client.Kill(context.Background(), api.Kill{Selector: api.Selector{All: true}, Hard: true, WaitSeconds: patience.Seconds()})
		return err
	}
	t.Cleanup(func() {
		if err := kill(); err != nil {
			t.Error(err)
		}
	})
	ctx := t.Context()
	said := filepath.Join(dir, "child")
	if err := unix.Mkfifo(said, 0o600); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(said, os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	text := `<distribution name="d" version="1"><process name="p"><generic profile="test">
		<arg value="/bin/sh"/><arg value="-c"/><arg value="setsid sh -c 'echo $$ > ` + said + `; exec sleep 1000' &amp; exec sleep 1000"/></generic></process></distribution>`
	if _, err := r.client.Deploy(ctx, "corus.xml", strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.client.Exec(ctx, api.Exec{Distribution: "d", Version: "1", Profile: "test", Name: "p"}); err != nil {
		t.Fatal(err)
	}
	if err := pipe.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(pipe).ReadString('\n')
	if err != nil {
		t.Fatalf("the child says nothing: %v", err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	path, err := cgroup.Of(child)
	if err != nil || filepath.Base(path) != "1" || !strings.HasPrefix(filepath.Base(filepath.Dir(path)), "berth-") {
		t.Errorf("the child is in the cgroup %q, %v", path, err)
	}
	if err := kill(); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile("/proc/" + strconv.Itoa(child) + "/stat"); err == nil && !strings.Contains(string(text), ") Z ") {
		t.Errorf("the child is there still: %s", text)
	}
}
