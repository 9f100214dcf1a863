package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

// remote is a daemon that is reached over TCP.
type remote struct {
	url    string
	caFile string

	once    sync.Once
	address string      // HOST:PORT
	config  *tls.Config // nil where err is not
	err     error
}

// Environment returns how the variables of the environment say the daemon is
// reached:
//
//	BERTH_URL         https://HOST:PORT, in place of the socket
//	BERTH_CA_FILE     the certificates of which one has signed the daemon's
//	BERTH_TOKEN       the token to show
//	BERTH_TOKEN_FILE  a file that holds it
//
// What is wrong with them is told by the first call.
func Environment(getenv func(string) string) Options {
	o := Options{URL: getenv("BERTH_URL"), CAFile: getenv("BERTH_CA_FILE")}
	token, file := getenv("BERTH_TOKEN"), getenv("BERTH_TOKEN_FILE")
	switch {
	case token != "" && file != "":
		o.Token = func() (string, error) {
			return "", fmt.Errorf("%w: both BERTH_TOKEN and BERTH_TOKEN_FILE are set: unset one", ErrSettings)
		}
	case file != "":
		o.Token = func() (string, error) { return tokenFrom(file) }
	case token != "":
		o.Token = func() (string, error) { return token, nil }
	}
	return o
}

// tokenFrom reads a token from a file.
func tokenFrom(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("%w: BERTH_TOKEN_FILE: %w", ErrSettings, err)
	}
	token := strings.TrimSpace(string(data))
	if token == "" {
		return "", fmt.Errorf("%w: BERTH_TOKEN_FILE: %s is empty", ErrSettings, path)
	}
	return token, nil
}

// authorize shows the token, if there is one.
func (c *Client) authorize(req *http.Request) error {
	if c.token == nil {
		return nil
	}
	token, err := c.token()
	if err != nil || token == "" {
		return err
	}
	// What stands in an error of net/http is not the token.
	for _, b := range []byte(token) {
		if b <= ' ' || b > '~' {
			return fmt.Errorf("%w: the token has characters that no token has: it is one line, as berth token add has printed it", ErrSettings)
		}
	}
	req.Header.Set("Authorization", "Bearer "+token)
	return nil
}

// check reads the settings, the first time, and tells what is wrong with them.
func (r *remote) check() error {
	r.once.Do(func() { r.err = r.read() })
	return r.err
}

func (r *remote) read() error {
	u, err := url.Parse(r.url)
	switch {
	case err != nil || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return fmt.Errorf("%w: BERTH_URL is not https://HOST:PORT", ErrSettings)
	case u.Scheme != "https":
		return fmt.Errorf("%w: BERTH_URL begins with %.20q: the daemon serves TCP with TLS only: https://HOST:PORT", ErrSettings, u.Scheme+"://")
	case u.Port() == "":
		return fmt.Errorf("%w: BERTH_URL has no port: https://HOST:PORT", ErrSettings)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS13, ServerName: u.Hostname(), NextProtos: []string{"http/1.1"}}
	if r.caFile != "" {
		data, err := os.ReadFile(r.caFile)
		if err != nil {
			return fmt.Errorf("%w: BERTH_CA_FILE: %w", ErrSettings, err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(data) {
			return fmt.Errorf("%w: BERTH_CA_FILE: %s has no certificate in it (PEM)", ErrSettings, r.caFile)
		}
	}
	r.address, r.config = u.Host, config
	return nil
}

// handshakeLimit is how long the daemon may take until there is a connection.
const handshakeLimit = 15 * time.Second

// dial connects and shakes hands.
func (r *remote) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeLimit)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", r.address)
	if err != nil {
		if absent(err) {
			return nil, fmt.Errorf("%w on %s: %w", ErrNoDaemon, r.url, bare(err))
		}
		return nil, fmt.Errorf("connect to %s: %w", r.url, bare(err))
	}
	secured := tls.Client(conn, r.config)
	if err := secured.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, r.unbelieved(err)
	}
	return secured, nil
}

// bare is an error of the network without the address, which is said already.
func bare(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return err
}

// unbelieved words why there is no connection with whoever answers.
func (r *remote) unbelieved(err error) error {
	say := func(text string) error { return fmt.Errorf("%w: %s: %s", ErrCertificate, r.url, text) }
	if unknown, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		by := ""
		if unknown.Cert != nil {
			by = fmt.Sprintf(" (%s)", unknown.Cert.Issuer)
		}
		return say("who has signed it is not known here" + by + ": name the file of that certificate with BERTH_CA_FILE")
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired && invalid.Cert != nil {
		if now := time.Now(); now.Before(invalid.Cert.NotBefore) {
			return say("it is not valid before " + invalid.Cert.NotBefore.UTC().Format(time.RFC3339))
		}
		return say("it has expired (" + invalid.Cert.NotAfter.UTC().Format(time.RFC3339) + "): renew it where the daemon runs")
	}
	if host, ok := errors.AsType[x509.HostnameError](err); ok {
		return say(host.Error())
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return fmt.Errorf("%w: %s: whoever answers does not speak TLS", ErrCertificate, r.url)
	}
	return fmt.Errorf("connect to %s: %w", r.url, err)
}

// knock connects, to see whether somebody listens.
func (c *Client) knock(ctx context.Context) (net.Conn, error) {
	if c.remote == nil {
		return connect(ctx, c.socket)
	}
	if err := c.remote.check(); err != nil {
		return nil, err
	}
	return new(net.Dialer).DialContext(ctx, "tcp", c.remote.address)
}
