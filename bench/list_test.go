package bench_test

import (
	"os/exec"
	"strconv"
	"testing"
	"time"

	"berth/internal/require"
)

// BenchmarkList runs the commands that list, while five hundred processes run,
// beside a program that does nothing and a command that asks nobody.
func BenchmarkList(b *testing.B) {
	none := require.Tool(b, "true")
	d := startDaemon(b)
	d.deployTrivial(b)
	n := size(500, 20)
	d.startTrivial(b, n)
	processes := strconv.Itoa(n) + " processes"

	const floor = "/bin/true"
	nothing := series{floor, func(b *testing.B) float64 { return inMs(repeat(b, none)) }}
	for _, args := range [][]string{{"ver"}, {"ps"}, {"ps", "-ports"}, {"port", "ls"}, {"ls"}} {
		name := "berth"
		for _, a := range args {
			name += " " + a
		}
		b.Run(name, func(b *testing.B) {
			ours := series{name, func(b *testing.B) float64 { return inMs(repeat(b, d.binary, args...)) }}
			b.Setenv("BERTH_HOME", d.home)
			nothing.run(b)
			ours.run(b)
			f := alternate(b, nothing, ours)
			target := "< 100 ms"
			if args[0] == "ver" {
				target = ""
			}
			what := name + ", " + processes + " running"
			f.report(b, what, ms, name, floor, target)
			b.ReportMetric(1000/f.median(name), rate)
		})
	}
}

// repeat runs a command a few times and returns the median of how long it took.
func repeat(b *testing.B, path string, args ...string) time.Duration {
	b.Helper()
	var all []time.Duration
	for range 5 {
		cmd := exec.Command(path, args...)
		begin := time.Now()
		err := cmd.Run()
		all = append(all, time.Since(begin))
		if err != nil {
			b.Fatalf("%s: %v", cmd, err)
		}
	}
	return median(all)
}
