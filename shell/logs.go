package shell

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"

	"berth/api"
	"berth/client"
)

type logsCommand struct {
	Process string     `arg:"" name:"name|id" complete:"known" help:"id or name of the process; a name is a pattern"`
	Follow  bool       `short:"f" help:"go on with what is written until the process ended"`
	Lines   *lineCount `short:"n" placeholder:"N" help:"begin with the last N lines"`
}

func (logsCommand) page() page {
	return page{
		long: `Shows what a process wrote to its standard output and error, also of one that ended not long ago. With -f it goes on with what is written, across restarts, until the process has ended or Ctrl-C is pressed. Output that was rotated is shown as well, as far as it is kept: 5 files of 10 MiB where serve is not told otherwise.

A name, that of an app or process, means every process of that name that runs; where none runs, the last one of each instance. Where these are several, each line stands behind the name and id of its process. With -f a name also takes in what a reload starts in place of one of them.`,
		examples: []example{
			{"logs 3", "show all output of a process"},
			{"logs -f -n 20 3", "show its last 20 lines and what follows"},
			{"logs web -f -n 0", "follow all processes of one name"},
		},
	}
}

func (c *logsCommand) run(ctx context.Context, s *Shell) error {
	o := client.Output{Follow: c.Follow}
	if c.Lines != nil {
		n := int(*c.Lines)
		o.Tail = &n
	}
	if id, err := strconv.Atoi(c.Process); err == nil && id > 0 {
		return s.copyOutput(ctx, id, o, s.writeAtOnce)
	}
	ps, err := s.processesOf(ctx, c.Process)
	if err != nil {
		return err
	}
	ps = lastOfEach(ps)
	s.noneMatch(asTable, len(ps), c.Process, "process", "")
	all := &outputs{s: s, several: len(ps) > 1}
	if c.Follow {
		return all.follow(ctx, c.Process, ps, o)
	}
	for _, p := range ps {
		if err := all.copy(ctx, p, o); err != nil {
			return err
		}
	}
	return nil
}

// lastOfEach leaves, of processes that ended, the last one of each instance.
func lastOfEach(ps []api.Process) []api.Process {
	same := func(a, b api.Process) bool {
		return a.Distribution == b.Distribution && a.Version == b.Version && a.Name == b.Name && a.Instance == b.Instance
	}
	var last []api.Process
	for i, p := range ps { // by their ids
		later := slices.ContainsFunc(ps[i+1:], func(q api.Process) bool { return same(p, q) })
		if p.Status != api.StatusEnded || !later {
			last = append(last, p)
		}
	}
	return last
}

// copyOutput hands the output of a process to write as it comes.
func (s *Shell) copyOutput(ctx context.Context, id int, o client.Output, write func([]byte) error) error {
	r, err := s.client.Output(ctx, id, o)
	if err != nil {
		return byID(err)
	}
	defer r.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			if err := write(buf[:n]); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// writeAtOnce writes to Out what is seen at once.
func (s *Shell) writeAtOnce(text []byte) error {
	if _, err := s.out.Write(text); err != nil {
		return err
	}
	return s.out.Flush()
}

// longestLine is how long a line may be before it is parted among those of
// several processes.
const longestLine = 64 << 10

// outputs shows those of several processes, in whole lines.
type outputs struct {
	s *Shell

	mu      sync.Mutex // held while lines are written
	several bool       // lines are told apart
}

// copy shows the output of a process.
func (a *outputs) copy(ctx context.Context, p api.Process, o client.Output) error {
	var open []byte // of a line whose end has not come
	err := a.s.copyOutput(ctx, p.ID, o, func(text []byte) error {
		open = append(open, text...)
		end := bytes.LastIndexByte(open, '\n') + 1
		if end == 0 && len(open) < longestLine {
			return nil
		}
		if end == 0 {
			end = len(open)
		}
		err := a.write(p, open[:end])
		open = append(open[:0], open[end:]...)
		return err
	})
	if len(open) > 0 && err == nil {
		err = a.write(p, open)
	}
	return err
}

// write writes lines of a process. The last one's end is added where it is missing.
func (a *outputs) write(p api.Process, lines []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.several {
		return a.s.writeAtOnce(lines)
	}
	label := a.s.out.faint(fmt.Sprintf("%s %d |", oneLine(p.Name), p.ID))
	var text bytes.Buffer
	for line := range bytes.Lines(lines) {
		fmt.Fprintf(&text, "%s %s", label, line)
		if !bytes.HasSuffix(line, []byte("\n")) {
			text.WriteByte('\n')
		}
	}
	return a.s.writeAtOnce(text.Bytes())
}

// follow shows the outputs of processes, and of those of the name that run when
// one of them has ended, until all have.
func (a *outputs) follow(ctx context.Context, name string, ps []api.Process, o client.Output) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	seen := map[int]bool{}
	ended := make(chan error)
	open := 0
	begin := func(p api.Process, o client.Output) {
		seen[p.ID] = true
		open++
		go func() { ended <- a.copy(ctx, p, o) }()
	}
	for _, p := range ps {
		begin(p, o)
	}
	var failed error
	for open > 0 {
		err := <-ended
		open--
		if failed != nil {
			continue
		}
		if err == nil {
			ps, err = a.s.client.Processes(ctx, api.Selector{Name: name}, false)
		}
		if err != nil {
			failed = err
			cancel()
			continue
		}
		for _, p := range ps {
			if seen[p.ID] {
				continue
			}
			a.mu.Lock()
			a.several = true
			a.mu.Unlock()
			begin(p, client.Output{Follow: true})
		}
	}
	return failed
}
