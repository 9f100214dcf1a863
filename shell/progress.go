package shell

import (
	"context"
	"fmt"
	"time"
)

// patience is how long work may take before a terminal shows that it goes on.
const patience = 300 * time.Millisecond

// busy does work that may take long. On a terminal a line on Err tells what is
// waited for, and is taken away at the end; elsewhere nothing is shown.
func (s *Shell) busy(ctx context.Context, what string, work func(ctx context.Context) error) error {
	stop := s.spin(what)
	err := work(ctx)
	stop()
	if err != nil && ctx.Err() != nil {
		s.note("interrupted: the daemon goes on with what it was asked for")
	}
	return err
}

// spin shows the line until stop is called.
func (s *Shell) spin(what string) (stop func()) {
	if !s.opts.IsTerminal(s.opts.Err) {
		return func() {}
	}
	_ = s.out.Flush()
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
			fmt.Fprintf(s.err, "\r%c %s, %d s\x1b[K", frames[i%len(frames)], what, int(time.Since(begin).Seconds()))
			select {
			case <-quit:
				fmt.Fprint(s.err, "\r\x1b[K")
				return
			case <-tick.C:
			}
		}
	}()
	return func() { close(quit); <-gone }
}
