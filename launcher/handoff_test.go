package launcher_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"berth/internal/require"
	"berth/launcher"
	"berth/lease"

	"golang.org/x/sys/unix"
)

const listenPort = `<port name="http" handoff="listen"/>`

func udp(name string, min, max int) lease.Range {
	r := tcp(name, min, max)
	r.Protocol = lease.UDP
	return r
}

// ask connects to a port of this host and returns what is answered.
func ask(t *testing.T, network string, port int) string {
	t.Helper()
	c, err := net.Dial(network, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return answer(t, c)
}

func answer(t *testing.T, c net.Conn) string {
	t.Helper()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, ok := c.(*net.UDPConn); ok {
		if _, err := c.Write([]byte("?")); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 100)
		n, err := c.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// listenWithoutReuse is a server that does not set SO_REUSEADDR.
func listenWithoutReuse(port int) error {
	c := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 0) })
	}}
	l, err := c.Listen(context.Background(), "tcp", ":"+strconv.Itoa(port))
	if err == nil {
		_ = l.Close()
	}
	return err
}

func TestSocketsAreHandedOver(t *testing.T) {
	w := newWorld(t, tcp("http", 22300, 22301), tcp("own", 22302, 22303), udp("dns", 22304, 22305), tcp("admin", 22306, 22307))
	w.deploy(process("p", `<port name="own"/><port name="dns" handoff="listen"/>`+listenPort+`<port name="admin" handoff="inherit"/>`, "activated"))
	r, err := w.Exec(t.Context(), launcher.ExecRequest{Distribution: "demo", Version: "1.0", Profile: "test", Name: "p", Instances: 2})
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range r.Processes {
		for _, port := range p.Ports[1:] {
			if got, want := ask(t, string(port.Protocol), port.Number), fmt.Sprintf("%d %s\n", p.Identity.PID, port.Range); got != want {
				t.Errorf("port %d answers %q, want %q", port.Number, got, want)
			}
		}
		if want := []int{22302 + i, 22304 + i, 22300 + i, 22306 + i}; !slices.Equal(numbers(r.Processes[i:i+1]), want) {
			t.Errorf("ports %v, want %v", numbers(r.Processes[i:i+1]), want)
		}
		zero, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/0", p.Identity.PID))
		if five, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/5", p.Identity.PID)); err != nil || zero != five || !strings.HasPrefix(zero, "socket:") {
			t.Errorf("descriptor 0 is %s (%v), 5 is %s", zero, err, five)
		}
		w.awaitProcess(p.ID, func(p launcher.Process) bool {
			return p.Ports[0].State == launcher.PortLeased && !slices.ContainsFunc(p.Ports[1:], func(port launcher.Port) bool { return port.State != launcher.PortListening })
		})
	}
	if _, err := w.Kill(t.Context(), launcher.StopRequest{Wait: patience}); err != nil {
		t.Fatal(err)
	}
	for _, s := range w.leases.Ranges("*") {
		if len(s.Available) != 2 {
			t.Errorf("%+v: not all ports came back", s)
		}
	}
}

func TestNoSocketsNoVariables(t *testing.T) {
	w := newWorld(t, tcp("http", 22310, 22311))
	w.deploy(process("p", httpPort, "show") + process("held", `<port name="http" handoff="hold"/>`, "show"))
	for _, name := range []string{"p", "held"} {
		r, err := w.Exec(t.Context(), launcher.ExecRequest{Distribution: "demo", Version: "1.0", Profile: "test", Name: name})
		if err != nil {
			t.Fatal(err)
		}
		id := r.Processes[0].ID
		w.awaitEnded(id)
		if out := w.output(id); !strings.Contains(out, "PORT=") || strings.Contains(out, "LISTEN_") {
			t.Errorf("%s printed %s", name, out)
		}
	}
}

