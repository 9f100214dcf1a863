package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"berth/api"
)

// maxEvent is the most bytes of a line of the stream.
const maxEvent = 1 << 20

// ErrDropped: the daemon has dropped a reader of events that was too slow.
var ErrDropped = errors.New("the daemon has dropped this reader")

// Events says which events are wanted.
type Events struct {
	// After, where it is above 0, is the sequence of the last event that is known.
	After int64

	// Last, where it is not nil, is how many of those that are kept to begin with.
	Last *int

	// Follow goes on with what happens.
	Follow bool

	// Limit, where it is above 0, is how many to end after.
	Limit int

	// Patience is how long a lost connection is made again, for a daemon that
	// is started anew; 0 means 10 s.
	Patience time.Duration
}

// Events yields what has happened and, where it follows, what happens, until
// ctx ends. A connection that is lost is made again, without starting a
// daemon, and goes on after the last event. An error is the last that is
// yielded: ErrNoDaemon where none came back, ErrDropped, and the context's.
func (c *Client) Events(ctx context.Context, o Events) iter.Seq2[api.Event, error] {
	return func(yield func(api.Event, error) bool) {
		patience := o.Patience
		if patience == 0 {
			patience = 10 * time.Second
		}
		var since time.Time // when the connection was lost; zero while there is one
		pause := firstPause
		for {
			body, err := c.openEvents(ctx, o)
			if err == nil {
				since, pause = time.Time{}, firstPause
				err = readEvents(ctx, body, func(e api.Event) bool {
					o.After, o.Last = e.Sequence, nil
					if !yield(e, nil) {
						return false
					}
					if o.Limit > 0 && e.Noun != "stream" {
						o.Limit--
						return o.Limit > 0
					}
					return true
				})
				ctx = WithoutStart(ctx)
			}
			switch {
			case errors.Is(err, errEnough):
				return
			case err == nil && !o.Follow:
				return
			case err == nil, errors.Is(err, ErrConnectionLost), errors.Is(err, ErrNoDaemon) && !since.IsZero(), errors.Is(err, api.CodeStopping):
			default:
				yield(api.Event{}, err)
				return
			}
			if since.IsZero() {
				since = time.Now()
			}
			if time.Since(since) > patience {
				if err == nil {
					err = ErrConnectionLost
				}
				yield(api.Event{}, err)
				return
			}
			select {
			case <-ctx.Done():
				yield(api.Event{}, context.Cause(ctx))
				return
			case <-time.After(pause):
				pause = min(4*pause, time.Second)
			}
		}
	}
}

func (c *Client) openEvents(ctx context.Context, o Events) (io.ReadCloser, error) {
	q := url.Values{"follow": {strconv.FormatBool(o.Follow)}}
	if o.After > 0 {
		q.Set("after", strconv.FormatInt(o.After, 10))
	}
	if o.Limit > 0 {
		q.Set("limit", strconv.Itoa(o.Limit))
	}
	if o.Last != nil {
		q.Set("last", strconv.Itoa(*o.Last))
	}
	resp, err := c.sendOnce(ctx, http.MethodGet, "/v1/events", q, "", "", nil)
	if err != nil {
		return nil, err
	}
	return &stream{body: resp.Body, ctx: ctx}, nil
}

// errEnough says that whoever reads events wants no more.
var errEnough = errors.New("enough")

// readEvents reads server-sent events until their end, which is nil. One that
// broke off comes again on the next connection.
func readEvents(ctx context.Context, body io.ReadCloser, take func(api.Event) bool) error {
	defer body.Close()
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxEvent)
	data := ""
	for lines.Scan() {
		line := lines.Text()
		if line != "" {
			if text, ok := strings.CutPrefix(line, "data: "); ok {
				data = text // the sequence and the kind are in it as well
			}
			continue
		}
		if data == "" {
			continue
		}
		var e api.Event
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			return fmt.Errorf("read the daemon's events: %w", err)
		}
		data = ""
		if !take(e) {
			return errEnough
		}
		if e.Noun == "stream" && e.Kind == api.EventDropped {
			return fmt.Errorf("%w: %s", ErrDropped, e.Text)
		}
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	return lines.Err()
}
