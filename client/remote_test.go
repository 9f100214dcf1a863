package client_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"berth/access"
	"berth/api"
	"berth/client"
	"berth/lease"
)

// secured is a daemon that answers over TCP with TLS, and the file of who has
// signed its certificate.
func secured(t *testing.T, cert *tls.Certificate, h http.HandlerFunc) (url, caFile string) {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	if cert != nil {
		srv.TLS = &tls.Config{Certificates: []tls.Certificate{*cert}}
	}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	caFile = filepath.Join(t.TempDir(), "ca.crt")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.TLS.Certificates[0].Certificate[0]})
	if err := os.WriteFile(caFile, block, 0o600); err != nil {
		t.Fatal(err)
	}
	return srv.URL, caFile
}

// certificate is one that signs itself.
func certificate(t *testing.T, from, until time.Time, ip string) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: until, IPAddresses: []net.IP{net.ParseIP(ip)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for _, pair := range pairs {
			if k, v, _ := strings.Cut(pair, "="); k == name {
				return v
			}
		}
		return ""
	}
}

// Over TCP calls show the token of the moment, and errors are what they are on
// the socket.
func TestRemote(t *testing.T) {
	url, ca := secured(t, nil, func(w http.ResponseWriter, r *http.Request) {
		if r.TLS.Version != tls.VersionTLS13 {
			t.Errorf("TLS %x", r.TLS.Version)
		}
		switch r.Header.Get("Authorization") {
		case "Bearer first":
			io.WriteString(w, `{"role":"read","owner":"ci"}`)
		case "Bearer second":
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(403)
			io.WriteString(w, `{"status":403,"code":"forbidden","detail":"token ci has the role read"}`)
		default:
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(401)
			io.WriteString(w, `{"status":401,"code":"unauthenticated","detail":"this needs a token"}`)
		}
	})
	file := filepath.Join(t.TempDir(), "token")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first\n")
	c := client.New(client.Environment(env("BERTH_URL="+url+"/", "BERTH_CA_FILE="+ca, "BERTH_TOKEN_FILE="+file)))
	defer c.Close()
	if me, err := c.Whoami(t.Context()); err != nil || me.Role != "read" || me.Owner != "ci" {
		t.Errorf("%+v %v", me, err)
	}
	if c.Address() != url+"/" {
		t.Errorf("address %s", c.Address())
	}
	write("second")
	if _, err := c.Whoami(t.Context()); !errors.Is(err, access.ErrForbidden) || !errors.Is(err, api.CodeForbidden) || errors.Is(err, lease.ErrRangeFull) {
		t.Errorf("forbidden: %v", err)
	}
	c = client.New(client.Environment(env("BERTH_URL="+url, "BERTH_CA_FILE="+ca, "BERTH_TOKEN=third")))
	defer c.Close()
	if _, err := c.Whoami(t.Context()); !errors.Is(err, access.ErrUnauthenticated) {
		t.Errorf("unauthenticated: %v", err)
	}
}

// What is wrong with the settings or the certificate is said on one line, with
// what to do, and without the token.
func TestRemoteRefuses(t *testing.T) {
	answer := func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "{}") }
	now := time.Now()
	url, ca := secured(t, nil, answer)
	expiredURL, expiredCA := secured(t, certificate(t, now.Add(-2*time.Hour), now.Add(-time.Hour), "127.0.0.1"), answer)
	earlyURL, earlyCA := secured(t, certificate(t, now.Add(time.Hour), now.Add(2*time.Hour), "127.0.0.1"), answer)
	elsewhereURL, elsewhereCA := secured(t, certificate(t, now.Add(-time.Hour), now.Add(time.Hour), "127.0.0.9"), answer)
	plain := httptest.NewServer(http.HandlerFunc(answer))
	defer plain.Close()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		env  []string
		kind error
		want string
	}{
		{"a scheme", []string{"BERTH_URL=http://127.0.0.1:1"}, client.ErrSettings, "with TLS only"},
		{"no port", []string{"BERTH_URL=https://127.0.0.1"}, client.ErrSettings, "no port"},
		{"a path", []string{"BERTH_URL=https://127.0.0.1:1/v1"}, client.ErrSettings, "https://HOST:PORT"},
		{"a user", []string{"BERTH_URL=https://u:hush@127.0.0.1:1"}, client.ErrSettings, "https://HOST:PORT"},
		{"no URL", []string{"BERTH_URL=::"}, client.ErrSettings, "https://HOST:PORT"},
		{"no file of certificates", []string{"BERTH_URL=" + url, "BERTH_CA_FILE=" + dir + "/none"}, client.ErrSettings, "BERTH_CA_FILE: open"},
		{"no certificate in it", []string{"BERTH_URL=" + url, "BERTH_CA_FILE=" + empty}, client.ErrSettings, "no certificate in it"},
		{"no file of a token", []string{"BERTH_URL=" + url, "BERTH_CA_FILE=" + ca, "BERTH_TOKEN_FILE=" + dir + "/none"}, client.ErrSettings, "BERTH_TOKEN_FILE"},
		{"no token in it", []string{"BERTH_URL=" + url, "BERTH_CA_FILE=" + ca, "BERTH_TOKEN_FILE=" + empty}, client.ErrSettings, "is empty"},
		{"two tokens", []string{"BERTH_URL=" + url, "BERTH_CA_FILE=" + ca, "BERTH_TOKEN_FILE=" + empty, "BERTH_TOKEN=hush"}, client.ErrSettings, "unset one"},
		{"two lines", []string{"BERTH_URL=" + url, "BERTH_CA_FILE=" + ca, "BERTH_TOKEN=hush\nhush"}, client.ErrSettings, "one line"},
		{"a token on the socket", []string{"BERTH_TOKEN=hu sh"}, client.ErrSettings, "one line"},
		{"an unknown authority", []string{"BERTH_URL=" + url}, client.ErrCertificate, "BERTH_CA_FILE"},
		{"expired", []string{"BERTH_URL=" + expiredURL, "BERTH_CA_FILE=" + expiredCA}, client.ErrCertificate, "it has expired ("},
		{"not yet valid", []string{"BERTH_URL=" + earlyURL, "BERTH_CA_FILE=" + earlyCA}, client.ErrCertificate, "not valid before"},
		{"of another host", []string{"BERTH_URL=" + elsewhereURL, "BERTH_CA_FILE=" + elsewhereCA}, client.ErrCertificate, "127.0.0.9"},
		{"no TLS", []string{"BERTH_URL=https" + strings.TrimPrefix(plain.URL, "http")}, client.ErrCertificate, "does not speak TLS"},
		{"nobody", []string{"BERTH_URL=https://" + gone.Addr().String()}, client.ErrNoDaemon, "no daemon answers"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := client.Environment(env(tt.env...))
			o.Start = func(context.Context) error { t.Error("a daemon was started"); return nil }
			c := client.New(o)
			defer c.Close()
			_, err := c.Whoami(t.Context())
			if !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v, want %v: %q", err, tt.kind, tt.want)
			}
		})
	}
}
