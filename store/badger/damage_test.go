package badger_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"berth/store"
	"berth/store/badger"
)

// readerDir in the environment makes the test binary a reader: what a damaged
// file does to Badger may end the process.
const readerDir = "BERTH_TEST_STORE_READER"

// read opens a store and says its damage and its content.
func read(dir string) int {
	s, err := badger.Open(dir, badger.Options{JournalBytes: smallJournal})
	if err != nil {
		fmt.Println("refused", err)
		return 0
	}
	for _, line := range s.Health().Damage {
		fmt.Println("damage", line)
	}
	entries, _, err := s.List(context.Background(), "")
	if err != nil {
		fmt.Println("refused", err)
	}
	for _, e := range entries {
		fmt.Printf("key %s %d %q\n", e.Key, e.Revision, e.Value)
	}
	if err := s.Close(); err != nil {
		fmt.Println("close", err)
		return 1
	}
	fmt.Println("whole")
	return 0
}

// used makes a folder that has every kind of file, with content that matters: a
// store that was written, closed, opened and written again, as it is when its
// process is killed. It returns what it says to a reader.
func used(t *testing.T, dir string) []byte {
	t.Helper()
	from := t.TempDir()
	for round, commits := range []int{300, 300, 800} { // the last ones of more turns than the journal has
		s, err := badger.Open(from, badger.Options{JournalBytes: smallJournal})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for i := range commits {
			var b store.Batch
			b.Put(fmt.Sprintf("u/%d/%03d", round, i), fmt.Appendf(nil, "value %d of %d", i, round))
			if i%4 == 0 {
				b.Put(fmt.Sprintf("all/%03d", i), fmt.Appendf(nil, "round %d", round))
			}
			if i%7 == 3 {
				b.Delete(fmt.Sprintf("u/%d/%03d", round, i-2))
			}
			if _, err := s.Commit(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		}
		if round < 2 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	whole := t.TempDir()
	if err := os.CopyFS(whole, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return reading(t, whole)
}

func reading(t *testing.T, dir string) []byte {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), readerDir+"="+dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		out = fmt.Appendf(out, "crashed %v: %.2000s\n", err, stderr.Bytes())
	}
	return out
}

// TestFaultFlip flips a bit of a file of each kind, again and again: what is
// opened then is whole, or says that it is not.
func TestFaultFlip(t *testing.T) {
	t.Parallel()
	rounds := 3
	if n, err := strconv.Atoi(os.Getenv("BERTH_TEST_FLIPS")); err == nil {
		rounds = n
	}
	dir := t.TempDir()
	want := used(t, dir)
	if !bytes.HasSuffix(want, []byte("\nwhole\n")) || !bytes.HasPrefix(want, []byte("key ")) {
		t.Fatalf("without any flip: %.2000s", want)
	}
	kinds := make(map[string][]string)
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		kind := f.Name()
		if ext := filepath.Ext(kind); ext != "" && ext != ".lock" {
			kind = ext
		} else if ext == ".lock" || kind == "LOCK" {
			continue
		}
		kinds[kind] = append(kinds[kind], f.Name())
	}
	for _, kind := range []string{"journal-0", "journal-1", "sequence", ".mem", ".vlog", ".sst", "MANIFEST", "KEYREGISTRY"} {
		if len(kinds[kind]) == 0 {
			t.Errorf("no file of the kind %s: this test shows less than it says", kind)
		}
	}
	seed := uint64(1)
	if n, err := strconv.ParseUint(os.Getenv("BERTH_FAULT_SEED"), 10, 64); err == nil {
		seed = n
	}
	t.Logf("BERTH_FAULT_SEED=%d", seed)
	for kind := range maps.Keys(kinds) {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, uint64(len(kind))<<8|uint64(kind[1])))
			told := 0
			for range rounds {
				flipped := t.TempDir()
				if err := os.CopyFS(flipped, os.DirFS(dir)); err != nil {
					t.Fatal(err)
				}
				name := kinds[kind][random.IntN(len(kinds[kind]))]
				path := filepath.Join(flipped, name)
				content, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				end := len(bytes.TrimRight(content, "\x00"))
				if end == 0 {
					end = len(content)
				}
				at := random.IntN(end)
				if random.IntN(3) == 0 {
					at = end - 1 - random.IntN(min(end, 64)) // the end matters most
				}
				bit := random.IntN(8)
				content[at] ^= 1 << bit
				if err := os.WriteFile(path, content, 0o600); err != nil {
					t.Fatal(err)
				}
				got := reading(t, flipped)
				switch {
				case bytes.Contains(got, []byte("crashed ")):
					t.Errorf("%s, byte %d of %d, bit %d: it crashes: %.3000s", name, at, end, bit, got[bytes.Index(got, []byte("crashed ")):])
				case bytes.HasPrefix(got, []byte("damage ")), bytes.HasPrefix(got, []byte("refused ")):
					told++
					line, _, _ := bytes.Cut(got, []byte("\n"))
					t.Logf("%s, byte %d of %d, bit %d: %s", name, at, end, bit, line)
				case !bytes.Equal(got, want):
					t.Errorf("%s, byte %d of %d, bit %d: less, and not a word of it: %d bytes of %d", name, at, end, bit, len(got), len(want))
				}
				os.RemoveAll(flipped)
			}
			t.Logf("%d flips, of %d it was told", rounds, told)
		})
	}
}

