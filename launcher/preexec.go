package launcher

import (
	"context"
	"fmt"
	"io"
	"time"

	"berth/launcher/cmdline"
)

// preExecLimit is how long the commands of a preExec may take together.
const preExecLimit = time.Minute

// PreExec are commands of the shell that run before a process starts.
type PreExec struct {
	// Commands are as the descriptor has them.
	Commands []string

	// Dir is the distribution's folder: files are named from there.
	Dir string

	// Categories are those of the process, in order.
	Categories []string

	// Variables are what ${name} stands for in the commands: what the process is
	// told, its properties and the server's, secrets left out.
	Variables map[string]string

	// Output takes what the commands print.
	Output io.Writer
}

// runPreExec runs the commands that stand before a process. If one fails, the
// process must not start.
func (l *Launcher) runPreExec(p Process, d definition, set properties, out io.Writer) error {
	if len(d.process.PreExec) == 0 {
		return nil
	}
	if l.Runner == nil {
		return fmt.Errorf("%w: process %q: there is nothing that runs its preExec", ErrUnsupported, p.Name)
	}
	variables := map[string]string{"user.dir": d.distribution.Dir}
	if l.JavaHome != "" {
		variables["java.home"] = l.JavaHome
	}
	_, server := l.told(p, d)
	for _, list := range [][]cmdline.Property{set.server, server, set.own} {
		for _, property := range list {
			if !cmdline.IsHidden(property.Name) {
				variables[property.Name] = property.Value
			}
		}
	}
	ctx, cancel := context.WithTimeout(l.life, preExecLimit)
	defer cancel()
	err := l.Runner(ctx, PreExec{
		Commands: d.process.PreExec, Dir: d.distribution.Dir, Categories: d.categories(), Variables: variables, Output: out,
	})
	if err != nil {
		return fmt.Errorf("%w: process %q: preExec: %w", ErrExecRefused, p.Name, err)
	}
	return nil
}
