package launcher_test

import (
	"slices"
	"testing"

	"berth/launcher"
	"berth/lease"
)

func TestUsages(t *testing.T) {
	w := newWorld(t, lease.Range{Name: "http", Min: 26200, Max: 26203})
	w.deploy(process("idle", `<port name="http"/>`, "parent") + process("busy", `<port name="http"/>`, "busy"))
	idle, busy := w.exec("idle", 1)[0], w.start("busy")
	list, err := w.Processes(launcher.Selector{})
	if err != nil {
		t.Fatal(err)
	}
	for { // until it has had its time, on a machine that is busy itself
		used, err := w.Usages(list)
		if err != nil {
			t.Fatal(err)
		}
		if used[idle.ID].Memory < 1<<20 || len(used[idle.ID].PIDs) != 2 {
			t.Fatalf("%+v of a parent and its child", used[idle.ID])
		}
		if used[busy.ID].CPUPercent > used[idle.ID].CPUPercent && used[busy.ID].CPUPercent > 1 {
			break
		}
		if t.Context().Err() != nil {
			t.Fatalf("%+v", used)
		}
	}
}

func TestInfo(t *testing.T) {
	w := newWorld(t, lease.Range{Name: "http", Min: 26200, Max: 26203})
	w.deploy(process("p", `<port name="http"/>`, "serve"))
	p := w.exec("p", 1)[0]
	info, err := w.Info(p.ID)
	if err != nil {
		t.Fatal(err)
	}
	if len(info.Command) != 3 || info.Command[2] != "serve" || !slices.Contains(info.Environment, "BERTH_PROCESS_ID") || info.Memory == 0 {
		t.Errorf("%+v", info)
	}
	if _, err := w.Kill(t.Context(), launcher.StopRequest{Hard: true, Wait: patience}); err != nil {
		t.Fatal(err)
	}
	ended, err := w.Info(p.ID)
	if err != nil || !slices.Equal(ended.Command, info.Command) || ended.Uptime(w.Now()) != 0 {
		t.Errorf("%+v, %v", ended, err)
	}
}
