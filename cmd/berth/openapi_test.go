package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"berth/lease"
	"berth/store/badger"
	"berth/sysctl"
)

// schemaOf is a JSON schema as the OpenAPI document has it.
type schemaOf struct {
	Ref                  string               `json:"$ref"`
	Type                 any                  `json:"type"`
	Description          string               `json:"description"`
	Properties           map[string]*schemaOf `json:"properties"`
	AdditionalProperties any                  `json:"additionalProperties"`
	Required             []string             `json:"required"`
	Items                *schemaOf            `json:"items"`
	Enum                 []any                `json:"enum"`
	AllOf                []*schemaOf          `json:"allOf"`
	Minimum              *float64             `json:"minimum"`
	Maximum              *float64             `json:"maximum"`
	MinLength            *int                 `json:"minLength"`
	MaxLength            *int                 `json:"maxLength"`
	MinItems             *int                 `json:"minItems"`
	MaxItems             *int                 `json:"maxItems"`
	Pattern              string               `json:"pattern"`
}

// operation is one of the OpenAPI document.
type operation struct {
	ID          string   `json:"operationId"`
	Summary     string   `json:"summary"`
	Description string   `json:"description"`
	Tags        []string `json:"tags"`
	Parameters  []struct {
		Name        string    `json:"name"`
		In          string    `json:"in"`
		Required    bool      `json:"required"`
		Description string    `json:"description"`
		Schema      *schemaOf `json:"schema"`
	} `json:"parameters"`
	RequestBody *struct {
		Required bool                `json:"required"`
		Content  map[string]mediaDoc `json:"content"`
	} `json:"requestBody"`
	Responses map[string]struct {
		Description string              `json:"description"`
		Content     map[string]mediaDoc `json:"content"`
	} `json:"responses"`

	method, path string
}

type mediaDoc struct {
	Schema  *schemaOf `json:"schema"`
	Example any       `json:"example"`
}

// jsonBody is the schema of the body where that is JSON; nil where it is not.
func (op *operation) jsonBody() *schemaOf {
	if op.RequestBody == nil {
		return nil
	}
	return op.RequestBody.Content["application/json"].Schema
}

// document is the OpenAPI document of a daemon.
type document struct {
	operations map[string]*operation
	schemas    map[string]*schemaOf
	tags       []string
	compiler   *jsonschema.Compiler

	mu       sync.Mutex
	compiled map[string]*jsonschema.Schema
	seen     map[string]map[string]bool // statuses and codes that were answered, by operation
}

const documentURL = "https://berth.invalid/openapi.json"

func parseDocument(t testing.TB, text []byte) *document {
	t.Helper()
	var raw struct {
		OpenAPI    string
		Paths      map[string]map[string]*operation
		Components struct{ Schemas map[string]*schemaOf }
		Tags       []struct{ Name, Description string }
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		t.Fatal(err)
	}
	if raw.OpenAPI != "3.1.0" || len(raw.Paths) == 0 {
		t.Fatalf("a document of OpenAPI %q with %d paths", raw.OpenAPI, len(raw.Paths))
	}
	d := &document{
		operations: map[string]*operation{}, schemas: raw.Components.Schemas, compiler: jsonschema.NewCompiler(),
		compiled: map[string]*jsonschema.Schema{}, seen: map[string]map[string]bool{},
	}
	for _, tag := range raw.Tags {
		d.tags = append(d.tags, tag.Name)
		if tag.Description == "" {
			t.Errorf("the tag %s has no description", tag.Name)
		}
	}
	for path, methods := range raw.Paths {
		for method, op := range methods {
			op.method, op.path = strings.ToUpper(method), path
			if other := d.operations[op.ID]; other != nil || op.ID == "" {
				t.Errorf("%s %s has the operation id %q of another one, or none", op.method, path, op.ID)
			}
			d.operations[op.ID] = op
			d.seen[op.ID] = map[string]bool{}
		}
	}
	whole, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	d.compiler.DefaultDraft(jsonschema.Draft2020)
	d.compiler.AssertFormat()
	if err := d.compiler.AddResource(documentURL, whole); err != nil {
		t.Fatal(err)
	}
	return d
}

