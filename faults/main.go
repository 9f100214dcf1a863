// Faults holds Berth against what can go wrong: it kills the daemon at every
// moment, damages its files and its disk, and measures what is lost. It prints a
// table of what it measured, and fails where one figure is short of what is
// wanted or one promise was broken.
//
//	go run ./faults             the figures that every change has to reach, in minutes
//	go run ./faults -soak       many more of each, for about an hour
//	go run ./faults -run kills  the measures whose names match a regular expression
//	go run ./faults -case 'exec/opened kill'  what happens at one failpoint
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == serverArgument {
		serveUntilAlone()
		return
	}
	if text := os.Getenv(taskVariable); text != "" {
		os.Exit(measureTask(text, os.Stdout, os.Stderr))
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// measures are all that is measured, in the order of the table.
var measures = []measure{
	kills,
	killsWhileOpening,
	killsAtCalls,
	atPoints,
	power,
	powerControl,
	adopted,
	racer,
	histories,
	clients,
	sequences,
	reuse,
	growth,
	full,
	failingDisks,
	flips,
	plantedBugs,
}

// measure is one row of the table.
type measure struct {
	name string // for -run
	what string
	unit string

	// How many are wanted, at every change and in a soak.
	ci, soak int

	// timed measures count what was quick enough.
	timed bool

	// long ones begin first.
	long bool

	// needs are what the machine must have; a measure that lacks one is
	// skipped, loudly.
	needs []need

	// matching, unless it is nil, is the measure with only those of its cases
	// whose texts a pattern matches.
	matching func(*regexp.Regexp) measure
	cases    string // the pattern of those it has; empty for all

	// run does n of it. It returns early once ctx ends. An error says that the
	// measure itself went wrong.
	run func(ctx context.Context, s *suite, n int) (figure, error)
}

// figure is what was measured.
type figure struct {
	done       int
	violations []string // promises that were broken, each in a line
	notes      []string
}

func (f *figure) broken(format string, args ...any) {
	text := []rune(fmt.Sprintf(format, args...))
	if len(text) > longestViolation {
		text = append(text[:longestViolation], '…')
	}
	f.violations = append(f.violations, string(text))
}

// longestViolation is how many characters of one are kept.
const longestViolation = 400

func (f *figure) note(format string, args ...any) {
	f.notes = append(f.notes, fmt.Sprintf(format, args...))
}

// suite is what the measures share.
type suite struct {
	dir    string // for state folders and whatever else
	berth  string // the program, built from this source
	self   string // this program
	random *rand.Rand
	soak   bool
	log    io.Writer

	planted    []string // bugs that the daemons shall have
	env        []string // more of the daemons' environment
	namespaces uintptr  // which are this program's own, as flags of clone(2)
}

// caught reports whether a planted bug was noticed: then there is no need to go on.
func (s *suite) caught(f *figure) bool { return len(s.planted) > 0 && len(f.violations) > 0 }

// row is a line of the table.
type row struct {
	measure
	wanted int
	figure
	took    time.Duration
	skipped string
	err     error
}

func (r row) good() bool {
	return r.skipped == "" && r.err == nil && len(r.violations) == 0 && r.done >= r.wanted
}

func run(args []string, out, errOut io.Writer) int {
	flags := flag.NewFlagSet("faults", flag.ContinueOnError)
	flags.SetOutput(errOut)
	soak := flags.Bool("soak", false, "do many more of each, for about an hour")
	only := flags.String("run", "", "only the measures whose names match `REGEXP`")
	list := flags.Bool("list", false, "show the measures and end")
	part := flags.String("case", "", "only the cases that match `REGEXP`, of measures that have any: \"exec/opened kill\", \"skip-probe\"")
	lanes := flags.Int("lanes", runtime.GOMAXPROCS(0), "how many measures run beside each other, each in a network namespace of its own")
	seed := flags.Uint64("seed", rand.Uint64(), "seed of the random numbers")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	pattern, err := regexp.Compile(*only)
	if err != nil || flags.NArg() > 0 {
		fmt.Fprintf(errOut, "faults: -run wants a regular expression, and there are no other words: %v %q\n", err, flags.Args())
		return 2
	}
	cases, err := regexp.Compile(*part)
	if err != nil {
		fmt.Fprintf(errOut, "faults: -case wants a regular expression: %v\n", err)
		return 2
	}
	var chosen []measure
	for _, m := range measures {
		switch {
		case !pattern.MatchString(m.name):
		case *part == "":
			chosen = append(chosen, m)
		case m.matching != nil:
			if m = m.matching(cases); m.ci > 0 {
				chosen = append(chosen, m)
			}
		}
	}
	if *list {
		for _, m := range chosen {
			fmt.Fprintf(out, "%s: %s: %d %s, in a soak %d\n", m.name, m.what, m.ci, m.unit, m.soak)
		}
		return 0
	}
	if len(chosen) == 0 {
		fmt.Fprintf(errOut, "faults: no measure matches -run %q -case %q; -list shows them\n", *only, *part)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	s, end, err := newSuite(ctx, *soak, *seed, errOut)
	if err != nil {
		fmt.Fprintln(errOut, "faults:", err)
		return 1
	}
	defer end()
	fmt.Fprintf(errOut, "seed %d\n", *seed)
	if *lanes > 1 && len(chosen) > 1 {
		if why := needLanes.lacks(); why != "" {
			fmt.Fprintf(errOut, "one measure at a time: %s: %s\n", needLanes.name, why)
		} else {
			return report(s.inLanes(ctx, *lanes, chosen), len(chosen), out)
		}
	}
	var rows []row
	for _, m := range chosen {
		rows = append(rows, s.measure(ctx, m, s.wanted(m)))
		if ctx.Err() != nil {
			break
		}
	}
	return report(rows, len(chosen), out)
}

// wanted is how many of a measure are wanted.
func (s *suite) wanted(m measure) int {
	if s.soak {
		return m.soak
	}
	return m.ci
}

// measure measures one row and tells how it goes.
func (s *suite) measure(ctx context.Context, m measure, n int) row {
	r := row{measure: m, wanted: n}
	for _, n := range m.needs {
		if why := n.lacks(); why != "" {
			r.skipped = n.name + " is missing: " + why
			fmt.Fprintf(s.log, "%s: SKIPPED: %s\n", m.name, r.skipped)
			return r
		}
	}
	fmt.Fprintf(s.log, "%s: %d %s …\n", m.name, r.wanted, m.unit)
	begin := time.Now()
	r.figure, r.err = m.run(ctx, s, r.wanted)
	r.took = time.Since(begin)
	fmt.Fprintf(s.log, "%s: %d in %.1f s\n", m.name, r.done, r.took.Seconds())
	return r
}

// report prints the table and what was broken, and returns the exit code.
func report(rows []row, wanted int, out io.Writer) int {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "MEASURE\tWANTED\tDONE\tVIOLATIONS\tSECONDS\tVERDICT")
	good, failed, skipped := 0, wanted-len(rows), 0
	for _, r := range rows {
		verdict := "good"
		switch {
		case r.skipped != "":
			verdict = "SKIPPED: " + r.skipped
		case r.err != nil:
			verdict = "FAILED: " + firstLine(r.err.Error())
		case len(r.violations) > 0:
			verdict = "BROKEN"
		case r.done < r.wanted:
			verdict = "SHORT"
		case len(r.notes) > 0:
			verdict += ": " + strings.Join(r.notes, ", ")
		}
		fmt.Fprintf(table, "%s\t%d %s\t%d\t%d\t%.0f\t%s\n", r.what, r.wanted, r.unit, r.done, len(r.violations), r.took.Seconds(), verdict)
		switch {
		case r.good():
			good++
		case r.skipped != "":
			skipped++
		default:
			failed++
		}
	}
	_ = table.Flush()
	const most = 20
	for _, r := range rows {
		for i, v := range r.violations {
			if i == most {
				fmt.Fprintf(out, "%s: and %d more\n", r.name, len(r.violations)-most)
				break
			}
			fmt.Fprintf(out, "%s: %s\n", r.name, v)
		}
		if r.err != nil {
			fmt.Fprintf(out, "%s: %v\n", r.name, r.err)
		}
	}
	fmt.Fprintf(out, "\n%d rows good, %d failed, %d skipped\n", good, failed, skipped)
	if good < wanted {
		return 1
	}
	return 0
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
