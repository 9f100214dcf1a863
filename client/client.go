package client

import (
	"context"
	"net/http"
	"strings"
)

// Options say how a Client reaches the daemon.
type Options struct {
	// Socket is the path of the daemon's unix socket.
	Socket string

	// URL, where it is not empty, is where the daemon answers over TCP, in place
	// of the socket: https://HOST:PORT.
	URL string

	// CAFile is a PEM file of certificates, of which one has signed the daemon's.
	// Empty: those that this machine believes.
	CAFile string

	// Token tells the token that each request shows; an empty one shows none. It
	// is asked for each request, so that a token can be replaced. Nil shows none.
	Token func() (string, error)

	// Start is called when no daemon answers on Socket, to start one; it returns
	// once the daemon answers. Nil means that none is started. See Autostart.
	Start func(ctx context.Context) error
}

// Client speaks with one daemon. Its methods may be called at the same time.
type Client struct {
	socket    string
	base      string // what URLs begin with
	remote    *remote
	token     func() (string, error)
	start     func(ctx context.Context) error
	transport http.RoundTripper
	close     func() // the connections that are not in use
}

// New returns a client. Nothing is connected before the first call.
func New(o Options) *Client {
	c := &Client{socket: o.Socket, base: base, start: o.Start, token: o.Token}
	if o.URL != "" {
		c.base, c.start, c.remote = strings.TrimSuffix(o.URL, "/"), nil, &remote{url: o.URL, caFile: o.CAFile}
		tls := newTransport(nil)
		tls.DialTLSContext = c.remote.dial
		c.transport, c.close = tls, tls.CloseIdleConnections
		return c
	}
	large := newTransport(c.dial)
	small := &socketTransport{dial: c.dial, large: large}
	c.transport, c.close = small, func() {
		small.closeIdle()
		large.CloseIdleConnections()
	}
	return c
}

// Socket is the path of the daemon's socket.
func (c *Client) Socket() string { return c.socket }

// Address is where the client looks for the daemon: the path of the socket, or
// the URL.
func (c *Client) Address() string {
	if c.remote != nil {
		return c.remote.url
	}
	return c.socket
}

// Close ends the connections that are not in use. It may be called more than once.
func (c *Client) Close() { c.close() }

type contextKey int

const (
	noStart contextKey = iota
	idempotencyKey
)

// WithKey returns a context under which what acquires, AcquireLeases and Exec,
// carries this idempotency key and not a random one. Whoever keeps the key can
// ask again what became of the request, and it is done once. A key is of 1 to
// 255 printable ASCII characters, and for one request; with another request it
// is api.CodeKeyReused.
func WithKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, idempotencyKey, key)
}

// WithoutStart returns a context under which no call starts a daemon.
func WithoutStart(ctx context.Context) context.Context {
	return context.WithValue(ctx, noStart, true)
}
