package shell

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// mostLeft is how much is read of what somebody who still writes has left in a
// pipe; a pipe holds less.
const mostLeft = 4 << 20

// relay shows the lines that come out of a pipe with something before each. Lines
// of several relays with one lock do not mix.
type relay struct {
	lock   *sync.Mutex
	to     io.Writer
	before string
	line   []byte // what has come of a line that is not whole
}

// endRelay has a relay end once it has shown what is in its pipe by now, though
// somebody holds the pipe open.
func endRelay(from *os.File) { _ = from.SetReadDeadline(time.Now()) }

// copy shows what comes until the end of the pipe, or endRelay.
func (r *relay) copy(from *os.File) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		r.show(buf[:n])
		if errors.Is(err, os.ErrDeadlineExceeded) {
			r.drain(from, buf)
			break
		}
		if err != nil {
			break
		}
	}
	r.end()
}

// drain shows what is in the pipe now.
func (r *relay) drain(from *os.File, buf []byte) {
	raw, err := from.SyscallConn()
	if err != nil || from.SetReadDeadline(time.Time{}) != nil {
		return
	}
	for left := mostLeft; left > 0; {
		n := 0
		err := raw.Read(func(fd uintptr) bool {
			n, err = unix.Read(int(fd), buf)
			return true
		})
		if err != nil || n <= 0 {
			return
		}
		r.show(buf[:n])
		left -= n
	}
}

// show shows the lines that are whole by now.
func (r *relay) show(text []byte) {
	var out []byte
	for len(text) > 0 {
		n := bytes.IndexByte(text, '\n') + 1
		whole := n > 0
		if !whole {
			n = len(text)
		}
		n = min(n, longestLine-len(r.line))
		r.line = append(r.line, text[:n]...)
		text = text[n:]
		if ended := r.line[len(r.line)-1] == '\n'; ended || len(r.line) == longestLine {
			out = r.append(out, ended)
		}
	}
	r.write(out)
}

// append appends the line and forgets it.
func (r *relay) append(out []byte, ended bool) []byte {
	out = append(append(out, r.before...), r.line...)
	if !ended {
		out = append(out, '\n')
	}
	r.line = r.line[:0]
	return out
}

// end shows a last line that has no end.
func (r *relay) end() {
	if len(r.line) > 0 {
		r.write(r.append(nil, false))
	}
}

func (r *relay) write(out []byte) {
	if len(out) == 0 {
		return
	}
	r.lock.Lock()
	defer r.lock.Unlock()
	_, _ = r.to.Write(out) // whom nobody reads is told by SIGPIPE
}
