package bench_test

import (
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"testing"

	"berth/launcher/gate"
)

func TestMain(m *testing.M) {
	gate.Main()
	if socket := os.Getenv(bareSocket); socket != "" {
		serveBare(socket)
		return
	}
	var err error
	if root, err = os.MkdirTemp("", "berth-bench"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-interrupted
		endAll()
		_ = os.RemoveAll(root) // what is just being written stays
		os.Exit(130)
	}()
	code := m.Run()
	if err := os.RemoveAll(root); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	if len(table.rows) > 0 {
		fmt.Println()
		writeTable(os.Stdout, table.rows)
		fmt.Println()
	}
	os.Exit(code)
}

// root is the folder of the run. It is removed at its end and nothing in it
// before: ext4 makes files slower for some minutes where many were deleted, and
// one benchmark would measure what another one left behind.
var root string

// folder makes a folder in root.
func folder(b testing.TB) string {
	b.Helper()
	dir, err := os.MkdirTemp(root, "")
	if err != nil {
		b.Fatal(err)
	}
	return dir
}

// started is what has to be ended, however the run ends.
var started struct {
	sync.Mutex
	next int
	end  map[int]func()
}

// endLater has end called once: at the end of the benchmark, or when the run is
// interrupted, unless the function that it returns was called before.
func endLater(b testing.TB, end func()) (now func()) {
	once := sync.OnceFunc(end)
	started.Lock()
	defer started.Unlock()
	if started.end == nil {
		started.end = make(map[int]func())
	}
	id := started.next
	started.next++
	started.end[id] = once
	b.Cleanup(func() {
		once()
		started.Lock()
		defer started.Unlock()
		delete(started.end, id)
	})
	return once
}

func endAll() {
	started.Lock()
	var all []func()
	for _, end := range started.end {
		all = append(all, end)
	}
	started.Unlock()
	for _, end := range all {
		end()
	}
}
