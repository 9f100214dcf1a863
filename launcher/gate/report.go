package gate

import (
	"encoding/binary"
	"syscall"
	"time"
)

// reportSize is the length of what a child writes to its gate when it cannot
// go on: the step and the errno, 8 bytes each in the machine's order.
const reportSize = 16

// pastTime is a deadline that wakes a reader at once.
var pastTime = time.Unix(1, 0)

func parseReport(path string, b [reportSize]byte) error {
	return &ExecError{
		Step:  Step(binary.NativeEndian.Uint64(b[:8])),
		Path:  path,
		Errno: syscall.Errno(binary.NativeEndian.Uint64(b[8:])),
	}
}
