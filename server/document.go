package server

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"berth/access"
	"berth/api"
)

// The OpenAPI document is made of the types of package api, of what a route
// says when it is registered, and of what described says of its operation. What
// all operations have in common is added here: the problems, by status, each
// with the codes that it can have.

const documentText = `The daemon leases network ports to processes, and starts processes on the ports that it has leased for them.

It answers on a unix socket. Bodies are JSON in UTF-8, a name once in an object, without compression, unless an operation says otherwise; times are RFC 3339; ports are numbers, and both ends of an interval belong to it. Fields that are not known are refused, so are query parameters.

What fails is answered with problem details (RFC 9457) that have a stable ` + "`code`" + `, and has changed nothing unless its operation says so. A path that no operation has is 404 with the code ` + "`invalid`" + `, a method that a path does not have 405 with the header field Allow. Each GET can be a HEAD.

Lists that can be long take ` + "`limit`" + ` and ` + "`after`" + `. A list that was cut short has a header field Link with the address of what follows (RFC 8288, rel="next").

The calls of django-portmaster, below ` + "`/v1/services`" + `, are not in this document: they are described in docs/portmaster.md.`

// nouns are the tags of the operations, in the order in which the reference
// has them.
var nouns = []*huma.Tag{
	{Name: "daemon", Description: "The daemon that answers, its document and its health."},
	{Name: "ranges", Description: "Named intervals of ports, and what became of each port."},
	{Name: "leases", Description: "Ports that somebody has, and how they are acquired and released."},
	{Name: "distributions", Description: "What has been deployed: descriptors with their files."},
	{Name: "processes", Description: "What was started from distributions, and runs on leased ports."},
	{Name: "execs", Description: "Exec configurations: processes that are started together."},
	{Name: "conf", Description: "Properties and tags of the server."},
	{Name: "archives", Description: "Settings and ranges as they were at some time, kept under a name."},
	{Name: "access", Description: "Who the caller is, the tokens that it may show, and what was asked for by whom."},
	{Name: "events", Description: "What happens, as it happens."},
}

// answered is how a code can be answered besides by way of kinds.
var answered = []struct {
	code   api.Code
	status int
	body   bool // only where there is a body in JSON
}{
	{api.CodeInvalid, http.StatusRequestTimeout, true},
	{api.CodeInvalid, http.StatusRequestEntityTooLarge, true},
	{api.CodeInvalid, http.StatusUnsupportedMediaType, false}, // a compressed body is one everywhere
	{api.CodeBusy, http.StatusServiceUnavailable, false},
}

// alwaysCodes are those that each operation can answer, writingCodes those of
// each that changes something.
var (
	alwaysCodes  = []api.Code{api.CodeInvalid, api.CodeUnauthenticated, api.CodeForbidden, api.CodeBusy, api.CodeStopping, api.CodeInternal}
	writingCodes = []api.Code{api.CodeStore, api.CodeNoSpace, api.CodeDamaged}
)

// allCodes are all codes that the server answers, sorted.
func allCodes() []api.Code {
	var codes []api.Code
	for _, k := range kinds {
		codes = append(codes, k.code)
	}
	for _, a := range answered {
		codes = append(codes, a.code)
	}
	slices.Sort(codes)
	return slices.Compact(codes)
}

// describe completes what the document says of an operation before it is
// registered.
func describe(op *huma.Operation, jsonBody bool) {
	d := described[op.OperationID]
	if len(op.Tags) == 0 && d.noun != "" {
		op.Tags = []string{d.noun}
	}
	if op.Description == "" {
		op.Description = d.text
	}
	if op.Responses == nil {
		op.Responses = map[string]*huma.Response{}
	}
	success := strconv.Itoa(op.DefaultStatus)
	if op.DefaultStatus == 0 && (d.answer != nil || len(op.Responses) > 0) {
		success = "200"
	}
	if d.answer != nil && op.Responses[success] == nil {
		op.Responses[success] = &huma.Response{
			Description: d.means,
			Content:     map[string]*huma.MediaType{"application/json": {Example: d.answer}},
		}
	}
	if d.answer == nil && d.means != "" && len(op.Responses) == 0 {
		op.Responses[strconv.Itoa(cmp.Or(op.DefaultStatus, http.StatusNoContent))] = &huma.Response{Description: d.means}
	}
	if d.request != nil {
		op.RequestBody = &huma.RequestBody{
			Required: true,
			Content:  map[string]*huma.MediaType{"application/json": {Example: d.request}},
		}
	}
	codes := slices.Concat(alwaysCodes, d.codes)
	if op.Method != http.MethodGet && !d.settled {
		codes = append(codes, writingCodes...)
	}
	byStatus := map[int][]api.Code{}
	add := func(status int, code api.Code) {
		if !slices.Contains(byStatus[status], code) {
			byStatus[status] = append(byStatus[status], code)
		}
	}
	for _, code := range codes {
		for _, k := range kinds {
			if k.code == code {
				add(k.status, code)
			}
		}
		for _, a := range answered {
			if a.code == code && (jsonBody || !a.body) {
				add(a.status, code)
			}
		}
	}
	if slices.Contains(d.codes, api.CodeDistributionInvalid) && op.OperationID == "deploy-distribution" {
		add(http.StatusRequestEntityTooLarge, api.CodeDistributionInvalid)
	}
	for status, codes := range byStatus {
		slices.Sort(codes)
		op.Responses[strconv.Itoa(status)] = problemResponse(status, codes)
	}
}

