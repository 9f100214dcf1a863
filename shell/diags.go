package shell

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"berth/api"
)

type diagsCommand struct {
	Distribution string     `short:"d" placeholder:"PATTERN" pattern:"" complete:"distribution" help:"name of their distribution"`
	Version      string     `short:"v" placeholder:"PATTERN" pattern:"" complete:"version" help:"version of their distribution"`
	Name         string     `short:"n" placeholder:"PATTERN" pattern:"" complete:"process" help:"name of the processes"`
	Profile      string     `short:"p" placeholder:"PATTERN" pattern:"" complete:"profile" help:"profile with which they were started"`
	ID           []identity `short:"i" placeholder:"ID" complete:"id" help:"ids of the processes"`
	Wait         seconds    `short:"w" placeholder:"SECONDS" bare:"86400" help:"ask again until none is starting any more, at most that long; without a number as long as it takes"`
	Interval     seconds    `short:"t" default:"10" placeholder:"SECONDS" help:"with -w: the pause between two times of asking"`
	Abort        bool       `short:"a" help:"accepted as in Corus, and so in any case: a process that failed ends a script"`
	Silent       bool       `short:"s" help:"print no report; the exit code tells"`
	outputOption
}

func (diagsCommand) page() page {
	return page{
		long: `Asks processes how they are, on each of their ports whose descriptor has an http-diagnostic or an https-diagnostic, or at the health_check_url of their app file, and reports what they answered. The daemon asks, on this host, without a proxy; the status of the answer is what counts, and redirects are not followed.

A process is well if it answers with its successCode (200 where the descriptor says none). One that does not is starting within its gracePeriod (45 seconds), and failed after it. Where one failed the exit code is 1. Processes without a diagnostic are unchecked.

With -w they are asked again until all are well, or one failed or ended, which is told. One that is still starting when the time is over counts as failed.`,
		examples: []example{
			{"diags", "ask all processes"},
			{"diags -w -a -d demo", "wait until those of a distribution are well"},
			{"diags -n httpServer -o json", "the report as JSON"},
		},
	}
}

func (c *diagsCommand) selector() api.Selector {
	return api.Selector{IDs: ints(c.ID), Distribution: c.Distribution, Version: c.Version, Name: c.Name, Profile: c.Profile}
}

// String is the selection as it was typed.
func (c *diagsCommand) String() string {
	s := selection{ID: c.ID, Distribution: c.Distribution, Version: c.Version, Name: c.Name, Profile: c.Profile}
	return s.String()
}

func (c *diagsCommand) run(ctx context.Context, s *Shell) error {
	var found []api.Diagnosis
	err := s.busyWith(ctx, "asking processes", func(ctx context.Context, tell func(string)) (err error) {
		found, err = c.ask(ctx, s, tell)
		return err
	})
	if err != nil && !errors.Is(err, errIll) {
		return byID(err)
	}
	if err == nil {
		err = ill(found)
	}
	if !c.Silent {
		s.noneMatch(c.Output, len(found), c.String(), "process", "")
		listed := list(s, c.Output, found, func() {
			if len(found) > 0 {
				s.out.table(diagnosisTable(s.out, found))
			}
		})
		if listed != nil {
			return listed
		}
	}
	return err
}

// ask asks once, or with -w until it is decided how all are.
func (c *diagsCommand) ask(ctx context.Context, s *Shell, tell func(string)) ([]api.Diagnosis, error) {
	selector := c.selector()
	if c.Wait == 0 {
		return s.client.Diagnoses(ctx, selector)
	}
	end := time.NewTimer(time.Duration(float64(c.Wait) * float64(time.Second)))
	defer end.Stop()
	waited := map[int]api.Diagnosis{} // for whom it waits, by their ids
	for {
		found, err := s.client.Diagnoses(ctx, selector)
		if err != nil {
			return nil, err
		}
		if err := c.ended(ctx, s, waited, found); err != nil {
			return found, err
		}
		var names []string
		failed := false
		clear(waited)
		for _, d := range found {
			failed = failed || d.Result == api.DiagnosisFailed
			if d.Result == api.DiagnosisStarting {
				waited[d.Process] = d
				names = append(names, titleOf(d)+behind(": ", d.Reason))
			}
		}
		if len(waited) == 0 || failed {
			return found, nil
		}
		tell("waiting for " + strings.Join(names, "; "))
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-end.C:
			return found, &illError{fmt.Sprintf("not well after %gs: %s", float64(c.Wait), strings.Join(names, "; "))}
		case <-time.After(c.pause(found)):
		}
	}
}

