package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"berth/launcher/gate"
)

// TestMain makes this test's binary the programs that scripts run: berth
// itself, a server to be run by it, and a client of that.
func TestMain(m *testing.M) {
	gate.Main()
	testscript.Main(m, map[string]func(){
		"berth":  main,
		"server": serverMain,
		"get":    getMain,
		"media":  mediaMain,
		"cert":   certMain,
	})
}

// serverMain is a trivial HTTP server: server [PORT]. Without an argument it
// takes the port of the variable PORT. It answers with its port and the
// arguments after it, on IPv4 loopback. /health answers 503 while the file of
// the variable ILL is there.
func serverMain() {
	port, rest := os.Getenv("PORT"), []string(nil)
	if len(os.Args) > 1 {
		port, rest = os.Args[1], os.Args[2:]
	}
	l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
	fmt.Println("listening on", port)
	srv := &http.Server{
		ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := os.Stat(os.Getenv("ILL")); err == nil && r.URL.Path == "/health" {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			fmt.Fprintln(w, "port", port, rest)
		}),
	}
	fmt.Fprintln(os.Stderr, "server:", srv.Serve(l))
	os.Exit(1)
}

// mediaMain is bound to contiguous UDP ports until it is ended: media FIRST COUNT.
func mediaMain() {
	first, _ := strconv.Atoi(os.Args[1])
	count, _ := strconv.Atoi(os.Args[2])
	for port := first; port < first+count; port++ {
		if _, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", port)); err != nil {
			fmt.Fprintln(os.Stderr, "media:", err)
			os.Exit(1)
		}
	}
	select {}
}

// getMain prints what a server answers: get PORT.
func getMain() {
	c := http.Client{Timeout: time.Minute}
	resp, err := c.Get("http://127.0.0.1:" + os.Args[1] + "/")
	if err == nil {
		_, err = io.Copy(os.Stdout, resp.Body)
		resp.Body.Close()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "get:", err)
		os.Exit(1)
	}
}
