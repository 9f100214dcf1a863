package conf_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"berth/conf"
	"berth/store"
	"berth/store/storetest"
)

func open(t *testing.T) (*conf.Settings, store.Store) {
	t.Helper()
	st := storetest.NewMemory()
	c, err := conf.Open(t.Context(), st, "local")
	if err != nil {
		t.Fatal(err)
	}
	return c, st
}

func add(t *testing.T, c *conf.Settings, scope conf.Scope, categories, pairs string, clear bool) {
	t.Helper()
	list, err := conf.ParsePairs(pairs)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.AddProperties(t.Context(), scope, conf.ParseTags(categories), list, clear); err != nil {
		t.Fatal(err)
	}
}

func show(properties []conf.Property) string {
	var all []string
	for _, p := range properties {
		name := p.Name
		if p.Category != "" {
			name = p.Category + "/" + name
		}
		all = append(all, name+"="+p.Value)
	}
	return strings.Join(all, " ")
}

func TestProperties(t *testing.T) {
	c, _ := open(t)
	add(t, c, conf.Process, "", "url=global,pool=1", false)
	add(t, c, conf.Process, "test,qa", "url=of test and qa", false)
	add(t, c, conf.Process, "qa", "url=of qa", false)
	add(t, c, conf.Server, "", "url=server's", false)
	for _, tt := range []struct {
		name      string
		selection conf.Selection
		want      string
	}{
		{"global ones", conf.Selection{Scope: conf.Process}, "pool=1 url=global"},
		{"all", conf.Selection{Scope: conf.Process, Every: true}, "pool=1 url=global qa/url=of qa test/url=of test and qa"},
		{"of categories", conf.Selection{Scope: conf.Process, Categories: []string{"t*"}}, "test/url=of test and qa"},
		{"by name", conf.Selection{Scope: conf.Process, Names: []string{"po*", "x"}, Every: true}, "pool=1"},
		{"of the server", conf.Selection{Scope: conf.Server}, "url=server's"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := c.Properties(t.Context(), tt.selection)
			if err != nil || show(got) != tt.want {
				t.Errorf("%q, %v; want %q", show(got), err, tt.want)
			}
		})
	}
}

// A category wins over the global ones, a later one over an earlier one.
func TestProcessProperties(t *testing.T) {
	c, _ := open(t)
	add(t, c, conf.Process, "", "a=global,b=global,c=global", false)
	add(t, c, conf.Process, "one", "b=one,c=one", false)
	add(t, c, conf.Process, "two", "c=two,d=two", false)
	add(t, c, conf.Server, "", "e=server", false)
	for categories, want := range map[string]string{
		"":            "a=global b=global c=global",
		"one":         "a=global one/b=one one/c=one",
		"one,two":     "a=global one/b=one two/c=two two/d=two",
		"two,one":     "a=global one/b=one one/c=one two/d=two",
		"one,two,one": "a=global one/b=one one/c=one two/d=two",
		"none":        "a=global b=global c=global",
	} {
		got, err := c.ProcessProperties(t.Context(), conf.ParseTags(categories))
		if err != nil || show(got) != want {
			t.Errorf("%s: %q, %v; want %q", categories, show(got), err, want)
		}
	}
}

func TestClearAndDelete(t *testing.T) {
	c, _ := open(t)
	add(t, c, conf.Process, "", "a=1,b=1", false)
	add(t, c, conf.Process, "test", "a=2,b=2", false)
	add(t, c, conf.Process, "test", "c=3", true)
	every := conf.Selection{Scope: conf.Process, Every: true}
	if got, _ := c.Properties(t.Context(), every); show(got) != "a=1 b=1 test/c=3" {
		t.Errorf("after clearing a category: %q", show(got))
	}
	deleted, err := c.DeleteProperties(t.Context(), conf.Selection{Scope: conf.Process, Names: []string{"*"}})
	if err != nil || show(deleted) != "a=1 b=1" {
		t.Errorf("deleted %q, %v", show(deleted), err)
	}
	if got, _ := c.Properties(t.Context(), every); show(got) != "test/c=3" {
		t.Errorf("left %q", show(got))
	}
}

// A change of more properties than a batch takes is done whole or not at all.
func TestAllOrNothing(t *testing.T) {
	faulty := storetest.NewFaulty(storetest.NewMemory())
	c, err := conf.Open(t.Context(), faulty, "local")
	if err != nil {
		t.Fatal(err)
	}
	add(t, c, conf.Process, "", "old=1", false)
	var pairs []conf.Pair
	for i := range 500 {
		pairs = append(pairs, conf.Pair{Name: fmt.Sprint("p", i), Value: "v"})
	}
	bad := append(slices.Clone(pairs), conf.Pair{Name: "a=b"})
	if _, err := c.AddProperties(t.Context(), conf.Process, nil, bad, true); !errors.Is(err, conf.ErrInvalid) {
		t.Errorf("a bad one among good ones: %v", err)
	}
	if got, _ := c.Properties(t.Context(), conf.Selection{Scope: conf.Process}); show(got) != "old=1" {
		t.Errorf("left %q", show(got))
	}
	if _, err := c.AddProperties(t.Context(), conf.Process, nil, pairs, true); err != nil {
		t.Fatal(err)
	}
	if got, _ := c.Properties(t.Context(), conf.Selection{Scope: conf.Process}); len(got) != 500 {
		t.Errorf("%d properties", len(got))
	}
}

