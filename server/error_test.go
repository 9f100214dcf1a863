package server_test

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"berth/access"
	"berth/api"
	"berth/conf"
	"berth/launcher"
	"berth/lease"
	"berth/store"
	"berth/sysctl"
)

// codeConstant is a code as the source of package api has it.
type codeConstant struct {
	name  string
	code  api.Code
	means string // its comment
}

// codeConstants reads the codes from the source of package api, so that a new
// one cannot be forgotten.
func codeConstants(t *testing.T) []codeConstant {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../api/error.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var found []codeConstant
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if name, ok := spec.Type.(*ast.Ident); !ok || name.Name != "Code" {
			return true
		}
		for i, v := range spec.Values {
			text, err := strconv.Unquote(v.(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, codeConstant{spec.Names[i].Name, api.Code(text), strings.TrimSpace(spec.Comment.Text())})
		}
		return true
	})
	if len(found) == 0 {
		t.Fatal("package api has no codes")
	}
	return found
}

func codes(t *testing.T) (found []api.Code) {
	t.Helper()
	for _, c := range codeConstants(t) {
		found = append(found, c.code)
	}
	return found
}

// Every error of the packages below, what it is told as, and each code of the
// API at least once.
func TestErrors(t *testing.T) {
	tests := []struct {
		err    error
		code   api.Code
		status int
	}{
		{lease.ErrRangeInvalid, api.CodeRangeInvalid, 400},
		{lease.ErrRangeExists, api.CodeRangeExists, 409},
		{lease.ErrRangeOverlaps, api.CodeRangeOverlaps, 409},
		{lease.ErrRangeNotFound, api.CodeRangeNotFound, 404},
		{lease.ErrRangeLeased, api.CodeRangeLeased, 409},
		{lease.ErrRangeFull, api.CodeRangeFull, 409},
		{&lease.FullError{}, api.CodeRangeFull, 409},
		{lease.ErrAssigned, api.CodePortAssigned, 409},
		{&lease.AssignedError{}, api.CodePortAssigned, 409},
		{lease.ErrInUse, api.CodePortInUse, 409},
		{&lease.InUseError{}, api.CodePortInUse, 409},
		{lease.ErrPrivileged, api.CodePortPrivileged, 409},
		{sysctl.ErrRefused, api.CodeKernel, 409},
		{lease.ErrRequest, api.CodeInvalid, 400},
		{lease.ErrProtocol, api.CodeInvalid, 400},
		{lease.ErrArchiveInvalid, api.CodeInvalid, 400},
		{lease.ErrArchiveNotFound, api.CodeArchiveNotFound, 404},
		{conf.ErrInvalid, api.CodeInvalid, 400},
		{conf.ErrArchiveInvalid, api.CodeInvalid, 400},
		{conf.ErrArchiveNotFound, api.CodeArchiveNotFound, 404},
		{lease.ErrLeaseNotFound, api.CodeLeaseNotFound, 404},
		{lease.ErrLeaseChanged, api.CodeLeaseChanged, 409},
		{lease.ErrTaken, api.CodeLeaseChanged, 409},
		{lease.ErrClosed, api.CodeStopping, 503},
		{lease.ErrRecord, api.CodeInternal, 500},

		{launcher.ErrDistributionInvalid, api.CodeDistributionInvalid, 422},
		{launcher.ErrDistributionExists, api.CodeDistributionExists, 409},
		{launcher.ErrDistributionNotFound, api.CodeDistributionNotFound, 404},
		{launcher.ErrDistributionRunning, api.CodeDistributionRunning, 409},
		{launcher.ErrProcessNotFound, api.CodeProcessNotFound, 404},
		{launcher.ErrProfileNotFound, api.CodeProfileNotFound, 404},
		{launcher.ErrExecRefused, api.CodeExecRefused, 409},
		{launcher.ErrExecFailed, api.CodeExecFailed, 422},
		{launcher.ErrTimeout, api.CodeTimeout, 504},
		{launcher.ErrUnsupported, api.CodeUnsupported, 501},
		{launcher.ErrInvalid, api.CodeInvalid, 400},
		{launcher.ErrClosed, api.CodeStopping, 503},

		{access.ErrUnauthenticated, api.CodeUnauthenticated, 401},
		{access.ErrForbidden, api.CodeForbidden, 403},
		{access.ErrQuota, api.CodeQuotaExceeded, 409},
		{access.ErrTokenExists, api.CodeTokenExists, 409},
		{access.ErrTokenNotFound, api.CodeTokenNotFound, 404},
		{access.ErrInvalid, api.CodeInvalid, 400},

		{store.ErrUnknown, api.CodeStore, 503},
		{&store.ConflictError{Key: "k"}, api.CodeStore, 503},
		{store.ErrTooLarge, api.CodeStore, 503},
		{store.ErrClosed, api.CodeStopping, 503},
		{store.ErrNoSpace, api.CodeNoSpace, 507},
		{store.ErrDamaged, api.CodeDamaged, 503},
		{syscall.ENOSPC, api.CodeNoSpace, 507},
		{syscall.EDQUOT, api.CodeNoSpace, 507},
		{syscall.EIO, api.CodeStore, 503},
		{context.DeadlineExceeded, api.CodeTimeout, 504},
		{errors.New("something else"), api.CodeInternal, 500},

		// An error that is two of them is the more precise one.
		{fmt.Errorf("%w: %w", store.ErrClosed, syscall.EIO), api.CodeStore, 503},
		{fmt.Errorf("%w: %w", launcher.ErrExecRefused, lease.ErrRangeFull), api.CodeRangeFull, 409},
		{fmt.Errorf("%w: %w", launcher.ErrExecRefused, lease.ErrRangeNotFound), api.CodeExecRefused, 409},
	}
	r := newRig(t)
	var fail error
	r.leases.acquire = func(context.Context, []lease.Request) ([]lease.Lease, error) {
		return nil, fmt.Errorf("acquire http: %w", fail)
	}
	told := map[api.Code]bool{}
	for _, tt := range tests {
		t.Run(strings.ReplaceAll(tt.err.Error(), " ", "_"), func(t *testing.T) {
			fail = tt.err
			p := r.problem(t, "POST", "/v1/leases", `{"ranges":["http"]}`)
			if p.Code != tt.code || p.Status != tt.status {
				t.Errorf("told as %s with status %d, want %s with %d", p.Code, p.Status, tt.code, tt.status)
			}
			if want := "acquire http: " + tt.err.Error(); p.Detail != want {
				t.Errorf("detail %q, want %q", p.Detail, want)
			}
			if p.Title != http.StatusText(tt.status) {
				t.Errorf("title %q", p.Title)
			}
			if !errors.Is(&p, tt.code) {
				t.Errorf("the problem is not its code")
			}
			told[p.Code] = true
		})
	}
	told[api.CodeKeyReused] = true                                       // TestKeyReused
	told[api.CodeBusy] = true                                            // TestConnectionsAtWork
	told[api.CodeHolderRefused], told[api.CodeHolderUnseen] = true, true // TestHolders, TestHolderOverTheNetwork
	p := r.problem(t, "POST", "/v1/processes", `{"config":"none"}`)
	told[p.Code] = p.Code == api.CodeExecNotFound && p.Status == 404
	for _, code := range codes(t) {
		if !told[code] {
			t.Errorf("no error is told as %s", code)
		}
	}
}

