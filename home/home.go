package home

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// MaxSocket is the longest socket path in bytes: sun_path of unix(7) holds 108
// with its closing zero.
const MaxSocket = 107

// Paths are where one daemon lives. All are absolute.
type Paths struct {
	// State is the folder that holds everything that must survive.
	State string
	// Socket is the unix socket on which the daemon answers.
	Socket string
	// Log is the file that a daemon started by a client writes to.
	Log string

	uid    int
	shared bool // the socket's folder is one of our own under /tmp
}

// Find tells where the daemon of user uid lives, as the environment says it:
// BERTH_HOME names the state folder and puts the socket into it, BERTH_SOCKET
// names the socket. Without them root has /var/lib/berth and
// /run/berth/berth.sock, and others have the folders of the XDG base directory
// specification. A user without a runtime folder has /tmp/berth-UID, which is
// refused where somebody else could have made it.
//
// Find creates nothing. Its errors are ErrNoHome, ErrSocketTooLong and ErrUnsafe.
func Find(getenv func(string) string, uid int) (Paths, error) {
	p := Paths{uid: uid}
	var err error
	if p.State, err = state(getenv, uid); err != nil {
		return Paths{}, err
	}
	p.Log = filepath.Join(p.State, "berth.log")

	switch {
	case getenv("BERTH_SOCKET") != "":
		if p.Socket, err = filepath.Abs(getenv("BERTH_SOCKET")); err != nil {
			return Paths{}, fmt.Errorf("find the socket of BERTH_SOCKET: %w", err)
		}
	case getenv("BERTH_HOME") != "":
		p.Socket = filepath.Join(p.State, "berth.sock")
	case uid == 0:
		p.Socket = "/run/berth/berth.sock"
	default:
		if dir := getenv("XDG_RUNTIME_DIR"); usable(dir, uid) {
			p.Socket = filepath.Join(dir, "berth", "berth.sock")
			break
		}
		p.shared = true
		p.Socket = filepath.Join("/tmp", "berth-"+strconv.Itoa(uid), "berth.sock")
		if err := p.checkShared(); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return Paths{}, err
		}
	}
	if n := len(p.Socket); n > MaxSocket {
		return Paths{}, fmt.Errorf("%w: %s has %d bytes, at most %d fit: name a shorter one with BERTH_SOCKET",
			ErrSocketTooLong, p.Socket, n, MaxSocket)
	}
	return p, nil
}

// Prepare makes the state folder and the socket's folder where they are
// missing, both for their owner alone.
func (p Paths) Prepare() error {
	if err := os.MkdirAll(p.State, 0o700); err != nil {
		return fmt.Errorf("make the state folder: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(p.Socket), 0o700); err != nil {
		return fmt.Errorf("make the folder of the socket: %w", err)
	}
	if p.shared {
		return p.checkShared()
	}
	return nil
}

func state(getenv func(string) string, uid int) (string, error) {
	if dir := getenv("BERTH_HOME"); dir != "" {
		dir, err := filepath.Abs(dir)
		if err != nil {
			return "", fmt.Errorf("find the folder of BERTH_HOME: %w", err)
		}
		return dir, nil
	}
	if uid == 0 {
		return "/var/lib/berth", nil
	}
	// The specification has relative paths ignored.
	if dir := getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "berth"), nil
	}
	if dir := getenv("HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, ".local", "state", "berth"), nil
	}
	return "", fmt.Errorf("%w: neither BERTH_HOME nor XDG_STATE_HOME nor HOME names one: set BERTH_HOME", ErrNoHome)
}

// usable reports whether dir is a folder of uid. After su, XDG_RUNTIME_DIR is
// still the folder of the user before.
func usable(dir string, uid int) bool {
	if !filepath.IsAbs(dir) {
		return false
	}
	info, err := os.Stat(dir)
	return err == nil && info.IsDir() && owner(info) == uid
}

// checkShared looks at the folder under /tmp, where anybody can make one of
// that name first.
func (p Paths) checkShared() error {
	dir := filepath.Dir(p.Socket)
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	switch {
	case !info.IsDir():
		return fmt.Errorf("%w: %s is not a folder: remove it, or set BERTH_SOCKET", ErrUnsafe, dir)
	case owner(info) != p.uid:
		return fmt.Errorf("%w: %s belongs to user %d: set BERTH_SOCKET", ErrUnsafe, dir, owner(info))
	case info.Mode().Perm()&0o066 != 0:
		// Passing through is what a socket that is shared with others needs.
		return fmt.Errorf("%w: others may read or write in %s: chmod 700 it, or set BERTH_SOCKET", ErrUnsafe, dir)
	}
	return nil
}

func owner(info fs.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return -1
}
