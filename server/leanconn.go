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

	// begins says that what is read next begins a request. Left is how many bytes
	// net/http's server has to be given until the request that it has now ends,
	// below 0 where that cannot be told, for good. Waits says that it waits for the
	// next one, and has nothing of it.
	begins, waits bool
	left          int64
	until         time.Time // the read deadline while it waits

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
			peerConn: p, conns: l.s.conns, begins: true,
			answer: func(request []byte) ([]byte, bool) { return l.s.answerLean(p.caller, request) },
		}, nil
	}
	return conn, err
}

// idle notes that net/http's server waits for the next request.
func (c *leanConn) idle(now time.Time) {
	if c.left != 0 {
		c.left = -1
		return
	}
	c.begins, c.waits, c.until = true, true, now.Add(idleTimeout)
}

// Read reads what the client sends, but for lean requests, which it answers.
func (c *leanConn) Read(p []byte) (int, error) {
	n, err := c.peerConn.Read(p)
	for c.waits && err == nil && c.serve(p[:n]) {
		n, err = c.peerConn.Read(p)
	}
	if n == 0 {
		return n, err
	}
	if c.begins {
		c.begins, c.waits, c.left = false, false, requestLength(p[:n])
	}
	if c.left >= 0 {
		c.left -= int64(n) // below 0 where the next one comes with it
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
		case strings.EqualFold(name, "Transfer-Encoding"), strings.EqualFold(name, "Expect"), strings.EqualFold(name, "Upgrade"):
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
