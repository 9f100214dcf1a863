package server

import (
	"io"
	"net/http"
	"time"
)

// timedBody is a request's body that must not stop coming in for longer than
// bodyTimeout. The deadline is taken away at its end: net/http goes on reading
// to notice that the client hangs up, and would take an old deadline for that.
type timedBody struct {
	io.ReadCloser
	control *http.ResponseController
	set     time.Time
}

func (b *timedBody) Read(p []byte) (int, error) {
	if now := time.Now(); now.Sub(b.set) > time.Second {
		b.set = now
		b.control.SetReadDeadline(now.Add(bodyTimeout))
	}
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.clear()
	}
	return n, err
}

func (b *timedBody) Close() error {
	b.clear()
	return b.ReadCloser.Close()
}

func (b *timedBody) clear() {
	if !b.set.IsZero() {
		b.set = time.Time{}
		b.control.SetReadDeadline(time.Time{})
	}
}
