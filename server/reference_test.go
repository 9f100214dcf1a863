package server_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"berth/access"
	"berth/api"
	"berth/server"
)

var update = flag.Bool("update", false, "write docs/api.md")

const reference = "../docs/api.md"

// docs/api.md is what the OpenAPI document says, for people. It is written anew by
//
//	go test ./server -run TestReference -update
func TestReference(t *testing.T) {
	made := makeReference(t)
	if *update {
		if err := os.WriteFile(reference, made, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	there, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(there, made) {
		return
	}
	old, now := strings.Split(string(there), "\n"), strings.Split(string(made), "\n")
	line := 0
	for line < min(len(old), len(now)) && old[line] == now[line] {
		line++
	}
	was, is := append(old, "")[line], append(now, "")[line]
	t.Errorf("docs/api.md is not what the document says: write it with go test ./server -run TestReference -update\nline %d has\n%s\nand should have\n%s", line+1, was, is)
}

// served is the OpenAPI document, as far as the reference shows it.
type served struct {
	Info  struct{ Description string }
	Tags  []struct{ Name, Description string }
	Paths map[string]map[string]struct {
		OperationID, Summary, Description string
		Tags                              []string
		Parameters                        []struct {
			Name, In, Description string
			Required              bool
			Schema                servedSchema
		}
		RequestBody *struct {
			Description string
			Content     map[string]servedMedia
		}
		Responses map[string]struct {
			Description string
			Headers     map[string]struct{ Description string }
			Content     map[string]servedMedia
		}
		Role string `json:"x-role"`
	}
	Components struct {
		Schemas map[string]servedSchema
	}
}

type servedMedia struct {
	Schema  servedSchema
	Example json.RawMessage
}

type servedSchema struct {
	Ref         string `json:"$ref"`
	Type        any
	Format      string
	Description string
	Items       *servedSchema
	Properties  map[string]servedSchema
	Required    []string
	Enum        []any
	Default     any
	Minimum     *float64
	Maximum     *float64
	MinLength   *int
	MaxLength   *int
	MinItems    *int
	MaxItems    *int
	Examples    []any
}

func readDocument(t *testing.T) (doc served) {
	t.Helper()
	w := httptest.NewRecorder()
	server.New(server.Options{}).ServeHTTP(w, httptest.NewRequestWithContext(access.With(t.Context(), access.Caller{Known: true, Role: access.Read}), "GET", "/openapi.json", nil))
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || w.Code != http.StatusOK {
		t.Fatal(w.Code, err)
	}
	return doc
}

func makeReference(t *testing.T) []byte {
	t.Helper()
	doc := readDocument(t)
	var b bytes.Buffer
	p := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }

	p("# API\n\n<!-- Made from the OpenAPI document by: go test ./server -run TestReference -update -->\n\n%s\n\n", doc.Info.Description)
	p("The whole of it for programs is the OpenAPI 3.1 document at `/openapi.json`; for Go there is the package `client`. On the shell, with the socket of the daemon (`berth daemon` or `$BERTH_SOCKET`):\n\n")
	p("```sh\nSOCKET=/run/berth/berth.sock\ncurl --unix-socket $SOCKET http://localhost/v1/daemon\n```\n")

	p("\n## Operations\n\n")
	type entry struct{ method, path, id, summary string }
	byTag := map[string][]entry{}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			byTag[op.Tags[0]] = append(byTag[op.Tags[0]], entry{strings.ToUpper(method), path, op.OperationID, op.Summary})
		}
	}
	order := []string{"GET", "POST", "PUT", "PATCH", "DELETE"}
	for _, tag := range doc.Tags {
		slices.SortFunc(byTag[tag.Name], func(a, b entry) int {
			if a.path != b.path {
				return strings.Compare(a.path, b.path)
			}
			return slices.Index(order, a.method) - slices.Index(order, b.method)
		})
		for _, e := range byTag[tag.Name] {
			p("- [`%s %s`](#%s) %s\n", e.method, e.path, e.id, e.summary)
		}
	}

	for _, tag := range doc.Tags {
		if len(byTag[tag.Name]) == 0 {
			continue
		}
		p("\n## %s\n\n%s\n", strings.ToUpper(tag.Name[:1])+tag.Name[1:], tag.Description)
		for _, e := range byTag[tag.Name] {
			op := doc.Paths[e.path][strings.ToLower(e.method)]
			p("\n### %s\n\n`%s %s`\n\n%s. %s\n", e.id, e.method, e.path, e.summary, op.Description)
			if op.Role != "" {
				p("\nRole: %s.\n", op.Role)
			}
			if len(op.Parameters) > 0 {
				p("\n| parameter | in | type | |\n|---|---|---|---|\n")
				for _, q := range op.Parameters {
					text := q.Description
					if q.Required && q.In != "path" {
						text = "needed; " + text
					}
					p("| `%s` | %s | %s | %s |\n", q.Name, q.In, kindOf(q.Schema), cell(text, q.Schema))
				}
			}
			example := ""
			if op.RequestBody != nil {
				for _, kind := range slices.Sorted(maps.Keys(op.RequestBody.Content)) {
					media := op.RequestBody.Content[kind]
					switch name := refName(media.Schema); {
					case name != "":
						p("\nBody: %s.\n", linked(name))
					default:
						p("\nBody: `%s`, %s.\n", kind, op.RequestBody.Description)
					}
					example = string(media.Example)
				}
			}
			var query []string
			target := e.path
			for _, q := range op.Parameters {
				value := "NAME"
				if len(q.Schema.Examples) > 0 {
					value = fmt.Sprint(q.Schema.Examples[0])
				} else if len(q.Schema.Enum) > 0 {
					value = fmt.Sprint(q.Schema.Enum[0])
				} else if kindOf(q.Schema) == "integer" {
					value = "1"
				}
				switch {
				case q.In == "path":
					target = strings.ReplaceAll(target, "{"+q.Name+"}", value)
				case q.In == "query" && q.Required:
					query = append(query, q.Name+"="+url.QueryEscape(value))
				}
			}
			if len(query) > 0 {
				target += "?" + strings.Join(query, "&")
			}
			p("\n```sh\ncurl --unix-socket $SOCKET")
			if e.method != "GET" {
				p(" -X %s", e.method)
			}
			if strings.Contains(target, "?") {
				p(" 'http://localhost%s'", target)
			} else {
				p(" http://localhost%s", target)
			}
			switch {
			case example != "":
				p(" \\\n  -H 'Content-Type: application/json' -d '%s'", compact(t, example))
			case op.RequestBody != nil:
				p(" \\\n  --data-binary @FILE")
			case e.id == "stream-events" || e.id == "get-output":
				p(" -N")
			}
			p("\n```\n")
			for _, status := range slices.Sorted(maps.Keys(op.Responses)) {
				r := op.Responses[status]
				if status[0] != '2' {
					continue
				}
				p("\n**%s** %s", status, r.Description)
				for _, kind := range slices.Sorted(maps.Keys(r.Content)) {
					media := r.Content[kind]
					switch name := refName(media.Schema); {
					case name != "" && kindOf(media.Schema) != "object":
						p(": a list of %s", linked(name))
					case name != "":
						p(": %s", linked(name))
					default:
						p(" (`%s`)", kind)
					}
					for _, field := range slices.Sorted(maps.Keys(r.Headers)) {
						p("; header field %s", field)
					}
					if len(media.Example) > 0 {
						p("\n\n```json\n%s\n```", indented(t, media.Example))
					}
				}
				p("\n")
			}
			p("\nErrors: ")
			var told []string
			for _, status := range slices.Sorted(maps.Keys(op.Responses)) {
				if _, codes, ok := strings.Cut(op.Responses[status].Description, ": "); ok && status[0] != '2' {
					told = append(told, status+" "+codes)
				}
			}
			p("%s.\n", strings.Join(told, "; "))
		}
	}

	p("\n## Codes\n\nA program looks at the code of a problem, which is the same on every version. With the package `client` `errors.Is(err, api.Code…)` holds, and for those that stand for an error of the package `lease` that one too.\n\n")
	p("| code | status | means | in Go |\n|---|---|---|---|\n")
	statuses := map[string]map[string]bool{}
	for _, methods := range doc.Paths {
		for _, op := range methods {
			for status, r := range op.Responses {
				if _, codes, ok := strings.Cut(r.Description, ": "); ok && status[0] != '2' {
					for code := range strings.SplitSeq(codes, ", ") {
						if statuses[code] == nil {
							statuses[code] = map[string]bool{}
						}
						statuses[code][status] = true
					}
				}
			}
		}
	}
	for _, c := range codeConstants(t) {
		p("| `%s` | %s | %s | `api.%s` |\n", c.code, strings.Join(slices.Sorted(maps.Keys(statuses[string(c.code)])), ", "), c.means, c.name)
	}

	p("\n## Types\n")
	for _, name := range slices.Sorted(maps.Keys(doc.Components.Schemas)) {
		s := doc.Components.Schemas[name]
		p("\n### type %s\n\n", name)
		if s.Description != "" {
			p("%s\n\n", s.Description)
		}
		if len(s.Properties) == 0 {
			continue
		}
		p("| field | type | |\n|---|---|---|\n")
		for _, field := range slices.Sorted(maps.Keys(s.Properties)) {
			q := s.Properties[field]
			text := cell(q.Description, q)
			if !slices.Contains(s.Required, field) {
				text = strings.TrimSuffix("optional; "+text, "; ")
			}
			p("| `%s` | %s | %s |\n", field, kindOf(q), text)
		}
	}
	return b.Bytes()
}

