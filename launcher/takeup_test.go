package launcher_test

import (
	"slices"
	"testing"

	"berth/launcher"
)

// Those that ended while nobody watched are the last that ended, whatever was
// remembered before them.
func TestEndedWhileAwayAreTheLast(t *testing.T) {
	w := newWorld(t, tcp("http", 23980, 23989))
	w.deploy(process("p", httpPort, "serve"))
	for range 4 {
		id := w.exec("p", 1)[0].ID
		if _, err := w.Kill(t.Context(), launcher.StopRequest{Selector: launcher.Selector{IDs: []int{id}}, Hard: true, Wait: patience}); err != nil {
			t.Fatal(err)
		}
	}
	live := w.exec("p", 4)
	w.close()
	for _, p := range live {
		killAndReap(t, p.Identity.PID)
	}
	w.open()
	all, err := w.Processes(launcher.Selector{Ended: true})
	if err != nil {
		t.Fatal(err)
	}
	var ids []int
	for _, p := range all {
		if p.Live() {
			t.Errorf("%s is %s", p.Title(), p.Status)
		}
		ids = append(ids, p.ID)
	}
	if want := []int{4, 5, 6, 7, 8}; !slices.Equal(ids, want) {
		t.Errorf("remembered are %v, want %v", ids, want)
	}
	if got := numbers(w.exec("p", 1)); !slices.Equal(got, []int{23980}) {
		t.Errorf("the next port is %v", got)
	}
}
