package server

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"berth/api"
)

// strict refuses what net/http, its mux, huma or encoding/json would read in a
// way of their own: a path or a query that is not clean, a body that is
// compressed. What is not refused means the same to whoever reads it.
func strict(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := oddity(r); p != nil {
			if p.Status == http.StatusUnsupportedMediaType {
				w.Header().Set("Accept-Encoding", "identity")
			}
			writeProblem(w, p)
			return
		}
		if len(r.TransferEncoding) > 0 {
			// net/http believes the chunks where a length is told as well. What
			// somebody else takes for a part of the body must not be the next request.
			w.Header().Set("Connection", "close")
		}
		// There is one format, and huma would name another one if asked to.
		r.Header.Del("Accept")
		next.ServeHTTP(w, r)
	})
}

// oddity is what is wrong with a request whatever its route is; nil is nothing.
func oddity(r *http.Request) *problem {
	at := r.URL.EscapedPath()
	// The mux would redirect to the clean path.
	if r.Method == http.MethodConnect || !strings.HasPrefix(at, "/") || at != "/" && path.Clean(at) != strings.TrimSuffix(at, "/") {
		return newProblem(http.StatusNotFound, api.CodeInvalid, fmt.Sprintf("no route %q: GET /openapi.json lists them", at))
	}
	if !plain(r.URL.Path) {
		return newProblem(http.StatusBadRequest, api.CodeInvalid, "path: it holds a control character, or is not UTF-8")
	}
	// URL.Query leaves out what it cannot read.
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return newProblem(http.StatusBadRequest, api.CodeInvalid, "query: "+err.Error())
	}
	for name, values := range query {
		for _, text := range append(values, name) {
			if !plain(text) {
				return newProblem(http.StatusBadRequest, api.CodeInvalid, fmt.Sprintf("query.%q: it holds a control character, or is not UTF-8", name))
			}
		}
	}
	if kind := r.Header.Get("Content-Type"); kind != "" {
		// huma takes one that it cannot read, or with nothing behind a plus, for JSON.
		if base, _, err := mime.ParseMediaType(kind); err != nil || strings.HasSuffix(base, "+") {
			return newProblem(http.StatusUnsupportedMediaType, api.CodeInvalid, fmt.Sprintf("header.Content-Type: %q is no media type", kind))
		}
	}
	for _, coding := range r.Header.Values("Content-Encoding") {
		if !strings.EqualFold(strings.TrimSpace(coding), "identity") {
			return newProblem(http.StatusUnsupportedMediaType, api.CodeInvalid, fmt.Sprintf("header.Content-Encoding: %q: send the body as it is", coding))
		}
	}
	return nil
}

// plain reports whether a text is UTF-8 without control characters.
func plain(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
}

// strictJSON is huma's format for JSON, less what parsers differ on: text that is
// not UTF-8, and a name that an object has twice.
var strictJSON = huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: func(data []byte, v any) error {
	if !utf8.Valid(data) {
		return errNotUTF8
	}
	if err := json.Unmarshal(data, v); err != nil {
		return err
	}
	if _, first := v.(*any); !first {
		return nil // huma reads a body into an any to validate it, and then again
	}
	return checkNames(data)
}}

// checkNames looks for a name that an object of a JSON text has twice. The text
// is valid.
func checkNames(data []byte) error {
	type level struct {
		object bool
		name   bool // a string that comes is a name
		names  map[string]struct{}
	}
	var stack []level
	for i := 0; i < len(data); i++ {
		var top *level
		if len(stack) > 0 {
			top = &stack[len(stack)-1]
		}
		switch data[i] {
		case '{':
			stack = append(stack, level{object: true, name: true, names: map[string]struct{}{}})
		case '[':
			stack = append(stack, level{})
		case '}', ']':
			stack = stack[:len(stack)-1]
		case ',':
			top.name = top.object
		case ':':
			top.name = false
		case '"':
			begin, escaped := i, false
			for i++; data[i] != '"'; i++ {
				if data[i] == '\\' {
					escaped = true
					i++
				}
			}
			if top == nil || !top.name {
				continue
			}
			name := string(data[begin+1 : i])
			if escaped {
				if err := json.Unmarshal(data[begin:i+1], &name); err != nil {
					return err
				}
			}
			if _, ok := top.names[name]; ok {
				return fmt.Errorf("%w: %.40q", errTwice, name)
			}
			top.names[name] = struct{}{}
		}
	}
	return nil
}
