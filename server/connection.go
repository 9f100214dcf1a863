package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"berth/api"
)

// defaultConnections is how many connections there are at most if Options do
// not say. Each costs a descriptor and about 20 KiB.
const defaultConnections = 1024

// connections bounds how many connections there are. One that waits for its
// client, which sends nothing, or its request a byte now and then, makes way
// for a new one; the one that waits the longest first.
type connections struct {
	most int

	mu      sync.Mutex
	open    map[net.Conn]int64 // since when it waits; 0 while a request is at work
	counter int64
	busy    int           // lean requests that are at work
	ending  chan struct{} // closed when the last of them has ended; nil until no new one begins
}

type connectionKey struct{}

// with lets handlers find their connection.
func (c *connections) with(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, conn)
}

// changed is the server's hook.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		c.admit(conn)
	case http.StateIdle:
		c.waits(conn)
		if lean, ok := conn.(*leanConn); ok {
			lean.idle(time.Now())
		}
	case http.StateActive:
		c.works(conn)
	case http.StateClosed, http.StateHijacked:
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.open, conn)
	}
}

// admit takes a new connection in. Where there are too many, another one is
// closed for it; if all are at work, the new one is told so.
func (c *connections) admit(conn net.Conn) {
	c.mu.Lock()
	var longest net.Conn
	if len(c.open) >= c.most {
		for other, since := range c.open {
			if since != 0 && (longest == nil || since < c.open[longest]) {
				longest = other
			}
		}
		if longest == nil {
			c.mu.Unlock()
			refuse(conn, c.most)
			return
		}
		delete(c.open, longest)
	}
	c.counter++
	c.open[conn] = c.counter
	c.mu.Unlock()
	if longest != nil {
		longest.Close()
	}
}

// refuse answers without having read: whoever reads finds out why.
func refuse(conn net.Conn, most int) {
	answer(conn, newProblem(http.StatusServiceUnavailable, api.CodeBusy,
		fmt.Sprintf("all of the daemon's %d connections are at work: try again later", most)))
	conn.Close()
}

// answer writes a problem to a connection that no server has yet, the last thing
// that is written there.
func answer(conn net.Conn, p *problem) {
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // plain data
	}
	// A client that reads nothing is not waited for.
	conn.SetWriteDeadline(time.Now().Add(time.Second))
	fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\nContent-Type: application/problem+json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s",
		p.Status, http.StatusText(p.Status), len(body), body)
}

// waits notes that a connection waits for its client.
func (c *connections) waits(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.open[conn]; ok {
		c.counter++
		c.open[conn] = c.counter
	}
}

// works notes that a request of a connection is at work.
func (c *connections) works(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.open[conn]; ok {
		c.open[conn] = 0
	}
}

// begin notes that a lean request of a connection is at work, and reports whether
// it may be.
func (c *connections) begin(conn net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.open[conn]; !ok || c.ending != nil {
		return false
	}
	c.open[conn] = 0
	c.busy++
	return true
}

// end notes that it is answered.
func (c *connections) end(conn net.Conn) {
	c.waits(conn)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy--; c.busy == 0 && c.ending != nil {
		close(c.ending)
	}
}

// drain waits until no lean request is at work, and lets none begin. Those that
// are when ctx ends are cut off.
func (c *connections) drain(ctx context.Context) error {
	c.mu.Lock()
	ending := make(chan struct{})
	c.ending = ending
	if c.busy == 0 {
		close(ending)
	}
	c.mu.Unlock()
	select {
	case <-ending:
		return nil
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.open {
		if lean, ok := conn.(*leanConn); ok {
			lean.peerConn.Close()
		}
	}
	return ctx.Err()
}
