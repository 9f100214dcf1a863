package launcher

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// failuresAwaited is how often in a row a process may fail that is waited for:
// it takes a second or two, and the first times it may have been too early.
const failuresAwaited = 5

// awaitListening waits until every process listens on its ports and, where it is
// checked, answers. It fails at once when one of them ends, or fails again and
// again.
func (l *Launcher) awaitListening(ctx context.Context, units []*unit, wait time.Duration) error {
	defer l.ports.await()()
	return l.await(ctx, units, wait, "does not listen on", func(_ int, p Process) (bool, error) {
		if err := l.failedError(p); err != nil {
			return false, err
		}
		return p.Status == Running && len(silent(p)) == 0 && p.answers(), nil
	})
}

// awaitListeningAgain waits until every process was started again since before,
// listens on its ports and answers its check.
func (l *Launcher) awaitListeningAgain(ctx context.Context, units []*unit, before []Process, wait time.Duration) error {
	defer l.ports.await()()
	return l.await(ctx, units, wait, "does not listen on", func(i int, p Process) (bool, error) {
		if err := l.failedError(p); err != nil {
			return false, err
		}
		return p.Status == Running && p.Identity != before[i].Identity && len(silent(p)) == 0 && p.answers(), nil
	})
}

// awaitEnded waits until all processes have ended and their ports are recuperated.
func (l *Launcher) awaitEnded(ctx context.Context, units []*unit, wait time.Duration) error {
	return l.await(ctx, units, wait, "has not ended; it still has", func(_ int, p Process) (bool, error) {
		return !p.Live(), nil
	})
}

// await waits until done holds for each of the processes. Lacking says what a
// process is late with, before its ports.
func (l *Launcher) await(ctx context.Context, units []*unit, wait time.Duration, lacking string, done func(i int, p Process) (bool, error)) error {
	limited, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	type outcome struct {
		err  error
		late string
	}
	outcomes := make(chan outcome, len(units))
	for i, u := range units {
		go func() {
			for {
				change := u.nextChange()
				p := u.snapshot()
				ok, err := done(i, p)
				if ok || err != nil {
					outcomes <- outcome{err: err}
					return
				}
				select {
				case <-change:
				case <-limited.Done():
					outcomes <- outcome{late: late(p, lacking)}
					return
				case <-l.life.Done():
					outcomes <- outcome{err: ErrClosed}
					return
				}
			}
		}()
	}
	var tardy []string
	for range units {
		o := <-outcomes
		if o.err != nil {
			return o.err // the others go on; nobody waits for them any more
		}
		if o.late != "" {
			tardy = append(tardy, o.late)
		}
	}
	if len(tardy) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	slices.Sort(tardy)
	more := ""
	if len(tardy) > 3 {
		more = fmt.Sprintf("; and %d more", len(tardy)-3)
		tardy = tardy[:3]
	}
	return fmt.Errorf("%w after %s: %s%s", ErrTimeout, wait, strings.Join(tardy, "; "), more)
}

func late(p Process, lacking string) string {
	var ports []string
	for _, port := range p.Ports {
		if lacking == "does not listen on" && port.State == PortListening {
			continue
		}
		state := ""
		if port.State == PortStolen {
			state = ", where another process listens"
		}
		if port.Conflict != "" {
			state = ": " + port.Conflict
		}
		ports = append(ports, port.String()+state)
	}
	if len(ports) == 0 && !p.answers() {
		return fmt.Sprintf("%s is not healthy: %s", p.Title(), cmp.Or(p.HealthReason, "it was not asked yet"))
	}
	if len(ports) == 0 {
		return fmt.Sprintf("%s is %s", p.Title(), p.Status)
	}
	return fmt.Sprintf("%s %s %s", p.Title(), lacking, strings.Join(ports, ", "))
}

// silent are the ports that the process does not listen on.
func silent(p Process) []Port {
	return slices.DeleteFunc(slices.Clone(p.Ports), func(port Port) bool { return port.State == PortListening })
}

// failedError says that a process that is waited for has ended, or has failed
// so often that nobody waits for it any longer; nil if neither is the case.
func (l *Launcher) failedError(p Process) error {
	if !p.Live() {
		return l.endedError(p)
	}
	if p.Status != Waiting || p.InARow < failuresAwaited || p.LastExit == nil {
		return nil
	}
	last := p.LastExit.Reason
	switch {
	case strings.HasPrefix(last, "unhealthy"): // it was asked to end
	case p.LastExit.Code != nil:
		last = fmt.Sprintf("with code %d", *p.LastExit.Code)
	case p.LastExit.Signal != "":
		last = "by " + p.LastExit.Signal
	}
	return l.saying(p, fmt.Sprintf("ended %d times in a row, last %s; it is started again by itself still", p.InARow+1, last))
}

// endedError says that a process ended while it was waited for.
func (l *Launcher) endedError(p Process) error { return l.saying(p, howEnded(p)) }

// saying adds to what became of a process the last that it said.
func (l *Launcher) saying(p Process, how string) error {
	said, err := lastLines(l.outputFile(p.ID), 5)
	switch {
	case err != nil || said == "":
		said = "it said nothing"
	default:
		said = "its last lines: " + said
	}
	return fmt.Errorf("%w: %s %s; %s (berth logs %d)", ErrExecFailed, p.Title(), how, said, p.ID)
}

// lastLines returns the last lines of a file as one line, parted by " | ".
func lastLines(file string, n int) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	const most = 4096
	if size, err := f.Seek(0, io.SeekEnd); err != nil {
		return "", err
	} else if _, err := f.Seek(max(0, size-most), io.SeekStart); err != nil {
		return "", err
	}
	b, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	lines := strings.Split(string(bytes.ToValidUTF8(bytes.TrimSpace(b), []byte("?"))), "\n")
	lines = lines[max(0, len(lines)-n):]
	for i, line := range lines {
		lines[i] = strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f {
				return ' '
			}
			return r
		}, strings.TrimSpace(line))
	}
	return strings.Join(lines, " | "), nil
}