// Damage waits for its acceptance, over closing and opening; until then no key is
// made, and those that are there can be changed and deleted.
func TestDamageWaitsForAcceptance(t *testing.T) {
	t.Parallel()
	dir := crashed(t, 20)
	file, content, end := newest(t, dir)
	content[end-1] ^= 1
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	put := func(s store.Store, key string) error {
		var b store.Batch
		b.Put(key, []byte("1"))
		_, err := s.Commit(t.Context(), b)
		return err
	}
	for i := range 2 {
		s := open(t, dir)
		if h := s.Health(); len(h.Damage) != 1 || !errors.Is(h.Refusal, store.ErrDamaged) || !strings.Contains(h.Damage[0], "20") {
			t.Errorf("health %+v", h)
		}
		if err := put(s, "new"); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("a new key: %v", err)
		}
		if err := put(s, "k/0000"); err != nil {
			t.Errorf("a key that is there: %v", err)
		}
		var mend store.Batch
		mend.Put(fmt.Sprintf("mended/%d", i), nil)
		if _, err := s.Commit(store.Rebuilding(t.Context()), mend); err != nil {
			t.Errorf("a key that puts back what was lost: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, dir)
	var b store.Batch
	b.Delete("k/0001")
	if _, err := s.Commit(t.Context(), b); err != nil {
		t.Errorf("a deletion: %v", err)
	}
	if err := s.Accept(); err != nil {
		t.Fatal(err)
	}
	if err := put(s, "new"); err != nil {
		t.Errorf("after the acceptance: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	if h := s.Health(); h.Refusal != nil || len(h.Damage) > 0 {
		t.Errorf("health after the acceptance %+v", h)
	}
	if err := s.Accept(); err != nil {
		t.Errorf("accepted again: %v", err)
	}
}

// A store whose Badger cannot be opened begins anew with what the journal has,
// and keeps the other.
func TestDamagedDriverIsSetAside(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	used(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "MANIFEST"), []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	if h := s.Health(); len(h.Damage) < 2 || !errors.Is(h.Refusal, store.ErrDamaged) {
		t.Errorf("health %+v", h)
	}
	if _, err := s.Get(t.Context(), "u/2/799"); err != nil {
		t.Errorf("what came last: %v", err)
	}
	if kept, _ := filepath.Glob(filepath.Join(dir, "damaged-*", "*.sst")); len(kept) == 0 {
		t.Error("Badger's tables are not kept")
	}
}

// A table that was being written when the process was killed is no damage.
func TestUnfinishedTableIsNoDamage(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		s, err := badger.Open(dir, badger.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if d := s.Health().Damage; len(d) > 0 {
			t.Errorf("it says %q", d)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "000999.sst"), []byte("half of a table"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
