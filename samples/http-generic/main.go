// Command http-generic is a program to be started by Berth: an HTTP server on
// the port that it is told. Berth tells it in three ways, and its page shows
// them all: the variable PORT in the environment, an argument that the
// descriptor writes as ${corus.server.port.http}, and the property
// -Dcorus.process.port.http where the descriptor has <processProperties/>.
//
// A program needs one of them. This one takes all, and ends with exit code 2
// where one is missing or they differ.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	port, told, err := read(os.Args[1:], os.Getenv)
	if err != nil {
		fmt.Fprintln(os.Stderr, "http-generic:", err)
		os.Exit(2)
	}
	if err := serve(port, told); err != nil {
		fmt.Fprintln(os.Stderr, "http-generic:", err)
		os.Exit(1)
	}
}

// read finds the port, and returns with it what the page shows.
func read(args []string, getenv func(string) string) (port string, page []string, err error) {
	properties := map[string]string{}
	var words []string
	for _, arg := range args {
		if property, ok := strings.CutPrefix(arg, "-D"); ok {
			name, value, _ := strings.Cut(property, "=")
			properties[name] = value
		} else {
			words = append(words, arg)
		}
	}
	ways := []struct{ name, value string }{
		{"PORT", getenv("PORT")},
		{"argument", strings.Join(words, " ")},
		{"corus.process.port.http", properties["corus.process.port.http"]},
		{"corus.server.port.http", properties["corus.server.port.http"]},
		{"http.port", properties["http.port"]},
	}
	for _, way := range ways {
		page = append(page, way.name+"="+way.value)
	}
	for _, way := range ways {
		if way.value == "" || way.value != ways[0].value {
			return "", nil, fmt.Errorf("the port is not told alike everywhere: %s: start it with berth exec", strings.Join(page, ", "))
		}
	}
	page = append(page, "process="+getenv("BERTH_PROCESS_ID"), fmt.Sprintf("pid=%d", os.Getpid()))
	var rest []string
	for name, value := range properties {
		if !slices.ContainsFunc(ways, func(way struct{ name, value string }) bool { return way.name == name }) {
			rest = append(rest, name+"="+value)
		}
	}
	slices.Sort(rest)
	return ways[0].value, append(page, rest...), nil
}

// serve answers every request with the page until it is asked to stop.
func serve(port string, page []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		return err
	}
	server := &http.Server{
		ReadHeaderTimeout: 5 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			fmt.Fprintln(w, strings.Join(page, "\n"))
		}),
	}
	fmt.Println("listening on", listener.Addr())
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	fmt.Println("asked to stop")
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}
