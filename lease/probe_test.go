package lease_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"berth/internal/require"
	"berth/lease"
)

// holder makes something that has a port and returns the port.
type holder struct {
	name string
	make func(t *testing.T) int

	// What our probes say about the port: in use or not.
	tcp, udp bool

	// What other ways to probe a TCP port would say, as the reason for ours:
	// IPv4 only, IPv6 only, IPv4 with SO_REUSEPORT, and without SO_REUSEADDR.
	v4, v6only, reusePort, plain bool

	// What a UDP probe of IPv4 only, and ours with SO_REUSEADDR, would say.
	udp4, udpReuse bool
}

var holders = []holder{
	{name: "nobody", make: nobody},
	{name: "TCP listener on 127.0.0.1", make: listener(unix.AF_INET, loopback4, options{reuseAddr: true}),
		tcp: true, v4: true, reusePort: true, plain: true},
	{name: "TCP listener on 0.0.0.0", make: listener(unix.AF_INET, any4, options{reuseAddr: true}),
		tcp: true, v4: true, reusePort: true, plain: true},
	{name: "TCP listener on ::1", make: listener(unix.AF_INET6, loopback6, options{reuseAddr: true}),
		tcp: true, v6only: true, plain: true},
	{name: "TCP listener on ::, IPv6 only", make: listener(unix.AF_INET6, any6, options{reuseAddr: true, v6only: true}),
		tcp: true, v6only: true, plain: true},
	{name: "TCP listener on ::, IPv4 too", make: listener(unix.AF_INET6, any6, options{reuseAddr: true}),
		tcp: true, v4: true, v6only: true, reusePort: true, plain: true},
	{name: "TCP listener on 0.0.0.0 without SO_REUSEADDR", make: listener(unix.AF_INET, any4, options{}),
		tcp: true, v4: true, reusePort: true, plain: true},
	{name: "TCP listener with SO_REUSEPORT on 0.0.0.0", make: listener(unix.AF_INET, any4, options{reusePort: true}),
		tcp: true, v4: true, reusePort: false, plain: true},
	{name: "UDP socket on 127.0.0.1", make: datagram(unix.AF_INET, loopback4, options{}),
		udp: true, udp4: true, udpReuse: true},
	{name: "UDP socket on ::1", make: datagram(unix.AF_INET6, loopback6, options{}),
		udp: true, udp4: false, udpReuse: true},
	{name: "UDP socket with SO_REUSEADDR", make: datagram(unix.AF_INET, any4, options{reuseAddr: true}),
		udp: true, udp4: true, udpReuse: false},
	{name: "connection in TIME_WAIT", make: timeWait, reusePort: true, plain: true},
	{name: "orphaned ESTABLISHED connection", make: orphaned, reusePort: true, plain: true},
	{name: "TCP socket that is bound with SO_REUSEADDR and does not listen", make: boundOnly(options{reuseAddr: true}),
		reusePort: true, plain: true},
	{name: "TCP socket that is bound without SO_REUSEADDR and does not listen", make: boundOnly(options{}),
		tcp: true, v4: true, v6only: true, reusePort: true, plain: true},
}

// TestProbe holds each kind of holder against our probes, and against the other
// ways to probe that it rules out.
func TestProbe(t *testing.T) {
	prober := lease.SystemProber()
	for _, h := range holders {
		t.Run(h.name, func(t *testing.T) {
			port := h.make(t)
			for _, p := range []struct {
				name string
				want bool
				got  error
			}{
				{"TCP", h.tcp, prober.Probe(lease.TCP, port)},
				{"UDP", h.udp, prober.Probe(lease.UDP, port)},
				{"TCP, again", h.tcp, prober.Probe(lease.TCP, port)},
				{"IPv4 only", h.v4, tryTCP(unix.AF_INET, port, options{reuseAddr: true})},
				{"IPv6 only", h.v6only, tryTCP(unix.AF_INET6, port, options{reuseAddr: true, v6only: true})},
				{"IPv4 with SO_REUSEPORT", h.reusePort, tryTCP(unix.AF_INET, port, options{reusePort: true})},
				{"without SO_REUSEADDR", h.plain, tryTCP(unix.AF_INET6, port, options{})},
				{"UDP, IPv4 only", h.udp4, tryUDP(unix.AF_INET, port, options{})},
				{"UDP with SO_REUSEADDR", h.udpReuse, tryUDP(unix.AF_INET6, port, options{reuseAddr: true})},
			} {
				if inUse := errors.Is(p.got, lease.ErrInUse) || errors.Is(p.got, unix.EADDRINUSE); inUse != p.want || !inUse && p.got != nil {
					t.Errorf("%s: %v, want in use: %v", p.name, p.got, p.want)
				}
			}
		})
	}
}

