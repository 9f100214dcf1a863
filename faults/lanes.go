package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Measures run beside each other in lanes. All of them use the same ports, so
// that each is measured by a process of its own, in a network namespace of its
// own, to which it answers with its row.

// laneVariable has the folder of the program that a lane's process uses; such a
// process measures one row and prints it as JSON.
const laneVariable = "BERTH_FAULTS_LANE"

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
func (s *suite) inLanes(ctx context.Context, lanes int, chosen []measure, args []string) []row {
	rows := make([]row, len(chosen))
	measured := make([]bool, len(chosen))
	for i, m := range chosen {
		if m.timed {
			rows[i], measured[i] = s.measureApart(ctx, m, args), true
		}
	}
	free := make(chan struct{}, lanes)
	var wait sync.WaitGroup
	for i, m := range chosen {
		if measured[i] {
			continue
		}
		free <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		measured[i] = true
		wait.Go(func() {
			rows[i] = s.measureApart(ctx, m, args)
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

// told is a row as a lane's process prints it.
type told struct {
	Wanted, Done      int
	Violations, Notes []string
	Seconds           float64
	Skipped, Err      string
}

// measureApart has a process of its own measure a row.
func (s *suite) measureApart(ctx context.Context, m measure, args []string) row {
	r := row{measure: m, wanted: s.wanted(m)}
	begin := time.Now()
	cmd := exec.CommandContext(ctx, s.self, append(args, "-run", "^"+m.name+"$", "-seed", strconv.FormatUint(s.random.Uint64(), 10))...)
	cmd.Env = append(environ(), laneVariable+"="+s.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	// Ctrl-C reaches it too: it ends what it has started, and itself.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Stderr = s.log
	out, err := cmd.Output()
	var t told
	if jsonErr := json.Unmarshal(out, &t); jsonErr != nil {
		r.err = errors.Join(err, fmt.Errorf("the process that measured it says %q", out))
		r.took = time.Since(begin)
		return r
	}
	r.wanted, r.skipped = t.Wanted, t.Skipped
	r.figure = figure{done: t.Done, violations: t.Violations, notes: t.Notes}
	r.took = time.Duration(t.Seconds * float64(time.Second))
	if t.Err != "" {
		r.err = errors.New(t.Err)
	}
	return r
}

// lane measures a row for the process that started this one.
func lane(ctx context.Context, dir string, m measure, soak bool, seed uint64, out, errOut io.Writer) error {
	if err := raiseLoopback(); err != nil {
		return err
	}
	s, end, err := suiteIn(dir, soak, seed, errOut)
	if err != nil {
		return err
	}
	r := s.measure(ctx, m)
	end()
	t := told{
		Wanted: r.wanted, Done: r.done, Violations: r.violations, Notes: r.notes,
		Seconds: r.took.Seconds(), Skipped: r.skipped,
	}
	if r.err != nil {
		t.Err = r.err.Error()
	}
	return json.NewEncoder(out).Encode(t)
}

// suiteIn is a suite with a folder of its own below that of another one, whose
// program it uses.
func suiteIn(parent string, soak bool, seed uint64, log io.Writer) (*suite, func(), error) {
	s, end, err := folder(parent, soak, seed, log)
	if err != nil {
		return nil, nil, err
	}
	s.berth = filepath.Join(parent, programName)
	return s, end, nil
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
