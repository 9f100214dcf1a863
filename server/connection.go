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
