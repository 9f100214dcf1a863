package shell_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"berth/api"
)

// The lines of several processes are told apart, and of those that ended only the
// last one of each instance is shown.
func TestLogsOfSeveral(t *testing.T) {
	d := newDaemon(t)
	d.output = func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s begins\n%s goes on", r.PathValue("id"), r.PathValue("id"))
	}
	for i := range 4 {
		d.processes = append(d.processes, api.Process{ID: i + 1, Name: "web", Instance: i % 2, Status: api.StatusEnded, EndedAt: time.Unix(int64(i), 0)})
	}
	if got := d.run(t, "", "logs", "web"); got.code != 0 || got.out != "web 3 | 3 begins\nweb 3 | 3 goes on\nweb 4 | 4 begins\nweb 4 | 4 goes on\n" {
		t.Errorf("%+v", got)
	}
	d.processes = d.processes[1:2]
	if got := d.run(t, "", "logs", "web"); got.code != 0 || got.out != "2 begins\n2 goes on" {
		t.Errorf("%+v", got)
	}
}

// What is followed by a name goes on with what was started in its place.
func TestLogsFollowWhatReplaces(t *testing.T) {
	d := newDaemon(t)
	d.processes = []api.Process{{ID: 1, Name: "web", Status: api.StatusRunning}}
	d.output = func(w http.ResponseWriter, r *http.Request) {
		switch id := r.PathValue("id"); id {
		case "1":
			_, _ = io.WriteString(w, "old\n")
			d.processes = []api.Process{{ID: 2, Name: "web", Replaces: 1, Status: api.StatusRunning}}
		case "2":
			_, _ = io.WriteString(w, "new\nlast")
			d.processes = nil
		}
	}
	got := d.run(t, "", "logs", "web", "-f", "-n", "1")
	if got.code != 0 || got.out != "old\nweb 2 | new\nweb 2 | last\n" {
		t.Errorf("%+v", got)
	}
}
