package proc_test

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"berth/internal/require"
	"berth/proc"
)

func TestOwnNamespace(t *testing.T) {
	own, err := proc.OwnNamespace()
	if err != nil || own == 0 {
		t.Fatalf("%d, %v", own, err)
	}
	c := start(t, self("block", ""))
	if got, err := proc.Namespace(c.pid); err != nil || got != own {
		t.Errorf("a child's is %d, %v, want %d", got, err, own)
	}
	if pid, err := proc.Within(os.Getpid(), c.pid); err != nil || pid != c.pid {
		t.Errorf("pid %d of the same namespace is %d here, %v", c.pid, pid, err)
	}
	if got, err := proc.Namespace(1 << 30); !errors.Is(err, proc.ErrGone) {
		t.Errorf("nobody's is %d, %v", got, err)
	}
	if pid, err := proc.Within(1<<30, 1); !errors.Is(err, proc.ErrGone) {
		t.Errorf("of nobody's namespace: %d, %v", pid, err)
	}
}

// A number of a namespace below this one is found for what it is here.
func TestWithin(t *testing.T) {
	cmd := self("block", "")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID}
	require.Root(t)
	c := start(t, cmd)
	if pid, err := proc.Within(c.pid, 1); err != nil || pid != c.pid {
		t.Errorf("its pid 1 is %d here, %v, want %d", pid, err, c.pid)
	}
	if pid, err := proc.Within(c.pid, 2); !errors.Is(err, proc.ErrGone) {
		t.Errorf("its pid 2, which is nobody, is %d here, %v", pid, err)
	}
	own, _ := proc.OwnNamespace()
	if inner, err := proc.Namespace(c.pid); err != nil || inner == own {
		t.Errorf("its namespace is %d, %v, and this one's %d", inner, err, own)
	}
}

func TestUsers(t *testing.T) {
	real, saved, err := proc.Users(os.Getpid())
	if err != nil || real != os.Getuid() || saved != os.Geteuid() {
		t.Errorf("%d and %d, %v", real, saved, err)
	}
	if _, _, err := proc.Users(1 << 30); !errors.Is(err, proc.ErrGone) {
		t.Errorf("nobody: %v", err)
	}
}

// The caller of a process is who exec'd, whatever subshells lie in between.
func TestCaller(t *testing.T) {
	sh := require.Tool(t, "bash")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, line := range map[string]string{
		"directly":       `"$0"; :`,
		"a pipeline":     `"$0" | cat`,
		"two subshells":  `( ( "$0"; : ); : )`,
		"a substitution": `x=$( ( "$0" | cat ); : ); echo "$x"`,
		"in background":  `"$0" & wait`,
	} {
		cmd := self("caller", "")
		cmd.Path, cmd.Args = sh, []string{"bash", "-c", "echo $$; " + line, exe}
		out, err := cmd.Output()
		words := strings.Fields(string(out))
		if err != nil || len(words) != 2 || words[0] != words[1] {
			t.Errorf("%s: %q, %v, want the pid of the shell twice", name, out, err)
		}
	}
	if pid, err := proc.Caller(); err != nil || pid != os.Getppid() {
		t.Errorf("this one's is %d, %v, want %d", pid, err, os.Getppid())
	}
	if name := proc.Name(os.Getpid()); name == "" || len(name) > 15 {
		t.Errorf("this one's name is %q", name)
	}
	if name := proc.Name(1 << 30); name != "" {
		t.Errorf("nobody's name is %q", name)
	}
}
