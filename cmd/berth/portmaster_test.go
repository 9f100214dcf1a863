package main

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"berth/api"
	"berth/shell"
)

// documented is a call as the page of django-portmaster shows it: of its objects
// the page has what stands between the braces.
type documented struct{ method, path, body, answer string }

// documentedCalls reads testdata/portmaster/calls.txt, which is that part of the
// page. What comes after one empty line is the body, after two the answer.
func documentedCalls(t *testing.T) []documented {
	t.Helper()
	text, err := os.ReadFile("testdata/portmaster/calls.txt")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../../shared/seeds/django-portmaster.md")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if len(page) > 0 && !strings.Contains(string(page), string(text)) {
		t.Error("calls.txt is not what the page has")
	}
	var calls []documented
	empty := 0
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		method, path, isCall := strings.Cut(line, " /")
		switch {
		case line == "":
			empty++
			continue
		case isCall && slices.Contains([]string{"GET", "POST"}, method):
			calls = append(calls, documented{method: method, path: "/" + path})
		case strings.HasPrefix(line, "  •"):
		default:
			c := &calls[len(calls)-1]
			if empty >= 2 || empty == 0 && c.answer != "" {
				c.answer += line
			} else {
				c.body += line
			}
		}
		empty = 0
	}
	for i := range calls {
		for _, object := range []*string{&calls[i].body, &calls[i].answer} {
			if *object != "" {
				*object = "{" + *object + "}"
			}
		}
	}
	if len(calls) != 7 {
		t.Fatalf("the page has %d calls: %+v", len(calls), calls)
	}
	return calls
}

// portmasterOffer is an offer, or a port, as django-portmaster tells it.
type portmasterOffer struct {
	Service string `json:"service"`
	Name    string `json:"name"`
	Port    int    `json:"port"`
	Secret  string `json:"secret,omitempty"`
	Created string `json:"created"`
}

// raw sends a request to a daemon and returns the answer's status and body.
func raw(t *testing.T, socket, method, path, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://berth"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := unixHTTP(socket).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(text))
}

