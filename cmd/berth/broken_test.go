package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// broken is a value that a schema does not take.
type broken struct {
	how   string
	value any
}

// breakings are values that the schema does not take, made from it and from one
// that it takes, if there is one.
func (d *document) breakings(s *schemaOf, valid any, required bool) []broken {
	s = d.resolve(s)
	kind, _ := s.Type.(string)
	var all []broken
	add := func(how string, value any) { all = append(all, broken{how, value}) }
	// What is no integer and no number, and so on. A field that may be left out
	// may be null.
	others := map[string]any{"string": "x", "boolean": true, "array": []any{}, "object": map[string]any{}}
	if kind != "integer" && kind != "number" {
		others["number"] = 7
	}
	delete(others, kind)
	if required {
		others["null"] = nil
	}
	for _, other := range slices.Sorted(maps.Keys(others)) {
		add("is "+other, others[other])
	}
	if len(s.Enum) > 0 {
		add("none of the enum", "no-such-thing")
	}
	switch kind {
	case "integer":
		add("a fraction", 1.5)
		add("a huge integer", json.RawMessage("99999999999999999999999"))
		add("a huge number", json.RawMessage("1e300"))
		fallthrough
	case "number":
		if s.Minimum != nil {
			add("below the minimum", *s.Minimum-1)
		}
		if s.Maximum != nil {
			add("above the maximum", *s.Maximum+1)
		}
		add("not finite", json.RawMessage("1e999"))
	case "string":
		if s.MinLength != nil && *s.MinLength > 0 {
			add("too short", strings.Repeat("x", *s.MinLength-1))
		}
		if s.MaxLength != nil {
			add("too long", strings.Repeat("x", *s.MaxLength+1))
		}
	case "array":
		items, _ := valid.([]any)
		var one any
		if len(items) > 0 {
			one = items[0]
		}
		if s.MinItems != nil && *s.MinItems > 0 {
			add("too few", []any{})
		}
		if s.MaxItems != nil && one != nil {
			add("too many", slices.Repeat([]any{one}, *s.MaxItems+1))
		}
		for _, b := range d.breakings(s.Items, one, true) {
			add("an item "+b.how, append(slices.Clone(items), b.value))
		}
	case "object":
		object, _ := valid.(map[string]any)
		with := func(name string, value any) map[string]any {
			changed := maps.Clone(object)
			if changed == nil {
				changed = map[string]any{}
			}
			changed[name] = value
			return changed
		}
		add("an unknown field", with("noSuchField", 1))
		for _, name := range s.Required {
			changed := maps.Clone(object)
			delete(changed, name)
			add("without "+name, changed)
		}
		for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
			for _, b := range d.breakings(s.Properties[name], object[name], slices.Contains(s.Required, name)) {
				add(name+" "+b.how, with(name, b.value))
			}
		}
	}
	return all
}

// refusal is a request that has to be refused, with one of statuses, or with any
// below 500 that is documented where there are none.
type refusal struct {
	how      string
	request  request
	statuses []int
}

