package launcher

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"berth/descriptor"
	"berth/internal/failpoint"
	"berth/lease"
	"berth/store"
)

// Distribution is what has been deployed under a name and a version.
type Distribution struct {
	Name, Version string
	DeployedAt    time.Time
	// Dir is its unpacked folder, the working directory of its processes.
	Dir        string
	Descriptor *descriptor.Distribution
}

type distributionID struct{ name, version string }

func (id distributionID) String() string { return id.name + " " + id.version }

// deployed is a distribution with the number of those who rely on it now.
type deployed struct {
	Distribution
	busy int // execs under way; guarded by the launcher's mu
}

// distributionRecord is what is stored under distributions/<name>/<version>.
type distributionRecord struct {
	DeployedAt time.Time `json:"deployedAt"`
}

func distributionKey(id distributionID) string { return "distributions/" + id.name + "/" + id.version }

func (l *Launcher) distributionDir(id distributionID) string {
	return filepath.Join(l.Home, "distributions", id.name, id.version)
}

// loadDistributions reads the records and the descriptors that belong to them.
func (l *Launcher) loadDistributions(ctx context.Context) error {
	entries, _, err := l.Store.List(ctx, "distributions/")
	if err != nil {
		return fmt.Errorf("list the distributions: %w", err)
	}
	known := make(map[string]map[string]bool)
	for _, e := range entries {
		name, version, _ := strings.Cut(strings.TrimPrefix(e.Key, "distributions/"), "/")
		id := distributionID{name, version}
		if known[name] == nil {
			known[name] = make(map[string]bool)
		}
		known[name][version] = true
		var r distributionRecord
		err := json.Unmarshal(e.Value, &r)
		var d *descriptor.Distribution
		if err == nil {
			d, err = readDescriptor(l.distributionDir(id))
		}
		if err == nil && (d.Name != name || d.Version != version) {
			err = fmt.Errorf("its descriptor is that of %s %s", d.Name, d.Version)
		}
		if err != nil {
			l.Logger.Error("a distribution cannot be read and is left alone", "distribution", id.String(), "error", err)
			continue
		}
		l.distributions[id] = &deployed{Distribution: Distribution{
			Name: name, Version: version, DeployedAt: r.DeployedAt, Dir: l.distributionDir(id), Descriptor: d,
		}}
	}
	l.sweep(filepath.Join(l.Home, "staging"), nil)
	if l.Lost {
		return nil // a folder without a record may be what is left of a distribution
	}
	folders, err := os.ReadDir(filepath.Join(l.Home, "distributions"))
	if err != nil {
		return err
	}
	for _, f := range folders {
		dir := filepath.Join(l.Home, "distributions", f.Name())
		l.sweep(dir, known[f.Name()])
		_ = os.Remove(dir) // if it is empty
	}
	return nil
}

func readDescriptor(dir string) (*descriptor.Distribution, error) {
	f, err := os.Open(filepath.Join(dir, "META-INF", "corus.xml"))
	if errors.Is(err, os.ErrNotExist) {
		return readApps(dir)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return descriptor.Parse(f)
}

// Deploy unpacks an archive, or takes a descriptor or an app file by itself, and
// makes it a distribution. File lies on this host; name is what its user calls
// it, and where it ends as that of an app file it is one (app.go). The
// second result is the descriptor's warnings. Errors are
// ErrDistributionInvalid, ErrDistributionExists and those of the disk and store.
func (l *Launcher) Deploy(ctx context.Context, file, name string) (Distribution, []string, error) {
	staged, err := os.MkdirTemp(filepath.Join(l.Home, "staging"), "deploy-")
	if err != nil {
		return Distribution{}, nil, err
	}
	defer os.RemoveAll(staged)
	if err := failpoint.Fail("deploy/staged"); err != nil {
		return Distribution{}, nil, err
	}
	content := filepath.Join(staged, "content")
	if err := os.Mkdir(content, 0o700); err != nil {
		return Distribution{}, nil, err
	}
	d, err := unpack(file, content, name)
	switch {
	case errors.Is(err, descriptor.ErrInvalid):
		return Distribution{}, nil, fmt.Errorf("%w: %s: %w", ErrDistributionInvalid, cmp.Or(name, "archive"), err)
	case err != nil:
		return Distribution{}, nil, fmt.Errorf("deploy %s: %w", cmp.Or(name, "archive"), err)
	}
	if err := failpoint.Fail("deploy/unpacked"); err != nil {
		return Distribution{}, nil, err
	}
	id := distributionID{d.Name, d.Version}
	record := Distribution{
		Name: d.Name, Version: d.Version, DeployedAt: l.Now().UTC().Truncate(time.Millisecond),
		Dir: l.distributionDir(id), Descriptor: d,
	}

	// The name is taken in memory first: the place on the disk has one owner.
	l.mu.Lock()
	if _, ok := l.distributions[id]; ok {
		l.mu.Unlock()
		return Distribution{}, nil, fmt.Errorf("%w: %s is deployed already: undeploy it first, or give it another version", ErrDistributionExists, id)
	}
	l.distributions[id] = nil
	l.mu.Unlock()
	err = l.install(ctx, content, record)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		delete(l.distributions, id)
		return Distribution{}, nil, err
	}
	l.distributions[id] = &deployed{Distribution: record}
	l.Events.Add("distribution", "deployed", id.String(), "distribution "+id.String()+" was deployed")
	return record, d.Warnings, nil
}