func TestTags(t *testing.T) {
	c, _ := open(t)
	ctx := t.Context()
	check := func(want string) {
		t.Helper()
		if got, err := c.Tags(ctx); err != nil || strings.Join(got, ",") != want {
			t.Errorf("tags %q, %v; want %q", got, err, want)
		}
	}
	if err := c.AddTags(ctx, []string{"web", "linux", "web"}, false); err != nil {
		t.Fatal(err)
	}
	check("linux,web")
	done, err := c.RenameTags(ctx, []conf.Renaming{{From: "web", To: "front"}, {From: "none", To: "x"}})
	if err != nil || len(done) != 1 {
		t.Errorf("renamed %v, %v", done, err)
	}
	check("front,linux")
	if err := c.AddTags(ctx, []string{"front", "a/b"}, true); err != nil {
		t.Fatal(err)
	}
	check("a/b,front")
	if deleted, err := c.DeleteTags(ctx, "f*"); err != nil || len(deleted) != 1 {
		t.Errorf("deleted %v, %v", deleted, err)
	}
	check("a/b")
	if err := c.AddTags(ctx, []string{"good", "*"}, true); !errors.Is(err, conf.ErrInvalid) {
		t.Errorf("a pattern as a tag: %v", err)
	}
	check("a/b")
}

// An archive brings back what it holds, and keeps it; an archive made again
// holds nothing of the earlier one.
func TestArchive(t *testing.T) {
	c, _ := open(t)
	ctx := t.Context()
	every := conf.Selection{Scope: conf.Process, Every: true}
	add(t, c, conf.Process, "", "a=1,b=1", false)
	add(t, c, conf.Process, "test", "a=2", false)
	archive := func() {
		t.Helper()
		if _, err := c.Archive(ctx, "r1", conf.Properties); err != nil {
			t.Fatal(err)
		}
	}
	restore := func() {
		t.Helper()
		if _, err := c.Unarchive(ctx, "r1", conf.Properties); err != nil {
			t.Fatal(err)
		}
	}
	archive()
	add(t, c, conf.Process, "", "a=changed,c=new", true)
	for range 2 {
		restore()
		if got, _ := c.Properties(ctx, every); show(got) != "a=1 b=1 c=new test/a=2" {
			t.Errorf("restored %q", show(got))
		}
	}
	if _, err := c.DeleteProperties(ctx, conf.Selection{Scope: conf.Process, Names: []string{"b"}}); err != nil {
		t.Fatal(err)
	}
	archive()
	restore()
	if got, _ := c.Properties(ctx, every); show(got) != "a=1 c=new test/a=2" {
		t.Errorf("the archive made again has %q", show(got))
	}
	if _, err := c.Unarchive(ctx, "r1", conf.Properties, conf.Tags); !errors.Is(err, conf.ErrArchiveNotFound) {
		t.Errorf("tags that were not archived: %v", err)
	}
	if _, err := c.Archive(ctx, "a/b", conf.Tags); !errors.Is(err, conf.ErrArchiveInvalid) {
		t.Errorf("a bad name: %v", err)
	}
}

func TestParsePairs(t *testing.T) {
	for text, want := range map[string]string{
		"a=1":                  "a=1",
		"a=1,b=2":              "a=1|b=2",
		`a=1\,2,b=3`:           "a=1,2|b=3",
		"a=1,2,b=3":            "a=1,2|b=3",
		"a=x=y":                "a=x=y",
		`a=x\=y`:               "a=x=y",
		"a=":                   "a=",
		"a=1,2":                "a=1,2",
		`dir=C:\temp`:          `dir=C:\temp`,
		"u=jdbc:acme?x=1&y=2 ": "u=jdbc:acme?x=1&y=2 ",
	} {
		pairs, err := conf.ParsePairs(text)
		var got []string
		for _, p := range pairs {
			got = append(got, p.Name+"="+p.Value)
		}
		if err != nil || strings.Join(got, "|") != want {
			t.Errorf("%s: %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"", "a", "=1", "a=canary,=canary"} {
		if pairs, err := conf.ParsePairs(text); !errors.Is(err, conf.ErrInvalid) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v, %v", text, pairs, err)
		}
	}
}

// What is written is read the same.
func TestFile(t *testing.T) {
	pairs := []conf.Pair{
		{"a", "1"}, {"empty", ""}, {"a b:c=d#e!f", " leading, trailing "}, {"lines", "one\ntwo\r\t\\"}, {"ü", "grün 漢字"}, {"x", "#not a comment ${a}"}, {"y", "=x"},
	}
	var text strings.Builder
	if err := conf.WriteProperties(&text, pairs); err != nil {
		t.Fatal(err)
	}
	got, err := conf.ParseProperties(strings.NewReader(text.String()))
	if err != nil || !slices.Equal(got, pairs) {
		t.Errorf("%q, %v, of\n%s", got, err, text.String())
	}
	if _, err := conf.ParseProperties(strings.NewReader(`a=canary\uXYZW`)); !errors.Is(err, conf.ErrInvalid) || strings.Contains(err.Error(), "canary") {
		t.Errorf("a bad escape: %v", err)
	}
}

func TestHidden(t *testing.T) {
	for name, want := range map[string]bool{
		"db.password": true, "DB_PASSWORD": true, "username": true, "my.secret.key": true, "aws.access.id.key": true, "accesskey": true,
		"db.url": false, "key": false, "access": false, "user": false,
	} {
		p := conf.Property{Name: name, Value: "canary", Scope: conf.Process}
		if p.Hidden() != want || (p.Shown().Value == conf.Mask) != want {
			t.Errorf("%s: hidden %v, shown %q", name, p.Hidden(), p.Shown().Value)
		}
	}
}
