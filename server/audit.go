package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"berth/access"
	"berth/api"
	"berth/audit"
	"berth/server/portmaster"
)

const (
	// maxSubject and maxSubjectPart are how many bytes are kept of what a change
	// was asked of, and of one part of it.
	maxSubject     = 2000
	maxSubjectPart = 200

	// maxAudit is the most records of one answer.
	maxAudit = 10_000
)

func (s *Server) routeAudit(routes huma.API) {
	route(s, routes, access.Admin, huma.Operation{
		OperationID: "list-audit", Method: http.MethodGet, Path: "/v1/audit",
		Summary: "List the last changes that were asked for: who, what, when and what became of it",
	}, s.listAudit)
	route(s, routes, access.Admin, huma.Operation{
		OperationID: "follow-audit", Method: http.MethodGet, Path: "/v1/audit/stream",
		Summary: "Send the last changes that were asked for, and go on with what is asked for",
		Responses: map[string]*huma.Response{"200": {
			Description: "a line of JSON for each",
			Content:     map[string]*huma.MediaType{"application/x-ndjson": {Schema: &huma.Schema{Type: "string"}}},
		}},
	}, s.followAudit)
}

// auditLast says with how many records an answer begins.
type auditLast struct {
	Last int `query:"last" default:"100" minimum:"0" maximum:"10000" doc:"only the last so many"`
}

func (s *Server) listAudit(_ context.Context, in *auditLast) (*reply[[]api.AuditRecord], error) {
	if s.opts.Audit == nil {
		return nil, errUnaudited
	}
	records, err := s.opts.Audit.Last(min(in.Last, maxAudit))
	if err != nil {
		return nil, err
	}
	return &reply[[]api.AuditRecord]{list(records, apiAuditRecord)}, nil
}

func (s *Server) followAudit(_ context.Context, in *auditLast) (*huma.StreamResponse, error) {
	if s.opts.Audit == nil {
		return nil, errUnaudited
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		r, w := humago.Unwrap(ctx)
		w.Header().Set("Content-Type", "application/x-ndjson")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusOK)
		control := http.NewResponseController(w)
		var buf bytes.Buffer
		// A reader that is gone has nobody to be told.
		_ = s.opts.Audit.Follow(r.Context(), s.stopping, min(in.Last, maxAudit), func(records []audit.Record) error {
			buf.Reset()
			for _, rec := range records {
				data, err := json.Marshal(apiAuditRecord(rec))
				if err != nil {
					panic(err) // plain data
				}
				buf.Write(data)
				buf.WriteByte('\n')
			}
			_ = control.SetWriteDeadline(time.Now().Add(eventPatience))
			defer func() { _ = control.SetWriteDeadline(time.Time{}) }()
			if _, err := w.Write(buf.Bytes()); err != nil {
				return err
			}
			return control.Flush()
		})
	}}, nil
}

func apiAuditRecord(r audit.Record) api.AuditRecord {
	return api.AuditRecord{
		Time: r.Time, UID: r.UID, User: r.User, PID: r.PID, Token: r.Token, Address: r.Address,
		Operation: r.Operation, Subject: r.Subject, Status: r.Status, Code: r.Code,
	}
}

// audit writes a record, where somebody keeps them.
func (s *Server) audit(r audit.Record) {
	if s.opts.Audit != nil {
		s.opts.Audit.Add(r)
	}
}

// entryOf begins the record of what a caller asks for.
func entryOf(c access.Caller, g grant) audit.Record {
	r := audit.Record{Time: time.Now().UTC(), User: c.User, PID: c.PID, Token: c.Token, Address: c.Address, Operation: g.operation}
	if c.UID != access.NoUID {
		r.UID = &c.UID
	}
	return r
}

// change is a change that is under way, and what handlers say of it.
type change struct {
	notes []string
	code  api.Code
}

type changeKey struct{}

// auditBefore has a change written down before it is answered.
func (s *Server) auditBefore(w http.ResponseWriter, r *http.Request, entry audit.Record, c *change) {
	rec, ok := w.(*recorder)
	if !ok || s.opts.Audit == nil {
		return
	}
	rec.before = func(status int) {
		entry.Subject, entry.Status = subject(r, c.notes), status
		if status >= http.StatusBadRequest {
			entry.Code = string(c.code)
		}
		if status == http.StatusInternalServerError && entry.Code == "" {
			entry.Code = string(api.CodeInternal) // the handler panicked
		}
		s.audit(entry)
	}
}

// noteCode says with what code a change is refused.
func noteCode(ctx context.Context, code api.Code) {
	if c, ok := ctx.Value(changeKey{}).(*change); ok {
		c.code = code
	}
}

// noteBody says what a change is about by the body of its request or its answer,
// of those that tell it: names, ids and ports, never what may be a secret.
func noteBody(ctx context.Context, message any) {
	if ctx.Value(changeKey{}) == nil {
		return
	}
	v := reflect.ValueOf(message)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return
	}
	if body := v.Elem().FieldByName("Body"); body.IsValid() && body.CanInterface() {
		noteAbout(ctx, body.Interface())
	}
}

// noteAbout is noteBody for a body itself.
func noteAbout(ctx context.Context, body any) {
	c, ok := ctx.Value(changeKey{}).(*change)
	if !ok {
		return
	}
	if text := about(body); text != "" {
		c.notes = append(c.notes, text)
	}
}

