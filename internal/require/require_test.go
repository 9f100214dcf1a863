package require_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"berth/internal/require"
)

// recorder is a test that notes how it ended.
type recorder struct{ skipped, failed string }

func (*recorder) Helper()      {}
func (*recorder) Name() string { return "TestOfIt" }
func (r *recorder) Skip(args ...any) {
	r.skipped = fmt.Sprint(args...)
	runtime.Goexit()
}
func (r *recorder) Fatal(args ...any) {
	r.failed = fmt.Sprint(args...)
	runtime.Goexit()
}

// outcome runs a test in a goroutine of its own, which it may end.
func outcome(test func(t require.T)) (r recorder, went bool) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		test(&r)
		went = true
	}()
	<-done
	return r, went
}

func TestMissing(t *testing.T) {
	for _, test := range []struct {
		name, ci, all string
		fails         string
	}{
		{name: "on any machine"},
		{name: "both off", ci: "false", all: "0"},
		{name: "neither yes nor no", ci: "maybe"},
		{name: "CI", ci: "true", fails: "CI=true"},
		{name: "all required", all: "1", fails: "BERTH_REQUIRE_ALL=1"},
		{name: "CI off, all required", ci: "false", all: "true", fails: "BERTH_REQUIRE_ALL=true"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("CI", test.ci)
			t.Setenv("BERTH_REQUIRE_ALL", test.all)
			r, went := outcome(func(t require.T) { require.Tool(t, "no-such-program") })
			if went {
				t.Fatal("the test went on")
			}
			ended, other := r.skipped, r.failed
			if test.fails != "" {
				ended, other = r.failed, r.skipped
			}
			if other != "" {
				t.Errorf("skipped %q, failed %q", r.skipped, r.failed)
			}
			for _, part := range []string{"TestOfIt", "the program no-such-program", "PATH", test.fails} {
				if !strings.Contains(ended, part) {
					t.Errorf("%q does not say %q", ended, part)
				}
			}
			if test.fails == "" && !strings.HasPrefix(ended, "SKIPPED") {
				t.Errorf("%q is not loud", ended)
			}
		})
	}
}

func TestThere(t *testing.T) {
	t.Setenv("CI", "true")
	var path string
	r, went := outcome(func(t require.T) { path = require.Tool(t, "sh") })
	if !went || r != (recorder{}) {
		t.Fatalf("sh is there, and yet: %+v", r)
	}
	if info, err := os.Stat(path); err != nil || info.IsDir() {
		t.Errorf("%q is no program: %v", path, err)
	}
}

func TestRoot(t *testing.T) {
	t.Setenv("CI", "true")
	r, went := outcome(require.Root)
	if root := os.Geteuid() == 0; went != root || (r.failed == "") != root {
		t.Errorf("user %d: went on %v, %+v", os.Geteuid(), went, r)
	}
}