// refusals are requests of an operation that have to be refused, made from its
// part of the document and a valid request.
func (d *document) refusals(op *operation, valid request) []refusal {
	var all []refusal
	add := func(how string, change func(*request), statuses ...int) {
		r := valid
		r.query, r.header = maps.Clone(valid.query), maps.Clone(valid.header)
		if r.query == nil {
			r.query = url.Values{}
		}
		if r.header == nil {
			r.header = map[string]string{}
		}
		change(&r)
		all = append(all, refusal{how, r, statuses})
	}
	body := func(how, text string, statuses ...int) {
		add(how, func(r *request) { r.body = text }, statuses...)
	}
	add("an unknown parameter", func(r *request) { r.query.Set("noSuchParameter", "1") }, 400)
	add("a control character in a parameter", func(r *request) { r.query.Set("noSuchParameter", "a\x00b") }, 400)
	add("a compressed body", func(r *request) { r.header["Content-Encoding"] = "gzip" }, 415)
	segments := strings.Split(op.path, "/")
	for _, p := range op.Parameters {
		s := d.resolve(p.Schema)
		if s.Type == "array" {
			s = d.resolve(s.Items)
		}
		set := func(how, value string) {
			add(p.Name+" "+how, func(r *request) {
				switch p.In {
				case "query":
					r.query.Set(p.Name, value)
				case "header":
					r.header[p.Name] = value
				case "path":
					at := strings.Split(r.path, "/")
					at[slices.Index(segments, "{"+p.Name+"}")] = url.PathEscape(value)
					r.path = strings.Join(at, "/")
				}
			})
		}
		if p.Required && p.In == "query" {
			add("without "+p.Name, func(r *request) { r.query.Del(p.Name) }, 400)
		}
		switch s.Type {
		case "integer":
			for _, value := range []string{"x", "1.5", "99999999999999999999", "0x10", "1 2", "١"} {
				set("is "+value, value)
			}
			if s.Minimum != nil {
				set("below the minimum", strconv.Itoa(int(*s.Minimum)-1))
			}
			if s.Maximum != nil {
				set("above the maximum", strconv.Itoa(int(*s.Maximum)+1))
			}
		case "boolean":
			set("is perhaps", "perhaps")
		case "string":
			if s.MaxLength != nil {
				set("too long", strings.Repeat("x", *s.MaxLength+1))
			}
			if len(s.Enum) > 0 {
				set("none of the enum", "no-such-thing")
			}
			if p.In == "path" {
				set("with a control character", "a\x00b")
				set("not UTF-8", "a\xffb")
				set("very long", strings.Repeat("x", 5000))
			}
		}
	}
	s := op.jsonBody()
	if s == nil {
		return all
	}
	body("no body", "", 400)
	for _, text := range []string{
		"null", "[]", "7", `"x"`, "true", "{", valid.body + "{}", valid.body[:len(valid.body)-1], valid.body + "]", "\xef\xbb\xbf" + valid.body,
		"{,}", "{'a':1}", `{"a" 1}`, `{"a":NaN}`, `{"a":01}`, "\x00", "\xff\xfe{\x00}\x00", "// no\n" + valid.body,
		`{"\ud800":1}`, strings.Replace(valid.body, `":"`, "\":\"\xff", 1) + "\xff",
	} {
		body(fmt.Sprintf("the body is %.20q", text), text, 400)
	}
	body("a name twice", "{"+fieldOf(valid.body)+","+valid.body[1:], 400)
	body("deep arrays", strings.Repeat("[", 200_000), 400)
	body("deep objects", strings.Repeat(`{"a":`, 50_000)+"1"+strings.Repeat("}", 50_000), 400)
	body("deep in a field", `{"noSuchField":`+strings.Repeat("[", 9_000)+strings.Repeat("]", 9_000)+"}", 400)
	for _, kind := range []string{"text/plain", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/cbor", ";", "a+b;c+d"} {
		add("content type "+kind, func(r *request) { r.contentType = kind }, 415)
	}
	var object any
	if err := json.Unmarshal([]byte(valid.body), &object); err != nil {
		panic(err)
	}
	for _, b := range d.breakings(s, object, true) {
		text, err := json.Marshal(b.value)
		if err != nil {
			panic(err)
		}
		body("the body: "+b.how, string(text), 400, 413)
	}
	return all
}

// fieldOf is the first field of a JSON object.
func fieldOf(object string) string {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(object), &fields); err != nil {
		panic(err)
	}
	name := slices.Sorted(maps.Keys(fields))[0]
	return strconv.Quote(name) + ":" + string(fields[name])
}

// unchanged fails the test where the store is not what it was.
func (d *driven) unchanged(t *testing.T, before string) {
	t.Helper()
	after := d.state(t)
	if after == before {
		return
	}
	had := strings.Split(before, "\n")
	has := strings.Split(after, "\n")
	for _, line := range has {
		if !slices.Contains(had, line) {
			t.Errorf("it changed what is stored: now there is %.300s", line)
		}
	}
	for _, line := range had {
		if !slices.Contains(has, line) {
			t.Errorf("it changed what is stored: there was %.300s", line)
		}
	}
}