// A probe leaves no descriptor behind, also of a port that is in use.
func TestProbeClosesItsSockets(t *testing.T) {
	const probes = 20
	prober := lease.SystemProber()
	port := listener(unix.AF_INET6, any6, options{reuseAddr: true})(t)
	own := func() (n int) {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	before := own()
	for range probes {
		if err := prober.Probe(lease.TCP, port); !errors.Is(err, lease.ErrInUse) {
			t.Fatal(err)
		}
	}
	if grown := own() - before; grown >= probes { // other tests have theirs
		t.Errorf("%d probes left %d descriptors", probes, grown)
	}
}

func TestProbeErrorNamesPort(t *testing.T) {
	port := listener(unix.AF_INET, loopback4, options{})(t)
	err := lease.SystemProber().Probe(lease.TCP, port)
	var inUse *lease.InUseError
	if !errors.As(err, &inUse) || inUse.Port != port || inUse.Protocol != lease.TCP {
		t.Fatalf("%v, want an InUseError of port %d", err, port)
	}
	if want := fmt.Sprintf("tcp port %d is in use by another process", port); err.Error() != want {
		t.Errorf("%q, want %q", err, want)
	}
}

// reexec runs one test of this binary in a process of its own.
func reexec(t *testing.T, test string, attr *syscall.SysProcAttr) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+test+"$", "-test.count=1", "-test.v")
	cmd.Env = append(os.Environ(), "LEASE_TEST="+test)
	cmd.SysProcAttr = attr
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(string(out), "--- PASS: "+test) {
		t.Fatalf("it did not run:\n%s", out)
	}
}

func TestProbePrivileged(t *testing.T) {
	require.Root(t)
	reexec(t, "TestProbePrivilegedChild", &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET})
}

// TestProbePrivilegedChild is the other side of TestProbePrivileged, and
// nothing by itself.
func TestProbePrivilegedChild(t *testing.T) {
	if os.Getenv("LEASE_TEST") != "TestProbePrivilegedChild" {
		return
	}
	// The first unprivileged port may be lower on this machine; a new network
	// begins with the default.
	if err := syscall.Setuid(65534); err != nil {
		t.Fatal(err)
	}
	for _, p := range []lease.Protocol{lease.TCP, lease.UDP} {
		if err := lease.SystemProber().Probe(p, 99); !errors.Is(err, lease.ErrPrivileged) || errors.Is(err, lease.ErrInUse) {
			t.Errorf("%s port 99 as another user: %v, want ErrPrivileged", p, err)
		}
	}
}

func TestProbeWithoutIPv6(t *testing.T) {
	require.Root(t)
	require.Tool(t, "ip")
	reexec(t, "TestProbeWithoutIPv6Child", &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS})
}

// TestProbeWithoutIPv6Child is the other side of TestProbeWithoutIPv6, and
// nothing by itself.
func TestProbeWithoutIPv6Child(t *testing.T) {
	if os.Getenv("LEASE_TEST") != "TestProbeWithoutIPv6Child" {
		return
	}
	if err := exec.Command("ip", "link", "set", "lo", "up").Run(); err != nil {
		t.Logf("ip: %v; the wildcard address needs no interface", err)
	}
	for _, name := range []string{"all", "default", "lo"} {
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/disable_ipv6", []byte("1"), 0); err != nil {
			t.Fatal(err)
		}
	}
	if port := nobody(t); lease.SystemProber().Probe(lease.TCP, port) != nil || lease.SystemProber().Probe(lease.UDP, port) != nil {
		t.Errorf("port %d is free: %v, %v", port, lease.SystemProber().Probe(lease.TCP, port), lease.SystemProber().Probe(lease.UDP, port))
	}
	tcp := listener(unix.AF_INET, any4, options{reuseAddr: true})(t)
	if err := lease.SystemProber().Probe(lease.TCP, tcp); !errors.Is(err, lease.ErrInUse) {
		t.Errorf("TCP: %v", err)
	}
	udp := datagram(unix.AF_INET, any4, options{})(t)
	if err := lease.SystemProber().Probe(lease.UDP, udp); !errors.Is(err, lease.ErrInUse) {
		t.Errorf("UDP: %v", err)
	}
}

// The sockets below are made with plain system calls: Go's net package sets
// options of its own.

type options struct{ reuseAddr, reusePort, v6only bool }

const (
	any4      = "0.0.0.0"
	any6      = "::"
	loopback4 = "127.0.0.1"
	loopback6 = "::1"
)

