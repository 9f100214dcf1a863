package lease

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"berth/store"
)

// Options are the settings of a Manager.
type Options struct {
	// Store keeps ranges, leases and archives. It is required, and stays the
	// caller's to close.
	Store store.Store

	// Host names this host: letters, digits, '.', '_' and '-'. Default "local".
	Host string

	// Prober tells whether a port can be bound. Default: SystemProber.
	Prober Prober

	// Picker chooses a port. Default: Lowest.
	Picker Picker

	// Finder tells who is bound to a port. Default: SystemFinder.
	Finder Finder

	// Now is the clock. Default: time.Now.
	Now func() time.Time

	// Logger is told of records that cannot be read and of outcomes that are
	// not known. Default: slog.Default().
	Logger *slog.Logger
}

// Manager leases the ports of ranges. Its methods may be called from many goroutines.
type Manager struct{}

var errUnfinished = errors.New("not finished")

// Open loads ranges and leases and returns a Manager of them.
func Open(ctx context.Context, o Options) (*Manager, error) { return nil, errUnfinished }

// Close ends the manager. It may be called twice.
func (m *Manager) Close() error { return nil }

// AddOptions tell how ranges are added.
type AddOptions struct {
	Clear bool
	Force bool
}

// RangeStatus is a range with what became of its ports.
type RangeStatus struct {
	Range
	Available []int
	Active    []ActivePort
	SetAside  []SetAside
}

// ActivePort is a port that is leased.
type ActivePort struct {
	Port  int
	Lease Lease
}

// SetAside is a port that cannot be leased now.
type SetAside struct {
	Port    int
	Reason  string
	PID     int
	Command string
	Since   time.Time
}

func (m *Manager) AddRanges(ctx context.Context, ranges []Range, o AddOptions) error {
	return errUnfinished
}
func (m *Manager) DeleteRanges(ctx context.Context, pattern string, force bool) ([]Range, error) {
	return nil, errUnfinished
}
func (m *Manager) Ranges(pattern string) []RangeStatus { return nil }
func (m *Manager) Range(name string) (Range, error)    { return Range{}, errUnfinished }
func (m *Manager) Archive(ctx context.Context, rev string) ([]Range, error) {
	return nil, errUnfinished
}
func (m *Manager) Unarchive(ctx context.Context, rev string) ([]Range, error) {
	return nil, errUnfinished
}

// Request asks for one port of a range.
type Request struct {
	Range    string
	Protocol Protocol // empty: the range's
	Holder   Holder
}

// Plan is leases whose ports are pending.
type Plan struct{}

func (p *Plan) Leases() []Lease { return nil }

func (m *Manager) Plan(ctx context.Context, requests []Request) (*Plan, error) {
	return nil, errUnfinished
}
func (m *Manager) Commit(ctx context.Context, p *Plan, extra store.Batch) error { return errUnfinished }
func (m *Manager) Abort(p *Plan)                                                {}
func (m *Manager) Acquire(ctx context.Context, requests ...Request) ([]Lease, error) {
	return nil, errUnfinished
}
func (m *Manager) Release(ctx context.Context, id ID, generation int64) error { return errUnfinished }
func (m *Manager) Recuperate(ctx context.Context, ids []ID, extra store.Batch) error {
	return errUnfinished
}
func (m *Manager) Lease(id ID) (Lease, error)            { return Lease{}, errUnfinished }
func (m *Manager) Leases() []Lease                       { return nil }
func (m *Manager) ByProcess(id int) []Lease              { return nil }
func (m *Manager) Settle(ctx context.Context) error      { return errUnfinished }
func (m *Manager) RecheckOnce(ctx context.Context) error { return errUnfinished }
func (m *Manager) RunOnce(ctx context.Context) error     { return errUnfinished }
func (m *Manager) Run(ctx context.Context) error         { return errUnfinished }
func (m *Manager) Check(ctx context.Context) error       { return errUnfinished }
