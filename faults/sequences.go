package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"
)

// sequences has the lease manager do what a naive model of it does, in random
// sequences of operations and faults. A soak has as many processes do it as there
// are processors.
var sequences = measure{
	name: "sequences", what: "sequences of operations against the naive model", unit: "sequences", ci: 10_000, soak: 2_000_000, long: true,
	run: func(ctx context.Context, s *suite, n int) (f figure, err error) {
		parts := 1
		if s.soak {
			parts = runtime.GOMAXPROCS(0)
		}
		figures := make([]figure, parts)
		var group errgroup.Group
		for i := range figures {
			// A seed of zero would stand for another one.
			seed := s.random.Uint64()>>1 + 1
			group.Go(func() (err error) {
				figures[i], err = sequencesOf(ctx, (n+parts-1)/parts, seed)
				return err
			})
		}
		err = group.Wait()
		for _, part := range figures {
			f.done += part.done
			f.violations = append(f.violations, part.violations...)
			f.notes = append(f.notes, part.notes...)
		}
		return f, err
	},
}

func sequencesOf(ctx context.Context, n int, seed uint64) (f figure, err error) {
	f.note("seed %d", seed)
	test := exec.CommandContext(ctx, "go", "test", "berth/lease", "-count=1", "-v", "-timeout=0", "-run=^TestModel$",
		fmt.Sprint("-rapid.checks=", n), fmt.Sprint("-rapid.seed=", seed), "-rapid.nofailfile")
	test.Env = append(os.Environ(), "GOGC=400") // a manager for each sequence is much that is short-lived
	out, err := test.CombinedOutput()
	var failed *exec.ExitError
	switch {
	case errors.As(err, &failed) && strings.Contains(string(out), "--- FAIL: TestModel"):
		f.broken("seed %d: %s", seed, strings.Join(strings.Fields(string(out)), " "))
		return f, ctx.Err()
	case err != nil:
		return f, fmt.Errorf("%w: %s", err, out)
	}
	passed := passedSequences.FindSubmatch(out)
	if passed == nil {
		return f, fmt.Errorf("the test does not say how many sequences passed: %s", out)
	}
	f.done, err = strconv.Atoi(string(passed[1]))
	return f, err
}

var passedSequences = regexp.MustCompile(`\[rapid\] OK, passed (\d+) tests`)
