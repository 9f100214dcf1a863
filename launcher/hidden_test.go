package launcher_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth/launcher"
	"berth/launcher/cmdline"
)

// A secret is in a file of the process' folder before the process runs, and in
// nothing that others can read of it.
func TestHiddenProperties(t *testing.T) {
	const canary = "cänary 4711"
	w := newWorld(t)
	w.deploy(`<process name="p"><generic profile="test"><arg value="sh"/><arg value="-c"/><arg value="sleep 1000"/><processProperties/>
		<property name="db.password" value="` + canary + `"/></generic></process>
		<process name="shows"><generic profile="test"><arg value="echo"/><arg value="${db.password}"/><property name="db.password" value="` + canary + `"/></generic></process>`)
	_, err := w.Exec(t.Context(), launcher.ExecRequest{Distribution: "demo", Version: "1.0", Profile: "test", Name: "shows"})
	if err == nil || !strings.Contains(err.Error(), `"db.password"`) || strings.Contains(err.Error(), canary) {
		t.Errorf("a secret as an argument: %v", err)
	}
	r, err := w.Exec(t.Context(), launcher.ExecRequest{Distribution: "demo", Version: "1.0", Profile: "test", Name: "p"})
	if err != nil {
		t.Fatal(err)
	}
	p := r.Processes[0]
	for _, file := range []string{"cmdline", "environ"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.Identity.PID, file))
		if err != nil || bytes.Contains(text, []byte("4711")) {
			t.Errorf("%s, %v: %q", file, err, text)
		}
	}
	name := filepath.Join(w.Dir(p.ID), cmdline.HiddenFile)
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(name)
	if want := "db.password=c\\u00e4nary 4711\n"; err != nil || string(text) != want || info.Mode() != 0o600 {
		t.Errorf("%v, %s: %q", err, info.Mode(), text)
	}
}
