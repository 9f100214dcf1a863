package server_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"berth/server"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	many int64
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{key: newKey(t), cert: &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue writes a certificate for 127.0.0.1, good until so long from now, and its
// key into a folder.
func (a *authority) issue(t *testing.T, dir string, until time.Duration) (certFile, keyFile string) {
	t.Helper()
	a.many++
	key := newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1 + a.many), Subject: pkix.Name{CommonName: "berth"}, NotBefore: time.Now().Add(min(0, until) - time.Hour), NotAfter: time.Now().Add(until),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "berth.crt"), filepath.Join(dir, "berth.key")
	for name, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(name+".new", pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(name+".new", name); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

// client trusts the authority, and wants a server to have a name.
func (a *authority) client(name string) *http.Client {
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: name}, DisableKeepAlives: true}}
}

// What will not do as a certificate is refused before anything is served.
func TestListenTLSRefuses(t *testing.T) {
	ca := newAuthority(t)
	good, goodKey := ca.issue(t, t.TempDir(), time.Hour)
	_, otherKey := ca.issue(t, t.TempDir(), time.Hour)
	expired, expiredKey := ca.issue(t, t.TempDir(), -time.Minute)
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, cert, key, want string }{
		{"no certificate", good + ".gone", goodKey, "no such file"},
		{"no key", good, goodKey + ".gone", "no such file"},
		{"the key of another one", good, otherKey, "private key does not match public key"},
		{"an empty file", empty, goodKey, "failed to find any PEM data"},
		{"a key for a certificate", goodKey, goodKey, "PEM"},
		{"an expired one", expired, expiredKey, "it has expired ("},
	} {
		l, err := server.ListenTLS("127.0.0.1:0", tt.cert, tt.key, quiet)
		if err == nil {
			l.Close()
		}
		if !errors.Is(err, server.ErrCertificate) || !strings.Contains(err.Error(), tt.want) || !oneLine(err.Error()) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	if _, err := server.ListenTLS("127.0.0.1:nothing", good, goodKey, quiet); err == nil || errors.Is(err, server.ErrCertificate) {
		t.Errorf("a port that is none: %v", err)
	}
}

// A certificate that is renewed is used from the next connection on, and one
// that will not do is not.
func TestCertificateIsReadAgain(t *testing.T) {
	dir, ca := t.TempDir(), newAuthority(t)
	cert, key := ca.issue(t, dir, time.Hour)
	var log syncBuffer
	l, err := server.ListenTLS("127.0.0.1:0", cert, key, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	newRigOn(t, []net.Listener{l}, nil)
	serial := func() int64 {
		t.Helper()
		resp, err := ca.client("127.0.0.1").Get("https://" + l.Addr().String() + "/v1/daemon")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 401 || resp.TLS.Version != tls.VersionTLS13 {
			t.Errorf("%d, TLS %x", resp.StatusCode, resp.TLS.Version)
		}
		return resp.TLS.PeerCertificates[0].SerialNumber.Int64()
	}
	if got := serial(); got != 2 {
		t.Errorf("serial %d", got)
	}
	ca.issue(t, dir, time.Hour)
	if got := serial(); got != 3 {
		t.Errorf("after a renewal: serial %d", got)
	}
	ca.issue(t, dir, -time.Minute)
	for range 3 {
		if got := serial(); got != 3 {
			t.Errorf("after an expired one: serial %d", got)
		}
	}
	if n := strings.Count(log.String(), "cannot be used"); n != 1 {
		t.Errorf("told %d times: %s", n, log.String())
	}
	ca.issue(t, dir, time.Hour)
	if got := serial(); got != 5 {
		t.Errorf("after another one: serial %d", got)
	}
}

// Older versions of TLS are not spoken, and a client that is silent is not waited for.
func TestOldTLSIsRefused(t *testing.T) {
	ca := newAuthority(t)
	cert, key := ca.issue(t, t.TempDir(), time.Hour)
	l, err := server.ListenTLS("127.0.0.1:0", cert, key, quiet)
	if err != nil {
		t.Fatal(err)
	}
	newRigOn(t, []net.Listener{l}, nil)
	c := ca.client("127.0.0.1")
	c.Transport.(*http.Transport).TLSClientConfig.MaxVersion = tls.VersionTLS12
	if resp, err := c.Get("https://" + l.Addr().String() + "/v1/daemon"); err == nil || !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("TLS 1.2: %v %v", resp, err)
	}
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /v1/daemon HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if text, _ := io.ReadAll(conn); !strings.HasPrefix(string(text), "HTTP/1.1 400 ") || !strings.Contains(string(text), "this port speaks TLS only: use https://") {
		t.Errorf("plain HTTP: %q", text)
	}
}
