package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// patience is how long anything that has to come is waited for.
const patience = time.Minute

// The ports that the measures use.
const (
	firstLeasePort, lastLeasePort     = 26000, 26999
	firstProcessPort, lastProcessPort = 27000, 27399
)

// newSuite builds the program and makes a folder for everything. The returned
// function removes it.
func newSuite(ctx context.Context, soak bool, seed uint64, log io.Writer) (*suite, func(), error) {
	s, end, err := folder("", soak, seed, log)
	if err != nil {
		return nil, nil, err
	}
	s.berth = filepath.Join(s.dir, programName)
	build := exec.CommandContext(ctx, "go", "build", "-tags", "faults", "-o", s.berth, "berth/cmd/berth")
	if out, err := build.CombinedOutput(); err != nil {
		end()
		return nil, nil, fmt.Errorf("build berth: %w\n%s", err, out)
	}
	return s, end, nil
}

// programName is that of the program in the folder of a suite.
const programName = "berth"

// mostOfFolder is how many bytes the path of a suite's folder may have: a socket
// is at most two tasks below it, each with ten digits at its end, and may have 107.
const mostOfFolder = 107 - len("/task0123456789/task0123456789/host0123456789/home/berth.sock")

// folder makes the folder of a suite, below another one or where temporary
// files are.
func folder(parent string, soak bool, seed uint64, log io.Writer) (*suite, func(), error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	name := "berth-faults"
	if parent != "" {
		name = "task"
	}
	dir, err := os.MkdirTemp(parent, name)
	if err != nil {
		return nil, nil, err
	}
	if parent == "" && len(dir) > mostOfFolder {
		return nil, nil, errors.Join(os.Remove(dir), fmt.Errorf("the folder %s leaves no room for the paths of sockets: name one with TMPDIR that has at most %d bytes",
			dir, len(filepath.Dir(dir))-len(dir)+mostOfFolder))
	}
	end := func() {
		if err := os.RemoveAll(dir); err != nil {
			fmt.Fprintln(log, "faults:", err)
		}
	}
	s := &suite{dir: dir, self: self, soak: soak, log: log, random: rand.New(rand.NewPCG(seed, 0))}
	return s, end, nil
}

// need is something that a machine may lack.
type need struct {
	name  string
	lacks func() string // why it is missing, empty if it is there
}

// needTool is a program that has to be installed.
func needTool(name string) need {
	return need{name, func() string {
		if _, err := exec.LookPath(name); err != nil {
			return "install it"
		}
		return ""
	}}
}

// serverArgument has this program be a server that processes run.
const serverArgument = "server"

// serveUntilAlone listens on PORT, which is what processes do in the measures,
// or with the socket that it was handed, and ends by itself when the suite is gone.
func serveUntilAlone() {
	suite, _ := strconv.Atoi(os.Getenv(suiteVariable))
	var l net.Listener
	var err error
	if os.Getenv("LISTEN_FDS") == "1" {
		l, err = net.FileListener(os.NewFile(3, "handed over")) // sd_listen_fds(3)
	} else {
		l, err = net.Listen("tcp", ":"+os.Getenv("PORT"))
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(3)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				os.Exit(4)
			}
			_ = c.Close()
		}
	}()
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	alone := time.NewTicker(500 * time.Millisecond)
	for {
		select {
		case <-asked:
			time.Sleep(rand.N(30 * time.Millisecond)) // and listens meanwhile
			os.Exit(0)
		case <-alone.C:
			if err := syscall.Kill(suite, 0); errors.Is(err, syscall.ESRCH) {
				os.Exit(5)
			}
		}
	}
}

// suiteVariable has the suite's process id for the servers.
const suiteVariable = "BERTH_FAULTS_PID"
