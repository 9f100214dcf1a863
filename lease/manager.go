package lease

import (
	"context"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"berth/event"
	"berth/proc"
	"berth/store"
)

// Options are the settings of a Manager.
type Options struct {
	// Store keeps ranges, leases and archives. It is required, and stays the
	// caller's to close.
	Store store.Store

	// Host names this host: letters, digits, '.', '_' and '-'. Default "local".
	Host string

	// Prober tells whether a port can be bound. Default: SystemProber(). Unless it
	// is a Chooser, the system is asked where it is to choose a port.
	Prober Prober

	// Picker chooses a port of ranges that have no policy. Default: Lowest().
	Picker Picker

	// Finder tells who is bound to a port. Default: SystemFinder().
	Finder Finder

	// Processes gives handles on the processes of the system that hold leases.
	// Default: SystemProcesses().
	Processes Processes

	// Now is the clock. Default: time.Now.
	Now func() time.Time

	// Events is told what happens to ranges, leases and ports. Nil: nobody is.
	Events *event.Log

	// Logger is told of records that cannot be read and of outcomes that are
	// not known. Default: slog.Default().
	Logger *slog.Logger
}

// Manager leases the ports of ranges. Its methods may be called from many
// goroutines. Of its own it has one for each process of the system that it
// watches, until Close; for the rest whoever opens it calls Run.
type Manager struct {
	store   store.Store
	host    string
	prober  Prober
	chooser Chooser
	finder  Finder
	now     func() time.Time
	opened  time.Time
	events  *event.Log
	log     *slog.Logger

	// processes looks up those that hold leases, in the pid namespace that this
	// program is in; 0 is not known.
	processes Processes
	namespace uint64

	// ranging is held while ranges change: they change one after the other.
	ranging gate

	// checks is held while set-aside ports are looked at, settling while
	// outcomes are read: of each there is one at a time.
	checks, settling gate

	// recuperating is held while leases end whose holders are gone.
	recuperating gate

	// asideAgain wakes Run when a port was set aside, holdersAgain when there is
	// something to do for a holder.
	asideAgain, holdersAgain chan struct{}

	// recovery keeps store.Recover, which undoes work that still goes on, from
	// the commits that are larger than a batch.
	recovery sync.RWMutex

	// mu guards what follows. It is never held while a port is probed or
	// looked up, nor while the store is asked.
	mu         sync.Mutex
	closed     bool
	picker     Picker
	ranges     map[string]Range
	places     map[string]int   // the ports that were picked last, of ranges of PolicyNext
	banded     bool             // a range has static ports
	closing    map[string]Range // what is left of ranges that ports are just being taken away from
	badRanges  map[string]bool  // ranges whose records cannot be read
	tables     [2]table         // tcp, udp
	byID       map[ID]*slot
	byProcess  map[int][]*slot
	byOwner    map[string][]*slot
	owning     map[string]*ownerGate
	expiries   expiries
	holders    holders
	unsettled  map[*slot]struct{}
	intentLeft bool  // an intent may be left in the store
	elsewhere  int   // slots that are foreign
	changes    int64 // grows whenever a slot changes
}

// gate lets one at a time through, and waits no longer than a context.
type gate chan struct{}

