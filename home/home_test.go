package home_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth/home"
	"berth/internal/require"
)

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for _, pair := range pairs {
			if k, v, _ := strings.Cut(pair, "="); k == name {
				return v
			}
		}
		return ""
	}
}

func TestFind(t *testing.T) {
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	mine := t.TempDir()
	uid := os.Getuid()
	// A user id that has no folder under /tmp and owns nothing here.
	const other = 1999123457

	tests := []struct {
		name   string
		env    []string
		uid    int
		state  string
		socket string
		err    error
	}{
		{"root", nil, 0, "/var/lib/berth", "/run/berth/berth.sock", nil},
		{"root does not follow XDG", []string{"XDG_STATE_HOME=/s", "HOME=/root"}, 0, "/var/lib/berth", "/run/berth/berth.sock", nil},
		{"a home", []string{"BERTH_HOME=/b"}, 0, "/b", "/b/berth.sock", nil},
		{"a relative home", []string{"BERTH_HOME=b"}, other, wd + "/b", wd + "/b/berth.sock", nil},
		{"a home and a socket", []string{"BERTH_HOME=/b", "BERTH_SOCKET=/run/x.sock"}, other, "/b", "/run/x.sock", nil},
		{"a relative socket", []string{"BERTH_SOCKET=x.sock"}, 0, "/var/lib/berth", wd + "/x.sock", nil},
		{"a user's state", []string{"HOME=/home/u"}, other, "/home/u/.local/state/berth", fmt.Sprintf("/tmp/berth-%d/berth.sock", other), nil},
		{"XDG state", []string{"HOME=/home/u", "XDG_STATE_HOME=/s"}, other, "/s/berth", fmt.Sprintf("/tmp/berth-%d/berth.sock", other), nil},
		{"a relative XDG state is ignored", []string{"HOME=/home/u", "XDG_STATE_HOME=s"}, other, "/home/u/.local/state/berth", fmt.Sprintf("/tmp/berth-%d/berth.sock", other), nil},
		{"another one's runtime folder is ignored", []string{"HOME=/home/u", "XDG_RUNTIME_DIR=" + mine}, other, "/home/u/.local/state/berth", fmt.Sprintf("/tmp/berth-%d/berth.sock", other), nil},
		{"no home at all", nil, other, "", "", home.ErrNoHome},
		{"a long socket", []string{"BERTH_SOCKET=/" + strings.Repeat("x", 107)}, 0, "", "", home.ErrSocketTooLong},
		{"the longest socket", []string{"BERTH_SOCKET=/" + strings.Repeat("x", 106)}, 0, "/var/lib/berth", "/" + strings.Repeat("x", 106), nil},
	}
	if uid != 0 {
		tests = append(tests, struct {
			name   string
			env    []string
			uid    int
			state  string
			socket string
			err    error
		}{"XDG runtime", []string{"HOME=/home/u", "XDG_RUNTIME_DIR=" + mine}, uid, "/home/u/.local/state/berth", mine + "/berth/berth.sock", nil})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := home.Find(env(tt.env...), tt.uid)
			if !errors.Is(err, tt.err) {
				t.Fatalf("Find: error %v, want %v", err, tt.err)
			}
			if err != nil {
				if strings.Contains(err.Error(), "\n") {
					t.Errorf("the error has more than a line: %q", err)
				}
				return
			}
			if p.State != tt.state || p.Socket != tt.socket || p.Log != filepath.Join(tt.state, "berth.log") {
				t.Errorf("Find = %+v, want state %s and socket %s", p, tt.state, tt.socket)
			}
		})
	}
}

// The folder under /tmp is refused where it is not its user's alone.
func TestFindUnsafe(t *testing.T) {
	require.Root(t) // to give a folder to another user
	const uid = 1999123458
	dir := fmt.Sprintf("/tmp/berth-%d", uid)
	vars := env("HOME=/home/u")

	tests := []struct {
		name string
		make func(t *testing.T)
		err  error
	}{
		{"its own", func(t *testing.T) { mkdir(t, dir, 0o700, uid) }, nil},
		{"another one's", func(t *testing.T) { mkdir(t, dir, 0o700, uid+1) }, home.ErrUnsafe},
		{"passed through by others", func(t *testing.T) { mkdir(t, dir, 0o711, uid) }, nil},
		{"open to others", func(t *testing.T) { mkdir(t, dir, 0o755, uid) }, home.ErrUnsafe},
		{"a link", func(t *testing.T) {
			if err := os.Symlink(t.TempDir(), dir); err != nil {
				t.Fatal(err)
			}
		}, home.ErrUnsafe},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Cleanup(func() { os.Remove(dir) })
			tt.make(t)
			if _, err := home.Find(vars, uid); !errors.Is(err, tt.err) {
				t.Errorf("Find: error %v, want %v", err, tt.err)
			}
		})
	}
}

func mkdir(t *testing.T, dir string, mode os.FileMode, uid int) {
	t.Helper()
	if err := os.Mkdir(dir, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, uid, uid); err != nil {
		t.Fatal(err)
	}
}

func TestPrepare(t *testing.T) {
	dir := t.TempDir()
	p, err := home.Find(env("BERTH_HOME="+dir+"/a/b", "BERTH_SOCKET="+dir+"/c/x.sock"), os.Getuid())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := p.Prepare(); err != nil {
			t.Fatal(err)
		}
	}
	for _, sub := range []string{"/a/b", "/c"} {
		info, err := os.Stat(dir + sub)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o700 {
			t.Errorf("%s has mode %v, want 0700", sub, info.Mode().Perm())
		}
	}
}
