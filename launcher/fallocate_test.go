package launcher_test

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// collapses reports whether the file system of a folder can take away the
// beginning of a file.
func collapses(t *testing.T, dir string) bool {
	t.Helper()
	name := filepath.Join(dir, "collapse")
	if err := os.WriteFile(name, make([]byte, 3<<12), 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(name)
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_COLLAPSE_RANGE, 0, 1<<12) == nil
}
