package shell

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/term"

	"berth/api"
	"berth/client"
)

// patience is how long work may take before a terminal shows that it goes on.
const patience = 300 * time.Millisecond

// busy does work that may take long. On a terminal a line on Err tells what is
// waited for, and is taken away at the end; elsewhere nothing is shown.
func (s *Shell) busy(ctx context.Context, what string, work func(ctx context.Context) error) error {
	return s.busyWith(ctx, what, func(ctx context.Context, _ func(string)) error { return work(ctx) })
}

// busyWith does work that tells what it is at.
func (s *Shell) busyWith(ctx context.Context, what string, work func(ctx context.Context, tell func(what string)) error) error {
	tell, stop := s.spin(what)
	err := work(ctx, tell)
	stop()
	if err != nil && ctx.Err() != nil {
		s.note("interrupted: the daemon goes on with what it was asked for")
	}
	return err
}

// uploading tells how far an upload is.
func uploading(file string, tell func(string)) func(sent, total int64) {
	return func(sent, total int64) {
		switch {
		case total == 0:
			tell(fmt.Sprintf("deploying %s: %s", file, bytesOf(sent)))
		case sent < total:
			tell(fmt.Sprintf("deploying %s: %s of %s", file, bytesOf(sent), bytesOf(total)))
		default:
			tell(fmt.Sprintf("deploying %s: %s sent, unpacking", file, bytesOf(total)))
		}
	}
}

// bytesOf is a number of bytes for people.
func bytesOf(n int64) string {
	const unit = 1 << 10
	value, names := float64(n), []string{"bytes", "KiB", "MiB", "GiB"}
	i := 0
	for ; value >= unit && i < len(names)-1; i++ {
		value /= unit
	}
	if i == 0 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.1f %s", value, names[i])
}

// lookEvery is how often is looked who is waited for.
const lookEvery = 500 * time.Millisecond

// waitedFor has a terminal show for which processes is waited, until stop is
// called: those of the selection for which name is not empty.
func (s *Shell) waitedFor(ctx context.Context, sel api.Selector, tell func(string), name func(api.Process) string) (stop func()) {
	if !s.opts.IsTerminal(s.opts.Err) {
		return func() {}
	}
	ctx, cancel := context.WithCancel(client.WithoutStart(ctx))
	ids, pids := sel.IDs, sel.PIDs
	sel.IDs, sel.PIDs = nil, nil // one that is gone would be an error
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			ps, err := s.client.Processes(ctx, sel, false)
			if err != nil {
				continue
			}
			var names []string
			for _, p := range ps {
				if len(ids) > 0 && !slices.Contains(ids, p.ID) || len(pids) > 0 && !slices.Contains(pids, p.PID) {
					continue
				}
				if text := name(p); text != "" {
					names = append(names, text)
				}
			}
			if len(names) > 0 {
				tell("waiting for " + strings.Join(names, ", "))
			}
		}
	}()
	return func() { cancel(); <-gone }
}

// notListening names a process and the ports that it does not listen on, or why it
// is not healthy; empty if it listens on all and is.
func notListening(p api.Process) string {
	var ports []api.ProcessPort
	for _, port := range p.Ports {
		if port.State != api.PortListening {
			ports = append(ports, port)
		}
	}
	ready := p.Health == "" || p.Health == api.HealthHealthy
	if len(ports) == 0 && p.Status == api.StatusRunning && ready {
		return ""
	}
	text := fmt.Sprintf("%s %d", p.Name, p.ID) + behind(" on ", portList(ports))
	if len(ports) == 0 && !ready {
		text += ", which is not healthy" + behind(": ", p.HealthReason)
	}
	return text
}

// notEnded names a process that is there.
func notEnded(p api.Process) string { return fmt.Sprintf("%s %d", p.Name, p.ID) }

// spin shows the line until stop is called. Tell changes what it says.
func (s *Shell) spin(what string) (tell func(string), stop func()) {
	if !s.opts.IsTerminal(s.opts.Err) {
		return func(string) {}, func() {}
	}
	_ = s.out.Flush()
	var said atomic.Pointer[string]
	said.Store(&what)
	quit, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		begin := time.Now()
		select {
		case <-quit:
			return
		case <-time.After(patience):
		}
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		frames := []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
		for i := 0; ; i++ {
			took := fmt.Sprintf(", %d s", int(time.Since(begin).Seconds()))
			text := fit(oneLine(*said.Load()), s.columns()-len(took)-3)
			fmt.Fprintf(s.err, "\r%c %s%s\x1b[K", frames[i%len(frames)], text, took)
			select {
			case <-quit:
				fmt.Fprint(s.err, "\r\x1b[K")
				return
			case <-tick.C:
			}
		}
	}()
	return func(what string) { said.Store(&what) }, func() { close(quit); <-gone }
}

// columns is how wide the terminal of Err is.
func (s *Shell) columns() int {
	if f, ok := s.opts.Err.(*os.File); ok {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 0 {
			return n
		}
	}
	return 80
}

// fit shortens text to a number of columns: a line that wraps could not be taken
// away again.
func fit(text string, columns int) string {
	if columns = max(columns, 10); width(text) <= columns {
		return text
	}
	letters := []rune(text)
	for len(letters) > 0 && width(string(letters)) > columns-1 {
		letters = letters[:len(letters)-1]
	}
	return string(letters) + "…"
}
