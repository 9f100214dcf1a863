package launcher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"berth/descriptor"
	"berth/lease"
	"berth/proc"
	"berth/store"

	"golang.org/x/sys/unix"
)

// recordEnv is the variable in which a process carries its own record, its
// identity included: what else a child inherits of it is another process' then.
const recordEnv = "BERTH_PROCESS_RECORD"

const (
	// identitySize is how many bytes an identity adds to a record, with room to
	// spare: a boot id of 36 and three numbers of at most 20 digits.
	identitySize = 256

	// carriedLimit is how long a record may be to be carried. A variable of more
	// than 128 KiB would keep the program from being executed.
	carriedLimit = 64 << 10
)

// carried is the record as the process itself carries it.
func carried(p Process, id proc.Identity) string {
	p.Identity, p.Status, p.Again = id, Starting, false
	p.EndedAt, p.Exit, p.Due, p.LastExit = time.Time{}, nil, time.Time{}, nil
	return string(encodeProcess(p))
}

// Rebuilding tells what was rebuilt after the store had lost records, and what
// runs without a record, a line each. It is empty where nothing is lost.
type Rebuilding struct {
	Rebuilt, Left []string
}

// Rebuilding tells what was rebuilt since the loss was noticed, by earlier
// daemons too, and what could not be at the start of this one.
func (l *Launcher) Rebuilding() Rebuilding {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Rebuilding{Rebuilt: slices.Clone(l.rebuilding.Rebuilt), Left: slices.Clone(l.rebuilding.Left)}
}

// rebuiltFile has the lines of what was rebuilt, until the loss is accepted.
func (l *Launcher) rebuiltFile() string { return filepath.Join(l.Home, "rebuilt") }

