package portmaster

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"berth/access"
	"berth/lease"
	"berth/store"
)

// The bounds of what is asked for.
const (
	// firstPort and lastPort are the ports that a service may have: neither
	// privileged nor ephemeral ones (IANA's dynamic ports begin at 49152).
	firstPort = 1024
	lastPort  = 49151

	maxBody = 64 << 10
)

// DefaultTTL is how long an offer can be accepted.
const DefaultTTL = 30 * time.Minute

// Leases is what the adapter needs of ranges and leases. A *lease.Manager is one;
// its errors are those of package lease.
type Leases interface {
	AddRanges(ctx context.Context, ranges []lease.Range, o lease.AddOptions) error
	UpdateRange(ctx context.Context, name string, o lease.UpdateOptions) (lease.UpdatedRange, error)
	DeleteRanges(ctx context.Context, pattern string, force bool) ([]lease.Range, error)
	Ranges(pattern string) []lease.RangeStatus
	AcquireWith(ctx context.Context, extra func([]lease.Lease) store.Batch, requests ...lease.Request) ([]lease.Lease, error)
	Pass(ctx context.Context, id lease.ID, generation int64, to lease.Holder, extra store.Batch) (lease.Lease, error)
	Recuperate(ctx context.Context, ids []lease.ID, extra store.Batch) error
	Lease(id lease.ID) (lease.Lease, error)
}

var _ Leases = (*lease.Manager)(nil)

// Once does the work of a request that may be sent again with its idempotency
// key, as the header field has it. Where it was done before, that is returned.
type Once func(ctx context.Context, field, operation string, body any, work func(Attempt) error) (*Before, error)

// Attempt is a request's work being done.
type Attempt struct {
	// Key is the idempotency key, empty where there is none.
	Key string

	// Record returns what the work has to commit with its own records, so that
	// note is known when the request comes again.
	Record func(note json.RawMessage) store.Batch
}

// Before is what was noted of a request that was done before.
type Before struct {
	Key  string
	Note json.RawMessage
}

// Options are what an Adapter works with.
type Options struct {
	// Leases is asked for ranges and leases, Store keeps the notes. Both are needed.
	Leases Leases
	Store  store.Store

	// Now is the clock of the leases; nil means time.Now.
	Now func() time.Time

	// TTL is how long an offer can be accepted; 0 means DefaultTTL.
	TTL time.Duration

	// Once does work once for a key; nil does it each time.
	Once Once

	// Grant declares the role that an operation needs; nil does nothing. Owner
	// returns whose the leases of a request's caller are, nil nobody's, and Owns
	// whether the caller may end a lease of an owner.
	Grant func(pattern, operation string, role access.Role)
	Owner func(ctx context.Context) string
	Owns  func(ctx context.Context, l lease.Lease) error

	// Within acquires for an owner where its quota allows that; nil always does.
	Within func(ctx context.Context, owner string, requests []lease.Request, acquire func() error) error

	// Note is told of what was changed; nil is nobody.
	Note func(ctx context.Context, answer any)

	// Fail turns an error that django-portmaster does not know into the answer.
	// It is needed.
	Fail func(ctx context.Context, method, path string, err error) error

	// Logger is told of notes that cannot be read or deleted; nil means slog.Default.
	Logger *slog.Logger
}

// Adapter answers the calls. Load comes before the first one.
type Adapter struct {
	opts  Options
	log   *slog.Logger
	notes *notes

	// changing lets one change at a time through: names are unique.
	changing chan struct{}
}

