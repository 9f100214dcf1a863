package server

import (
	"context"
	"net"
	"net/http"
	"time"

	"berth/access"
)

// Permit is what stands before all routes.
func (s *Server) Permit(routes *http.ServeMux) http.Handler { return s.permit(routes) }

// AnswerLean answers a request of a caller if it is lean.
func (s *Server) AnswerLean(caller access.Caller, request []byte) ([]byte, bool) {
	return s.answerLean(caller, request)
}

// RequestLength is how many bytes a request has that begins with these.
func RequestLength(begin []byte) int64 { return requestLength(begin) }

// LeanAfter is a connection whose server has waited for its next request since
// then.
func LeanAfter(conn *net.UnixConn, since time.Time, answer func([]byte) ([]byte, bool)) net.Conn {
	c := &leanConn{peerConn: &peerConn{UnixConn: conn}, answer: answer, conns: &connections{open: make(map[net.Conn]int64)}}
	c.conns.open[c] = 1
	c.idle(since)
	c.SetReadDeadline(c.until)
	return c
}

// IdleTimeout is how long a connection is kept without a request.
const IdleTimeout = idleTimeout

// BeginTwice begins a request twice with one key. The first one is under way.
func BeginTwice(ctx, lasting context.Context) error {
	k := newKeys(nil, time.Now, nil)
	if _, _, err := k.begin(ctx, lasting, "key", "print"); err != nil {
		return err
	}
	_, _, err := k.begin(ctx, lasting, "key", "print")
	return err
}

// Frames tells where requests begin and end.
type Frames struct{ f frames }

func NewFrames() *Frames        { return &Frames{frames{begins: true}} }
func (f *Frames) Give(p string) { f.f.give([]byte(p)) }
func (f *Frames) End() bool     { return f.f.end() }
func (f *Frames) Lost() bool    { return f.f.left < 0 }
