package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"berth/api"
	"berth/client"
	"berth/home"
	"berth/store"
	"berth/store/badger"
)

// paths are those of a daemon in a folder.
func pathsIn(t *testing.T, dir string) home.Paths {
	t.Helper()
	p, err := home.Find(func(name string) string {
		if name == "BERTH_HOME" {
			return dir
		}
		return ""
	}, os.Geteuid())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// running is a daemon in this process.
type running struct {
	client *client.Client
	cancel context.CancelFunc
	ended  chan error
}

// start runs a daemon on a state folder until the test ends, once each change
// was made to it. It is ready on return.
func start(t *testing.T, dir string, changes ...func(*daemon)) *running {
	t.Helper()
	paths := pathsIn(t, dir)
	d := newDaemon(paths, slog.New(slog.DiscardHandler))
	for _, change := range changes {
		change(d)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{client: client.New(client.Options{Socket: paths.Socket}), cancel: cancel, ended: make(chan error, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.ended <- d.run(ctx)
	}()
	t.Cleanup(func() {
		r.client.Close()
		cancel()
		<-done
	})
	select {
	case <-d.ready:
	case err := <-r.ended:
		t.Fatalf("the daemon did not start: %v", err)
	}
	return r
}

// refused runs a daemon that must not start, and returns its error.
func refused(t *testing.T, dir string, changes ...func(*daemon)) error {
	t.Helper()
	d := newDaemon(pathsIn(t, dir), slog.New(slog.DiscardHandler))
	for _, change := range changes {
		change(d)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- d.run(ctx) }()
	select {
	case <-d.ready:
		cancel()
		<-ended
		t.Fatal("the daemon started")
		return nil
	case err := <-ended:
		if err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("the error is not one line: %v", err)
		}
		return err
	}
}

func TestServe(t *testing.T) {
	ctx := t.Context()
	dir := filepath.Join(t.TempDir(), "new", "home")
	r := start(t, dir)
	d, err := r.client.Daemon(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if d.PID != os.Getpid() || d.Home != dir || d.Version != buildVersion() || d.RSSBytes == 0 {
		t.Errorf("%+v", d)
	}
	for name, mode := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, "lock"): 0o600, filepath.Join(dir, "state-id"): 0o600} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != mode {
			t.Errorf("%s has mode %v, want %v", name, info.Mode().Perm(), mode)
		}
	}
	if _, err := r.client.AddRanges(ctx, api.AddRanges{Ranges: []api.Range{{Name: "http", Min: 24900, Max: 24901}}}); err != nil {
		t.Fatal(err)
	}

	// Asked to stop by a client, it ends; the next one finds everything.
	resp, err := unixHTTP(filepath.Join(dir, "berth.sock")).Post("http://berth/v1/daemon/stop", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if err := <-r.ended; err != nil || resp.StatusCode != http.StatusAccepted {
		t.Fatalf("stop: %d, %v", resp.StatusCode, err)
	}
	ranges, err := start(t, dir).client.Ranges(ctx, "*")
	if err != nil || len(ranges) != 1 || ranges[0].Name != "http" {
		t.Errorf("ranges of the next daemon: %+v %v", ranges, err)
	}
}

func unixHTTP(socket string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
}

// A second daemon of a state folder is told who the first is.
func TestServeTwice(t *testing.T) {
	dir := t.TempDir()
	start(t, dir)
	if err := refused(t, dir); !errors.Is(err, errLocked) || !strings.Contains(err.Error(), "pid ") {
		t.Errorf("a second daemon: %v", err)
	}
}

// copyFolder copies a state folder as an administrator does.
func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func readID(t *testing.T, dir string) string {
	t.Helper()
	id, err := os.ReadFile(filepath.Join(dir, "state-id"))
	if err != nil {
		t.Fatal(err)
	}
	return string(id)
}

// A copy of a state folder is not served beside the original before it has an
// id of its own, which it gets when it is served alone.
func TestServeCopy(t *testing.T) {
	ctx := t.Context()
	parent := t.TempDir()
	dir, copied := filepath.Join(parent, "home"), filepath.Join(parent, "copy")
	r := start(t, dir)
	if _, err := r.client.AddRanges(ctx, api.AddRanges{Ranges: []api.Range{{Name: "http", Min: 24900, Max: 24901}}}); err != nil {
		t.Fatal(err)
	}
	copyFolder(t, dir, copied)
	if err := refused(t, copied); !errors.Is(err, errCopied) {
		t.Errorf("the copy: %v", err)
	}
	adopting := func(d *daemon) { d.adoptCopy = true }
	if err := refused(t, copied, adopting); !errors.Is(err, errCopied) {
		t.Errorf("the copy in place of the original: %v", err)
	}
	r.cancel()
	if err := <-r.ended; err != nil {
		t.Fatal(err)
	}

	ranges, err := start(t, copied).client.Ranges(ctx, "*")
	if err != nil || len(ranges) != 1 {
		t.Errorf("ranges of the copy: %+v %v", ranges, err)
	}
	if readID(t, copied) == readID(t, dir) {
		t.Error("the copy has the id of the original still")
	}
	start(t, dir) // beside the copy
}

// A copy that takes the place of its original keeps the id.
func TestServeAdoptCopy(t *testing.T) {
	parent := t.TempDir()
	dir, copied := filepath.Join(parent, "home"), filepath.Join(parent, "copy")
	r := start(t, dir)
	r.cancel()
	if err := <-r.ended; err != nil {
		t.Fatal(err)
	}
	copyFolder(t, dir, copied)
	id := readID(t, dir)
	r = start(t, copied, func(d *daemon) { d.adoptCopy = true })
	if readID(t, copied) != id {
		t.Error("the copy has another id")
	}
	if err := refused(t, dir); !errors.Is(err, errCopied) {
		t.Errorf("the original beside it: %v", err)
	}
	r.cancel()
	if err := <-r.ended; err != nil {
		t.Fatal(err)
	}
	start(t, copied) // it is the original from now on
	if readID(t, copied) != id {
		t.Error("the copy has another id the second time")
	}
}

// A state folder is the same one by whatever name it is reached.
func TestServeOtherName(t *testing.T) {
	parent := t.TempDir()
	dir, link, moved := filepath.Join(parent, "home"), filepath.Join(parent, "link"), filepath.Join(parent, "moved")
	r := start(t, dir)
	id := readID(t, dir)
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if err := refused(t, link); !errors.Is(err, errLocked) {
		t.Errorf("by a link: %v", err)
	}
	elsewhere := func(d *daemon) { d.paths.Socket, d.lockLimit = filepath.Join(parent, "other.sock"), 0 }
	if err := refused(t, link, elsewhere); !errors.Is(err, errLocked) {
		t.Errorf("by a link, with another socket: %v", err)
	}
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	if err := refused(t, moved, elsewhere); !errors.Is(err, errLocked) {
		t.Errorf("renamed: %v", err)
	}
	if err := <-r.ended; !errors.Is(err, errReplaced) {
		t.Errorf("the first daemon ended with %v", err)
	}
	if isCopy, err := copied(moved, strings.TrimSpace(id)); isCopy || err != nil {
		t.Errorf("the renamed folder is taken for a copy: %v (%v)", isCopy, err)
	}
}

// A daemon whose folder was moved away ends, and another may have the path.
func TestServeReplaced(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "home")
	r := start(t, dir)
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	if err := <-r.ended; !errors.Is(err, errReplaced) {
		t.Errorf("the daemon ended with %v", err)
	}
	start(t, dir)
}

