package launcher_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"berth/launcher"
	"berth/launcher/cgroup"
	"berth/launcher/gate"
	"berth/lease"
	"berth/store"
	"berth/store/storetest"

	"golang.org/x/sys/unix"
)

// patience is how long a test waits for an event that has to come.
const patience = time.Minute

func TestMain(m *testing.M) {
	gate.Main()
	if len(os.Args) > 1 && os.Args[1] == "program" {
		program(os.Args[2])
		return
	}
	os.Exit(m.Run())
}

// program is what the processes of these tests run.
func program(what string) {
	// Nothing outlives the test binary, however that ends.
	go func() {
		test, _ := strconv.Atoi(os.Getenv("TEST_PID"))
		for range time.Tick(200 * time.Millisecond) {
			if syscall.Kill(test, 0) != nil {
				os.Exit(4)
			}
		}
	}()
	listen := func() {
		l, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
		if err != nil {
			fmt.Println(err)
			os.Exit(3)
		}
		fmt.Println("listening on", l.Addr().(*net.TCPAddr).Port)
	}
	// told waits until the test has made a file for what the process is to do next.
	told := func(what string) {
		for {
			if _, err := os.Stat(filepath.Join(os.Getenv("BERTH_HOME"), what+"-"+os.Getenv("PORT"))); err == nil {
				return
			}
			time.Sleep(2 * time.Millisecond)
		}
	}
	switch what {
	case "late": // binds when it is told to
		told("bind")
		listen()
		select {}
	case "choosy": // binds the port that the test has written down when it is told to
		told("bind")
		number, _ := os.ReadFile(filepath.Join(os.Getenv("BERTH_HOME"), "number"))
		_ = os.Setenv("PORT", string(number))
		listen()
		select {}
	case "done": // ends well when it is told to, and never listens
		told("bind")
	case "closer": // lets go of its port when it is told to, and fails when it is told to
		l, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
		if err != nil {
			os.Exit(3)
		}
		told("close")
		_ = l.Close()
		fmt.Println("closed")
		told("bind")
		os.Exit(3)
	case "hoarder": // leaves a child that is bound to its port and does not listen
		port, _ := strconv.Atoi(os.Getenv("PORT"))
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0) // inherited by the child
		if err == nil {
			err = unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: port})
		}
		if err != nil {
			fmt.Println(err)
		}
		cmd := exec.Command("/proc/self/exe", "program", "idle")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		cmd.ExtraFiles = []*os.File{os.NewFile(uintptr(fd), "socket")}
		if err := cmd.Start(); err != nil {
			fmt.Println(err)
		}
		fmt.Println("child", cmd.Process.Pid)
		os.Exit(3)
	case "deserter": // its child listens, in a session of its own and with another parent
		cmd := exec.Command("/proc/self/exe", "program", "desert")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			fmt.Println(err)
			os.Exit(3)
		}
		fmt.Println("deserted")
		select {}
	case "desert":
		cmd := exec.Command("/proc/self/exe", "program", "serve")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			fmt.Println(err)
			os.Exit(3)
		}
		fmt.Println("child", cmd.Process.Pid)
	case "serve":
		listen()
		select {}
	case "stubborn": // does not end when it is asked to
		signal.Ignore(syscall.SIGTERM)
		listen()
		select {}
	case "parent", "patron": // its child listens; that of a patron does not end when it is asked to
		child := map[string]string{"parent": "serve", "patron": "stubborn"}[what]
		cmd := exec.Command("/proc/self/exe", "program", child)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Start(); err != nil {
			fmt.Println(err)
			os.Exit(3)
		}
		fmt.Println("child", cmd.Process.Pid)
		_ = cmd.Wait()
	case "activated": // serves on the sockets that it is handed
		activated()
	case "http": // answers with its pid, on what it is handed or on its port, until all is answered
		serveHTTP()
	case "fickle": // serves on what it is handed, unless it is told to fail
		if _, err := os.Stat(filepath.Join(os.Getenv("BERTH_HOME"), "fail-"+os.Getenv("PORT"))); err == nil {
			os.Exit(9)
		}
		activated()
	case "tardy": // has a socket of its daemon's, and binds its second port when it is told to
		_ = os.Setenv("PORT", os.Getenv("CORUS_PROCESS_PORT_OWN"))
		told("bind")
		listen()
		select {}
	case "udp":
		if _, err := net.ListenPacket("udp", "127.0.0.1:"+os.Getenv("PORT")); err != nil {
			fmt.Println(err)
			os.Exit(3)
		}
		select {}
	case "media": // binds the four UDP ports from its first one on
		first, _ := strconv.Atoi(os.Getenv("PORT"))
		for port := first; port < first+4; port++ {
			if _, err := net.ListenPacket("udp", "127.0.0.1:"+strconv.Itoa(port)); err != nil {
				fmt.Println(err)
				os.Exit(3)
			}
		}
		select {}
	case "busy":
		for n := uint64(0); ; n++ {
			runtime.KeepAlive(n)
		}
	case "count": // writes numbered lines, as quickly as it can
		for n := 1; ; n++ {
			fmt.Printf("%012d\n", n)
		}
	case "idle": // never listens
		fmt.Println("idle")
		select {}
	case "die":
		fmt.Println("first line")
		fmt.Println("cannot find my configuration")
		os.Exit(7)
	case "show":
		fmt.Println(strings.Join(os.Args, "\n"))
		fmt.Println(strings.Join(os.Environ(), "\n"))
	}
}

