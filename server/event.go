package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"berth/access"
	"berth/api"
	"berth/event"
)

const (
	// eventBlock is how many events are taken at a time.
	eventBlock = 256

	// eventPulse is how long a followed stream may be without a word: then a
	// comment is sent, so that a client that is gone is noticed.
	eventPulse = 15 * time.Second

	// eventPatience is how long a reader may take to read what is sent.
	eventPatience = 30 * time.Second
)

func (s *Server) routeEvents(routes huma.API) {
	route(s, routes, access.Read, huma.Operation{
		OperationID: "stream-events", Method: http.MethodGet, Path: "/v1/events",
		Summary: "Send what has happened, and go on with what happens",
		Responses: map[string]*huma.Response{"200": {
			Description: "server-sent events: id is the sequence, event the kind, data the event as JSON",
			Content:     map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: "string"}}},
		}},
	}, s.events)
}

func (s *Server) events(_ context.Context, in *struct {
	After  int64 `query:"after" default:"-1" doc:"only events after the one of this sequence; -1 is all that are kept"`
	LastID int64 `header:"Last-Event-ID" default:"-1" doc:"the same, as browsers send it when they connect again; it wins"`
	Last   int   `query:"last" default:"-1" doc:"of those that are kept only the last so many; -1 is all"`
	Follow bool  `query:"follow" default:"true" doc:"go on with what happens"`
	Limit  int   `query:"limit" minimum:"0" doc:"end after so many events; 0, as without it, is no limit. The next ones are those after the last id"`
}) (*huma.StreamResponse, error) {
	after := in.After
	if in.LastID >= 0 {
		after = in.LastID
	}
	if after < -1 {
		return nil, invalid("query.after: %d is below 0", after)
	}
	if in.Last < -1 {
		return nil, invalid("query.last: %d is below 0", in.Last)
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		r, w := humago.Unwrap(ctx)
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Accel-Buffering", "no")
		w.WriteHeader(http.StatusOK)
		stream := &eventStream{log: s.opts.Events, after: after, limit: in.Limit, to: w, control: http.NewResponseController(w)}
		// How long a browser waits until it comes again.
		stream.buf.WriteString("retry: 1000\n\n")
		if in.Last >= 0 {
			stream.skipTo(in.Last)
		}
		// A reader that is gone has nobody to be told.
		_ = stream.run(r.Context(), s.stopping, in.Follow)
	}}, nil
}

// eventStream sends events to one reader.
type eventStream struct {
	log     *event.Log
	after   int64 // sequence of the last one that was sent
	limit   int   // how many are still to be sent; 0 is no limit
	to      http.ResponseWriter
	control *http.ResponseController
	buf     bytes.Buffer
}

// skipTo leaves out all that is kept but the last n events.
func (e *eventStream) skipTo(n int) {
	kept, _, _ := e.log.After(e.after, int(^uint(0)>>1))
	if len(kept) > n {
		e.after = kept[len(kept)-n-1].Sequence
	}
}

// run sends what there is and, where it follows, what comes, until ctx or stop
// ends. A reader that was so slow that events are gone is told so, and left.
func (e *eventStream) run(ctx context.Context, stop <-chan struct{}, follow bool) error {
	pulse := time.NewTicker(eventPulse)
	defer pulse.Stop()
	for begun := false; ; begun = true {
		most := eventBlock
		if e.limit > 0 {
			most = min(most, e.limit)
		}
		events, missed, more := e.log.After(e.after, most)
		if missed != 0 {
			e.tellMissed(events, missed, begun)
			if begun {
				return e.flush()
			}
		}
		for _, v := range events {
			e.add(api.Event{Sequence: v.Sequence, Time: v.Time, Kind: v.Kind, Noun: v.Noun, ID: v.ID, Text: v.Text})
			e.after = v.Sequence
		}
		if err := e.flush(); err != nil {
			return err
		}
		if e.limit > 0 {
			if e.limit -= len(events); e.limit == 0 {
				return nil
			}
		}
		if len(events) == most {
			continue
		}
		if !follow {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil
		case <-stop:
			return nil
		case <-pulse.C:
			e.buf.WriteString(":\n\n")
		}
	}
}

// tellMissed says that events are not kept any more, and to a reader that it is dropped.
func (e *eventStream) tellMissed(events []event.Event, missed int64, drop bool) {
	many := "events of an earlier time are"
	if missed > 0 {
		many = fmt.Sprintf("%d events are", missed)
	}
	if len(events) == 0 {
		// The sequence that the reader knows means nothing here.
		e.after = e.log.Begin()
	}
	v := api.Event{Sequence: e.after, Time: time.Now().UTC(), Kind: api.EventMissed, Noun: "stream", Text: many + " not kept any more"}
	if len(events) > 0 {
		v.Sequence = events[0].Sequence - 1
	}
	if drop {
		v.Kind, v.Text = api.EventDropped, "this reader was too slow: "+v.Text
	}
	e.add(v)
}

func (e *eventStream) add(v api.Event) {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain data
	}
	e.buf.WriteString("id: " + strconv.FormatInt(v.Sequence, 10) + "\nevent: " + v.Kind + "\ndata: ")
	e.buf.Write(data)
	e.buf.WriteString("\n\n")
}

// flush sends what was added. A reader that takes none of it for long is left.
func (e *eventStream) flush() error {
	_ = e.control.SetWriteDeadline(time.Now().Add(eventPatience))
	defer func() { _ = e.control.SetWriteDeadline(time.Time{}) }()
	_, err := e.to.Write(e.buf.Bytes())
	e.buf.Reset()
	if err != nil {
		return err
	}
	return e.control.Flush()
}
