package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"berth/api"
	"berth/client"
	"berth/home"
	"berth/launcher/gate"
)

// The test binary is also the daemon that it starts.
func TestMain(m *testing.M) {
	gate.Main()
	switch os.Getenv("BERTH_TEST_DAEMON") {
	case "":
		os.Exit(m.Run())
	case "fails":
		fmt.Fprintln(os.Stderr, "the state folder is locked by pid 4711")
		os.Exit(1)
	case "hangs":
		for {
			unix.Pause()
		}
	default:
		daemon()
	}
}

// daemon tells what it found when it started, and ends when it is told to.
func daemon() {
	var fds []string
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic(err)
	}
	for _, entry := range entries {
		target, err := os.Readlink("/proc/self/fd/" + entry.Name())
		if err == nil && !strings.Contains(target, "/proc/") && !strings.HasPrefix(target, "/sys/") && !strings.HasPrefix(target, "anon_inode:") {
			fds = append(fds, entry.Name()+"="+target)
		}
	}
	wd, _ := os.Getwd()
	sid, _ := unix.Getsid(0)
	started, _ := json.Marshal(map[string]any{
		"fds": fds, "dir": wd, "leader": sid == os.Getpid(), "home": os.Getenv("BERTH_HOME"), "args": os.Args[1:],
	})

	paths, err := home.Find(os.Getenv, os.Getuid())
	if err != nil {
		panic(err)
	}
	f, err := os.OpenFile(filepath.Join(paths.State, "starts"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	fmt.Fprintln(f, string(started))
	f.Close()

	os.Remove(paths.Socket)
	l, err := net.Listen("unix", paths.Socket)
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/daemon", func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(api.Daemon{PID: os.Getpid()})
	})
	stop := make(chan struct{})
	mux.HandleFunc("POST /v1/daemon/stop", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		close(stop)
	})
	srv := &http.Server{Handler: mux}
	go func() { _ = srv.Serve(l) }()
	<-stop
	_ = srv.Shutdown(context.Background())
}

type started struct {
	FDs    []string
	Dir    string
	Leader bool
	Home   string
	Args   []string
}

func starts(t *testing.T, p home.Paths) []started {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(p.State, "starts"))
	if err != nil {
		t.Fatal(err)
	}
	var out []started
	for line := range strings.Lines(string(data)) {
		var s started
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}

func place(t *testing.T, mode string) (home.Paths, []string) {
	t.Helper()
	dir := filepath.Join(tempDir(t), "home")
	env := append(os.Environ(), "BERTH_HOME="+dir, "BERTH_SOCKET=", "BERTH_AUTOSTART=", "BERTH_TEST_DAEMON="+mode)
	p, err := home.Find(func(name string) string {
		if name == "BERTH_HOME" {
			return dir
		}
		return ""
	}, os.Getuid())
	if err != nil {
		t.Fatal(err)
	}
	return p, env
}

// ended is in the stat of a process that has ended: proc_pid_stat(5).
var ended = regexp.MustCompile(`\) [ZX] `)

func stopDaemon(t *testing.T, p home.Paths) {
	t.Helper()
	c := newClient(t, p.Socket)
	d, err := c.StopDaemon(context.Background())
	if err != nil {
		t.Error(err)
		return
	}
	if err := unix.Kill(d.PID, 0); err == nil {
		// It may still be waited for by its parent, this process, or is reaped just now.
		if stat, err := os.ReadFile("/proc/" + strconv.Itoa(d.PID) + "/stat"); err == nil && !ended.Match(stat) {
			t.Errorf("the daemon still runs: %s", stat)
		}
	}
}

// Clients that start at once, in several processes' place, get one daemon.
func TestAutostart(t *testing.T) {
	p, env := place(t, "serves")

	// A descriptor of the caller's that would be inherited.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if _, err := unix.FcntlInt(w.Fd(), unix.F_SETFD, 0); err != nil {
		t.Fatal(err)
	}

	var wg sync.WaitGroup
	pids := make([]int, 8)
	for i := range pids {
		wg.Go(func() {
			c := client.New(client.Options{Socket: p.Socket, Start: client.Autostart{Paths: p, Env: env}.Start})
			defer c.Close()
			d, err := c.Daemon(t.Context())
			if err != nil {
				t.Error(err)
			}
			pids[i] = d.PID
		})
	}
	wg.Wait()
	t.Cleanup(func() { stopDaemon(t, p) })
	for _, pid := range pids {
		if pid == 0 || pid != pids[0] {
			t.Errorf("pids %v, want one", pids)
			break
		}
	}
	all := starts(t, p)
	if len(all) != 1 {
		t.Fatalf("%d daemons were started, want 1", len(all))
	}
	got := all[0]
	if got.Dir != "/" || !got.Leader || got.Home != p.State || len(got.Args) != 1 || got.Args[0] != "serve" {
		t.Errorf("the daemon found %+v", got)
	}
	want := map[string]bool{"0=/dev/null": true, "1=" + p.Log: true, "2=" + p.Log: true}
	for _, fd := range got.FDs {
		if !want[fd] {
			t.Errorf("the daemon has descriptor %s", fd)
		}
	}
}

func TestAutostartFails(t *testing.T) {
	p, env := place(t, "fails")
	if err := p.Prepare(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.Log, []byte("an earlier line\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := client.Autostart{Paths: p, Env: env}.Start(t.Context())
	if !errors.Is(err, client.ErrNoDaemon) || !strings.Contains(err.Error(), "exit status 1") || !strings.Contains(err.Error(), "locked by pid 4711") {
		t.Errorf("error %v", err)
	}
	if strings.Contains(err.Error(), "earlier") || strings.Contains(err.Error(), "\n") {
		t.Errorf("the error has lines of another start, or several: %q", err)
	}
}

func TestAutostartForbidden(t *testing.T) {
	p, env := place(t, "serves")
	err := client.Autostart{Paths: p, Env: append(env, "BERTH_AUTOSTART=0")}.Start(t.Context())
	if !errors.Is(err, client.ErrNoDaemon) || !strings.Contains(err.Error(), "BERTH_AUTOSTART=0") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(p.State); !os.IsNotExist(err) {
		t.Errorf("the state folder was made: %v", err)
	}
}

// A call that is not to start a daemon does not, even where others do.
func TestWithoutStart(t *testing.T) {
	p, _ := place(t, "serves")
	c := client.New(client.Options{Socket: p.Socket, Start: func(context.Context) error {
		t.Error("a daemon was started")
		return nil
	}})
	t.Cleanup(c.Close)
	if _, err := c.Daemon(client.WithoutStart(t.Context())); !errors.Is(err, client.ErrNoDaemon) {
		t.Errorf("error %v, want %v", err, client.ErrNoDaemon)
	}
	if _, err := c.StopDaemon(t.Context()); !errors.Is(err, client.ErrNoDaemon) {
		t.Errorf("StopDaemon: error %v, want %v", err, client.ErrNoDaemon)
	}
}