// brokenStore is a store that says that it failed.
type brokenStore struct {
	failingStore
	failed chan struct{}
}

var errDisk = errors.New("the disk is gone")

func (s *brokenStore) Failed() <-chan struct{} { return s.failed }
func (s *brokenStore) Err() error              { return errDisk }

func TestServeStoreFails(t *testing.T) {
	dir := t.TempDir()
	failed := make(chan struct{})
	r := start(t, dir, func(d *daemon) {
		open := d.openStore
		d.openStore = func(dir string, log *slog.Logger) (failingStore, error) {
			st, err := open(dir, log)
			return &brokenStore{st, failed}, err
		}
	})
	close(failed)
	if err := <-r.ended; !errors.Is(err, errDisk) {
		t.Errorf("the daemon ended with %v", err)
	}
	start(t, dir) // everything was given up
}

// A store that is still another process' is waited for, as long as for the folder.
func TestServeAwaitsStore(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "store")
	holder, err := badger.Open(path, badger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	refusals := 0
	awaiting := func(d *daemon) {
		open := d.openStore
		d.openStore = func(dir string, log *slog.Logger) (failingStore, error) {
			st, err := open(dir, log)
			if errors.Is(err, store.ErrLocked) {
				if refusals++; refusals == 2 {
					if err := holder.Close(); err != nil {
						t.Error(err)
					}
				}
			}
			return st, err
		}
	}
	start(t, dir, awaiting)
	if refusals != 2 {
		t.Errorf("the store was refused %d times, want twice", refusals)
	}
}

