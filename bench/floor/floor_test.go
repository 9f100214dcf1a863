package floor_test

import (
	"os"
	"path/filepath"
	"testing"

	"berth/bench/floor"
)

func TestFloors(t *testing.T) {
	dir := t.TempDir()
	if err := floor.OneByOne(dir, 10); err != nil {
		t.Error(err)
	}
	for _, writers := range []int{1, 3, 64} {
		if err := floor.Grouped(dir, writers, 100); err != nil {
			t.Errorf("%d writers: %v", writers, err)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("%d files are left (%v)", len(left), err)
	}
	if err := floor.Grouped(filepath.Join(dir, "none"), 4, 100); err == nil {
		t.Error("no error for a folder that is not there")
	}
}
