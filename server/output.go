package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"berth/access"
	"berth/launcher"
)

const (
	// outputPoll is how often a followed output is looked at for growth. A
	// look is one fstat; inotify would need an instance for each follower, of
	// which a user has 128.
	outputPoll = 100 * time.Millisecond

	outputBlock = 64 << 10
)

func (s *Server) routeOutput(routes huma.API) {
	route(s, routes, access.Read, huma.Operation{
		OperationID: "get-output", Method: http.MethodGet, Path: "/v1/processes/{id}/output",
		Summary: "Send what a process wrote, and with follow what it goes on to write",
		Responses: map[string]*huma.Response{"200": {
			Description: "its standard output and error, as it wrote them",
			Content:     map[string]*huma.MediaType{"text/plain": {Schema: &huma.Schema{Type: "string"}}},
		}},
	}, s.output)
}

func (s *Server) output(_ context.Context, in *struct {
	ID     int   `path:"id" doc:"the id that Berth gave it" example:"7"`
	Follow bool  `query:"follow" doc:"go on, over restarts too, until the process ends"`
	Tail   int   `query:"tail" default:"-1" doc:"only the last so many lines of what is there; -1 is all"`
	From   int64 `query:"from" default:"-1" doc:"from this byte on; excludes tail"`
}) (*huma.StreamResponse, error) {
	if in.Tail < -1 {
		return nil, invalid("query.tail: %d is below 0", in.Tail)
	}
	if in.From < -1 {
		return nil, invalid("query.from: %d is below 0", in.From)
	}
	if in.Tail >= 0 && in.From >= 0 {
		return nil, invalid("query.from: it excludes tail")
	}
	if _, err := s.opts.Processes.Process(in.ID); err != nil {
		return nil, err
	}
	o, err := s.opts.Processes.OpenOutput(in.ID)
	if err != nil {
		return nil, err
	}
	offset, end, err := o.Bounds()
	switch {
	case err != nil:
	case in.Tail >= 0:
		offset, err = tailOffset(o, offset, end, in.Tail)
	case in.From >= 0 && in.Follow:
		offset += in.From
	case in.From >= 0:
		offset = min(offset+in.From, end)
	}
	if err != nil {
		return nil, fmt.Errorf("read the output of process %d: %w", in.ID, err)
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		r, w := humago.Unwrap(ctx)
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.WriteHeader(http.StatusOK)
		stream := &outputStream{
			processes: s.opts.Processes, id: in.ID, output: o, offset: offset, follow: in.Follow,
			to: w, flush: http.NewResponseController(w).Flush,
		}
		err := stream.run(r.Context(), s.stopping)
		if err != nil && r.Context().Err() == nil {
			s.log.Error("an output could not be sent", "process", in.ID, "error", err)
			// The status was sent: breaking off is the only way left to say it.
			panic(http.ErrAbortHandler)
		}
	}}, nil
}

// outputStream sends the output of one process.
type outputStream struct {
	processes Processes
	id        int
	output    *launcher.Output
	offset    int64
	follow    bool
	to        io.Writer
	flush     func() error
	block     []byte
}

// run sends what there is and, when it follows, what comes, until the process
// ended and all was sent, or ctx or stop ends.
func (o *outputStream) run(ctx context.Context, stop <-chan struct{}) error {
	o.block = make([]byte, outputBlock)
	tick := time.NewTicker(outputPoll)
	defer tick.Stop()
	for {
		// The order matters: whatever was written before the process ended is
		// sent by the copy after its end was seen.
		changed := o.processes.Changed(o.id)
		ended := !o.follow || o.ended()
		if err := o.copy(); err != nil {
			return err
		}
		if ended {
			return nil
		}
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				return nil
			case <-stop:
				return nil
			case <-changed:
				waiting = false
			case <-tick.C:
				_, end, err := o.output.Bounds()
				if err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
				waiting = err != nil || end == o.offset
			}
		}
	}
}

// ended reports whether the process is gone for good.
func (o *outputStream) ended() bool {
	p, err := o.processes.Process(o.id)
	return err != nil || p.Status == launcher.Ended
}

// copy sends from the offset to the present end. What was emptied is new.
func (o *outputStream) copy() error {
	sent := false
	for {
		n, from, err := o.output.Read(o.block, o.offset)
		if n > 0 {
			if _, err := o.to.Write(o.block[:n]); err != nil {
				return err
			}
			sent = true
		}
		o.offset = from + int64(n)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, fs.ErrNotExist):
			if sent || o.follow {
				return o.flush()
			}
			return nil
		case err != nil:
			return err
		}
	}
}

// tailOffset is where the last n lines of what lies between two positions begin.
// A last line without its newline counts as one.
func tailOffset(f io.ReaderAt, first, end int64, n int) (int64, error) {
	if n == 0 || end == first {
		return end, nil
	}
	block := make([]byte, outputBlock)
	lines := 0
	for at := end; at > first; {
		size := min(at-first, outputBlock)
		at -= size
		if _, err := f.ReadAt(block[:size], at); err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		part := block[:size]
		if at+size == end && part[size-1] == '\n' {
			part = part[:size-1]
		}
		for {
			i := bytes.LastIndexByte(part, '\n')
			if i < 0 {
				break
			}
			if lines++; lines == n {
				return at + int64(i) + 1, nil
			}
			part = part[:i]
		}
	}
	return first, nil
}