// What is broken is refused, as documented, and changes nothing.
func TestBrokenRequests(t *testing.T) {
	d := drive(t, 25400)
	sent := 0
	for _, id := range d.ids() {
		t.Run(id, func(t *testing.T) {
			input, ok := inputs[id]
			if !ok {
				t.Fatal("there is no valid input to break")
			}
			op := d.operations[id]
			valid := input(t, d)
			if valid.path == "" {
				valid.path = op.path
			}
			before := d.state(t)
			for _, r := range d.refusals(op, valid) {
				sent++
				resp := d.call(t, id, r.request)
				if resp.status < 400 || len(r.statuses) > 0 && !slices.Contains(r.statuses, resp.status) {
					t.Errorf("%s: %s %s?%s %.200q: %d %.300s, want %v", r.how, op.method, r.request.path, r.request.query.Encode(), r.request.body, resp.status, resp.body, r.statuses)
				}
			}
			// A body may be as large as the operation takes, and no larger.
			for size := 1 << 20; op.jsonBody() != nil; size *= 2 {
				r := valid
				r.body = `{"noSuchField":"` + strings.Repeat("x", size) + `"}`
				if resp := d.call(t, id, r); resp.status == http.StatusRequestEntityTooLarge {
					break
				} else if resp.status != http.StatusBadRequest || size > 8<<20 {
					t.Errorf("a body of %d bytes: %d", size, resp.status)
					break
				}
			}
			d.unchanged(t, before)
		})
	}
	t.Logf("%d broken requests", sent)

	// Methods that a path does not have.
	before := d.state(t)
	paths := map[string][]string{}
	for _, op := range d.operations {
		paths[op.path] = append(paths[op.path], op.method)
		if op.method == http.MethodGet {
			paths[op.path] = append(paths[op.path], http.MethodHead)
		}
	}
	for path, methods := range paths {
		path = strings.NewReplacer("{", "", "}", "").Replace(path)
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get", "DELETED"} {
			if slices.Contains(methods, method) || slices.ContainsFunc(slices.Collect(maps.Keys(paths)), func(other string) bool {
				return other != path && fits(other, path) && slices.Contains(paths[other], method)
			}) {
				continue
			}
			resp, err := d.send(t.Context(), request{method: method, path: path})
			if err != nil {
				t.Errorf("%s %s: %v", method, path, err)
				continue
			}
			allowed := strings.Split(resp.header.Get("Allow"), ", ")
			for _, m := range methods {
				if !slices.Contains(allowed, m) {
					t.Errorf("%s %s: Allow is %q, without %s", method, path, allowed, m)
				}
			}
			if resp.status != http.StatusMethodNotAllowed || resp.header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("%s %s: %d %s", method, path, resp.status, resp.body)
			} else if method != http.MethodHead {
				if err := d.validate(resp.body, "components", "schemas", "Problem"); err != nil {
					t.Errorf("%s %s: %v", method, path, err)
				}
			}
		}
	}
	d.unchanged(t, before)
}

// fits reports whether a path is one of those that a path of the document means.
func fits(template, path string) bool {
	want, is := strings.Split(template, "/"), strings.Split(path, "/")
	return slices.EqualFunc(want, is, func(want, is string) bool { return want == is || strings.HasPrefix(want, "{") })
}

// Whatever a body is, the answer is documented, and what was refused has changed
// nothing. The bodies are valid ones with bytes, words and values exchanged.
func TestFuzzedBodies(t *testing.T) {
	const bodies = 60 // of each operation
	d := drive(t, 25600)
	random := rand.New(rand.NewPCG(1, 2))
	words := []string{
		"null", "true", "-1", "0", "1e9", "1e400", "65536", `""`, `"*"`, "[]", "{}", `"\u0000"`, `"\ud800"`, "\xff", `"__proto__":1,`, "]", "}", `"`, ",", ":",
		strings.Repeat("9", 400), `"` + strings.Repeat("é", 3000) + `"`, strings.Repeat("[", 50),
	}
	done := 0
	for _, id := range d.ids() {
		op := d.operations[id]
		input, ok := inputs[id]
		if op.RequestBody == nil || !ok {
			continue
		}
		t.Run(id, func(t *testing.T) {
			valid := input(t, d)
			for range bodies {
				text := []byte(valid.body)
				for range 1 + random.IntN(3) {
					at := random.IntN(len(text))
					end := min(len(text), at+random.IntN(8))
					word := words[random.IntN(len(words))]
					if random.IntN(3) == 0 {
						word = string([]byte{byte(random.IntN(256))})
					}
					text = slices.Concat(text[:at], []byte(word), text[end:])
				}
				r := valid
				r.body, r.header = string(text), nil
				before := d.state(t)
				resp := d.call(t, id, r)
				if resp.status < 300 {
					done++ // it is valid still
					continue
				}
				d.unchanged(t, before)
			}
		})
	}
	t.Logf("%d of the bodies were still valid", done)
}
