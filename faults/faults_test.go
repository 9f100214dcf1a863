package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/internal/require"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == serverArgument {
		serveUntilAlone()
		return
	}
	if text := os.Getenv(taskVariable); text != "" {
		os.Exit(measureTask(text, os.Stdout, os.Stderr))
	}
	code := m.Run()
	if endSuite != nil {
		endSuite()
	}
	os.Exit(code)
}

var (
	// theSuite is shared by all tests, because to build the program takes seconds.
	theSuite = sync.OnceValues(func() (s *suite, err error) {
		s, endSuite, err = newSuite(context.Background(), false, 1, io.Discard)
		return s, err
	})
	endSuite func()
)

// testSuite returns the suite with a log of the test's own.
func testSuite(t *testing.T) (*suite, *bytes.Buffer) {
	t.Helper()
	shared, err := theSuite()
	if err != nil {
		t.Fatal(err)
	}
	s, log := *shared, new(bytes.Buffer)
	s.log = log
	return &s, log
}

// A little of each measure, to see that it measures.
func TestLittleOfEach(t *testing.T) {
	s, log := testSuite(t)
	for _, m := range measures {
		t.Run(m.name, func(t *testing.T) {
			for _, n := range m.needs {
				if why := n.lacks(); why != "" {
					require.Missing(t, n.name, why)
				}
			}
			const little = 2
			f, err := m.run(t.Context(), s, little)
			if err != nil || len(f.violations) > 0 || !m.timed && f.done < little {
				t.Errorf("%d done: %v, %q\n%s", f.done, err, f.violations, log.String())
			}
		})
	}
}

func TestReport(t *testing.T) {
	m := measure{name: "m", what: "breaking things", unit: "things"}
	for _, tt := range []struct {
		name string
		row  row
		code int
		says string
	}{
		{"good", row{measure: m, wanted: 3, figure: figure{done: 3, notes: []string{"fine"}}, took: time.Second}, 0, "good: fine"},
		{"short", row{measure: m, wanted: 3, figure: figure{done: 2}}, 1, "SHORT"},
		{"broken", row{measure: m, wanted: 3, figure: figure{done: 3, violations: []string{"a lost lease"}}}, 1, "m: a lost lease"},
		{"skipped", row{measure: m, wanted: 3, skipped: "root is missing"}, 1, "SKIPPED: root is missing"},
		{"failed", row{measure: m, wanted: 3, figure: figure{done: 3}, err: errors.New("no room\nmore")}, 1, "FAILED: no room"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			if code := report([]row{tt.row}, 1, &out); code != tt.code || !strings.Contains(out.String(), tt.says) {
				t.Errorf("exit code %d, want %d; it says\n%s", code, tt.code, out.String())
			}
		})
	}
	t.Run("a row is missing", func(t *testing.T) {
		if code := report(nil, 1, new(bytes.Buffer)); code != 1 {
			t.Errorf("exit code %d", code)
		}
	})
}

// What clients were told and is not there is noticed, and so is what is there
// and nobody was told of.
func TestLedgerNotices(t *testing.T) {
	s, _ := testSuite(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	h, l, d, err := s.loaded(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := finish(nil, new(figure), h, d); err != nil {
			t.Error(err)
		}
	}()
	if !l.acquire(ctx, h, "kept") || !l.acquire(ctx, h, "forgotten") {
		t.Fatal("nothing was leased")
	}
	delete(l.leases, "forgotten")
	l.leases["invented"] = held{"none", 1, firstLeasePort}
	l.processes[77] = true
	var f figure
	if err := l.verify(ctx, h, &f); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(f.violations, "\n")
	for _, want := range []string{"leaked lease", "lost lease: invented", "process 77 was acknowledged and is gone"} {
		if !strings.Contains(got, want) {
			t.Errorf("it does not say %q:\n%s", want, got)
		}
	}
	if len(f.violations) != 3 {
		t.Errorf("it says\n%s", got)
	}
}
