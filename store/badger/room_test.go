package badger_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"berth/internal/require"
	"berth/store"
	"berth/store/badger"
)

// servantDir in the environment makes the test binary do what it is told, a line
// each: a full disk can end a process.
const servantDir = "BERTH_TEST_STORE_SERVANT"

func serve(dir string) int {
	s, err := badger.Open(dir, badger.Options{JournalBytes: smallJournal, CloseLimit: 2 * time.Second})
	if err != nil {
		fmt.Println(word(err), err)
		return 0
	}
	fmt.Println("ok")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		verb, key, _ := strings.Cut(lines.Text(), " ")
		var b store.Batch
		switch verb {
		case "put":
			b.IfAbsent(key)
			b.Put(key, []byte(key))
		case "change":
			b.Put(key, []byte(key))
			b.Put("all/change", make([]byte, 50_000))
		case "delete":
			b.Delete(key)
		case "close":
			fmt.Println(word(s.Close()))
			return 0
		}
		_, err := s.Commit(context.Background(), b)
		fmt.Println(word(err), err)
	}
	return 0
}

func word(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, store.ErrNoSpace):
		return "nospace"
	}
	return "error"
}

// servant is a process that has a store open.
type servant struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.Writer
	out *bufio.Reader
	all *strings.Builder
}

// employ starts a servant, and returns what it says of opening the store.
func employ(t *testing.T, dir string) (*servant, string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), servantDir+"="+dir)
	s := &servant{t: t, cmd: cmd, all: new(strings.Builder)}
	cmd.Stderr = s.all
	if s.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.out = bufio.NewReader(out)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return s, s.answer()
}

func (s *servant) answer() string {
	s.t.Helper()
	// Where it hangs, its stacks are told.
	hung := time.AfterFunc(30*time.Second, func() { _ = s.cmd.Process.Signal(unix.SIGQUIT) })
	defer hung.Stop()
	line, err := s.out.ReadString('\n')
	if err != nil {
		s.t.Fatalf("the process with the store crashed: %v, %v: %.20000s", err, s.cmd.Wait(), s.all)
	}
	first, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	if first == "error" {
		s.t.Fatalf("the store answers %s", rest)
	}
	return first
}

func (s *servant) do(verb, key string) string {
	s.t.Helper()
	if _, err := fmt.Fprintln(s.in, verb, key); err != nil {
		s.t.Fatal(err)
	}
	return s.answer()
}

func (s *servant) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// smallDisk is a file system of its own.
func smallDisk(t *testing.T, bytes int) string {
	t.Helper()
	require.Root(t)
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		require.Missing(t, "a file system that may be mounted ("+err.Error()+")", "run the tests where mount(2) is allowed")
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// fill leaves so many bytes of a disk.
func fill(t *testing.T, disk string, leave int64) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(disk, "filler"), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for chunk := int64(64 << 20); ; {
		var s unix.Statfs_t
		if err := unix.Statfs(disk, &s); err != nil {
			t.Fatal(err)
		}
		left := int64(s.Bavail)*s.Bsize - leave
		if left < s.Bsize || chunk < s.Bsize {
			return
		}
		info, err := f.Stat()
		if err == nil {
			err = unix.Fallocate(int(f.Fd()), 0, info.Size(), min(left, chunk)) // quicker than writing
		}
		if err != nil {
			chunk /= 2 // others take of it, too
		}
	}
}