// serveHTTP is a server as they are: asked to end it accepts no more, and ends
// when it has answered.
func serveHTTP() {
	var l net.Listener
	var err error
	if os.Getenv("LISTEN_FDS") != "" {
		l, err = net.FileListener(os.NewFile(3, "socket"))
	} else {
		l, err = net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(3)
	}
	// Shutdown gives up connections whose request it has not read yet: they are
	// counted, and waited for before.
	var busy sync.WaitGroup
	var answered sync.Map // of connections
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, os.Getpid()) }),
		ConnState: func(c net.Conn, s http.ConnState) {
			switch s {
			case http.StateNew:
				busy.Add(1)
			case http.StateIdle, http.StateClosed:
				if _, answered := answered.LoadOrStore(c, true); !answered {
					busy.Done()
				}
			}
		},
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(l) }()
	<-asked
	_ = l.Close()
	<-served
	busy.Wait()
	_ = server.Shutdown(context.Background())
}

// activated takes its sockets as sd_listen_fds(3) says and answers each
// connection and datagram with its pid and the socket's name. Asked to end, it
// accepts no more, and stays.
func activated() {
	if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		fmt.Println("LISTEN_PID is", os.Getenv("LISTEN_PID"))
		os.Exit(3)
	}
	n, _ := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	if n != len(names) {
		fmt.Println(n, "sockets and the names", names)
		os.Exit(3)
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	var quiet []func(time.Time) error
	for i, name := range names {
		answer := fmt.Sprintf("%d %s\n", os.Getpid(), name)
		file := os.NewFile(uintptr(3+i), name)
		if l, err := net.FileListener(file); err == nil {
			quiet = append(quiet, l.(*net.TCPListener).SetDeadline)
			go func() {
				for c, err := l.Accept(); err == nil; c, err = l.Accept() {
					_, _ = io.WriteString(c, answer)
					_ = c.Close()
				}
			}()
			continue
		}
		c, err := net.FilePacketConn(file)
		if err != nil {
			fmt.Println(err)
			os.Exit(3)
		}
		go func() {
			var b [100]byte
			for _, from, err := c.ReadFrom(b[:]); err == nil; _, from, err = c.ReadFrom(b[:]) {
				_, _ = c.WriteTo([]byte(answer), from)
			}
		}()
	}
	<-asked
	for _, stop := range quiet {
		_ = stop(time.Unix(1, 0))
	}
	fmt.Println("accepts no more")
	select {}
}

// world is a launcher on a memory store, in a state folder of its own.
type world struct {
	*launcher.Launcher
	t      *testing.T
	home   string
	store  store.Store
	leases *lease.Manager
	stop   func()

	prober lease.Prober // nil for the system's
	lost   bool         // the store has lost what was acknowledged

	stateID string

	logLimit int64
	logFiles int

	killPause time.Duration

	settings launcher.Settings // nil where there are none

	cgroups *cgroup.Parent // of the processes; nil where they have none

	mu     sync.Mutex
	logged []string      // lines of the log
	more   chan struct{} // closed when the next one comes; nil while nobody waits
}

// newWorld makes a world with ranges, each "name min max".
func newWorld(t *testing.T, ranges ...lease.Range) *world {
	t.Helper()
	return newWorldWith(t, nil, ranges...)
}

// newWorldWith makes a world whose lease manager has a prober of the test.
func newWorldWith(t *testing.T, prober lease.Prober, ranges ...lease.Range) *world {
	t.Helper()
	w := &world{t: t, home: t.TempDir(), store: storetest.NewMemory(), prober: prober, stateID: "state"}
	w.open()
	if err := w.leases.AddRanges(t.Context(), ranges, lease.AddOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.Background() // that of the test is done
		if _, err := w.Kill(ctx, launcher.StopRequest{Hard: true, Wait: patience}); err != nil {
			t.Error(err)
		}
		if err := w.leases.Check(ctx); err != nil {
			t.Error(err)
		}
		if live := w.leases.Leases(); len(live) > 0 {
			t.Errorf("leases are left: %v", live)
		}
		w.close()
	})
	return w
}