// It is not waited for for ever.
func TestServeStoreInUse(t *testing.T) {
	dir := t.TempDir()
	holder, err := badger.Open(filepath.Join(dir, "store"), badger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = refused(t, dir, func(d *daemon) { d.lockLimit = 0 })
	if !errors.Is(err, store.ErrLocked) {
		t.Errorf("the daemon ended with %v, want %v", err, store.ErrLocked)
	}
	if err := holder.Close(); err != nil {
		t.Fatal(err)
	}
	start(t, dir)
}

func TestServeRefused(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(dir string) error
		err     error
		say     string
	}{
		{"a file for a home", func(dir string) error { return errors.Join(os.Remove(dir), os.WriteFile(dir, nil, 0o600)) }, nil, "state folder"},
		{"a bad id", func(dir string) error { return os.WriteFile(filepath.Join(dir, "state-id"), []byte("x\n"), 0o600) }, errStateID, "32 hexadecimal"},
		{"an empty id", func(dir string) error { return os.WriteFile(filepath.Join(dir, "state-id"), nil, 0o600) }, errStateID, "backup"},
		{"another id", func(dir string) error {
			id := strings.Repeat("a", 32)
			err := bindStateID(dir, id)
			return errors.Join(err, os.WriteFile(filepath.Join(dir, "state-id"), []byte("b"+id[1:]+"\n"), 0o600))
		}, errStateID, "another id"},
		{"a file for a store", func(dir string) error { return os.WriteFile(filepath.Join(dir, "store"), nil, 0o600) }, nil, "open the store"},
		{"a file for a socket", func(dir string) error { return os.WriteFile(filepath.Join(dir, "berth.sock"), nil, 0o600) }, nil, "is no socket"},
		{"a folder for a lock", func(dir string) error { return os.Mkdir(filepath.Join(dir, "lock"), 0o700) }, nil, "lock the state folder"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "home")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := tt.prepare(dir); err != nil {
				t.Fatal(err)
			}
			err := refused(t, dir)
			if tt.err != nil && !errors.Is(err, tt.err) || err != nil && !strings.Contains(err.Error(), tt.say) {
				t.Errorf("refused with %v, which does not say %q", err, tt.say)
			}
		})
	}
}

// Who has the lock and does not answer is waited for.
func TestLockWaits(t *testing.T) {
	paths := pathsIn(t, t.TempDir())
	first, err := takeLock(t.Context(), paths, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := takeLock(t.Context(), paths, 0); !errors.Is(err, errLocked) {
		t.Fatalf("locked twice: %v", err)
	}
	got := make(chan error, 1)
	go func() {
		second, err := takeLock(t.Context(), paths, time.Minute)
		if err == nil {
			err = second.Close()
		}
		got <- err
	}()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Errorf("after the first one gave it up: %v", err)
	}

	held, err := takeLock(t.Context(), paths, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := takeLock(ctx, paths, time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting for the lock when told to end: %v", err)
	}
}

func TestStateID(t *testing.T) {
	dir := t.TempDir()
	first, err := stateID(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := stateID(dir)
	if err != nil || again != first {
		t.Errorf("the id was %s and is %s (%v)", first, again, err)
	}
	other, err := stateID(t.TempDir())
	if err != nil || other == first || len(other) != 32 {
		t.Errorf("another folder's id is %s (%v)", other, err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(left) != 2 { // the id, and for which folder it was made
		t.Errorf("files in the folder: %v (%v)", left, err)
	}
}

// What a killed daemon leaves for a moment, its lock and a socket on which nobody
// answers, is waited for.
func TestLockAndSocketOfTheDead(t *testing.T) {
	dir := t.TempDir()
	paths := home.Paths{State: dir, Socket: filepath.Join(dir, "s")}
	dead, err := takeLock(t.Context(), paths, 0)
	if err != nil {
		t.Fatal(err)
	}
	socket, err := net.Listen("unix", paths.Socket)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if conn, err := socket.Accept(); err == nil {
			_ = socket.Close()
			_ = dead.Close()
			_ = conn.Close()
		}
	}()
	lock, err := takeLock(t.Context(), paths, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := lock.Close(); err != nil {
		t.Error(err)
	}
}
