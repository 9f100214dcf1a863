package sockdiag_test

import (
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"berth/internal/require"
	"berth/sockdiag"
)

// onlyInode is the inode of the one socket that listens on a port.
func onlyInode(t testing.TB, port int) uint64 {
	t.Helper()
	got, err := sockdiag.OnPort("tcp", port)
	if err != nil || len(got) != 1 {
		t.Fatalf("on port %d: %+v, %v", port, got, err)
	}
	return got[0].Inode
}

func TestOwners(t *testing.T) {
	own := bind(t, "tcp4", "127.0.0.1:0", false)
	child, port := listenElsewhere(t, self("listen", ""))
	ownInode, childInode := inode(t, own.conn), onlyInode(t, port)

	owner, ok, err := sockdiag.Find("tcp", port)
	if err != nil || !ok || owner.PID != child || owner.Command == "" {
		t.Errorf("found %+v, %v, %v, want pid %d", owner, ok, err, child)
	}
	const unknown = 1 << 40
	owners, err := sockdiag.Owners(ownInode, childInode, unknown, ownInode)
	if err != nil {
		t.Fatal(err)
	}
	if len(owners) != 2 || len(owners[ownInode]) != 1 || len(owners[childInode]) != 1 {
		t.Fatalf("owners %+v", owners)
	}
	if got := owners[ownInode][0].PID; got != os.Getpid() {
		t.Errorf("own socket is pid %d's", got)
	}
	if got := owners[childInode][0]; got != owner {
		t.Errorf("the child's socket is %v's, want %v", got, owner)
	}
	if owners, err := sockdiag.Owners(); err != nil || len(owners) != 0 {
		t.Errorf("of none: %v, %v", owners, err)
	}
}

