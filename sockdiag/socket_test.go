package sockdiag_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"berth/internal/require"
	"berth/sockdiag"
)

func TestSockets(t *testing.T) {
	for _, test := range []struct {
		name, network, address string
		local                  string
		v6only                 bool
	}{
		{"TCP on the IPv4 loopback", "tcp4", "127.0.0.1:0", "127.0.0.1", false},
		{"TCP on all IPv4 addresses", "tcp4", "0.0.0.0:0", "0.0.0.0", false},
		{"TCP on all addresses", "tcp", "[::]:0", "::", false},
		{"TCP on all IPv6 addresses", "tcp6", "[::]:0", "::", true},
		{"TCP on the IPv6 loopback", "tcp6", "[::1]:0", "::1", true},
		{"UDP on the IPv4 loopback", "udp4", "127.0.0.1:0", "127.0.0.1", false},
		{"UDP on all addresses", "udp", "[::]:0", "::", false},
		{"UDP on all IPv6 addresses", "udp6", "[::]:0", "::", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := bind(t, test.network, test.address, false)
			port := int(b.addr.Port())
			want := sockdiag.Socket{
				Protocol: test.network[:3],
				Local:    netip.AddrPortFrom(netip.MustParseAddr(test.local), b.addr.Port()),
				V6Only:   test.v6only,
				Inode:    inode(t, b.conn),
				UID:      uint32(os.Getuid()),
				State:    map[string]sockdiag.State{"tcp": sockdiag.Listening, "udp": sockdiag.Bound}[test.network[:3]],
			}
			got, err := sockdiag.OnPort(want.Protocol, port)
			if err != nil || len(got) != 1 || got[0] != want {
				t.Errorf("on port %d: %+v, %v, want %+v", port, got, err, want)
			}
			if all, err := sockdiag.Listeners(want.Protocol); err != nil || !slices.Contains(all, want) {
				t.Errorf("%+v is not among %+v, %v", want, all, err)
			}
			if owner, ok, err := sockdiag.Find(want.Protocol, port); err != nil || !ok || owner.PID != os.Getpid() {
				t.Errorf("%v, %v, %v", owner, ok, err)
			}
			b.close()
			if got, err := sockdiag.OnPort(want.Protocol, port); err != nil || len(got) != 0 {
				t.Errorf("after its end: %+v, %v", got, err)
			}
			if owner, ok, err := sockdiag.Find(want.Protocol, port); err != nil || ok || owner != (sockdiag.Owner{}) {
				t.Errorf("after its end: %v, %v, %v", owner, ok, err)
			}
		})
	}
}

