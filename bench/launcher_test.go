package bench_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"berth/event"
	"berth/launcher"
	"berth/lease"
	"berth/store/badger"
)

// inProcess is a launcher on Badger in this process, as the daemon has one.
type inProcess struct {
	*launcher.Launcher
	events *event.Log
}

func openLauncher(b testing.TB) inProcess {
	b.Helper()
	home := folder(b)
	log := slog.New(slog.DiscardHandler)
	store, err := badger.Open(filepath.Join(home, "store"), badger.Options{})
	if err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	events := event.New(event.DefaultKept, time.Now)
	leases, err := lease.Open(ctx, lease.Options{Store: store, Events: events, Logger: log})
	if err != nil {
		b.Fatal(err)
	}
	if err := leases.AddRanges(ctx, []lease.Range{{Name: "bench", Min: minPort, Max: maxPort}}, lease.AddOptions{}); err != nil {
		b.Fatal(err)
	}
	l, err := launcher.Open(ctx, launcher.Options{
		Store: store, Leases: leases, Home: home, Socket: filepath.Join(home, "berth.sock"), StateID: "bench", Events: events, Logger: log,
	})
	if err != nil {
		b.Fatal(err)
	}
	runCtx, cancel := context.WithCancel(ctx)
	ran := make(chan error, 1)
	go func() { ran <- l.Run(runCtx) }()
	endLater(b, func() {
		if _, err := l.Kill(ctx, launcher.StopRequest{Hard: true, Wait: patience}); err != nil {
			b.Error(err)
		}
		if err := leases.Check(ctx); err != nil {
			b.Error(err)
		}
		cancel()
		for _, err := range []error{<-ran, l.Close(), leases.Close(), store.Close()} {
			if err != nil {
				b.Error(err)
			}
		}
	})
	return inProcess{l, events}
}

func (l inProcess) deploy(b testing.TB, text string) {
	b.Helper()
	file := filepath.Join(b.TempDir(), "corus.xml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	if _, _, err := l.Deploy(b.Context(), file, "corus.xml"); err != nil {
		b.Fatal(err)
	}
}

// exec starts n processes of a name and returns their ports.
func (l inProcess) exec(b testing.TB, name string, n int, wait time.Duration) []int {
	b.Helper()
	var ports []int
	for _, p := range l.processes(b, name, n, wait) {
		for _, port := range p.Ports {
			ports = append(ports, port.Number)
		}
	}
	return ports
}

// processes starts n processes of a name.
func (l inProcess) processes(b testing.TB, name string, n int, wait time.Duration) []launcher.Process {
	b.Helper()
	r, err := l.Exec(b.Context(), launcher.ExecRequest{
		Distribution: "*", Version: "*", Profile: "bench", Name: name, Instances: n, Wait: wait,
	})
	if err != nil {
		b.Fatal(err)
	}
	return r.Processes
}

func (l inProcess) killAll(b testing.TB) {
	b.Helper()
	if _, err := l.Kill(b.Context(), launcher.StopRequest{Hard: true, Wait: patience}); err != nil {
		b.Fatal(err)
	}
}
