package proc

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Busy reports whether a thread of a process runs, or waits for nothing but a
// processor or a disk. What cannot be read, or is not there, is not busy.
func Busy(pid int) bool {
	dir := "/proc/" + strconv.Itoa(pid) + "/task"
	threads, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, thread := range threads {
		s, err := readStatAt(unix.AT_FDCWD, dir+"/"+thread.Name()+"/stat")
		if err == nil && (s.state == 'R' || s.state == 'D') {
			return true
		}
	}
	return false
}
