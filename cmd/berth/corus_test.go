package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// corusFile is what becomes of a file of Corus that is deployed as it is.
type corusFile struct {
	deployed string // what is said of it
	refused  string // or why it is not
	warned   string // besides
}

const (
	isSchema   = `root element "xs:schema": a descriptor begins with <distribution>`
	isMagnet   = `this is a magnet file and not a descriptor: put it into a distribution, where attribute magnetFile of a <magnet> starter names it`
	needsSelf  = `dependency "server": the process depends on itself, which is ignored`
	isScripted = `script: a script of type "bsh" cannot be run, there is no interpreter for it`
	isTwo      = `is of type java too, and Berth does not run two main classes in one JVM`
)

// corusFolders are real files of Corus, in the folder that a checkout may have
// beside it, and our own of the same kinds.
var corusFolders = map[string]map[string]corusFile{
	"testdata/corus": {
		"basic.corus.xml":  {deployed: "deployed basic 1.0: server"},
		"port.corus.xml":   {deployed: "deployed port 1.0: server"},
		"needs.corus.xml":  {deployed: "deployed needs 1.0: server, sessions", warned: needsSelf},
		"needs.exec.xml":   {deployed: "deployed exec configuration needs: server"},
		"magnet.corus.xml": {deployed: "deployed magnet 1.0: echo"},
		"echo.magnet.xml":  {refused: isMagnet},
		"names.xsd":        {refused: isSchema},
	},
	"../../../shared/corus": {
		"jetty-basic.corus.xml":    {deployed: "deployed basic-sample-jetty 1.0: server"},
		"jetty-advanced.corus.xml": {deployed: "deployed advanced-sample-jetty 1.0: server"},
		"jetty-scalable.corus.xml": {deployed: "deployed scalable-sample-jetty 1.0: server, sessions", warned: needsSelf},
		"jetty.exec.xml":           {deployed: "deployed exec configuration jetty-server: server"},
		"magnet.corus.xml":         {deployed: "deployed sample-magnet 1.0: echo-server"},
		"echo_server.magnet.xml":   {refused: isMagnet},
		"distribution-5.0.xsd":     {refused: isSchema},
		"exec-2.0.xsd":             {refused: isSchema},
	},
}

// Every file deploys, or is refused for its reason, and what lacks something to
// start says so.
func TestCorusFiles(t *testing.T) {
	for folder, files := range corusFolders {
		t.Run(filepath.Base(filepath.Dir(folder)), func(t *testing.T) {
			entries, err := os.ReadDir(folder)
			if errors.Is(err, os.ErrNotExist) && strings.HasPrefix(folder, "..") {
				t.Logf("%s is not at hand", folder)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			folder, err := filepath.Abs(folder)
			if err != nil {
				t.Fatal(err)
			}
			h := newHost(t)
			for _, e := range entries {
				file := filepath.Join(folder, e.Name())
				want, known := files[e.Name()]
				switch {
				case !known:
					t.Errorf("nothing is known of %s", e.Name())
				case want.refused != "":
					if says := h.refused(1, "deploy", file); !strings.Contains(says, want.refused) {
						t.Errorf("%s is refused by\n%snot\n%s", e.Name(), says, want.refused)
					}
				default:
					r := h.try("deploy", file)
					if r.code != 0 || r.out != want.deployed+"\n" {
						t.Errorf("%v, want %s", r, want.deployed)
					}
					if want.warned == "" && r.err != "" || !strings.Contains(r.err, want.warned) {
						t.Errorf("%v, want the warning %q", r, want.warned)
					}
				}
			}
			for name := range files {
				if !slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == name }) {
					t.Errorf("there is no %s", name)
				}
			}
			magnetOfCorus(h, folder)
			execOfCorus(h)
		})
	}
}

// magnetOfCorus deploys a descriptor together with the magnet file that it names.
func magnetOfCorus(h *host, folder string) {
	h.t.Helper()
	found, err := filepath.Glob(filepath.Join(folder, "*.magnet.xml"))
	if err != nil || len(found) != 1 {
		h.t.Fatal(found, err)
	}
	for name, file := range map[string]string{"META-INF/corus.xml": filepath.Join(folder, "magnet.corus.xml"), filepath.Base(found[0]): found[0]} {
		text, err := os.ReadFile(file)
		if err != nil {
			h.t.Fatal(err)
		}
		h.write(filepath.Join("whole", name), string(text))
	}
	says := h.refused(1, "deploy", "whole")
	for _, part := range []string{filepath.Base(found[0]), isScripted, isTwo} {
		if !strings.Contains(says, part) {
			h.t.Errorf("it is refused by\n%swhich does not say %s", says, part)
		}
	}
}

// execOfCorus starts what was deployed and lacks a range, or its magnet file.
func execOfCorus(h *host) {
	h.t.Helper()
	for _, d := range decode[[]struct{ Name string }](h, "ls", "-o", "json") {
		switch {
		case strings.Contains(d.Name, "magnet"):
			if says := h.refused(1, "exec", "-d", d.Name, "-v", "1.0", "-p", "dev", "-n", "echo*"); !strings.Contains(says, ".magnet.xml") || !strings.Contains(says, "is not there") {
				h.t.Error(says)
			}
		case strings.Contains(d.Name, "advanced"), d.Name == "port":
			if says := h.refused(1, "exec", "-d", d.Name, "-v", "1.0", "-p", "dev", "-n", "server"); !strings.Contains(says, `-server"`) {
				h.t.Error(says)
			}
		}
	}
}