// soonest is the shortest pause that is not asked for.
const soonest = 100 * time.Millisecond

// pause is the pause before asking again: no longer than the first grace period
// lasts, as it is decided then.
func (c *diagsCommand) pause(found []api.Diagnosis) time.Duration {
	pause := time.Duration(float64(c.Interval) * float64(time.Second))
	for _, d := range found {
		if d.Result == api.DiagnosisStarting && !d.GraceEnds.IsZero() {
			pause = min(pause, max(time.Until(d.GraceEnds), soonest))
		}
	}
	return pause
}

// ended tells of a process that was waited for and is not there any more. One
// that was asked to stop is no failure.
func (c *diagsCommand) ended(ctx context.Context, s *Shell, waited map[int]api.Diagnosis, found []api.Diagnosis) error {
	for id, d := range waited {
		if slices.ContainsFunc(found, func(d api.Diagnosis) bool { return d.Process == id }) {
			continue
		}
		p, err := s.client.Process(ctx, id)
		if err != nil {
			return err
		}
		if p.Status == api.StatusEnded {
			return &illError{fmt.Sprintf("%s ended while it was waited for: %s", titleOf(d), p.Reason)}
		}
	}
	return nil
}

// errIll says that a process is not well.
var errIll = errors.New("not well")

type illError struct{ text string }

func (e *illError) Error() string        { return e.text }
func (e *illError) Is(target error) bool { return target == errIll }

// ill is the error of what failed, nil if nothing did.
func ill(found []api.Diagnosis) error {
	var names []string
	for _, d := range found {
		if d.Result == api.DiagnosisFailed {
			names = append(names, titleOf(d)+behind(": ", d.Reason))
		}
	}
	switch n := len(names); {
	case n == 0:
		return nil
	case n > 3:
		names = append(names[:3], fmt.Sprintf("and %d more", n-3))
	}
	return &illError{"not well: " + strings.Join(names, "; ")}
}

// titleOf names a process and the port on which it is asked.
func titleOf(d api.Diagnosis) string {
	title := fmt.Sprintf("%s %d", d.Name, d.Process)
	if d.Port != 0 {
		title += fmt.Sprintf(" (%s:%d)", d.Range, d.Port)
	}
	return oneLine(title)
}

// tookText is how long something took, for people.
func tookText(milliseconds float64) string {
	if milliseconds < 999.5 {
		return fmt.Sprintf("%.3g ms", milliseconds)
	}
	return fmt.Sprintf("%.3g s", milliseconds/1000)
}

func diagnosisTable(o *output, found []api.Diagnosis) table {
	t := table{head: []string{"DISTRIBUTION", "VERSION", "NAME", "ID", "PORT", "RESULT", "URL", "ANSWER"}}
	for _, d := range found {
		port, answer := "-", oneLine(d.Reason)
		if d.Port != 0 {
			port = oneLine(d.Range) + ":" + strconv.Itoa(d.Port)
		}
		if d.Result == api.DiagnosisWell {
			answer = fmt.Sprintf("%d in %s", d.Code, tookText(d.Milliseconds))
		}
		url := oneLine(d.URL)
		if url == "" {
			url = "-"
		}
		t.add(oneLine(d.Distribution), oneLine(d.Version), oneLine(d.Name), strconv.Itoa(d.Process), port, result(o, d.Result), url, answer)
	}
	return t
}

func result(o *output, result string) string {
	switch result {
	case api.DiagnosisWell:
		return o.good(result)
	case api.DiagnosisFailed:
		return o.bad(result)
	case api.DiagnosisUnchecked:
		return o.faint(result)
	}
	return o.odd(oneLine(result))
}
