package bench_test

import (
	"fmt"
	"os"
	"testing"

	"berth/proc"
)

// BenchmarkMemory tells what a daemon takes while no process, five hundred and
// two thousand run. Each round has a daemon of its own, since a daemon may keep
// what it has once taken.
func BenchmarkMemory(b *testing.B) {
	few, many := size(500, 5), size(2_000, 20)
	with := func(n int) string { return fmt.Sprintf("with %d processes", n) }
	const idle = "before it started one"
	all := make(map[string]figures) // by what is counted
	note := func(series string, pid int) {
		for what, taken := range footprintOf(b, pid) {
			if all[what] == nil {
				all[what] = make(figures)
			}
			all[what][series] = append(all[what][series], taken)
		}
	}
	for b.Loop() {
		d := startDaemon(b)
		d.deployTrivial(b)
		note(idle, d.pid)
		d.startTrivial(b, few)
		note(with(few), d.pid)
		d.startTrivial(b, many-few)
		note(with(many), d.pid)
		d.end()
	}
	b.ReportMetric(0, "ns/op")
	for _, counted := range []struct{ what, unit string }{{"memory", "MB"}, {"threads", "threads"}, {"descriptors", "descriptors"}} {
		f := all[counted.what]
		for _, n := range []int{few, many} {
			f.row(counted.what+" of the daemon "+with(n), counted.unit, with(n), idle, "")
			b.ReportMetric(f.median(with(n)), fmt.Sprintf("%s-%d", counted.unit, n))
		}
	}
}

// footprintOf tells what a process takes: its memory in MB, how many threads it
// has, and how many descriptors.
func footprintOf(b *testing.B, pid int) map[string]float64 {
	b.Helper()
	memory, err := proc.Memory(pid)
	if err != nil {
		b.Fatal(err)
	}
	count := func(dir string) float64 {
		list, err := os.ReadDir(fmt.Sprintf("/proc/%d/%s", pid, dir))
		if err != nil {
			b.Fatal(err)
		}
		return float64(len(list))
	}
	return map[string]float64{"memory": float64(memory) / 1e6, "threads": count("task"), "descriptors": count("fd")}
}