// install moves an unpacked folder into its place and writes its record.
func (l *Launcher) install(ctx context.Context, content string, d Distribution) error {
	if err := l.place(content, d); err != nil {
		return err
	}
	var b store.Batch
	b.IfAbsent(distributionKey(distributionID{d.Name, d.Version}))
	if err := recordDistribution(&b, d); err != nil {
		return err
	}
	if _, err := l.Store.Commit(ctx, b); err != nil {
		if !errors.Is(err, store.ErrUnknown) {
			_ = os.RemoveAll(d.Dir)
		}
		return fmt.Errorf("record distribution %s %s: %w", d.Name, d.Version, err)
	}
	failpoint.At("deploy/written")
	return nil
}

// recordDistribution puts the record of a distribution into b.
func recordDistribution(b *store.Batch, d Distribution) error {
	value, err := json.Marshal(distributionRecord{DeployedAt: d.DeployedAt})
	if err != nil {
		return err
	}
	b.Put(distributionKey(distributionID{d.Name, d.Version}), value)
	return nil
}

// place moves an unpacked folder into its place.
func (l *Launcher) place(content string, d Distribution) error {
	if err := os.MkdirAll(filepath.Dir(d.Dir), 0o700); err != nil {
		return err
	}
	if err := os.RemoveAll(d.Dir); err != nil { // without a record: left behind
		return err
	}
	if err := failpoint.Fail("deploy/placing"); err != nil {
		return err
	}
	if err := os.Rename(content, d.Dir); err != nil {
		return err
	}
	if err := failpoint.Fail("deploy/placed"); err != nil {
		return err
	}
	for _, dir := range []string{filepath.Dir(d.Dir), filepath.Join(l.Home, "distributions")} {
		if err := syncFolder(dir); err != nil {
			return err
		}
	}
	return failpoint.Fail("deploy/synced")
}

// syncFolder has the disk take what was made, moved and removed in a folder.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// Undeploy removes the distributions whose name and version fit the patterns,
// all or none, and returns them. It is ErrDistributionRunning if a process of
// one of them runs. Patterns that fit nothing are no error.
func (l *Launcher) Undeploy(ctx context.Context, name, version string) ([]Distribution, error) {
	return l.undeploy(ctx, name, version, func(context.Context, []*deployed, *store.Batch) (func(bool), error) { return func(bool) {}, nil })
}

// undeploy does the work of Undeploy. Also adds to its batch, and returns what to
// do when it is known whether that was written.
func (l *Launcher) undeploy(ctx context.Context, name, version string, also func(context.Context, []*deployed, *store.Batch) (func(done bool), error)) ([]Distribution, error) {
	l.mu.Lock()
	var chosen []*deployed
	for id, d := range l.distributions {
		if d != nil && lease.Match(name, id.name) && lease.Match(version, id.version) {
			chosen = append(chosen, d)
		}
	}
	slices.SortFunc(chosen, compareDeployed)
	for _, d := range chosen {
		if err := l.undeployableLocked(d); err != nil {
			l.mu.Unlock()
			return nil, err
		}
	}
	for _, d := range chosen {
		l.distributions[distributionID{d.Name, d.Version}] = nil // nobody execs it from now on
	}
	l.mu.Unlock()

	var b store.Batch
	for _, d := range chosen {
		b.Delete(distributionKey(distributionID{d.Name, d.Version}))
	}
	settle, err := also(ctx, chosen, &b)
	if err == nil && len(chosen) > 0 {
		err = failpoint.Fail("undeploy/chosen")
	}
	if err == nil && len(b.Ops) > 0 {
		err = store.CommitAll(ctx, l.Store, l.intentScope(), b)
	}
	failpoint.At("undeploy/written")
	if settle != nil && !errors.Is(err, store.ErrUnknown) {
		settle(err == nil)
	}
	removed := make([]Distribution, 0, len(chosen))
	for _, d := range chosen {
		id := distributionID{d.Name, d.Version}
		if err == nil {
			removed = append(removed, d.Distribution)
			l.Events.Add("distribution", "undeployed", id.String(), "distribution "+id.String()+" was undeployed")
			if err := l.discardDir(d.Dir); err != nil {
				l.Logger.Error("cannot remove the folder of a distribution", "distribution", id.String(), "error", err)
			}
		}
		l.mu.Lock()
		if err == nil {
			delete(l.distributions, id)
		} else {
			l.distributions[id] = d
		}
		l.mu.Unlock()
	}
	if err != nil {
		return nil, fmt.Errorf("undeploy: %w", err)
	}
	return removed, nil
}

