package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Measures run beside each other in lanes. All of them use the same ports, so
// that each is measured by a process of its own, in a network namespace of its
// own, to which it answers with its row.

// taskVariable has the task of a process that measures for another one.
const taskVariable = "BERTH_FAULTS_TASK"

// needLanes is what network namespaces take.
var needLanes = need{"network namespaces", func() string {
	if os.Geteuid() != 0 {
		return "only root makes them"
	}
	probe := exec.Command("true")
	probe.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if err := probe.Run(); err != nil {
		return err.Error()
	}
	return ""
}}

// inLanes measures rows, so many at a time. Those that count what was quick
// enough have the machine for themselves, and come first.
func (s *suite) inLanes(ctx context.Context, lanes int, chosen []measure) []row {
	rows := make([]row, len(chosen))
	measured := make([]bool, len(chosen))
	for i, m := range chosen {
		if m.timed {
			rows[i], measured[i] = s.apart(ctx, m, s.wanted(m), syscall.CLONE_NEWNET), true
		}
	}
	free := make(chan struct{}, lanes)
	log := &oneByOne{to: s.log}
	var wait sync.WaitGroup
	order := make([]int, 0, len(chosen))
	for _, long := range []bool{true, false} {
		for i, m := range chosen {
			if m.long == long && !measured[i] {
				order = append(order, i)
			}
		}
	}
	for _, i := range order {
		m := chosen[i]
		free <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		measured[i] = true
		seed := s.random.Uint64()
		wait.Go(func() {
			lane := *s
			lane.random, lane.log = rand.New(rand.NewPCG(seed, 0)), log
			rows[i] = lane.apart(ctx, m, s.wanted(m), syscall.CLONE_NEWNET)
			<-free
		})
	}
	wait.Wait()
	var done []row
	for i, r := range rows {
		if measured[i] {
			done = append(done, r)
		}
	}
	return done
}

// oneByOne hands on what several write.
type oneByOne struct {
	mu sync.Mutex
	to io.Writer
}

func (w *oneByOne) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(b)
}

// task is what a process of its own is to measure. It gets it as JSON by the
// environment.
type task struct {
	Dir     string // for its folder
	Program string
	Measure string
	Case    string
	N       int
	Seed    uint64
	Soak    bool
	Planted []string
	Flags   uintptr // of clone(2): the namespaces that are new
}

// outcome is a row as such a process prints it.
type outcome struct {
	Done              int
	Violations, Notes []string
	Seconds           float64
	Skipped, Err      string
}

// apart has a process of its own measure n of something, in new namespaces.
func (s *suite) apart(ctx context.Context, m measure, n int, flags uintptr) row {
	r := row{measure: m, wanted: n}
	begin := time.Now()
	out, err := s.startApart(ctx, task{
		Dir: s.dir, Program: s.berth, Measure: m.name, Case: m.cases, N: n, Seed: s.random.Uint64(), Soak: s.soak, Planted: s.planted, Flags: flags,
	})
	var o outcome
	if jsonErr := json.Unmarshal(out, &o); jsonErr != nil {
		r.err = errors.Join(err, ctx.Err(), fmt.Errorf("the process that measured it says %q", out))
		r.took = time.Since(begin)
		return r
	}
	r.skipped = o.Skipped
	r.figure = figure{done: o.Done, violations: o.Violations, notes: o.Notes}
	r.took = time.Duration(o.Seconds * float64(time.Second))
	if o.Err != "" {
		r.err = errors.New(o.Err)
	}
	return r
}

func (s *suite) startApart(ctx context.Context, t task) ([]byte, error) {
	text, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, s.self)
	cmd.Env = append(environ(), taskVariable+"="+string(text))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: t.Flags}
	// Ctrl-C reaches it too: it ends what it has started, and itself.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Stderr = s.log
	cmd.WaitDelay = patience // where something that it has left holds its output
	return cmd.Output()
}

// measureTask does the task of this process.
func measureTask(text string, out, errOut io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var t task
	err := json.Unmarshal([]byte(text), &t)
	if err == nil {
		err = t.measure(ctx, out, errOut)
	}
	if err != nil {
		fmt.Fprintln(errOut, "faults:", err)
		return 1
	}
	return 0
}

func (t task) measure(ctx context.Context, out, errOut io.Writer) error {
	i := slices.IndexFunc(measures, func(m measure) bool { return m.name == t.Measure })
	if i < 0 {
		return fmt.Errorf("there is no measure %q", t.Measure)
	}
	m := measures[i]
	if t.Case != "" {
		pattern, err := regexp.Compile(t.Case)
		if err != nil {
			return err
		}
		m = m.matching(pattern)
	}
	if t.Flags&syscall.CLONE_NEWNET != 0 {
		if err := raiseLoopback(); err != nil {
			return err
		}
	}
	if t.Flags&syscall.CLONE_NEWPID != 0 {
		if err := mountProc(); err != nil {
			return err
		}
	}
	s, end, err := folder(t.Dir, t.Soak, t.Seed, errOut)
	if err != nil {
		return err
	}
	s.berth, s.planted, s.namespaces = t.Program, t.Planted, t.Flags
	r := s.measure(ctx, m, t.N)
	end()
	o := outcome{Done: r.done, Violations: r.violations, Notes: r.notes, Seconds: r.took.Seconds(), Skipped: r.skipped}
	if r.err != nil {
		o.Err = r.err.Error()
	}
	return json.NewEncoder(out).Encode(o)
}

// raiseLoopback brings up the one interface of a new network namespace.
func raiseLoopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		return fmt.Errorf("raise the loopback interface: %w", err)
	}
	return nil
}

// mountProc shows the processes of a new pid namespace, in a new mount namespace.
func mountProc() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	return unix.Mount("proc", "/proc", "proc", 0, "")
}