func TestOwnedBy(t *testing.T) {
	own := bind(t, "tcp4", "127.0.0.1:0", false)
	file, err := own.conn.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	cmd := self("listen", "")
	cmd.ExtraFiles = []*os.File{file} // the listener is the child's, too
	child, port := listenElsewhere(t, cmd)
	_ = file.Close()
	shared, childs := inode(t, own.conn), onlyInode(t, port)
	pid := os.Getpid()

	for _, test := range []struct {
		name   string
		pids   []int
		inodes map[uint64]bool
		want   map[uint64]int
	}{
		{"the first of two that share it", []int{pid, child}, map[uint64]bool{shared: true}, map[uint64]int{shared: pid}},
		{"the other way round", []int{child, pid}, map[uint64]bool{shared: true}, map[uint64]int{shared: child}},
		{"the one that has it", []int{pid, child}, map[uint64]bool{childs: true}, map[uint64]int{childs: child}},
		{"both", []int{child}, map[uint64]bool{childs: true, shared: true}, map[uint64]int{childs: child, shared: child}},
		{"not its own", []int{pid}, map[uint64]bool{childs: true}, nil},
		{"not wanted", []int{child}, map[uint64]bool{childs: false, shared: true}, map[uint64]int{shared: child}},
		{"processes that are not there", []int{-1, 0, 1 << 30, child}, map[uint64]bool{childs: true}, map[uint64]int{childs: child}},
		{"no process", nil, map[uint64]bool{childs: true}, nil},
		{"no inode", []int{child}, nil, nil},
		{"nobody's inode", []int{child}, map[uint64]bool{1 << 40: true}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := sockdiag.OwnedBy(test.pids, test.inodes); !maps.Equal(got, test.want) {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}

	// Somebody's at least, when one of several is enough.
	owners, err := sockdiag.Owners(shared)
	if err != nil || len(owners[shared]) == 0 {
		t.Errorf("%v, %v", owners, err)
	}
}

func TestCommand(t *testing.T) {
	for _, test := range []struct {
		name, comm, argv0, want string
	}{
		{"short", "nginx", "nginx: master process /usr/sbin/nginx", "nginx"},
		{"cut off", "a-very-long-pro", "/opt/bin/a-very-long-program-name", "a-very-long-program-name"},
		{"as long as the kernel's limit", "exactly-fifteen", "/opt/bin/exactly-fifteen", "exactly-fifteen"},
		{"other first argument", "a-very-long-pro", "/opt/bin/b", "a-very-long-pro"},
		{"control characters", "a\x1b[31mb\tc", "x", "a?[31mb?c"},
		{"control characters in the argument", "a-very-long-pro", "a-very-long-program\x1b]0;x\a\r\n", "a-very-long-program?]0;x???"},
		{"not UTF-8", "a\xffb", "x", "a?b"},
		{"letters cut in two", "ääääääää", "x", "äääääää?"},
		{"other letters", "größe", "x", "größe"},
		{"right to left", "a\u202eb", "x", "a?b"},
		{"long argument", "a-very-long-pro", "a-very-long-pro" + strings.Repeat("x", 100), "a-very-long-pro" + strings.Repeat("x", 49)},
	} {
		t.Run(test.name, func(t *testing.T) {
			cmd := self("listen", test.comm)
			cmd.Args = []string{test.argv0}
			child, port := listenElsewhere(t, cmd)
			owner, ok, err := sockdiag.Find("tcp", port)
			if want := (sockdiag.Owner{PID: child, Command: test.want}); err != nil || !ok || owner != want {
				t.Errorf("%+v, %v, %v, want %+v", owner, ok, err, want)
			}
		})
	}
}

func TestOwnerString(t *testing.T) {
	for want, owner := range map[string]sockdiag.Owner{
		"pid 77 (nginx)":  {PID: 77, Command: "nginx"},
		"pid 77":          {PID: 77},
		"another process": {},
	} {
		if got := owner.String(); got != want {
			t.Errorf("%+v is %q, want %q", owner, got, want)
		}
	}
}

func TestOwnerIsProxy(t *testing.T) {
	for command, want := range map[string]bool{"docker-proxy": true, "rootlessport": true, "nginx": false, "": false} {
		if got := (sockdiag.Owner{PID: 7, Command: command}).IsProxy(); got != want {
			t.Errorf("%q: %v", command, got)
		}
	}
}

// A user sees that a port of another user is taken, but not by whom.
func TestOwnerCannotBeSeen(t *testing.T) {
	require.Root(t) // to start a process of another user
	b := bind(t, "tcp4", "127.0.0.1:0", false)
	binary, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = binary.Close() }()
	cmd := self("find", fmt.Sprint(b.addr.Port()))
	// The folder of the test binary is not open to others; its descriptor is.
	cmd.Path = fmt.Sprintf("/proc/self/fd/%d", 3)
	cmd.ExtraFiles = []*os.File{binary}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.TrimSpace(string(out)), "another process|false|<nil>|1|<nil>|0|<nil>"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

var benchmarkSizes = []int{100, 10000}

func BenchmarkListeners(b *testing.B) {
	for _, size := range benchmarkSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			var port int
			var last uint64
			for range size {
				l := bind(b, "tcp4", "127.0.0.1:0", false)
				port, last = int(l.addr.Port()), inode(b, l.conn)
			}
			b.Run("Listeners", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if all, err := sockdiag.Listeners("tcp"); err != nil || len(all) < size {
						b.Fatal(len(all), err)
					}
				}
			})
			b.Run("OnPort", func(b *testing.B) {
				for b.Loop() {
					if got, err := sockdiag.OnPort("tcp", port); err != nil || len(got) != 1 {
						b.Fatal(got, err)
					}
				}
			})
			b.Run("Owners", func(b *testing.B) {
				for b.Loop() {
					if got, err := sockdiag.Owners(last); err != nil || len(got) != 1 {
						b.Fatal(got, err)
					}
				}
			})
		})
	}
}

func BenchmarkOwnedBy(b *testing.B) {
	const count = 500
	var pids []int
	for range count {
		cmd := exec.Command("sleep", "1000")
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
		pids = append(pids, cmd.Process.Pid)
	}
	own := bind(b, "tcp4", "127.0.0.1:0", false)
	pids = append(pids, os.Getpid())
	wanted := map[uint64]bool{inode(b, own.conn): true}
	b.ReportAllocs()
	for b.Loop() {
		if got := sockdiag.OwnedBy(pids, wanted); len(got) != 1 {
			b.Fatal(got)
		}
	}
}
