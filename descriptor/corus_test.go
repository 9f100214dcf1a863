package descriptor_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth/descriptor"
)

// Real files of Corus are read, or refused for a reason that is said: those of
// the folder that a checkout may have beside it, and always our own of the same
// kinds.
func TestCorusFiles(t *testing.T) {
	refused := map[string]string{
		"echo_server.magnet.xml": `script: a script of type "bsh" cannot be run, there is no interpreter for it: write what it sets as parameters, or start the process by a <generic> starter; ` +
			`launcher "echo_server_toc": launcher "echo_server_tic" is of type java too, and Berth does not run two main classes in one JVM: make two processes of them, each with a magnet file of its own`,
	}
	kinds := map[string]int{}
	for _, folder := range []string{"testdata", "../../shared/corus"} {
		entries, err := os.ReadDir(folder)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			text, err := os.ReadFile(filepath.Join(folder, e.Name()))
			if e.IsDir() {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(e.Name(), ".xsd") {
				continue
			}
			kind := strings.Join(strings.Split(e.Name(), ".")[1:], ".")
			kinds[kind]++
			var warnings []string
			switch kind {
			case "corus.xml":
				var d *descriptor.Distribution
				if d, err = descriptor.Parse(strings.NewReader(string(text))); err == nil {
					warnings = d.Warnings
				}
			case "exec.xml":
				var x *descriptor.Exec
				if x, err = descriptor.ParseExec(strings.NewReader(string(text))); err == nil {
					warnings = x.Warnings
				}
			case "magnet.xml":
				var m *descriptor.MagnetFile
				if m, err = descriptor.ParseMagnet(strings.NewReader(string(text))); err == nil {
					warnings = m.Warnings
				}
			default:
				if folder == "testdata" {
					continue // of other tests
				}
				t.Errorf("%s: nothing is known of such a file", e.Name())
			}
			if why := refused[e.Name()]; why != "" {
				if !errors.Is(err, descriptor.ErrUnsupported) || err.Error() != why {
					t.Errorf("%s is refused by\n%v\nnot\n%s", e.Name(), err, why)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", e.Name(), err)
			}
			for _, w := range warnings {
				if strings.Contains(w, "not known") {
					t.Errorf("%s: %s", e.Name(), w)
				}
			}
		}
	}
	for _, kind := range []string{"corus.xml", "exec.xml", "magnet.xml"} {
		if kinds[kind] == 0 {
			t.Errorf("no file of kind %s", kind)
		}
	}
}
