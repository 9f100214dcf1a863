// Command demo shows what Berth does, on a machine that has nothing but Go:
//
//	go run ./samples/demo
//
// It builds berth and the sample http-generic into a temporary folder, starts a
// daemon of its own there, and runs a session of real commands, each printed
// before its output: a range is made, the sample deployed, three processes
// started on ports of the range and asked for their pages, and stopped. What it
// shows is checked. At the end, and when it is interrupted, its processes and its
// daemon are stopped and the folder is removed. A daemon of the user's is never
// touched.
//
// It ends with exit code 0, with 1 where a step failed, and with 2 for wrong usage.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// size is the number of ports of the range, instances that of the processes.
const (
	size      = 6
	instances = 3
)

func main() {
	keep := flag.Bool("keep", false, "keep the temporary folder, and say how to look at it")
	first := flag.Int("min", 8080, fmt.Sprintf("first `PORT` of the range, which has %d", size))
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: go run ./samples/demo [-keep] [-min PORT]")
		flag.PrintDefaults()
	}
	flag.Parse()
	last := *first + size - 1
	switch {
	case flag.NArg() > 0:
		usage(fmt.Sprintf("unexpected word %q", flag.Arg(0)))
	case *first < 1 || last > 65535:
		usage(fmt.Sprintf("-min %d: ports are 1 to 65535, and the range has %d", *first, size))
	}

	// SIGPIPE comes when the output is piped into something that ended: then
	// too there is a daemon to be stopped.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	err := run(ctx, *first, last, *keep)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func usage(problem string) {
	fmt.Fprintln(os.Stderr, "demo:", problem)
	flag.Usage()
	os.Exit(2)
}

// run makes the folder, shows the session in it, and cleans up.
func run(ctx context.Context, first, last int, keep bool) (err error) {
	w, err := newWorkspace()
	if err != nil {
		return err
	}
	s := &session{workspace: w}
	defer func() {
		// Not under ctx: an interrupted demo cleans up too.
		if left := s.end(); left != nil {
			err = also(err, fmt.Errorf("%w; what is left is in %s", left, w.dir))
			return
		}
		if keep {
			s.tellHow()
			return
		}
		if left := w.remove(); left != nil {
			err = also(err, left)
		}
	}()
	if err := w.build(ctx); err != nil {
		return err
	}
	return s.show(ctx, first, last)
}

// also puts a second error behind the first, on one line.
func also(err, second error) error {
	if err == nil {
		return second
	}
	return fmt.Errorf("%w; and %w", err, second)
}