// The calls of django-portmaster's page, as they stand there, in their order. The
// page names its ports, and so this runs in a network of its own.
func TestPortmasterPage(t *testing.T) {
	const inside = "BERTH_TEST_NETWORK"
	calls := documentedCalls(t)
	if os.Getenv(inside) == "" {
		runInNetwork(t, inside)
		return
	}
	loopbackUp(t)
	h := newHost(t)
	h.run("ls")
	socket := filepath.Join(h.home, "berth.sock")
	const secretOfPage = "6f8ffc86-d98a-49ba-848a-a7cbaaea9360"
	call := func(c documented, secret string, status int) string {
		t.Helper()
		got, text := raw(t, socket, c.method, strings.ReplaceAll(c.path, secretOfPage, secret), c.body)
		if got != status {
			t.Errorf("%s %s: %d %s, want %d", c.method, c.path, got, text, status)
		}
		return text
	}
	// as checks that an answer is the documented one, but for time and secret.
	times := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$`)
	as := func(text, documented string) portmasterOffer {
		t.Helper()
		var got, want portmasterOffer
		if err := errors.Join(json.Unmarshal([]byte(text), &got), json.Unmarshal([]byte(documented), &want)); err != nil {
			t.Fatalf("%v: %s, %s", err, text, documented)
		}
		found := got
		if !times.MatchString(got.Created) || len(got.Secret) != len(want.Secret) || got.Secret == want.Secret && got.Secret != "" {
			t.Errorf("%s is not like %s", text, documented)
		}
		got.Created, got.Secret = want.Created, want.Secret
		if got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
		return found
	}
	create, ask, accept, reject, list, byPort, byName := calls[0], calls[1], calls[2], calls[3], calls[4], calls[5], calls[6]

	var service, wanted any
	if err := errors.Join(json.Unmarshal([]byte(call(create, "", 201)), &service), json.Unmarshal([]byte(create.body), &wanted)); err != nil {
		t.Fatal(err)
	}
	if a, b := service.(map[string]any), wanted.(map[string]any); len(a) != len(b) || a["description"] != b["description"] || a["start"] != b["start"] || a["end"] != b["end"] {
		t.Errorf("%v, want %v", service, wanted)
	}
	offer := as(call(ask, "", 201), ask.answer)

	// Until it is accepted it is listed as held, by whom, and it is there after the
	// daemon was killed.
	h.kill(h.daemon().PID)
	active := h.ranges()[0].Active
	if len(active) != 1 || active[0].Port != 5000 || active[0].Holder != "web-01 (offered)" {
		t.Errorf("%+v", active)
	}
	leases, err := h.client.Leases(t.Context())
	if err != nil || len(leases) != 1 || leases[0].Kind != api.HolderSession || time.Until(leases[0].ExpiresAt) < 25*time.Minute || time.Until(leases[0].ExpiresAt) > 30*time.Minute {
		t.Errorf("%+v %v", leases, err)
	}
	if out := h.run("lease", "ls"); !strings.Contains(out, "web-01 (offered)") {
		t.Error(out)
	}
	port := as(call(accept, offer.Secret, 201), accept.answer)
	h.kill(h.daemon().PID)
	h.run("ls")

	second := ask
	second.body = strings.ReplaceAll(ask.body, "web-01", "web-02")
	other := as(call(second, "", 201), strings.NewReplacer("web-01", "web-02", "5000", "5001").Replace(ask.answer))
	if text := call(reject, other.Secret, 204); text != "" {
		t.Errorf("rejecting is answered %s", text)
	}
	one := call(byPort, "", 200)
	if as(one, accept.answer) != port || call(byName, "", 200) != one || call(list, "", 200) != "["+one+"]" {
		t.Errorf("%s is not the port %+v", one, port)
	}

	// A slash at the end is another path.
	if status, text := raw(t, socket, create.method, create.path+"/", create.body); status != 404 || !strings.Contains(text, "no route /v1/services/: leave out the slash at its end") {
		t.Errorf("%d %s", status, text)
	}
	// A method that django-portmaster refuses is refused.
	for _, method := range []string{"POST", "PUT", "PATCH"} {
		path := byPort.path
		if method == "POST" {
			path = list.path
		}
		if status, text := raw(t, socket, method, path, "{}"); status != 405 {
			t.Errorf("%s %s: %d %s", method, path, status, text)
		}
	}
	if log := h.log(); strings.Contains(log, offer.Secret) || strings.Contains(log, other.Secret) {
		t.Error("the log has a secret")
	}
}

// An offer that is not accepted in time is gone, and its port is there for others,
// whether the daemon ran meanwhile or not.
func TestOfferRunsOut(t *testing.T) {
	first := portBlock(t)
	dir := filepath.Join(t.TempDir(), "home")
	socket := filepath.Join(dir, "berth.sock")
	var late atomic.Int64 // how much later it is
	clock := func(d *daemon) {
		d.now = func() time.Time { return time.Now().Add(time.Duration(late.Load())) }
		d.offerTTL = 10 * time.Minute
	}
	r := start(t, dir, clock)
	django := api.Range{Name: "django", Min: first, Max: first + 1}
	if _, err := r.client.AddRanges(t.Context(), api.AddRanges{Ranges: []api.Range{django}}); err != nil {
		t.Fatal(err)
	}
	const offers = "/v1/services/django/offers"
	ask := func(name string) portmasterOffer {
		t.Helper()
		status, text := raw(t, socket, "POST", offers, `{"name":"`+name+`"}`)
		var o portmasterOffer
		if err := json.Unmarshal([]byte(text), &o); err != nil || status != 201 {
			t.Fatalf("%d %s, %v", status, text, err)
		}
		return o
	}
	old := []portmasterOffer{ask("web-01"), ask("web-02")}
	if status, text := raw(t, socket, "POST", offers, `{"name":"web-03"}`); status != 400 || text != `{"port":["Port range has been completely utilized."]}` {
		t.Errorf("a full range: %d %s", status, text)
	}
	late.Add(int64(10*time.Minute - time.Second))
	if status, text := raw(t, socket, "GET", offers, ""); status != 200 || !strings.Contains(text, "web-01") || !strings.Contains(text, "web-02") {
		t.Errorf("before their time: %d %s", status, text)
	}

	gone := func() {
		t.Helper()
		if status, text := raw(t, socket, "GET", offers, ""); status != 200 || text != "[]" {
			t.Errorf("after their time: %d %s", status, text)
		}
		for _, o := range old {
			if status, text := raw(t, socket, "POST", offers+"/"+o.Secret+"/accept", ""); status != 404 {
				t.Errorf("%+v: %d %s", o, status, text)
			}
		}
	}
	late.Add(int64(2 * time.Second))
	gone()
	old = append(old, ask("web-01"), ask("web-02"))
	if old[2].Port != first || old[3].Port != first+1 {
		t.Errorf("ports %d and %d", old[2].Port, old[3].Port)
	}

	r.cancel()
	if err := <-r.ended; err != nil {
		t.Fatal(err)
	}
	late.Add(int64(10 * time.Minute))
	start(t, dir, clock)
	gone()
	kept := ask("web-01")
	if status, text := raw(t, socket, "POST", offers+"/"+kept.Secret+"/accept", ""); status != 201 || kept.Port != first {
		t.Errorf("%+v: %d %s", kept, status, text)
	}
	late.Add(int64(time.Hour))
	if status, text := raw(t, socket, "GET", "/v1/services/django/ports/web-01", ""); status != 200 {
		t.Errorf("a port that was accepted: %d %s", status, text)
	}
}

// A request that is sent again with its key gets the secret again, which is not
// kept.
func TestOfferAskedTwice(t *testing.T) {
	first := portBlock(t)
	h := newHost(t)
	h.run("port", "add", "-n", "django", "-min", strconv.Itoa(first), "-max", strconv.Itoa(first+4))
	ask := func(key string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "POST", "http://berth/v1/services/django/offers", strings.NewReader(`{"name":"web-01"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", key)
		resp, err := unixHTTP(filepath.Join(h.home, "berth.sock")).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, strings.TrimSpace(string(text))
	}
	status, text := ask(`"one key"`)
	var o portmasterOffer
	if err := json.Unmarshal([]byte(text), &o); err != nil || status != 201 || o.Secret == "" {
		t.Fatalf("%d %s, %v", status, text, err)
	}
	h.kill(h.daemon().PID)
	h.run("ls")
	if status, again := ask("one key"); status != 201 || again != text {
		t.Errorf("again: %d %s, not %s", status, again, text)
	}
	if status, text := ask("another key"); status != 400 {
		t.Errorf("with another key: %d %s", status, text)
	}
	status, text = raw(t, filepath.Join(h.home, "berth.sock"), "POST", "/v1/services/django/offers/"+o.Secret+"/accept", "")
	if status != 201 {
		t.Errorf("%d %s", status, text)
	}
	err := filepath.WalkDir(h.home, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		if content, err := os.ReadFile(path); err == nil && strings.Contains(string(content), o.Secret) {
			t.Errorf("%s has the secret", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// How long offers can be accepted is an option of serve's, or else a variable.
func TestOfferTTL(t *testing.T) {
	for _, tt := range []struct {
		option   time.Duration
		variable string
		want     time.Duration
		refused  string
	}{
		{0, "", 0, ""},
		{10 * time.Minute, "", 10 * time.Minute, ""},
		{0, "90s", 90 * time.Second, ""},
		{time.Hour, "90s", time.Hour, ""},
		{0, "soon", 0, `BERTH_OFFER_TTL: "soon" is not a time from 1s to 8760h, as 10m`},
		{0, "0s", 0, "BERTH_OFFER_TTL: "},
		{0, "-1m", 0, "BERTH_OFFER_TTL: "},
		{0, "10000h", 0, "BERTH_OFFER_TTL: "},
	} {
		t.Setenv("BERTH_OFFER_TTL", tt.variable)
		d := newDaemon(pathsIn(t, t.TempDir()), slog.New(slog.DiscardHandler))
		err := d.setOfferTTL(shell.ServeOptions{OfferTTL: tt.option})
		if tt.refused == "" && (err != nil || d.offerTTL != tt.want) || tt.refused != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.refused)) {
			t.Errorf("option %v, variable %q: %v, %v", tt.option, tt.variable, d.offerTTL, err)
		}
	}
	h := newHost(t)
	if says := h.refused(2, "serve", "-offer-ttl", "5x"); !strings.Contains(says, "-offer-ttl") {
		t.Error(says)
	}
}
