package proc_test

import (
	"encoding/json"
	"errors"
	"os"
	"testing"

	"berth/proc"
)

func TestBootID(t *testing.T) {
	id, err := proc.BootID()
	if err != nil {
		t.Fatal(err)
	}
	if len(id) != 36 {
		t.Errorf("boot id %q is not a UUID", id)
	}
	if again, err := proc.BootID(); err != nil || again != id {
		t.Errorf("second answer %q, %v", again, err)
	}
}

func TestIdentify(t *testing.T) {
	c := start(t, self("block", ""))
	id := identify(t, c.pid)
	boot, _ := proc.BootID()
	if id.PID != c.pid || id.BootID != boot || id.StartTime == 0 || id.IsZero() {
		t.Errorf("identity %+v", id)
	}
	if own := identify(t, os.Getpid()); own.StartTime > id.StartTime {
		t.Errorf("this process started at %d, after its child at %d", own.StartTime, id.StartTime)
	}
	if again := identify(t, c.pid); again != id {
		t.Errorf("identity changed from %+v to %+v", id, again)
	}
}

func TestIdentityOfStrangeNames(t *testing.T) {
	for _, name := range []string{"two words", ") R 1 1 1", "((", "))) Z 0", "a\nb", ""} {
		t.Run(name, func(t *testing.T) {
			plain := start(t, self("block", ""))
			_ = identify(t, plain.pid)
			c := start(t, self("rename", name))
			before := identify(t, c.pid)
			if said := c.line(t); said != "renamed" {
				t.Fatal(said)
			}
			if after := identify(t, c.pid); after != before {
				t.Errorf("identity was %+v and is %+v after the renaming", before, after)
			}
			pids, err := proc.Session(c.pid)
			if err != nil || len(pids) != 1 || pids[0] != c.pid {
				t.Errorf("session %v, %v", pids, err)
			}
		})
	}
}

func TestIdentifyNobody(t *testing.T) {
	for name, pid := range map[string]int{"none": 0, "negative": -1, "above all": 1 << 30} {
		t.Run(name, func(t *testing.T) {
			if id, err := proc.Identify(pid); !errors.Is(err, proc.ErrGone) {
				t.Errorf("%+v, %v", id, err)
			}
		})
	}
}

func TestIdentityJSON(t *testing.T) {
	id := proc.Identity{BootID: "b", PID: 7, StartTime: 1<<64 - 1}
	b, err := json.Marshal(id)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"bootId":"b","pid":7,"startTime":18446744073709551615}`; string(b) != want {
		t.Errorf("%s, want %s", b, want)
	}
	var back proc.Identity
	if err := json.Unmarshal(b, &back); err != nil || back != id {
		t.Errorf("%+v, %v", back, err)
	}
}

func BenchmarkIdentify(b *testing.B) {
	for b.Loop() {
		if _, err := proc.Identify(os.Getpid()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	id := identify(b, os.Getpid())
	for b.Loop() {
		p, err := proc.Open(id)
		if err != nil {
			b.Fatal(err)
		}
		_ = p.Close()
	}
}
