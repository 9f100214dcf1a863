package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"berth/api"
	"berth/client"
)

// growth has a daemon do all that it can do, round after round, with clients and
// processes of every kind, and compares what it has open before and after.
var growth = measure{
	name: "growth", what: "work after which no descriptor, goroutine or zombie is left", unit: "rounds", ci: 40, soak: 500,
	run: func(ctx context.Context, s *suite, n int) (f figure, err error) {
		h, err := s.newHost()
		if err != nil {
			return f, err
		}
		w := &workload{host: h, f: &f, armed: filepath.Join(h.dir, "armed"), stacks: filepath.Join(h.dir, "stacks")}
		h.env = []string{"BERTH_STACKS=" + w.stacks, "BERTH_FAILPOINT=@" + w.armed}
		if err := os.WriteFile(w.armed, nil, 0o600); err != nil {
			return f, err
		}
		if err := h.up(ctx); err != nil {
			return f, err
		}
		defer func() { err = finish(err, &f, h, nil) }()
		if err := w.prepare(ctx); err != nil {
			return f, err
		}
		const warmUp = 2 // what is made once is there afterwards
		for range warmUp {
			if err := w.round(ctx); err != nil {
				return f, err
			}
		}
		before, err := w.least(ctx)
		if err != nil {
			return f, err
		}
		for f.done < n && ctx.Err() == nil {
			if err := w.round(ctx); err != nil {
				return f, err
			}
			f.done++
		}
		grown, err := w.rest(ctx, before)
		if err != nil {
			return f, err
		}
		for _, what := range grown {
			f.broken("grown over %d rounds: %s", f.done, what)
		}
		f.note("%d descriptors, %d goroutines", before.count(descriptors), before.count(goroutines))
		return f, ctx.Err()
	},
}

// workload is a daemon that gets all kinds of work.
type workload struct {
	*host
	f      *figure
	armed  string // the file that arms failpoints
	stacks string // where the daemon writes its stacks
	rounds int
}

// workDescriptor has processes that listen, that are handed a socket, that
// crash, that cannot be executed, that never listen, and that have descendants.
const workDescriptor = `<distribution name="work" version="%[1]d">
  <process name="server" shutdownTimeout="5000"><port name="processes"/><generic profile="test"><arg value=%[2]q/><arg value=%[3]q/></generic></process>
  <process name="handed" shutdownTimeout="5000"><port name="processes" handoff="listen"/><generic profile="test"><arg value=%[2]q/><arg value=%[3]q/></generic></process>
  <process name="held" shutdownTimeout="5000"><port name="processes" handoff="hold"/><generic profile="test"><arg value=%[2]q/><arg value=%[3]q/></generic></process>
  <process name="crasher"><port name="processes"/><generic profile="test"><arg value="/bin/sh"/><arg value="-c"/><arg value="exit 3"/></generic></process>
  <process name="missing"><port name="processes"/><generic profile="test"><arg value="/nowhere/to/be/found"/></generic></process>
  <process name="silent" shutdownTimeout="100"><port name="processes"/><generic profile="test"><arg value="/bin/sh"/><arg value="-c"/><arg value="trap '' TERM; sleep 100000 &amp; while true; do wait; done"/></generic></process>
</distribution>
`

func (w *workload) deployWork(ctx context.Context, version int) error {
	_, err := w.Deploy(ctx, "corus.xml", strings.NewReader(fmt.Sprintf(workDescriptor, version, w.s.self, serverArgument)))
	return err
}

func (w *workload) prepare(ctx context.Context) error {
	if err := w.deploy(ctx); err != nil {
		return err
	}
	return w.deployWork(ctx, 0)
}

// round does some of everything at a time, and leaves nothing behind.
func (w *workload) round(ctx context.Context) error {
	w.rounds++
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	var wait sync.WaitGroup
	parts := []func(context.Context) error{
		w.leases, w.requestsThatAreRefused, w.clientsThatVanish, w.rangesAndArchives, w.distributions,
		w.processes, w.processesThatEndByThemselves, w.clientsThatStopWaiting,
	}
	errs := make([]error, len(parts))
	for i, part := range parts {
		wait.Go(func() { errs[i] = part(ctx) })
	}
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if _, err := w.Kill(ctx, api.Kill{Selector: api.Selector{All: true}, Hard: true, WaitSeconds: patience.Seconds()}); err != nil {
		return err
	}
	return w.failingDisk(ctx)
}

