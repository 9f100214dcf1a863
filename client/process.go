package client

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"berth/api"
)

// Exec starts processes, all or none. It returns once their commands were
// exec'd, or with WaitSeconds once they listen. Where the connection is lost it
// asks again, and it is done once.
// Errors: lease.ErrRangeFull, ErrRangeNotFound; api.CodeDistributionNotFound,
// CodeProcessNotFound, CodeProfileNotFound, CodeExecRefused, CodeExecFailed, CodeTimeout.
func (c *Client) Exec(ctx context.Context, in api.Exec) (api.Started, error) {
	var out api.Started
	err := c.acquire(ctx, http.MethodPost, "/v1/processes", in, &out)
	return out, err
}

// Processes lists the processes that the selector selects, all for its zero
// value. With ended they are the last ones that ended as well. None is no error
// unless an id or pid is named that is not there.
func (c *Client) Processes(ctx context.Context, s api.Selector, ended bool) ([]api.Process, error) {
	return c.processes(ctx, processQuery(s, ended))
}

func processQuery(s api.Selector, ended bool) url.Values {
	q := query("distribution", s.Distribution, "version", s.Version, "name", s.Name, "profile", s.Profile, "port", s.Port)
	for _, id := range s.IDs {
		q.Add("id", strconv.Itoa(id))
	}
	for _, pid := range s.PIDs {
		q.Add("pid", strconv.Itoa(pid))
	}
	if ended {
		q.Set("ended", "true")
	}
	return q
}

func (c *Client) processes(ctx context.Context, q url.Values) ([]api.Process, error) {
	var out []api.Process
	err := c.call(ctx, http.MethodGet, "/v1/processes", q, nil, &out)
	return out, err
}

// ProcessesUsing is Processes with the processor time and the memory that each uses.
func (c *Client) ProcessesUsing(ctx context.Context, s api.Selector, ended bool) ([]api.Process, error) {
	q := processQuery(s, ended)
	q.Set("usage", "true")
	return c.processes(ctx, q)
}

// ProcessInfo returns all that can be told of one process, also of one that
// ended not long ago. Errors: api.CodeProcessNotFound.
func (c *Client) ProcessInfo(ctx context.Context, id int) (api.ProcessInfo, error) {
	var out api.ProcessInfo
	err := c.call(ctx, http.MethodGet, "/v1/processes/"+strconv.Itoa(id)+"/info", nil, nil, &out)
	return out, err
}

// Process returns one process, also one that ended not long ago.
// Errors: api.CodeProcessNotFound.
func (c *Client) Process(ctx context.Context, id int) (api.Process, error) {
	var out api.Process
	err := c.call(ctx, http.MethodGet, "/v1/processes/"+strconv.Itoa(id), nil, nil, &out)
	return out, err
}

// Kill asks processes to stop and returns those that it reached.
// Errors: api.CodeProcessNotFound for an id or pid that is not there, CodeTimeout.
func (c *Client) Kill(ctx context.Context, in api.Kill) (api.Affected, error) {
	var out api.Affected
	err := c.call(ctx, http.MethodPost, "/v1/processes/kill", nil, in, &out)
	return out, err
}

// Restart asks processes to stop and to start again on the same ports, and
// returns those that it reached. Errors: as Kill; also api.CodeExecFailed.
func (c *Client) Restart(ctx context.Context, in api.Restart) (api.Affected, error) {
	var out api.Affected
	err := c.call(ctx, http.MethodPost, "/v1/processes/restart", nil, in, &out)
	return out, err
}

// Reload exchanges processes for new ones, one after the other, and returns the
// new ones. Errors: as Kill; also api.CodeExecFailed, where a new one did not
// come to work: then the old one stays, and those that would have come after it.
func (c *Client) Reload(ctx context.Context, in api.Reload) (api.Reloaded, error) {
	var out api.Reloaded
	err := c.call(ctx, http.MethodPost, "/v1/processes/reload", nil, in, &out)
	return out, err
}

// Output says which part of a process' output is wanted.
type Output struct {
	// Follow goes on with what is written until the process ended.
	Follow bool
	// Tail, where it is not nil, is the number of last lines to begin with.
	Tail *int
	// From is the offset in bytes to begin at, where Tail is nil.
	From int64
}

// Output opens the output of a process, also of one that ended not long ago.
// The caller closes it. Errors: api.CodeProcessNotFound.
func (c *Client) Output(ctx context.Context, id int, o Output) (io.ReadCloser, error) {
	q := url.Values{}
	if o.Follow {
		q.Set("follow", "true")
	}
	switch {
	case o.Tail != nil:
		q.Set("tail", strconv.Itoa(*o.Tail))
	case o.From != 0:
		q.Set("from", strconv.FormatInt(o.From, 10))
	}
	resp, err := c.send(ctx, http.MethodGet, "/v1/processes/"+strconv.Itoa(id)+"/output", q, "", nil)
	if err != nil {
		return nil, err
	}
	return &stream{body: resp.Body, ctx: ctx}, nil
}

// stream is an answer's body whose errors are told as those of calls.
type stream struct {
	body io.ReadCloser
	ctx  context.Context
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.body.Read(p)
	if err != nil && err != io.EOF {
		err = lost(s.ctx, err)
	}
	return n, err
}

func (s *stream) Close() error { return s.body.Close() }