func (g gate) enter(ctx context.Context) error {
	select {
	case g <- struct{}{}:
		return nil
	default:
	}
	select {
	case g <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g gate) leave() { <-g }

// Open undoes what a crash has left half done, loads ranges and leases, and
// returns a Manager of them. A record that cannot be read is logged and never
// stops the start: its range is left out, its port is never leased.
func Open(ctx context.Context, o Options) (*Manager, error) {
	if o.Store == nil {
		return nil, errors.New("open lease manager: no store is given")
	}
	if o.Host == "" {
		o.Host = "local"
	}
	if err := validName("host", o.Host); err != nil {
		return nil, fmt.Errorf("open lease manager: %w", err)
	}
	if o.Prober == nil {
		o.Prober = SystemProber()
	}
	if o.Picker == nil {
		o.Picker = Lowest()
	}
	if o.Finder == nil {
		o.Finder = SystemFinder()
	}
	if o.Processes == nil {
		o.Processes = SystemProcesses()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	m := &Manager{
		store: o.Store, host: o.Host, prober: o.Prober, finder: o.Finder, now: o.Now, events: o.Events, log: o.Logger, picker: o.Picker,
		opened: o.Now().UTC().Round(0), processes: o.Processes,
		ranging: make(gate, 1), checks: make(gate, 1), settling: make(gate, 1), recuperating: make(gate, 1),
		asideAgain: make(chan struct{}, 1), holdersAgain: make(chan struct{}, 1),
		closing:   make(map[string]Range),
		places:    make(map[string]int),
		byID:      make(map[ID]*slot),
		byProcess: make(map[int][]*slot),
		byOwner:   make(map[string][]*slot),
		owning:    make(map[string]*ownerGate),
		holders:   newHolders(),
		unsettled: make(map[*slot]struct{}),
	}
	namespace, err := proc.OwnNamespace()
	if err != nil {
		m.log.Warn("the pid namespace of this program is not known", "error", err)
	}
	m.namespace = namespace
	m.chooser = systemProber{}
	if c, ok := o.Prober.(Chooser); ok {
		m.chooser = c
	}
	for i := range m.tables {
		m.tables[i].free.fill()
	}
	undone, err := store.Recover(ctx, m.store, m.intentScope())
	if err != nil {
		return nil, fmt.Errorf("open lease manager: %w", err)
	}
	if undone > 0 {
		m.log.Warn("work that was half done has been undone", "intents", undone)
	}
	if err := m.loadPlaces(ctx); err != nil {
		return nil, fmt.Errorf("open lease manager: %w", err)
	}
	if err := m.loadRanges(ctx); err != nil {
		return nil, fmt.Errorf("open lease manager: %w", err)
	}
	for _, scope := range [...]Scope{HostScope, ClusterScope} {
		entries, _, err := m.store.List(ctx, leaseFolder+scopeKey(scope, m.host)+"/")
		if err != nil {
			return nil, fmt.Errorf("open lease manager: list leases: %w", err)
		}
		for _, e := range entries {
			m.load(e)
		}
	}
	return m, nil
}

// load takes a lease's record into memory.
func (m *Manager) load(e store.Entry) {
	l, err := ParseRecord(e.Key, e.Value)
	if err != nil {
		m.log.Error("a lease cannot be read, its port will not be leased", "key", e.Key, "error", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.recordSlot(e, l, err)
	if s == nil {
		return
	}
	if over := m.table(s.protocol).at(s.port); over != nil {
		m.log.Error("two leases lie over one port", "protocol", s.protocol, "port", s.port, "key", e.Key, "other", over.key)
	}
	m.put(s)
}

// recordSlot makes the slot of a record that was read as l, or could not be
// read because of err. It is nil if not even the port can be told.
func (m *Manager) recordSlot(e store.Entry, l Lease, err error) *slot {
	if err == nil {
		s := &slot{protocol: l.Protocol, port: l.Port, lease: &l, key: e.Key, revision: e.Revision, state: leased, live: true}
		if l.Host != m.host {
			s.state, s.live = foreign, false
		}
		return s
	}
	_, _, p, port, keyErr := parseKey(e.Key)
	if keyErr != nil {
		return nil
	}
	return &slot{protocol: p, port: port, key: e.Key, revision: e.Revision, state: unreadable,
		blocked: &SetAside{Port: port, Reason: "the record of its lease cannot be read", Since: m.now().UTC(), unread: true}}
}

// Close ends the manager: what leases or ends leases is ErrClosed afterwards.
// It may be called twice, does not wait, and leaves the store open.
func (m *Manager) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	m.unwatch()
	return nil
}

func (m *Manager) open() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	return nil
}

// intentScope is where the store notes the manager's commits that are larger
// than a batch.
func (m *Manager) intentScope() string { return "leases-" + m.host }

func (m *Manager) table(p Protocol) *table {
	if p == UDP {
		return &m.tables[1]
	}
	return &m.tables[0]
}

// put makes s the slot of its port. The lock is held.
func (m *Manager) put(s *slot) {
	m.changes++
	m.table(s.protocol).put(s)
	if s.state == foreign {
		m.elsewhere++
	}
	if s.live {
		m.index(s)
	}
}

// drop ends a slot. The lock is held.
func (m *Manager) drop(s *slot) {
	m.changes++
	if s.state == foreign {
		m.elsewhere--
	}
	if s.live {
		m.unindex(s)
	}
	delete(m.unsettled, s)
	m.table(s.protocol).drop(s)
}

// move changes the state of a slot. The lock is held.
func (m *Manager) move(s *slot, to state) {
	m.changes++
	s.state = to
	if to == aside {
		m.schedule(s)
	}
	if to == unsettled {
		m.unsettled[s] = struct{}{}
	} else {
		delete(m.unsettled, s)
	}
	if t := m.table(s.protocol); t.at(s.port) == s {
		t.mark(s)
	}
}

// enliven notes that the store has the lease of a slot. The lock is held.
func (m *Manager) enliven(s *slot, r store.Revision) {
	s.revision, s.gone = r, false
	if !s.live {
		s.live = true
		m.index(s)
		m.tellAcquired(s.lease)
	}
	m.move(s, leased)
}

// end ends the lease of a slot whose record is gone: its port is free, or set
// aside if something else was found to be bound to it. The lock is held.
func (m *Manager) end(s *slot) {
	if s.live {
		m.tellEnded(s)
	}
	if s.blocked != nil {
		m.tellAside(s, true)
	}
	if s.blocked == nil {
		m.drop(s)
		return
	}
	if s.live {
		s.live = false
		m.unindex(s)
	}
	s.lease, s.key, s.revision = nil, "", 0
	m.move(s, aside)
}

func (m *Manager) index(s *slot) {
	m.byID[s.lease.ID] = s
	if p := s.lease.Holder.Process; p != 0 {
		m.byProcess[p] = append(m.byProcess[p], s)
	}
	if o := s.lease.Holder.Owner; o != "" {
		m.byOwner[o] = append(m.byOwner[o], s)
	}
	m.indexExpiry(s)
	m.indexIdentity(s)
}

func (m *Manager) unindex(s *slot) {
	delete(m.byID, s.lease.ID)
	m.unindexExpiry(s)
	m.unindexIdentity(s)
	if p := s.lease.Holder.Process; p != 0 {
		if m.byProcess[p] = without(m.byProcess[p], s); len(m.byProcess[p]) == 0 {
			delete(m.byProcess, p)
		}
	}
	if o := s.lease.Holder.Owner; o != "" {
		if m.byOwner[o] = without(m.byOwner[o], s); len(m.byOwner[o]) == 0 {
			delete(m.byOwner, o)
		}
	}
}

var idEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// newID makes an id that no live lease has. The lock is held.
func (m *Manager) newID() ID {
	for {
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], rand.Uint64())
		id := ID(idEncoding.EncodeToString(b[:]))
		if _, ok := m.byID[id]; !ok {
			return id
		}
	}
}

