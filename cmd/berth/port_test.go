package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"berth/api"
	"berth/client"
	"berth/internal/require"
)

// shared is sockets that share a port by SO_REUSEPORT.
var shared = net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
	var failed error
	if err := c.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}); err != nil {
		return err
	}
	return failed
}}

// All that listen on a port are told of: of each address family, and those that
// share it; where nobody listens, who is bound or connected.
func TestPortWhoTellsOfAll(t *testing.T) {
	t.Parallel()
	r := start(t, t.TempDir())
	ctx := t.Context()
	first, err := shared.Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	port := first.Addr().(*net.TCPAddr).Port
	for _, network := range [][2]string{{"tcp4", "127.0.0.1"}, {"tcp6", "::1"}} {
		l, err := shared.Listen(ctx, network[0], net.JoinHostPort(network[1], strconv.Itoa(port)))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
	who, err := r.client.PortWho(ctx, "tcp", port)
	if err != nil {
		t.Fatal(err)
	}
	var addresses []string
	for _, s := range who.Sockets {
		addresses = append(addresses, s.Address)
		if s.State != api.SocketListening || len(s.Owners) == 0 || s.Owners[0].PID != os.Getpid() || s.Owners[0].StartedAt.IsZero() || s.UID != os.Getuid() {
			t.Errorf("socket %+v", s)
		}
	}
	v4 := fmt.Sprintf("127.0.0.1:%d", port)
	if want := []string{v4, v4, fmt.Sprintf("[::1]:%d", port)}; !slices.Equal(addresses, want) || who.State != api.PortUnmanaged || len(who.Unseen) != 0 {
		t.Errorf("%+v, want sockets on %v", who, want)
	}

	// A connection's own port, on which nobody listens.
	c, err := net.Dial("tcp4", v4)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	who, err = r.client.PortWho(ctx, "tcp", c.LocalAddr().(*net.TCPAddr).Port)
	if err != nil || len(who.Sockets) != 1 || who.Sockets[0].State != api.SocketConnected || who.Sockets[0].Owners[0].PID != os.Getpid() {
		t.Errorf("%+v, %v", who, err)
	}
	// UDP has no listeners.
	u, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	who, err = r.client.PortWho(ctx, "udp", u.LocalAddr().(*net.UDPAddr).Port)
	if err != nil || len(who.Sockets) != 1 || who.Sockets[0].State != api.SocketBound {
		t.Errorf("%+v, %v", who, err)
	}
	for _, bad := range []struct {
		protocol string
		port     int
	}{{"sctp", 80}, {"tcp", 0}, {"tcp", 65536}, {"udp", -1}} {
		if who, err := r.client.PortWho(ctx, bad.protocol, bad.port); !errors.Is(err, api.CodeInvalid) {
			t.Errorf("%+v: %+v, %v", bad, who, err)
		}
	}
}

// What cannot be read is said: a daemon of another user sees that somebody
// listens, and not who. Nor may it bind low ports, or change the kernel's settings.
func TestPortWhoSaysWhatItCannotSee(t *testing.T) {
	const variable = "BERTH_TEST_PORT"
	if os.Getenv(variable) == "" {
		require.Root(t)
		runInNetwork(t, variable)
		return
	}
	loopbackUp(t)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	const nobody = 65534
	home, err := os.MkdirTemp("/tmp", "berth")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	if err := os.Chown(home, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "serve")
	cmd.Args[0] = "berth"
	cmd.Env = append(os.Environ(), "BERTH_HOME="+home)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	c := client.New(client.Options{Socket: filepath.Join(home, "berth.sock")})
	defer c.Close()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	for deadline := time.Now().Add(scriptPatience); !answers(ctx, filepath.Join(home, "berth.sock")); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the daemon does not answer")
		}
	}

	who, err := c.PortWho(ctx, "tcp", port)
	if err != nil || len(who.Sockets) != 1 || len(who.Sockets[0].Owners) != 0 || who.Sockets[0].Address != fmt.Sprintf("127.0.0.1:%d", port) || who.Sockets[0].UID != 0 {
		t.Errorf("%+v, %v", who, err)
	}
	if want := "who has the socket cannot be seen: the daemon, of uid 65534, sees its own user's processes only"; len(who.Unseen) != 1 || !strings.HasPrefix(who.Unseen[0], want) {
		t.Errorf("%q, want %s", who.Unseen, want)
	}
	added, err := c.AddRanges(ctx, api.AddRanges{Ranges: []api.Range{{Name: "low", Min: 80, Max: 8080}}})
	if err != nil || len(added) != 1 || len(added[0].Warnings) != 1 || !strings.HasPrefix(added[0].Warnings[0], "range low: the daemon (uid 65534) may not bind 80-1023, ") {
		t.Errorf("%+v, %v", added, err)
	}
	if h, err := c.Health(ctx); err != nil || h.Kernel == nil || len(h.Kernel.Privileged) != 1 || h.Kernel.Privileged[0].Ports != "80-1023" {
		t.Errorf("%+v, %v", h.Kernel, err)
	}
	if _, err := c.AddRanges(ctx, api.AddRanges{Ranges: []api.Range{{Name: "high", Min: 40000, Max: 40010}}}); err != nil {
		t.Error(err)
	}
	if fixed, err := c.FixKernel(ctx); !errors.Is(err, api.CodeKernel) || !strings.Contains(err.Error(), "as root: sysctl -w net.ipv4.ip_local_reserved_ports=40000-40010") {
		t.Errorf("what only root may: %+v, %v", fixed, err)
	}
}

// A port that a process of the system holds is listened on by it, once it is; who
// holds it is told with its owner.
func TestPortWhoOfAProcess(t *testing.T) {
	t.Parallel()
	r := start(t, t.TempDir())
	ctx := t.Context()
	held, err := r.client.AcquireLeases(ctx, api.AcquireLeases{
		Ports: []api.PortRequest{{System: true}}, Holder: api.Holder{Kind: api.HolderProcess, PID: os.Getpid(), Name: "the test"}, Owner: "me",
	})
	if err != nil {
		t.Fatal(err)
	}
	port := held[0].Port
	who, err := r.client.PortWho(ctx, "tcp", port)
	if err != nil || who.State != api.PortLeased || who.PID != os.Getpid() || who.Lease == nil || who.Lease.Owner != "me" || who.Lease.Kind != api.HolderProcess {
		t.Errorf("%+v, %v", who, err)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if who, err := r.client.PortWho(ctx, "tcp", port); err != nil || who.State != api.PortListening || len(who.Sockets) != 1 {
		t.Errorf("once it listens: %+v, %v", who, err)
	}
}
