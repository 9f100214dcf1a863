package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"berth/api"
)

// Daemon tells about the daemon that answers.
func (c *Client) Daemon(ctx context.Context) (api.Daemon, error) {
	var out api.Daemon
	err := c.call(ctx, http.MethodGet, "/v1/daemon", nil, nil, &out)
	return out, err
}

// Document returns the OpenAPI document of the daemon that answers, as JSON.
func (c *Client) Document(ctx context.Context) (json.RawMessage, error) {
	var out json.RawMessage
	err := c.call(ctx, http.MethodGet, "/openapi.json", nil, nil, &out)
	return out, err
}

// StopDaemon ends the daemon, waits until it is gone and returns what it was.
// Its processes go on. It never starts a daemon: where none answers it is ErrNoDaemon.
func (c *Client) StopDaemon(ctx context.Context) (api.Daemon, error) {
	ctx = WithoutStart(ctx)
	d, err := c.Daemon(ctx)
	if err != nil {
		return api.Daemon{}, err
	}
	// Opened before it is told to end, the descriptor is of this daemon and of
	// no later process with its pid. A pid of another machine, or of a namespace
	// that this one is not in, is somebody else's here.
	fd := -1
	if c.remote == nil && c.listenerPID(ctx) == d.PID {
		if opened, err := unix.PidfdOpen(d.PID, 0); err == nil {
			fd = opened
			defer unix.Close(fd)
		}
	}
	// A daemon that ends at once may close the connection before its answer is out.
	if err := c.call(ctx, http.MethodPost, "/v1/daemon/stop", nil, nil, nil); err != nil && !errors.Is(err, ErrConnectionLost) {
		return api.Daemon{}, err
	}
	c.Close()
	if err := c.gone(ctx, fd); err != nil {
		return api.Daemon{}, fmt.Errorf("wait for the daemon (pid %d) to end: %w", d.PID, err)
	}
	return d, nil
}

// listenerPID is the pid of who listens on the socket, as it is seen from here;
// 0 where it is not.
func (c *Client) listenerPID(ctx context.Context) (pid int) {
	conn, err := c.knock(ctx)
	if err != nil {
		return 0
	}
	defer conn.Close()
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) { // an error leaves it 0
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = int(cred.Pid)
		}
	})
	return pid
}

// gone waits for the end of the process of a pidfd, or where there is none (the
// daemon is in another pid namespace, or on another machine) until nobody listens
// where it did.
func (c *Client) gone(ctx context.Context, pidfd int) error {
	for {
		if pidfd >= 0 {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, 20)
			if n > 0 || err != nil && !errors.Is(err, unix.EINTR) {
				return err
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			continue
		}
		conn, err := c.knock(ctx)
		if err != nil {
			if absent(err) {
				return nil
			}
			return err
		}
		conn.Close()
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
