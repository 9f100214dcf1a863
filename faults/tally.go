package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tally is how many there are of what a process has open, by a word of the kind
// and what it is.
type tally map[[2]string]int

// The kinds of a tally.
const (
	descriptors = "descriptor"
	goroutines  = "goroutine"
	zombies     = "zombie"
)

func (t tally) count(kind string) (n int) {
	for what, k := range t {
		if what[0] == kind {
			n += k
		}
	}
	return n
}

// grown tells what there is more of than before.
func (t tally) grown(before tally) (list []string) {
	for _, what := range slices.SortedFunc(maps.Keys(t), func(a, b [2]string) int { return strings.Compare(a[0]+a[1], b[0]+b[1]) }) {
		if t[what] > before[what] {
			list = append(list, fmt.Sprintf("%s %s: %d, before %d", what[0], what[1], t[what], before[what]))
		}
	}
	return list
}

// How long a daemon is watched for the least that it has open, and how long
// it may take it to come to rest.
const (
	restWatch = 2 * time.Second
	restLimit = 20 * time.Second
)

// restLimit is how long a daemon may take to come to rest.
func (s *suite) restLimit() time.Duration {
	if len(s.planted) > 0 {
		return restLimit / 4 // what was planted to stay does
	}
	return restLimit
}

// least is the least that the daemon has open over a while.
func (w *workload) least(ctx context.Context) (tally, error) {
	var least tally
	for deadline := time.Now().Add(restWatch); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		now, err := w.tally(ctx)
		if err != nil {
			return nil, err
		}
		if least == nil {
			least = now
		}
		for what, n := range least {
			least[what] = min(n, now[what])
		}
	}
	return least, nil
}

// rest waits until the daemon has no more open than before, and returns what
// still is when that does not come.
func (w *workload) rest(ctx context.Context, before tally) ([]string, error) {
	for deadline := time.Now().Add(w.s.restLimit()); ; time.Sleep(50 * time.Millisecond) {
		now, err := w.tally(ctx)
		if err != nil {
			return nil, err
		}
		grown := now.grown(before)
		if len(grown) == 0 || time.Now().After(deadline) {
			return grown, nil
		}
	}
}

// tally counts what the daemon has open.
func (w *workload) tally(ctx context.Context) (tally, error) {
	w.Close() // the suite's own connections
	t := tally{}
	pid := w.daemon.Pid
	if err := t.addDescriptors(pid, w.home); err != nil {
		return nil, err
	}
	left, err := zombiesOf(pid)
	if err != nil {
		return nil, err
	}
	if len(left) > 0 {
		t[[2]string{zombies, "child"}] = len(left)
	}
	if err := os.Remove(w.stacks); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if err := w.daemon.Signal(syscall.SIGUSR1); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		stacks, err := os.ReadFile(w.stacks)
		switch {
		case err == nil:
			t.addGoroutines(stacks)
			return t, nil
		case !errors.Is(err, os.ErrNotExist):
			return nil, err
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case time.Now().After(deadline):
			return nil, errors.New("the daemon does not write its stacks")
		}
	}
}

var digits = regexp.MustCompile(`[0-9]+`)

// addDescriptors counts the descriptors of a process, but for one of each file
// that the store has: how many it has depends on what it was given to keep.
func (t tally) addDescriptors(pid int, home string) error {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	of := map[string]bool{}
	for _, e := range entries {
		what, err := os.Readlink(filepath.Join(dir, e.Name()))
		if errors.Is(err, os.ErrNotExist) {
			continue // it was closed since, as that of /proc itself
		}
		if err != nil {
			return err
		}
		if filepath.Dir(what) == filepath.Join(home, "store") && !of[what] && !strings.HasSuffix(what, " (deleted)") {
			of[what] = true
			continue
		}
		t[[2]string{descriptors, digits.ReplaceAllString(strings.Replace(what, home, "HOME", 1), "N")}]++
	}
	return nil
}

// addGoroutines counts goroutines by who made them, from their stacks.
func (t tally) addGoroutines(stacks []byte) {
	for stack := range bytes.SplitSeq(bytes.TrimSpace(stacks), []byte("\n\n")) {
		by := "main"
		if i := bytes.LastIndex(stack, []byte("\ncreated by ")); i >= 0 {
			by, _, _ = strings.Cut(string(stack[i+len("\ncreated by "):]), "\n")
			by, _, _ = strings.Cut(by, " in goroutine ")
		}
		t[[2]string{goroutines, "made by " + by}]++
	}
}

// zombiesOf are the pids of a process' children that have ended and that it has
// not waited for.
func zombiesOf(parent int) (pids []int, err error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue // it is gone
		}
		// State and parent follow the command, which is in parentheses.
		fields := strings.Fields(string(line[bytes.LastIndexByte(line, ')')+1:]))
		if len(fields) > 1 && fields[0] == "Z" && fields[1] == strconv.Itoa(parent) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// reaps waits until the daemon has no zombies.
func (h *host) reaps(ctx context.Context) error {
	for deadline := time.Now().Add(h.s.restLimit()); ; time.Sleep(10 * time.Millisecond) {
		left, err := zombiesOf(h.daemon.Pid)
		switch {
		case err != nil || len(left) == 0:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Now().After(deadline):
			return fmt.Errorf("zombies: the daemon does not wait for its children %v", left)
		}
	}
}
