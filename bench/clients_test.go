package bench_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"berth/api"
	"berth/client"
	"berth/internal/require"
)

// BenchmarkClients is what many callers have of a daemon: 64 clients acquire and
// release over the socket, beside empty requests to a server that does nothing,
// on a socket too, and beside the same as transactions of an etcd. What they see is
// checked as a history in each round. And what it costs where all ports but as
// many as are wanted are held.
func BenchmarkClients(b *testing.B) {
	const callers = 64
	pairs := size(2_000, 20) // of each
	b.Run("socket", func(b *testing.B) {
		d, bare := startDaemon(b), startBare(b)
		ours, nobody := connections(b, d.Socket(), callers), plainConnections(b, bare, callers)
		const none, requests = "net/http alone, empty request", "requests"
		var took, empty []float64
		f := alternate(b,
			series{none, func(b *testing.B) float64 {
				rate, each := timed(b, callers, pairs, func(caller int) error { return emptyRequest(nobody[caller]) })
				empty = append(empty, each...)
				return rate
			}},
			series{requests, func(b *testing.B) float64 {
				h := &leaseHistory{begin: time.Now()}
				rate, each := timedPairs(b, ours, pairs, h)
				h.check(b)
				took = append(took, each...)
				return 2 * rate
			}},
		)
		f.report(b, fmt.Sprintf("acquire and release, %d clients: requests", callers), rate, requests, none, "≥ 0.33×")
		latency(b, fmt.Sprintf("acquire and release, %d clients: a pair", callers), took, "an empty request", empty)
	})

	b.Run("etcd", func(b *testing.B) {
		d := startDaemon(b)
		e := startEtcd(b)
		ours := connections(b, d.Socket(), callers)
		const etcd, mine = "etcd, two transactions", "pairs"
		var took, theirs []float64
		f := alternate(b,
			series{etcd, func(b *testing.B) float64 {
				rate, each := e.pairs(b, callers, pairs)
				theirs = append(theirs, each...)
				return rate
			}},
			series{mine, func(b *testing.B) float64 {
				rate, each := timedPairs(b, ours, pairs, nil)
				took = append(took, each...)
				return rate
			}},
		)
		f.report(b, fmt.Sprintf("acquire and release, %d clients: pairs", callers), rate, mine, etcd, "≥ 2.5×")
		latency(b, fmt.Sprintf("acquire and release, %d clients: a pair", callers), took, "etcd", theirs)
	})

	for _, n := range []int{1, callers} {
		b.Run(fmt.Sprintf("held/clients=%d", n), func(b *testing.B) {
			const ports = 1000
			free, full := startDaemon(b), startDaemon(b)
			for _, d := range []*daemon{free, full} {
				if _, err := d.DeleteRanges(b.Context(), "bench", false); err != nil {
					b.Fatal(err)
				}
				add := api.AddRanges{Ranges: []api.Range{{Name: "bench", Min: minPort, Max: minPort + ports - 1}}}
				if _, err := d.AddRanges(b.Context(), add); err != nil {
					b.Fatal(err)
				}
			}
			hold := api.AcquireLeases{Ports: []api.PortRequest{{Range: "bench", Count: ports - n}}, Holder: api.Holder{Name: "held"}}
			if _, err := full.AcquireLeases(b.Context(), hold); err != nil {
				b.Fatal(err)
			}
			each := pairs
			if n == 1 {
				each = size(4_000, 50)
			}
			some, none := connections(b, full.Socket(), n), connections(b, free.Socket(), n)
			const with, without = "held", "none held"
			f := alternate(b,
				series{without, func(b *testing.B) float64 { rate, _ := timedPairs(b, none, each, nil); return 1000 / rate }},
				series{with, func(b *testing.B) float64 { rate, _ := timedPairs(b, some, each, nil); return 1000 / rate }},
			)
			what := fmt.Sprintf("acquire and release, %d clients, %d of %d ports held: a pair", n, ports-n, ports)
			f.report(b, what, ms, with, without, "≤ 1.3×")
		})
	}
}

// latency adds the times of single pieces of work to the table.
func latency(b *testing.B, what string, took []float64, floor string, beside []float64) {
	for _, p := range []int{50, 99} {
		ours, theirs := percentile(took, p), percentile(beside, p)
		b.ReportMetric(ours, fmt.Sprintf("p%d-ms", p))
		addRow(row{
			what: fmt.Sprintf("%s, %d of 100 within", what, p), unit: ms, ours: ours, floor: fmt.Sprintf("%s, %d of 100 within", floor, p), beside: theirs,
			ratio: fmt.Sprintf("%.2f×", ours/theirs),
		})
	}
}

// timed has each caller do n pieces of work, and returns how many a second all
// did, and how many milliseconds each took.
func timed(b *testing.B, callers, n int, work func(caller int) error) (rate float64, each []float64) {
	b.Helper()
	took := make([][]float64, callers)
	var wait sync.WaitGroup
	begin := time.Now()
	for i := range callers {
		took[i] = make([]float64, 0, n)
		wait.Go(func() {
			for range n {
				start := time.Now()
				if err := work(i); err != nil {
					b.Error(err)
					return
				}
				took[i] = append(took[i], inMs(time.Since(start)))
			}
		})
	}
	wait.Wait()
	all := time.Since(begin)
	if b.Failed() {
		b.FailNow()
	}
	for _, t := range took {
		each = append(each, t...)
	}
	return perSecond(len(each), all), each
}

