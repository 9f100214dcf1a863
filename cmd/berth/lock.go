package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"berth/client"
	"berth/home"
)

const (
	// lockLimit is how long a daemon waits for one that is about to end, or
	// to be ready, on the same state folder.
	lockLimit = 10 * time.Second

	lockRetry = 10 * time.Millisecond

	// lockCheck is how often the lock is looked at.
	lockCheck = time.Second
)

// stateLock says that a state folder is this daemon's: a lock on the file
// "lock" in it, which holds the daemon's pid.
type stateLock struct {
	path string
	file *os.File
}

// takeLock locks the state folder. Where another daemon has it and answers,
// that is errLocked at once; one that does not answer is starting or ending,
// and is waited for until the limit.
func takeLock(ctx context.Context, paths home.Paths, limit time.Duration) (*stateLock, error) {
	path := filepath.Join(paths.State, "lock")
	retry := time.NewTicker(lockRetry)
	defer retry.Stop()
	for deadline := time.Now().Add(limit); ; {
		l, err := tryLock(path)
		if err == nil || !errors.Is(err, errLocked) {
			return l, err
		}
		if answers(ctx, paths.Socket) || time.Now().After(deadline) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-retry.C:
		}
	}
}

func tryLock(path string) (*stateLock, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the state folder: %w", err)
	}
	l := &stateLock{path: path, file: f}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err != unix.EINTR {
			break
		}
	}
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		err = fmt.Errorf("%w on %s%s: end it with berth stop", errLocked, filepath.Dir(path), lockPID(f))
	case err != nil:
		err = fmt.Errorf("lock the state folder: %w", err)
	default:
		// The folder may have been replaced between opening and locking.
		if err = l.check(); err == nil {
			err = l.write()
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return l, nil
}

// lockPID words who has the lock, as far as the file says.
func lockPID(f *os.File) string {
	text, err := io.ReadAll(io.NewSectionReader(f, 0, 32))
	if err != nil {
		return ""
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return ""
	}
	return fmt.Sprintf(" (pid %d)", pid)
}

func (l *stateLock) write() error {
	if err := l.file.Truncate(0); err != nil {
		return fmt.Errorf("write the pid into the lock: %w", err)
	}
	if _, err := l.file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		return fmt.Errorf("write the pid into the lock: %w", err)
	}
	return nil
}

// check tells whether the path still is the file that is locked. A folder that
// was moved away, or put back from a backup, may be locked by another daemon.
func (l *stateLock) check() error {
	locked, err := l.file.Stat()
	if err != nil {
		return fmt.Errorf("look at the lock: %w", err)
	}
	now, err := os.Stat(l.path)
	if err != nil {
		return fmt.Errorf("%w: %w", errReplaced, err)
	}
	if !os.SameFile(locked, now) {
		return fmt.Errorf("%w: %s is not the file that this daemon locked", errReplaced, l.path)
	}
	return nil
}

// watch checks the lock until ctx ends, or the lock is not ours any more.
func (l *stateLock) watch(ctx context.Context) error {
	tick := time.NewTicker(lockCheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := l.check(); err != nil {
				return err
			}
		}
	}
}

// Close gives the lock up. The file stays, so that nobody locks one that
// another is about to remove.
func (l *stateLock) Close() error { return l.file.Close() }

// answers reports whether a daemon answers on a socket. That it can be connected
// to says little: for a moment a child that a killed daemon was just making has
// both the socket and the lock.
func answers(ctx context.Context, socket string) bool {
	ctx, cancel := context.WithTimeout(client.WithoutStart(ctx), time.Second)
	defer cancel()
	c := client.New(client.Options{Socket: socket})
	defer c.Close()
	_, err := c.Daemon(ctx)
	return err == nil
}
