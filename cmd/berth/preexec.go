package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"berth/client"
	"berth/launcher"
	"berth/shell"
)

// answerLimit is how long a preExec waits for the daemon, which it is a part of,
// to answer: processes may start again while the daemon itself still does.
const answerLimit = 5 * time.Second

// runPreExec runs the commands of a preExec as the lines of a script, against
// this daemon, until one fails.
func (d *daemon) runPreExec(ctx context.Context, in launcher.PreExec) error {
	wait, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	select {
	case <-d.ready:
	case <-wait.Done():
		return fmt.Errorf("the daemon does not answer yet: %w", wait.Err())
	}
	c := client.New(client.Options{Socket: d.paths.Socket})
	defer c.Close()
	var said strings.Builder // what goes wrong, and notes
	s := shell.New(shell.Options{
		Client: c, In: strings.NewReader(""), Out: in.Output, Err: &said, Version: buildVersion(),
		Dir: in.Dir, Categories: in.Categories, Variables: in.Variables,
	})
	for _, command := range in.Commands {
		if err := s.RunLine(ctx, command); err != nil {
			return fmt.Errorf("%q: %w", command, err)
		}
	}
	return nil
}
