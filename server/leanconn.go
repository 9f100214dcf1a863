package server

import (
	"bytes"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// leanConn is a connection of the socket on which lean requests are answered
// where they are read: net/http's server, which waits for the next request of a
// connection, does not see them. It sees all others, and a connection's first.
type leanConn struct {
	*peerConn
	answer func(request []byte) (answer []byte, ok bool)
	conns  *connections

	// Waits says that net/http's server waits for the next request and was given
	// nothing of it, until is its read deadline then.
	frames frames
	waits  bool
	until  time.Time

	mu     sync.Mutex
	busy   bool // a lean request is at work
	closed bool
}

// leanListener has the connections of a listener answer lean requests, where it is
// known who they are of.
type leanListener struct {
	net.Listener
	s *Server
}

func (l leanListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if p, ok := conn.(*peerConn); ok && err == nil {
		return &leanConn{
			peerConn: p, conns: l.s.conns, frames: frames{begins: true},
			answer: func(request []byte) ([]byte, bool) { return l.s.answerLean(p.caller, request) },
		}, nil
	}
	return conn, err
}

// idle notes that net/http's server waits for the next request.
func (c *leanConn) idle(now time.Time) {
	c.waits, c.until = c.frames.end(), now.Add(idleTimeout)
}

// Read reads what the client sends, but for lean requests, which it answers.
func (c *leanConn) Read(p []byte) (int, error) {
	n, err := c.peerConn.Read(p)
	for c.waits && err == nil && c.serve(p[:n]) {
		n, err = c.peerConn.Read(p)
	}
	if n > 0 {
		c.waits = false
		c.frames.give(p[:n])
	}
	return n, err
}

// serve answers what was read if it is a lean request.
func (c *leanConn) serve(request []byte) bool {
	if !c.begin() {
		return false
	}
	defer c.end()
	answer, ok := c.answer(request)
	if !ok {
		return false
	}
	if _, err := c.peerConn.Write(answer); err != nil {
		return true // reading fails as well
	}
	// The server's own deadline is of when it began to wait.
	if now := time.Now(); c.until.Sub(now) < idleTimeout*3/4 {
		c.until = now.Add(idleTimeout)
		c.SetReadDeadline(c.until)
	}
	return true
}

func (c *leanConn) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || !c.conns.begin(c) {
		return false
	}
	c.busy = true
	return true
}

func (c *leanConn) end() {
	c.mu.Lock()
	c.busy = false
	if c.closed {
		c.peerConn.Close()
	}
	c.mu.Unlock()
	c.conns.end(c)
}

// Close closes the connection, once the lean request that is at work is answered.
func (c *leanConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.busy {
		return nil
	}
	return c.peerConn.Close()
}

// frames tells where requests begin and end in the bytes that net/http's server is
// given, so that no part of one is ever taken for another one. The server may
// have the beginning of the next one already: where the client is quick the byte
// by which it notices that somebody hangs up is one.
type frames struct {
	left   int64  // how many bytes of the request at work are still to come; below 0: that cannot be told, for good
	begun  []byte // what was given of what comes after it
	begins bool   // no request is at work: the next one begins with begun
}

// maxBegun is how many bytes are looked through for the end of a request's head.
const maxBegun = 8 << 10

// give notes bytes that the server is given.
func (f *frames) give(p []byte) {
	if f.left < 0 {
		return
	}
	n := min(f.left, int64(len(p)))
	f.left -= n
	f.begun = append(f.begun, p[n:]...)
	if f.begins {
		f.begin()
	}
	if len(f.begun) > maxBegun {
		f.lose()
	}
}

// begin notes that the request that begins with begun is at work.
func (f *frames) begin() {
	length := requestLength(f.begun)
	if length < 0 {
		f.lose()
		return
	}
	n := min(length, int64(len(f.begun)))
	f.left, f.begun, f.begins = length-n, f.begun[n:], false
}

// end notes that the request at work is over, and reports whether nothing was
// given of the next one.
func (f *frames) end() bool {
	if f.begins && f.left == 0 { // it was in begun as a whole
		f.begin()
	}
	if f.left != 0 {
		f.lose()
		return false
	}
	f.begins = true
	return len(f.begun) == 0
}

func (f *frames) lose() { f.left, f.begun = -1, nil }

// requestLength is how many bytes a request has that begins with these; below 0
// where they do not tell for certain, so that nothing in it is ever taken for
// the beginning of another one. Its head has to be here, with the ends of lines
// that the standard names.
func requestLength(begin []byte) int64 {
	head, _, ok := bytes.Cut(begin, []byte("\r\n\r\n"))
	if !ok {
		return -1
	}
	length := int64(len(head) + 4)
	lines := strings.Split(string(head), "\r\n")
	told := false
	for i, line := range lines {
		if strings.ContainsAny(line, "\r\n") {
			return -1
		}
		name, value, ok := strings.Cut(line, ":")
		switch {
		case i == 0:
		case !ok:
			return -1
		case strings.EqualFold(name, "Transfer-Encoding"), strings.EqualFold(name, "Upgrade"):
			return -1
		case strings.EqualFold(name, "Content-Length"):
			n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 62)
			if err != nil || told {
				return -1
			}
			length, told = length+int64(n), true
		}
	}
	return length
}
