package descriptor_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"berth/descriptor"
)

const small = `<distribution name="demo" version="1.0"><process name="p"><generic profile="x"><arg value="./run"/></generic></process></distribution>`

// entry is one of a zip that a test makes.
type entry struct {
	name, text string
	mode       fs.FileMode // 0 is that of a writer that knows no modes
	flags      uint16
	raw        *zip.FileHeader // sizes, method and sum as given, with text as its bytes
}

// pointed is the entry of a descriptor.
var pointed = entry{name: descriptor.Place, text: small}

func zipBytes(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate, Flags: e.flags}
		create := z.CreateHeader
		if e.raw != nil {
			h, create = e.raw, z.CreateRaw
			h.Name, h.Flags = e.name, h.Flags|e.flags
		}
		if e.mode != 0 {
			h.SetMode(e.mode)
		}
		w, err := create(h)
		if err == nil && e.text != "" {
			_, err = w.Write([]byte(e.text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func writeFile(t testing.TB, name string, content []byte, mode fs.FileMode) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, content, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil {
		t.Fatal(err)
	}
	return name
}

// tree lists what is in a folder with its modes and content.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		what := info.Mode().String()
		if info.Mode().IsRegular() {
			content, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			what += " " + string(content)
		}
		rel, err := filepath.Rel(dir, name)
		out[rel] = what
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestUnpackKeepsContentAndModes(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o022))
	content := zipBytes(t,
		entry{name: "bin/run", text: "run", mode: 0o755},
		entry{name: "bin/setuid", text: "s", mode: fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky | 0o777},
		pointed,
		entry{name: "META-INF/", mode: fs.ModeDir | 0o500},
		entry{name: "data/secret", text: "k", mode: 0o400},
		entry{name: "data/plain", text: strings.Repeat("plain ", 3)},
		entry{name: "empty/", mode: fs.ModeDir | 0o777},
	)
	dir := filepath.Join(t.TempDir(), "out")
	d, err := descriptor.Unpack(writeFile(t, filepath.Join(t.TempDir(), "a"), content, 0o600), dir, descriptor.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if d.Name != "demo" || d.Version != "1.0" {
		t.Errorf("got %+v", d)
	}
	want := map[string]string{
		"META-INF":           "drwxr-xr-x",
		"META-INF/corus.xml": "-rw-r--r-- " + small,
		"bin":                "drwxr-xr-x",
		"bin/run":            "-rwxr-xr-x run",
		"bin/setuid":         "-rwxr-xr-x s",
		"data":               "drwxr-xr-x",
		"data/secret":        "-rw------- k",
		"data/plain":         "-rw-r--r-- plain plain plain ",
		"empty":              "drwxr-xr-x",
	}
	if got := tree(t, dir); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestUnpackOfADescriptorByItself(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o022))
	for _, text := range []string{small, "\xef\xbb\xbf\n " + small, `<?xml version="1.0"?>` + small} {
		dir := t.TempDir() // an empty folder that is there serves too
		d, err := descriptor.Unpack(writeFile(t, filepath.Join(t.TempDir(), "a"), []byte(text), 0o600), dir, descriptor.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"META-INF": "drwxr-xr-x", "META-INF/corus.xml": "-rw-r--r-- " + text}
		if got := tree(t, dir); d.Name != "demo" || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v", d, got)
		}
	}
}

