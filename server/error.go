package server

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"syscall"

	"github.com/danielgtaylor/huma/v2"

	"berth/access"
	"berth/api"
	"berth/conf"
	"berth/launcher"
	"berth/lease"
	"berth/store"
	"berth/sysctl"
)

var (
	// ErrSocketPath says that a path cannot be that of a socket.
	ErrSocketPath = errors.New("not a path for a socket")

	// ErrSocketInUse says that another daemon listens on a socket.
	ErrSocketInUse = errors.New("socket in use")

	errInvalid     = errors.New("invalid request")
	errNotUTF8     = errors.New("it is not UTF-8")
	errTwice       = errors.New("a name is in an object twice")
	errNoExec      = errors.New("exec configuration not found")
	errKeyReused   = errors.New("the idempotency key was sent with another request before: send each request with a key of its own")
	errStopping    = errors.New("the daemon is about to end: send the request again, which starts it anew")
	errUninspected = fmt.Errorf("%w: this daemon's store does not tell how it is", launcher.ErrUnsupported)
	errUnaudited   = fmt.Errorf("%w: this daemon keeps no audit", launcher.ErrUnsupported)
	errNoQuotas    = fmt.Errorf("%w: this daemon keeps no quotas", launcher.ErrUnsupported)
	errNoTokens    = fmt.Errorf("%w: this daemon keeps no tokens", launcher.ErrUnsupported)
	errNoKernel    = fmt.Errorf("%w: the kernel's settings of ports cannot be read; the daemon's log says why", launcher.ErrUnsupported)
	errPanic       = errors.New("the daemon made a mistake: its log says which")
)

// statusHungUp is what is noted for a request whose client went away: nobody
// reads it. It is nginx' number for that.
const statusHungUp = 499

// kind is how an error of the packages below is told to clients.
type kind struct {
	// sentinel is nil where only the server itself gives the code.
	sentinel error
	code     api.Code
	status   int
}

