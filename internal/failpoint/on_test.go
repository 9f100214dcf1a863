//go:build faults

package failpoint

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReach(t *testing.T) {
	file := filepath.Join(t.TempDir(), "reached")
	s, err := parse("a/b=error@2;c/d=delay:1ms;e/f=error", file, "x,y")
	if err != nil {
		t.Fatal(err)
	}
	var got []error
	for range 3 {
		got = append(got, s.reach("a/b", true))
	}
	if got[0] != nil || !errors.Is(got[1], Err) || got[2] != nil {
		t.Errorf("three times: %v", got)
	}
	if err := s.reach("c/d", true); err != nil {
		t.Error(err)
	}
	if err := s.reach("e/f", false); err != nil {
		t.Errorf("where no error can come: %v", err)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "a/b\na/b error\nc/d\nc/d delay\ne/f\n" {
		t.Errorf("noted: %q, %v", text, err)
	}
	if !s.planted["x"] || !s.planted["y"] || s.planted["z"] {
		t.Errorf("planted: %v", s.planted)
	}
}

// A file arms a program that runs; with what it says the counting begins anew.
func TestArmedByFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "armed")
	s, err := parse("@"+file, "", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		text  string
		fails bool
	}{{"", false}, {"a/b=error", true}, {"a/b=error", false}, {"", false}, {"a/b=error", true}} {
		if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.reach("a/b", true); (err != nil) != tt.fails {
			t.Errorf("%q: %v", tt.text, err)
		}
	}
}

func TestParse(t *testing.T) {
	for text, says := range map[string]string{
		"a/b":           "not name=action",
		"a/b=die":       "not kill, error or delay",
		"a/b=kill:1s":   "not kill, error or delay",
		"a/b=delay:x":   "invalid duration",
		"a/b=error@0":   "which time",
		"a/b=error@one": "which time",
	} {
		if _, err := parse(text, "", ""); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", text, err, says)
		}
	}
}