// Lease returns the live lease of that id, or an error that is ErrLeaseNotFound.
func (m *Manager) Lease(id ID) (Lease, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.byID[id]; s != nil {
		return *s.lease, nil
	}
	return Lease{}, leaseNotFound(id)
}

func leaseNotFound(id ID) error { return stated(ErrLeaseNotFound, "there is no live lease %q", id) }

// Leases returns this host's live leases, TCP before UDP, in the order of their ports.
func (m *Manager) Leases() []Lease {
	m.mu.Lock()
	list := make([]*Lease, 0, len(m.byID))
	for i := range m.tables {
		m.tables[i].each(MinPort, MaxPort, func(s *slot) bool {
			for ; s != nil; s = s.under {
				if s.live {
					list = append(list, s.lease)
				}
			}
			return true
		})
	}
	m.mu.Unlock()
	leases := make([]Lease, len(list))
	for i, l := range list {
		leases[i] = *l
	}
	return leases
}

// ByOwner returns the live leases of an owner, in the order in which they were
// made or changed last.
func (m *Manager) ByOwner(name string) []Lease {
	m.mu.Lock()
	defer m.mu.Unlock()
	var leases []Lease
	for _, s := range m.byOwner[name] {
		leases = append(leases, *s.lease)
	}
	return leases
}

// ByProcess returns the live leases that the launcher's process of that id
// holds, in the order in which they were made.
func (m *Manager) ByProcess(id int) []Lease {
	m.mu.Lock()
	defer m.mu.Unlock()
	var leases []Lease
	for _, s := range m.byProcess[id] {
		leases = append(leases, *s.lease)
	}
	return leases
}
