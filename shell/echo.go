package shell

import (
	"context"
	"strings"
)

type echoCommand struct {
	Word []string `arg:"" optional:"" verbatim:"" help:"words to print"`
}

func (echoCommand) page() page {
	return page{
		long: `Prints its words with a blank between them, for scripts that tell what they do.`,
		examples: []example{
			{`echo "starting the demo"`, "print a line"},
		},
	}
}

func (c *echoCommand) run(_ context.Context, s *Shell) error {
	s.out.printf("%s\n", strings.Join(c.Word, " "))
	return nil
}
