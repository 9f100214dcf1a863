package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"berth/api"
	"berth/client"
	"berth/internal/require"
)

// The kernel's settings are those of a network namespace: in one of its own the
// daemon warns of what the kernel may take, says how to keep it from that, and does
// so.
func TestKernelLeavesRangesAlone(t *testing.T) {
	const variable = "BERTH_TEST_KERNEL"
	if os.Getenv(variable) == "" {
		require.Root(t)
		runInNetwork(t, variable)
		return
	}
	loopbackUp(t)
	const reserved = "/proc/sys/net/ipv4/ip_local_reserved_ports"
	for file, text := range map[string]string{reserved: "8080,40003-40004", "/proc/sys/net/ipv4/ip_local_port_range": "39000 41000"} {
		if err := os.WriteFile(file, []byte(text), 0); err != nil {
			t.Fatal(err)
		}
	}
	home := filepath.Join(t.TempDir(), "home")
	berth := func(args ...string) (out, said string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "berth", args...)
		cmd.Env = append(os.Environ(), "BERTH_HOME="+home)
		var e strings.Builder
		cmd.Stderr = &e
		b, err := cmd.Output()
		if err != nil {
			t.Fatalf("berth %q: %v\n%s", args, err, e.String())
		}
		return string(b), e.String()
	}
	defer func() { berth("stop") }()

	if out, said := berth("port", "add", "-n", "low", "-min", "8080", "-max", "8085"); said != "" || out != "added low [8080 - 8085] tcp\n" {
		t.Errorf("a range that the kernel leaves alone: %q, %q", out, said)
	}
	if out, said := berth("doctor"); strings.Contains(out+said, "kernel") || strings.Contains(said, "sysctl") {
		t.Errorf("doctor where all is well: %s%s", out, said)
	}
	out, said := berth("port", "add", "-n", "high", "-min", "40000", "-max", "40009")
	if want := "warning: range high: the kernel may take 40000-40002,40005-40009 for outgoing connections (net.ipv4.ip_local_port_range is 39000-41000): berth doctor tells how to keep them from it\n"; said != want || out != "added high [40000 - 40009] tcp\n" {
		t.Errorf("%q, %q, want %q", out, said, want)
	}
	if _, said := berth("port", "add", "-n", "eph", "-ephemeral"); said != "" {
		t.Errorf("an ephemeral range: %q", said)
	}
	if _, said := berth("port", "update", "-n", "low", "-policy", "next"); said != "" {
		t.Errorf("an update of other things: %q", said)
	}
	const list = "8080,40000-40009"
	out, said = berth("doctor")
	for _, want := range []string{
		"kernel   may take 40000-40002,40005-40009 of range high by itself (net.ipv4.ip_local_port_range is 39000-41000)",
		"berth doctor -fix, or as root: sysctl -w net.ipv4.ip_local_reserved_ports=" + list + "\n",
		"echo 'net.ipv4.ip_local_reserved_ports = " + list + "' > /etc/sysctl.d/90-berth.conf",
	} {
		if !strings.Contains(out+said, want) {
			t.Errorf("doctor does not say %q:\n%s%s", want, out, said)
		}
	}
	out, said = berth("doctor", "-fix")
	if !strings.Contains(said, "fixed: the kernel does not take 40000-40002,40005-40009 of range high any more\n") || !strings.Contains(said, "/etc/sysctl.d/90-berth.conf") || strings.Contains(out, "may take") {
		t.Errorf("%s%s", out, said)
	}
	if text, err := os.ReadFile(reserved); err != nil || strings.TrimSpace(string(text)) != list {
		t.Errorf("%q, %v, want %s", text, err, list)
	}
	// From then on it is silent, and there is nothing to fix.
	if _, said := berth("doctor", "-fix"); said != "the kernel takes no ports of ranges by itself: there is nothing to fix\n" {
		t.Errorf("%q", said)
	}
	if _, said := berth("port", "add", "-n", "more", "-min", "40009", "-max", "40009", "-proto", "udp"); said != "" {
		t.Errorf("a range that is kept from the kernel: %q", said)
	}
	// The kernel chooses none of them for an ephemeral range.
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("39998 40011"), 0); err != nil {
		t.Fatal(err)
	}
	c := client.New(client.Options{Socket: filepath.Join(home, "berth.sock")})
	defer c.Close()
	leases, err := c.AcquireLeases(t.Context(), api.AcquireLeases{Ranges: []string{"eph", "eph", "eph", "eph"}})
	var ports []int
	for _, l := range leases {
		ports = append(ports, l.Port)
	}
	slices.Sort(ports)
	if want := []int{39998, 39999, 40010, 40011}; err != nil || !slices.Equal(ports, want) {
		t.Errorf("%v, %v, want %v", ports, err, want)
	}
}
