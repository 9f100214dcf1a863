package samples_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"berth/api"
)

// Processes are asked on their ports as the descriptor of the sample says.
func TestDiagnostics(t *testing.T) {
	p := build(t)
	dir := staged(t, "diagnostics", "bin")
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, "", "go", "build", "-buildvcs=false", "-o", filepath.Join(dir, "bin", "server"), "berth/samples/diagnostics")
	h := newHost(t, p.berth)
	h.do("port", "add", "-n", "http", "-min", "24530", "-max", "24535")
	h.do("port", "add", "-n", "https", "-min", "24540", "-max", "24543")
	h.do("port", "add", "-n", "short", "-min", "4544", "-max", "4545")
	h.do("deploy", dir)
	fails := func(says string, args ...string) {
		t.Helper()
		if out, message, code := h.exec(t.Context(), "", args...); code != 1 || !strings.Contains(message, says) {
			t.Errorf("berth %s: exit code %d, %q does not say %q\n%s", strings.Join(args, " "), code, message, says, out)
		}
	}
	asked := func(result, url string, n int, args ...string) {
		t.Helper()
		found := list[api.Diagnosis](h, append([]string{"diags"}, args...)...)
		if len(found) != n {
			t.Errorf("diags %v: %d reports, not %d", args, len(found), n)
		}
		for _, d := range found {
			if d.Result != result || !strings.HasPrefix(d.URL, url) {
				t.Errorf("diags %v: %+v is not %s at %s", args, d, result, url)
			}
		}
	}

	h.do("exec", "-d", "diagnostics", "-v", "1.0", "-p", "test", "-i", "2", "-w")
	asked(api.DiagnosisWell, "http", 4, "-w", "-t", "0.1")
	h.do("exec", "-d", "diagnostics", "-v", "1.0", "-p", "test", "-n", "prefixed")
	asked(api.DiagnosisWell, "http://localhost:24544/", 1, "-n", "prefixed", "-w", "-t", "0.1")
	h.do("http", "check", "-p", "http", "-c", "health", "-m", "3", "-t", "0.1", "-i", "2")
	h.do("http", "check", "-p", "short", "-x", "2", "-c", "/health")
	fails("answers 404 Not Found, not 200", "http", "check", "-p", "http", "-c", "/nowhere", "-m", "2", "-t", "0.1")
	fails("2 of 3 processes have a port of range http", "http", "check", "-p", "http", "-c", "/health", "-m", "2", "-t", "0.1", "-i", "3")

	h.do("exec", "-d", "diagnostics", "-v", "1.0", "-p", "test", "-n", "awaited", "-w")
	asked(api.DiagnosisStarting, "http://", 1, "-n", "awaited")
	fails("not well after 0.3s: awaited 4 (http:24532): answers 404", "diags", "-n", "awaited", "-w", "0.3", "-t", "0.1")

	// Who ends meanwhile is not waited for.
	ctx := t.Context()
	waiting := exec.CommandContext(ctx, p.berth, "diags", "-n", "awaited", "-w", "-t", "0.1")
	waiting.Env = append(os.Environ(), "BERTH_HOME="+h.home)
	message := new(strings.Builder)
	waiting.Stderr = message
	if err := waiting.Start(); err != nil {
		t.Fatal(err)
	}
	h.do("kill", "-n", "awaited", "-w")
	// It may not have asked before the end: then there is nothing to wait for.
	if err := waiting.Wait(); err != nil && !strings.Contains(message.String(), "awaited 4 (http:24532) ended while it was waited for") {
		t.Errorf("%v: %s", err, message)
	}

	h.do("exec", "-d", "diagnostics", "-v", "1.0", "-p", "test", "-n", "broken", "-w")
	fails("not well: broken 5 (http:24532): answers 404 Not Found, not 200", "diags")
	fails("not well: broken 5 (http:24532): answers 404 Not Found, not 200", "diags", "-w", "-a", "-s")
	h.do("kill", "all", "-w")
	if out := h.do("diags", "-w"); len(out) != 0 {
		t.Errorf("diags of nothing prints %q", out)
	}
}
