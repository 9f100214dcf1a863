package shell

import (
	"context"

	"berth/api"
)

type portArchiveCommand struct {
	Rev revision `placeholder:"REVISION" needed:"" help:"name of the revision: letters, digits, '-', '_' and '.'"`
	outputOption
}

func (portArchiveCommand) page() page {
	return page{
		long: `Keeps a copy of all ranges under a revision. What was archived under it before is replaced. port unarchive brings it back.`,
		examples: []example{
			{"port archive -rev before-update", "keep the ranges that there are now"},
		},
	}
}

func (c *portArchiveCommand) run(ctx context.Context, s *Shell) error {
	out, err := s.client.ArchiveRanges(ctx, string(c.Rev))
	if err != nil {
		return err
	}
	return printArchived(s, c.Output, "archived", out)
}

type portUnarchiveCommand struct {
	Rev revision `placeholder:"REVISION" needed:"" help:"name of the revision"`
	outputOption
}

func (portUnarchiveCommand) page() page {
	return page{
		long: `Brings the ranges of a revision back, each in place of the one of its name. Where one would overlap a range of another name nothing is changed. The revision is kept.`,
		examples: []example{
			{"port unarchive -rev before-update", "bring the ranges of a revision back"},
		},
	}
}

func (c *portUnarchiveCommand) run(ctx context.Context, s *Shell) error {
	out, err := s.client.RestoreRanges(ctx, string(c.Rev))
	if err != nil {
		return byID(err)
	}
	return printArchived(s, c.Output, "restored", out)
}

func printArchived(s *Shell, as format, done string, a api.Archived) error {
	return list(s, as, a.Ranges, func() {
		for _, r := range a.Ranges {
			s.out.printf("%s %s %s %s\n", done, r.Name, interval(r), r.Protocol)
		}
		if len(a.Ranges) == 0 {
			s.out.printf("%s revision %s, which holds no range\n", done, a.Revision)
		}
	})
}
