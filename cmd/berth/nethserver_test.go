package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"berth/api"
	"berth/internal/require"
)

// The snippets in testdata/nethserver are those of NethServer's page on port
// allocation, as they stand there.
func snippets(t *testing.T) map[string]string {
	t.Helper()
	page, err := os.ReadFile("../../../shared/seeds/nethserver8-port-allocation.md")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/nethserver/*.py")
	if err != nil || len(files) != 5 {
		t.Fatalf("there are %d snippets, %v", len(files), err)
	}
	found := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) > 0 && !strings.Contains(string(page), "```python\n"+string(text)+"```") {
			t.Errorf("%s is not what the page has", file)
		}
		found[strings.TrimSuffix(filepath.Base(file), ".py")] = string(text)
	}
	return found
}

// module is a NethServer module on a host, whose Python finds the module agent.
type module struct {
	*host
	python string
	env    []string
}

func newModule(t *testing.T, id string) *module {
	t.Helper()
	python := require.Tool(t, "python3")
	folder, err := filepath.Abs("../../samples/nethserver")
	if err != nil {
		t.Fatal(err)
	}
	m := &module{host: newHost(t), python: python}
	m.env = []string{"PYTHONPATH=" + folder, "PYTHONDONTWRITEBYTECODE=1", "MODULE_ID=" + id}
	return m
}

// addRanges makes the ranges that the ports come from, of n ports each, and returns
// the first port.
func (m *module) addRanges(n int) int {
	m.t.Helper()
	first := portBlock(m.t)
	for _, protocol := range []string{"tcp", "udp"} {
		m.run("port", "add", "-n", "nethserver-"+protocol, "-min", strconv.Itoa(first), "-max", strconv.Itoa(first+n-1), "-proto", protocol)
	}
	return first
}

// python3 runs a program, and returns what it prints, or how it ends.
func (m *module) python3(program string, env ...string) (string, error) {
	cmd := m.command(m.t.Context(), m.python, "-c", program)
	cmd.Env = append(append(cmd.Env, m.env...), env...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		lines := strings.Split(strings.TrimSpace(errOut.String()), "\n")
		return out.String(), fmt.Errorf("%w: %s", err, lines[len(lines)-1])
	}
	return strings.TrimSpace(out.String()), nil
}

// expect runs a program that has to print this.
func (m *module) expect(program, want string, env ...string) {
	m.t.Helper()
	if got, err := m.python3(program, env...); err != nil || got != want {
		m.t.Errorf("%s\nprints %q, want %q, %v", program, got, want, err)
	}
}

// raises runs a program that has to end with an exception, which says this.
func (m *module) raises(program, kind, text string, env ...string) {
	m.t.Helper()
	_, err := m.python3(program, env...)
	if err == nil || !strings.Contains(err.Error(), "agent."+kind+": ") || !strings.Contains(err.Error(), text) {
		m.t.Errorf("%s\nends with %v, want agent.%s: %s", program, err, kind, text)
	}
}

// The snippets of NethServer's page run as they stand there, with the variable of
// each printed after it.
func TestNethServerPage(t *testing.T) {
	page := snippets(t)
	m := newModule(t, "mail1")
	p := m.addRanges(20)
	run := func(name, variable, want string) {
		t.Helper()
		m.expect(page[name]+"print("+variable+")", want)
	}
	span := func(first, last int) string { return fmt.Sprintf("(%d, %d)", first, last) }

	run("deallocate_tcp", "deallocated_port_ranges", "[]")
	run("allocate_tcp", "allocated_ports", span(p, p+3))
	run("allocate_udp", "allocated_ports", span(p, p+3))
	run("allocate_more", "allocated_ports", span(p+4, p+7))
	m.kill(m.daemon().PID)
	m.run("ls")
	held := map[string]int{}
	leases, err := m.client.Leases(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range leases {
		held[l.Owner+" "+l.Protocol+" "+l.Kind]++
	}
	if len(leases) != 12 || held["mail1 tcp manual"] != 8 || held["my_module udp manual"] != 4 {
		t.Errorf("after the daemon was killed: %v", held)
	}
	run("deallocate_tcp", "deallocated_port_ranges", "["+span(p, p+3)+", "+span(p+4, p+7)+"]")
	run("deallocate_udp", "deallocated_port_ranges", "["+span(p, p+3)+"]")
	run("deallocate_udp", "deallocated_port_ranges", "[]")
	if leases, err := m.client.Leases(t.Context()); err != nil || len(leases) != 0 {
		t.Errorf("%+v are left, %v", leases, err)
	}
}

// Allocating again gives up what there was, in the same instant; what cannot be
// had changes nothing.
func TestNethServerAllocation(t *testing.T) {
	m := newModule(t, "mail1")
	p := m.addRanges(6)
	span := func(first, n int) string { return fmt.Sprintf("(%d, %d)", first, first+n-1) }
	m.expect(`import agent; print(agent.allocate_ports(4, "tcp"))`, span(p, 4))
	m.expect(`import agent; print(agent.allocate_ports(1, "tcp", "other"))`, span(p+4, 1))
	m.expect(`import agent; print(agent.allocate_ports(3, protocol="tcp", module_id="mail1", keep_existing=False))`, span(p, 3))
	m.raises(`import agent; agent.allocate_ports(4, "tcp", keep_existing=True)`, "RangeFullError", "nethserver-tcp")
	m.raises(`import agent; agent.allocate_ports(5, "tcp")`, "RangeFullError", "nethserver-tcp")
	m.expect(`import agent; print(agent.allocate_ports(1, "tcp", keep_existing=True))`, span(p+3, 1))
	// Ports in a row of two allocations are two.
	m.expect(`import agent; print(agent.deallocate_ports("tcp"), agent.deallocate_ports("tcp", "other"), agent.deallocate_ports("udp"))`,
		fmt.Sprintf("[%s, %s] [%s] []", span(p, 3), span(p+3, 1), span(p+4, 1)))

	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			if out, err := m.python3(`import agent; agent.allocate_ports(1, "udp", keep_existing=True); print("done")`); err != nil || out != "done" {
				t.Errorf("%d: %s %v", i, out, err)
			}
		})
	}
	wg.Wait()
	m.raises(`import agent; agent.allocate_ports(1, "udp", "other")`, "RangeFullError", "nethserver-udp")
}

func TestNethServerRefused(t *testing.T) {
	m := newModule(t, "")
	first := m.addRanges(4)
	refused := []struct{ call, kind, text string }{
		{`allocate_ports(1, "tcp")`, "InvalidRequestError", "no module_id is given, and MODULE_ID is not set"},
		{`deallocate_ports("tcp")`, "InvalidRequestError", "MODULE_ID is not set"},
		{`allocate_ports(0, "tcp", "m")`, "InvalidRequestError", "has to be an integer of at least 1"},
		{`allocate_ports("4", "tcp", "m")`, "InvalidRequestError", "has to be an integer of at least 1"},
		{`allocate_ports(True, "tcp", "m")`, "InvalidRequestError", "has to be an integer of at least 1"},
		{`allocate_ports(1, "sctp", "m")`, "InvalidRequestError", "has to be 'tcp' or 'udp'"},
		{`allocate_ports(99999, "tcp", "m")`, "InvalidRequestError", ""},
		{`allocate_ports(5, "tcp", "m")`, "RangeFullError", "nethserver-tcp"},
		{`allocate_ports(1, "tcp", "m" * 256)`, "InvalidRequestError", ""},
		{`allocate_ports(1, "tcp", "m\x07")`, "InvalidRequestError", ""},
		{`allocate_ports(1, "tcp", "\ud800")`, "InvalidRequestError", ""},
	}
	program := "import agent\n"
	for _, tt := range refused {
		program += fmt.Sprintf("try: print(agent.%s)\nexcept agent.PortError as err: print(type(err).__name__, err)\n", tt.call)
	}
	out, err := m.python3(program)
	lines := strings.Split(out, "\n")
	if err != nil || len(lines) != len(refused) {
		t.Fatalf("%v\n%s", err, out)
	}
	for i, tt := range refused {
		if !strings.HasPrefix(lines[i], tt.kind+" ") || !strings.Contains(lines[i], tt.text) {
			t.Errorf("%s: %s, want %s %s", tt.call, lines[i], tt.kind, tt.text)
		}
	}
	m.raises(`import agent; agent.allocate_ports(1, "tcp", "m")`, "NoRangeError", "an administrator makes it with berth port add", "BERTH_TCP_RANGE=none")
	m.raises(`import agent; agent.allocate_ports(1, "tcp", "m")`, "DaemonError", "no daemon answers on /nowhere/berth.sock", "BERTH_SOCKET=/nowhere/berth.sock")
	m.raises(`import agent; agent.allocate_ports(1, "tcp", "m")`, "InvalidRequestError", "has to be https://HOST:PORT", "BERTH_URL=http://localhost")
	m.raises(`import agent; agent.allocate_ports(1, "tcp", "m")`, "InvalidRequestError", "BERTH_TOKEN_FILE", "BERTH_TOKEN_FILE=/nowhere")
	m.expect(`import agent; print(issubclass(agent.RangeFullError, agent.PortError), issubclass(agent.InvalidRequestError, ValueError))`, "True True")
	if _, err := m.client.AddRanges(t.Context(), api.AddRanges{Ranges: []api.Range{{Name: "others", Min: first + 4, Max: first + 5}}}); err != nil {
		t.Fatal(err)
	}
	m.expect(`import agent; print(agent.allocate_ports(2, "tcp", "m"))`, fmt.Sprintf("(%d, %d)", first+4, first+5), "BERTH_TCP_RANGE=others")
	m.expect(`import agent; print(agent.deallocate_ports("tcp", "m"))`, "[]")
	m.expect(`import agent; print(agent.deallocate_ports("tcp", "m"))`, fmt.Sprintf("[(%d, %d)]", first+4, first+5), "BERTH_TCP_RANGE=others")
}

// Who may allocate, for whom, and how much: by the role and the owner of a token,
// and by the demands that the administrator has set.
func TestNethServerRoles(t *testing.T) {
	m := newModule(t, "mail1")
	p := m.addRanges(12)
	span := func(first, n int) string { return fmt.Sprintf("(%d, %d)", first, first+n-1) }
	token := func(name, role string) string {
		t.Helper()
		added, err := m.client.AddToken(t.Context(), api.AddToken{Name: name, Role: role})
		if err != nil {
			t.Fatal(err)
		}
		return "BERTH_TOKEN=" + added.Secret
	}
	own, reader := token("mail1", api.RoleLease), token("reader", api.RoleRead)

	m.expect(`import agent; print(agent.allocate_ports(2, "tcp"))`, span(p, 2), own)
	m.raises(`import agent; agent.allocate_ports(1, "tcp", "other")`, "NotAllowedError", "needs the role admin", own)
	m.expect(`import agent; print(agent.allocate_ports(1, "tcp", "other"))`, span(p+2, 1)) // the administrator may
	m.raises(`import agent; agent.deallocate_ports("tcp", "other")`, "NotAllowedError", "needs the role admin", own)
	m.raises(`import agent; agent.allocate_ports(1, "tcp", "reader")`, "NotAllowedError", "needs the role lease", reader)
	m.raises(`import agent; agent.deallocate_ports("tcp", "reader")`, "NotAllowedError", "needs the role lease", reader)
	m.raises(`import agent; agent.allocate_ports(1, "tcp")`, "NotAllowedError", "not known", "BERTH_TOKEN=berth_none")

	if out := m.run("quota", "set", "-owner", "mail1", "-tcp", "4", "-udp", "0"); out != "owner mail1 may have 4 (4 tcp, 0 udp) leases\n" {
		t.Error(out)
	}
	m.kill(m.daemon().PID)
	m.run("ls")
	m.expect(`import agent; print(agent.allocate_ports(2, "tcp", keep_existing=True))`, span(p+3, 2), own)
	m.raises(`import agent; agent.allocate_ports(1, "tcp", keep_existing=True)`, "DemandError", "quota of 4", own)
	m.raises(`import agent; agent.allocate_ports(5, "tcp")`, "DemandError", "quota of 4", own)
	m.raises(`import agent; agent.allocate_ports(1, "tcp", "mail1", True)`, "DemandError", "quota of 4") // nor may the administrator for it
	m.run("quota", "set", "-owner", "mail1", "-max", "10", "-tcp", "4", "-udp", "1")
	m.raises(`import agent; agent.allocate_ports(1, "tcp", keep_existing=True)`, "DemandError", "owner mail1 has 4 tcp leases, and with 1 more there would be more than its demand of 4", own)
	m.raises(`import agent; agent.allocate_ports(2, "udp")`, "DemandError", "demand of 1", own)
	m.expect(`import agent; print(agent.allocate_ports(1, "udp"), agent.allocate_ports(4, "tcp"))`, span(p, 1)+" "+span(p+3, 4), own) // what it gave up is taken again
	m.expect(`import agent; print(agent.deallocate_ports("tcp"), agent.deallocate_ports("udp"))`, "["+span(p+3, 4)+"] ["+span(p, 1)+"]", own)
	if quotas, err := m.client.Quotas(t.Context()); err != nil || len(quotas) != 1 || quotas[0].Have != 0 || *quotas[0].TCP != 4 || *quotas[0].UDP != 1 {
		t.Errorf("%+v %v", quotas, err)
	}
	if r := m.try("quota", "set", "-owner", "mail1", "-max", "3", "-tcp", "4"); r.code != 2 || !strings.Contains(r.err, "demand of 4 tcp ports of owner mail1 is not between 0 and its quota of 3") {
		t.Error(r)
	}
	if r := m.try("quota", "set", "-owner", "mail1", "-tcp", "4"); r.code != 2 {
		t.Error(r)
	}
}