func socket(family, kind int, address string, port int, o options) (fd int, err error) {
	fd, err = unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	set := func(level, option int, on bool) {
		if on && err == nil {
			err = unix.SetsockoptInt(fd, level, option, 1)
		}
	}
	set(unix.SOL_SOCKET, unix.SO_REUSEADDR, o.reuseAddr)
	set(unix.SOL_SOCKET, unix.SO_REUSEPORT, o.reusePort)
	var sa unix.Sockaddr
	ip := net.ParseIP(address)
	if family == unix.AF_INET {
		a := &unix.SockaddrInet4{Port: port}
		copy(a.Addr[:], ip.To4())
		sa = a
	} else {
		if err == nil {
			only := 0
			if o.v6only {
				only = 1
			}
			err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only)
		}
		a := &unix.SockaddrInet6{Port: port}
		copy(a.Addr[:], ip.To16())
		sa = a
	}
	if err == nil {
		err = unix.Bind(fd, sa)
	}
	if err != nil {
		_ = unix.Close(fd)
		return 0, err
	}
	return fd, nil
}

func closeLater(t *testing.T, fd int) {
	t.Cleanup(func() { _ = unix.Close(fd) })
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// lastPort is the port that nobody returned last. Ports below the ephemeral
// range are taken: of those, one picked by the kernel for IPv6 only may be in
// use by anybody for IPv4. Where to begin depends on the process, because tests
// of several may run at the same time.
var lastPort = func() *atomic.Int32 {
	var n atomic.Int32
	n.Store(int32(20200 + os.Getpid()%1700))
	return &n
}()

// nobody returns a port, other each time, that nobody has in either protocol.
func nobody(t *testing.T) int {
	for range 1700 {
		port := int(lastPort.Add(1))
		if port > 21900 {
			lastPort.Store(20200)
			continue
		}
		if tryTCP(unix.AF_INET6, port, options{}) == nil && tryUDP(unix.AF_INET6, port, options{}) == nil {
			return port
		}
	}
	t.Fatal("no port is free from 20200 to 21900")
	return 0
}

func listener(family int, address string, o options) func(*testing.T) int {
	return func(t *testing.T) int {
		port := nobody(t)
		fd, err := socket(family, unix.SOCK_STREAM, address, port, o)
		must(t, err)
		closeLater(t, fd)
		must(t, unix.Listen(fd, 16))
		return port
	}
}

func boundOnly(o options) func(*testing.T) int {
	return func(t *testing.T) int {
		port := nobody(t)
		fd, err := socket(unix.AF_INET6, unix.SOCK_STREAM, any6, port, o)
		must(t, err)
		closeLater(t, fd)
		return port
	}
}

func datagram(family int, address string, o options) func(*testing.T) int {
	return func(t *testing.T) int {
		port := nobody(t)
		fd, err := socket(family, unix.SOCK_DGRAM, address, port, o)
		must(t, err)
		closeLater(t, fd)
		return port
	}
}

// connected makes a server with one accepted connection and closes the listener.
func connected(t *testing.T) (port, server, client int) {
	port = nobody(t)
	fd, err := socket(unix.AF_INET, unix.SOCK_STREAM, loopback4, port, options{reuseAddr: true})
	must(t, err)
	must(t, unix.Listen(fd, 16))
	client, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	must(t, unix.Connect(client, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}))
	server, _, err = unix.Accept4(fd, unix.SOCK_CLOEXEC)
	must(t, err)
	must(t, unix.Close(fd))
	return port, server, client
}

// timeWait leaves a connection in TIME_WAIT on the side of the server, who
// closed first.
func timeWait(t *testing.T) int {
	port, server, client := connected(t)
	must(t, unix.Close(server))
	b := make([]byte, 1)
	if n, err := unix.Read(client, b); n != 0 || err != nil {
		t.Fatalf("read at the end: %d, %v", n, err)
	}
	must(t, unix.Close(client))
	return port
}

// orphaned leaves a connection of a listener that is closed.
func orphaned(t *testing.T) int {
	port, server, client := connected(t)
	closeLater(t, server)
	closeLater(t, client)
	return port
}

func tryTCP(family, port int, o options) error {
	fd, err := socket(family, unix.SOCK_STREAM, anyOf(family), port, o)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	return unix.Listen(fd, 1)
}

func tryUDP(family, port int, o options) error {
	fd, err := socket(family, unix.SOCK_DGRAM, anyOf(family), port, o)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

func anyOf(family int) string {
	if family == unix.AF_INET {
		return any4
	}
	return any6
}
