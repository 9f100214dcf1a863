package httpcheck_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"berth/httpcheck"
)

const patience = 20 * time.Second

func handler(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/well":
	case "/post":
		if r.Method != http.MethodPost {
			w.WriteHeader(http.StatusMethodNotAllowed)
		}
	case "/moved":
		http.Redirect(w, r, "/well", http.StatusFound)
	case "/endless":
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	case "/header":
		w.Header().Set("X-Long", strings.Repeat("x", 100<<10))
	case "/silent":
		<-r.Context().Done()
	case "/gone":
		conn, _, _ := http.NewResponseController(w).Hijack()
		conn.Close()
	default:
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

func TestAsk(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(handler))
	secure := httptest.NewTLSServer(http.HandlerFunc(handler))
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	// What the environment says of proxies must not be asked.
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"} {
		t.Setenv(name, "http://127.0.0.1:1")
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := free.Addr().String()
	free.Close()

	for _, tt := range []struct {
		name    string
		request httpcheck.Request
		code    int
		err     string // "" is well
	}{
		{"well", httpcheck.Request{URL: plain.URL + "/well", Code: 200}, 200, ""},
		{"https with a certificate of its own", httpcheck.Request{URL: secure.URL + "/well", Code: 200}, 200, ""},
		{"another code is wanted", httpcheck.Request{URL: plain.URL + "/ill", Code: 503}, 503, ""},
		{"ill", httpcheck.Request{URL: plain.URL + "/ill", Code: 200}, 503, "answers 503 Service Unavailable, not 200"},
		{"any good code", httpcheck.Request{URL: plain.URL + "/moved"}, 302, ""},
		{"no good code", httpcheck.Request{URL: plain.URL + "/ill"}, 503, "answers 503 Service Unavailable"},
		{"post", httpcheck.Request{Method: "POST", URL: plain.URL + "/post", Code: 200}, 200, ""},
		{"a redirect", httpcheck.Request{URL: plain.URL + "/moved", Code: 200}, 302, `answers 302 Found, not 200: it redirects to "/well", and redirects are not followed`},
		{"an endless body", httpcheck.Request{URL: plain.URL + "/endless", Code: 200}, 200, ""},
		{"an endless header", httpcheck.Request{URL: plain.URL + "/header", Code: 200}, 0, "server response headers exceeded"},
		{"silent", httpcheck.Request{URL: plain.URL + "/silent", Code: 200, Read: 50 * time.Millisecond}, 0, "no answer within 50ms"},
		{"closed", httpcheck.Request{URL: plain.URL + "/gone", Code: 200}, 0, "the connection was closed before an answer came"},
		{"nobody", httpcheck.Request{URL: "http://" + nobody + "/", Code: 200}, 0, "nothing listens on the port"},
		{"HTTP asked by HTTPS", httpcheck.Request{URL: "https" + strings.TrimPrefix(plain.URL, "http"), Code: 200}, 0, "speaks HTTP, not HTTPS"},
		{"the second address", httpcheck.Request{URL: "http://127.0.0.1/well", Addresses: []string{nobody, plain.Listener.Addr().String()}, Code: 200}, 200, ""},
		{"no scheme", httpcheck.Request{URL: "localhost:80"}, 0, "does not begin with http:// or https://"},
		{"no host", httpcheck.Request{URL: "http:///x"}, 0, "names no host"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.request.Read == 0 {
				tt.request.Read = patience
			}
			tt.request.Connect = patience
			got := httpcheck.Ask(t.Context(), tt.request)
			if got.Code != tt.code {
				t.Errorf("code %d, want %d", got.Code, tt.code)
			}
			if tt.err == "" && got.Err != nil || tt.err != "" && (got.Err == nil || !strings.Contains(got.Err.Error(), tt.err)) {
				t.Errorf("error %v, want %q", got.Err, tt.err)
			}
			if got.Err != nil && strings.ContainsAny(got.Err.Error(), "\n\r") {
				t.Errorf("%q has more than a line", got.Err)
			}
		})
	}
}

// A server elsewhere has to prove who it is.
func TestCertificate(t *testing.T) {
	secure := httptest.NewUnstartedServer(http.HandlerFunc(handler))
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	secure.Listener.Close()
	secure.Listener = l
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	// The unspecified address leads to this host, and is none of loopback's.
	url := fmt.Sprintf("https://0.0.0.0:%d/well", l.Addr().(*net.TCPAddr).Port)
	got := httpcheck.Ask(t.Context(), httpcheck.Request{URL: url, Code: 200, Connect: patience, Read: patience})
	if got.Err == nil || !strings.Contains(got.Err.Error(), "certificate") {
		t.Errorf("%+v: a certificate that nobody signed is believed", got)
	}
}

// A caller who goes away is not kept.
func TestCancel(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(handler))
	t.Cleanup(plain.Close)
	why := errors.New("the caller is gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	go cancel(why)
	got := httpcheck.Ask(ctx, httpcheck.Request{URL: plain.URL + "/silent", Code: 200, Connect: patience, Read: patience})
	if !errors.Is(got.Err, why) {
		t.Errorf("error %v, want %v", got.Err, why)
	}
}
