package descriptor_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"berth/descriptor"
)

// checkLine fails where an error is not one short line.
func checkLine(t *testing.T, err error) {
	t.Helper()
	s := err.Error()
	if s == "" || len(s) > 20_000 || strings.ContainsFunc(s, unicode.IsControl) {
		t.Errorf("not a line: %q", s)
	}
}

// checkDistribution fails where a distribution is not what its types promise.
func checkDistribution(t *testing.T, d *descriptor.Distribution) {
	t.Helper()
	isName := func(name string) {
		t.Helper()
		if name == "" || len(name) > 128 || name == "." || name == ".." || strings.ContainsAny(name, "/\\ \x00") {
			t.Errorf("not a name: %q", name)
		}
	}
	isName(d.Name)
	isName(d.Version)
	for _, w := range d.Warnings {
		checkLine(t, errors.New(w))
	}
	seen := map[string]bool{}
	for _, p := range d.Processes {
		isName(p.Name)
		if seen[p.Name] || len(p.Starters) == 0 || p.ShutdownTimeout < 0 || p.MaxInstances < 0 || p.MaxKillRetry < 0 {
			t.Errorf("process %+v", p)
		}
		seen[p.Name] = true
		ports, profiles := map[string]bool{}, map[string]bool{}
		for _, port := range p.Ports {
			isName(port.Name)
			if ports[port.Name] {
				t.Errorf("port %q twice", port.Name)
			}
			ports[port.Name] = true
		}
		for _, s := range p.Starters {
			isName(s.Profile)
			switch {
			case profiles[s.Profile],
				s.Kind == descriptor.Java && s.MainClass == "",
				s.Kind == descriptor.Magnet && s.MagnetFile == "",
				s.Kind == descriptor.Generic && len(s.Args) == 0:
				t.Errorf("starter %+v", s)
			}
			profiles[s.Profile] = true
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/*.xml", "../../shared/corus/*.xml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	for _, text := range []string{small, port(`<prot/>`), java(`<dependency process="p"/>`), generic(`<processProperties/>`),
		`<!DOCTYPE d [<!ENTITY e "x">]><d>&e;</d>`, `<c:distribution xmlns:c="urn:x"/>`, "\xff\xfe<\x00", `<a b="" b=""/>`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := descriptor.Parse(bytes.NewReader(text))
		if err != nil {
			if d != nil || !errors.Is(err, descriptor.ErrInvalid) {
				t.Errorf("got %v and %T", d, err)
			}
			checkLine(t, err)
			return
		}
		checkDistribution(t, d)
	})
}

func FuzzUnpack(f *testing.F) {
	for _, content := range [][]byte{
		[]byte(small),
		zipBytes(f),
		zipBytes(f, pointed),
		zipBytes(f, pointed, entry{name: "bin/run", text: "run", mode: 0o755}, entry{name: "empty/"}),
		zipBytes(f, pointed, entry{name: "../out", text: "x"}),
		zipBytes(f, pointed, entry{name: "l", text: "..", mode: fs.ModeSymlink | 0o777}, entry{name: "l/x", text: "x"}),
		zipBytes(f, pointed, lying("z")),
		zipBytes(f, pointed, entry{name: "n", text: "x", flags: 1}),
		zipBytes(f, pointed, entry{name: "a", text: "AAAA", raw: nil}, entry{name: "A", text: "a"}),
	} {
		f.Add(content)
	}
	f.Fuzz(unpackStrange)
}

// FuzzUnpackEntries is FuzzUnpack with zips that are whole, whatever the names
// and modes in them.
func FuzzUnpackEntries(f *testing.F) {
	for _, name := range []string{"run", "META-INF/", "../x", "/x", "a/../../x", `a\x`, "RUN", "run/x", "./", "a\x00", "n/./m", "..\u2215x"} {
		f.Add(name, "x", uint32(0), "run", "y", uint32(0o755))
	}
	f.Add("l", "/etc", uint32(fs.ModeSymlink|0o777), "l/x", "y", uint32(0))
	f.Add("l/", "", uint32(fs.ModeSymlink|0o777), "s", "y", uint32(fs.ModeSetuid|0o755))
	f.Fuzz(func(t *testing.T, nameA, textA string, modeA uint32, nameB, textB string, modeB uint32) {
		if len(nameA) > 1<<16-1 || len(nameB) > 1<<16-1 {
			return // a zip has no such names
		}
		if strings.HasSuffix(nameA, "/") {
			textA = ""
		}
		if strings.HasSuffix(nameB, "/") {
			textB = ""
		}
		unpackStrange(t, zipBytes(t, pointed,
			entry{name: nameA, text: textA, mode: fs.FileMode(modeA)},
			entry{name: nameB, text: textB, mode: fs.FileMode(modeB)}))
	})
}

// unpackStrange unpacks any bytes, and fails where a promise is broken.
func unpackStrange(t *testing.T, content []byte) {
	limits := descriptor.Limits{Entries: 100, Bytes: 1 << 20, EntryBytes: 1 << 19, RatioFrom: 1 << 16}
	above := t.TempDir()
	dir := filepath.Join(above, "out")
	name := writeFile(t, filepath.Join(above, "upload"), content, 0o600)
	d, err := descriptor.Unpack(name, dir, limits)
	if err != nil {
		if !errors.Is(err, descriptor.ErrInvalid) {
			t.Errorf("not told as invalid: %v", err)
		}
		checkLine(t, err)
	}
	var bytesWritten int64
	entries := map[string]bool{}
	for name, what := range tree(t, above) {
		switch {
		case name == "upload":
		case name != "out" && !strings.HasPrefix(name, "out/"):
			t.Errorf("outside: %q", name)
		case what[0] != '-' && what[0] != 'd', strings.ContainsAny(what[:10], "ugt"):
			t.Errorf("%q: %s", name, what[:10])
		default:
			entries[name] = true
			bytesWritten += int64(len(what))
		}
	}
	switch {
	case err != nil && len(entries) > 0:
		t.Errorf("left behind after %v: %v", err, entries)
	case err == nil && !entries["out/"+descriptor.Place]:
		t.Error("no descriptor")
	case len(entries) > limits.Entries+1 || bytesWritten > limits.Bytes+100*int64(limits.Entries):
		t.Errorf("beyond the limits: %d entries, %d bytes", len(entries), bytesWritten)
	}
	if err == nil {
		checkDistribution(t, d)
	}
}
