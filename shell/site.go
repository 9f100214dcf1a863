package shell

import (
	"context"

	"berth/api"
)

type archiveCommand struct {
	Revision revision `arg:"" help:"name of the revision: letters, digits, '-', '_' and '.'"`
	outputOption
}

func (archiveCommand) page() page {
	return page{
		long: `Keeps a copy of all properties, tags, ranges and exec configurations under a revision, all or nothing. What was archived under it before is replaced. unarchive brings it back; distributions are kept by undeploy -rev.`,
		examples: []example{
			{"archive before-update", "keep what is set now"},
		},
	}
}

func (c *archiveCommand) run(ctx context.Context, s *Shell) error {
	out, err := s.client.Archive(ctx, string(c.Revision))
	if err != nil {
		return err
	}
	return printSite(s, c.Output, "archived", out)
}

type unarchiveCommand struct {
	Revision revision `arg:"" help:"name of the revision"`
	outputOption
}

func (unarchiveCommand) page() page {
	return page{
		long: `Brings back what archive has kept under a revision: properties, tags, ranges and exec configurations, each in place of the one of its name; others stay. Where a range would overlap one of another name, or lose a port that is leased, nothing is changed. The revision is kept.`,
		examples: []example{
			{"unarchive before-update", "bring back what was set then"},
		},
	}
}

func (c *unarchiveCommand) run(ctx context.Context, s *Shell) error {
	out, err := s.client.Unarchive(ctx, string(c.Revision))
	if err != nil {
		return byID(err)
	}
	return printSite(s, c.Output, "restored", out)
}

func printSite(s *Shell, as format, done string, a api.ArchivedSite) error {
	return list(s, as, []api.ArchivedSite{a}, func() {
		s.out.printf("%s %d properties, %d tags, %d ranges, %d exec configurations\n", done, a.Properties, a.Tags, a.Ranges, a.Execs)
	})
}
