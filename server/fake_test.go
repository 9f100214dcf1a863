package server_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"berth/descriptor"
	"berth/launcher"
	"berth/lease"
	"berth/proc"
	"berth/server"
	"berth/store"
)

// fakeLeases answers from memory. A method whose function is set is that function.
type fakeLeases struct {
	ranges []lease.RangeStatus
	leases []lease.Lease

	add     func([]lease.Range, lease.AddOptions) error
	acquire func(context.Context, []lease.Request) ([]lease.Lease, error)
	release func(lease.ID, int64) error
	renew   func(lease.ID, int64, time.Duration) (lease.Lease, error)

	last atomic.Int64
}

var _ server.Leases = (*fakeLeases)(nil)

func (f *fakeLeases) AddRanges(_ context.Context, ranges []lease.Range, o lease.AddOptions) error {
	if f.add != nil {
		return f.add(ranges, o)
	}
	return nil
}

func (f *fakeLeases) DeleteRanges(_ context.Context, pattern string, force bool) ([]lease.Range, error) {
	var deleted []lease.Range
	for _, r := range f.ranges {
		if lease.Match(pattern, r.Name) {
			if len(r.Active) > 0 && !force {
				return nil, fmt.Errorf("delete range %s: %w", r.Name, lease.ErrRangeLeased)
			}
			deleted = append(deleted, r.Range)
		}
	}
	return deleted, nil
}

func (f *fakeLeases) UpdateRange(_ context.Context, name string, o lease.UpdateOptions) (lease.UpdatedRange, error) {
	for _, r := range f.ranges {
		if r.Name != name {
			continue
		}
		if len(r.Active) > 0 && !o.Force {
			return lease.UpdatedRange{}, fmt.Errorf("update range %s: %w", r.Name, lease.ErrRangeLeased)
		}
		now := r.Range
		now.Min, now.Max = o.Min, o.Max
		return lease.UpdatedRange{Before: r.Range, Range: now, Outside: r.Active}, nil
	}
	return lease.UpdatedRange{}, fmt.Errorf("update range %s: %w", name, lease.ErrRangeNotFound)
}

func (f *fakeLeases) Port(p lease.Protocol, port int) lease.PortStatus {
	return lease.PortStatus{Protocol: p, Port: port}
}

func (f *fakeLeases) Ranges(pattern string) []lease.RangeStatus {
	var found []lease.RangeStatus
	for _, r := range f.ranges {
		if lease.Match(pattern, r.Name) {
			found = append(found, r)
		}
	}
	return found
}

func (f *fakeLeases) Archive(context.Context, string) ([]lease.Range, error) {
	var ranges []lease.Range
	for _, r := range f.ranges {
		ranges = append(ranges, r.Range)
	}
	return ranges, nil
}

func (f *fakeLeases) Unarchive(ctx context.Context, rev string) ([]lease.Range, error) {
	if rev != "r1" {
		return nil, fmt.Errorf("restore %s: %w", rev, lease.ErrArchiveNotFound)
	}
	return f.Archive(ctx, rev)
}

func (f *fakeLeases) ArchiveWith(ctx context.Context, rev string, _ store.Batch) ([]lease.Range, error) {
	return f.Archive(ctx, rev)
}

func (f *fakeLeases) UnarchiveWith(ctx context.Context, rev string, _ store.Batch) ([]lease.Range, error) {
	return f.Unarchive(ctx, rev)
}

func (f *fakeLeases) AcquireWith(ctx context.Context, _ func([]lease.Lease) store.Batch, requests ...lease.Request) ([]lease.Lease, error) {
	if f.acquire != nil {
		return f.acquire(ctx, requests)
	}
	out := make([]lease.Lease, len(requests))
	for i, r := range requests {
		n := f.last.Add(1)
		out[i] = lease.Lease{
			ID: lease.ID(strconv.FormatInt(n, 10)), Generation: 1, Range: r.Range, Protocol: lease.TCP,
			Port: int(20000 + n%1000), Holder: r.Holder, Since: began,
		}
	}
	return out, nil
}

func (f *fakeLeases) Release(_ context.Context, id lease.ID, generation int64) error {
	if f.release != nil {
		return f.release(id, generation)
	}
	return nil
}

