package bench_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"berth/api"
	"berth/internal/require"
)

// way is one way to have processes started.
type way struct {
	name string

	// start starts n servers and returns their ports.
	start func(b *testing.B, n int) []int

	// end ends them.
	end func(b *testing.B)
}

// untilAllAccept is how long it takes, in milliseconds, to start n servers with
// a port each until each of them has accepted a connection.
func (w way) untilAllAccept(n int) func(*testing.B) float64 {
	return func(b *testing.B) float64 {
		begin := time.Now()
		ports := w.start(b, n)
		err := connectAll(ports)
		took := time.Since(begin)
		w.end(b)
		if err != nil {
			b.Fatal(err)
		}
		if len(ports) != n {
			b.Fatalf("%s started %d servers, not %d", w.name, len(ports), n)
		}
		return inMs(took)
	}
}

// usually is the median of a few times untilAllAccept.
func (w way) usually(n, times int) func(*testing.B) float64 {
	once := w.untilAllAccept(n)
	return func(b *testing.B) float64 {
		all := make([]float64, times)
		for i := range all {
			all[i] = once(b)
		}
		return median(all)
	}
}

// rawWay is fork and exec, one after the other.
func rawWay(path string, how func(port int) (args, env []string)) way {
	var all raw
	return way{
		"fork and exec from Go",
		func(b *testing.B, n int) []int {
			ports := rawPorts(n)
			all = startRaw(b, path, n, func(i int) ([]string, []string) { return how(ports[i]) })
			return ports
		},
		func(b *testing.B) { all.end(b) },
	}
}

// berthWays are those that a launcher in this process, and the command line
// with a daemon, have to start a process.
func berthWays(l inProcess, d *daemon, name string) []way {
	count := strconv.Itoa
	args := func(n int, more ...string) []string {
		return append([]string{"-d", "*", "-v", "*", "-p", "bench", "-n", name, "-i", count(n)}, more...)
	}
	inProcess, inDaemon := func(b *testing.B) { l.killAll(b) }, func(b *testing.B) { d.killAll(b) }
	return []way{
		{"launcher", func(b *testing.B, n int) []int { return l.exec(b, name, n, 0) }, inProcess},
		{"launcher, waiting", func(b *testing.B, n int) []int { return l.exec(b, name, n, patience) }, inProcess},
		{"berth exec", func(b *testing.B, n int) []int { return d.exec(b, args(n)...) }, inDaemon},
		{"berth exec -w", func(b *testing.B, n int) []int { return d.exec(b, args(n, "-w", "60")...) }, inDaemon},
	}
}

// BenchmarkStart starts trivial servers: one, and up to five hundred.
func BenchmarkStart(b *testing.B) {
	path := trivial(b)
	l, d := openLauncher(b), startDaemon(b)
	d.deployTrivial(b)
	l.deploy(b, fmt.Sprintf(descriptor, path, filepath.Join(b.TempDir(), "stamp")))
	environ := os.Environ()
	none := rawWay(path, func(port int) (args, env []string) {
		return nil, append(environ[:len(environ):len(environ)], "PORT="+strconv.Itoa(port))
	})
	ways := berthWays(l, d, "serve")
	compareStarts(b, 1, "trivial server until it accepts", "", none, ways)
	for _, n := range []int{10, 100, 500} {
		compareStarts(b, size(n, 2+n/50), "trivial servers until all accept", "≤ 3×, aim 2×", none, ways)
	}
}

