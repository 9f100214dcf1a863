package shell_test

import (
	"strings"
	"testing"

	"berth/shell"
)

// What every command costs before it asks the daemon.
func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		shell.New(shell.Options{})
	}
}

// A list of 500 processes, fetched and printed.
func BenchmarkPs500(b *testing.B) {
	d := sample(newDaemon(b))
	one := d.processes[0]
	d.processes = nil
	for i := range 500 {
		one.ID, one.PID = i+1, 10000+i
		d.processes = append(d.processes, one)
	}
	for b.Loop() {
		if got := d.run(b, "", "ps", "-ports"); got.code != 0 || strings.Count(got.out, "\n") != 501 {
			b.Fatal(got.code, got.err)
		}
	}
}