// problemResponse documents the problems of one status.
func problemResponse(status int, codes []api.Code) *huma.Response {
	names := make([]any, len(codes))
	told := make([]string, len(codes))
	for i, code := range codes {
		names[i], told[i] = string(code), string(code)
	}
	return &huma.Response{
		Description: http.StatusText(status) + ": " + strings.Join(told, ", "),
		Content: map[string]*huma.MediaType{"application/problem+json": {
			Schema: &huma.Schema{AllOf: []*huma.Schema{
				{Ref: "#/components/schemas/Problem"},
				{Type: huma.TypeObject, Properties: map[string]*huma.Schema{
					"status": {Enum: []any{status}},
					"code":   {Enum: names},
				}, AdditionalProperties: true},
			}},
			Example: newProblem(status, codes[0], "what went wrong, in a line for people"),
		}},
	}
}

// TransformSchema names all codes in the schema of problems.
func (p *problem) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	s.Description = "A problem as RFC 9457 has it, with a stable code. Programs look at the code, people read the detail."
	s.Properties["type"].Description = "absent, which means about:blank: the code says what it is"
	s.Properties["title"].Description = "what the status means"
	s.Properties["status"].Description = "the HTTP status, again"
	s.Properties["detail"].Description = "what went wrong, why, and what to do, in one line for people"
	s.Properties["code"].Description = "names the kind of problem, the same on every version"
	for _, code := range allCodes() {
		s.Properties["code"].Enum = append(s.Properties["code"].Enum, string(code))
	}
	s.Required = []string{"code", "detail", "status", "title"}
	return s
}

// documentRoutes adds the document itself, at /openapi.json and below /v1.
func (s *Server) documentRoutes(mux *http.ServeMux, routes huma.API) {
	o := routes.OpenAPI()
	o.Info.Description = documentText
	o.Info.License = &huma.License{Name: "Apache 2.0", Identifier: "Apache-2.0"}
	o.Servers = []*huma.Server{{URL: "http://localhost", Description: "the unix socket of the daemon; the host is not looked at"}}
	o.Tags = nouns

	text := sync.OnceValues(func() ([]byte, error) { return json.Marshal(o) })
	send := func(w http.ResponseWriter) error {
		document, err := text()
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", "application/openapi+json")
		_, err = w.Write(document)
		return err
	}
	// Events are in a stream, whose schema cannot name them.
	o.Components.Schemas.Schema(reflect.TypeFor[api.Event](), true, "Event")

	route(s, routes, access.Read, huma.Operation{
		OperationID: "get-document", Method: http.MethodGet, Path: "/openapi.json",
		Summary: "Send this document",
		Responses: map[string]*huma.Response{"200": {
			Description: "the OpenAPI 3.1 document of all operations",
			Content:     map[string]*huma.MediaType{"application/openapi+json": {Schema: &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}}},
		}},
	}, func(ctx context.Context, _ *empty) (*huma.StreamResponse, error) {
		if _, err := text(); err != nil {
			return nil, fmt.Errorf("make the document: %w", err)
		}
		return &huma.StreamResponse{Body: func(ctx huma.Context) {
			_, w := humago.Unwrap(ctx)
			_ = send(w) // an error here is the client's going away
		}}, nil
	})
	s.grant("GET /v1/openapi.json", "get-document", access.Read)
	mux.HandleFunc("GET /v1/openapi.json", func(w http.ResponseWriter, r *http.Request) {
		if err := send(w); err != nil {
			s.log.DebugContext(r.Context(), "the document was not sent", "error", err)
		}
	})
}
