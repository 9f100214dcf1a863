package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"berth/api"
)

// base is what URLs on the socket begin with; its host is not looked at.
const base = "http://berth"

// maxProblem is how many bytes of an error's body are read.
const maxProblem = 1 << 20

// tries is how often a request is sent at most that may be sent again: one that
// only reads, or has an idempotency key. FirstPause is how long to wait before
// the second time; each pause is four times as long as the one before.
const (
	tries      = 4
	firstPause = 5 * time.Millisecond
)

func newTransport(dial func(ctx context.Context, network, addr string) (net.Conn, error)) *http.Transport {
	return &http.Transport{
		DialContext:         dial,
		DisableCompression:  true, // answers are small, or stay on this machine
		MaxIdleConnsPerHost: maxIdle,
		IdleConnTimeout:     idleTime,
	}
}

// dial connects to the socket. A daemon is started here and not above, so that
// no request needs to be sent twice.
func (c *Client) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	conn, err := connect(ctx, c.socket)
	if err == nil || !absent(err) {
		return conn, err
	}
	if c.start == nil || ctx.Value(noStart) != nil {
		return nil, fmt.Errorf("%w on %s", ErrNoDaemon, c.socket)
	}
	if err := c.start(ctx); err != nil {
		return nil, err
	}
	conn, err = connect(ctx, c.socket)
	if err != nil && absent(err) {
		return nil, fmt.Errorf("%w on %s, though one was started: see its log", ErrNoDaemon, c.socket)
	}
	return conn, err
}

func connect(ctx context.Context, socket string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "unix", socket)
}

// absent reports whether err, from connecting, means that nobody listens.
func absent(err error) bool {
	return errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOTDIR)
}

// call sends in as JSON, unless it is nil, and decodes the answer into out,
// unless that is nil.
func (c *Client) call(ctx context.Context, method, path string, query url.Values, in, out any) error {
	return c.exchange(ctx, method, path, query, "", in, out)
}

// acquire is a call of what acquires. It carries an idempotency key, so that it
// is done once however often it is sent.
func (c *Client) acquire(ctx context.Context, method, path string, in, out any) error {
	key, ok := ctx.Value(idempotencyKey).(string)
	if !ok {
		key = rand.Text()
	}
	return c.exchange(ctx, method, path, nil, key, in, out)
}

func (c *Client) exchange(ctx context.Context, method, path string, query url.Values, key string, in, out any) error {
	var data []byte
	contentType := ""
	if in != nil {
		var err error
		if data, err = json.Marshal(in); err != nil {
			return fmt.Errorf("encode the request: %w", err)
		}
		contentType = "application/json"
	}
	return again(ctx, method == http.MethodGet || key != "", func() error {
		var body io.Reader
		if in != nil {
			body = bytes.NewReader(data)
		}
		resp, err := c.sendOnce(ctx, method, path, query, contentType, key, body)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if out != nil {
			if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
				return fmt.Errorf("read the daemon's answer: %w", lost(ctx, err))
			}
		}
		// Read to its end, the connection can be used again.
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxProblem))
		return nil
	})
}

// again does what may be repeated until the connection is not lost, a few times
// at most. A daemon that was killed takes connections for a moment still; then
// another one is started.
func again(ctx context.Context, repeat bool, do func() error) error {
	pause := firstPause
	for try := 1; ; try++ {
		err := do()
		if !repeat || try == tries || !errors.Is(err, ErrConnectionLost) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
			pause *= 4
		}
	}
}

// send sends a request and returns its answer, which the caller closes. An
// answer that is a problem comes back as *Error.
func (c *Client) send(ctx context.Context, method, path string, query url.Values, contentType string, body io.Reader) (resp *http.Response, err error) {
	err = again(ctx, method == http.MethodGet, func() error {
		resp, err = c.sendOnce(ctx, method, path, query, contentType, "", body)
		return err
	})
	return resp, err
}

func (c *Client) sendOnce(ctx context.Context, method, path string, query url.Values, contentType, key string, body io.Reader) (*http.Response, error) {
	target := c.base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	if c.remote != nil {
		if err := c.remote.check(); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", quoted(key))
	}
	if err := c.authorize(req); err != nil {
		return nil, err
	}
	resp, err := c.transport.RoundTrip(req) // no redirects, which the daemon does not send
	if err != nil {
		return nil, lost(ctx, err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, problem(resp)
}

// quoted makes a string of structured fields (RFC 9651).
func quoted(s string) string {
	if !strings.ContainsAny(s, `\"`) {
		return `"` + s + `"`
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// lost turns an error of net/http into one that tells whether a daemon was there.
func lost(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return fmt.Errorf("%w: it is not known whether the work was done", ErrConnectionLost)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("the socket is not open to this user: its owner can open it with berth serve -socket-group: %w", err)
	}
	return err
}

// problem reads an answer that is not a success.
func problem(resp *http.Response) error {
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	if err != nil {
		return fmt.Errorf("read the daemon's answer %s: %w", resp.Status, err)
	}
	e := api.Error{Status: resp.StatusCode, Title: resp.Status}
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind == "application/problem+json" || kind == "application/json" {
		if err := json.Unmarshal(data, &e); err != nil {
			return fmt.Errorf("read the daemon's answer %s: %w", resp.Status, err)
		}
	}
	if e.Code == "" {
		e.Code = api.CodeInternal
	}
	return &Error{Problem: e}
}
