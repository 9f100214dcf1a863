package shell

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/term"
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