// unless is nil where an error is one of those that are expected; that none
// came is an error as well.
func unless(what string, err error, codes ...error) error {
	for _, code := range codes {
		if errors.Is(err, code) {
			return nil
		}
	}
	return fmt.Errorf("%s: %v, want one of %v", what, err, codes)
}

// leases are acquired and released while something else is bound to one of the ports.
func (w *workload) leases(ctx context.Context) error {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", firstLeasePort))
	if err != nil {
		return err
	}
	defer l.Close()
	for range 5 {
		got, err := w.AcquireLeases(ctx, api.AcquireLeases{Ranges: []string{"leases", "leases", "leases"}, Holder: api.Holder{Name: "growth"}})
		if err != nil {
			return err
		}
		for _, a := range got {
			if err := w.ReleaseLease(ctx, a.ID, a.Generation); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *workload) requestsThatAreRefused(ctx context.Context) error {
	_, acquire := w.AcquireLeases(ctx, api.AcquireLeases{Ranges: []string{"none"}})
	_, kill := w.Kill(ctx, api.Kill{Selector: api.Selector{IDs: []int{1 << 30}}})
	_, again := w.AddRanges(ctx, api.AddRanges{Ranges: []api.Range{{Name: "leases", Min: firstLeasePort, Max: lastLeasePort}}})
	_, exec := w.Exec(ctx, api.Exec{Distribution: "none", Version: "1", Profile: "test"})
	_, deploy := w.Deploy(ctx, "corus.xml", strings.NewReader("<distribution>"))
	_, zip := w.Deploy(ctx, "work.zip", strings.NewReader(strings.Repeat("no archive", 1000)))
	_, long := w.AcquireLeases(ctx, api.AcquireLeases{Ranges: []string{"leases"}, Holder: api.Holder{Name: strings.Repeat("x", 2<<20)}})
	_, missing := w.Exec(ctx, api.Exec{Distribution: "work", Version: "0", Profile: "test", Name: "missing", Instances: 2})
	return errors.Join(
		unless("acquire of no range", acquire, api.CodeRangeNotFound),
		unless("release of no lease", w.ReleaseLease(ctx, "none", 1), api.CodeLeaseNotFound),
		unless("kill of no process", kill, api.CodeProcessNotFound),
		unless("a range again", again, api.CodeRangeExists, api.CodeRangeOverlaps),
		unless("exec of nothing", exec, api.CodeDistributionNotFound),
		unless("deployment of half a descriptor", deploy, api.CodeDistributionInvalid),
		unless("deployment of no archive", zip, api.CodeDistributionInvalid),
		unless("a long request", long, api.CodeInvalid, syscall.EPIPE, syscall.ECONNRESET),
		unless("exec of no program", missing, api.CodeExecFailed),
	)
}

// clientsThatVanish send parts of requests, or read no answers, and go.
func (w *workload) clientsThatVanish(context.Context) error {
	for i, text := range []string{
		"",
		"GET /v1/dae",
		"GET /v1/daemon HTTP/1.1\r\nHost: berth\r\n",
		"POST /v1/leases HTTP/1.1\r\nHost: berth\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"ranges\"",
		"POST /v1/distributions HTTP/1.1\r\nHost: berth\r\nContent-Type: application/zip\r\nContent-Length: 100000\r\n\r\nPK",
		"GET /v1/ranges HTTP/1.1\r\nHost: berth\r\n\r\n",
		"GET /v1/openapi.json HTTP/1.1\r\nHost: berth\r\n\r\n",
		"nonsense\r\n\r\n",
	} {
		conns := make([]net.Conn, 4)
		for k := range conns {
			c, err := net.Dial("unix", w.Socket())
			if err != nil {
				return err
			}
			defer c.Close()
			conns[k] = c
			if _, err := io.WriteString(c, text); err != nil {
				return err
			}
		}
		time.Sleep(time.Duration(i) * time.Millisecond)
	}
	return nil
}

func (w *workload) rangesAndArchives(ctx context.Context) error {
	name := fmt.Sprint("growth-", w.rounds)
	if _, err := w.AddRanges(ctx, api.AddRanges{Ranges: []api.Range{{Name: name, Min: lastProcessPort + 1, Max: lastProcessPort + 50}}}); err != nil {
		return err
	}
	if _, err := w.ArchiveRanges(ctx, "growth"); err != nil {
		return err
	}
	_, err := w.DeleteRanges(ctx, name, false)
	return err
}

func (w *workload) distributions(ctx context.Context) error {
	if err := w.deployWork(ctx, w.rounds); err != nil {
		return err
	}
	err := w.deployWork(ctx, w.rounds)
	if err := unless("a deployment again", err, api.CodeDistributionExists); err != nil {
		return err
	}
	_, err = w.Undeploy(ctx, "work", strconv.Itoa(w.rounds))
	return err
}

// processes are started, followed, restarted and killed.
func (w *workload) processes(ctx context.Context) error {
	var ids []int
	for _, name := range []string{"server", "handed", "held"} {
		out, err := w.Exec(ctx, api.Exec{Distribution: "work", Version: "0", Profile: "test", Name: name, WaitSeconds: patience.Seconds()})
		if err != nil {
			return err
		}
		ids = append(ids, out.Processes[0].ID)
	}
	following, stop := context.WithCancel(ctx)
	defer stop()
	for _, id := range ids {
		for range 3 {
			out, err := w.Output(following, id, client.Output{Follow: true})
			if err != nil {
				return err
			}
			defer out.Close()
		}
	}
	some := api.Selector{IDs: ids}
	if _, err := w.Restart(ctx, api.Restart{Selector: some, WaitSeconds: patience.Seconds()}); err != nil {
		return err
	}
	stop() // the followers go while the processes are there
	_, err := w.Kill(ctx, api.Kill{Selector: some, WaitSeconds: patience.Seconds()})
	return err
}

// processesThatEndByThemselves crash, or are killed by somebody else.
func (w *workload) processesThatEndByThemselves(ctx context.Context) error {
	out, err := w.Exec(ctx, api.Exec{Distribution: "work", Version: "0", Profile: "test", Name: "crasher", Instances: 2, WaitSeconds: patience.Seconds()})
	if err := unless("processes that crash", err, api.CodeExecFailed); err != nil {
		return fmt.Errorf("%w: %v", err, out)
	}
	out, err = w.Exec(ctx, api.Exec{Distribution: "work", Version: "0", Profile: "test", Name: "handed"})
	if err != nil {
		return err
	}
	p := out.Processes[0]
	following, err := w.Output(ctx, p.ID, client.Output{Follow: true})
	if err != nil {
		return err
	}
	defer following.Close()
	if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, following) // until it has ended
	return err
}

// clientsThatStopWaiting go while the daemon is at work for them.
func (w *workload) clientsThatStopWaiting(ctx context.Context) error {
	impatient, stop := context.WithTimeout(ctx, 100*time.Millisecond)
	defer stop()
	_, err := w.Exec(impatient, api.Exec{Distribution: "work", Version: "0", Profile: "test", Name: "silent", WaitSeconds: patience.Seconds()})
	if err := unless("an exec that nobody waits for", err, context.DeadlineExceeded); err != nil {
		return err
	}
	impatient, stop = context.WithTimeout(ctx, 20*time.Millisecond)
	defer stop()
	_, err = w.Kill(impatient, api.Kill{Selector: api.Selector{Name: "silent"}, WaitSeconds: patience.Seconds()})
	if err == nil {
		return nil
	}
	return unless("a kill that nobody waits for", err, context.DeadlineExceeded)
}

// failingDisk has the store open itself anew, after which a port can be leased
// and nothing is.
func (w *workload) failingDisk(ctx context.Context) error {
	if err := os.WriteFile(w.armed, fmt.Appendf(nil, "journal/written=error;round/%d=error", w.rounds), 0o600); err != nil {
		return err
	}
	want := api.AcquireLeases{Ranges: []string{"leases"}, Holder: api.Holder{Name: "growth"}}
	if _, err := w.AcquireLeases(ctx, want); err != nil && !errors.Is(err, api.CodeStore) {
		return err
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		_, err := w.AcquireLeases(ctx, want)
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("after a sync that failed: %w", err)
		}
	}
	leases, err := w.Leases(ctx)
	if err != nil {
		return err
	}
	for _, a := range leases {
		err = errors.Join(err, w.ReleaseLease(ctx, a.ID, a.Generation))
	}
	return err
}
