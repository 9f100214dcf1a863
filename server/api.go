package server

import (
	"context"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"berth/access"
	"berth/api"
	"berth/launcher"
	"berth/lease"
	"berth/store"
)

// Leases is what the handlers need of ranges and leases. A *lease.Manager is
// one; its errors are those of package lease.
type Leases interface {
	AddRanges(ctx context.Context, ranges []lease.Range, o lease.AddOptions) error
	UpdateRange(ctx context.Context, name string, o lease.UpdateOptions) (lease.UpdatedRange, error)
	DeleteRanges(ctx context.Context, pattern string, force bool) ([]lease.Range, error)
	Ranges(pattern string) []lease.RangeStatus
	Archive(ctx context.Context, rev string) ([]lease.Range, error)
	Unarchive(ctx context.Context, rev string) ([]lease.Range, error)
	ArchiveWith(ctx context.Context, rev string, extra store.Batch) ([]lease.Range, error)
	UnarchiveWith(ctx context.Context, rev string, extra store.Batch) ([]lease.Range, error)
	AcquireWith(ctx context.Context, extra func([]lease.Lease) store.Batch, requests ...lease.Request) ([]lease.Lease, error)
	Renew(ctx context.Context, id lease.ID, generation int64, ttl time.Duration) (lease.Lease, error)
	Pass(ctx context.Context, id lease.ID, generation int64, to lease.Holder, extra store.Batch) (lease.Lease, error)
	Recuperate(ctx context.Context, ids []lease.ID, extra store.Batch) error
	Release(ctx context.Context, id lease.ID, generation int64) error
	Lease(id lease.ID) (lease.Lease, error)
	Leases() []lease.Lease
	ByOwner(name string) []lease.Lease
	Port(protocol lease.Protocol, port int) lease.PortStatus
}

// Processes is what the handlers need of distributions and processes. A
// *launcher.Launcher is one; its errors are those of packages launcher and lease.
type Processes interface {
	Deploy(ctx context.Context, file, name string) (launcher.Distribution, []string, error)
	Undeploy(ctx context.Context, name, version string) ([]launcher.Distribution, error)
	UndeployTo(ctx context.Context, name, version, rev string) ([]launcher.Distribution, error)
	DeployArchived(ctx context.Context, rev string) ([]launcher.Distribution, error)
	Distributions(name, version string) []launcher.Distribution
	Exec(ctx context.Context, r launcher.ExecRequest) (launcher.ExecResult, error)
	Started(ctx context.Context, ids []int, wait time.Duration) (launcher.ExecResult, error)
	Processes(s launcher.Selector) ([]launcher.Process, error)
	Process(id int) (launcher.Process, error)
	Kill(ctx context.Context, r launcher.StopRequest) ([]launcher.Process, error)
	Restart(ctx context.Context, r launcher.StopRequest) ([]launcher.Process, error)
	Diagnose(ctx context.Context, s launcher.Selector) ([]launcher.Diagnosis, error)
	Reload(ctx context.Context, r launcher.ReloadRequest) (launcher.ReloadResult, error)
	Usages(list []launcher.Process) (map[int]launcher.Usage, error)
	Info(id int) (launcher.Info, error)
	Dir(id int) string
	OpenOutput(id int) (*launcher.Output, error)
	Changed(id int) <-chan struct{}
	Running() int
	Rebuilding() launcher.Rebuilding
}

var _ Leases = (*lease.Manager)(nil)

const (
	// maxBody is the most bytes of a request's body. 65,535 ranges of one port
	// fit into maxRanges.
	maxBody   = 1 << 20
	maxRanges = 8 << 20
)

// Keyed is the header field of what acquires. huma looks into exported types only.
type Keyed struct {
	Key string `header:"Idempotency-Key" doc:"a string that no other request has, best a random one: the same request sent again with it is done once, and answered with what it led to. Remembered for a day, or until 10,000 others came"`
}

// reply is a response with a body.
type reply[T any] struct{ Body T }

// empty is a request without parameters, or a response without a body.
type empty struct{}

