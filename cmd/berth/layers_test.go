package main

import (
	"encoding/json"
	"errors"
	"go/scanner"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// pkg is what go list tells of a package.
type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func list(t *testing.T) map[string]pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Imports,Deps", "./...")
	cmd.Dir = filepath.Join("..", "..")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]pkg{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		found[p.ImportPath] = p
	}
	if len(found["berth/cmd/berth"].Deps) == 0 {
		t.Fatal("go list tells nothing of this package")
	}
	return found
}

func ours(path string) bool { return strings.HasPrefix(path, "berth/") }

// above is the package that a part of it belongs to: what lies in an internal
// folder of berth/store is berth/store's.
func above(path string) string {
	if !strings.HasPrefix(path, "berth/internal/") {
		path, _, _ = strings.Cut(path, "/internal/")
	}
	if strings.HasPrefix(path, "berth/launcher/gate/") {
		return "berth/launcher/gate"
	}
	return path
}

// Imports run one way. A package that is not named here may import nothing of
// ours.
func TestLayers(t *testing.T) {
	allowed := map[string][]string{
		"berth/cmd/berth":        {"berth/shell", "berth/access", "berth/audit", "berth/client", "berth/conf", "berth/event", "berth/home", "berth/server", "berth/launcher", "berth/launcher/cgroup", "berth/launcher/gate", "berth/lease", "berth/proc", "berth/store", "berth/store/badger", "berth/sysctl", "berth/internal/failpoint"},
		"berth/shell":            {"berth/client", "berth/api", "berth/conf", "berth/descriptor", "berth/httpcheck", "berth/lease", "berth/launcher/cmdline", "berth/proc"},
		"berth/client":           {"berth/access", "berth/api", "berth/lease", "berth/home", "berth/descriptor"}, // descriptor packs a folder into the archive that is sent
		"berth/server":           {"berth/access", "berth/api", "berth/audit", "berth/conf", "berth/event", "berth/launcher", "berth/lease", "berth/descriptor", "berth/store", "berth/proc", "berth/server/portmaster", "berth/sockdiag", "berth/sysctl"},
		"berth/launcher":         {"berth/event", "berth/lease", "berth/descriptor", "berth/httpcheck", "berth/launcher/cgroup", "berth/launcher/cmdline", "berth/launcher/gate", "berth/proc", "berth/sockdiag", "berth/store", "berth/sysctl", "berth/internal/failpoint"},
		"berth/launcher/cmdline": {"berth/descriptor"},
		"berth/conf":             {"berth/descriptor", "berth/launcher/cmdline", "berth/lease", "berth/store"},
		"berth/lease":            {"berth/event", "berth/proc", "berth/store", "berth/sockdiag", "berth/internal/failpoint"},
		"berth/access":           {"berth/store"},
		"berth/store":            {"berth/internal/failpoint"},
		"berth/store/badger":     {"berth/store", "berth/internal/failpoint"},
		"berth/store/storetest":  {"berth/store"},

		"berth/server/portmaster": {"berth/access", "berth/lease", "berth/store"},
	}
	for path, p := range list(t) {
		// Samples are programs of their own; benchmarks and what breaks things may reach for anything.
		if !ours(path) || strings.HasPrefix(path, "berth/samples") || strings.HasPrefix(path, "berth/bench") || path == "berth/faults" {
			continue
		}
		for _, imported := range p.Imports {
			if ours(imported) && !slices.Contains(allowed[above(path)], above(imported)) && above(path) != above(imported) {
				t.Errorf("%s imports %s", path, imported)
			}
		}
	}
}

// What a package must not pull in, be it by others.
func TestPulledIn(t *testing.T) {
	packages := list(t)
	for _, tt := range []struct {
		from string
		not  []string
	}{
		{"berth/client", []string{"github.com/dgraph-io/badger", "go.etcd.io", "github.com/danielgtaylor/huma", "github.com/alecthomas/kong", "berth/store/", "berth/server", "berth/launcher"}},
		{"berth/shell", []string{"github.com/dgraph-io/badger", "go.etcd.io", "github.com/danielgtaylor/huma", "berth/store/", "berth/server"}},
		{"berth/server", []string{"github.com/dgraph-io/badger", "go.etcd.io", "berth/store/", "berth/client", "berth/shell"}},
		{"berth/launcher", []string{"github.com/dgraph-io/badger", "go.etcd.io", "berth/store/"}},
		{"berth/lease", []string{"github.com/dgraph-io/badger", "go.etcd.io", "berth/store/"}},
		{"berth/cmd/berth", []string{"berth/store/storetest", "testing"}},
		{"berth/api", []string{"berth/", "github.com", "golang.org/x"}},
		{"berth/descriptor", []string{"berth/"}},
	} {
		p, ok := packages[tt.from]
		if !ok {
			t.Errorf("there is no package %s", tt.from)
			continue
		}
		for _, dep := range p.Deps {
			for _, not := range tt.not {
				if strings.HasPrefix(dep, not) {
					t.Errorf("%s pulls in %s", tt.from, dep)
				}
			}
		}
	}
}

// Only package lease touches keys under leases/: no other package of the program has a text
// that could be one.
func TestLeaseKeys(t *testing.T) {
	root := filepath.Join("..", "..")
	seen := 0
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (path == filepath.Join(root, "lease") || path == filepath.Join(root, "faults") || path != root && strings.HasPrefix(entry.Name(), ".")):
			return fs.SkipDir
		case entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		seen++
		for _, s := range stringsIn(text) {
			// By itself it is the noun, unless a store is at hand.
			if strings.HasPrefix(s, "leases/") || s == "leases" && strings.Contains(string(text), `"berth/store"`) {
				t.Errorf("%s names the key %q", path, s)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen == 0 {
		t.Error("no file was looked at")
	}
	if found := stringsIn([]byte("package p\n\nvar s = \"leases/\" + x")); !slices.Equal(found, []string{"leases/"}) {
		t.Errorf("texts are not found: %q", found)
	}
}

// stringsIn are the texts of the string literals of a Go file.
func stringsIn(source []byte) []string {
	var found []string
	var s scanner.Scanner
	s.Init(token.NewFileSet().AddFile("", -1, len(source)), source, nil, 0)
	for {
		switch _, tok, lit := s.Scan(); tok {
		case token.EOF:
			return found
		case token.STRING:
			if text, err := strconv.Unquote(lit); err == nil {
				found = append(found, text)
			}
		}
	}
}