// kinds are looked through in their order: an error that is two of them is the
// first, so the more precise ones stand first.
var kinds = []kind{
	{store.ErrDamaged, api.CodeDamaged, http.StatusServiceUnavailable},
	{store.ErrNoSpace, api.CodeNoSpace, http.StatusInsufficientStorage},
	{syscall.ENOSPC, api.CodeNoSpace, http.StatusInsufficientStorage},
	{syscall.EDQUOT, api.CodeNoSpace, http.StatusInsufficientStorage},
	// A store that failed is closed, too, and its cause says more.
	{syscall.EIO, api.CodeStore, http.StatusServiceUnavailable},
	{errStopping, api.CodeStopping, http.StatusServiceUnavailable},
	{launcher.ErrClosed, api.CodeStopping, http.StatusServiceUnavailable},
	{lease.ErrClosed, api.CodeStopping, http.StatusServiceUnavailable},
	{store.ErrClosed, api.CodeStopping, http.StatusServiceUnavailable},
	{errInvalid, api.CodeInvalid, http.StatusBadRequest},
	{errKeyReused, api.CodeKeyReused, http.StatusUnprocessableEntity},
	{launcher.ErrInvalid, api.CodeInvalid, http.StatusBadRequest},
	{access.ErrUnauthenticated, api.CodeUnauthenticated, http.StatusUnauthorized},
	{access.ErrForbidden, api.CodeForbidden, http.StatusForbidden},
	{access.ErrQuota, api.CodeQuotaExceeded, http.StatusConflict},
	{access.ErrTokenExists, api.CodeTokenExists, http.StatusConflict},
	{access.ErrTokenNotFound, api.CodeTokenNotFound, http.StatusNotFound},
	{access.ErrInvalid, api.CodeInvalid, http.StatusBadRequest},

	{lease.ErrRangeInvalid, api.CodeRangeInvalid, http.StatusBadRequest},
	{lease.ErrRangeExists, api.CodeRangeExists, http.StatusConflict},
	{lease.ErrRangeOverlaps, api.CodeRangeOverlaps, http.StatusConflict},
	{lease.ErrRangeLeased, api.CodeRangeLeased, http.StatusConflict},
	{lease.ErrRangeFull, api.CodeRangeFull, http.StatusConflict},
	{lease.ErrAssigned, api.CodePortAssigned, http.StatusConflict},
	{lease.ErrInUse, api.CodePortInUse, http.StatusConflict},
	{lease.ErrPrivileged, api.CodePortPrivileged, http.StatusConflict},
	{sysctl.ErrRefused, api.CodeKernel, http.StatusConflict},
	{lease.ErrRequest, api.CodeInvalid, http.StatusBadRequest},
	{lease.ErrArchiveInvalid, api.CodeInvalid, http.StatusBadRequest},
	{lease.ErrArchiveNotFound, api.CodeArchiveNotFound, http.StatusNotFound},
	{conf.ErrInvalid, api.CodeInvalid, http.StatusBadRequest},
	{errNoExec, api.CodeExecNotFound, http.StatusNotFound},
	{conf.ErrArchiveInvalid, api.CodeInvalid, http.StatusBadRequest},
	{conf.ErrArchiveNotFound, api.CodeArchiveNotFound, http.StatusNotFound},
	{lease.ErrLeaseNotFound, api.CodeLeaseNotFound, http.StatusNotFound},
	{lease.ErrLeaseChanged, api.CodeLeaseChanged, http.StatusConflict},
	{lease.ErrTaken, api.CodeLeaseChanged, http.StatusConflict},
	{errHolderRefused, api.CodeHolderRefused, http.StatusUnprocessableEntity},
	{errHolderUnseen, api.CodeHolderUnseen, http.StatusUnprocessableEntity},

	{launcher.ErrDistributionInvalid, api.CodeDistributionInvalid, http.StatusUnprocessableEntity},
	{launcher.ErrDistributionExists, api.CodeDistributionExists, http.StatusConflict},
	{launcher.ErrDistributionNotFound, api.CodeDistributionNotFound, http.StatusNotFound},
	{launcher.ErrDistributionRunning, api.CodeDistributionRunning, http.StatusConflict},
	{launcher.ErrProcessNotFound, api.CodeProcessNotFound, http.StatusNotFound},
	{launcher.ErrProfileNotFound, api.CodeProfileNotFound, http.StatusNotFound},
	{launcher.ErrUnsupported, api.CodeUnsupported, http.StatusNotImplemented},
	{launcher.ErrExecRefused, api.CodeExecRefused, http.StatusConflict},
	{launcher.ErrExecFailed, api.CodeExecFailed, http.StatusUnprocessableEntity},
	{launcher.ErrTimeout, api.CodeTimeout, http.StatusGatewayTimeout},
	// An exec whose range is not there is refused, so these two come after it.
	{lease.ErrRangeNotFound, api.CodeRangeNotFound, http.StatusNotFound},
	{lease.ErrProtocol, api.CodeInvalid, http.StatusBadRequest},

	{context.DeadlineExceeded, api.CodeTimeout, http.StatusGatewayTimeout},

	{store.ErrUnknown, api.CodeStore, http.StatusServiceUnavailable},
	{store.ErrConflict, api.CodeStore, http.StatusServiceUnavailable},
	{store.ErrTooLarge, api.CodeStore, http.StatusServiceUnavailable},

	{nil, api.CodeInternal, http.StatusInternalServerError},
}

// problem is an error as it crosses the wire: problem details of RFC 9457
// with a stable code.
type problem api.Error

func (p *problem) Error() string { return (*api.Error)(p).Error() }

// GetStatus is the HTTP status that the problem is sent with.
func (p *problem) GetStatus() int { return p.Status }

// ContentType turns application/json into the media type of problem details.
func (p *problem) ContentType(string) string { return "application/problem+json" }

