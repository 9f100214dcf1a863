package launcher_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"berth/launcher"
	"berth/lease"
)

// needing is a process element that depends on others, each the attributes of a
// dependency element.
func needing(name, program string, on ...string) string {
	var dependencies strings.Builder
	for _, attributes := range on {
		fmt.Fprintf(&dependencies, "<dependency %s/>", attributes)
	}
	return strings.Replace(process(name, `<port name="http"/>`, program), "</generic>", dependencies.String()+"</generic>", 1)
}

func (w *world) names() (names []string) {
	w.t.Helper()
	list, err := w.Processes(launcher.Selector{})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, p := range list {
		names = append(names, p.Distribution+"/"+p.Name)
	}
	return names
}

func TestDependenciesListenFirst(t *testing.T) {
	w := newWorld(t, lease.Range{Name: "http", Min: 26100, Max: 26109})
	w.deployAs("store", "2.0", needing("db", "late"))
	w.deploy(needing("web", "serve", `process="cache"`, `distribution="store" version="2.0" process="db"`) +
		needing("cache", "serve", `distribution="store" version="2.0" process="db"`))
	done := make(chan error, 1)
	var r launcher.ExecResult
	go func() {
		var err error
		r, err = w.Exec(t.Context(), launcher.ExecRequest{Distribution: "demo", Version: "1.0", Profile: "test", Name: "web", Instances: 2, Wait: patience})
		done <- err
	}()
	w.awaitFirst()
	if got := w.names(); !slices.Equal(got, []string{"store/db"}) {
		t.Fatalf("before db listens there are %v", got)
	}
	w.tell("bind", 26100)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	want := []string{"store/db", "demo/cache", "demo/web", "demo/web"}
	if got := w.names(); !slices.Equal(got, want) || len(r.Processes) != 4 {
		t.Errorf("%v, %d told of", got, len(r.Processes))
	}
	// What runs is not started again.
	w.exec("web", 1)
	if got := w.names(); !slices.Equal(got, append(want, "demo/web")) {
		t.Error(got)
	}
}

// awaitFirst waits until process 1 runs.
func (w *world) awaitFirst() {
	w.t.Helper()
	for {
		change := w.Changed(1) // closed while there is none
		if p, err := w.Process(1); err == nil && p.Status == launcher.Running {
			return
		}
		<-change
		runtime.Gosched()
	}
}

