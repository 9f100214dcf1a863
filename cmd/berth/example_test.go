package main

import (
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"berth/api"
)

// documentDescriptor is that of Corus' page on port management, with a generic
// starter in the place of its magnet.
const documentDescriptor = `<distribution xmlns="http://www.sapia-oss.org/xsd/corus/distribution-5.0.xsd" name="demo" version="1.0">
  <process name="httpServer" maxKillRetry="3" shutdownTimeout="30000" invoke="true">
    <port name="http" />
    <generic profile="test">
      <arg value="server" />
      <arg value="${http.port}" />
      <processProperties />
      <property name="http.port" value="${corus.server.port.http}" />
    </generic>
  </process>
</distribution>
`

// execOne starts a process of the document's descriptor and waits for it.
var execOne = []string{"exec", "-d", "demo", "-v", "1.0", "-p", "test", "-n", "httpServer", "-w"}

// portsOf are the ports of processes, in the processes' order.
func portsOf(ps []api.Process) []int {
	var all []int
	for _, p := range ps {
		for _, port := range p.Ports {
			all = append(all, port.Port)
		}
	}
	return all
}

// The story of the document: a range of six ports, six processes, a seventh
// that is refused, and a port that comes back when its process is gone. A
// foreign program has one of the ports when it begins.
func TestDocumentExample(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	m := portBlock(t)
	interval := fmt.Sprintf("[%d - %d]", m, m+5)
	h.write("demo/META-INF/corus.xml", documentDescriptor)
	foreign, err := net.Listen("tcp", ":"+strconv.Itoa(m+2))
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()

	h.run("port", "add", "-n", "http", "-min", strconv.Itoa(m), "-max", strconv.Itoa(m+5))
	h.run("deploy", "demo")
	if ps := h.ps(); len(ps) != 0 {
		t.Errorf("before any exec there runs %+v", ps)
	}

	// Berth passes over the foreign program's port and says why.
	h.run(append(execOne, "-i", "3")...)
	if got := portsOf(h.ps()); !slices.Equal(got, []int{m, m + 1, m + 3}) {
		t.Errorf("three processes have %v", got)
	}
	self, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	r := h.ranges()[0]
	if !slices.Equal(r.Available, []int{m + 4, m + 5}) {
		t.Errorf("available are %v", r.Available)
	}
	if len(r.SetAside) != 1 || r.SetAside[0].Port != m+2 || r.SetAside[0].PID != os.Getpid() ||
		r.SetAside[0].Command != strings.TrimSpace(string(self)) || !strings.Contains(r.SetAside[0].Reason, "in use") {
		t.Errorf("set aside are %+v; I am pid %d, %s", r.SetAside, os.Getpid(), self)
	}
	out := h.run("port", "ls")
	for _, want := range []string{"http", interval, fmt.Sprintf("%d-%d", m+4, m+5), fmt.Sprintf("%d in use by pid %d (%s)", m+2, os.Getpid(), strings.TrimSpace(string(self)))} {
		if !strings.Contains(out, want) {
			t.Errorf("port ls does not say %q:\n%s", want, out)
		}
	}
	h.run(append(execOne, "-i", "2")...)
	said := h.refused(1, execOne...)
	for _, want := range []string{"range http", fmt.Sprint(m + 2), fmt.Sprintf("pid %d", os.Getpid())} {
		if !strings.Contains(said, want) {
			t.Errorf("the refusal does not say %q: %s", want, said)
		}
	}

	// It comes back by itself, and is leased like any other.
	foreign.Close()
	h.eventually("the foreign program's port is available", func() bool {
		return slices.Equal(h.ranges()[0].Available, []int{m + 2})
	})
	h.run(execOne...)

	six := h.ps()
	if got := portsOf(six); !slices.Equal(got, []int{m, m + 1, m + 3, m + 4, m + 5, m + 2}) {
		t.Errorf("six processes have %v", got)
	}
	for _, p := range six {
		port := p.Ports[0]
		if p.Status != api.StatusRunning || port.State != api.PortListening || port.Name != "http" {
			t.Errorf("%+v", p)
		}
		page := get(t, port.Port)
		for _, want := range []string{
			fmt.Sprintf("port %d ", port.Port), fmt.Sprintf("-Dhttp.port=%d", port.Port),
			fmt.Sprintf("-Dcorus.process.port.http=%d", port.Port), fmt.Sprintf("-Dcorus.server.port.http=%d", port.Port),
		} {
			if !strings.Contains(page, want) {
				t.Errorf("the process on %d does not say %s: %s", port.Port, want, page)
			}
		}
	}
	checkActive(t, h, six)

	// The seventh.
	said = h.refused(1, execOne...)
	for _, p := range six {
		if want := fmt.Sprintf("%d by httpServer #%d (demo 1.0)", p.Ports[0].Port, p.ID); !strings.Contains(said, want) {
			t.Errorf("the refusal does not say %q: %s", want, said)
		}
	}
	if !strings.Contains(said, "range http: all 6 ports are leased") {
		t.Errorf("the refusal is %s", said)
	}

	// The third is killed from outside.
	third := six[2]
	h.kill(third.PID)
	h.eventually("the third's port is available", func() bool {
		return slices.Equal(h.ranges()[0].Available, []int{third.Ports[0].Port})
	})
	if ps := h.ps(); len(ps) != 5 || slices.ContainsFunc(ps, func(p api.Process) bool { return p.ID == third.ID }) {
		t.Errorf("after the third's end ps shows %+v", ps)
	}
	all := decode[[]api.Process](h, "ps", "-a", "-o", "json")
	if len(all) != 6 {
		t.Errorf("ps -a shows %d processes", len(all))
	}
	for _, p := range all {
		ended := p.ID == third.ID
		if ended != (p.Status == api.StatusEnded) || ended != (p.Signal == "SIGKILL") || ended == (p.Reason == "") || ended == p.EndedAt.IsZero() || p.ExitCode != nil {
			t.Errorf("after the third's end, ps -a shows %+v", p)
		}
	}
	out = h.run("ps", "-a")
	if want := "SIGKILL"; strings.Count(out, want) != 1 || !strings.Contains(out, "signal from outside") || strings.Count(out, "running") != 5 {
		t.Errorf("ps -a:\n%s", out)
	}
	if out = h.run("ps"); strings.Contains(out, fmt.Sprintf(" %d ", third.PID)) || strings.Count(out, "running") != 5 {
		t.Errorf("ps:\n%s", out)
	}

	// Its port is the next one leased.
	h.run(execOne...)
	next := h.ps()[5]
	if next.ID == third.ID || next.Ports[0].Port != third.Ports[0].Port {
		t.Errorf("the next process is %+v", next)
	}
	checkActive(t, h, h.ps())

	// All stop, and all ports are there again.
	h.run("kill", "all", "-w")
	if got := h.ranges()[0]; len(got.Available) != 6 || len(got.Active) != 0 || len(got.SetAside) != 0 {
		t.Errorf("at the end: %+v", got)
	}
	if out := h.run("port", "ls"); !strings.Contains(out, fmt.Sprintf(" %d-%d ", m, m+5)) {
		t.Errorf("at the end port ls shows\n%s", out)
	}
}

