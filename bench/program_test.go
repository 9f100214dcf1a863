package bench_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long something may take that has to happen.
const patience = time.Minute

// built are the programs that are there.
var built struct {
	sync.Mutex
	paths map[string]string
}

// buildOnce builds a program where no benchmark of this run has yet, and
// returns its path.
func buildOnce(b testing.TB, name string, build func(path string) error) string {
	b.Helper()
	built.Lock()
	defer built.Unlock()
	if path := built.paths[name]; path != "" {
		return path
	}
	if built.paths == nil {
		built.paths = make(map[string]string)
	}
	path := filepath.Join(folder(b), name)
	if err := build(path); err != nil {
		b.Fatal(err)
	}
	built.paths[name] = path
	return path
}

// command runs a program to its end; its output is in the error.
func command(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// trivial returns the path of the trivial server: in C and static, or in Go
// where that cannot be built.
func trivial(b testing.TB) string {
	b.Helper()
	return buildOnce(b, "serve", func(path string) error {
		cErr := command("cc", "-static", "-O2", "-o", path, "testdata/serve.c")
		if cErr == nil {
			return nil
		}
		fmt.Fprintln(os.Stderr, "the trivial server is in Go, and so slower to start, as there is no static C:", cErr)
		return command("go", "build", "-o", path, "./testdata/serve")
	})
}

// raw are processes that were started without Berth.
type raw []*os.Process

// startRaw starts a program n times, one after the other, with nothing around
// it but a session of its own, as Berth's processes have: the kernel shares the
// processors out among sessions (sched_autogroup_enabled, sched(7)), and where
// ten JVMs are ten of them, that alone takes them longer than one. The function
// says how each is started.
func startRaw(b testing.TB, path string, n int, how func(i int) (args, env []string)) raw {
	b.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	attr := os.ProcAttr{Files: []*os.File{null, null, null}, Sys: &syscall.SysProcAttr{Setsid: true}}
	var all raw
	for i := range n {
		args, env := how(i)
		attr.Env = env
		p, err := os.StartProcess(path, append([]string{path}, args...), &attr)
		if err != nil {
			all.end(b)
			b.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

// end kills the processes and waits until they are gone.
func (all raw) end(b testing.TB) {
	for _, p := range all {
		if err := p.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			b.Error(err)
		}
	}
	for _, p := range all {
		if _, err := p.Wait(); err != nil {
			b.Error(err)
		}
	}
}

// rawPorts are n ports for servers that are started without Berth.
func rawPorts(n int) []int {
	ports := make([]int, min(n, maxRawPort-minRawPort+1))
	for i := range ports {
		ports[i] = minRawPort + i
	}
	return ports
}

// connectAll connects to each of the ports in turn until it can. It tries again
// after a two-hundredth of the time that it has tried already, because what
// tries more often takes the processor from those whom it waits for.
func connectAll(ports []int) error {
	begin := time.Now()
	for _, port := range ports {
		for {
			err := connect(port)
			if err == nil {
				break
			}
			passed := time.Since(begin)
			if passed > patience {
				return fmt.Errorf("connect to port %d, for %s: %w", port, patience, err)
			}
			time.Sleep(max(passed/200, 100*time.Microsecond))
		}
	}
	return nil
}

// connect connects to a port of the loopback interface and hangs up, which
// leaves nothing behind.
func connect(port int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		return err
	}
	return unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
}

// monotonic is the time of CLOCK_MONOTONIC.
func monotonic(b testing.TB) time.Duration {
	b.Helper()
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		b.Fatal(err)
	}
	return time.Duration(t.Nano())
}

// awaitStamp waits for the file in which the trivial server says when its main
// began, and removes it.
func awaitStamp(b testing.TB, file string) time.Duration {
	b.Helper()
	for deadline := time.Now().Add(patience); ; {
		text, err := os.ReadFile(file)
		if err == nil && strings.HasSuffix(string(text), "\n") {
			at, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
			if err == nil {
				err = os.Remove(file)
			}
			if err != nil {
				b.Fatal(err)
			}
			return time.Duration(at)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			b.Fatal(err)
		}
		if time.Now().After(deadline) {
			b.Fatalf("no process has written %s after %s", file, patience)
		}
		time.Sleep(100 * time.Microsecond)
	}
}
