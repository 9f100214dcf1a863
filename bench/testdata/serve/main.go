// Serve does what serve.c does, where there is no C compiler.
package main

import (
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	var began unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &began); err != nil {
		fail(2, err)
	}
	if len(os.Args) == 3 && os.Args[1] == "stamp" {
		if err := os.WriteFile(os.Args[2], fmt.Appendln(nil, began.Nano()), 0o600); err != nil {
			fail(1, err)
		}
		return
	}
	time.AfterFunc(10*time.Minute, func() { os.Exit(4) })
	port := os.Getenv("PORT")
	if len(os.Args) == 2 {
		port = os.Args[1]
	}
	l, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		fail(3, err)
	}
	if len(os.Args) == 3 && os.Args[1] == "tell" {
		if err := tell(os.Args[2], port); err != nil {
			fail(5, err)
		}
	}
	for {
		if conn, err := l.Accept(); err == nil {
			conn.Close()
		}
	}
}

func tell(socket, port string) error {
	conn, err := net.Dial("unixgram", socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Write([]byte(port))
	return err
}

func fail(code int, err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(code)
}
