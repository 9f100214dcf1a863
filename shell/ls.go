package shell

import (
	"context"
	"strconv"
	"strings"
)

type lsCommand struct {
	Distribution string       `short:"d" placeholder:"PATTERN" pattern:"" complete:"distribution" help:"name of the distributions"`
	Version      string       `short:"v" placeholder:"PATTERN" pattern:"" complete:"version" help:"version of the distributions"`
	Exec         optionalText `short:"e" placeholder:"PATTERN" bare:"" word:"" pattern:"" complete:"exec" help:"list exec configurations, those that match"`
	outputOption
}

func (lsCommand) page() page {
	return page{
		long: `Lists the distributions that are deployed, with their processes, the profiles that these know, and how many of them run; with -e the exec configurations.`,
		examples: []example{
			{"ls", "list all distributions"},
			{`ls -d "demo*" -o json`, "list some as JSON"},
			{"ls -e", "list all exec configurations"},
		},
	}
}

func (c *lsCommand) run(ctx context.Context, s *Shell) error {
	if c.Exec.given {
		if c.Distribution != "" || c.Version != "" {
			return &UsageError{Text: "-e goes without -d and -v"}
		}
		return s.listExecs(ctx, c.Exec.text, c.Output)
	}
	ds, err := s.client.Distributions(ctx, c.Distribution, c.Version)
	if err != nil {
		return err
	}
	s.noneMatch(c.Output, len(ds), strings.TrimSpace(c.Distribution+" "+c.Version), "distribution", "deploy one with deploy FILE")
	return list(s, c.Output, lists(ds), func() {
		if len(ds) == 0 {
			return
		}
		t := table{head: []string{"NAME", "VERSION", "PROCESSES", "PROFILES", "RUNNING"}}
		for _, d := range ds {
			t.add(oneLine(d.Name), oneLine(d.Version), orDash(d.Processes), orDash(d.Profiles), strconv.Itoa(d.Running))
		}
		s.out.table(t)
	})
}

func orDash(names []string) string {
	if len(names) == 0 {
		return "-"
	}
	return oneLine(strings.Join(names, ", "))
}