// routes returns all routes.
func (s *Server) routes() *http.ServeMux {
	useProblems()
	mux := http.NewServeMux()
	config := huma.DefaultConfig("Berth", "1")
	// huma would add $schema links to every response, and documents made when
	// first asked for without a lock; the one document is served below.
	config.CreateHooks = nil
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", ""
	config.RejectUnknownQueryParameters = true
	config.Formats = map[string]huma.Format{"application/json": strictJSON, "json": strictJSON}
	describeAccess(config.OpenAPI)
	routes := humago.New(mux, config)

	s.routeDaemon(routes)
	s.routeHealth(routes)
	s.routeRanges(routes)
	s.routeConf(routes)
	s.routeExecConfigs(routes)
	s.routeArchives(routes)
	s.routeLeases(routes)
	s.routeOwners(routes)
	s.routeDistributions(routes)
	s.routeProcesses(routes)
	s.routeOutput(routes)
	s.routeEvents(routes)
	s.routeDiagnoses(routes)
	s.routeTokens(routes)
	s.routeQuotas(routes)
	s.routeAudit(routes)
	s.routeKernel(routes)
	s.routePorts(routes)

	s.documentRoutes(mux, routes)
	s.offers.Routes(mux)
	s.grant("/", "unknown", access.None)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { s.unknown(mux, w, r) })
	return mux
}

// unknown answers what no route takes: a path that is not there, or a method
// that a path does not have.
func (s *Server) unknown(mux *http.ServeMux, w http.ResponseWriter, r *http.Request) {
	if plain := strings.TrimRight(r.URL.Path, "/"); plain != "" && plain != r.URL.Path {
		if _, pattern := mux.Handler(&http.Request{Method: r.Method, URL: &url.URL{Path: plain}, Host: r.Host}); pattern != "/" && pattern != "" {
			writeProblem(w, newProblem(http.StatusNotFound, api.CodeInvalid, "no route "+r.URL.Path+": leave out the slash at its end"))
			return
		}
	}
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		other := &http.Request{Method: method, URL: r.URL, Host: r.Host}
		if _, pattern := mux.Handler(other); pattern != "/" && pattern != "" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) == 0 {
		writeProblem(w, newProblem(http.StatusNotFound, api.CodeInvalid,
			"no route "+r.URL.Path+": GET /openapi.json lists them"))
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	writeProblem(w, newProblem(http.StatusMethodNotAllowed, api.CodeInvalid,
		r.Method+" "+r.URL.Path+": the methods of this route are "+strings.Join(allowed, ", ")))
}

// route adds an operation that needs a role, whose handler returns errors of the
// packages below; they are told as problems.
func route[I, O any](s *Server, routes huma.API, role access.Role, op huma.Operation, handle func(context.Context, *I) (*O, error)) {
	if op.MaxBodyBytes == 0 {
		op.MaxBodyBytes = maxBody
	}
	// A deadline of huma's would still be set while the handler waits, and end
	// the request; guard has one that goes with the body.
	op.BodyReadTimeout = -1
	s.grant(op.Method+" "+op.Path, op.OperationID, role)
	_, jsonBody := reflect.TypeFor[I]().FieldByName("Body")
	describe(&op, jsonBody)
	describeRole(&op, role)
	huma.Register(routes, op, func(ctx context.Context, in *I) (*O, error) {
		noteBody(ctx, in)
		out, err := handle(ctx, in)
		if err != nil {
			return nil, s.fail(ctx, op.Method, op.Path, err)
		}
		noteBody(ctx, out)
		return out, nil
	})
}

// list returns what f makes of every item of in; never nil, which would be
// null in JSON.
func list[T, U any](in []T, f func(T) U) []U {
	out := make([]U, 0, len(in))
	for _, item := range in {
		out = append(out, f(item))
	}
	return out
}

// some returns in, or an empty slice where it is nil.
func some[T any](in []T) []T {
	if in == nil {
		return []T{}
	}
	return slices.Clip(in)
}

// orAll is the pattern, or one that everything fits where it is empty.
func orAll(pattern string) string {
	if pattern == "" {
		return "*"
	}
	return pattern
}
