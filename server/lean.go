package server

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"berth/api"
)

// maxLean is the length in bytes of the longest body that is read without huma.
const maxLean = 4 << 10

// leanMux hands requests to lean ones before huma's handlers: an acquired port
// and its release are most of what a daemon is asked for, and huma, which reads
// a body twice and looks at each value by reflection, was the larger part of
// them. A lean handler takes what is written as this module's client writes it,
// where there is nothing to find wrong, and leaves the rest to huma, whose rules
// and words are those of the document.
type leanMux struct {
	*http.ServeMux
	lean map[string]func(http.ResponseWriter, *http.Request) (done bool)
}

func (m leanMux) HandleFunc(pattern string, handle func(http.ResponseWriter, *http.Request)) {
	lean, ok := m.lean[pattern]
	if !ok {
		m.ServeMux.HandleFunc(pattern, handle)
		return
	}
	m.ServeMux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		if !lean(w, r) {
			handle(w, r)
		}
	})
}

func (s *Server) leanAcquire(w http.ResponseWriter, r *http.Request) bool {
	var in acquireLeases
	if r.URL.RawQuery != "" || r.Header.Get("Content-Type") != "application/json" || !leanBody(r, &in.Body, in.plain) {
		return false
	}
	in.Key = r.Header.Get("Idempotency-Key")
	noteAbout(r.Context(), in.Body)
	out, err := s.acquireLeases(r.Context(), &in)
	if err != nil {
		writeProblem(w, s.fail(r.Context(), http.MethodPost, "/v1/leases", err))
		return true
	}
	noteAbout(r.Context(), out.Body)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	huma.DefaultJSONFormat.Marshal(w, out.Body) // an error here is the client's going away
	return true
}

// plain reports whether nothing is wrong with a request by the document.
func (in *acquireLeases) plain() bool {
	b := in.Body
	switch b.Holder.Kind {
	case "", api.HolderProcess, api.HolderSession, api.HolderManual:
		return len(b.Ports) == 0 && len(b.Owner) <= 255 && b.Holder.PID >= 0
	}
	return false
}

func (s *Server) leanRelease(w http.ResponseWriter, r *http.Request) bool {
	in := releaseLease{ID: r.PathValue("id")}
	if r.ContentLength != 0 || in.ID == "" {
		return false
	}
	if r.URL.RawQuery != "" {
		text, ok := strings.CutPrefix(r.URL.RawQuery, "generation=")
		n, err := strconv.ParseInt(text, 10, 64)
		if !ok || err != nil || n < 0 || strconv.FormatInt(n, 10) != text {
			return false
		}
		in.Generation = n
	}
	if _, err := s.releaseLease(r.Context(), &in); err != nil {
		writeProblem(w, s.fail(r.Context(), http.MethodDelete, "/v1/leases/{id}", err))
		return true
	}
	w.WriteHeader(http.StatusNoContent)
	return true
}

// leanBody reads a short body into v, and reports whether it is what v is written
// as (then it has no name twice, of another case or that is not known, and no
// text that is not UTF-8), and plain. A body that is not so can be read again.
func leanBody(r *http.Request, v any, plain func() bool) bool {
	if r.ContentLength <= 0 || r.ContentLength > maxLean {
		return false
	}
	data := make([]byte, r.ContentLength)
	n, err := io.ReadFull(r.Body, data)
	if err == nil && json.Unmarshal(data, v) == nil && plain() {
		if text, err := json.Marshal(v); err == nil && bytes.Equal(text, data) {
			return true
		}
	}
	r.Body = &reread{read: data[:n], rest: r.Body, err: err}
	return false
}

// reread is a body of which a part was read already.
type reread struct {
	read []byte
	rest io.ReadCloser
	err  error // that ended the reading
}

func (b *reread) Read(p []byte) (int, error) {
	switch {
	case len(b.read) > 0:
		n := copy(p, b.read)
		b.read = b.read[n:]
		return n, nil
	case b.err != nil:
		return 0, b.err
	}
	return b.rest.Read(p)
}

func (b *reread) Close() error { return b.rest.Close() }