func TestConnectionsAreNoListeners(t *testing.T) {
	b := bind(t, "tcp4", "127.0.0.1:0", false)
	c, err := net.Dial("tcp4", b.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	server, err := b.conn.(*net.TCPListener).Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()

	all, err := sockdiag.Listeners("tcp")
	if err != nil {
		t.Fatal(err)
	}
	connected := []uint64{inode(t, c.(*net.TCPConn)), inode(t, server.(*net.TCPConn))}
	for _, s := range all {
		if slices.Contains(connected, s.Inode) {
			t.Errorf("a connection is listed: %+v", s)
		}
	}
	port := c.LocalAddr().(*net.TCPAddr).Port
	if got, err := sockdiag.OnPort("tcp", port); err != nil || len(got) != 0 {
		t.Errorf("on the client's port: %+v, %v", got, err)
	}
	// Nobody could bind it all the same, and a message may say who keeps it.
	if owner, ok, err := sockdiag.Find("tcp", port); err != nil || !ok || owner.PID != os.Getpid() {
		t.Errorf("who has the client's port: %v, %v, %v", owner, ok, err)
	}
}

func TestConnectedUDPIsBound(t *testing.T) {
	b := bind(t, "udp4", "127.0.0.1:0", false)
	c, err := net.Dial("udp4", b.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	got, err := sockdiag.OnPort("udp", c.LocalAddr().(*net.UDPAddr).Port)
	if err != nil || len(got) != 1 || got[0].Inode != inode(t, c.(*net.UDPConn)) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestBoundIsNoListener(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	port := name.(*unix.SockaddrInet4).Port
	if got, err := sockdiag.OnPort("tcp", port); err != nil || len(got) != 0 {
		t.Errorf("on its port: %+v, %v", got, err)
	}
	owner, ok, err := sockdiag.Find("tcp", port)
	if err != nil {
		t.Fatal(err)
	}
	if !ok && !kernel(t, 6, 8) {
		require.Missing(t, "a kernel that tells of bound sockets that do not listen", "run the tests on Linux 6.8 or later")
	}
	if !ok || owner.PID != os.Getpid() {
		t.Errorf("who has it: %v, %v", owner, ok)
	}
}

func TestSharedPort(t *testing.T) {
	for _, network := range []string{"tcp4", "udp4"} {
		t.Run(network, func(t *testing.T) {
			first := bind(t, network, "127.0.0.1:0", true)
			second := bind(t, network, first.addr.String(), true)
			got, err := sockdiag.OnPort(network[:3], int(first.addr.Port()))
			if err != nil {
				t.Fatal(err)
			}
			var inodes []uint64
			for _, s := range got {
				inodes = append(inodes, s.Inode)
			}
			want := []uint64{inode(t, first.conn), inode(t, second.conn)}
			slices.Sort(inodes)
			slices.Sort(want)
			if !slices.Equal(inodes, want) {
				t.Errorf("%v, want %v", inodes, want)
			}
		})
	}
}

// More listeners than fit into one part of the kernel's answer.
func TestManyListeners(t *testing.T) {
	const count = 600
	want := map[uint64]uint16{}
	for range count {
		b := bind(t, "tcp4", "127.0.0.1:0", false)
		want[inode(t, b.conn)] = b.addr.Port()
	}
	all, err := sockdiag.Listeners("tcp")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if port, ok := want[s.Inode]; ok {
			if port != s.Local.Port() {
				t.Errorf("%+v, want port %d", s, port)
			}
			delete(want, s.Inode)
		}
	}
	if len(want) > 0 {
		t.Errorf("%d of %d listeners are missing", len(want), count)
	}
}

func TestBadQuestions(t *testing.T) {
	for _, protocol := range []string{"", "TCP", "sctp", "tcp4"} {
		t.Run(fmt.Sprintf("protocol %q", protocol), func(t *testing.T) {
			if got, err := sockdiag.Listeners(protocol); !errors.Is(err, sockdiag.ErrProtocol) {
				t.Errorf("%v, %v", got, err)
			}
			if got, err := sockdiag.OnPort(protocol, 80); !errors.Is(err, sockdiag.ErrProtocol) {
				t.Errorf("%v, %v", got, err)
			}
			if got, ok, err := sockdiag.Find(protocol, 80); ok || !errors.Is(err, sockdiag.ErrProtocol) {
				t.Errorf("%v, %v, %v", got, ok, err)
			}
		})
	}
	for _, port := range []int{-1, 0, 65536, 1<<16 + 80} {
		t.Run(fmt.Sprintf("port %d", port), func(t *testing.T) {
			if got, err := sockdiag.OnPort("tcp", port); !errors.Is(err, sockdiag.ErrPort) {
				t.Errorf("%v, %v", got, err)
			}
			if got, ok, err := sockdiag.Find("udp", port); ok || !errors.Is(err, sockdiag.ErrPort) {
				t.Errorf("%v, %v, %v", got, ok, err)
			}
		})
	}
}

// kernel reports whether the kernel is at least of a version.
func kernel(t testing.TB, major, minor int) bool {
	t.Helper()
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		t.Fatal(err)
	}
	var have [2]int
	release := unix.ByteSliceToString(name.Release[:])
	if _, err := fmt.Sscanf(release, "%d.%d", &have[0], &have[1]); err != nil {
		t.Fatalf("kernel release %q: %v", release, err)
	}
	return have[0] > major || have[0] == major && have[1] >= minor
}