// ids are the operations' ids, sorted.
func (d *document) ids() []string {
	var ids []string
	for id := range d.operations {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// resolve follows a reference.
func (d *document) resolve(s *schemaOf) *schemaOf {
	for s != nil && s.Ref != "" {
		s = d.schemas[strings.TrimPrefix(s.Ref, "#/components/schemas/")]
	}
	return s
}

// validate checks a JSON text against the schema at a pointer into the document.
func (d *document) validate(text []byte, pointer ...string) error {
	at := documentURL + "#"
	for _, part := range pointer {
		at += "/" + url.PathEscape(strings.NewReplacer("~", "~0", "/", "~1").Replace(part))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	schema := d.compiled[at]
	if schema == nil {
		var err error
		if schema, err = d.compiler.Compile(at); err != nil {
			return err
		}
		d.compiled[at] = schema
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

// check says what of an answer the document does not say of the operation; "" is
// nothing. It notes what was answered.
func (d *document) check(op *operation, status int, header http.Header, body []byte) string {
	name := strconv.Itoa(status)
	response, ok := op.Responses[name]
	if !ok {
		return fmt.Sprintf("the status %d is not documented: %s", status, body)
	}
	kind, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	if len(response.Content) == 0 {
		if len(body) > 0 {
			return fmt.Sprintf("a body of %s is not documented for %d: %.200s", kind, status, body)
		}
		d.note(op, name)
		return ""
	}
	if _, ok := response.Content[kind]; !ok {
		return fmt.Sprintf("the media type %q is not documented for %d: %.200s", kind, status, body)
	}
	switch {
	case strings.HasSuffix(kind, "json") && kind != "application/x-ndjson":
		at := []string{"paths", op.path, strings.ToLower(op.method), "responses", name, "content", kind, "schema"}
		if err := d.validate(body, at...); err != nil {
			return fmt.Sprintf("%d: the body is not what is documented: %v: %.400s", status, err, body)
		}
	case kind == "application/x-ndjson":
		if err := d.validate(body, "components", "schemas", "AuditRecord"); err != nil {
			return fmt.Sprintf("a record is not what is documented: %v: %s", err, body)
		}
	case kind == "text/event-stream":
		for line := range strings.Lines(string(body)) {
			data, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "data: ")
			if !ok {
				continue
			}
			if err := d.validate([]byte(data), "components", "schemas", "Event"); err != nil {
				return fmt.Sprintf("an event is not what is documented: %v: %s", err, data)
			}
		}
	}
	if status >= 400 {
		var p struct{ Code string }
		_ = json.Unmarshal(body, &p)
		d.note(op, p.Code)
	}
	d.note(op, name)
	return ""
}

func (d *document) note(op *operation, what string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen[op.ID][what] = true
}

// driven is a daemon in this process that is driven by its own document.
type driven struct {
	*running
	*document
	dir   string
	http  *http.Client
	store failingStore

	mu       sync.Mutex
	names    int
	nextPort int
}

// drive starts a daemon whose ranges, where the test makes some, have ports from
// first on.
func drive(t *testing.T, first int) *driven {
	t.Helper()
	d := &driven{dir: t.TempDir(), nextPort: first}
	t.Cleanup(func() { checkLeases(t, d.dir) }) // after the daemon's end
	settings := t.TempDir()
	for name, text := range map[string]string{"ip_local_port_range": "1024 60999", "ip_local_reserved_ports": "8080", "ip_unprivileged_port_start": "1024"} {
		file := filepath.Join(settings, "net", "ipv4", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	d.running = start(t, d.dir, func(of *daemon) {
		of.kernel = sysctl.Kernel{Dir: settings}
		open := of.openStore
		of.openStore = func(dir string, log *slog.Logger) (failingStore, error) {
			st, err := open(dir, log)
			d.store = st
			return st, err
		}
	})
	d.http = unixHTTP(d.socket())
	text, err := d.client.Document(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d.document = parseDocument(t, text)
	t.Cleanup(func() {
		_, _ = d.send(context.Background(), request{method: "POST", path: "/v1/processes/kill", body: `{"all":true,"hard":true,"waitSeconds":20}`})
	})
	return d
}

func (d *driven) socket() string { return filepath.Join(d.dir, "berth.sock") }

// checkLeases holds what a daemon that has ended left of ranges and leases
// against the invariants of package lease.
func checkLeases(t *testing.T, home string) {
	t.Helper()
	st, err := badger.Open(filepath.Join(home, "store"), badger.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Error(err)
		return
	}
	defer st.Close()
	m, err := lease.Open(context.Background(), lease.Options{Store: st})
	if err != nil {
		t.Error(err)
		return
	}
	defer m.Close()
	if err := m.Check(context.Background()); err != nil {
		t.Error(err)
	}
}

// state is all that the store holds, as text. What was asked, and not what is,
// is left out.
func (d *driven) state(t testing.TB) string {
	t.Helper()
	entries, _, err := d.store.List(context.Background(), "")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, e := range entries {
		if strings.HasPrefix(e.Key, "audit/") {
			continue
		}
		fmt.Fprintf(&b, "%s %q\n", e.Key, e.Value)
	}
	return b.String()
}

// request is one request. Header fields are given as name: value.
type request struct {
	method, path string
	query        url.Values
	header       map[string]string
	body         string
	contentType  string // of the body; application/json where it is not given
	raw          bool   // no content type is added
}

type response struct {
	status int
	header http.Header
	body   []byte
}

func (d *driven) send(ctx context.Context, r request) (response, error) {
	target := "http://berth" + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	var body io.Reader
	if r.body != "" {
		body = strings.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, body)
	if err != nil {
		return response{}, err
	}
	if r.body != "" && !r.raw {
		if r.contentType == "" {
			r.contentType = "application/json"
		}
		req.Header.Set("Content-Type", r.contentType)
	}
	for name, value := range r.header {
		req.Header.Set(name, value)
	}
	resp, err := d.http.Do(req)
	if err != nil {
		return response{}, err
	}
	defer resp.Body.Close()
	var text []byte
	if resp.Header.Get("Content-Type") == "application/x-ndjson" {
		text, err = bufio.NewReader(resp.Body).ReadBytes('\n') // it has no end
	} else {
		text, err = io.ReadAll(resp.Body)
	}
	return response{resp.StatusCode, resp.Header, text}, err
}

// call sends a request of an operation, and fails the test where the answer is
// not documented or says that the daemon is at fault.
func (d *driven) call(t testing.TB, id string, r request) response {
	t.Helper()
	op := d.operations[id]
	if op == nil {
		t.Fatalf("the document has no operation %s", id)
	}
	if r.method == "" {
		r.method = op.method
	}
	if r.path == "" {
		r.path = op.path
	}
	resp, err := d.send(t.Context(), r)
	if err != nil {
		t.Fatalf("%s: %s %s: %v", id, r.method, r.path, err)
	}
	if resp.status >= 500 {
		t.Errorf("%s: %s %s %.200q: %d %s", id, r.method, r.path, r.body, resp.status, resp.body)
	}
	if wrong := d.check(op, resp.status, resp.header, resp.body); wrong != "" {
		t.Errorf("%s: %s %s?%s %.200q: %s", id, r.method, r.path, r.query.Encode(), r.body, wrong)
	}
	return resp
}

// must is a call that has to be done, whose answer is read into out.
func (d *driven) must(t testing.TB, id string, r request, out any) {
	t.Helper()
	resp := d.call(t, id, r)
	if resp.status >= 300 {
		t.Fatalf("%s: %d %s", id, resp.status, resp.body)
	}
	if out != nil {
		if err := json.Unmarshal(resp.body, out); err != nil {
			t.Fatalf("%s: %v: %s", id, err, resp.body)
		}
	}
}

// name makes a name that nothing has.
func (d *driven) name(begin string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.names++
	return begin + strconv.Itoa(d.names)
}

// ports takes the next count ports for a range.
func (d *driven) ports(count int) (first, last int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	first = d.nextPort
	d.nextPort += count
	return first, d.nextPort - 1
}