// New returns an adapter of what opts name.
func New(opts Options) *Adapter {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.TTL == 0 {
		opts.TTL = DefaultTTL
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	if opts.Grant == nil {
		opts.Grant = func(string, string, access.Role) {}
	}
	if opts.Owner == nil {
		opts.Owner = func(context.Context) string { return "" }
	}
	if opts.Owns == nil {
		opts.Owns = func(context.Context, lease.Lease) error { return nil }
	}
	if opts.Within == nil {
		opts.Within = func(_ context.Context, _ string, _ []lease.Request, acquire func() error) error { return acquire() }
	}
	if opts.Note == nil {
		opts.Note = func(context.Context, any) {}
	}
	if opts.Once == nil {
		opts.Once = func(_ context.Context, _, _ string, _ any, work func(Attempt) error) (*Before, error) {
			return nil, work(Attempt{Record: func(json.RawMessage) store.Batch { return store.Batch{} }})
		}
	}
	return &Adapter{opts: opts, log: opts.Logger, notes: newNotes(opts.Store), changing: make(chan struct{}, 1)}
}

// Load reads what the store has of offers.
func (a *Adapter) Load(ctx context.Context) error {
	bad, err := a.notes.load(ctx)
	for _, key := range bad {
		a.log.Error("what is noted of an offer cannot be read: it cannot be accepted and runs out", "key", key)
	}
	return err
}

// SweepOnce deletes the notes of leases that have ended otherwise than by a call.
func (a *Adapter) SweepOnce(ctx context.Context) error {
	if err := a.enter(ctx); err != nil {
		return err
	}
	defer a.leave()
	var b store.Batch
	var gone []lease.ID
	for _, id := range a.notes.all() {
		if _, err := a.opts.Leases.Lease(id); !errors.Is(err, lease.ErrLeaseNotFound) {
			continue
		}
		gone = append(gone, id)
		b.Delete(noteKey(id))
		if len(gone) == store.MaxOps {
			break // the rest another time
		}
	}
	if len(gone) == 0 {
		return nil
	}
	if _, err := a.opts.Store.Commit(ctx, b); err != nil {
		return err
	}
	for _, id := range gone {
		a.notes.forget(id)
	}
	return nil
}

// sweepEach is how often notes are swept.
const sweepEach = 10 * time.Minute

// Run sweeps until ctx ends.
func (a *Adapter) Run(ctx context.Context) {
	tick := time.NewTicker(sweepEach)
	defer tick.Stop()
	for {
		if err := a.SweepOnce(ctx); err != nil && ctx.Err() == nil {
			a.log.Error("what is noted of offers that ended cannot be deleted", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (a *Adapter) enter(ctx context.Context) error {
	select {
	case a.changing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (a *Adapter) leave() { <-a.changing }

// Routes adds the routes. They are in no document but docs/portmaster.md: what
// they take and answer is django-portmaster's, and not the API's.
func (a *Adapter) Routes(mux *http.ServeMux) {
	config := huma.DefaultConfig("django-portmaster", "0.0.1")
	config.CreateHooks = nil
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", ""
	routes := humago.New(mux, config)
	a.routeServices(routes)
	a.routeOffers(routes)
	a.routePorts(routes)
}

// reply is an answer with a body.
type reply[T any] struct{ Body T }

// empty is an answer without a body.
type empty struct{}

// route adds an operation that needs a role.
func route[I, O any](a *Adapter, routes huma.API, role access.Role, op huma.Operation, handle func(context.Context, *I) (*O, error)) {
	op.MaxBodyBytes = maxBody
	op.BodyReadTimeout = -1 // the server has one of its own
	op.SkipValidateBody = true
	op.RequestBody = &huma.RequestBody{}
	a.opts.Grant(op.Method+" "+op.Path, op.OperationID, role)
	huma.Register(routes, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, in)
		var known *refusal
		switch {
		case err == nil:
			a.opts.Note(ctx, out)
			return out, nil
		case errors.As(err, &known):
			return nil, known
		}
		return nil, a.opts.Fail(ctx, op.Method, op.Path, err)
	})
	// That there is no body is for the handler to tell; huma would refuse it.
	op.RequestBody.Required = false
}

// created writes a time as Django REST framework does, in microseconds.
func created(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }
