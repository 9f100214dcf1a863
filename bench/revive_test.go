package bench_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"berth/api"
)

// reviving has a process that is started again whenever it ends, and that tells
// when it listens.
const reviving = `<distribution name="reviving" version="1.0">
  <process name="tell" invoke="true" restart="always">
    <port name="bench"/>
    <generic profile="bench"><arg value=%q/><arg value="tell"/><arg value=%q/></generic>
  </process>
</distribution>
`

// BenchmarkRevive is the time from the signal that ends a process until it
// listens again, started anew on its port. Each dies once, so that none has to
// wait for its turn.
func BenchmarkRevive(b *testing.B) {
	path := trivial(b)
	n := size(100, 5)
	told := listenForTidings(b)
	d := startDaemon(b)
	d.deploy(b, fmt.Sprintf(reviving, path, told.socket))
	ports, environ := rawPorts(n), os.Environ()
	const ours, none = "berth serve", "a bare watcher, fork and exec from Go"
	all := make(deaths)
	f := alternate(b,
		series{none, func(b *testing.B) float64 {
			w := startWatcher(b, path, n, true, func(i int) (args, env []string) {
				return []string{"tell", told.socket}, append(environ[:len(environ):len(environ)], "PORT="+strconv.Itoa(ports[i]))
			})
			defer w.end()
			told.await(b, n)
			return all.each(b, none, n, w.kill, func(i int) { told.awaitPort(b, ports[i]) })
		}},
		series{ours, func(b *testing.B) float64 {
			defer d.killAll(b)
			r, err := d.Exec(b.Context(), api.Exec{
				Distribution: "reviving", Version: "1.0", Profile: "bench", Name: "tell", Instances: n, WaitSeconds: patience.Seconds(),
			})
			if err != nil {
				b.Fatal(err)
			}
			told.await(b, n)
			pidfds := pidfdsOf(b, r.Processes, func(p api.Process) int { return p.PID })
			defer closeAll(b, pidfds)
			return all.each(b, ours, n,
				func(i int) error { return kill(pidfds[i]) },
				func(i int) { told.awaitPort(b, r.Processes[i].Ports[0].Port) })
		}})
	const what = "a death until the process listens again"
	f.report(b, what, ms, ours, none, "< 10 ms")
	all.tail(b, what, ours, none, "")
}

// tidings is where trivial servers tell that they listen.
type tidings struct {
	conn   *net.UnixConn
	socket string
}

func listenForTidings(b *testing.B) *tidings {
	b.Helper()
	socket := filepath.Join(folder(b), "told.sock")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		b.Fatal(err)
	}
	endLater(b, func() {
		if err := conn.Close(); err != nil {
			b.Error(err)
		}
	})
	return &tidings{conn, socket}
}

// next is the port of the next server that listens.
func (t *tidings) next(b *testing.B) int {
	b.Helper()
	var text [8]byte
	n, err := t.conn.Read(text[:])
	if err != nil {
		b.Fatal(err)
	}
	port, err := strconv.Atoi(string(text[:n]))
	if err != nil {
		b.Fatal(err)
	}
	return port
}

// await waits until n servers have told that they listen.
func (t *tidings) await(b *testing.B, n int) {
	b.Helper()
	if err := t.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		b.Fatal(err)
	}
	for range n {
		t.next(b)
	}
}

// awaitPort waits until the server of a port, and no other, tells that it listens.
func (t *tidings) awaitPort(b *testing.B, port int) {
	b.Helper()
	if got := t.next(b); got != port {
		b.Fatalf("a server listens on port %d, not on %d", got, port)
	}
}