func (l *Launcher) undeployableLocked(d *deployed) error {
	if d.busy > 0 {
		return fmt.Errorf("%w: processes of %s %s are being started", ErrDistributionRunning, d.Name, d.Version)
	}
	var running []string
	for _, u := range l.units {
		if p := u.snapshot(); p.Live() && p.Distribution == d.Name && p.Version == d.Version {
			running = append(running, p.Title())
		}
	}
	if len(running) == 0 {
		return nil
	}
	slices.Sort(running)
	more := ""
	if len(running) > 5 {
		more = fmt.Sprintf(" and %d more", len(running)-5)
		running = running[:5]
	}
	return fmt.Errorf("%w: %s%s: kill them first (berth kill -d %s -v %s -w)", ErrDistributionRunning, strings.Join(running, ", "), more, d.Name, d.Version)
}

// discardDir takes a folder out of its place at once and then removes it.
func (l *Launcher) discardDir(dir string) error {
	trash, err := os.MkdirTemp(filepath.Join(l.Home, "staging"), "undeploy-")
	if err != nil {
		return err
	}
	if err := os.Rename(dir, filepath.Join(trash, "content")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := failpoint.Fail("undeploy/moved"); err != nil {
		return err
	}
	_ = os.Remove(filepath.Dir(dir)) // if it was the last version
	return os.RemoveAll(trash)
}

// Distributions returns what is deployed and fits the patterns, ordered by
// name and version. An empty pattern fits all.
func (l *Launcher) Distributions(name, version string) []Distribution {
	found := l.findDistributions(cmp.Or(name, "*"), cmp.Or(version, "*"))
	list := make([]Distribution, len(found))
	for i, d := range found {
		list[i] = d.Distribution
	}
	return list
}

func (l *Launcher) findDistributions(name, version string) []*deployed {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []*deployed
	for id, d := range l.distributions {
		if d != nil && lease.Match(name, id.name) && lease.Match(version, id.version) {
			found = append(found, d)
		}
	}
	slices.SortFunc(found, compareDeployed)
	return found
}

func compareDeployed(a, b *deployed) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version))
}

// hold keeps distributions from being undeployed until the returned function is called.
func (l *Launcher) hold(list []*deployed) (release func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range list {
		if l.distributions[distributionID{d.Name, d.Version}] != d {
			return nil, fmt.Errorf("%w: %s %s is being undeployed", ErrDistributionNotFound, d.Name, d.Version)
		}
	}
	for _, d := range list {
		d.busy++
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, d := range list {
			d.busy--
		}
	}, nil
}

// definitionOf finds what a process was started from.
func (l *Launcher) definitionOf(p Process) (definition, error) {
	l.mu.Lock()
	d := l.distributions[distributionID{p.Distribution, p.Version}]
	l.mu.Unlock()
	if d == nil {
		return definition{}, fmt.Errorf("%w: %s %s", ErrDistributionNotFound, p.Distribution, p.Version)
	}
	def, ok := d.Descriptor.Process(p.Name)
	if !ok {
		return definition{}, fmt.Errorf("%w: %s %s has no process %q", ErrProcessNotFound, p.Distribution, p.Version, p.Name)
	}
	starter, ok := def.Starter(p.Profile)
	if !ok {
		return definition{}, fmt.Errorf("%w: process %q has no profile %q", ErrProfileNotFound, p.Name, p.Profile)
	}
	return definition{distribution: d, process: def, starter: starter, instances: 1}.onto(p.Onto)
}

// patience is how long a process is given to end when it is asked to, and how
// often it is forced again after that.
func (l *Launcher) patience(p Process) (timeout time.Duration, retries int) {
	d, err := l.definitionOf(p)
	if err != nil {
		return 30 * time.Second, 3 // the descriptor's defaults
	}
	return d.process.ShutdownTimeout, d.process.MaxKillRetry
}

// deletesOnKill reports whether the folder of a process goes when it is killed.
func (l *Launcher) deletesOnKill(p Process) bool {
	d, err := l.definitionOf(p)
	return err == nil && d.process.DeleteOnKill
}
