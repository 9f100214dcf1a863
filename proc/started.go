package proc

import (
	"time"

	"golang.org/x/sys/unix"
)

// StartedAt tells when the process that has pid now was started, in hundredths of a second. It is the wall clock's time as that
// runs now: the kernel counts from the boot. The error is ErrGone where there is no such process.
func StartedAt(pid int) (time.Time, error) {
	s, err := readStat(pid)
	if err != nil {
		return time.Time{}, err
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return time.Time{}, err
	}
	age := time.Duration(now.Nano()) - time.Duration(s.start)*(time.Second/ticksPerSecond)
	return time.Now().Add(-age).UTC().Truncate(time.Second / ticksPerSecond), nil
}