// refName is the name of the type that a schema refers to, or a list of it.
func refName(s servedSchema) string {
	if s.Items != nil {
		return refName(*s.Items)
	}
	return strings.TrimPrefix(s.Ref, "#/components/schemas/")
}

func linked(name string) string { return "[" + name + "](#type-" + strings.ToLower(name) + ")" }

// kindOf is what a schema takes, in short.
func kindOf(s servedSchema) string {
	switch {
	case s.Items != nil && s.Items.Ref != "":
		return "list of " + linked(refName(s))
	case s.Items != nil:
		return "list of " + kindOf(*s.Items)
	case s.Ref != "":
		return "object"
	case s.Format == "date-time":
		return "time"
	}
	kind, _ := s.Type.(string)
	return kind
}

// cell is what a table says of a field besides its type: its text and bounds.
func cell(text string, s servedSchema) string {
	if s.Ref != "" {
		text = strings.TrimPrefix(text+"; "+linked(refName(s)), "; ")
	}
	if s.Items != nil && s.MaxItems == nil {
		s.Enum, s.Minimum, s.Maximum = s.Items.Enum, s.Items.Minimum, s.Items.Maximum
	}
	number := func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
	var bounds []string
	switch {
	case s.Minimum != nil && s.Maximum != nil:
		bounds = append(bounds, number(*s.Minimum)+" to "+number(*s.Maximum))
	case s.Minimum != nil:
		bounds = append(bounds, "at least "+number(*s.Minimum))
	case s.Maximum != nil:
		bounds = append(bounds, "at most "+number(*s.Maximum))
	}
	if s.MaxLength != nil {
		bounds = append(bounds, fmt.Sprintf("at most %d characters", *s.MaxLength))
	}
	if s.MaxItems != nil {
		bounds = append(bounds, fmt.Sprintf("at most %d of them", *s.MaxItems))
	}
	if len(s.Enum) > 0 {
		var words []string
		for _, e := range s.Enum {
			words = append(words, fmt.Sprintf("`%v`", e))
		}
		if len(words) > 8 {
			words = []string{"one of the [codes](#codes)"}
		}
		bounds = append(bounds, strings.Join(words, ", "))
	}
	if s.Default != nil {
		bounds = append(bounds, fmt.Sprintf("default %v", s.Default))
	}
	if len(bounds) > 0 {
		text += " (" + strings.Join(bounds, "; ") + ")"
	}
	return strings.ReplaceAll(strings.TrimSpace(text), "|", "\\|")
}