// noteRebuilding writes down what was rebuilt, after what the file has, and
// forgets it once nothing is lost any more.
func (l *Launcher) noteRebuilding() error {
	if !l.Lost {
		if err := os.Remove(l.rebuiltFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	before, err := os.ReadFile(l.rebuiltFile())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	l.mu.Lock()
	fresh := l.rebuilding.Rebuilt
	l.rebuilding.Rebuilt = slices.Concat(strings.FieldsFunc(string(before), func(r rune) bool { return r == '\n' }), fresh)
	text := strings.Join(l.rebuilding.Rebuilt, "\n") + "\n"
	l.mu.Unlock()
	if len(fresh) == 0 {
		return nil
	}
	return os.WriteFile(l.rebuiltFile(), []byte(text), 0o600)
}

// claim is what a session leader says that it is.
type claim struct {
	pid     int
	process Process // its record, as it carries it; without an ID where it says nothing
	err     error   // why it is not believed, or could not be written down
}

// findClaims asks all session leaders that carry the id of this state folder
// who they are, by pid. What cannot be said for certain has an error.
func (l *Launcher) findClaims() (map[int]*claim, error) {
	tree, err := proc.Snapshot()
	if err != nil {
		return nil, err
	}
	claims := make(map[int]*claim)
	for _, pid := range tree.Leaders() {
		if state, ok, err := proc.EnvironValue(pid, "BERTH_STATE_ID"); err != nil || !ok || state != l.StateID {
			continue
		}
		c := &claim{pid: pid}
		c.process, c.err = l.askWho(pid)
		claims[pid] = c
	}
	type place struct {
		protocol lease.Protocol
		number   int
	}
	byID, byPort := make(map[int]*claim), make(map[place]*claim)
	for _, c := range claims {
		if c.process.ID == 0 {
			continue
		}
		if other := byID[c.process.ID]; other != nil {
			c.err = fmt.Errorf("pid %d says that it is process %d, too", other.pid, c.process.ID)
			other.err = fmt.Errorf("pid %d says that it is process %d, too", c.pid, c.process.ID)
		}
		byID[c.process.ID] = c
		for _, port := range c.process.Ports {
			if port.isAwaited() {
				continue
			}
			at := place{port.Protocol, port.Number}
			if other := byPort[at]; other != nil && other != c {
				c.err = fmt.Errorf("%s port %d is claimed by pid %d, too", port.Protocol, port.Number, other.pid)
				other.err = fmt.Errorf("%s port %d is claimed by pid %d, too", port.Protocol, port.Number, c.pid)
			}
			byPort[at] = c
		}
	}
	return claims, nil
}

// askWho reads who a session leader is from its environment, while its pidfd is
// held. It is believed where the record that it carries is its own: that of its
// pid, start time and boot. A child has inherited that of another process.
func (l *Launcher) askWho(pid int) (Process, error) {
	id, err := proc.Identify(pid)
	if err != nil {
		return Process{}, err
	}
	handle, err := proc.Open(id)
	if err != nil {
		return Process{}, err
	}
	defer handle.Close()
	environ, err := proc.Environ(pid)
	if err != nil {
		return Process{}, err
	}
	session, err := unix.Getsid(pid)
	if err != nil {
		return Process{}, err
	}
	if err := handle.Signal(0); err != nil {
		return Process{}, err // what was read may be of another process
	}
	text, ok := environ[recordEnv]
	if !ok || text == "" {
		return Process{}, errors.New("its environment does not have its record")
	}
	p, err := decodeProcess([]byte(text))
	switch {
	case err != nil:
		return Process{}, fmt.Errorf("the record in its environment cannot be read: %w", err)
	case p.Identity != id || session != pid:
		return Process{}, fmt.Errorf("it has the environment of another process (pid %d), as its children do", p.Identity.PID)
	case !descriptor.IsName(p.Distribution) || !descriptor.IsName(p.Version) || !descriptor.IsName(p.Name) || !descriptor.IsName(p.Profile):
		return Process{}, errors.New("the record in its environment has names that nothing can have")
	case slices.ContainsFunc(p.Ports, func(port Port) bool { return port.Range == "" && !descriptor.IsName(port.Name) }):
		return Process{}, errors.New("the record in its environment has a port without a name")
	case environ["BERTH_STATE_ID"] != l.StateID || environ["BERTH_PROCESS_ID"] != strconv.Itoa(p.ID) || p.Status != Starting:
		return Process{}, errors.New("the record in its environment is not that of its id")
	}
	return p, nil
}

// renew gives the records of processes that were started again since they were
// written their present incarnation, where that runs and its record is lost. A
// record that is known to be old is never acted upon: what it says of a restart
// was done.
func (l *Launcher) renew(ctx context.Context, live []*unit, claims map[int]*claim) {
	for _, u := range live {
		p := u.snapshot()
		for _, c := range claims {
			if c.process.ID != p.ID || c.process.Identity == p.Identity {
				continue
			}
			handle, err := proc.Open(p.Identity)
			if err == nil {
				_ = handle.Close()
			}
			if !errors.Is(err, proc.ErrGone) {
				c.err = fmt.Errorf("process %d is pid %d", p.ID, p.Identity.PID)
				continue
			}
			if c.err == nil {
				c.err = l.putBack(ctx, &c.process, store.Batch{})
			}
			if c.err == nil {
				u.update(func(p *Process) { *p = c.process })
				l.noteRebuilt(c)
			} else {
				u.update(func(p *Process) { p.Status, p.Again = Running, false })
				u.because(endedAway)
			}
		}
	}
}

// rebuild puts back the records of processes that run and have none.
func (l *Launcher) rebuild(ctx context.Context, known map[string]bool, claims map[int]*claim) error {
	pids := make([]int, 0, len(claims))
	for pid := range claims {
		pids = append(pids, pid)
	}
	slices.SortFunc(pids, func(a, b int) int { return claims[a].process.ID - claims[b].process.ID })
	for _, pid := range pids {
		c := claims[pid]
		id := strconv.Itoa(c.process.ID)
		if c.err != nil {
			continue
		}
		if known[id] {
			l.mu.Lock()
			u := l.units[c.process.ID]
			l.mu.Unlock()
			if u == nil || u.snapshot().Identity != c.process.Identity {
				c.err = errors.New("the record of that id is another one's, or cannot be read")
			}
			continue
		}
		batch, d := l.lostDistribution(ctx, c.process)
		key := l.processKey(c.process.ID)
		batch.IfAbsent(key)
		if c.err = l.putBack(ctx, &c.process, batch); c.err != nil {
			continue
		}
		known[id] = true
		u := newUnit(l, c.process, nil)
		l.mu.Lock()
		l.units[c.process.ID] = u
		l.highestID = max(l.highestID, c.process.ID)
		l.nextID = max(l.nextID, l.highestID+1)
		if d != nil {
			l.distributions[distributionID{d.Name, d.Version}] = d
		}
		l.mu.Unlock()
		l.noteRebuilt(c)
		if d != nil {
			l.Logger.Warn("a distribution was rebuilt from its folder", "distribution", d.Name+" "+d.Version)
			l.rebuilding.Rebuilt = append(l.rebuilding.Rebuilt, fmt.Sprintf("distribution %s %s, from its folder", d.Name, d.Version))
		}
		if err := u.takeUp(ctx); err != nil {
			return err
		}
	}
	return nil
}

// putBack writes the record of a process, with leases on those of its ports that
// it has none of.
func (l *Launcher) putBack(ctx context.Context, p *Process, batch store.Batch) error {
	type place struct {
		protocol lease.Protocol
		number   int
	}
	held := make(map[place]lease.ID)
	for _, h := range l.Leases.ByProcess(p.ID) {
		held[place{h.Protocol, h.Port}] = h.ID
	}
	var lost []lease.Lease
	var at []int
	for i, port := range p.Ports {
		if port.isAwaited() {
			continue // it is found again
		}
		if id, ok := held[place{port.Protocol, port.Number}]; ok {
			p.Ports[i].Lease = id
			continue
		}
		at = append(at, i)
		lost = append(lost, lease.Lease{
			ID: port.Lease, Range: port.Range, Protocol: port.Protocol, Port: port.Number,
			Holder: lease.Holder{Kind: lease.Process, Name: p.Title(), Process: p.ID},
		})
	}
	plan, err := l.Leases.PlanRestored(lost)
	if err != nil {
		return err
	}
	for k, made := range plan.Leases() {
		p.Ports[at[k]].Lease = made.ID
	}
	batch.Put(l.processKey(p.ID), encodeProcess(*p))
	return l.Leases.Commit(store.Rebuilding(ctx), plan, batch)
}

// lostDistribution is the distribution of a process whose record is lost, and
// what puts that back. It is nil where it is known, or its folder is not whole.
func (l *Launcher) lostDistribution(ctx context.Context, p Process) (store.Batch, *deployed) {
	var b store.Batch
	id := distributionID{p.Distribution, p.Version}
	key := distributionKey(id)
	if _, err := l.Store.Get(ctx, key); !errors.Is(err, store.ErrNotFound) {
		return b, nil
	}
	dir := l.distributionDir(id)
	d, err := readDescriptor(dir)
	if err == nil && (d.Name != id.name || d.Version != id.version) {
		err = fmt.Errorf("its descriptor is that of %s %s", d.Name, d.Version)
	}
	var info fs.FileInfo
	if err == nil {
		info, err = os.Stat(dir)
	}
	var value []byte
	if err == nil {
		value, err = json.Marshal(distributionRecord{DeployedAt: info.ModTime().UTC().Truncate(time.Millisecond)})
	}
	if err != nil {
		l.Logger.Warn("a distribution has no record and cannot be rebuilt; its processes can only be ended", "distribution", id.String(), "error", err)
		return b, nil
	}
	b.IfAbsent(key)
	b.Put(key, value)
	return b, &deployed{Distribution: Distribution{
		Name: id.name, Version: id.version, DeployedAt: info.ModTime().UTC().Truncate(time.Millisecond), Dir: dir, Descriptor: d,
	}}
}

func (l *Launcher) noteRebuilt(c *claim) {
	var ports []string
	for _, port := range c.process.Ports {
		ports = append(ports, port.String())
	}
	line := fmt.Sprintf("%s, pid %d", c.process.Title(), c.pid)
	if len(ports) > 0 {
		line += ", with " + strings.Join(ports, ", ")
	}
	l.Logger.Warn("a process runs whose record was lost; it was rebuilt", "process", c.process.Title(), "pid", c.pid, "ports", strings.Join(ports, ", "))
	l.rebuilding.Rebuilt = append(l.rebuilding.Rebuilt, line)
}

// skipIDs keeps the ids of the folders of processes from being given again:
// whose records are lost may have had them.
func (l *Launcher) skipIDs() {
	entries, err := os.ReadDir(filepath.Join(l.Home, "processes"))
	if err != nil {
		l.Logger.Error("cannot look for left folders", "error", err)
	}
	for _, e := range entries {
		l.skipID(e.Name())
	}
}

// maxSkipped bounds the ids that are not given again: no more were ever given.
const maxSkipped = 1 << 31

func (l *Launcher) skipID(name string) {
	if id, err := strconv.Atoi(name); err == nil && id < maxSkipped {
		l.mu.Lock()
		l.nextID = max(l.nextID, id+1)
		l.mu.Unlock()
	}
}