func (f *fakeLeases) Renew(_ context.Context, id lease.ID, generation int64, ttl time.Duration) (lease.Lease, error) {
	if f.renew != nil {
		return f.renew(id, generation, ttl)
	}
	return lease.Lease{ID: id, Generation: generation + 1}, nil
}

func (f *fakeLeases) Lease(id lease.ID) (lease.Lease, error) {
	for _, l := range f.leases {
		if l.ID == id {
			return l, nil
		}
	}
	return lease.Lease{}, lease.ErrLeaseNotFound
}

func (f *fakeLeases) Leases() []lease.Lease { return f.leases }

func (f *fakeLeases) ByOwner(name string) []lease.Lease {
	var found []lease.Lease
	for _, l := range f.leases {
		if l.Holder.Owner == name {
			found = append(found, l)
		}
	}
	return found
}

func (f *fakeLeases) Pass(_ context.Context, id lease.ID, _ int64, to lease.Holder, _ store.Batch) (lease.Lease, error) {
	l, err := f.Lease(id)
	l.Holder = to
	return l, err
}

func (f *fakeLeases) Recuperate(context.Context, []lease.ID, store.Batch) error { return nil }

// fakeProcesses holds processes and their outputs in dir.
type fakeProcesses struct {
	dir           string
	distributions []launcher.Distribution

	exec   func(context.Context, launcher.ExecRequest) (launcher.ExecResult, error)
	stop   func(context.Context, launcher.StopRequest) ([]launcher.Process, error)
	deploy func(file, name string) (launcher.Distribution, []string, error)

	command []string // of all of them

	mu        sync.Mutex
	processes []launcher.Process
	changed   map[int]chan struct{}
}

var _ server.Processes = (*fakeProcesses)(nil)

func (f *fakeProcesses) Deploy(_ context.Context, file, name string) (launcher.Distribution, []string, error) {
	if f.deploy != nil {
		return f.deploy(file, name)
	}
	return demo, nil, nil
}

func (f *fakeProcesses) Undeploy(_ context.Context, name, version string) ([]launcher.Distribution, error) {
	return f.Distributions(name, version), nil
}

func (f *fakeProcesses) UndeployTo(ctx context.Context, name, version, _ string) ([]launcher.Distribution, error) {
	return f.Undeploy(ctx, name, version)
}

func (f *fakeProcesses) DeployArchived(context.Context, string) ([]launcher.Distribution, error) {
	return f.distributions, nil
}

func (f *fakeProcesses) Distributions(name, version string) []launcher.Distribution {
	var found []launcher.Distribution
	for _, d := range f.distributions {
		if (name == "" || lease.Match(name, d.Name)) && (version == "" || lease.Match(version, d.Version)) {
			found = append(found, d)
		}
	}
	return found
}

func (f *fakeProcesses) Exec(ctx context.Context, r launcher.ExecRequest) (launcher.ExecResult, error) {
	if f.exec != nil {
		return f.exec(ctx, r)
	}
	return launcher.ExecResult{}, nil
}

func (f *fakeProcesses) Started(_ context.Context, ids []int, _ time.Duration) (launcher.ExecResult, error) {
	var r launcher.ExecResult
	for _, id := range ids {
		p, err := f.Process(id)
		if err != nil {
			return r, fmt.Errorf("%w: %w", launcher.ErrExecFailed, err)
		}
		r.Processes = append(r.Processes, p)
	}
	return r, nil
}

func (f *fakeProcesses) Processes(s launcher.Selector) ([]launcher.Process, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range s.IDs {
		if id > len(f.processes) {
			return nil, fmt.Errorf("process %d: %w", id, launcher.ErrProcessNotFound)
		}
	}
	var found []launcher.Process
	for _, p := range f.processes {
		if p.Live() || s.Ended {
			found = append(found, p)
		}
	}
	return found, nil
}

func (f *fakeProcesses) Process(id int) (launcher.Process, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if id < 1 || id > len(f.processes) {
		return launcher.Process{}, fmt.Errorf("process %d: %w", id, launcher.ErrProcessNotFound)
	}
	return f.processes[id-1], nil
}

