package badger_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"berth/internal/require"
	"berth/store"
	"berth/store/badger"
)

// Names in the environment that make the test binary a writer.
const (
	writerDir    = "BERTH_TEST_STORE_WRITER"
	writerLimit  = "BERTH_TEST_STORE_COMMITS"
	writerMoves  = "BERTH_TEST_STORE_MOVES"  // move the folder away after a while
	writerSteady = "BERTH_TEST_STORE_STEADY" // go on after an unknown outcome
	writerLarge  = "BERTH_TEST_STORE_LARGE"  // a checkpoint takes several transactions
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(writerDir); dir != "" {
		os.Exit(write(dir))
	}
	if dir := os.Getenv(servantDir); dir != "" {
		os.Exit(serve(dir))
	}
	if dir := os.Getenv(readerDir); dir != "" {
		os.Exit(read(dir))
	}
	os.Exit(m.Run())
}

// movedAway ends the name of a folder that a writer has moved.
const movedAway = ".away"

// smallJournal has a turn every hundred commits or so.
const smallJournal = 16 << 10

// write opens a store, says "open", and commits from several goroutines,
// writing each key with its revision when it was acknowledged.
func write(dir string) int {
	// A small journal turns often: kills come while Badger gets what it has, too.
	steady := os.Getenv(writerSteady) != ""
	journal, large, moves := int64(smallJournal), os.Getenv(writerLarge) != "", os.Getenv(writerMoves) != ""
	switch {
	case large:
		journal = 2 << 20
	case moves:
		journal = 0 // the first sync to fail is a commit's, not a checkpoint's
	}
	s, err := badger.Open(dir, badger.Options{JournalBytes: journal})
	if err != nil {
		fmt.Println("error", err)
		return 1
	}
	limit, _ := strconv.Atoi(os.Getenv(writerLimit))
	fmt.Println("open")
	if moves {
		if err := os.Rename(dir, dir+movedAway); err != nil {
			fmt.Println("error", err)
		}
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := 0; limit == 0 || n < limit; n++ {
				key := fmt.Sprintf("w/%d/%d/%d", os.Getpid(), i, n)
				var b store.Batch
				b.IfAbsent(key)
				b.Put(key, []byte(key))
				b.Put(fmt.Sprintf("last/%d", i), []byte(key))
				if large {
					b.Put(fmt.Sprintf("large/%d/%d", i, n%8), make([]byte, 20_000))
				}
				r, err := s.Commit(context.Background(), b)
				if steady && errors.Is(err, store.ErrUnknown) {
					fmt.Println("unknown", key)
					continue
				}
				if err != nil {
					fmt.Println(outcome(err), err)
					return
				}
				fmt.Println("done", key, int64(r))
			}
		})
	}
	wg.Wait()
	_, err = s.Get(context.Background(), "w")
	fmt.Println("get", outcome(err), s.Err() != nil)
	select {
	case <-s.Failed():
		fmt.Println("failed")
	default:
	}
	if err := s.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	return 0
}

func outcome(err error) string {
	switch {
	case errors.Is(err, store.ErrUnknown):
		return "unknown"
	case errors.Is(err, store.ErrClosed):
		return "closed"
	case errors.Is(err, store.ErrNotFound):
		return "not found"
	}
	return "error"
}

func writer(t *testing.T, dir string, wrap ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := append(wrap, self)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), writerDir+"="+dir)
	cmd.Stderr = os.Stderr
	return cmd
}

// acknowledged reads what a writer says, key to revision.
type acknowledged map[string]store.Revision

func (a acknowledged) add(t *testing.T, line string) {
	t.Helper()
	var key string
	var r int64
	if _, err := fmt.Sscanf(line, "done %s %d", &key, &r); err != nil {
		t.Errorf("the writer says %q", line)
		return
	}
	a[key] = store.Revision(r)
}

