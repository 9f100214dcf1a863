// Package httpcheck asks a server over HTTP or HTTPS whether it is well: one
// request, and the status of its answer is what counts.
//
// A check goes to the server itself: no proxy of the environment is used, no
// redirect is followed, no connection is kept, and of the answer no more than its
// header is read. A certificate is believed unseen where the server is on this
// host; elsewhere it is verified.
package httpcheck

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// maxHeader is the most bytes of an answer's header.
const maxHeader = 64 << 10

// Request says what to ask, and which answer is a good one.
type Request struct {
	// Method is GET where it is left out.
	Method string

	// URL is http or https, with a host.
	URL string

	// Addresses are where to connect to, tried in their order: IP and port. Empty:
	// the URL's host.
	Addresses []string

	// Code is the status of a good answer; 0 takes every status below 400.
	Code int

	// Connect is how long connecting may take, for each address, Read how long the
	// server may then take until its header is there.
	Connect, Read time.Duration
}

// Answer is what came of a request.
type Answer struct {
	// Code is the answer's status; 0 where none came.
	Code int

	// Took is how long it took until the answer or the error.
	Took time.Duration

	// Err says in one line why the answer is not a good one; nil where it is.
	Err error
}

// ParseURL reads a URL that can be asked.
func ParseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%q is not a URL", text)
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("%q does not begin with http:// or https://", text)
	case u.Hostname() == "":
		return nil, fmt.Errorf("%q names no host", text)
	}
	return u, nil
}

// Ask asks once. It returns early when ctx ends.
func Ask(ctx context.Context, r Request) Answer {
	begin := time.Now()
	code, err := ask(ctx, r)
	return Answer{Code: code, Took: time.Since(begin), Err: err}
}

func ask(ctx context.Context, r Request) (int, error) {
	u, err := ParseURL(r.URL)
	if err != nil {
		return 0, err
	}
	if r.Method == "" {
		r.Method = http.MethodGet
	}
	tries := time.Duration(max(1, len(r.Addresses)))
	// A bound for all of it: ResponseHeaderTimeout begins only once the request was sent.
	ctx, cancel := context.WithTimeoutCause(ctx, tries*r.Connect+2*r.Read, errSlow)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, r.Method, u.String(), http.NoBody)
	if err != nil {
		return 0, err
	}
	request.Header.Set("User-Agent", "berth")
	dialer := net.Dialer{Timeout: r.Connect}
	transport := &http.Transport{
		Proxy: nil,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			addresses := r.Addresses
			if len(addresses) == 0 {
				addresses = []string{address}
			}
			var first error
			for _, address := range addresses {
				conn, err := dialer.DialContext(ctx, network, address)
				if err == nil {
					return conn, nil
				}
				if first == nil {
					first = err
				}
			}
			return nil, first
		},
		TLSClientConfig:        &tls.Config{InsecureSkipVerify: len(r.Addresses) > 0 || local(u.Hostname())},
		TLSHandshakeTimeout:    r.Read,
		ResponseHeaderTimeout:  r.Read,
		MaxResponseHeaderBytes: maxHeader,
		DisableKeepAlives:      true,
		DisableCompression:     true,
	}
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(request)
	if err != nil {
		return 0, wordy(ctx, err, r)
	}
	_ = response.Body.Close()
	return response.StatusCode, wrong(response, r.Code)
}

var errSlow = errors.New("no answer in time")

// wrong is why an answer is not a good one, nil where it is.
func wrong(response *http.Response, wanted int) error {
	code := response.StatusCode
	if code == wanted || wanted == 0 && code < 400 {
		return nil
	}
	answered := fmt.Sprintf("answers %d", code)
	if text := http.StatusText(code); text != "" {
		answered += " " + text
	}
	if wanted != 0 {
		answered += fmt.Sprintf(", not %d", wanted)
	}
	if place := response.Header.Get("Location"); place != "" && code >= 300 && code < 400 {
		answered += fmt.Sprintf(": it redirects to %.200q, and redirects are not followed", place)
	}
	return errors.New(answered)
}

// wordy says in short what went wrong: the library's errors name the URL and the
// addresses over and over.
func wordy(ctx context.Context, err error, r Request) error {
	var dns *net.DNSError
	var op *net.OpError
	var timeout net.Error
	var record tls.RecordHeaderError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return errors.New("nothing listens on the port")
	case errors.Is(err, context.Canceled):
		return context.Cause(ctx)
	case errors.As(err, &op) && op.Op == "dial" && op.Timeout():
		return fmt.Errorf("no connection within %s", r.Connect)
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, errSlow):
		return fmt.Errorf("no answer within %s", r.Read)
	case errors.As(err, &dns):
		return fmt.Errorf("there is no host %s", dns.Name)
	case errors.Is(err, syscall.ECONNRESET):
		return errors.New("the connection was reset before an answer came")
	case errors.As(err, &record), strings.Contains(err.Error(), "HTTP response to HTTPS client"):
		return errors.New("speaks HTTP, not HTTPS")
	case strings.HasSuffix(err.Error(), "EOF"):
		return errors.New("the connection was closed before an answer came")
	}
	return err
}

// local reports whether a host's name or address is this host's own loopback.
func local(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