// checkActive compares the active ports of the only range with the processes.
func checkActive(t *testing.T, h *host, ps []api.Process) {
	t.Helper()
	want := map[int]int{}
	for _, p := range ps {
		want[p.Ports[0].Port] = p.PID
	}
	got := map[int]int{}
	for _, a := range h.ranges()[0].Active {
		got[a.Port] = a.PID
		if a.State != api.PortListening || !strings.Contains(a.Holder, "httpServer") {
			t.Errorf("port ls shows %+v", a)
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("port ls shows active ports of pids %v, ps %v", got, want)
	}
}

// The lists have the keys that the design promises, and those that the API
// adds to them; no other ones.
func TestListKeys(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	m := portBlock(t)
	h.write("demo/META-INF/corus.xml", documentDescriptor)
	foreign, err := net.Listen("tcp", ":"+strconv.Itoa(m))
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	h.run("port", "add", "-n", "http", "-min", strconv.Itoa(m), "-max", strconv.Itoa(m+5))
	h.run("deploy", "demo")
	h.run(execOne...)
	for _, tt := range []struct {
		args     []string
		promised string
		added    string
		below    map[string][2]string
	}{
		{[]string{"port", "ls"}, "name min max protocol scope available active setAside", "", map[string][2]string{
			"active": {"port state holder pid", "lease"}, "setAside": {"port reason pid command", "since"},
		}},
		{[]string{"ps"}, "id distribution version profile name instance pid status startedAt ports", "dir restarts cpuPercent memoryBytes uptimeSeconds", map[string][2]string{
			"ports": {"name protocol port state", "lease"},
		}},
		{[]string{"ls"}, "name version processes", "deployedAt profiles running", nil},
	} {
		list := decode[[]map[string]any](h, append(tt.args, "-o", "json")...)
		if len(list) != 1 {
			t.Errorf("%v: %d elements", tt.args, len(list))
			continue
		}
		checkKeys(t, tt.args, list[0], tt.promised+" "+tt.added)
		for key, keys := range tt.below {
			below, ok := list[0][key].([]any)
			if !ok || len(below) != 1 {
				t.Errorf("%v: %s is %v", tt.args, key, list[0][key])
				continue
			}
			element, _ := below[0].(map[string]any)
			checkKeys(t, append(tt.args, key), element, keys[0]+" "+keys[1])
		}
	}
	// An empty list is one, too.
	for _, args := range [][]string{{"port", "ls", "-n", "x*"}, {"ps", "-n", "x*"}, {"ls", "-d", "x*"}} {
		if r := h.try(append(args, "-o", "json")...); r.code != 0 || strings.TrimSpace(r.out) != "[]" {
			t.Error(r)
		}
	}
}

func checkKeys(t *testing.T, what []string, element map[string]any, want string) {
	t.Helper()
	keys := strings.Fields(want)
	slices.Sort(keys)
	if got := slices.Sorted(maps.Keys(element)); !slices.Equal(got, keys) {
		t.Errorf("%v has the keys\n%v, want\n%v", what, got, keys)
	}
}

// The same lines do the same however they are typed.
func TestWaysToType(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		words func(words []string) []string // how the options are written
		lines func(h *host, lines []string) result
		where string // how an error of the last line begins
	}{
		{"arguments", nil, argumentLines, "berth: exec: "},
		{"arguments of two dashes", twoDashes, argumentLines, "berth: exec: "},
		{"arguments joined", joined, argumentLines, "berth: exec: "},
		{"script file", nil, scriptFile, "berth: script: lines.berth:5: exec: "},
		{"script file of two dashes", twoDashes, scriptFile, "berth: script: lines.berth:5: exec: "},
		{"script from standard input", nil, func(h *host, lines []string) result {
			return h.feed(strings.Join(lines, "\n"), "script", "-")
		}, "berth: script: line 4: exec: "},
		{"prompt", nil, func(h *host, lines []string) result {
			return h.feed(strings.Join(lines, "\n") + "\n")
		}, "berth: line 4: exec: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			m := portBlock(t)
			h.write("demo/META-INF/corus.xml", documentDescriptor)
			words := tt.words
			if words == nil {
				words = slices.Clone[[]string]
			}
			line := func(text string) string { return strings.Join(words(strings.Fields(text)), " ") }
			r := tt.lines(h, []string{
				line(fmt.Sprintf("port add -n http -min %d -max %d", m, m+1)),
				line("deploy demo"),
				line("exec -d demo -v 1.0 -p test -n httpServer -i 2 -w 60"),
				line("exec -d demo -v 1.0 -p test -n httpServer"),
				line("port del -n http -f"), // never come to
			})
			if r.code != 1 || !strings.HasPrefix(r.err, tt.where+"range http: all 2 ports are leased") || strings.Count(r.err, "\n") != 1 {
				t.Error(r)
			}
			if got := portsOf(h.ps()); !slices.Equal(got, []int{m, m + 1}) {
				t.Errorf("the processes have %v", got)
			}
			if got := h.ranges(); len(got) != 1 || len(got[0].Active) != 2 {
				t.Errorf("the ranges are %+v", got)
			}
		})
	}
}

// argumentLines runs each line as a command, up to the first that fails.
func argumentLines(h *host, lines []string) result {
	var r result
	for _, line := range lines {
		if r = h.try(strings.Fields(line)...); r.code != 0 {
			break
		}
	}
	return r
}

func scriptFile(h *host, lines []string) result {
	h.write("lines.berth", "# the lines of an administrator\n"+strings.Join(lines, " # and why\n")+"\n")
	return h.try("script", "lines.berth")
}

// twoDashes writes -min as --min, and -n as it is.
func twoDashes(words []string) []string {
	out := slices.Clone(words)
	for i, word := range out {
		if len(word) > 2 && word[0] == '-' {
			out[i] = "-" + word
		}
	}
	return out
}

// joined writes -min 1 as -min=1.
func joined(words []string) []string {
	var out []string
	for _, word := range words {
		if last := len(out) - 1; last >= 0 && out[last][0] == '-' && !strings.Contains(out[last], "=") {
			out[last] += "=" + word
			continue
		}
		out = append(out, word)
	}
	return out
}
