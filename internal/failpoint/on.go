//go:build faults

package failpoint

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// At is a point at which no error can come.
func At(name string) { _ = points.reach(name, false) }

// Fail is a point at which an error can come.
func Fail(name string) error { return points.reach(name, true) }

// Planted reports whether the program shall have a bug.
func Planted(name string) bool { return points.planted[name] }

var points = mustParse(os.Getenv("BERTH_FAILPOINT"), os.Getenv("BERTH_FAILPOINTS_REACHED"), os.Getenv("BERTH_PLANTED"))

func mustParse(armed, file, planted string) *set {
	s, err := parse(armed, file, planted)
	if err != nil {
		fmt.Fprintln(os.Stderr, "failpoint:", err)
		os.Exit(2)
	}
	return s
}

// set is what a program was told by its environment.
type set struct {
	planted map[string]bool
	file    string // where what is reached is noted
	from    string // a file that tells what is armed

	mu      sync.Mutex
	text    string // what the file told last
	armed   map[string]action
	reached map[string]int
}

// action is what happens at a point.
type action struct {
	what  string // kill, error or delay
	delay time.Duration
	nth   int
}

const defaultDelay = 20 * time.Millisecond

func parse(armed, file, planted string) (*set, error) {
	s := &set{planted: map[string]bool{}, file: file, armed: map[string]action{}, reached: map[string]int{}}
	for _, name := range strings.FieldsFunc(planted, func(r rune) bool { return r == ',' }) {
		s.planted[name] = true
	}
	if from, ok := strings.CutPrefix(armed, "@"); ok {
		s.from = from
		return s, nil
	}
	return s, s.arm(armed)
}

func (s *set) arm(text string) error {
	armed := map[string]action{}
	for _, one := range strings.FieldsFunc(text, func(r rune) bool { return r == ';' }) {
		name, text, ok := strings.Cut(one, "=")
		if !ok || name == "" {
			return fmt.Errorf("%q is not name=action", one)
		}
		a, err := parseAction(text)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		armed[name] = a
	}
	s.armed = armed
	clear(s.reached)
	return nil
}

// refresh arms what the file tells, if that has changed. The lock is held.
func (s *set) refresh() {
	if s.from == "" {
		return
	}
	text, err := os.ReadFile(s.from)
	if err == nil && string(text) != s.text {
		s.text = string(text)
		err = s.arm(s.text)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "failpoint:", err)
	}
}

func parseAction(text string) (a action, err error) {
	a = action{delay: defaultDelay, nth: 1}
	text, nth, counted := strings.Cut(text, "@")
	if counted {
		if a.nth, err = strconv.Atoi(nth); err != nil || a.nth < 1 {
			return a, fmt.Errorf("@%s does not say which time it is", nth)
		}
	}
	var long string
	var timed bool
	a.what, long, timed = strings.Cut(text, ":")
	if timed {
		if a.delay, err = time.ParseDuration(long); err != nil {
			return a, err
		}
	}
	if a.what != "kill" && a.what != "error" && a.what != "delay" || timed && a.what != "delay" {
		return a, fmt.Errorf("%q is not kill, error or delay[:duration]", text)
	}
	return a, nil
}

func (s *set) reach(name string, canFail bool) error {
	s.mu.Lock()
	s.refresh()
	s.reached[name]++
	n := s.reached[name]
	if n == 1 {
		s.note(name)
	}
	a, ok := s.armed[name]
	happens := ok && n == a.nth
	if happens && a.what == "error" && !canFail {
		fmt.Fprintf(os.Stderr, "failpoint: no error can come at %s\n", name)
		happens = false
	}
	if happens {
		s.note(name + " " + a.what)
	}
	s.mu.Unlock()
	if !happens {
		return nil
	}
	switch a.what {
	case "kill":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // until it has come
	case "delay":
		time.Sleep(a.delay)
		return nil
	}
	return fmt.Errorf("%w %s was told to fail", Err, name)
}

func (s *set) note(name string) {
	if s.file == "" {
		return
	}
	f, err := os.OpenFile(s.file, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err == nil {
		_, err = f.WriteString(name + "\n")
		_ = f.Close()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "failpoint:", err)
	}
}
