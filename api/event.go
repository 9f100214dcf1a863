package api

import "time"

// The kinds of events of the noun stream, which tell of the stream itself.
const (
	// EventMissed: events before the next one are not kept any more.
	EventMissed = "missed"
	// EventDropped: the reader was too slow, and the stream ends.
	EventDropped = "dropped"
)

// Event is something that has happened.
type Event struct {
	Sequence int64     `json:"sequence" doc:"grows with each event, over restarts of the daemon too"`
	Time     time.Time `json:"time" doc:"when it happened"`
	Kind     string    `json:"kind" doc:"what has happened: acquired, recuperated, running, ended"`
	Noun     string    `json:"noun" doc:"to what: range, lease, port, distribution, process, daemon; stream where it tells of missed events"`
	ID       string    `json:"id" doc:"to which: a name, the id of a lease or a process"`
	Text     string    `json:"text" doc:"for people"`
}
