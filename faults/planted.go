package main

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"
)

// bug is a switch of the tagged build that breaks one promise.
type bug struct {
	name   string
	what   string
	caught measure  // the row that has to be broken by it
	rounds int      // how much of that is done at a time
	says   string   // what the row says of it
	env    []string // more of the daemons' environment, which gives the bug its moment
}

// tries is how often a row may miss a bug.
const tries = 8

// plantedMatching has daemons that have a bug each, and counts those that a row of
// this table notices. What a row cannot notice it does not hold.
func plantedMatching(pattern *regexp.Regexp) measure {
	var chosen []bug
	for _, b := range bugs {
		if pattern.MatchString(b.name) {
			chosen = append(chosen, b)
		}
	}
	return measure{
		name: "planted", what: "planted bugs that are caught", unit: "bugs", ci: len(chosen), soak: len(chosen), long: true,
		matching: plantedMatching, cases: pattern.String(),
		run: func(ctx context.Context, s *suite, n int) (f figure, err error) {
			for _, b := range chosen[:n] {
				if ctx.Err() != nil {
					return f, ctx.Err()
				}
				caught, err := s.catch(ctx, b)
				if err != nil {
					return f, fmt.Errorf("%s: %w", b.name, err)
				}
				if caught == "" {
					f.broken("%s (%s) was not noticed by %s", b.name, b.what, b.caught.name)
					continue
				}
				f.done++
			}
			return f, nil
		},
	}
}

// plantedBugs has all of them.
var plantedBugs = plantedMatching(regexp.MustCompile(""))

// catch tells what a row says of a bug.
func (s *suite) catch(ctx context.Context, b bug) (violation string, err error) {
	begin := time.Now()
	defer func() {
		fmt.Fprintf(s.log, "planted: %s: %s in %.1f s: %.160s\n", b.name, b.caught.name, time.Since(begin).Seconds(), violation)
	}()
	for _, n := range b.caught.needs {
		if why := n.lacks(); why != "" {
			return "", fmt.Errorf("%s is missing: %s", n.name, why)
		}
	}
	sick := *s
	sick.planted, sick.env, sick.log = []string{b.name}, b.env, io.Discard
	for range tries {
		var f figure
		f, err = b.caught.run(ctx, &sick, b.rounds)
		switch {
		case ctx.Err() != nil:
			return "", ctx.Err()
		case len(f.violations) > 0:
			for _, v := range f.violations {
				if strings.Contains(v, b.says) {
					return v, nil
				}
			}
			return "", fmt.Errorf("%s tells of something else: %s", b.caught.name, f.violations[0])
		}
		// Or the daemon ended of its bug before the row could tell.
	}
	return "", err
}

func pointsNamed(text string) measure { return pointsMatching(regexp.MustCompile(text)) }

// bugs are all that are planted. Each is a condition in the source, by its name.
var bugs = []bug{
	{"skip-probe", "a port is leased without a look at who is bound to it", kills, 4, "a stranger listens on it", nil},
	{"lease-twice", "a leased port is leased again", histories, 2000, "is not linearizable", nil},
	{"any-generation", "a lease is ended by who has another generation of it", kills, 4, "another generation", nil},
	{"keep-records", "a release is answered and not written down", kills, 4, "leaked lease", nil},
	{"free-early", "leases end when a process is asked to end, not when it has", kills, 20, "and it still runs", nil},
	{"keep-leases", "leases do not end with their process", kills, 10, "leaked lease", nil},
	{"forget-running", "a new daemon takes no process up", kills, 10, "was acknowledged and is gone", nil},
	{"use-ids-again", "process ids begin anew with each daemon", kills, 10, "an exec was refused", nil},
	{"end-strangers", "who carries our id and has no record is signalled", kills, 2, "stranger signalled", nil},
	{"trust-pid", "whoever has the pid of a process is taken for it", reuse, 5, "was signalled", nil},
	{"signal-number", "a group is signalled by its number", reuse, 5, "was signalled", nil},
	{"record-one", "only the first process of an exec is written down", kills, 20, "process", nil},
	{"run-unrecorded", "commands run before their records are durable", pointsNamed("^exec/prepared kill"), 1, "orphan", nil},
	{"answer-early", "a commit is answered before it is written", kills, 10, "", nil},
	{"replay-half", "of two files of the journal one is read", kills, 20, "", []string{"BERTH_FAILPOINT=checkpoint/begun=delay:10s"}},
	{"trust-journal", "what the journal has is not compared with what was acknowledged", flipsMatching(regexp.MustCompile("^(journal|.mem)")), 30, "not all is there", nil},
	{"ignore-checksums", "the journal is read whatever its checksums say", flipsMatching(regexp.MustCompile("^journal")), 30, "not all is there", nil},
	{"ignore-write-errors", "a commit whose write failed is answered", failingDisks, 4, "", nil},
	{"ignore-sync-errors", "a commit whose sync failed is answered", failingDisks, 8, "does not notice", nil},
	{"keep-half", "work that was left half done is not undone", pointsNamed("^intent/applied kill"), 1, "half done", nil},
	{"skip-sync", "a commit does not wait for the disk", power, 1, "lost lease", nil},
	{"any-listener", "whoever listens on a leased port is taken for its process", racer, 30, "is said to listen", nil},
	{"leak-descriptors", "the end of a process leaves a descriptor open", growth, 1, "descriptor", nil},
	{"leak-goroutines", "a goroutine for each process stays", growth, 1, "goroutine", nil},
	{"leave-zombies", "processes are not reaped", growth, 1, "zombie", nil},
}