// GetHeaders are the header fields that go with it: RFC 9110 has a 401 say how
// one is known.
func (p *problem) GetHeaders() http.Header {
	challenge := ""
	switch p.Code {
	case api.CodeUnauthenticated:
		challenge = `Bearer realm="berth"`
	case api.CodeForbidden:
		challenge = `Bearer realm="berth", error="insufficient_scope"` // RFC 6750
	default:
		return nil
	}
	return http.Header{"Www-Authenticate": {challenge}}
}

var _ huma.StatusError = (*problem)(nil)
var _ huma.HeadersError = (*problem)(nil)
var _ huma.ContentTypeFilter = (*problem)(nil)

func newProblem(status int, code api.Code, detail string) *problem {
	return &problem{
		Title:  http.StatusText(status),
		Status: status,
		Detail: oneLine(detail),
		Code:   code,
	}
}

// problemOf says what err is to a client. An error that is none of kinds is
// internal.
func problemOf(err error) *problem {
	var p *problem
	if errors.As(err, &p) {
		return p
	}
	if errors.Is(err, context.Canceled) {
		return newProblem(statusHungUp, api.CodeInternal, "the client hung up")
	}
	for _, k := range kinds {
		if k.sentinel == nil || errors.Is(err, k.sentinel) {
			return newProblem(k.status, k.code, err.Error())
		}
	}
	panic("unreachable: the last kind has no sentinel")
}

// fail turns what a handler got into what the client is told, and logs what is
// the daemon's own fault.
func (s *Server) fail(ctx context.Context, method, path string, err error) *problem {
	switch cause := context.Cause(ctx); {
	case !errors.Is(err, context.Canceled):
	case s.lasting.Err() != nil:
		err = errStopping
	case errors.Is(cause, access.ErrUnauthenticated):
		err = cause // the token was revoked meanwhile
	}
	p := problemOf(err)
	noteCode(ctx, p.Code)
	if p.Code == api.CodeInternal && p.Status != statusHungUp || p.Code == api.CodeStore {
		s.log.ErrorContext(ctx, "a request failed", "method", method, "path", path, "code", string(p.Code), "error", err)
	}
	return p
}

// invalid is the error for a request that is not well formed.
func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errInvalid, fmt.Sprintf(format, args...))
}

// oneLine puts what has several lines, as joined errors do, on one.
func oneLine(s string) string {
	if !strings.ContainsAny(s, "\r\n") {
		return s
	}
	lines := strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' })
	return strings.Join(lines, "; ")
}

func writeProblem(w http.ResponseWriter, p *problem) {
	maps.Copy(w.Header(), p.GetHeaders())
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	huma.DefaultJSONFormat.Marshal(w, p) // an error here is the client's going away
}

// useProblems makes huma tell its own errors, those of validation among them,
// as problems with a code. huma has one such function for a whole program.
var useProblems = sync.OnceFunc(func() {
	huma.NewError = func(status int, msg string, errs ...error) huma.StatusError {
		code := api.CodeInvalid
		for _, err := range errs {
			if sent, ok := errors.AsType[*sentError](err); ok {
				// huma takes a body that cannot be read for the server's own fault.
				return newProblem(http.StatusBadRequest, code, "body: it was not sent to its end: "+sent.Error())
			}
		}
		switch {
		case status == http.StatusUnprocessableEntity:
			status = http.StatusBadRequest
		case status >= 500:
			code = api.CodeInternal
		}
		details := make([]string, 0, len(errs))
		for _, err := range errs {
			if err != nil {
				details = append(details, field(err))
			}
		}
		if len(details) > 0 {
			msg = strings.Join(details, "; ")
		}
		return newProblem(status, code, msg)
	}
	// Lists are never null.
	huma.DefaultArrayNullable = false
})

// field tells an error of validation, the field first. The value that was
// sent is left out: it may be a secret.
func field(err error) string {
	var d *huma.ErrorDetail
	if !errors.As(err, &d) {
		return err.Error()
	}
	if d.Location == "" {
		return d.Message
	}
	return d.Location + ": " + d.Message
}