// What comes while the old incarnation does not accept any more, and the new
// one is not there yet, is answered by the new one.
func TestRestartQueuesConnections(t *testing.T) {
	w := newWorld(t, tcp("http", 22320, 22320))
	w.deploy(process("p", listenPort, "activated"))
	p := w.exec("p", 1)[0]
	if got, want := ask(t, "tcp", 22320), fmt.Sprintf("%d http\n", p.Identity.PID); got != want {
		t.Fatalf("answer %q, want %q", got, want)
	}
	if _, err := w.Restart(t.Context(), launcher.StopRequest{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() (bool, string) {
		return strings.Contains(w.output(p.ID), "accepts no more"), "it was not asked to end"
	})
	var waiting []net.Conn
	for range 10 {
		c, err := net.Dial("tcp", "127.0.0.1:22320")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		waiting = append(waiting, c)
	}
	for _, c := range waiting {
		got := answer(t, c)
		again, err := w.Process(p.ID)
		if err != nil || again.Identity.PID == p.Identity.PID || got != fmt.Sprintf("%d http\n", again.Identity.PID) {
			t.Errorf("answer %q, process %+v, %v", got, again, err)
		}
	}
	w.awaitProcess(p.ID, func(p launcher.Process) bool { return p.Ports[0].State == launcher.PortListening })
}

// The daemon that adopts a process has no copy of its sockets.
func TestAdoptedProcessIsHandedItsPortAgain(t *testing.T) {
	w := newWorld(t, tcp("http", 22330, 22330))
	w.deploy(process("p", listenPort, "activated"))
	before := w.exec("p", 1)[0]
	w.reopen()
	if p := w.awaitProcess(before.ID, func(p launcher.Process) bool { return p.Ports[0].State == launcher.PortListening }); p.Identity != before.Identity {
		t.Fatalf("%+v was not adopted", p)
	}
	if _, err := w.Restart(t.Context(), launcher.StopRequest{Hard: true, Wait: patience}); err != nil {
		t.Fatal(err)
	}
	p, err := w.Process(before.ID)
	if got := ask(t, "tcp", 22330); err != nil || p.Identity == before.Identity || got != fmt.Sprintf("%d http\n", p.Identity.PID) {
		t.Errorf("answer %q of %+v, %v", got, p, err)
	}
}

func TestRestartSaysWhoTookThePort(t *testing.T) {
	w := newWorld(t, tcp("http", 22335, 22335))
	w.deploy(process("p", listenPort, "activated"))
	p := w.exec("p", 1)[0]
	w.reopen()
	// A copy of the socket, as somebody has it who was handed it by the process.
	pidfd, err := unix.PidfdOpen(p.Identity.PID, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pidfd)
	fd, err := unix.PidfdGetfd(pidfd, 3, 0)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) {
		require.Missing(t, "the right to take over a descriptor", "allow pidfd_getfd and ptrace of own children")
	} else if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := w.Restart(t.Context(), launcher.StopRequest{Hard: true}); err != nil {
		t.Fatal(err)
	}
	ended := w.awaitEnded(p.ID)
	if want := fmt.Sprintf("could not be started again: tcp port 22335 is in use by pid %d (", os.Getpid()); ended.Exit == nil || !strings.HasPrefix(ended.Exit.Reason, want) {
		t.Errorf("exit %+v, want %s", ended.Exit, want)
	}
}

// thief listens on each port that it is told of right after the port was found
// to be free.
type thief struct {
	lease.Prober
	wanted map[int]bool
	taken  []net.Listener
}

func (f *thief) Probe(p lease.Protocol, port int) error {
	err := f.Prober.Probe(p, port)
	if err == nil && f.wanted[port] {
		delete(f.wanted, port)
		l, err := net.Listen("tcp", ":"+strconv.Itoa(port))
		if err != nil {
			return err
		}
		f.taken = append(f.taken, l)
	}
	return err
}

func TestPortLostBeforeTheBindIsReplaced(t *testing.T) {
	for _, how := range []string{"listen", "hold"} {
		t.Run(how, func(t *testing.T) {
			f := &thief{Prober: lease.SystemProber(), wanted: map[int]bool{22341: true, 22342: true}}
			defer func() {
				for _, l := range f.taken {
					_ = l.Close()
				}
			}()
			w := newWorldWith(t, f, tcp("http", 22340, 22345))
			w.deploy(process("p", `<port name="http" handoff="`+how+`"/>`, map[string]string{"listen": "activated", "hold": "serve"}[how]))
			if got, want := numbers(w.exec("p", 3)), []int{22340, 22343, 22344}; !slices.Equal(got, want) {
				t.Errorf("ports %v, want %v", got, want)
			}
			var aside []int
			for _, s := range w.leases.Ranges("http")[0].SetAside {
				aside = append(aside, s.Port)
			}
			if !slices.Equal(aside, []int{22341, 22342}) {
				t.Errorf("set aside are %v", aside)
			}
			f.wanted[22345] = true
			_, err := w.Exec(t.Context(), launcher.ExecRequest{Distribution: "demo", Version: "1.0", Profile: "test", Name: "p"})
			if !errors.Is(err, lease.ErrRangeFull) {
				t.Errorf("the last port is lost too: %v", err)
			}
		})
	}
}

