package samples_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"berth/api"
)

// The apps of a file start together, each instance with a port of its own, and
// are looked after by their names; so is a command.
func TestApps(t *testing.T) {
	p := build(t)
	dir := staged(t, "apps", "bin")
	program := filepath.Join(dir, "bin", "server")
	if err := os.Mkdir(filepath.Dir(program), 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, "", "go", "build", "-buildvcs=false", "-o", program, "berth/samples/apps")
	h := newHost(t, p.berth)
	started := list[api.Process](h, "start", filepath.Join(dir, "shop.yaml"), "-w")
	ports := map[int]bool{}
	for i, want := range []struct{ name, instance, greeting, arguments string }{
		{"web", "0", "hello", ""}, {"web", "1", "hello", ""}, {"web", "2", "hello", ""}, {"orders", "0", "", "--tax 19"},
	} {
		if len(started) != 4 {
			t.Fatalf("started %+v", started)
		}
		q := started[i]
		if q.Name != want.name || q.Status != api.StatusRunning || len(q.Ports) != 1 || q.Ports[0].State != api.PortListening || ports[q.Ports[0].Port] {
			t.Errorf("%+v, with other ports %v", q, ports)
			continue
		}
		number := q.Ports[0].Port
		ports[number] = true
		if first := 8080 + 100*min(i/3, 1); number < first || number >= first+100 {
			t.Errorf("%s has port %d", q.Name, number)
		}
		port := strconv.Itoa(number)
		says(t, page(t, port, "/"), "greeting="+want.greeting, "instance="+want.instance, "PORT="+port, "arguments="+want.arguments)
	}

	lines := strings.Split(strings.TrimSpace(string(h.do("logs", "web", "-n", "1"))), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[2], "web 3 | instance 2 listens on 127.0.0.1:") {
		t.Errorf("logs of a name:\n%s", strings.Join(lines, "\n"))
	}
	reloaded := list[api.Process](h, "reload", "web")
	for i, q := range reloaded {
		if len(reloaded) != 3 || q.Replaces != i+1 || q.Instance != i || q.Status != api.StatusRunning {
			t.Errorf("reloaded %+v", reloaded)
		}
	}
	h.do("kill", "all", "-w")

	h.do("start", "-n", "web", "-i", "2", "-port", "auto:8080-8179", "-w", "--", program, "a", "b c")
	one := list[api.Process](h, "ps")
	if len(one) != 2 || one[0].Ports[0].Port == one[1].Ports[0].Port {
		t.Fatalf("started %+v", one)
	}
	says(t, page(t, strconv.Itoa(one[1].Ports[0].Port), "/"), "instance=1", "arguments=a b c")
	h.do("kill", "web", "-w")
	if left := list[api.Process](h, "ps"); len(left) > 0 {
		t.Errorf("there runs %+v", left)
	}
}
