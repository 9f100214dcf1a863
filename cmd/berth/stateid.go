package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"berth/internal/failpoint"

	"golang.org/x/sys/unix"
)

// stateIDBytes is how many random bytes the id of a state folder has.
const stateIDBytes = 16

// stateID returns the id of a state folder, which is made with it: random, in
// the file "state-id", in hexadecimal digits.
func stateID(dir string) (string, error) {
	path := filepath.Join(dir, "state-id")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		id := newStateID()
		return id, bindStateID(dir, id)
	}
	if err != nil {
		return "", fmt.Errorf("read the id of the state folder: %w", err)
	}
	id := strings.TrimSpace(string(text))
	if raw, err := hex.DecodeString(id); err != nil || len(raw) != stateIDBytes {
		return "", fmt.Errorf("%w: %s must hold %d hexadecimal digits: restore it from a backup; without it running processes are not recognised",
			errStateID, path, 2*stateIDBytes)
	}
	return id, nil
}

func newStateID() string {
	raw := make([]byte, stateIDBytes)
	rand.Read(raw) // never fails
	return hex.EncodeToString(raw)
}

// bindStateID makes id the folder's own. After a crash in between, the place is
// that of another folder still, or there is no id yet.
func bindStateID(dir, id string) error {
	place, err := placeOf(dir)
	if err == nil {
		place += sumOf(id)
		err = writeWhole(dir, "state-id", id)
	}
	if err == nil {
		err = failpoint.Fail("serve/named")
	}
	if err == nil {
		err = writeWhole(dir, "state-place", place)
	}
	if err != nil {
		return fmt.Errorf("write the id of the state folder: %w", err)
	}
	return nil
}

// placeOf tells one folder from all others, its copies among them: its inode,
// and when that was made, in nanoseconds, where the file system knows. The
// device is left out, because its number can be another one after a reboot.
func placeOf(dir string) (string, error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, dir, 0, unix.STATX_INO|unix.STATX_BTIME, &st); err != nil {
		return "", &fs.PathError{Op: "statx", Path: dir, Err: err}
	}
	var made int64
	if st.Mask&unix.STATX_BTIME != 0 {
		made = st.Btime.Sec*1e9 + int64(st.Btime.Nsec)
	}
	return fmt.Sprintf("inode %d made %d", st.Ino, made), nil
}

// sumOf follows a place: a checksum of the id that was made for it.
func sumOf(id string) string {
	return fmt.Sprintf(" id %08x", crc32.Checksum([]byte(strings.ToLower(id)), crc32.MakeTable(crc32.Castagnoli)))
}

// copied reports whether the id of a state folder was made for another folder,
// which this one is a copy of. One that does not say for which it was made gets
// that written down. An id that was not made for this folder though it is the
// place of one is damaged: with it, processes would not be recognised.
func copied(dir, id string) (bool, error) {
	text, err := os.ReadFile(filepath.Join(dir, "state-place"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, bindStateID(dir, id)
	}
	place, placeErr := placeOf(dir)
	if err = errors.Join(err, placeErr); err != nil {
		return false, fmt.Errorf("tell the state folder from its copies: %w", err)
	}
	was, sum, _ := strings.Cut(strings.TrimSpace(string(text)), " id ")
	switch {
	case was != place:
		return true, nil
	case " id "+sum != sumOf(id):
		return false, fmt.Errorf("%w: the checksum in state-place is that of another id than state-id in %s has: restore the two from a backup, or delete state-place if the id is right",
			errStateID, dir)
	}
	return false, nil
}

// writeWhole writes a line to a file so that after any crash it is there as a
// whole or not at all.
func writeWhole(dir, name, line string) (err error) {
	f, err := os.CreateTemp(dir, name+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.WriteString(line + "\n")
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), filepath.Join(dir, name)); err != nil {
		return err
	}
	return syncFolder(dir)
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// holdStateID takes the name that the id gives among the abstract unix sockets
// of the machine (of its network namespace, to be exact): of two copies of a
// state folder only one is served, wherever they lie. The name is a hash,
// because anybody can list such sockets and the id is not for everybody. What
// gives it up may be called twice.
func holdStateID(id string) (release func() error, err error) {
	sum := sha256.Sum256([]byte("berth state " + id))
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("hold the id of the state folder: %w", err)
	}
	err = unix.Bind(fd, &unix.SockaddrUnix{Name: "@berth-" + hex.EncodeToString(sum[:16])})
	if err == nil {
		return sync.OnceValue(func() error { return unix.Close(fd) }), nil
	}
	unix.Close(fd)
	if errors.Is(err, unix.EADDRINUSE) {
		return nil, fmt.Errorf("%w: another daemon serves one with the same state-id: end it first, or remove the copy", errCopied)
	}
	return nil, fmt.Errorf("hold the id of the state folder: %w", err)
}
