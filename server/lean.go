package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"berth/access"
	"berth/api"
)

// leanRequest is a request to acquire leases or to release one that is written,
// byte for byte, as this module's client writes it, and in which there is nothing
// to find wrong. They are most of what a daemon is asked for, and reading and
// writing HTTP is most of that work: they are answered without net/http's server
// and huma. All others are left to them, whose rules and words are those of the
// document.
type leanRequest struct {
	key  string // the field Idempotency-Key
	text []byte // of the body, to acquire

	id, query string // to release
}

const (
	acquireRoute = "POST /v1/leases"
	releaseRoute = "DELETE /v1/leases/{id}"
)

// The bytes that lean requests begin with, and their host: that of the client.
const (
	acquireBegin = "POST /v1/leases HTTP/1.1"
	releaseBegin = "DELETE /v1/leases/"
	leanHost     = "berth"
)

// parseLean reads a request that is whole and has nothing behind it, and reports
// whether its frame is that of a lean one: each field at most once, none that is
// not known, and a body as long as it says.
func parseLean(request []byte) (q leanRequest, ok bool) {
	head, text, ok := bytes.Cut(request, []byte("\r\n\r\n"))
	if !ok {
		return q, false
	}
	first, fields, _ := strings.Cut(string(head), "\r\n")
	acquire := first == acquireBegin
	if !acquire {
		target, ok := strings.CutSuffix(first, " HTTP/1.1")
		if target, ok2 := strings.CutPrefix(target, releaseBegin); !ok || !ok2 || !q.setTarget(target) {
			return q, false
		}
	}
	var host, agent, kind, length string
	for more := fields != ""; more; {
		var field string
		field, fields, more = strings.Cut(fields, "\r\n")
		name, value, _ := strings.Cut(field, ": ")
		var to *string
		switch name {
		case "Host":
			to = &host
		case "User-Agent":
			to = &agent
		case "Content-Type":
			to = &kind
		case "Content-Length":
			to = &length
		case "Idempotency-Key":
			to = &q.key
		}
		if to == nil || *to != "" || !isFieldValue(value) {
			return q, false
		}
		*to = value
	}
	if !acquire {
		return q, host == leanHost && kind == "" && length == "" && q.key == "" && len(text) == 0
	}
	q.text = text
	return q, host == leanHost && kind == "application/json" && len(text) > 0 && length == strconv.Itoa(len(text))
}

// setTarget takes an id, and a query, if there are no other characters in them
// than lean ones have.
func (q *leanRequest) setTarget(target string) bool {
	q.id, q.query, _ = strings.Cut(target, "?")
	if q.id == "" || strings.HasSuffix(target, "?") {
		return false
	}
	for _, c := range []byte(q.id) {
		if (c < '0' || '9' < c) && (c < 'a' || 'z' < c) {
			return false
		}
	}
	return true
}

// isFieldValue reports whether text is the value of a field, without blanks around it.
func isFieldValue(text string) bool {
	if text == "" || text[0] == ' ' || text[len(text)-1] == ' ' {
		return false
	}
	for _, c := range []byte(text) {
		if c < ' ' || '~' < c {
			return false
		}
	}
	return true
}

// answerLean does what a lean request of a caller asks for, and returns the
// answer. It is not ok, and nothing was done, where the request is not lean, or
// the caller may not.
func (s *Server) answerLean(caller access.Caller, request []byte) (answer []byte, ok bool) {
	if len(request) < len(releaseBegin) || request[0] != acquireBegin[0] && request[0] != releaseBegin[0] {
		return nil, false
	}
	q, ok := parseLean(request)
	if !ok {
		return nil, false
	}
	select {
	case <-s.stopping:
		return nil, false // nothing new begins
	default:
	}
	ctx := access.With(s.lasting, caller)
	if q.id == "" {
		var in api.AcquireLeases
		if !understood(q.text, &in) {
			return nil, false
		}
		return s.lean(ctx, acquireRoute, nil, about(in), func() (leanAnswer, error) {
			got, err := s.acquireOnce(ctx, q.key, in, q.text)
			if err == nil && got.text == nil {
				got.text = answerText(got.leases)
			}
			return leanAnswer{http.StatusCreated, got.text, about(got.leases)}, err
		})
	}
	in := releaseLease{ID: q.id}
	parts := []string{"id=" + short(q.id)}
	if q.query != "" {
		number, ok := strings.CutPrefix(q.query, "generation=")
		n, err := strconv.ParseInt(number, 10, 64)
		if !ok || err != nil || n < 0 || strconv.FormatInt(n, 10) != number {
			return nil, false
		}
		in.Generation = n
		parts = append(parts, q.query)
	}
	return s.lean(ctx, releaseRoute, parts, "", func() (leanAnswer, error) {
		_, err := s.releaseLease(ctx, &in)
		return leanAnswer{status: http.StatusNoContent}, err
	})
}

