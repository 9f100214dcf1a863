package cgroup_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth/internal/require"
	"berth/launcher/cgroup"
)

const patience = time.Minute

// open opens a parent of the test's own, which has to be gone at its end.
func open(t *testing.T) *cgroup.Parent {
	t.Helper()
	p, err := cgroup.Open(fmt.Sprint(t.Name(), os.Getpid()))
	if errors.Is(err, cgroup.ErrUnsupported) {
		require.Missing(t, "cgroups of version 2 ("+err.Error()+")", "run the tests as root or in a delegated cgroup, on Linux 5.14 or later")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 2 {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		}
		if ids, err := p.IDs(); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the parent is left, with %v, %v", ids, err)
		}
	})
	return p
}

// startIn starts a shell in a cgroup and returns once it has said something.
func startIn(t *testing.T, folder *os.File, script string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(folder.Fd())}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func TestKillReachesSessionsOfTheirOwn(t *testing.T) {
	p := open(t)
	folder, err := p.Make(7)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	path := p.Path(7)
	if ids, err := p.IDs(); err != nil || !slices.Equal(ids, []int{7}) {
		t.Errorf("cgroups are %v, %v", ids, err)
	}
	cmd := startIn(t, folder, "(setsid sleep 1000 &) ; mkdir "+filepath.Join(folder.Name(), "below")+"; echo; exec sleep 1000")
	if in, err := cgroup.Of(cmd.Process.Pid); err != nil || in != path {
		t.Errorf("it is in %q, %v", in, err)
	}
	var members []int
	for deadline := time.Now().Add(patience); len(members) < 2 && time.Now().Before(deadline); {
		if members, err = p.Members(path); err != nil {
			t.Fatal(err)
		}
	}
	if len(members) != 2 || !slices.Contains(members, cmd.Process.Pid) {
		t.Errorf("members are %v", members)
	}
	if gone, err := p.Remove(path); gone || err != nil {
		t.Errorf("removed with members: %v, %v", gone, err)
	}
	if again, err := p.Make(7); err == nil {
		again.Close()
		t.Error("a cgroup with processes is made for a new one")
	}
	if err := p.Kill(path); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if !p.AwaitEmpty(path, patience) {
		t.Error("it is not empty")
	}
	again, err := p.Make(7)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	startIn(t, again, "echo; exec sleep 1000")
	if err := p.Kill(path); err != nil || !p.AwaitEmpty(path, patience) {
		t.Error(err)
	}
	if gone, err := p.Remove(path); !gone || err != nil {
		t.Errorf("removed: %v, %v", gone, err)
	}
	if gone, err := p.Remove(path); !gone || err != nil {
		t.Errorf("removed again: %v, %v", gone, err)
	}
	if members, err := p.Members(path); len(members) > 0 || err != nil {
		t.Errorf("members of none: %v, %v", members, err)
	}
	if err := p.Kill(path); err != nil {
		t.Errorf("none is killed: %v", err)
	}
}

func TestOnlyOurs(t *testing.T) {
	p := open(t)
	path := p.Path(7)
	name := filepath.Base(filepath.Dir(path))
	if hash, ok := strings.CutPrefix(name, "berth-"); !ok || len(hash) != 32 {
		t.Errorf("the parent's name is %q", name)
	}
	for path, want := range map[string]bool{
		path:                         true,
		"/elsewhere/" + name + "/7":  true,
		"/elsewhere/" + name + "/8":  false,
		"/elsewhere/" + name:         false,
		"/elsewhere/7":               false,
		"/" + name + "/../7":         false,
		"/" + name + "/7/":           false,
		name + "/7":                  false,
		"/a/../../" + name + "/7":    false,
		"/elsewhere/berth-other/7":   false,
		"/elsewhere/" + name + "x/7": false,
	} {
		if got := p.Ours(path, 7); got != want {
			t.Errorf("%s is ours: %v", path, got)
		}
	}
}

// A daemon that was started from within a process' cgroup finds what is around
// that of the outermost.
func TestOutside(t *testing.T) {
	hash := strings.Repeat("0123456789abcdef", 2)
	for path, want := range map[string]string{
		"/":                               "",
		"/user.slice/session-1.scope":     "",
		"/a/berth-" + hash:                "",
		"/a/berth-" + hash + "/7":         "/a",
		"/berth-" + hash + "/7":           "/",
		"/a/b/berth-" + hash + "/7/below": "/a/b",
		"/a/berth-" + hash + "/7/berth-" + hash + "/8": "/a",
		"/a/berth-agent/7": "",
	} {
		outer, inside := cgroup.Outside(path)
		if inside != (want != "") || inside && outer != want {
			t.Errorf("%s: %q, %v", path, outer, inside)
		}
	}
}
