package badger

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"berth/store"
)

// lockName is the file in a store's folder that its process has locked. Its
// content, the process' id, is only for messages.
const lockName = "berth.lock"

// acquireLock locks a folder for this process (flock(2)), or says who has it.
// Closing the file, or the end of the process, unlocks it.
func acquireLock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		holder := holderOf(f)
		_ = f.Close()
		return nil, fmt.Errorf("%w%s: stop it, or use another folder", store.ErrLocked, holder)
	case err != nil:
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	if err = f.Truncate(0); err == nil {
		_, err = f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("write %s: %w", f.Name(), err)
	}
	return f, nil
}

// releaseLock gives a folder back at once: a child of this process that is just
// being forked may have the file open for a moment longer.
func releaseLock(f *os.File) error {
	return errors.Join(unix.Flock(int(f.Fd()), unix.LOCK_UN), f.Close())
}

// holderOf says whose id a lock file has, if it has one.
func holderOf(f *os.File) string {
	content, _ := io.ReadAll(io.NewSectionReader(f, 0, 32))
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		return ""
	}
	return fmt.Sprintf(" (pid %d)", pid)
}

// sweep deletes the empty files that a process killed between creating and
// sizing a file leaves behind: Badger does not open a folder that has one, and
// nothing was ever written to them. Only the holder of the lock may call it.
func sweep(dir string) (swept []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		switch filepath.Ext(e.Name()) {
		case ".mem", ".vlog", ".sst":
		default:
			continue
		}
		info, err := e.Info()
		if err != nil {
			return swept, err
		}
		if !info.Mode().IsRegular() || info.Size() > 0 {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return swept, err
		}
		swept = append(swept, e.Name())
	}
	return swept, nil
}
