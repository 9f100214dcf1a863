package server

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"berth/access"
)

// maxSocketPath is the longest path in bytes that fits into a socket address,
// whose field holds 108 with the closing zero (unix(7)).
const maxSocketPath = 107

// lockPatience is how long Listen waits for another daemon that is about to
// listen in the same folder.
const lockPatience = 2 * time.Second

// Listen is ListenShared for the owner of this process and root alone.
func Listen(path string) (net.Listener, error) {
	return ListenShared(path, access.Peers{Owner: os.Geteuid()}, -1)
}

// ListenShared makes the unix socket at path and listens on it. Its folder is
// made where it is missing, for its owner alone.
//
// The socket has mode 0600 from its first moment. Where peers has roles of others
// it is opened then: to the members of a group (0660) where that is all of them,
// and else to everybody (0666). Each connection has who it is of by peers.
//
// Others can only connect where they get through the folders to the socket. One
// that has nothing but the socket in it is opened for passing through; others
// are left alone, and refused.
//
// A socket on which nobody listens any more is replaced; the caller holds the
// lock of its state folder. The errors are ErrSocketPath, ErrSocketInUse, and
// those of the file system.
func ListenShared(path string, peers access.Peers, group int) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("%w: %s has %d bytes, at most %d fit: name a shorter one with BERTH_SOCKET",
			ErrSocketPath, path, len(path), maxSocketPath)
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the socket: %w", err)
	}
	// Two daemons with different state folders may be told the same socket:
	// the lock keeps one from removing what the other just made.
	unlock, err := lockFolder(dir)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	defer unlock()

	if err := removeStale(path); err != nil {
		return nil, err
	}
	// The file that bind makes takes its mode from the socket's own inode, so
	// that there is no moment in which others could connect, and no umask to
	// change for the whole process.
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var chmodErr error
		if err := raw.Control(func(fd uintptr) { chmodErr = unix.Fchmod(int(fd), 0o600) }); err != nil {
			return err
		}
		return chmodErr
	}}
	inner, err := config.Listen(noContext, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	l := &listener{UnixListener: inner.(*net.UnixListener), path: path, peers: peers}
	// Closing removes the path only while it is still this socket.
	l.SetUnlinkOnClose(false)
	if l.file, err = os.Lstat(path); err == nil && !peers.IsOwners() {
		err = share(path, peers, group)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen on %s: %w", path, err), l.Close())
	}
	return l, nil
}

// removeStale removes the socket at path if nobody listens on it.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("look at the socket: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%w: %s is there and is no socket: remove it, or name another one with BERTH_SOCKET", ErrSocketPath, path)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		conn.Close()
		return fmt.Errorf("%w: somebody answers on %s: end that daemon, or name another socket with BERTH_SOCKET", ErrSocketInUse, path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: cannot tell whether somebody listens on %s: %w", ErrSocketInUse, path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the socket that nobody listens on: %w", err)
	}
	return nil
}

// lockFolder takes the lock on a folder itself, which needs no file.
func lockFolder(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(lockPatience); ; time.Sleep(10 * time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if err != unix.EWOULDBLOCK && err != unix.EINTR || time.Now().After(deadline) {
			f.Close()
			return nil, fmt.Errorf("%w: lock the folder %s: %w", ErrSocketInUse, dir, err)
		}
	}
}

// listener accepts connections, of which each has who it is of.
type listener struct {
	*net.UnixListener
	path  string
	file  fs.FileInfo
	peers access.Peers
	close sync.Once
	err   error
}

// Accept waits for the next connection of somebody who is known.
func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		peer, err := peerOf(conn)
		if err == nil {
			return &peerConn{conn, l.peers.Caller(peer)}, nil
		}
		slog.Warn("closed a connection whose peer is not known", "socket", l.path, "error", err)
		conn.Close()
	}
}

// Close stops listening and removes the socket. It may be called twice.
func (l *listener) Close() error {
	l.close.Do(func() {
		if info, err := os.Lstat(l.path); err == nil && l.file != nil && os.SameFile(info, l.file) {
			os.Remove(l.path)
		}
		l.err = l.UnixListener.Close()
	})
	return l.err
}