func (f *fakeProcesses) Kill(ctx context.Context, r launcher.StopRequest) ([]launcher.Process, error) {
	if f.stop != nil {
		return f.stop(ctx, r)
	}
	return f.Processes(r.Selector)
}

func (f *fakeProcesses) Reload(ctx context.Context, r launcher.ReloadRequest) (launcher.ReloadResult, error) {
	ps, err := f.Restart(ctx, launcher.StopRequest{Selector: r.Selector, Wait: r.Wait})
	return launcher.ReloadResult{Processes: ps, Warnings: []string{"a warning"}}, err
}

func (f *fakeProcesses) Restart(ctx context.Context, r launcher.StopRequest) ([]launcher.Process, error) {
	return f.Kill(ctx, r)
}

func (f *fakeProcesses) Diagnose(_ context.Context, s launcher.Selector) ([]launcher.Diagnosis, error) {
	found, err := f.Processes(s)
	var all []launcher.Diagnosis
	for _, p := range found {
		all = append(all, launcher.Diagnosis{
			Process: p, Port: p.Ports[0], URL: "http://localhost:8080/", Result: launcher.Ill, Code: 503,
			Took: 1500 * time.Microsecond, Reason: "answers 503", GraceEnds: began,
		})
	}
	return all, err
}

func (f *fakeProcesses) Usages(list []launcher.Process) (map[int]launcher.Usage, error) {
	used := make(map[int]launcher.Usage)
	for _, p := range list {
		used[p.ID] = launcher.Usage{CPUPercent: 12.34, Memory: 1 << 20}
	}
	return used, nil
}

func (f *fakeProcesses) Info(id int) (launcher.Info, error) {
	p, err := f.Process(id)
	return launcher.Info{Process: p, Command: f.command}, err
}

func (f *fakeProcesses) Dir(id int) string { return filepath.Join(f.dir, strconv.Itoa(id)) }

func (f *fakeProcesses) path(id int) string { return filepath.Join(f.Dir(id), "process.out") }

func (f *fakeProcesses) OpenOutput(id int) (*launcher.Output, error) {
	o, err := launcher.NewOutput(f.Dir(id))
	if err == nil {
		_, _, err = o.Bounds()
	}
	return o, err
}

func (f *fakeProcesses) Changed(id int) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.changed == nil {
		f.changed = map[int]chan struct{}{}
	}
	if f.changed[id] == nil {
		f.changed[id] = make(chan struct{})
	}
	return f.changed[id]
}

func (f *fakeProcesses) Running() int { return len(f.processes) }

func (f *fakeProcesses) Rebuilding() launcher.Rebuilding { return launcher.Rebuilding{} }

// set changes the status of a process and tells who waits.
func (f *fakeProcesses) set(id int, status launcher.Status) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.processes[id-1].Status = status
	if c := f.changed[id]; c != nil {
		close(c)
		delete(f.changed, id)
	}
}

// write adds text to the output of a process.
func (f *fakeProcesses) write(t *testing.T, id int, text string) {
	t.Helper()
	if err := os.MkdirAll(f.Dir(id), 0o700); err != nil {
		t.Fatal(err)
	}
	out, err := os.OpenFile(f.path(id), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := out.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

var began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

var demo = launcher.Distribution{
	Name: "demo", Version: "1.0", DeployedAt: began,
	Descriptor: &descriptor.Distribution{
		Name: "demo", Version: "1.0",
		Processes: []descriptor.Process{
			{Name: "httpServer", Starters: []descriptor.Starter{{Profile: "prod"}, {Profile: "test"}}},
			{Name: "worker", Starters: []descriptor.Starter{{Profile: "test"}}},
		},
	},
}

// newProcess is a running process with a port.
func newProcess(id int) launcher.Process {
	return launcher.Process{
		ID: id, Distribution: "demo", Version: "1.0", Profile: "test", Name: "httpServer",
		Status: launcher.Running, Identity: proc.Identity{PID: 4000 + id}, StartedAt: began,
		Ports: []launcher.Port{{
			Range: "http", Protocol: lease.TCP, Number: 8079 + id, Lease: lease.ID("l" + strconv.Itoa(id)), State: launcher.PortListening,
		}},
	}
}

func oneLine(s string) bool { return !strings.ContainsAny(s, "\r\n") }
