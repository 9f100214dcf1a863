package descriptor_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"syscall"
	"testing"

	"berth/descriptor"
)

// folder makes a distribution to pack.
func folder(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "dist")
	writeFile(t, filepath.Join(dir, descriptor.Place), []byte(small), 0o644)
	return dir
}

func TestPackedFolderUnpacksTheSame(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o022))
	dir := folder(t)
	writeFile(t, filepath.Join(dir, "run"), []byte("#!/bin/sh\nexec true\n"), 0o755)
	writeFile(t, filepath.Join(dir, "lib", "a.jar"), bytes.Repeat([]byte("jar"), 1000), 0o644)
	writeFile(t, filepath.Join(dir, "lib", "name with ünicode"), nil, 0o600)
	writeFile(t, filepath.Join(dir, ".hidden"), []byte("h"), 0o644)
	if err := os.Mkdir(filepath.Join(dir, "work"), 0o755); err != nil {
		t.Fatal(err)
	}
	var packed, again bytes.Buffer
	if err := errors.Join(descriptor.Pack(dir, &packed), descriptor.Pack(dir, &again)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(packed.Bytes(), again.Bytes()) {
		t.Error("the same folder is packed into other bytes")
	}
	z, err := zip.NewReader(bytes.NewReader(packed.Bytes()), int64(packed.Len()))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range z.File {
		names = append(names, f.Name)
	}
	want := []string{".hidden", "META-INF/", "META-INF/corus.xml", "lib/", "lib/a.jar", "lib/name with ünicode", "run", "work/"}
	if !slices.Equal(names, want) {
		t.Errorf("got %q", names)
	}
	out := filepath.Join(t.TempDir(), "out")
	if _, err := descriptor.Unpack(writeFile(t, filepath.Join(t.TempDir(), "a"), packed.Bytes(), 0o600), out, descriptor.Limits{}); err != nil {
		t.Fatal(err)
	}
	if got, want := tree(t, out), tree(t, dir); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestPackRefuses(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(t *testing.T, dir string)
		want  string
	}{
		{"no descriptor", func(t *testing.T, dir string) {
			must(t, os.Remove(filepath.Join(dir, descriptor.Place)))
		}, `there is no META-INF/corus.xml in the folder`},
		{"descriptor at the top", func(t *testing.T, dir string) {
			must(t, os.Rename(filepath.Join(dir, descriptor.Place), filepath.Join(dir, "corus.xml")))
		}, `there is no META-INF/corus.xml in the folder, but "corus.xml": move it there`},
		{"descriptor is a folder", func(t *testing.T, dir string) {
			must(t, os.Remove(filepath.Join(dir, descriptor.Place)))
			must(t, os.Mkdir(filepath.Join(dir, descriptor.Place), 0o755))
		}, `META-INF/corus.xml is not a regular file`},
		{"bad descriptor", func(t *testing.T, dir string) {
			writeFile(t, filepath.Join(dir, descriptor.Place), []byte(process(`invoke="x"`)), 0o644)
		}, `META-INF/corus.xml: process "p": attribute "invoke": "x" is neither "true" nor "false"`},
		{"symbolic link", func(t *testing.T, dir string) {
			must(t, os.Mkdir(filepath.Join(dir, "lib"), 0o755))
			must(t, os.Symlink("../META-INF/corus.xml", filepath.Join(dir, "lib", "link")))
		}, `"lib/link" is a symbolic link: put the file itself there`},
		{"link to a folder", func(t *testing.T, dir string) {
			must(t, os.Symlink("/etc", filepath.Join(dir, "etc")))
		}, `"etc" is a symbolic link: put the file itself there`},
		{"linked META-INF", func(t *testing.T, dir string) {
			must(t, os.Rename(filepath.Join(dir, "META-INF"), filepath.Join(dir, "real")))
			must(t, os.Symlink("real", filepath.Join(dir, "META-INF")))
		}, `"META-INF" is a symbolic link: put the file itself there`},
		{"pipe", func(t *testing.T, dir string) {
			must(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
		}, `"pipe" is a device, a pipe or a socket`},
		{"socket", func(t *testing.T, dir string) {
			t.Chdir(dir) // the name of a socket is short
			l, err := net.Listen("unix", "sock")
			must(t, err)
			t.Cleanup(func() { l.Close() })
		}, `"sock" is a device, a pipe or a socket`},
		{"backslash", func(t *testing.T, dir string) {
			writeFile(t, filepath.Join(dir, `a\b`), nil, 0o644)
		}, `"a\\b" has a "\" in its name: use "/"`},
		{"line end", func(t *testing.T, dir string) {
			writeFile(t, filepath.Join(dir, "a\nb"), nil, 0o644)
		}, `"a\nb" has a control character in its name`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := folder(t)
			test.spoil(t, dir)
			err := descriptor.Pack(dir, io.Discard)
			if err == nil || err.Error() != test.want {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
			if !errors.Is(err, descriptor.ErrInvalid) {
				t.Errorf("got %T", err)
			}
		})
	}
}

func TestPackReturnsOtherErrors(t *testing.T) {
	if err := descriptor.Pack(filepath.Join(t.TempDir(), "none"), io.Discard); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, descriptor.ErrInvalid) {
		t.Errorf("no folder: %v", err)
	}
	r, w := io.Pipe()
	must(t, r.CloseWithError(io.ErrShortWrite))
	if err := descriptor.Pack(folder(t), w); !errors.Is(err, io.ErrShortWrite) || errors.Is(err, descriptor.ErrInvalid) {
		t.Errorf("no writer: %v", err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
