package server_test

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"berth/internal/require"
	"berth/server"
)

func TestListen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "run", "b.sock")
	l, err := server.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]fs.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != mode {
			t.Errorf("%s has mode %v, want %v", name, info.Mode().Perm(), mode)
		}
	}
	if _, err := server.Listen(path); !errors.Is(err, server.ErrSocketInUse) || !oneLine(err.Error()) {
		t.Errorf("a second one: %v", err)
	}
	for range 2 {
		if err := l.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is left after Close: %v", err)
	}
}

// A socket that a killed daemon left is replaced; anything else is left alone.
func TestListenStale(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b.sock")
	old, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	old.SetUnlinkOnClose(false)
	old.Close()
	l, err := server.Listen(path)
	if err != nil {
		t.Fatalf("a stale socket: %v", err)
	}

	// Whoever has replaced the socket keeps it.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Listen(path); !errors.Is(err, server.ErrSocketPath) {
		t.Errorf("a file in the socket's place: %v", err)
	}
	if text, err := os.ReadFile(path); string(text) != "mine" {
		t.Errorf("the file in the socket's place: %q %v", text, err)
	}
}

func TestListenPath(t *testing.T) {
	dir := t.TempDir()
	long := filepath.Join(dir, strings.Repeat("x", 107-len(dir)-1))
	l, err := server.Listen(long)
	if err != nil {
		t.Fatalf("107 bytes: %v", err)
	}
	l.Close()
	if _, err := server.Listen(long + "x"); !errors.Is(err, server.ErrSocketPath) || !strings.Contains(err.Error(), "at most 107") {
		t.Errorf("108 bytes: %v", err)
	}
}

// The umask has no say in who may connect.
func TestListenUmask(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	path := filepath.Join(t.TempDir(), "b.sock")
	l, err := server.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode().Perm())
	}
}

// Another user may nothing even where the file would let it in.
func TestListenPeer(t *testing.T) {
	require.Root(t) // to connect as another user
	r := newRig(t)
	dir := filepath.Dir(r.socket)
	for _, open := range []struct {
		path string
		mode fs.FileMode
	}{{filepath.Dir(dir), 0o755}, {dir, 0o755}, {r.socket, 0o666}} {
		if err := os.Chmod(open.path, open.mode); err != nil {
			t.Fatal(err)
		}
	}
	if status, _ := r.do(t, "GET", "/v1/daemon", ""); status != 200 {
		t.Fatalf("the owner: %d", status)
	}
	conn, err := dialAs(r.socket, 65534)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /v1/daemon HTTP/1.1\r\nHost: berth\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if answer, _ := io.ReadAll(conn); !strings.HasPrefix(string(answer), "HTTP/1.1 403 ") || strings.Contains(string(answer), "pid") {
		t.Errorf("another user was answered: %s", answer)
	}
}

// dialAs connects as another user. Only the thread that it runs on takes that
// user's id, by the bare system call, and ends with its goroutine.
func dialAs(socket string, uid int) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread()
		conn, err := func() (net.Conn, error) {
			if _, _, errno := syscall.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); errno != 0 {
				return nil, errno
			}
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return nil, err
			}
			f := os.NewFile(uintptr(fd), socket)
			defer f.Close()
			if err := unix.Connect(fd, &unix.SockaddrUnix{Name: socket}); err != nil {
				return nil, err
			}
			return net.FileConn(f)
		}()
		done <- result{conn, err}
	}()
	got := <-done
	return got.conn, got.err
}
