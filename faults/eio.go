package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// failingDisks has writes and syncs of a daemon fail while clients work, and now
// and then the power as well. Nothing that was acknowledged is lost, and it goes
// on by itself, or ends with a word about it.
var failingDisks = measure{
	name: "eio", what: "failing writes and syncs", unit: "times", ci: 40, soak: 1000,
	needs: []need{needDisk, needTool("strace")},
	run: func(ctx context.Context, s *suite, n int) (f figure, err error) {
		h, d, end, err := s.hostOnDisk()
		if err != nil {
			return f, err
		}
		defer func() { err = errors.Join(err, end()) }()
		e := &diskFailing{diskFull: diskFull{host: h, l: newLedger(), f: &f}, disk: d, armed: filepath.Join(h.dir, "armed")}
		h.planted = append(h.planted, "small-journal")
		h.env = []string{"BERTH_FAILPOINT=@" + e.armed}
		if err := os.WriteFile(e.armed, nil, 0o600); err != nil {
			return f, err
		}
		if err := h.up(ctx); err != nil {
			return f, err
		}
		if err := h.deploy(ctx); err != nil {
			return f, err
		}
		for f.done < n && !s.caught(&f) && ctx.Err() == nil {
			if err := e.round(ctx, f.done, s.random); err != nil {
				return f, fmt.Errorf("%w: %s", err, h.logTail())
			}
			f.done++
		}
		f.note("%d answers held, %d power cuts, %d daemons that ended", e.l.answers, e.cuts, e.ends)
		return f, ctx.Err()
	},
}

// diskFailing is a daemon whose disk fails.
type diskFailing struct {
	diskFull
	disk  *disk
	armed string // the file that arms failpoints
	cuts  int
	ends  int
}

func (e *diskFailing) round(ctx context.Context, n int, random *rand.Rand) error {
	end := e.l.actors(ctx, e.host, fmt.Sprintf("eio%d", n), random, 0)
	time.Sleep(time.Duration(random.Int64N(int64(50 * time.Millisecond))))
	err := e.fail(ctx, n, random)
	lost := false
	if err == nil {
		lost, err = e.tellsOfLoss()
	}
	if err == nil && !lost {
		err = e.grantsAgain(ctx)
	}
	end()
	if lost {
		e.f.broken("after writes and syncs that failed something is lost: %s", firstLine(e.logTail()))
		return err
	}
	if err != nil {
		return err
	}
	// What is acknowledged after an error has to be on the disk as well.
	if random.IntN(2) == 0 {
		// A lease whose end has no answer is shown until its key was read again.
		uncertain := maps.Clone(e.l.uncertain)
		if err := e.l.verify(ctx, e.host, e.f); err != nil {
			return err
		}
		for holder := range uncertain {
			delete(e.l.leases, holder)
		}
		e.l.uncertain = uncertain
	}
	if random.IntN(2) == 0 {
		e.cuts++
		if err := e.freeze(); err != nil {
			return err
		}
		if err := e.disk.cut(e.kill); err != nil {
			return err
		}
	} else {
		e.kill()
	}
	if err := e.up(ctx); err != nil {
		return err
	}
	return e.l.verify(ctx, e.host, e.f)
}

// reopened is how often daemons have found that a write failed.
func (e *diskFailing) reopened() (int, error) {
	text, err := os.ReadFile(filepath.Join(e.dir, "log"))
	return bytes.Count(text, []byte("a write failed: the store opens itself anew")), err
}

// tellsOfLoss reports whether a daemon has found its store damaged.
func (e *diskFailing) tellsOfLoss() (bool, error) {
	text, err := os.ReadFile(filepath.Join(e.dir, "log"))
	return bytes.Contains(text, []byte("the store is damaged")), err
}

// fail has a write or a sync fail, and returns when the daemon has noticed.
func (e *diskFailing) fail(ctx context.Context, n int, random *rand.Rand) error {
	before, err := e.reopened()
	if err != nil {
		return err
	}
	begin := e.failByPoint
	if n%2 == 1 {
		begin = e.failByStrace
	}
	over, err := begin(random)
	if err != nil {
		return err
	}
	noticed := func() error {
		for deadline := time.Now().Add(patience / 4); ; time.Sleep(time.Millisecond) {
			now, err := e.reopened()
			switch {
			case err != nil || now > before:
				return err
			case ctx.Err() != nil:
				return ctx.Err()
			case time.Now().After(deadline):
				e.f.broken("writes and syncs fail, and the daemon does not notice")
				return nil
			}
			select {
			case <-e.ended:
				return nil
			default:
			}
		}
	}()
	time.Sleep(time.Duration(random.Int64N(int64(100 * time.Millisecond))))
	if err := errors.Join(noticed, over()); err != nil {
		return err
	}
	select {
	case <-e.ended:
		e.ends++
		text := strings.TrimSpace(e.logTail())
		last := text[strings.LastIndexByte(text, '\n')+1:]
		if e.exit.ProcessState.ExitCode() != 1 || !strings.HasPrefix(last, "berth: ") {
			e.f.broken("a disk that fails crashed the daemon: %v: %s", e.exit.ProcessState, e.lastCrash())
		}
	default:
	}
	return nil
}

// failByPoint has a step of writing fail, and perhaps one of opening anew.
func (e *diskFailing) failByPoint(random *rand.Rand) (over func() error, err error) {
	points := []string{"journal/writing", "journal/written", "checkpoint/begun"}
	later := []string{"", ";store/opened=error", ";recover/replayed=error", ";recover/finished=error"}
	text := points[random.IntN(len(points))] + "=error" + later[random.IntN(len(later))]
	if err := os.WriteFile(e.armed, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return func() error { return os.WriteFile(e.armed, nil, 0o600) }, nil
}

// failByStrace has system calls of the daemon answer EIO, for some of its threads
// once and for others more often.
func (e *diskFailing) failByStrace(random *rand.Rand) (over func() error, err error) {
	call := []string{"fdatasync", "pwrite64", "fdatasync,pwrite64"}[random.IntN(3)]
	when := []string{"1", "2", "1+3", "1+"}[random.IntN(4)]
	strace := exec.Command("strace", "-f", "-qq", "-o", "/dev/null", "-p", fmt.Sprint(e.daemon.Pid),
		"-e", "trace="+call, "-e", "inject="+call+":error=EIO:when="+when)
	strace.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var said bytes.Buffer
	strace.Stderr = &said
	if err := strace.Start(); err != nil {
		return nil, err
	}
	return func() error {
		_ = strace.Process.Signal(syscall.SIGTERM) // gone already, with the daemon, or not
		err := strace.Wait()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			// Whatever it has said, it was there until it was asked to end, or
			// went with the daemon without a word.
			status, ok := exit.Sys().(syscall.WaitStatus)
			if said.Len() == 0 || ok && status.Signal() == syscall.SIGTERM {
				return nil
			}
		}
		if err != nil {
			return fmt.Errorf("strace: %w: %s", err, said.Bytes())
		}
		return nil
	}, nil
}