// BenchmarkStartJVM starts ten JVMs with the server of the sample.
func BenchmarkStartJVM(b *testing.B) {
	javac, java := require.Tool(b, "javac"), require.Tool(b, "java")
	java, err := filepath.EvalSymlinks(java)
	if err != nil {
		b.Fatal(err)
	}
	home := filepath.Dir(filepath.Dir(java))
	classes := b.TempDir()
	if err := command(javac, "-d", classes, "../samples/http-jvm/src/HttpServerMain.java"); err != nil {
		b.Fatal(err)
	}
	l, d := openLauncher(b), startDaemon(b)
	text := fmt.Sprintf(`<distribution name="jvm" version="1.0">
  <process name="jvm" invoke="true">
    <port name="bench"/>
    <java profile="bench" javaHome=%q vmType="server" mainClass="HttpServerMain" libDirs=%q>
      <property name="http.port" value="${corus.server.port.bench}"/>
      <property name="corus.process.port.http" value="${corus.server.port.bench}"/>
    </java>
  </process>
</distribution>
`, home, classes+"/")
	d.deploy(b, text)
	l.deploy(b, text)
	environ := os.Environ()
	none := rawWay(java, func(port int) (args, env []string) {
		p := strconv.Itoa(port)
		return []string{"-server", "-Dhttp.port=" + p, "-Dcorus.process.port.http=" + p, "-cp", classes, "HttpServerMain"}, environ
	})
	compareStarts(b, size(10, 2), "JVMs until all accept", "≤ 1.1×", none, berthWays(l, d, "jvm"))
}

// compareStarts compares ways with that of raw. What takes no time is done a few
// times a round.
func compareStarts(b *testing.B, n int, what, target string, none way, ways []way) {
	for _, w := range ways {
		b.Run(fmt.Sprintf("n=%d/%s", n, w.name), func(b *testing.B) {
			// Warm: code, caches and the daemon.
			none.untilAllAccept(1)(b)
			w.untilAllAccept(1)(b)
			times := max(1, size(10, 1)/n)
			f := alternate(b, series{none.name, none.usually(n, times)}, series{w.name, w.usually(n, times)})
			f.report(b, fmt.Sprintf("%d %s: %s", n, what, w.name), ms, w.name, none.name, target)
			b.ReportMetric(float64(n)/f.median(w.name)*1000, rate)
		})
	}
}

// BenchmarkExec is one process from the moment that the command is started to
// the beginning of the process' main.
func BenchmarkExec(b *testing.B) {
	path := trivial(b)
	d := startDaemon(b)
	d.deployTrivial(b)
	rawStamp := filepath.Join(b.TempDir(), "stamp")
	environ := os.Environ()
	const none = "fork and exec from Go"
	repeated := func(once func(b *testing.B) time.Duration) func(*testing.B) float64 {
		return func(b *testing.B) float64 {
			var all []time.Duration
			for range size(10, 2) {
				all = append(all, once(b))
			}
			return inMs(median(all))
		}
	}
	rawSeries := series{none, repeated(func(b *testing.B) time.Duration {
		begin := monotonic(b)
		all := startRaw(b, path, 1, func(int) (args, env []string) { return []string{"stamp", rawStamp}, environ })
		took := awaitStamp(b, rawStamp) - begin
		all.end(b)
		return took
	})}
	for _, s := range []series{
		{"the API", repeated(func(b *testing.B) time.Duration {
			begin := monotonic(b)
			if _, err := d.Exec(b.Context(), api.Exec{Distribution: "bench", Version: "1.0", Profile: "bench", Name: "stamp"}); err != nil {
				b.Fatal(err)
			}
			took := awaitStamp(b, d.stamp) - begin
			d.killAll(b)
			return took
		})},
		{"berth exec", repeated(func(b *testing.B) time.Duration {
			begin := monotonic(b)
			d.exec(b, "-d", "bench", "-v", "1.0", "-p", "bench", "-n", "stamp")
			took := awaitStamp(b, d.stamp) - begin
			d.killAll(b)
			return took
		})},
	} {
		b.Run(s.name, func(b *testing.B) {
			rawSeries.run(b)
			s.run(b)
			f := alternate(b, rawSeries, s)
			f.report(b, "one process to its main: "+s.name, ms, s.name, none, "")
			more := f.difference(s.name, none)
			b.ReportMetric(more, "more-ms")
			addRow(row{what: "one process to its main: " + s.name + ", more than raw", unit: ms, ours: more, target: "< 25 ms"})
		})
	}
}