func TestArchiveTellsItsDistributionBeforeItIsUnpacked(t *testing.T) {
	name := writeFile(t, filepath.Join(t.TempDir(), "a"), zipBytes(t, pointed), 0o600)
	a, err := descriptor.Open(name, descriptor.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if a.Distribution.Name != "demo" {
		t.Errorf("got %+v", a.Distribution)
	}
	for _, dir := range []string{"one", "two"} {
		if err := a.Unpack(filepath.Join(t.TempDir(), dir)); err != nil {
			t.Error(err)
		}
	}
	if err := errors.Join(a.Close(), a.Close()); err != nil {
		t.Error(err)
	}
	if err := a.Unpack(filepath.Join(t.TempDir(), "three")); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestUnpackLeavesAFolderThatIsNotEmpty(t *testing.T) {
	name := writeFile(t, filepath.Join(t.TempDir(), "a"), zipBytes(t, pointed), 0o600)
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "mine"), []byte("1"), 0o600)
	_, err := descriptor.Unpack(name, dir, descriptor.Limits{})
	if !errors.Is(err, fs.ErrExist) || errors.Is(err, descriptor.ErrInvalid) {
		t.Errorf("got %v", err)
	}
	if got, want := tree(t, dir), map[string]string{"mine": "-rw------- 1"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
}

// lying is an entry of ten bytes whose header says that they are fewer.
func lying(name string) entry {
	return entry{name: name, text: "0123456789", raw: &zip.FileHeader{Method: zip.Store, CompressedSize64: 10, UncompressedSize64: 4}}
}

func TestUnpackRefuses(t *testing.T) {
	script := entry{name: "run", text: "x", mode: 0o755}
	cut := zipBytes(t, pointed, script)
	bomb := entry{name: "zeros", text: strings.Repeat("\x00", 1<<20)}
	wrongSum := zipBytes(t, pointed, entry{name: "a", text: "AAAA", raw: &zip.FileHeader{Method: zip.Store, CompressedSize64: 4, UncompressedSize64: 4, CRC32: 1}})
	tests := []struct {
		name    string
		content []byte
		limits  descriptor.Limits
		want    string
	}{
		// What it is.
		{"empty file", nil, descriptor.Limits{}, `the file is empty: an archive is a zip with META-INF/corus.xml in it, or a corus.xml by itself`},
		{"script", []byte("#!/bin/sh\n"), descriptor.Limits{}, `it is neither a zip nor XML: an archive is a zip with META-INF/corus.xml in it, or a corus.xml by itself`},
		{"gzip", []byte("\x1f\x8b\x08\x00"), descriptor.Limits{}, `it is a gzip file: an archive is a zip with META-INF/corus.xml in it, or a corus.xml by itself`},
		{"tar", append(make([]byte, 257), "ustar\x0000"...), descriptor.Limits{}, `it is a tar file: an archive is a zip with META-INF/corus.xml in it, or a corus.xml by itself`},
		{"UTF-16", []byte("\xff\xfe<\x00d\x00"), descriptor.Limits{}, `corus.xml: the text is UTF-16 or UTF-32: save it as UTF-8`},
		{"bad descriptor by itself", []byte("<distribution/>"), descriptor.Limits{}, `corus.xml: distribution: attribute "name" is missing; corus.xml: distribution: attribute "version" is missing`},
		{"large descriptor by itself", []byte(small + strings.Repeat(" ", 1<<20)), descriptor.Limits{}, `corus.xml: the text is larger than 1048576 bytes`},
		{"cut off", cut[:len(cut)-30], descriptor.Limits{}, `the archive is damaged: not a valid zip file`},
		{"only a magic number", []byte("PK\x03\x04"), descriptor.Limits{}, `the archive is damaged: not a valid zip file`},

		// Its descriptor.
		{"no entries", zipBytes(t), descriptor.Limits{}, `there is no META-INF/corus.xml in the archive`},
		{"no descriptor", zipBytes(t, script), descriptor.Limits{}, `there is no META-INF/corus.xml in the archive`},
		{"descriptor at the top", zipBytes(t, entry{name: "corus.xml", text: small}), descriptor.Limits{}, `there is no META-INF/corus.xml, but "corus.xml": move it there`},
		{"descriptor in a folder", zipBytes(t, entry{name: "demo/META-INF/corus.xml", text: small}), descriptor.Limits{}, `there is no META-INF/corus.xml, but "demo/META-INF/corus.xml": pack what is in the folder "demo", not the folder`},
		{"descriptor in other case", zipBytes(t, entry{name: "meta-inf/Corus.xml", text: small}), descriptor.Limits{}, `there is no META-INF/corus.xml, but "meta-inf/Corus.xml": move it there`},
		{"descriptor is a folder", zipBytes(t, entry{name: "META-INF/corus.xml/"}), descriptor.Limits{}, `there is no META-INF/corus.xml in the archive`},
		{"bad descriptor", zipBytes(t, entry{name: descriptor.Place, text: in(`<process name="p"><port/></process>`)}), descriptor.Limits{}, `META-INF/corus.xml: process "p": port: attribute "name" is missing; META-INF/corus.xml: process "p": there is no starter: add a java, generic, magnet or docker element`},
		{"large descriptor", zipBytes(t, entry{name: descriptor.Place, text: small + strings.Repeat(" ", 1<<20)}), descriptor.Limits{}, `META-INF/corus.xml: the text is larger than 1048576 bytes`},
		{"lying descriptor", zipBytes(t, lying(descriptor.Place)), descriptor.Limits{}, `entry "META-INF/corus.xml": the archive is damaged: the content is not what its header says`},

		// Names.
		{"no name", zipBytes(t, pointed, entry{name: "", text: "x"}), descriptor.Limits{}, `entry "" has no name`},
		{"a slash for a name", zipBytes(t, pointed, entry{name: "/"}), descriptor.Limits{}, `entry "/" has no name`},
		{"absolute", zipBytes(t, pointed, entry{name: "/etc/passwd", text: "x"}), descriptor.Limits{}, `entry "/etc/passwd" has an absolute name`},
		{"above", zipBytes(t, pointed, entry{name: "../x", text: "x"}), descriptor.Limits{}, `entry "../x" leads out of the archive`},
		{"above from within", zipBytes(t, pointed, entry{name: "a/../../x", text: "x"}), descriptor.Limits{}, `entry "a/../../x" leads out of the archive`},
		{"above as a folder", zipBytes(t, pointed, entry{name: "../"}), descriptor.Limits{}, `entry "../" leads out of the archive`},
		{"dot", zipBytes(t, pointed, entry{name: "./x", text: "x"}), descriptor.Limits{}, `entry "./x" has an empty part or "." in its name`},
		{"empty part", zipBytes(t, pointed, entry{name: "a//x", text: "x"}), descriptor.Limits{}, `entry "a//x" has an empty part or "." in its name`},
		{"backslash", zipBytes(t, pointed, entry{name: `a\x`, text: "x"}), descriptor.Limits{}, `entry "a\\x" has a "\" in its name: use "/"`},
		{"NUL", zipBytes(t, pointed, entry{name: "a\x00b", text: "x"}), descriptor.Limits{}, `entry "a\x00b" has a control character in its name`},
		{"line end", zipBytes(t, pointed, entry{name: "a\nb", text: "x"}), descriptor.Limits{}, `entry "a\nb" has a control character in its name`},
		{"not UTF-8", zipBytes(t, pointed, entry{name: "caf\xe9", text: "x"}), descriptor.Limits{}, `entry "caf\xe9" has a name that is not UTF-8`},
		{"long part", zipBytes(t, pointed, entry{name: strings.Repeat("n", 256), text: "x"}), descriptor.Limits{}, `entry "` + strings.Repeat("n", 80) + `…" has a part longer than 255 bytes in its name`},
		{"long name", zipBytes(t, pointed, entry{name: strings.Repeat("n/", 512) + "n", text: "x"}), descriptor.Limits{}, `entry "` + strings.Repeat("n/", 40) + `…" has a name longer than 1024 bytes`},
		{"twice", zipBytes(t, pointed, script, script), descriptor.Limits{}, `entry "run" is there twice`},
		{"descriptor twice", zipBytes(t, pointed, pointed), descriptor.Limits{}, `entry "META-INF/corus.xml" is there twice`},
		{"folder twice", zipBytes(t, pointed, entry{name: "a/"}, entry{name: "a/"}), descriptor.Limits{}, `entry "a/" is there twice`},
		{"file and folder", zipBytes(t, pointed, entry{name: "run/"}, script), descriptor.Limits{}, `entry "run" is there twice`},
		{"other case", zipBytes(t, pointed, script, entry{name: "RUN", text: "x"}), descriptor.Limits{}, `entries "run" and "RUN" differ in case only`},
		{"folder in other case", zipBytes(t, pointed, entry{name: "meta-inf/x", text: "x"}), descriptor.Limits{}, `entries "META-INF" and "meta-inf" differ in case only`},
		{"in a file", zipBytes(t, pointed, script, entry{name: "run/x", text: "x"}), descriptor.Limits{}, `entry "run/x" is in "run", which is a file`},
		{"deep in a file", zipBytes(t, pointed, script, entry{name: "run/x/y", text: "x"}), descriptor.Limits{}, `entry "run/x/y" is in "run", which is a file`},
		{"file where a folder is", zipBytes(t, pointed, entry{name: "run/x", text: "x"}, script), descriptor.Limits{}, `entry "run" is a file, and a folder for other entries`},

		// Sorts.
		{"symbolic link", zipBytes(t, pointed, entry{name: "l", text: "/etc/passwd", mode: fs.ModeSymlink | 0o777}), descriptor.Limits{}, `entry "l" is a symbolic link: put the file itself there`},
		{"descriptor is a link", zipBytes(t, entry{name: descriptor.Place, text: "/etc/passwd", mode: fs.ModeSymlink | 0o777}), descriptor.Limits{}, `entry "META-INF/corus.xml" is a symbolic link: put the file itself there`},
		{"link that looks like a folder", zipBytes(t, pointed, entry{name: "l/", mode: fs.ModeSymlink | 0o777}), descriptor.Limits{}, `entry "l/" is a symbolic link: put the file itself there`},
		{"device", zipBytes(t, pointed, entry{name: "n", mode: fs.ModeDevice | fs.ModeCharDevice | 0o666}), descriptor.Limits{}, `entry "n" is a device, a pipe or a socket`},
		{"pipe", zipBytes(t, pointed, entry{name: "n", mode: fs.ModeNamedPipe | 0o666}), descriptor.Limits{}, `entry "n" is a device, a pipe or a socket`},
		{"socket", zipBytes(t, pointed, entry{name: "n", mode: fs.ModeSocket | 0o666}), descriptor.Limits{}, `entry "n" is a device, a pipe or a socket`},
		{"folder without a slash", zipBytes(t, pointed, entry{name: "n", mode: fs.ModeDir | 0o755}), descriptor.Limits{}, `entry "n" is a folder whose name does not end in "/"`},
		{"folder with content", zipBytes(t, pointed, entry{name: "n/", raw: &zip.FileHeader{CompressedSize64: 1, UncompressedSize64: 1}}), descriptor.Limits{}, `entry "n/" is a folder with content`},
		{"encrypted", zipBytes(t, pointed, entry{name: "n", text: "x", flags: 1}), descriptor.Limits{}, `entry "n" is encrypted`},
		{"other method", zipBytes(t, pointed, entry{name: "n", text: "x", raw: &zip.FileHeader{Method: 12, CompressedSize64: 1, UncompressedSize64: 1}}), descriptor.Limits{}, `entry "n" is compressed by a method other than deflate`},

		// Sizes.
		{"many entries", zipBytes(t, pointed, script, entry{name: "b", text: "x"}), descriptor.Limits{Entries: 2}, `the archive has more than 2 entries`},
		{"many folders", zipBytes(t, pointed, entry{name: "a/b/c/d", text: "x"}), descriptor.Limits{Entries: 5}, `the archive has more than 5 files and folders`},
		{"large directory", zipBytes(t, longNames(300)...), descriptor.Limits{Entries: 1}, `the archive's directory is too large for 1 entries`},
		{"large archive", zipBytes(t, pointed), descriptor.Limits{Bytes: 100}, `the archive is larger than 100 bytes`},
		{"large file", zipBytes(t, pointed, bomb), descriptor.Limits{EntryBytes: 1 << 19}, `entry "zeros" is larger than 524288 bytes`},
		{"large together", zipBytes(t, pointed, bomb), descriptor.Limits{Bytes: 1 << 20}, `the files of the archive are larger than 1048576 bytes`},
		{"bomb", zipBytes(t, pointed, bomb), descriptor.Limits{RatioFrom: 1 << 16}, `the files of the archive are more than 200 times larger than the archive`},
		{"says a size without end", zipBytes(t, pointed, entry{name: "n", text: "x", raw: &zip.FileHeader{CompressedSize64: 1, UncompressedSize64: 1 << 63}}), descriptor.Limits{}, `entry "n" is larger than 1073741824 bytes`},

		// Content, which shows only while it is unpacked.
		{"more than said", zipBytes(t, pointed, script, lying("z")), descriptor.Limits{}, `entry "z": the archive is damaged: the content is not what its header says`},
		{"less than said", zipBytes(t, pointed, script, entry{name: "z", text: "x", raw: &zip.FileHeader{CompressedSize64: 1, UncompressedSize64: 2}}), descriptor.Limits{}, `entry "z": the archive is damaged: unexpected EOF`},
		{"wrong sum", wrongSum, descriptor.Limits{}, `entry "a": the archive is damaged: checksum error`},
		{"no deflate", zipBytes(t, pointed, entry{name: "z", text: "\xff\xff\xff", raw: &zip.FileHeader{Method: zip.Deflate, CompressedSize64: 3, UncompressedSize64: 9}}), descriptor.Limits{}, `entry "z": the archive is damaged: flate: corrupt input before offset 1`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			above := t.TempDir()
			name := writeFile(t, filepath.Join(t.TempDir(), "upload"), test.content, 0o600)
			for _, dir := range []string{filepath.Join(above, "new"), t.TempDir()} {
				d, err := descriptor.Unpack(name, dir, test.limits)
				if err == nil {
					t.Fatalf("accepted: %+v", d)
				}
				if err.Error() != test.want {
					t.Errorf("got  %s\nwant %s", err, test.want)
				}
				if d != nil || !errors.Is(err, descriptor.ErrInvalid) {
					t.Errorf("got %v and %T", d, err)
				}
				if filepath.Base(dir) != "new" {
					if left := tree(t, dir); len(left) > 0 {
						t.Errorf("left behind: %v", left)
					}
				}
			}
			if left := tree(t, above); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// longNames are entries whose names fill a zip's directory.
func longNames(n int) []entry {
	out := []entry{pointed}
	for i := range n {
		out = append(out, entry{name: fmt.Sprintf("%d-%s", i, strings.Repeat("n", 1000))})
	}
	return out
}

func TestOpenRefusesWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		name, want string
		is         error
	}{
		"folder":  {dir, `it is a folder: pack it into a zip first`, descriptor.ErrInvalid},
		"pipe":    {pipe, `it is not a regular file`, descriptor.ErrInvalid},
		"nothing": {filepath.Join(dir, "none"), "open archive: open " + filepath.Join(dir, "none") + ": no such file or directory", fs.ErrNotExist},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := descriptor.Open(test.name, descriptor.Limits{})
			if err == nil || err.Error() != test.want || !errors.Is(err, test.is) {
				t.Errorf("got %v", err)
			}
		})
	}
}
