package bench_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"berth/api"
	"berth/client"
)

// bareSocket names, in the environment, the socket on which the test binary is
// to serve instead of running tests.
const bareSocket = "BERTH_BENCH_BARE"

// serveBare answers every request with an empty list, as net/http alone does.
func serveBare(socket string) {
	l, err := net.Listen("unix", socket)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	err = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("[]\n"))
	}))
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// startBare starts such a server and returns its socket.
func startBare(b *testing.B) string {
	b.Helper()
	socket := filepath.Join(folder(b), "bare.sock")
	bare := exec.Command("/proc/self/exe")
	bare.Env = append(os.Environ(), bareSocket+"="+socket)
	bare.Stderr = os.Stderr
	if err := bare.Start(); err != nil {
		b.Fatal(err)
	}
	endLater(b, func() {
		if err := bare.Process.Kill(); err != nil {
			b.Error(err)
		}
		_ = bare.Wait() // it was killed
	})
	for deadline := time.Now().Add(patience); ; {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			conn.Close()
			return socket
		}
		if time.Now().After(deadline) {
			b.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
}

// BenchmarkSocket sends requests to a daemon by the client, each caller on a
// connection of its own: a lease acquired and released, which are two, beside
// the lightest request that there is; and this one beside a server that does
// nothing.
func BenchmarkSocket(b *testing.B) {
	d := startDaemon(b)
	bare := startBare(b)
	for _, callers := range []int{1, 16, 64} {
		ours, nobody := connections(b, d.Socket(), callers), plainConnections(b, bare, callers)
		n := map[int]int{1: size(1_000, 50), 16: size(6_000, 200), 64: size(10_000, 300)}[callers]
		const none, light, pairs = "net/http alone, empty request", "GET /v1/leases, empty", "requests"
		bareSeries := series{none, func(b *testing.B) float64 {
			return share(b, callers, n, func(caller int) error { return emptyRequest(nobody[caller]) })
		}}
		lightSeries := series{light, func(b *testing.B) float64 { return measureEmpty(b, ours, n) }}
		pairSeries := series{pairs, func(b *testing.B) float64 { return 2 * measureRequests(b, ours, n/2) }}
		b.Run(fmt.Sprintf("empty/clients=%d", callers), func(b *testing.B) {
			f := alternate(b, bareSeries, lightSeries)
			f.report(b, fmt.Sprintf("%s, %d clients", light, callers), rate, light, none, "")
		})
		b.Run(fmt.Sprintf("lease/clients=%d", callers), func(b *testing.B) {
			f := alternate(b, bareSeries, lightSeries, pairSeries)
			what := fmt.Sprintf("POST and DELETE of a lease, %d clients: requests", callers)
			f.report(b, what, rate, pairs, light, "")
			f.row(what, rate, pairs, none, "")
			b.ReportMetric(f.median(pairs)/2, "pairs/s")
			b.ReportMetric(f.ratio(pairs, none), "x-net/http")
		})
	}
}

// connections returns clients of a socket.
func connections(b *testing.B, socket string, n int) []*client.Client {
	all := make([]*client.Client, n)
	for i := range all {
		all[i] = client.New(client.Options{Socket: socket})
		b.Cleanup(all[i].Close)
	}
	return all
}

// plainConnections are clients of a socket that net/http alone makes.
func plainConnections(b *testing.B, socket string, n int) []*http.Client {
	all := make([]*http.Client, n)
	for i := range all {
		transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}}
		all[i] = &http.Client{Transport: transport}
		b.Cleanup(transport.CloseIdleConnections)
	}
	return all
}

// emptyRequest asks for a list and reads it.
func emptyRequest(c *http.Client) error {
	resp, err := c.Get("http://bare/v1/leases")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var list []api.Lease
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// measureEmpty is how many empty requests a second are answered.
func measureEmpty(b *testing.B, clients []*client.Client, n int) float64 {
	return share(b, len(clients), n, func(caller int) error {
		_, err := clients[caller].Leases(context.Background())
		return err
	})
}

// measureRequests is how many leases a second are acquired and released.
func measureRequests(b *testing.B, clients []*client.Client, n int) float64 {
	in := api.AcquireLeases{Ranges: []string{"bench"}, Holder: api.Holder{Name: "bench"}}
	return share(b, len(clients), n, func(caller int) error {
		c := clients[caller]
		l, err := c.AcquireLeases(context.Background(), in)
		if err != nil {
			return err
		}
		return c.ReleaseLease(context.Background(), l[0].ID, l[0].Generation)
	})
}
