package source_test

import (
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"berth/internal/failpoint/source"
)

const fewestPoints = 45

// Each name is a text that stands at one place of the source.
func TestNames(t *testing.T) {
	points, err := source.Points(filepath.Join("..", "..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	wellFormed := regexp.MustCompile(`^[a-z]+/[a-z]+$`)
	at := map[string]token.Position{}
	for _, p := range points {
		if !wellFormed.MatchString(p.Name) {
			t.Errorf("%v: %q is not like part/step", p.Place, p.Name)
		}
		if there, twice := at[p.Name]; twice {
			t.Errorf("%v: the point %s is at %v already", p.Place, p.Name, there)
		}
		at[p.Name] = p.Place
	}
	if len(at) < fewestPoints {
		t.Errorf("there are %d points, fewer than %d", len(at), fewestPoints)
	}
}

func TestPoints(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.go":      "package a\nfunc f() error {\n\tfailpoint.At(\"a/at\")\n\tif failpoint.Planted(\"bug\") {\n\t}\n\treturn failpoint.Fail(`a/fail`)\n}\n",
		"b.go":      "package a\nfunc g() { failpoint.At(name); other.At(\"b/other\") }\n",
		"a_test.go": "package a\nfunc h() { failpoint.At(\"a/test\") }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	points, err := source.Points(dir)
	if len(points) != 2 || points[0].Name != "a/at" || points[0].Fails || points[1].Name != "a/fail" || !points[1].Fails {
		t.Errorf("points %v", points)
	}
	if err == nil || !strings.Contains(err.Error(), "b.go:2") {
		t.Errorf("the point without a text: %v", err)
	}
	planted, err := source.Planted(dir)
	if len(planted) != 1 || planted[0].Name != "bug" || err != nil {
		t.Errorf("planted %v, %v", planted, err)
	}
}
