// Command diagnostics is a program to be started by Berth and asked how it is:
// a server over HTTP, and HTTPS with a certificate that it makes for itself. Its
// page /health answers 503 while it warms up, and 200 from then on; /empty
// answers 204 instead.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"flag"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	plain := flag.String("http", "", "`port` of HTTP")
	secure := flag.String("https", "", "`port` of HTTPS")
	warmUp := flag.Duration("warm-up", 0, "how `long` it takes until it is well")
	flag.Parse()
	if err := serve(*plain, *secure, *warmUp); err != nil {
		fmt.Fprintln(os.Stderr, "diagnostics:", err)
		os.Exit(1)
	}
}

// serve answers on the ports that are given until it is asked to stop.
func serve(plain, secure string, warmUp time.Duration) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server := &http.Server{Handler: pages(time.Now().Add(warmUp)), ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan error, 2)
	if plain != "" {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", plain))
		if err != nil {
			return err
		}
		go func() { ended <- server.Serve(l) }()
	}
	if secure != "" {
		certificate, err := selfSigned()
		if err != nil {
			return err
		}
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", secure))
		if err != nil {
			return err
		}
		go func() {
			ended <- server.Serve(tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{certificate}}))
		}()
	}
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

func pages(well time.Time) http.Handler {
	mux := http.NewServeMux()
	page := func(path string, status int, text string) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			if time.Now().Before(well) {
				http.Error(w, "warming up", http.StatusServiceUnavailable)
				return
			}
			w.WriteHeader(status)
			fmt.Fprint(w, text)
		})
	}
	page("/health", http.StatusOK, "well\n")
	page("/empty", http.StatusNoContent, "")
	return mux
}

// selfSigned makes a certificate that nobody else has signed.
func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	text, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{text}, PrivateKey: key}, err
}
