package client

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxIdle is how many connections are kept for the next request, idleTime how
	// long.
	maxIdle  = 64
	idleTime = time.Minute

	// maxWritten is how many bytes of a body are written before the answer is
	// read. They fit into a socket's buffer, so that neither end waits for the other.
	maxWritten = 64 << 10

	// refusalPatience is how long the answer to a request is waited for that could
	// not be written whole. It is there, or never comes.
	refusalPatience = time.Second
)

// socketTransport sends small requests over the daemon's socket. It is an
// http.RoundTripper that asks and reads in the goroutine of its caller, with the
// readers and writers of net/http: http.Transport has two goroutines for each
// connection, and of a short request to a daemon nearby they are the larger part.
type socketTransport struct {
	dial  func(ctx context.Context, network, addr string) (net.Conn, error)
	large http.RoundTripper // for bodies whose length is not known, or is large

	mu    sync.Mutex
	idle  []*socketConn // the one used last at the end
	sweep *time.Timer   // closes those that were idle for long; nil while there are none
}

// socketConn is a connection with at most one request under way.
type socketConn struct {
	net.Conn
	read  *bufio.Reader
	write *bufio.Writer
	since time.Time // since when it is idle
}

func (t *socketTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil && (req.ContentLength <= 0 || req.ContentLength > maxWritten) {
		return t.large.RoundTrip(req)
	}
	if req.Body != nil {
		defer req.Body.Close()
	}
	ctx := req.Context()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	conn, err := t.take(ctx)
	if err != nil {
		return nil, err
	}
	// An end of the context ends all waiting.
	released := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	resp, err := conn.ask(req)
	if err != nil {
		released()
		conn.Close()
		return nil, err
	}
	body := &answerBody{ReadCloser: resp.Body, done: func(whole bool) {
		if released() && whole && !resp.Close {
			t.put(conn)
		} else {
			conn.Close()
		}
	}}
	resp.Body = body
	if resp.ContentLength == 0 {
		body.finish(true)
	}
	return resp, nil
}

// ask sends a request and reads the header of its answer.
func (c *socketConn) ask(req *http.Request) (*http.Response, error) {
	writeErr := req.Write(c.write)
	if writeErr == nil {
		writeErr = c.write.Flush()
	}
	// A daemon that refuses before it has read the request has answered all the same.
	if writeErr != nil {
		c.SetReadDeadline(time.Now().Add(refusalPatience))
	}
	resp, err := http.ReadResponse(c.read, req)
	for err == nil && resp.StatusCode/100 == 1 && resp.StatusCode != http.StatusSwitchingProtocols {
		resp, err = http.ReadResponse(c.read, req)
	}
	if err != nil && writeErr != nil {
		err = writeErr
	}
	if err != nil {
		return nil, err
	}
	resp.Close = resp.Close || writeErr != nil
	return resp, nil
}

// take returns a connection that is idle, or else a new one.
func (t *socketTransport) take(ctx context.Context) (*socketConn, error) {
	for {
		t.mu.Lock()
		n := len(t.idle)
		if n == 0 {
			t.mu.Unlock()
			break
		}
		conn := t.idle[n-1]
		t.idle = t.idle[:n-1]
		t.mu.Unlock()
		if conn.silent() {
			return conn, nil
		}
		conn.Close()
	}
	conn, err := t.dial(ctx, "unix", "")
	if err != nil {
		return nil, err
	}
	return &socketConn{Conn: conn, read: bufio.NewReader(conn), write: bufio.NewWriter(conn)}, nil
}

// silent reports whether an idle connection is as it was left: a daemon that has
// ended, or makes way for others, has closed it.
func (c *socketConn) silent() bool {
	if c.read.Buffered() > 0 {
		return false
	}
	raw, err := c.Conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return false
	}
	var peekErr error
	err = raw.Read(func(fd uintptr) bool {
		var one [1]byte
		_, _, peekErr = unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return true
	})
	return err == nil && errors.Is(peekErr, unix.EAGAIN)
}

// put keeps a connection for the next request.
func (t *socketTransport) put(conn *socketConn) {
	conn.since = time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.idle) >= maxIdle {
		conn.Close()
		return
	}
	t.idle = append(t.idle, conn)
	if t.sweep == nil {
		t.sweep = time.AfterFunc(idleTime, t.closeOld)
	}
}

// closeOld closes the connections that are idle for long.
func (t *socketTransport) closeOld() {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := 0
	for old < len(t.idle) && time.Since(t.idle[old].since) >= idleTime {
		t.idle[old].Close()
		old++
	}
	t.idle = append(t.idle[:0:0], t.idle[old:]...)
	if len(t.idle) == 0 {
		t.sweep = nil
		return
	}
	t.sweep = time.AfterFunc(idleTime-time.Since(t.idle[0].since), t.closeOld)
}

// closeIdle closes the connections that are not in use.
func (t *socketTransport) closeIdle() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, conn := range t.idle {
		conn.Close()
	}
	t.idle = nil
	if t.sweep != nil {
		t.sweep.Stop()
		t.sweep = nil
	}
}

// answerBody gives its connection back once it was read to its end.
type answerBody struct {
	io.ReadCloser
	done func(whole bool)
	once sync.Once
}

func (b *answerBody) finish(whole bool) { b.once.Do(func() { b.done(whole) }) }

func (b *answerBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.finish(err == io.EOF)
	}
	return n, err
}

// Close ends the answer. The rest of one that was not read is not waited for.
func (b *answerBody) Close() error {
	b.finish(false)
	return nil
}
