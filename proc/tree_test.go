package proc_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"berth/proc"
)

func TestTree(t *testing.T) {
	c := start(t, self("family", ""))
	member, leader, orphaned := c.number(t), c.number(t), c.number(t)
	handle := open(t, c.pid)
	stranger := start(t, self("block", ""))
	for _, pid := range []int{member, leader, orphaned} {
		p := open(t, pid)
		t.Cleanup(func() { _ = p.Signal(unix.SIGKILL) })
	}

	tree, err := proc.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	all := tree.Of(c.pid)
	if len(all) == 0 || all[0] != c.pid {
		t.Errorf("%v does not begin with the process itself, %d", all, c.pid)
	}
	same(t, "of the process", all, c.pid, member, leader, orphaned)
	same(t, "of its identity", tree.OfIdentity(handle.Identity()), c.pid, member, leader, orphaned)
	same(t, "of the child's session", tree.Of(leader), leader)
	same(t, "of a stranger", tree.Of(stranger.pid), stranger.pid)
	same(t, "of nobody", tree.Of(1<<30))
	same(t, "of 0", tree.Of(0))
	if own := tree.Of(os.Getpid()); !slices.Contains(own, orphaned) || !slices.Contains(own, leader) {
		t.Errorf("of this process: %v, without %d or %d", own, orphaned, leader)
	}
	later := handle.Identity()
	later.StartTime++
	same(t, "of another process with this pid", tree.OfIdentity(later))
	other := handle.Identity()
	other.BootID = "another"
	same(t, "of another boot", tree.OfIdentity(other))

	session, err := proc.Session(c.pid)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "session", session, c.pid, member, orphaned)

	// The session outlives its leader, and the leader counts no more when it is a zombie.
	if err := handle.Signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := handle.Exited(t.Context()); err != nil {
		t.Fatal(err)
	}
	found, err := proc.Descendants(c.pid, stranger.pid, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "with the leader a zombie", found[c.pid], member, orphaned)
	same(t, "of the stranger still", found[stranger.pid], stranger.pid)
	if len(found) != 3 || len(found[1<<30]) != 0 {
		t.Errorf("of nobody: %v", found)
	}
	if _, err := handle.Reap(); err != nil {
		t.Fatal(err)
	}
	same(t, "of the identity of a process reaped since", tree.OfIdentity(handle.Identity()))
	if tree, err = proc.Snapshot(); err != nil {
		t.Fatal(err)
	}
	same(t, "of the identity of a reaped process", tree.OfIdentity(handle.Identity()), member, orphaned)
	if session, err = proc.Session(c.pid); err != nil {
		t.Fatal(err)
	}
	same(t, "session of a reaped leader", session, member, orphaned)
}

func same(t *testing.T, what string, got []int, want ...int) {
	t.Helper()
	got = slices.Sorted(slices.Values(got))
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestEnviron(t *testing.T) {
	cmd := self("rename", "x")
	cmd.Env = append(cmd.Env, "PLAIN=value", "EQUALS=a=b=c", "EMPTY=", "LINES=1\n2", "not a variable", "with-dash=yes")
	c := start(t, cmd)
	c.line(t)
	environ, err := proc.Environ(c.pid)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, value string
		ok          bool
	}{
		{"PLAIN", "value", true},
		{"EQUALS", "a=b=c", true},
		{"EMPTY", "", true},
		{"LINES", "1\n2", true},
		{"with-dash", "yes", true},
		{"PLAI", "", false},
		{"value", "", false},
		{"not a variable", "", false},
		{"", "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			value, ok, err := proc.EnvironValue(c.pid, test.name)
			if err != nil || value != test.value || ok != test.ok {
				t.Errorf("%q, %v, %v", value, ok, err)
			}
			if value, ok := environ[test.name]; value != test.value || ok != test.ok {
				t.Errorf("in the map: %q, %v", value, ok)
			}
		})
	}
}

func TestEnvironNobody(t *testing.T) {
	if _, err := proc.Environ(1 << 30); !errors.Is(err, proc.ErrGone) {
		t.Errorf("%v, want ErrGone", err)
	}
	if _, _, err := proc.EnvironValue(1<<30, "HOME"); !errors.Is(err, proc.ErrGone) {
		t.Errorf("%v, want ErrGone", err)
	}
	if os.Getuid() != 0 {
		if _, err := proc.Environ(1); !errors.Is(err, os.ErrPermission) {
			t.Errorf("%v, want ErrPermission", err)
		}
	}
}

func TestMemory(t *testing.T) {
	before, err := proc.Memory(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	const size = 64 << 20
	block, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE)
	if err != nil {
		t.Fatal(err)
	}
	after, err := proc.Memory(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.Munmap(block)
	if grown := int64(after) - int64(before); grown < size/2 || grown > 2*size {
		t.Errorf("%d bytes more with a block of %d", grown, size)
	}
	if _, err := proc.Memory(1 << 30); !errors.Is(err, proc.ErrGone) {
		t.Errorf("%v, want ErrGone", err)
	}
}

func BenchmarkSnapshot(b *testing.B) {
	for _, count := range []int{0, 1000} {
		b.Run(fmt.Sprintf("%d processes more", count), func(b *testing.B) {
			for range count {
				startSleeper(b)
			}
			b.Run("Snapshot", func(b *testing.B) {
				for b.Loop() {
					if _, err := proc.Snapshot(); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("Session", func(b *testing.B) {
				for b.Loop() {
					if _, err := proc.Session(os.Getpid()); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

func startSleeper(b *testing.B) {
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}
