package bench_test

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"berth/api"
	"berth/internal/require"
	"berth/proc"
)

// BenchmarkList runs the commands that list, while five hundred processes run,
// beside a program that does nothing and a command that asks nobody. Before, it
// tells what memory the daemon needs.
func BenchmarkList(b *testing.B) {
	none := require.Tool(b, "true")
	d := startDaemon(b)
	d.deployTrivial(b)
	idle := footprintOf(b, d.pid)
	n := size(500, 20)
	if _, err := d.Exec(b.Context(), api.Exec{
		Distribution: "bench", Version: "1.0", Profile: "bench", Name: "serve", Instances: n, WaitSeconds: patience.Seconds(),
	}); err != nil {
		b.Fatal(err)
	}
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
	b.Run("memory", func(b *testing.B) {
		loaded := footprintOf(b, d.pid)
		for b.Loop() {
			loaded = footprintOf(b, d.pid)
		}
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(loaded.megabytes, "MB")
		b.ReportMetric(loaded.threads, "threads")
		f := figures{"idle": {idle.megabytes}, "loaded": {loaded.megabytes}}
		f.row("memory of the daemon with "+processes, "MB", "loaded", "idle", "")
		f = figures{"idle": {idle.threads}, "loaded": {loaded.threads}}
		f.row("threads of the daemon with "+processes, "threads", "loaded", "idle", "")
	})
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

// footprint is what a process takes.
type footprint struct{ megabytes, threads float64 }

func footprintOf(b *testing.B, pid int) footprint {
	b.Helper()
	memory, err := proc.Memory(pid)
	if err != nil {
		b.Fatal(err)
	}
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		b.Fatal(err)
	}
	return footprint{float64(memory) / 1e6, float64(len(threads))}
}