// about words what a body is about; empty for one that does not tell.
func about(body any) string {
	switch b := body.(type) {
	case api.AddRanges:
		return named("range", b.Ranges, func(r api.Range) string {
			if r.Ephemeral {
				return r.Name + " ephemeral"
			}
			return fmt.Sprintf("%s %d-%d", r.Name, r.Min, r.Max)
		})
	case api.UpdateRange:
		return fmt.Sprintf("min=%d max=%d", b.Min, b.Max)
	case api.AddProperties:
		return named("property", b.Properties, func(p api.Pair) string { return p.Name })
	case api.AddTags:
		return named("tag", b.Tags, func(tag string) string { return tag })
	case api.RenameTags:
		return named("tag", b.Tags, func(r api.RenamedTag) string { return r.From + " to " + r.To })
	case api.EnableExecs:
		return fmt.Sprintf("exec %s enabled=%t", b.Name, b.Enabled)
	case api.DeployedExec:
		return "exec " + b.Name
	case api.AcquireLeases:
		ranges := named("range", b.Ranges, func(name string) string { return name })
		owner := ""
		if b.Owner != "" {
			owner = "owner=" + b.Owner
		}
		return strings.Join(strings.Fields(ranges+" "+named("port", b.Ports, wanted)+" "+owner), " ")
	case []api.Lease:
		return named("lease", b, func(l api.Lease) string { return fmt.Sprintf("%s (%s %d)", l.ID, l.Protocol, l.Port) })
	case api.Deployed:
		return b.Distribution.Name + " " + b.Distribution.Version
	case api.Exec:
		if b.Config != "" {
			return "exec " + b.Config
		}
		return strings.TrimSpace(fmt.Sprintf("%s %s %s %s", b.Distribution, b.Version, b.Profile, b.Name))
	case api.Kill:
		return selected(b.Selector)
	case api.Restart:
		return selected(b.Selector)
	case api.Reload:
		return selected(b.Selector)
	case api.Started:
		return processIDs(b.Processes)
	case api.Affected:
		return processIDs(b.Processes)
	case api.Reloaded:
		return processIDs(b.Processes)
	case api.SetQuota:
		text := fmt.Sprintf("max=%d", b.Max)
		if b.TCP != nil {
			text += fmt.Sprintf(" tcp=%d", *b.TCP)
		}
		if b.UDP != nil {
			text += fmt.Sprintf(" udp=%d", *b.UDP)
		}
		return text
	case portmaster.Service:
		return fmt.Sprintf("range %s %d-%d", b.Name, b.Start, b.End)
	case portmaster.Offer:
		return fmt.Sprintf("%.64q port=%d", b.Name, b.Port)
	case portmaster.Port:
		return fmt.Sprintf("%.64q port=%d", b.Name, b.Port)
	case api.AddToken:
		return fmt.Sprintf("token %s role=%s", b.Name, b.Role)
	}
	return ""
}

// wanted words what ports are asked for.
func wanted(p api.PortRequest) string {
	text := p.Range
	switch {
	case p.Port != 0:
		text += fmt.Sprintf(" %d", p.Port)
	case p.Min != 0:
		text += fmt.Sprintf(" %d-%d", p.Min, p.Max)
	}
	if p.Count > 1 {
		text += fmt.Sprintf(" count=%d", p.Count)
	}
	return strings.TrimSpace(p.Protocol + " " + strings.TrimSpace(text))
}

// mostNamed is how many things of a list are named.
const mostNamed = 20

func named[T any](what string, all []T, name func(T) string) string {
	if len(all) == 0 {
		return ""
	}
	var names []string
	for _, one := range all[:min(len(all), mostNamed)] {
		names = append(names, name(one))
	}
	if more := len(all) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return what + " " + strings.Join(names, ", ")
}

func selected(s api.Selector) string {
	var parts []string
	for _, part := range []struct{ name, value string }{
		{"distribution", s.Distribution}, {"version", s.Version}, {"name", s.Name}, {"profile", s.Profile}, {"port", s.Port},
	} {
		if part.value != "" {
			parts = append(parts, part.name+"="+part.value)
		}
	}
	if s.All {
		parts = append(parts, "all")
	}
	return strings.Join(parts, " ")
}

func processIDs(all []api.Process) string {
	return named("process", all, func(p api.Process) string { return strconv.Itoa(p.ID) })
}

// secretParts are the words in the name of a part of a path or a query by which
// it is a secret: an offer is accepted by its secret.
var secretParts = []string{"secret", "token", "password", "key"}

// subject is what a change is about: the parts of its path, its query, and what
// its handler has said.
func subject(r *http.Request, notes []string) string {
	var parts []string
	add := func(name, value string) {
		for _, word := range secretParts {
			if strings.Contains(strings.ToLower(name), word) {
				value = "*****"
			}
		}
		parts = append(parts, name+"="+short(value))
	}
	for rest := r.Pattern; ; {
		_, after, ok := strings.Cut(rest, "{")
		name, after, ok2 := strings.Cut(after, "}")
		if !ok || !ok2 {
			break
		}
		if name = strings.TrimSuffix(name, "..."); name != "" && name != "$" {
			add(name, r.PathValue(name))
		}
		rest = after
	}
	query := r.URL.Query()
	for _, name := range slices.Sorted(maps.Keys(query)) {
		for _, value := range query[name] {
			add(short(name), value)
		}
	}
	return subjectOf(parts, notes)
}

// subjectOf joins the parts of what a change is about, with what its handler has
// said.
func subjectOf(parts, notes []string) string {
	for _, text := range notes {
		parts = append(parts, short(text))
	}
	text := strings.Join(parts, " ")
	if len(text) > maxSubject {
		text = strings.ToValidUTF8(text[:maxSubject], "") + "…"
	}
	return text
}

func short(text string) string {
	if len(text) <= maxSubjectPart {
		return text
	}
	return strings.ToValidUTF8(text[:maxSubjectPart], "") + "…"
}