// What is wrong with a request is said in one line that names the field.
func TestInvalidRequests(t *testing.T) {
	r := newRig(t)
	tests := []struct {
		name, method, path, body string
		status                   int
		detail                   string // a part of it
	}{
		{"no body", "POST", "/v1/leases", "", 400, "body"},
		{"no JSON", "POST", "/v1/leases", "ranges", 400, "body: "},
		{"half JSON", "POST", "/v1/leases", `{"ranges":["http"`, 400, "body: "},
		{"two values", "POST", "/v1/leases", `{"ranges":["http"]} {}`, 400, "body: "},
		{"an array", "POST", "/v1/leases", `[]`, 400, "body: "},
		{"null", "POST", "/v1/leases", `{"ranges":null}`, 400, "body.ranges: "},
		{"no ranges", "POST", "/v1/leases", `{"ranges":[]}`, 400, "body.ranges: "},
		{"a missing field", "POST", "/v1/leases", `{}`, 400, "ranges"},
		{"a wrong type", "POST", "/v1/leases", `{"ranges":"http"}`, 400, "body.ranges: "},
		{"a wrong element", "POST", "/v1/leases", `{"ranges":["http",7]}`, 400, "body.ranges[1]: "},
		{"an unknown field", "POST", "/v1/leases", `{"ranges":["http"],"holdr":"x"}`, 400, "body.holdr: "},
		{"a fraction", "POST", "/v1/ranges", `{"ranges":[{"name":"a","min":1.5,"max":2}]}`, 400, "body.ranges[0].min: "},
		{"a string for a port", "POST", "/v1/ranges", `{"ranges":[{"name":"a","min":"1","max":2}]}`, 400, "body.ranges[0].min: "},
		{"a protocol", "POST", "/v1/ranges", `{"ranges":[{"name":"a","min":1,"max":2,"protocol":"sctp"}]}`, 400, "sctp"},
		{"a scope", "POST", "/v1/ranges", `{"ranges":[{"name":"a","min":1,"max":2,"scope":"galaxy"}]}`, 400, "galaxy"},
		{"delete without a name", "DELETE", "/v1/ranges", "", 400, "query.name: "},
		{"force what", "DELETE", "/v1/ranges?name=a&force=perhaps", "", 400, "query.force: "},
		{"a misspelt parameter", "DELETE", "/v1/ranges?name=a&froce=true", "", 400, "query.froce: "},
		{"a generation below 0", "DELETE", "/v1/leases/1?generation=-1", "", 400, "query.generation: "},
		{"an odd generation", "DELETE", "/v1/leases/1?generation=x", "", 400, "query.generation: "},
		{"undeploy without a version", "DELETE", "/v1/distributions?name=demo", "", 400, "query.version: "},
		{"a process id", "GET", "/v1/processes/one", "", 400, "path.id: "},
		{"an id in a list", "GET", "/v1/processes?id=1&id=x", "", 400, "query.id: "},
		{"a negative wait", "POST", "/v1/processes", `{"distribution":"d","version":"1","profile":"p","waitSeconds":-1}`, 400, "body.waitSeconds: "},
		{"an endless wait", "POST", "/v1/processes", `{"distribution":"d","version":"1","profile":"p","waitSeconds":1e300}`, 400, "body.waitSeconds: "},
		{"negative instances", "POST", "/v1/processes", `{"distribution":"d","version":"1","profile":"p","instances":-1}`, 400, "body.instances: "},
		{"kill nobody", "POST", "/v1/processes/kill", `{}`, 400, "selects no process"},
		{"restart nobody", "POST", "/v1/processes/restart", `{"hard":true}`, 400, "selects no process"},
		{"tail and from", "GET", "/v1/processes/1/output?tail=1&from=1", "", 400, "query.from: "},
		{"a negative tail", "GET", "/v1/processes/1/output?tail=-2", "", 400, "query.tail: "},
		{"a huge body", "POST", "/v1/leases", `{"ranges":["` + strings.Repeat("x", 1<<20) + `"]}`, 413, "too large"},
		{"an unknown path", "GET", "/v1/nothing", "", 404, "/v1/nothing"},
		{"the root", "GET", "/", "", 404, "/openapi.json"},
		{"an unknown method", "PATCH", "/v1/ranges", `{}`, 405, "GET, HEAD, POST, DELETE"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := r.problem(t, tt.method, tt.path, tt.body)
			want := api.CodeInvalid
			if tt.name == "a protocol" || tt.name == "a scope" {
				want = api.CodeRangeInvalid
			}
			if p.Code != want || p.Status != tt.status {
				t.Errorf("told as %s with status %d (%s), want %s with %d", p.Code, p.Status, p.Detail, want, tt.status)
			}
			if !strings.Contains(p.Detail, tt.detail) {
				t.Errorf("detail %q does not say %q", p.Detail, tt.detail)
			}
		})
	}
	if log := r.log.String(); log != "" {
		t.Errorf("the log has what was the clients' doing:\n%s", log)
	}
}

// Whatever is sent, the answer is a problem or what was asked for.
func FuzzBodies(f *testing.F) {
	for _, seed := range []string{
		`{"ranges":["http"],"holder":{"name":"x"}}`, `{"ranges":[{"name":"a","min":1,"max":2}]}`, `{"all":true}`, `[]`, `null`, `{"ids":[1],"waitSeconds":1e9}`,
		`{"distribution":"d","version":"1","profile":"p","instances":3}`, "\x00", `{"a":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`,
	} {
		f.Add(seed)
	}
	r := newRig(f)
	f.Fuzz(func(t *testing.T, body string) {
		for _, path := range []string{"/v1/leases", "/v1/ranges", "/v1/processes", "/v1/processes/kill", "/v1/processes/restart"} {
			if status, text := r.do(t, "POST", path, body); status >= 500 {
				t.Errorf("POST %s %q: %d %s", path, body, status, text)
			}
		}
	})
}