// Two that need the same one at once get one.
func TestDependencyOfTwoIsStartedOnce(t *testing.T) {
	w := newWorld(t, lease.Range{Name: "http", Min: 26100, Max: 26109})
	w.deploy(needing("db", "serve") + needing("a", "serve", `process="db"`) + needing("b", "serve", `process="db"`))
	var group sync.WaitGroup
	for _, name := range []string{"a", "b"} {
		group.Go(func() {
			if _, err := w.Exec(t.Context(), launcher.ExecRequest{Distribution: "demo", Version: "1.0", Profile: "test", Name: name}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	got := w.names()
	slices.Sort(got)
	if !slices.Equal(got, []string{"demo/a", "demo/b", "demo/db"}) {
		t.Error(got)
	}
}

// All of a distribution at once: each once, in order.
func TestDependenciesOfAWholeDistribution(t *testing.T) {
	w := newWorld(t, lease.Range{Name: "http", Min: 26100, Max: 26109})
	w.deploy(strings.ReplaceAll(needing("web", "serve", `process="db"`)+needing("db", "serve"), "<process ", `<process invoke="false" `))
	r, err := w.Exec(t.Context(), launcher.ExecRequest{Distribution: "demo", Version: "1.0", Profile: "test", Instances: 2})
	if err != nil {
		t.Fatal(err)
	}
	if got := w.names(); !slices.Equal(got, []string{"demo/db", "demo/db", "demo/web", "demo/web"}) || len(r.Processes) != 4 {
		t.Errorf("%v, %d told of", got, len(r.Processes))
	}
}

func TestDependenciesThatAreRefused(t *testing.T) {
	for _, tt := range []struct{ name, on, says string }{
		{"circle", `process="db"`, `the dependencies go in a circle: "web" needs "db" needs "web"`},
		{"no distribution", `distribution="other" process="x"`, `process "web" depends on process "x" of other 1.0: distribution not found`},
		{"no process", `process="x"`, `demo 1.0 has no process "x"`},
		{"no profile", `process="db" profile="prod"`, `process "db" has no profile "prod"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, lease.Range{Name: "http", Min: 26100, Max: 26109})
			w.deploy(needing("web", "serve", tt.on) + needing("db", "serve", `process="web"`))
			_, err := w.Exec(t.Context(), launcher.ExecRequest{Distribution: "demo", Version: "1.0", Profile: "test", Name: "web"})
			if !errors.Is(err, launcher.ErrExecRefused) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v, want %q", err, tt.says)
			}
			if got := w.names(); len(got) > 0 {
				t.Errorf("%v were started", got)
			}
		})
	}
}

// What is needed and for a server with other tags is left out with a warning, and
// with it what only that needs; the rest starts.
func TestDependenciesForOtherServers(t *testing.T) {
	w := newWorld(t, lease.Range{Name: "http", Min: 26100, Max: 26109})
	w.settings = tagSettings{"web"}
	w.reopen()
	w.deployAs("store", "2.0", needing("db", "serve", `process="disk"`)+needing("disk", "serve"))
	w.deploy(strings.Replace(needing("web", "serve", `process="cache"`, `process="extra"`), "<process ", `<process tags="web" `, 1) +
		strings.Replace(needing("cache", "serve", `distribution="store" version="2.0" process="db"`), "<process ", `<process tags="fast,web,big" `, 1) +
		needing("extra", "serve"))
	for _, name := range []string{"web", "*"} { // by itself, and together with what it needs
		r, err := w.Exec(t.Context(), launcher.ExecRequest{Distribution: "demo", Version: "1.0", Profile: "test", Name: name, Wait: patience})
		if err != nil {
			t.Fatal(err)
		}
		const says = `process "web" depends on process "cache" (demo 1.0), which is for a server with the tags fast, big, which this one lacks: left out (berth conf add -t fast,big)`
		if !slices.Contains(r.Warnings, says) {
			t.Errorf("warnings %q", r.Warnings)
		}
		got := w.names()
		slices.Sort(got)
		if !slices.Equal(got, []string{"demo/extra", "demo/web"}) || len(r.Processes) != 2 {
			t.Errorf("%v run, %d told of", got, len(r.Processes))
		}
		if _, err := w.Kill(t.Context(), launcher.StopRequest{Hard: true, Wait: patience}); err != nil {
			t.Fatal(err)
		}
	}
	// A server that has the tags starts all of it, in order.
	w.settings = tagSettings{"web", "fast", "big"}
	w.reopen()
	w.exec("web", 1)
	if got := w.names(); !slices.Equal(got, []string{"store/disk", "store/db", "demo/cache", "demo/extra", "demo/web"}) {
		t.Error(got)
	}
}

// tagSettings are those of a server that has these tags and nothing else.
type tagSettings []string

func (s tagSettings) Tags(context.Context) ([]string, error) { return s, nil }

func (s tagSettings) ProcessProperties(context.Context, []string) ([]launcher.Property, error) {
	return nil, nil
}

func (s tagSettings) ServerProperties(context.Context) ([]launcher.Property, error) { return nil, nil }

func TestDependencyThatDies(t *testing.T) {
	w := newWorld(t, lease.Range{Name: "http", Min: 26100, Max: 26109})
	w.deploy(needing("web", "serve", `process="db"`) + needing("db", "die"))
	r, err := w.Exec(t.Context(), launcher.ExecRequest{Distribution: "demo", Version: "1.0", Profile: "test", Name: "web"})
	if !errors.Is(err, launcher.ErrExecFailed) || !strings.Contains(err.Error(), `process "db" (demo 1.0, profile test) has to listen first`) ||
		!strings.Contains(err.Error(), "cannot find my configuration") {
		t.Error(err)
	}
	if got := w.names(); len(got) > 0 || len(r.Processes) != 1 {
		t.Errorf("%v, told of %v", got, r.Processes)
	}
}