// understood reads a text into a request, and reports whether it is what that is
// written as (then it has no name twice, of another case or that is not known,
// and no text that is not UTF-8), and nothing is wrong with it by the document.
func understood(text []byte, in *api.AcquireLeases) bool {
	if err := json.Unmarshal(text, in); err != nil {
		return false
	}
	switch in.Holder.Kind {
	case "", api.HolderProcess, api.HolderSession, api.HolderManual:
	default:
		return false
	}
	return len(in.Ports) == 0 && len(in.Owner) <= 255 && in.Holder.PID >= 0 && bytes.Equal(bodyText(in), text)
}

// leanAnswer is what the work of a lean request led to, and what to note of it.
type leanAnswer struct {
	status int
	text   []byte // JSON; nil for none
	note   string
}

// lean does the work of a route where the caller of a context may, has it audited
// by what is asked for, and returns the answer.
func (s *Server) lean(ctx context.Context, route string, parts []string, note string, work func() (leanAnswer, error)) (answer []byte, ok bool) {
	caller, g := access.From(ctx), s.grants[route]
	if caller.Check(g.role) != nil {
		return nil, false
	}
	entry := entryOf(caller, g)
	var notes []string
	if note != "" {
		notes = append(notes, note)
	}
	audit := func(status int, code api.Code) {
		if s.opts.Audit != nil {
			entry.Subject, entry.Status, entry.Code = subjectOf(parts, notes), status, string(code)
			s.audit(entry)
		}
	}
	refuse := func(p *problem) []byte {
		audit(p.Status, p.Code)
		return appendAnswer(nil, entry.Time, p.Status, p.ContentType(""), p.GetHeaders(), answerText(p))
	}
	method, path, _ := strings.Cut(route, " ")
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("a request panicked", "method", method, "path", path, "panic", p, "stack", string(debug.Stack()))
			answer, ok = refuse(problemOf(errPanic)), true
		}
	}()
	got, err := work()
	if err != nil {
		return refuse(s.fail(ctx, method, path, err)), true
	}
	if got.note != "" {
		notes = append(notes, got.note)
	}
	audit(got.status, "")
	return appendAnswer(nil, entry.Time, got.status, "application/json", nil, got.text), true
}

// answerText is an answer as JSON, as huma writes it, without the end of its line.
func answerText(answer any) []byte {
	var text bytes.Buffer
	if err := huma.DefaultJSONFormat.Marshal(&text, answer); err != nil {
		panic(err) // plain data
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n"))
}

// appendAnswer appends an answer as net/http's server and huma write it. Text is
// its body, nil for none.
func appendAnswer(b []byte, now time.Time, status int, contentType string, fields http.Header, text []byte) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(append(b, ' '), http.StatusText(status)...)
	if text != nil {
		b = append(append(b, "\r\nContent-Type: "...), contentType...)
		b = append(b, "\r\nContent-Length: "...)
		b = strconv.AppendInt(b, int64(len(text)+1), 10)
	}
	for name, values := range fields {
		for _, value := range values {
			b = fmt.Appendf(b, "\r\n%s: %s", name, value)
		}
	}
	b = append(b, "\r\nDate: "...)
	b = now.AppendFormat(b, http.TimeFormat)
	b = append(append(b, "\r\n\r\n"...), text...)
	if text != nil {
		b = append(b, '\n')
	}
	return b
}
