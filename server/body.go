package server

import (
	"io"
	"net/http"
	"time"
)

// timedBody is a request's body that must not stop coming in for longer than
// bodyTimeout, and comes in within it where it is short. The deadline is taken
// away at its end: net/http goes on reading to notice that the client hangs up,
// and would take an old deadline for that.
type timedBody struct {
	io.ReadCloser
	control *http.ResponseController
	set     time.Time
	short   bool // it may not take longer for coming in slowly

	// waits is called while the body comes in, works once it is there.
	waits, works func()
}

func (b *timedBody) Read(p []byte) (int, error) {
	if now := time.Now(); b.set.IsZero() || !b.short && now.Sub(b.set) > time.Second {
		b.set = now
		b.control.SetReadDeadline(now.Add(bodyTimeout))
		b.waits()
	}
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.clear()
		if err != io.EOF {
			err = &sentError{err}
		}
	}
	return n, err
}

// sentError is an error of a body that comes in: it broke off, stopped, or its
// framing is broken.
type sentError struct{ err error }

func (e *sentError) Error() string { return e.err.Error() }

func (e *sentError) Unwrap() error { return e.err }

func (b *timedBody) Close() error {
	b.clear()
	return b.ReadCloser.Close()
}

func (b *timedBody) clear() {
	if b.set.IsZero() {
		return
	}
	b.set = time.Time{}
	b.control.SetReadDeadline(time.Time{})
	b.works()
}
