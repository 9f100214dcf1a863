package event_test

import (
	"strconv"
	"testing"
	"time"

	"berth/event"
)

// A reader gets each event once and in order, and is told of what it missed.
func TestAfter(t *testing.T) {
	at := time.Unix(1000, 0)
	l := event.New(3, func() time.Time { return at })
	first := at.UnixMicro()
	none, missed, more := l.After(-1, 10)
	if len(none) != 0 || missed != 0 {
		t.Fatalf("a new log has %v and missed %d", none, missed)
	}
	for i := range 5 {
		l.Add("process", "ended", strconv.Itoa(i), "text")
	}
	select {
	case <-more:
	default:
		t.Error("who waits is not told of events")
	}
	for _, tt := range []struct {
		name   string
		after  int64
		most   int
		ids    string
		missed int64
	}{
		{"the oldest on", -1, 10, "234", 0},
		{"not more than asked for", -1, 2, "23", 0},
		{"right before the oldest", first + 1, 10, "234", 0},
		{"one was dropped", first, 10, "234", 1},
		{"in the middle", first + 3, 10, "4", 0},
		{"the latest", first + 4, 10, "", 0},
		{"of a log before this one", first - 7, 10, "234", -1},
		{"of a log whose clock was ahead", first + 100, 10, "234", -1},
	} {
		got, missed, more := l.After(tt.after, tt.most)
		ids := ""
		for _, e := range got {
			ids += e.ID
		}
		if ids != tt.ids || missed != tt.missed {
			t.Errorf("%s: %q, missed %d; want %q, %d", tt.name, ids, missed, tt.ids, tt.missed)
		}
		select {
		case <-more:
			t.Errorf("%s: an event is told of that never came", tt.name)
		default:
		}
	}
	var nobody *event.Log
	nobody.Add("process", "ended", "1", "text")
}
