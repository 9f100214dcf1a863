package sockdiag_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"berth/internal/require"
	"berth/sockdiag"
)

// The test binary is its own child program: modeVar says what it does then, argVar with what.
const (
	modeVar = "SOCKDIAG_TEST_MODE"
	argVar  = "SOCKDIAG_TEST_ARG"
)

func TestMain(m *testing.M) {
	switch os.Getenv(modeVar) {
	case "":
		os.Exit(m.Run())
	case "listen":
		listenChild(os.Getenv(argVar))
	case "find":
		findChild(os.Getenv(argVar))
	}
}

// listenChild listens under the name it is given, says on which port, and blocks until its input ends.
func listenChild(name string) {
	if name != "" {
		if err := os.WriteFile("/proc/self/comm", []byte(name), 0); err != nil {
			fmt.Println(err)
			return
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(l.Addr().(*net.TCPAddr).Port)
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = l.Close()
}

// findChild tells what Find and Owners say of a port.
func findChild(arg string) {
	port, _ := strconv.Atoi(arg)
	owner, ok, err := sockdiag.Find("tcp", port)
	sockets, listErr := sockdiag.OnPort("tcp", port)
	var inodes []uint64
	for _, s := range sockets {
		inodes = append(inodes, s.Inode)
	}
	owners, ownersErr := sockdiag.Owners(inodes...)
	fmt.Printf("%s|%v|%v|%d|%v|%d|%v\n", owner, ok, err, len(sockets), listErr, len(owners), ownersErr)
}

func self(mode, arg string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	// The race detector would make every child linger for a second.
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", modeVar+"="+mode, argVar+"="+arg)
	return cmd
}

// listenElsewhere has a child listen, and tells its pid and port.
func listenElsewhere(t testing.TB, cmd *exec.Cmd) (pid, port int) {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if port, err = strconv.Atoi(strings.TrimSpace(line)); err != nil {
		t.Fatalf("child said %q", line)
	}
	return cmd.Process.Pid, port
}

// bound is a socket of this process.
type bound struct {
	conn  syscall.Conn
	addr  netip.AddrPort
	close func()
}

// bind binds a socket of a network ("tcp4", "tcp6", "tcp", "udp4", …), with SO_REUSEPORT where shared. An address that this
// machine does not have skips the test.
func bind(t testing.TB, network, address string, shared bool) bound {
	t.Helper()
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		if !shared {
			return nil
		}
		var failed error
		if err := c.Control(func(fd uintptr) {
			failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		}); err != nil {
			return err
		}
		return failed
	}}
	var (
		b   bound
		err error
	)
	if strings.HasPrefix(network, "tcp") {
		var l net.Listener
		if l, err = config.Listen(context.Background(), network, address); err == nil {
			b = bound{l.(*net.TCPListener), l.Addr().(*net.TCPAddr).AddrPort(), func() { _ = l.Close() }}
		}
	} else {
		var c net.PacketConn
		if c, err = config.ListenPacket(context.Background(), network, address); err == nil {
			b = bound{c.(*net.UDPConn), c.LocalAddr().(*net.UDPAddr).AddrPort(), func() { _ = c.Close() }}
		}
	}
	if err != nil {
		if strings.HasSuffix(network, "6") || strings.HasPrefix(address, "[") {
			require.Missing(t, "IPv6 ("+err.Error()+")", "run the tests where the loopback interface has ::1")
		}
		t.Fatal(err)
	}
	t.Cleanup(b.close)
	return b
}

// inode is the number that the kernel shows a socket of this process under.
func inode(t testing.TB, c syscall.Conn) uint64 {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var (
		stat   unix.Stat_t
		failed error
	)
	if err := raw.Control(func(fd uintptr) { failed = unix.Fstat(int(fd), &stat) }); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	return stat.Ino
}