// check compares what is there with what was acknowledged, and returns the
// highest revision.
func (a acknowledged) check(t *testing.T, s store.Store) {
	t.Helper()
	entries, last, err := s.List(t.Context(), "w/")
	if err != nil {
		t.Fatal(err)
	}
	there := make(map[string]store.Revision)
	for _, e := range entries {
		there[e.Key] = e.Revision
		if string(e.Value) != e.Key {
			t.Errorf("%s holds %q", e.Key, e.Value)
		}
	}
	for key, r := range a {
		if there[key] != r {
			t.Errorf("%s was acknowledged at %d and is at %d", key, r, there[key])
		}
		if r > last {
			t.Errorf("%s was acknowledged at %d, above the store's %d", key, r, last)
		}
	}
	// Both keys of a batch are there, or neither.
	lasts, _, err := s.List(t.Context(), "last/")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range lasts {
		if there[string(e.Value)] != e.Revision {
			t.Errorf("half a batch: %s has %q of %d, which is at %d", e.Key, e.Value, e.Revision, there[string(e.Value)])
		}
	}
}

// TestFaultKill kills a writer at different moments, the first ones while it opens,
// and looks each time whether the store opens and has all that was acknowledged.
func TestFaultKill(t *testing.T) {
	t.Parallel()
	rounds := 24
	if testing.Short() {
		rounds = 6
	}
	dir := t.TempDir()
	all := make(acknowledged)
	for round := range rounds {
		if round%8 == 0 {
			dir, all = t.TempDir(), make(acknowledged) // the first opening matters too
		}
		cmd := writer(t, dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// Half of the rounds after a time, wherever that is in opening; the
		// others after a number of answers.
		answers := 0
		if round%2 == 0 {
			timer := time.AfterFunc(time.Duration(2+7*(round%8))*time.Millisecond, func() { _ = cmd.Process.Kill() })
			defer timer.Stop()
		} else {
			answers = 1 + 40*(round%8)
		}
		seen := 0
		for lines := bufio.NewReader(out); ; {
			line, err := lines.ReadString('\n')
			if err != nil {
				break // an unfinished line was not said
			}
			if line == "open\n" {
				continue
			}
			all.add(t, line)
			if seen++; seen == answers {
				_ = cmd.Process.Kill()
			}
		}
		if err := cmd.Wait(); err == nil {
			t.Fatalf("round %d: the writer ended by itself", round)
		}
		s := open(t, dir)
		all.check(t, s)
		if h := s.Health(); len(h.Damage) > 0 {
			t.Errorf("nothing was damaged: %q", h.Damage)
		}
		if err := s.Close(); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if t.Failed() {
			t.Fatalf("after round %d", round)
		}
	}
}

// strace finds strace and whether it may trace here.
func strace(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("strace")
	if err == nil {
		err = exec.Command(path, "-f", "-qq", "-e", "inject=fsync:error=EIO", "-o", os.DevNull, "true").Run()
	}
	if err != nil {
		require.Missing(t, "strace that may trace", err.Error())
	}
	return path
}

// TestFaultKillBetweenCreateAndTruncate kills a writer at each ftruncate of its
// opening, which leaves an empty file.
func TestFaultKillBetweenCreateAndTruncate(t *testing.T) {
	t.Parallel()
	path := strace(t)
	swept := 0
	for n := 1; n <= 4; n++ {
		dir := t.TempDir()
		cmd := writer(t, dir, path, "-f", "-qq", "-o", os.DevNull, "-e", "trace=ftruncate",
			"-e", fmt.Sprintf("inject=ftruncate:signal=KILL:when=%d", n))
		cmd.Env = append(cmd.Env, writerLimit+"=1")
		out, _ := cmd.Output()
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if info, err := os.Stat(file); err == nil && info.Size() == 0 && filepath.Ext(file) != ".lock" {
				swept++
			}
		}
		s, err := badger.Open(dir, badger.Options{})
		if err != nil {
			t.Errorf("killed at ftruncate %d, after %q: %v", n, out, err)
			continue
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if swept == 0 {
		t.Error("no kill left an empty file: this test shows nothing")
	}
}

// TestFaultKillInCheckpoint kills a writer at syncs of Badger's, between the
// transactions of a checkpoint among them: what those have not brought to Badger is
// in the journal still.
func TestFaultKillInCheckpoint(t *testing.T) {
	t.Parallel()
	path := strace(t)
	for n := 2; n <= 16; n += 2 {
		dir := t.TempDir()
		cmd := writer(t, dir, path, "-f", "-qq", "-o", os.DevNull, "-e", "trace=msync",
			"-e", fmt.Sprintf("inject=msync:signal=KILL:when=%d", n))
		cmd.Env = append(cmd.Env, writerLarge+"=1", writerLimit+"=1000000")
		out, _ := cmd.Output()
		all := make(acknowledged)
		for line := range strings.Lines(string(out)) {
			if line != "open\n" && strings.HasSuffix(line, "\n") {
				all.add(t, line)
			}
		}
		s := open(t, dir)
		if h := s.Health(); len(h.Damage) > 0 {
			t.Errorf("killed at sync %d, after %d answers: %q", n, len(all), h.Damage)
		}
		all.check(t, s)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestFaultSync has the syncs fail of a store that cannot be opened anew, because
// its folder was moved away: who waits then learns that the outcome is unknown,
// nobody is told that something was done, and the store is closed for good; what
// was acknowledged before is there.
func TestFaultSync(t *testing.T) {
	t.Parallel()
	path := strace(t)
	dir := t.TempDir()
	cmd := writer(t, dir, path, "-f", "-qq", "-o", os.DevNull, "-e", "trace=fdatasync",
		"-e", "inject=fdatasync:error=EIO:when=60+")
	cmd.Env = append(cmd.Env, writerLimit+"=1000000", writerMoves+"=1")
	out, _ := cmd.Output() // closing may fail too
	if _, err := os.Stat(dir); err == nil {
		t.Error("it made a store where its folder was")
	}
	dir += movedAway
	all := make(acknowledged)
	count := make(map[string]int)
	for line := range strings.Lines(string(out)) {
		word, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		count[word]++
		if word == "done" {
			if count["unknown"] > 0 {
				// Lines of several goroutines: only the order of the store matters.
				continue
			}
			all.add(t, line)
		}
	}
	if count["unknown"] == 0 || count["unknown"]+count["closed"] != 8 || count["failed"] != 1 || count["error"] > 0 {
		t.Errorf("the writer's answers: %v", count)
	}
	if !strings.Contains(string(out), "get closed true\n") {
		t.Errorf("a read after the failure: %q", out[max(0, len(out)-300):])
	}
	if len(all) == 0 {
		t.Error("nothing was acknowledged before the failure")
	}
	s := open(t, dir)
	all.check(t, s)
}

// TestFaultSyncOnce has a sync fail in between, of the journal's files and of
// Badger's: the store opens itself anew, with all that was acknowledged, and goes on.
func TestFaultSyncOnce(t *testing.T) {
	t.Parallel()
	path := strace(t)
	// strace counts for each thread, so that it is not certain of any one case.
	var total atomic.Int64
	t.Cleanup(func() {
		if total.Load() == 0 {
			t.Error("no call failed: this test shows nothing")
		}
	})
	for _, call := range []string{"fdatasync", "msync"} {
		for _, when := range []int{6, 9} { // beyond those of opening
			t.Run(fmt.Sprint(call, " ", when), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				injected := filepath.Join(t.TempDir(), "calls")
				cmd := writer(t, dir, path, "-f", "-qq", "-o", injected, "-e", "trace="+call,
					"-e", fmt.Sprintf("inject=%s:error=EIO:when=%d", call, when)) // of each thread
				cmd.Env = append(cmd.Env, writerSteady+"=1", writerLimit+"=150")
				if call == "msync" {
					cmd.Env = append(cmd.Env, writerLarge+"=1") // more of them
				}
				out, _ := cmd.Output() // closing may be what fails
				calls, err := os.ReadFile(injected)
				if err != nil {
					t.Fatal(err)
				}
				failures := strings.Count(string(calls), "(INJECTED)")
				total.Add(int64(failures))
				all := make(acknowledged)
				unknown := 0
				for line := range strings.Lines(string(out)) {
					switch {
					case strings.HasPrefix(line, "done "):
						all.add(t, line)
					case strings.HasPrefix(line, "unknown "):
						unknown++
					case line == "open\n", line == "get not found false\n":
					default:
						t.Errorf("the writer says %q", line)
					}
				}
				if len(all)+unknown != 8*150 || unknown > 8*failures {
					t.Errorf("%d acknowledged and %d unknown after %d failures", len(all), unknown, failures)
				}
				s := open(t, dir)
				all.check(t, s)
				if h := s.Health(); h.Refusal != nil {
					t.Errorf("health %+v", h)
				}
			})
		}
	}
}
