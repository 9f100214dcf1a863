package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

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
		return makeStateID(dir, path)
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

// makeStateID writes a new id so that after any crash it is there as a whole
// or not at all.
func makeStateID(dir, path string) (id string, err error) {
	raw := make([]byte, stateIDBytes)
	rand.Read(raw) // never fails
	id = hex.EncodeToString(raw)

	f, err := os.CreateTemp(dir, "state-id.*")
	if err != nil {
		return "", fmt.Errorf("make the id of the state folder: %w", err)
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
			err = fmt.Errorf("make the id of the state folder: %w", err)
		}
	}()
	_, err = f.WriteString(id + "\n")
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return "", err
	}
	return id, syncFolder(dir)
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
// because anybody can list such sockets and the id is not for everybody.
func holdStateID(id string) (release func() error, err error) {
	sum := sha256.Sum256([]byte("berth state " + id))
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("hold the id of the state folder: %w", err)
	}
	err = unix.Bind(fd, &unix.SockaddrUnix{Name: "@berth-" + hex.EncodeToString(sum[:16])})
	if err == nil {
		return func() error { return unix.Close(fd) }, nil
	}
	unix.Close(fd)
	if errors.Is(err, unix.EADDRINUSE) {
		return nil, fmt.Errorf("%w: another daemon serves a folder with this one's state-id: end it first, or remove the copy", errCopied)
	}
	return nil, fmt.Errorf("hold the id of the state folder: %w", err)
}
