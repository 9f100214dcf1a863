package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"berth/api"
)

// illApp is an app whose /health answers 503 while a file is there, as an app
// file, with more keys behind.
func illApp(name, file string, first int, more string) string {
	return fmt.Sprintf(`{"apps": [{"name": %q, "script": "server", "port": "auto:%d-%d", "env": {"ILL": %q},
  "health_check_url": "http://localhost:${PORT}/health"%s}]}`, name, first, first+blockSize-1, file, more)
}

// only is the process of a name, of which there has to be one.
func (h *host) only(name string) api.Process {
	h.t.Helper()
	ps := decode[[]api.Process](h, "ps", "-n", name, "-o", "json")
	if len(ps) != 1 {
		h.t.Fatalf("there run %d processes of the name %s: %+v", len(ps), name, ps)
	}
	return ps[0]
}

// A process counts as ready when its check answers, and one that is unhealthy is
// started again as its restart policy says.
func TestHealthCheck(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	m := portBlock(t)
	ill := filepath.Join(h.dir, "ill")
	sicken := func() {
		t.Helper()
		if err := os.WriteFile(ill, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cure := func() {
		t.Helper()
		if err := os.Remove(ill); err != nil {
			t.Fatal(err)
		}
	}

	// -w waits for the first good answer.
	h.write("web.json", illApp("web", ill, m, `, "health_check_interval": "150ms", "health_check_retries": 1000, "restart": "never"`))
	sicken()
	started := make(chan result)
	go func() { started <- h.try("start", "web.json", "-w") }()
	h.eventually("web is being checked", func() bool {
		ps := decode[[]api.Process](h, "ps", "-n", "web", "-o", "json")
		return len(ps) == 1 && strings.Contains(ps[0].HealthReason, "answers 503")
	})
	if p := h.only("web"); p.Health != api.HealthChecking || p.Ports[0].State != api.PortListening {
		t.Errorf("%+v", p)
	}
	select {
	case r := <-started:
		t.Fatalf("it did not wait: %v", r)
	default:
	}
	cure()
	if r := <-started; r.code != 0 {
		t.Fatal(r)
	}
	first := h.only("web")
	if first.Health != api.HealthHealthy {
		t.Errorf("after -w: %+v", first)
	}
	if out := h.run("ps"); !strings.Contains(out, "running (healthy)") {
		t.Errorf("ps says\n%s", out)
	}
	if out := h.run("info", "web"); !strings.Contains(out, fmt.Sprintf("http://localhost:%d/health every 0.15s, for 10s at most; unhealthy after 1000 failures in a row", m)) {
		t.Errorf("info says\n%s", out)
	}
	if out := h.run("diags", "-n", "web"); !strings.Contains(out, "well") {
		t.Errorf("diags says\n%s", out)
	}

	// A new one that does not answer is no reason to end the old one.
	sicken()
	late := regexp.MustCompile(`is not healthy: answers 503|does not listen on port`) // on a machine that is busy itself
	if said := h.refused(1, "reload", "web", "-w", "1"); !late.MatchString(said) || !strings.Contains(said, "stays") {
		t.Errorf("reload says %s", said)
	}
	if said := h.refused(1, "restart", "web", "-w", "1"); !late.MatchString(said) {
		t.Errorf("restart says %s", said)
	}
	if p := h.only("web"); p.ID != first.ID || p.Health == api.HealthHealthy {
		t.Errorf("%+v", p)
	}
	cure()
	h.run("kill", "all", "-w")

	// Without a policy that restarts it, it stays and may become healthy again.
	h.write("web.json", illApp("web", ill, m, `, "health_check_interval": "50ms", "health_check_retries": 2, "restart": "never"`))
	h.run("start", "web.json", "-w")
	first = h.only("web")
	sicken()
	h.eventually("web is unhealthy", func() bool { return h.only("web").Health == api.HealthUnhealthy })
	if out := h.run("status"); !strings.Contains(out, "1 unhealthy") {
		t.Errorf("status says\n%s", out)
	}
	cure()
	h.eventually("web is healthy again", func() bool { return h.only("web").Health == api.HealthHealthy })
	if p := h.only("web"); p.PID != first.PID || p.Restarts != 0 {
		t.Errorf("it was restarted: %+v", p)
	}
	if out := h.run("events"); strings.Count(out, "is unhealthy: answers 503") != 1 {
		t.Errorf("events says\n%s", out)
	}
	h.run("kill", "all", "-w")

	// With one it is started again on its port, and that has its limit: it has
	// not started well before it has answered.
	h.write("web.json", illApp("web", ill, m, `, "health_check_interval": "50ms", "health_check_retries": 2, "restart": "on-failure", "max_restarts": 2, "min_uptime": 1`))
	h.run("start", "web.json", "-w")
	first = h.only("web")
	sicken()
	h.eventually("web has come to its limit", func() bool {
		return strings.HasSuffix(h.only("web").HealthReason, "not restarted again after 2 restarts in a row")
	})
	p := h.only("web")
	if p.PID == first.PID || p.Ports[0].Port != first.Ports[0].Port || p.Restarts != 2 || p.LastExit == nil || !strings.HasPrefix(p.LastExit.Reason, "unhealthy: answers 503") {
		t.Errorf("%+v, last exit %+v", p, p.LastExit)
	}
	cure()
	h.eventually("web is healthy again", func() bool { return h.only("web").Health == api.HealthHealthy })
	sicken()
	h.eventually("web is started again", func() bool { return h.only("web").Restarts > 2 })
	cure()
	h.eventually("web is healthy again", func() bool { return h.only("web").Health == api.HealthHealthy })

	// The next daemon asks as well.
	h.run("stop")
	h.eventually("the next daemon says that web is healthy", func() bool { return h.only("web").Health == api.HealthHealthy })

	// A port that was taken away from it may be another one's soon.
	leases, err := h.client.Leases(t.Context())
	if err != nil || len(leases) != 1 {
		t.Fatal(leases, err)
	}
	if err := h.client.ReleaseLease(t.Context(), leases[0].ID, leases[0].Generation); err != nil {
		t.Fatal(err)
	}
	h.eventually("web is asked no more", func() bool {
		return strings.Contains(h.only("web").HealthReason, fmt.Sprintf("port %d is not leased to it any more", m))
	})
	h.run("kill", "all", "-w", "-hard")

	// Only what is leased to a process is asked.
	h.write("other.json", fmt.Sprintf(`{"apps": [{"name": "other", "script": "server", "port": "auto:%d-%d", "health_check_url": "http://localhost:%d/health"}]}`, m, m+5, m+6))
	r := h.try("start", "other.json", "-w")
	says := fmt.Sprintf("port %d is not leased to it: write ${PORT} for its first port", m+6)
	if r.code != 0 || !strings.Contains(r.err, says) {
		t.Error(r)
	}
	if p := h.only("other"); p.Health != "" || !strings.Contains(p.HealthReason, says) {
		t.Errorf("%+v", p)
	}
}
