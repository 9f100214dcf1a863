package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"berth/api"
)

// ErrCertificate says that a daemon has no certificate to serve TLS with.
var ErrCertificate = errors.New("certificate")

// ListenTLS listens on a TCP address, for TLS 1.3 with the certificate chain and
// the key of two PEM files. The files are read again when they have changed; where
// the new ones will not do, that is told to log, and the old ones are used on.
//
// The errors are ErrCertificate, and those of the network.
func ListenTLS(address, certFile, keyFile string, log *slog.Logger) (net.Listener, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log}
	if err := c.load(); err != nil {
		return nil, err
	}
	if info, err := os.Stat(keyFile); err == nil && info.Mode().Perm()&0o077 != 0 {
		log.Warn("others of this machine may read the key of the certificate: chmod 600 it", "file", keyFile)
	}
	inner, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return tls.NewListener(plainRefuser{inner}, &tls.Config{
		MinVersion:     tls.VersionTLS13,
		NextProtos:     []string{"http/1.1"},
		GetCertificate: c.get,
	}), nil
}

// plainRefuser tells clients that speak HTTP without TLS what is wrong.
type plainRefuser struct{ net.Listener }

func (l plainRefuser) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &firstByte{Conn: conn}, nil
}

// firstByte is a connection whose first byte tells HTTP, which begins with the
// letters of a method, from TLS.
type firstByte struct {
	net.Conn
	seen bool
}

var errPlain = errors.New("a client speaks HTTP without TLS")

func (c *firstByte) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !c.seen {
		c.seen = true
		if p[0] >= 'A' && p[0] <= 'Z' {
			c.refuse()
			return 0, errPlain
		}
	}
	return n, err
}

// refuse answers. What the client still sends is read for a moment: closed over
// it, the connection would take the answer back.
func (c *firstByte) refuse() {
	answer(c.Conn, newProblem(http.StatusBadRequest, api.CodeInvalid, "this port speaks TLS only: use https://"))
	if tcp, ok := c.Conn.(*net.TCPConn); ok && tcp.CloseWrite() == nil {
		tcp.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		io.CopyN(io.Discard, tcp, maxHeaderBytes)
	}
}

// certificate is what a file of certificates and one of a key have.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu     sync.Mutex
	pair   *tls.Certificate
	stamps [2]stamp // of the files that were read, also where they would not do
}

// stamp tells a file from what it was before.
type stamp struct {
	size  int64
	time  time.Time
	inode os.FileInfo
}

func (s stamp) same(other stamp) bool {
	return s.size == other.size && s.time.Equal(other.time) && (s.inode == nil) == (other.inode == nil) &&
		(s.inode == nil || os.SameFile(s.inode, other.inode))
}

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	return stamp{info.Size(), info.ModTime(), info}
}

// get is asked at each handshake.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !stampOf(c.certFile).same(c.stamps[0]) || !stampOf(c.keyFile).same(c.stamps[1]) {
		if err := c.load(); err != nil {
			c.log.Error("the certificate has changed and cannot be used; the one before it is", "error", err)
		} else {
			c.log.Info("the certificate was read again", "file", c.certFile, "until", c.pair.Leaf.NotAfter)
		}
	}
	return c.pair, nil
}

// load reads the files. The lock is held, or nobody else knows c.
func (c *certificate) load() error {
	// Looked at before they are read: what changes meanwhile is read again.
	c.stamps = [2]stamp{stampOf(c.certFile), stampOf(c.keyFile)}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("%w %s with key %s: %w", ErrCertificate, c.certFile, c.keyFile, err)
	}
	switch now := time.Now(); {
	case now.After(pair.Leaf.NotAfter):
		return fmt.Errorf("%w %s: it has expired (%s): renew it", ErrCertificate, c.certFile, pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(pair.Leaf.NotBefore):
		return fmt.Errorf("%w %s: it is not valid before %s: is the clock of this machine right?", ErrCertificate, c.certFile, pair.Leaf.NotBefore.UTC().Format(time.RFC3339))
	}
	c.pair = &pair
	return nil
}