// Somebody tries to bind every port of the range all the time while processes
// start. What it has it does not keep, so that the ports do not run out.
func TestNobodyGetsAPortThatIsHandedOver(t *testing.T) {
	const low, high = 22350, 22365
	w := newWorld(t, tcp("http", low, high))
	w.deploy(process("p", listenPort, "activated"))
	var stop atomic.Bool
	var stolen atomic.Int64
	var binders sync.WaitGroup
	for port := low; port <= high; port++ {
		binders.Go(func() {
			for !stop.Load() {
				if l, err := net.Listen("tcp", ":"+strconv.Itoa(port)); err == nil {
					stolen.Add(1)
					_ = l.Close()
				}
				time.Sleep(100 * time.Microsecond)
			}
		})
	}
	defer binders.Wait()
	defer stop.Store(true)
	for range 5 {
		r, err := w.Exec(t.Context(), launcher.ExecRequest{Distribution: "demo", Version: "1.0", Profile: "test", Name: "p", Instances: 3})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range r.Processes {
			port := p.Ports[0].Number
			if got, want := ask(t, "tcp", port), fmt.Sprintf("%d http\n", p.Identity.PID); got != want {
				t.Errorf("port %d answers %q, want %q", port, got, want)
			}
			w.awaitProcess(p.ID, func(p launcher.Process) bool {
				if p.Ports[0].State == launcher.PortStolen {
					t.Errorf("port %d is stolen", port)
				}
				return p.Ports[0].State != launcher.PortLeased
			})
		}
		if _, err := w.Kill(t.Context(), launcher.StopRequest{Hard: true, Wait: patience}); err != nil {
			t.Fatal(err)
		}
	}
	if stolen.Load() == 0 {
		t.Error("nobody tried to take the ports")
	}
}

func TestHold(t *testing.T) {
	w := newWorld(t, tcp("http", 22370, 22371), udp("dns", 22372, 22372))
	w.deploy(process("idle", `<port name="http" handoff="hold"/>`, "idle") +
		process("serve", `<port name="http" handoff="hold"/>`, "serve") +
		process("udp", `<port name="dns" handoff="hold"/>`, "udp"))
	r, err := w.Exec(t.Context(), launcher.ExecRequest{Distribution: "demo", Version: "1.0", Profile: "test", Name: "idle"})
	if err != nil {
		t.Fatal(err)
	}
	port := r.Processes[0].Ports[0].Number
	if err := listenWithoutReuse(port); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("port %d was bound while its process had not come to it: %v", port, err)
	}
	if _, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("connecting to a port that is only held: %v", err)
	}
	for _, name := range []string{"serve", "udp"} {
		w.exec(name, 1) // returns when it listens
	}
	if _, err := w.Restart(t.Context(), launcher.StopRequest{Selector: launcher.Selector{Name: "serve"}, Wait: patience}); err != nil {
		t.Error(err)
	}
	if _, err := w.Restart(t.Context(), launcher.StopRequest{Selector: launcher.Selector{Name: "udp"}, Wait: patience}); err != nil {
		t.Error(err)
	}
	if _, err := w.Kill(t.Context(), launcher.StopRequest{Wait: patience}); err != nil {
		t.Fatal(err)
	}
	if err := listenWithoutReuse(port); err != nil {
		t.Errorf("port %d is not free: %v", port, err)
	}
}

const inheritedJava = `
import java.nio.ByteBuffer;
import java.nio.channels.*;

public class Inherited {
	public static void main(String[] args) throws Exception {
		Channel c = System.inheritedChannel();
		if (!(c instanceof ServerSocketChannel)) {
			System.out.println("no server socket is inherited: " + c);
			System.exit(3);
		}
		while (true) {
			try (SocketChannel client = ((ServerSocketChannel) c).accept()) {
				client.write(ByteBuffer.wrap((ProcessHandle.current().pid() + " java\n").getBytes()));
			}
		}
	}
}
`

func TestJVMInheritsItsChannel(t *testing.T) {
	javac := require.Tool(t, "javac")
	java := require.Tool(t, "java")
	dir := t.TempDir()
	source := filepath.Join(dir, "Inherited.java")
	if err := os.WriteFile(source, []byte(inheritedJava), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(javac, "-d", dir, source).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	w := newWorld(t, tcp("http", 22380, 22380))
	w.deploy(fmt.Sprintf(`<process name="p" shutdownTimeout="10000"><port name="http" handoff="inherit"/><generic profile="test">
		<arg value=%q/><arg value="-Xshare:auto"/><arg value="-cp"/><arg value=%q/><arg value="Inherited"/></generic></process>`, java, dir))
	p := w.exec("p", 1)[0]
	// The JVM still starts: the connection waits for it.
	if got, want := ask(t, "tcp", 22380), fmt.Sprintf("%d java\n", p.Identity.PID); got != want {
		t.Errorf("answer %q, want %q; it printed %s", got, want, w.output(p.ID))
	}
}
