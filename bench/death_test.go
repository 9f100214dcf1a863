package bench_test

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// deaths are how long something took after each of many deaths, by what saw to
// them, in all rounds.
type deaths map[string][]float64

// each has processes die one after the other and returns the median of how long
// what follows has taken, in milliseconds. The times are kept under the name of
// the series.
func (d deaths) each(b *testing.B, name string, n int, die func(i int) error, follows func(i int)) float64 {
	b.Helper()
	round := make([]float64, n)
	for i := range round {
		begin := time.Now()
		if err := die(i); err != nil {
			b.Fatal(err)
		}
		follows(i)
		round[i] = inMs(time.Since(begin))
	}
	d[name] = append(d[name], round...)
	return median(round)
}

// tail adds what 99 of 100 deaths of all rounds do not exceed to the benchmark's
// line and the table.
func (d deaths) tail(b *testing.B, what, ours, floor, target string) {
	p99 := figures{ours: {percentile(d[ours], 99)}, floor: {percentile(d[floor], 99)}}
	b.ReportMetric(p99.median(ours), "p99-ms")
	p99.row(what+": p99", ms, ours, floor, target)
}

// pidfdsOf opens the pidfd of each process: nothing is killed by a number.
func pidfdsOf[P any](b *testing.B, processes []P, pid func(P) int) []int {
	b.Helper()
	fds := make([]int, len(processes))
	for i, p := range processes {
		fd, err := unix.PidfdOpen(pid(p), 0)
		if err != nil {
			b.Fatalf("open the pidfd of %d: %v", pid(p), err)
		}
		fds[i] = fd
	}
	return fds
}

// kill kills the process behind a pidfd.
func kill(pidfd int) error { return unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0) }

func closeAll(b *testing.B, fds []int) {
	b.Helper()
	for _, fd := range fds {
		if err := unix.Close(fd); err != nil {
			b.Error(err)
		}
	}
}
