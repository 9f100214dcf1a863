package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"berth/access"
)

// peerConn is a connection with who it is of.
type peerConn struct {
	*net.UnixConn
	caller access.Caller
}

// share opens a socket that only its owner may use yet to those whom peers
// have roles for; group, unless it is -1, is the group that the socket gets.
func share(path string, peers access.Peers, group int) error {
	mode := os.FileMode(0o666)
	if group >= 0 {
		if err := os.Lchown(path, -1, group); err != nil {
			return fmt.Errorf("give the socket to group %d: %w: this user has to be a member of it, or root", group, err)
		}
		if len(peers.Users) == 0 && len(peers.Groups) == 1 {
			mode = 0o660
		}
	}
	if err := openFolders(path, group, mode); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

// openFolders checks that those who may use a socket of a mode get through the
// folders to it, and opens the last one where it is the socket's alone.
func openFolders(socket string, group int, mode os.FileMode) error {
	passable := func(info os.FileInfo) bool {
		st, ok := info.Sys().(*syscall.Stat_t)
		return info.Mode().Perm()&0o001 != 0 ||
			ok && mode == 0o660 && int(st.Gid) == group && info.Mode().Perm()&0o010 != 0
	}
	for dir := filepath.Dir(socket); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if !passable(info) {
			if dir != filepath.Dir(socket) || !isOwn(info) || !holdsOnly(dir, filepath.Base(socket)) {
				return fmt.Errorf("%w: others do not get through the folder %s (mode %04o) to the socket: name a socket elsewhere with BERTH_SOCKET, or chmod o+x the folder",
					ErrSocketPath, dir, info.Mode().Perm())
			}
			if err := os.Chmod(dir, info.Mode().Perm()|0o011); err != nil {
				return err
			}
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

func isOwn(info os.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid()
}

// holdsOnly reports whether a folder has nothing in it but what has a name.
func holdsOnly(dir, name string) bool {
	entries, err := os.ReadDir(dir)
	return err == nil && (len(entries) == 0 || len(entries) == 1 && entries[0].Name() == name)
}

// peerOf returns who was at the other end when it connected (SO_PEERCRED,
// SO_PEERGROUPS).
func peerOf(conn *net.UnixConn) (access.Peer, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return access.Peer{}, err
	}
	var peer access.Peer
	var credErr error
	err = raw.Control(func(fd uintptr) {
		var cred *unix.Ucred
		if cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); credErr != nil {
			return
		}
		peer = access.Peer{UID: int(cred.Uid), GID: int(cred.Gid), PID: int(cred.Pid)}
		peer.Groups, credErr = peerGroups(fd)
	})
	return peer, errors.Join(err, credErr)
}

// peerGroups are the further groups of a peer. Kernels before 4.13 do not tell.
func peerGroups(fd uintptr) ([]int, error) {
	ids := make([]uint32, 64)
	for {
		size := uint32(4 * len(ids))
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&ids[0])), uintptr(unsafe.Pointer(&size)), 0)
		switch {
		case errno == unix.ERANGE && int(size) > 4*len(ids):
			ids = make([]uint32, size/4)
			continue
		case errno == unix.ENOPROTOOPT:
			return nil, nil
		case errno != 0:
			return nil, os.NewSyscallError("getsockopt", errno)
		}
		groups := make([]int, 0, size/4)
		for _, id := range ids[:size/4] {
			groups = append(groups, int(id))
		}
		return groups, nil
	}
}
