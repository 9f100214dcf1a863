package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"berth/access"
	"berth/api"
)

// tokenPause is how long the answer to a token that is none takes if Options do
// not say.
const tokenPause = 200 * time.Millisecond

// grant is what a route needs.
type grant struct {
	operation string
	role      access.Role
}

// grant declares what a route needs. A route for which that was not done is for
// admins.
func (s *Server) grant(pattern, operation string, role access.Role) {
	s.grants[pattern] = grant{operation, role}
}

// connected lets handlers find their connection, and who it is of.
func (s *Server) connected(ctx context.Context, conn net.Conn) context.Context {
	ctx = s.conns.with(ctx, conn)
	if p, ok := conn.(*leanConn); ok {
		ctx = access.With(ctx, p.caller)
	}
	return ctx
}

// permit stands before all routes: it finds out who asks, refuses who may not,
// and has changes audited. Handlers find the caller by access.From.
func (s *Server) permit(routes *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, pattern := routes.Handler(r)
		g, ok := s.grants[pattern]
		if !ok {
			g = grant{pattern, access.Admin}
		}
		caller, shown, err := s.callerOf(r)
		ctx := access.With(r.Context(), caller)
		if err != nil {
			s.pause(r)
		} else {
			err = caller.Check(g.role)
		}
		if err == nil && shown != nil {
			var done func()
			ctx, done = whileValid(ctx, shown)
			defer done()
		}
		if err != nil {
			s.refuse(w, r, caller, g, err)
			return
		}
		c := &change{}
		if changes(r) {
			ctx = context.WithValue(ctx, changeKey{}, c)
		}
		r = r.WithContext(ctx)
		if changes(r) {
			s.auditBefore(w, r, entryOf(caller, g), c)
		}
		routes.ServeHTTP(w, r)
	})
}

// changes reports whether a request may change something.
func changes(r *http.Request) bool {
	return r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodOptions
}

// callerOf finds out who asks: whose token it is that was shown, else whose the
// connection is. Errors are ErrUnauthenticated and ErrInvalid.
func (s *Server) callerOf(r *http.Request) (access.Caller, *access.Shown, error) {
	caller := access.From(r.Context())
	if !caller.Known {
		caller.UID = access.NoUID
		if at, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
			caller.Address = at.Addr().Unmap().String()
		}
	}
	field := r.Header.Get("Authorization")
	if field == "" {
		return caller, nil, nil
	}
	unknown := access.Caller{UID: caller.UID, User: caller.User, PID: caller.PID, Address: caller.Address}
	scheme, secret, _ := strings.Cut(field, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return unknown, nil, fmt.Errorf("%w: header.Authorization: only a token is taken: Bearer TOKEN", access.ErrUnauthenticated)
	}
	if s.opts.Tokens == nil {
		return unknown, nil, fmt.Errorf("%w: this daemon has no tokens", access.ErrUnauthenticated)
	}
	shown, err := s.opts.Tokens.Find(strings.TrimSpace(secret))
	if err != nil {
		return unknown, nil, err
	}
	t := shown.Token
	caller.Known, caller.Role, caller.Token, caller.Owner, caller.Quota = true, t.Role, t.Name, t.Owner, t.Quota
	return caller, &shown, nil
}

// pause has who shows a token that is none wait. Its connection makes way for
// others meanwhile.
func (s *Server) pause(r *http.Request) {
	if s.opts.TokenPause < 0 {
		return
	}
	conn, _ := r.Context().Value(connectionKey{}).(net.Conn)
	s.conns.waits(conn)
	defer s.conns.works(conn)
	select {
	case <-time.After(s.opts.TokenPause):
	case <-r.Context().Done():
	case <-s.stopping:
	}
}

// whileValid returns a context that ends with the token that was shown.
func whileValid(ctx context.Context, shown *access.Shown) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(shown.Live, func() { cancel(context.Cause(shown.Live)) })
	expired := func() bool { return true }
	if end := shown.Token.Expires; !end.IsZero() {
		expired = time.AfterFunc(time.Until(end), func() {
			cancel(fmt.Errorf("%w: token %s has expired", access.ErrUnauthenticated, shown.Token.Name))
		}).Stop
	}
	return ctx, func() {
		stop()
		expired()
		cancel(nil)
	}
}

// refuse answers who may not, and tells of it, but of no more than can be kept.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, caller access.Caller, g grant, err error) {
	p := problemOf(err)
	known := 0
	if caller.Known {
		known = 1 // strangers do not push them out
	}
	if tell, left := s.refused[known].tell(time.Now()); tell {
		s.log.Warn("refused a request", "caller", caller.String(), "address", caller.Address, "operation", g.operation, "code", string(p.Code), "others", left)
		if changes(r) || p.Code == api.CodeUnauthenticated {
			entry := entryOf(caller, g)
			if left > 0 {
				entry.Subject = fmt.Sprintf("and %d others that were refused before", left)
			}
			entry.Status, entry.Code = p.Status, string(p.Code)
			s.audit(entry)
		}
	}
	// A body that nobody reads must not keep the connection.
	if r.ContentLength != 0 {
		w.Header().Set("Connection", "close")
	}
	if p.Code == api.CodeUnauthenticated && r.Header.Get("Authorization") != "" {
		w.Header().Set("WWW-Authenticate", `Bearer realm="berth", error="invalid_token"`)
	} else {
		maps.Copy(w.Header(), p.GetHeaders())
	}
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	json.NewEncoder(w).Encode(p) // an error here is the client's going away
}

const (
	// refusalsKept is how many refusals in a row are told of; refusalEvery how
	// long it takes until one more is.
	refusalsKept = 200
	refusalEvery = time.Second
)

// refusals bounds how many refused requests are told of: nobody who may nothing
// may fill the disk, or push others' changes out of the audit.
type refusals struct {
	mu   sync.Mutex
	used float64
	at   time.Time
	left int
}

// tell reports whether to tell of one now, and how many were left out before it.
func (f *refusals) tell(now time.Time) (tell bool, left int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.used = max(0, f.used-now.Sub(f.at).Seconds()/refusalEvery.Seconds())
	f.at = now
	if f.used+1 > refusalsKept {
		f.left++
		return false, 0
	}
	f.used++
	left, f.left = f.left, 0
	return true, left
}

// ownsLease is the error of what only the owner of a lease and admins may do.
func ownsLease(ctx context.Context, id, owner string) error {
	err := access.From(ctx).Owns(owner)
	if errors.Is(err, access.ErrForbidden) {
		return fmt.Errorf("lease %s: %w", id, err)
	}
	return err
}

// The OpenAPI document says who may do what.
const tokenScheme = "token"

func describeAccess(doc *huma.OpenAPI) {
	if doc.Components.SecuritySchemes == nil {
		doc.Components.SecuritySchemes = make(map[string]*huma.SecurityScheme)
	}
	doc.Components.SecuritySchemes[tokenScheme] = &huma.SecurityScheme{
		Type: "http", Scheme: "bearer",
		Description: "a token, as berth token add makes it. Needed over TCP; on the unix socket the user of the process that connects is known without",
	}
}

// describeRole adds the role that an operation needs.
func describeRole(op *huma.Operation, role access.Role) {
	if op.Extensions == nil {
		op.Extensions = make(map[string]any)
	}
	op.Extensions["x-role"] = role.String()
	op.Security = []map[string][]string{{}, {tokenScheme: {}}}
}
