// Package event keeps the latest of what has happened to ranges, leases, ports,
// distributions and processes, for whoever wants to follow it. It is memory
// only: what is true is in the store, and an event is no more than word of it.
package event

import (
	"sync"
	"time"
)

// Event is something that has happened.
type Event struct {
	// Sequence grows with each event, over restarts of the daemon too.
	Sequence int64
	Time     time.Time
	// Kind says what has happened, Noun to what kind of thing, ID to which.
	Kind, Noun, ID string
	// Text says it in a sentence, for people.
	Text string
}

// DefaultKept is how many events a Log keeps where nothing else is said.
const DefaultKept = 4096

// Log keeps the latest events. Readers have no buffers of their own: each asks
// for what came after the last one that it has seen, and is told how many it
// has missed where that is not kept any more. A nil Log takes events and keeps none.
type Log struct {
	now   func() time.Time
	begin int64 // sequence of the first one ever

	mu      sync.Mutex
	ring    []Event
	first   int64         // sequence of the oldest one that is kept
	next    int64         // sequence of the next one
	changed chan struct{} // closed at the next one; nil while nobody waits
}

// New returns a Log that keeps the latest events, as many as kept says. Its
// sequence begins at the present time in microseconds, so that it goes on above
// that of the daemon before.
func New(kept int, now func() time.Time) *Log {
	begin := now().UnixMicro()
	return &Log{now: now, begin: begin, ring: make([]Event, max(kept, 1)), first: begin, next: begin}
}

// Add notes that something has happened. It never waits for a reader.
func (l *Log) Add(noun, kind, id, text string) {
	if l == nil {
		return
	}
	at := l.now().UTC()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ring[l.next%int64(len(l.ring))] = Event{Sequence: l.next, Time: at, Kind: kind, Noun: noun, ID: id, Text: text}
	l.next++
	l.first = max(l.first, l.next-int64(len(l.ring)))
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// Begin is the sequence before that of the first event of this Log.
func (l *Log) Begin() int64 { return l.begin - 1 }

// After returns events whose sequence is greater than after, the oldest ones
// first and at most as many as most says; how many there were before them that
// are not kept any more, or -1 where that cannot be told because they are of
// another Log; and a channel that is closed when the next event is added.
// A sequence below 0 is that of the event before the oldest one.
func (l *Log) After(after int64, most int) (events []Event, missed int64, more <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	from := after + 1
	switch {
	case after < 0:
		from = l.first
	case from < l.begin || from > l.next:
		missed, from = -1, l.first
	case from < l.first:
		missed, from = l.first-from, l.first
	}
	for ; from < l.next && len(events) < most; from++ {
		events = append(events, l.ring[from%int64(len(l.ring))])
	}
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return events, missed, l.changed
}
