package launcher_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"testing"
	"time"

	"berth/launcher"
	"berth/lease"
	"berth/proc"
)

// All of a process group ends with its leader, also what does not mind being
// asked, of children of this daemon and of adopted ones; the port is free then.
func TestKillEndsTheWholeGroup(t *testing.T) {
	for _, adopted := range []bool{false, true} {
		for _, hard := range []bool{false, true} {
			t.Run(fmt.Sprintf("adopted %v, hard %v", adopted, hard), func(t *testing.T) {
				w := newWorld(t, lease.Range{Name: "http", Min: 26300, Max: 26300})
				w.deploy(process("p", `<port name="http"/>`, "patron"))
				p := w.exec("p", 1)[0]
				child, err := strconv.Atoi(regexp.MustCompile(`child (\d+)`).FindStringSubmatch(w.output(p.ID))[1])
				if err != nil {
					t.Fatal(err)
				}
				if adopted {
					w.reopen()
				}
				if _, err := w.Kill(t.Context(), launcher.StopRequest{Hard: hard, Wait: patience}); err != nil {
					t.Fatal(err)
				}
				session, err := proc.Session(p.Identity.PID)
				if err != nil || len(session) > 0 {
					t.Errorf("pids %v are left (the child was %d), %v", session, child, err)
				}
				if r := w.leases.Ranges("http")[0]; len(r.SetAside) > 0 || len(r.Active) > 0 {
					t.Errorf("%+v", r)
				}
			})
		}
	}
}

// The folder of a process goes with it where its descriptor says so and it was
// killed, not when it ends by itself.
func TestDeleteOnKill(t *testing.T) {
	w := newWorld(t)
	w.deploy(looked("killed", `deleteOnKill="true"`, "", "idle") + looked("ends", `deleteOnKill="true"`, "", "die") + process("stays", "", "idle"))
	for name, gone := range map[string]bool{"killed": true, "ends": false, "stays": false} {
		p := w.start(name)
		if name != "ends" {
			w.awaitStatus(p.ID, launcher.Running)
			if _, err := w.Kill(t.Context(), launcher.StopRequest{Selector: launcher.Selector{IDs: []int{p.ID}}, Hard: true}); err != nil {
				t.Fatal(err)
			}
		}
		w.awaitEnded(p.ID)
		// It is removed right after the end is told.
		for deadline := time.Now().Add(patience); ; runtime.Gosched() {
			_, err := os.Stat(w.Dir(p.ID))
			if errors.Is(err, fs.ErrNotExist) == gone {
				break
			}
			if !gone || time.Now().After(deadline) {
				t.Errorf("%s: its folder: %v", name, err)
				break
			}
		}
	}
}
