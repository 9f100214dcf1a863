package launcher_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"berth/launcher"
)

// A process that writes numbered lines goes on while its output is rotated: where
// the file system can take away the beginning of a file none of them is lost, and
// at most a few are elsewhere.
func TestRotateWhileItIsWritten(t *testing.T) {
	w := newWorld(t)
	w.logLimit, w.logFiles = 64<<10, 1000
	w.reopen()
	w.deploy(process("p", "", "count"))
	id := w.start("p").ID
	o, err := w.OpenOutput(id)
	if err != nil {
		t.Fatal(err)
	}
	for rotated := 0; rotated < 20; {
		w.RotateOutputs()
		rotated = len(o.Files()) - 1
	}
	if _, err := w.Kill(t.Context(), launcher.StopRequest{Hard: true, Wait: patience}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(w.output(id), "\n"), "\n")
	lost, torn, next := 0, 0, 1
	for i, line := range lines {
		n, err := strconv.Atoi(line)
		switch {
		case err != nil || len(line) != 12 || n < next:
			if i != len(lines)-1 { // it was killed within that one
				torn++
			}
			continue
		case n > next:
			lost += n - next
		}
		next = n + 1
	}
	t.Logf("%d lines, %d old files: %d lost, %d torn", len(lines), len(o.Files())-1, lost, torn)
	if collapses(t, w.home) && lost+torn > 0 || lost > len(lines)/2 {
		t.Errorf("of %d lines %d are lost and %d torn", len(lines), lost, torn)
	}
}

func TestRotateKeepsSoManyFiles(t *testing.T) {
	w := newWorld(t)
	w.logLimit, w.logFiles = 10<<10, 2
	w.reopen()
	w.deploy(process("p", "", "done"))
	p := w.start("p")
	w.awaitStatus(p.ID, launcher.Running)
	o, err := w.OpenOutput(p.ID)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(w.Dir(p.ID), "process.out")
	f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all bytes.Buffer
	for i := range 5 {
		block := bytes.Repeat([]byte{byte('a' + i)}, 11<<10)
		all.Write(block)
		if _, err := f.Write(block); err != nil {
			t.Fatal(err)
		}
		w.RotateOutputs()
	}
	if got := o.Files(); len(got) != 3 || got[0] != name || got[2] != name+".2" {
		t.Errorf("%v", got)
	}
	first, end, err := o.Bounds()
	if err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(io.NewSectionReader(o, first, end-first))
	if err != nil || !bytes.HasSuffix(all.Bytes(), rest) || len(rest) < 20<<10 || end < 55<<10 {
		t.Errorf("%d bytes from %d to %d, %v", len(rest), first, end, err)
	}
	// Another daemon finds the same.
	again, err := launcher.NewOutput(w.Dir(p.ID))
	if err != nil {
		t.Fatal(err)
	}
	first, end, _ = again.Bounds()
	if same, err := io.ReadAll(io.NewSectionReader(again, first, end-first)); err != nil || !bytes.Equal(same, rest) {
		t.Errorf("%d bytes, %v", len(same), err)
	}
}

// A daemon that dies while it rotates leaves a copy: it is an old file if it was
// taken away already, and nothing otherwise.
func TestRotationThatWasBrokenOff(t *testing.T) {
	for _, tt := range []struct{ name, left, present, want string }{
		{"before", "one\ntwo\n", "one\ntwo\nthree\n", "zero\none\ntwo\nthree\n"},
		{"while it was copied", "one\nt", "one\ntwo\nthree\n", "zero\none\ntwo\nthree\n"},
		{"behind", "one\ntwo\n", "three\n", "zero\none\ntwo\nthree\n"},
		{"emptied", "one\ntwo\n", "", "zero\none\ntwo\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range map[string]string{"process.out.1": "zero\n", "process.out.new": tt.left, "process.out": tt.present} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			o, err := launcher.NewOutput(dir)
			if err != nil {
				t.Fatal(err)
			}
			first, end, err := o.Bounds()
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(io.NewSectionReader(o, first, end-first))
			if err != nil || string(got) != tt.want {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}