// A file whose blocks the disk does not have cannot be mapped to be written, so
// that Badger gets an error and not SIGBUS.
func TestNothingIsMappedWithoutBlocks(t *testing.T) {
	if err := open(t, t.TempDir()).Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(smallDisk(t, 1<<20), "table"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const large = 4 << 20
	if err := f.Truncate(large); err != nil {
		t.Fatal(err)
	}
	if mapped, err := unix.Mmap(int(f.Fd()), 0, large, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("%d bytes are mapped: %v", len(mapped), err)
	}
	if mapped, err := unix.Mmap(int(f.Fd()), 0, large, unix.PROT_READ, unix.MAP_SHARED); err != nil || len(mapped) != large {
		t.Errorf("to be read: %d bytes are mapped: %v", len(mapped), err)
	} else if err := unix.Munmap(mapped); err != nil {
		t.Error(err)
	}
}

// A table waits for its blocks instead: Badger loses the tables that it merges
// where it cannot make the new one.
func TestTablesWaitForRoom(t *testing.T) {
	if err := open(t, t.TempDir()).Close(); err != nil {
		t.Fatal(err)
	}
	disk := smallDisk(t, 6<<20)
	fill(t, disk, 1<<20)
	f, err := os.Create(filepath.Join(disk, "000001.sst"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const large = 4 << 20
	if err := f.Truncate(large); err != nil {
		t.Fatal(err)
	}
	mapped := make(chan error, 1)
	go func() {
		b, err := unix.Mmap(int(f.Fd()), 0, large, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err == nil {
			err = unix.Munmap(b)
		}
		mapped <- err
	}()
	select {
	case err := <-mapped:
		t.Fatalf("it was not waited for: %v", err)
	case <-time.After(200 * time.Millisecond): // longer only shows more
	}
	if err := os.Remove(filepath.Join(disk, "filler")); err != nil {
		t.Fatal(err)
	}
	if err := <-mapped; err != nil {
		t.Error(err)
	}
}

// Badger does not end an opening that fails while it makes a table for which the
// disk has no room. The store says so instead of waiting as long as that lasts.
func TestOpeningDoesNotWaitForRoomForEver(t *testing.T) {
	disk := smallDisk(t, 192<<20)
	copied := func(to, from string) string {
		t.Helper()
		to, from = filepath.Join(disk, to), filepath.Join(disk, from)
		if err := os.CopyFS(to, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
		return to
	}
	first := open(t, filepath.Join(disk, "first"))
	for i := range 30 {
		var b store.Batch
		b.Put(fmt.Sprintf("k/%d", i), make([]byte, 100_000))
		if _, err := first.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	second := open(t, copied("second", "first")) // brings the journal to Badger's log
	killed := copied("killed", "second")         // whose next opening makes a table of that
	for _, s := range []*badger.Store{first, second} {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	// As Badger leaves its value log where closing was cut off, and so it has
	// nothing to give back when the next file of it is made.
	logs, err := filepath.Glob(filepath.Join(killed, "*.vlog"))
	if err != nil || len(logs) == 0 {
		t.Fatalf("value logs %v, %v", logs, err)
	}
	for _, name := range logs {
		if err := os.Truncate(name, 20); err != nil {
			t.Fatal(err)
		}
	}
	full := slog.New(listener{slog.DiscardHandler, map[string]func(){"tables opened": func() { fill(t, disk, 0) }}})
	s, err := badger.Open(killed, badger.Options{Logger: full, CloseLimit: 500 * time.Millisecond})
	if !errors.Is(err, store.ErrNoSpace) {
		t.Fatalf("Open on a disk that becomes full = %v, %v; want %v", s, err, store.ErrNoSpace)
	}
	if _, err := badger.Open(killed, badger.Options{}); !errors.Is(err, store.ErrLocked) {
		t.Errorf("Open while Badger may still write = %v, want %v", err, store.ErrLocked)
	}
}

// So does closing.
func TestClosingDoesNotWaitForRoomForEver(t *testing.T) {
	disk := smallDisk(t, 96<<20)
	full := slog.New(listener{slog.DiscardHandler, map[string]func(){"L0 stalled": func() { fill(t, disk, 0) }}})
	s, err := badger.Open(filepath.Join(disk, "store"), badger.Options{Logger: full, CloseLimit: 3 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 30 { // more than the file of the value log has, which becomes short
		var b store.Batch
		b.Put(fmt.Sprintf("k/%d", i), make([]byte, 100_000))
		if _, err := s.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); !errors.Is(err, store.ErrNoSpace) {
		t.Errorf("Close on a disk that becomes full = %v, want %v", err, store.ErrNoSpace)
	}
}

// A checkpoint for which the disk has no room ends nothing: what is there can end as
// long as the journal has blocks, and all is well by itself once there is room.
func TestCheckpointWithoutRoom(t *testing.T) {
	disk := smallDisk(t, 96<<20)
	filling, stop := context.WithCancel(t.Context())
	defer stop()
	var filled sync.WaitGroup
	waits, opened := make(chan struct{}), make(chan struct{})
	full := listener{slog.DiscardHandler, map[string]func(){
		"a checkpoint begins": sync.OnceFunc(func() {
			fill(t, disk, 0)
			filled.Go(func() { // somebody takes what the store gives up, too
				for filling.Err() == nil {
					fill(t, disk, 0)
				}
			})
		}),
		"the store waits for room": sync.OnceFunc(func() { close(waits) }),
		"the store is open again":  sync.OnceFunc(func() { close(opened) }),
	}}
	s, err := badger.Open(filepath.Join(disk, "store"), badger.Options{
		Logger: slog.New(full), JournalBytes: 6 << 20, // more than a memtable has
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	put := func(i int) error {
		size := 100_000
		if i > 64 { // the checkpoint has begun
			size = 100
		}
		var b store.Batch
		b.IfAbsent(fmt.Sprintf("k/%06d", i))
		b.Put(fmt.Sprintf("k/%06d", i), make([]byte, size))
		_, err := s.Commit(t.Context(), b)
		return err
	}
	n := 0
	for err = put(n); err == nil; err = put(n) {
		n++
	}
	if !errors.Is(err, store.ErrNoSpace) {
		t.Fatalf("a key on a full disk: %v", err)
	}
	await := func(event <-chan struct{}) {
		t.Helper()
		select {
		case <-event:
		case <-s.Failed():
			t.Fatalf("the store has ended: %v", s.Err())
		}
	}
	await(waits)
	left := n
	for range 100 { // each looks at the disk
		var b store.Batch
		b.Delete(fmt.Sprintf("k/%06d", n-left))
		switch _, err := s.Commit(t.Context(), b); {
		case err == nil:
			left--
		case !errors.Is(err, store.ErrNoSpace):
			t.Fatalf("delete on a full disk: %v", err)
		}
	}
	if _, _, err := s.List(t.Context(), "k/"); !errors.Is(err, store.ErrNoSpace) {
		t.Errorf("list on a full disk: %v", err)
	}
	if err := s.Err(); err != nil {
		t.Fatalf("the store has ended: %v", err)
	}
	stop()
	filled.Wait()
	if err := os.Remove(filepath.Join(disk, "filler")); err != nil {
		t.Fatal(err)
	}
	await(opened)
	if err := put(n); err != nil {
		t.Errorf("a key once there is room: %v", err)
	}
	entries, _, err := s.List(t.Context(), "k/")
	if err != nil || len(entries) != left+1 || entries[0].Key != fmt.Sprintf("k/%06d", n-left) {
		t.Errorf("%d entries, %v; want %d", len(entries), err, left+1)
	}
}

// listener does something when a store, or Badger, says something.
type listener struct {
	slog.Handler
	on map[string]func()
}

func (l listener) Enabled(context.Context, slog.Level) bool { return true }

func (l listener) Handle(_ context.Context, r slog.Record) error {
	for word, do := range l.on {
		if strings.Contains(r.Message, word) {
			do()
		}
	}
	return nil
}

// TestFaultFullDisk fills the disk of a store to some point, again and again: no
// key is made then, keys can be deleted, the process lives, opening is possible or
// says what is wrong, what was acknowledged is there, and once there is room all
// is well by itself.
func TestFaultFullDisk(t *testing.T) {
	t.Parallel()
	rounds := 4
	if n, err := strconv.Atoi(os.Getenv("BERTH_TEST_FULL_DISKS")); err == nil {
		rounds = n
	}
	disk := smallDisk(t, 96<<20)
	dir := filepath.Join(disk, "store")
	there := make(map[string]bool)
	next := 0
	put := func(s *servant) string {
		key := fmt.Sprintf("f/%06d", next)
		answer := s.do("put", key)
		if answer == "ok" {
			there[key] = true
			next++
		}
		return answer
	}
	// until has a key be put until the answer is the one wanted.
	until := func(s *servant, want string) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); put(s) != want; {
			if time.Now().After(deadline) {
				t.Fatalf("no answer %q came", want)
			}
		}
	}
	drop := func(s *servant) string {
		for key := range there {
			answer := s.do("delete", key)
			if answer == "ok" {
				delete(there, key)
			}
			return answer
		}
		t.Fatal("nothing is there")
		return ""
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	refused := 0
	for round := range rounds {
		s, answer := employ(t, dir)
		if answer != "ok" {
			t.Fatalf("round %d: opening with room: %s", round, answer)
		}
		for range 200 {
			until(s, "ok")
		}
		leave := int64(0)
		if round%2 == 1 {
			leave = random.Int64N(15 << 20)
		}
		fill(t, disk, leave)
		until(s, "nospace")
		for range 20 {
			if answer := drop(s); answer != "ok" {
				t.Errorf("round %d, with %d bytes left: a deletion: %s", round, leave, answer)
			}
			fill(t, disk, leave) // what the ballast gave is gone again
		}
		// More than the reserve has: refused in the end, and nothing worse.
		for range random.IntN(400) {
			if s.do("change", fmt.Sprintf("f/%06d", next-1)) == "ok" {
				there[fmt.Sprintf("f/%06d", next-1)] = true
			}
			fill(t, disk, leave)
		}
		if round%4 < 2 {
			s.kill()
		} else {
			s.do("close", "")
			s.kill()
		}
		for range 2 {
			s, answer := employ(t, dir)
			fill(t, disk, leave) // what opening has given up, or back
			if answer == "ok" {
				until(s, "nospace")
				drop(s)
			} else {
				refused++
			}
			s.kill()
		}
		s, answer = employ(t, dir)
		if err := os.Remove(filepath.Join(disk, "filler")); err != nil {
			t.Fatal(err)
		}
		if answer == "ok" {
			until(s, "ok")
		}
		s.kill()
		whole := open(t, dir)
		entries, _, err := whole.List(t.Context(), "f/")
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) != len(there) {
			t.Errorf("round %d: %d keys, want %d", round, len(entries), len(there))
		}
		for _, e := range entries {
			if !there[e.Key] || string(e.Value) != e.Key {
				t.Errorf("round %d: %s has %q", round, e.Key, e.Value)
			}
		}
		if h := whole.Health(); h.Refusal != nil {
			t.Errorf("round %d: with room again: %+v", round, h)
		}
		if err := whole.Close(); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d rounds; opening was refused %d times", rounds, refused)
}
