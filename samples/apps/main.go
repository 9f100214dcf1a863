// Command apps is a program to be started by Berth: an HTTP server on the port
// of the variable PORT. Its page shows what it was told, and /health answers
// with 200 as long as it is well: a request to /ill ends that.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

func main() {
	if err := serve(os.Getenv("PORT")); err != nil {
		fmt.Fprintln(os.Stderr, "apps:", err)
		os.Exit(1)
	}
}

func serve(port string) error {
	if port == "" {
		return errors.New("the variable PORT is empty: start it with berth")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		return err
	}
	var ill atomic.Bool
	pages := http.NewServeMux()
	pages.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "greeting=%s\ninstance=%s\nPORT=%s\narguments=%s\n",
			os.Getenv("GREETING"), os.Getenv("NODE_APP_INSTANCE"), port, strings.Join(os.Args[1:], " "))
	})
	pages.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) {
		if ill.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	pages.HandleFunc("/ill", func(http.ResponseWriter, *http.Request) { ill.Store(true) })
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: pages}
	fmt.Println("instance", os.Getenv("NODE_APP_INSTANCE"), "listens on", listener.Addr())
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	fmt.Println("asked to stop")
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}