func compact(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, []byte(text)); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// indented is a JSON text with an element a line, where it is longer than a line.
func indented(t *testing.T, text []byte) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, text, "", "  "); err != nil {
		t.Fatal(err)
	}
	if one := compact(t, string(text)); len(one) < 100 {
		return one
	}
	return b.String()
}

// Every code that there is is in the document, and every code of the document
// is in an answer of some operation.
func TestCodesAreDocumented(t *testing.T) {
	doc := readDocument(t)
	var enum []api.Code
	for _, v := range doc.Components.Schemas["Problem"].Properties["code"].Enum {
		enum = append(enum, api.Code(v.(string)))
	}
	answered := map[api.Code]bool{}
	for _, methods := range doc.Paths {
		for _, op := range methods {
			for status, r := range op.Responses {
				if _, codes, ok := strings.Cut(r.Description, ": "); ok && status[0] != '2' {
					for code := range strings.SplitSeq(codes, ", ") {
						answered[api.Code(code)] = true
					}
				}
			}
		}
	}
	for _, c := range codeConstants(t) {
		if !slices.Contains(enum, c.code) {
			t.Errorf("the schema of problems does not have %s", c.code)
		}
		if !answered[c.code] {
			t.Errorf("no operation is documented to answer %s", c.code)
		}
		if c.means == "" {
			t.Errorf("api.%s does not say what it means", c.name)
		}
	}
	if len(enum) != len(codeConstants(t)) {
		t.Errorf("the schema of problems has %d codes, package api %d", len(enum), len(codeConstants(t)))
	}
}