// timedPairs is timed for a lease that is acquired and released. The history is
// told of both, unless it is nil.
func timedPairs(b *testing.B, clients []*client.Client, n int, h *leaseHistory) (rate float64, each []float64) {
	b.Helper()
	in := api.AcquireLeases{Ranges: []string{"bench"}, Holder: api.Holder{Name: "bench"}}
	return timed(b, len(clients), n, func(number int) error {
		c := clients[number]
		call := time.Now()
		got, err := c.AcquireLeases(context.Background(), in)
		if err != nil {
			return err
		}
		h.add(number, call, leaseUse{got[0].Port, got[0].ID, true})
		call = time.Now()
		if err := c.ReleaseLease(context.Background(), got[0].ID, got[0].Generation); err != nil {
			return err
		}
		h.add(number, call, leaseUse{got[0].Port, got[0].ID, false})
		return nil
	})
}

// leaseUse is what a client did with a port.
type leaseUse struct {
	port    int
	id      string
	acquire bool
}

// leaseHistory is what clients did at the same time.
type leaseHistory struct {
	begin time.Time
	mu    sync.Mutex
	list  []porcupine.Operation
}

func (h *leaseHistory) add(number int, call time.Time, u leaseUse) {
	if h == nil {
		return
	}
	end := time.Since(h.begin)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.list = append(h.list, porcupine.Operation{ClientId: number, Input: u, Call: call.Sub(h.begin).Nanoseconds(), Return: end.Nanoseconds()})
}

// check fails where a port was leased twice: it can be acquired when nobody has
// it, and is released by who does.
func (h *leaseHistory) check(b *testing.B) {
	b.Helper()
	model := porcupine.Model{
		Partition: func(all []porcupine.Operation) (parts [][]porcupine.Operation) {
			byPort := make(map[int][]porcupine.Operation)
			for _, o := range all {
				port := o.Input.(leaseUse).port
				byPort[port] = append(byPort[port], o)
			}
			for _, part := range byPort {
				parts = append(parts, part)
			}
			return parts
		},
		Init: func() any { return "" },
		Step: func(state, input, _ any) (bool, any) {
			if u := input.(leaseUse); u.acquire {
				return state == "", u.id
			}
			return state == input.(leaseUse).id, ""
		},
	}
	if porcupine.CheckOperationsTimeout(model, h.list, patience) != porcupine.Ok {
		b.Fatalf("a history of %d operations is not linearizable", len(h.list))
	}
}

// etcd is a server of one node that was built from tools/etcd.
type etcd struct {
	endpoint, load string
}

// startEtcd builds etcd where that has not been done, and starts it. Where it
// cannot be built, for want of a network say, the benchmark is skipped.
func startEtcd(b *testing.B) *etcd {
	b.Helper()
	build := func(name, what string) string {
		var failed error
		path := buildOnce(b, name, func(path string) error {
			failed = command("go", "build", "-C", filepath.Join("..", "tools", "etcd"), "-buildvcs=false", "-o", path, what)
			return nil
		})
		if failed == nil {
			_, failed = os.Stat(path)
		}
		if failed != nil {
			require.Missing(b, "etcd, built from tools/etcd", "let the go command reach its module proxy: "+failed.Error())
		}
		return path
	}
	server, load := build("etcd", "go.etcd.io/etcd/server/v3"), build("load", "./load")
	dir, err := os.MkdirTemp("", "berth-bench")
	if err != nil {
		b.Fatal(err)
	}
	ports := unusedPorts(b, 2)
	e := &etcd{endpoint: "127.0.0.1:" + ports[0], load: load}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	serve := exec.Command(server, "--data-dir", filepath.Join(dir, "data"), "--log-level", "error",
		"--listen-client-urls", "http://"+e.endpoint, "--advertise-client-urls", "http://"+e.endpoint,
		"--listen-peer-urls", "http://127.0.0.1:"+ports[1], "--initial-advertise-peer-urls", "http://127.0.0.1:"+ports[1],
		"--initial-cluster", "default=http://127.0.0.1:"+ports[1])
	serve.Stdout, serve.Stderr = log, log
	if err := serve.Start(); err != nil {
		b.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- serve.Wait() }()
	endLater(b, func() {
		_ = serve.Process.Kill() // ended already or not
		<-ended
		if b.Failed() {
			text, _ := os.ReadFile(log.Name())
			b.Logf("etcd's log:\n%s", text[max(0, len(text)-4096):])
		}
		if err := os.RemoveAll(dir); err != nil {
			b.Error(err)
		}
	})
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if _, err = e.run(1, 1); err == nil {
			return e
		}
		select {
		case exit := <-ended:
			ended <- exit
			b.Fatalf("etcd ended: %v", exit)
		default:
		}
		if time.Now().After(deadline) {
			b.Fatal(err)
		}
	}
}

// unusedPorts are TCP ports that nobody has just now.
func unusedPorts(b *testing.B, n int) (ports []string) {
	b.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	}
	return ports
}

// loaded is what the load program tells.
type loaded struct {
	Seconds float64   `json:"seconds"`
	Millis  []float64 `json:"millis"`
}

func (e *etcd) run(clients, pairs int) (loaded, error) {
	var out, text bytes.Buffer
	cmd := exec.Command(e.load, "-endpoint", e.endpoint, "-clients", strconv.Itoa(clients), "-pairs", strconv.Itoa(pairs))
	cmd.Stdout, cmd.Stderr = &out, &text
	var l loaded
	if err := cmd.Run(); err != nil {
		return l, fmt.Errorf("%w: %s", err, text.Bytes())
	}
	return l, json.Unmarshal(out.Bytes(), &l)
}

// pairs is how many pairs a second etcd does, and how many milliseconds each took.
func (e *etcd) pairs(b *testing.B, clients, pairs int) (rate float64, each []float64) {
	b.Helper()
	l, err := e.run(clients, pairs)
	if err != nil {
		b.Fatal(err)
	}
	return float64(len(l.Millis)) / l.Seconds, l.Millis
}