// open starts lease manager and launcher on the world's store and folder.
func (w *world) open() {
	w.t.Helper()
	if err := w.tryOpen(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) tryOpen() error {
	w.t.Helper()
	log := slog.New(slog.NewTextHandler(logWriter{w}, nil))
	ctx := context.WithoutCancel(w.t.Context())
	var err error
	if w.leases, err = lease.Open(ctx, lease.Options{Store: w.store, Prober: w.prober, Logger: log}); err != nil {
		w.t.Fatal(err)
	}
	binary, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	w.Launcher, err = launcher.Open(ctx, launcher.Options{
		Store: w.store, Leases: w.leases, Home: w.home, Socket: filepath.Join(w.home, "berth.sock"), StateID: w.stateID,
		Environ: append(os.Environ(), "TEST_BINARY="+binary, "TEST_PID="+strconv.Itoa(os.Getpid())), Logger: log, KeepEnded: 5, LogLimit: w.logLimit, LogFiles: w.logFiles, KillPause: w.killPause, Settings: w.settings, Lost: w.lost, Cgroups: w.cgroups,
	})
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	runCtx, cancel := context.WithCancel(ctx)
	go func() { done <- w.Run(runCtx) }()
	w.stop = func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	}
	return nil
}

func (w *world) close() {
	w.stop()
	for _, c := range []io.Closer{w.Launcher, w.leases} {
		if err := c.Close(); err != nil {
			w.t.Error(err)
		}
	}
}

// reopen is what a new daemon does after the old one was killed.
func (w *world) reopen() {
	w.t.Helper()
	w.close()
	w.open()
}

// deploy deploys distribution demo 1.0 with the given elements.
func (w *world) deploy(processes string) {
	w.t.Helper()
	w.deployAs("demo", "1.0", processes)
}

func (w *world) deployAs(name, version, processes string) {
	w.t.Helper()
	file := filepath.Join(w.t.TempDir(), "corus.xml")
	text := fmt.Sprintf("<distribution name=%q version=%q>%s</distribution>", name, version, processes)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	if _, _, err := w.Deploy(w.t.Context(), file, "corus.xml"); err != nil {
		w.t.Fatal(err)
	}
}

// process is a process element that runs a program of the tests.
func process(name, ports, program string) string {
	return fmt.Sprintf(`<process name=%q shutdownTimeout="400">%s<generic profile="test">
		<arg value="${TEST_BINARY}"/><arg value="program"/><arg value=%q/></generic></process>`, name, ports, program)
}

// exec starts instances of a process of demo 1.0 and waits until they listen.
func (w *world) exec(name string, instances int) []launcher.Process {
	w.t.Helper()
	r, err := w.Exec(w.t.Context(), launcher.ExecRequest{
		Distribution: "demo", Version: "1.0", Profile: "test", Name: name, Instances: instances, Wait: patience,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Processes
}

// awaitProcess waits until a process is as wanted.
func (w *world) awaitProcess(id int, wanted func(launcher.Process) bool) launcher.Process {
	w.t.Helper()
	deadline := time.After(patience)
	for {
		change := w.Changed(id)
		p, err := w.Process(id)
		if err != nil {
			w.t.Fatal(err)
		}
		if wanted(p) {
			return p
		}
		select {
		case <-change:
		case <-deadline:
			w.t.Fatalf("process %d stays %+v", id, p)
		}
	}
}

func (w *world) awaitEnded(id int) launcher.Process {
	w.t.Helper()
	return w.awaitProcess(id, func(p launcher.Process) bool { return !p.Live() })
}

// output is what a process wrote.
func (w *world) output(id int) string {
	w.t.Helper()
	o, err := w.OpenOutput(id)
	if err != nil {
		w.t.Fatal(err)
	}
	first, end, err := o.Bounds()
	if err != nil {
		w.t.Fatal(err)
	}
	b, err := io.ReadAll(io.NewSectionReader(o, first, end-first))
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

func numbers(processes []launcher.Process) (ports []int) {
	for _, p := range processes {
		for _, port := range p.Ports {
			ports = append(ports, port.Number)
		}
	}
	return ports
}

type logWriter struct{ w *world }

func (w logWriter) Write(b []byte) (int, error) {
	w.w.t.Logf("%s", strings.TrimSpace(string(b)))
	w.w.mu.Lock()
	defer w.w.mu.Unlock()
	w.w.logged = append(w.w.logged, string(b))
	if w.w.more != nil {
		close(w.w.more)
		w.w.more = nil
	}
	return len(b), nil
}

func put(t *testing.T, s store.Store, key, value string) {
	t.Helper()
	var b store.Batch
	b.Put(key, []byte(value))
	if _, err := s.Commit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

// eventually waits until something is so. What it is not is what the test fails with.
func eventually(t testing.TB, holds func() (ok bool, otherwise string)) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		ok, otherwise := holds()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(otherwise)
		}
	}
}
