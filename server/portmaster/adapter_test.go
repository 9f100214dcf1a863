package portmaster_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"berth/lease"
	"berth/server/portmaster"
	"berth/store/storetest"
)

// clock is one that tests set.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// free is a machine on which nothing is bound to any port.
type free struct{}

func (free) Probe(lease.Protocol, int) error { return nil }
func (free) Find(lease.Protocol, int) (lease.Occupant, bool, error) {
	return lease.Occupant{}, false, nil
}

// rig is an adapter on a real manager, and the store that both have.
type rig struct {
	t       *testing.T
	store   *storetest.Faulty
	clock   *clock
	leases  *lease.Manager
	adapter *portmaster.Adapter
	handler http.Handler
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, store: storetest.NewFaulty(storetest.NewMemory()), clock: &clock{now: time.Date(2017, 9, 8, 14, 16, 39, 277408999, time.UTC)}}
	r.open()
	t.Cleanup(func() {
		if err := r.leases.Check(context.Background()); err != nil {
			t.Error(err)
		}
		r.leases.Close()
	})
	return r
}

// open makes manager and adapter of what the store has, as the start of a daemon
// does.
func (r *rig) open() {
	r.t.Helper()
	leases, err := lease.Open(r.t.Context(), lease.Options{Store: r.store, Prober: free{}, Finder: free{}, Now: r.clock.Now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		r.t.Fatal(err)
	}
	r.leases = leases
	r.adapter = portmaster.New(portmaster.Options{
		Leases: leases, Store: r.store, Now: r.clock.Now, Logger: slog.New(slog.DiscardHandler),
		Fail: func(_ context.Context, method, path string, err error) error {
			return huma.NewError(http.StatusServiceUnavailable, fmt.Sprintf("%s %s: %v", method, path, err))
		},
	})
	if err := r.adapter.Load(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	mux := http.NewServeMux()
	r.adapter.Routes(mux)
	r.handler = mux
}

// reopen is a daemon that was killed and started again.
func (r *rig) reopen() {
	r.leases.Close()
	r.open()
}

// call sends a request and returns status and body of the answer.
func (r *rig) call(method, path, body string) (int, string) {
	r.t.Helper()
	req := httptest.NewRequestWithContext(r.t.Context(), method, path, strings.NewReader(body))
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	rec := httptest.NewRecorder()
	r.handler.ServeHTTP(rec, req)
	return rec.Code, strings.TrimSpace(rec.Body.String())
}

// expect sends a request that has to be answered so.
func (r *rig) expect(method, path, body string, status int, want string) {
	r.t.Helper()
	if got, text := r.call(method, path, body); got != status || text != want {
		r.t.Errorf("%s %s %s:\n%d %s, want\n%d %s", method, path, body, got, text, status, want)
	}
}

type offer struct {
	Service, Name, Secret, Created string
	Port                           int
}

// offer has a port offered.
func (r *rig) offer(service, name string) offer {
	r.t.Helper()
	status, text := r.call("POST", "/v1/services/"+service+"/offers", `{"name":"`+name+`"}`)
	var o offer
	if err := json.Unmarshal([]byte(text), &o); err != nil || status != 201 {
		r.t.Fatalf("%d %s, %v", status, text, err)
	}
	return o
}

const (
	django   = `{"name":"django","description":"Django service","start":5000,"end":5001}`
	notFound = `{"detail":"Not found."}`
	full     = `{"port":["Port range has been completely utilized."]}`
	taken    = `["Service instance with this name already exists."]`
	unique   = `{"non_field_errors":["The fields service, name must make a unique set."]}`
)

func TestServices(t *testing.T) {
	r := newRig(t)
	r.expect("GET", "/v1/services", "", 200, `[]`)
	r.expect("POST", "/v1/services", django, 201, django)
	r.expect("POST", "/v1/services", `{"name":"plain","start":"6000","end":6001.0}`, 201, `{"name":"plain","description":null,"start":6000,"end":6001}`)
	r.expect("GET", "/v1/services", "", 200, `[`+django+`,{"name":"plain","description":null,"start":6000,"end":6001}]`)
	r.reopen()
	r.expect("GET", "/v1/services/django", "", 200, django)

	r.expect("PUT", "/v1/services/django", `{"name":"django","start":5000,"end":5009}`, 200, `{"name":"django","description":"Django service","start":5000,"end":5009}`)
	r.expect("PATCH", "/v1/services/django", `{"end":5004,"description":null}`, 200, `{"name":"django","description":null,"start":5000,"end":5004}`)
	r.expect("PATCH", "/v1/services/django", `{"description":"again"}`, 200, `{"name":"django","description":"again","start":5000,"end":5004}`)
	r.expect("PATCH", "/v1/services/django", ``, 200, `{"name":"django","description":"again","start":5000,"end":5004}`)
	r.reopen()
	r.expect("GET", "/v1/services/django", "", 200, `{"name":"django","description":"again","start":5000,"end":5004}`)

	// Ranges are services however they were made, those of UDP ports are none.
	err := r.leases.AddRanges(t.Context(), []lease.Range{{Name: "http", Min: 80, Max: 80}, {Name: "media", Min: 7000, Max: 7009, Protocol: lease.UDP}}, lease.AddOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r.expect("GET", "/v1/services/http", "", 200, `{"name":"http","description":null,"start":80,"end":80}`)
	for _, path := range []string{"/v1/services/media", "/v1/services/none", "/v1/services/*", "/v1/services/djang*"} {
		for _, method := range []string{"GET", "PUT", "PATCH", "DELETE"} {
			r.expect(method, path, "", 404, notFound)
		}
	}
	r.expect("DELETE", "/v1/services/django", "", 204, "")
	r.expect("DELETE", "/v1/services/django", "", 404, notFound)
}

// A service that is not as it has to be is refused with what is wrong, by field.
func TestServiceRefused(t *testing.T) {
	const reserved, required = `["Port range is in reserved range."]`, `["This field is required."]`
	r := newRig(t)
	r.expect("POST", "/v1/services", `{"name":"django","start":5000,"end":10000}`, 201, `{"name":"django","description":null,"start":5000,"end":10000}`)
	body := func(name string, start, end any) string {
		text, err := json.Marshal(map[string]any{"name": name, "start": start, "end": end})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	overlaps := `{"non_field_errors":["Port range overlaps with existing services."]}`
	for _, tt := range []struct {
		what, body string
		status     int
		want       string
	}{
		{"a name twice", body("django", 15000, 20000), 400, `{"name":["service with this name already exists."]}`},
		{"a beginning that overlaps", body("x", 9000, 20000), 400, overlaps},
		{"an end that overlaps", body("x", 2000, 5000), 400, overlaps},
		{"all of it overlaps", body("x", 2000, 20000), 400, overlaps},
		{"within another one", body("x", 6000, 7000), 400, overlaps},
		{"a privileged port", body("x", 1023, 2000), 400, `{"start":` + reserved + `}`},
		{"an ephemeral port", body("x", 40000, 49152), 400, `{"end":` + reserved + `}`},
		{"a port that is none", body("x", 0, 99999999999999999), 400, `{"end":` + reserved + `,"start":` + reserved + `}`},
		{"more than an integer holds", `{"name":"x","start":1e400,"end":123456789012345678901234567890}`, 400, `{"end":` + reserved + `,"start":["A valid integer is required."]}`},
		{"end before start", body("x", 3000, 2000), 400, `{"non_field_errors":["Start of the range should be a lower number."]}`},
		{"one port", body("x", 3000, 3000), 400, `{"non_field_errors":["Start of the range should be a lower number."]}`},
		{"nothing", `{}`, 400, `{"end":` + required + `,"name":` + required + `,"start":` + required + `}`},
		{"no body", ``, 400, `{"end":` + required + `,"name":` + required + `,"start":` + required + `}`},
		{"null", `{"name":null,"start":null,"end":1}`, 400, `{"end":` + reserved + `,"name":["This field may not be null."],"start":["This field may not be null."]}`},
		{"no integer", body("x", "many", true), 400, `{"end":["A valid integer is required."],"start":["A valid integer is required."]}`},
		{"a fraction", body("x", 5.5, []int{1}), 400, `{"end":["A valid integer is required."],"start":["A valid integer is required."]}`},
		{"much text", body("x", strings.Repeat("1", 1001), 11000), 400, `{"start":["String value too large."]}`},
		{"a blank name", body("  ", 11000, 12000), 400, `{"name":["This field may not be blank."]}`},
		{"a name of 65", body(strings.Repeat("x", 65), 11000, 12000), 400, `{"name":["Ensure this field has no more than 64 characters."]}`},
		{"a name that a range cannot have", body("a/b", 11000, 12000), 400, `{"name":["Enter a valid name consisting of letters, numbers, periods, underscores or hyphens."]}`},
		{"a name that is a list", `{"name":[],"start":11000,"end":12000,"description":{}}`, 400, `{"description":["Not a valid string."],"name":["Not a valid string."]}`},
		{"a long description", `{"name":"x","start":11000,"end":12000,"description":"` + strings.Repeat("é", 1025) + `"}`, 400, `{"description":["Ensure this field has no more than 1024 characters."]}`},
		{"no object", `[1]`, 400, `{"non_field_errors":["Invalid data. Expected a dictionary, but got list."]}`},
		{"no object but null", `null`, 400, `{"non_field_errors":["Invalid data. Expected a dictionary, but got NoneType."]}`},
		{"half an object", `{"name":`, 400, `{"detail":"JSON parse error - unexpected EOF"}`},
		{"two objects", `{} {}`, 400, `{"detail":"JSON parse error - there is more after its end"}`},
		{"no UTF-8", "{\"name\":\"\xff\"}", 400, `{"detail":"JSON parse error - it is not UTF-8"}`},
	} {
		t.Run(tt.what, func(t *testing.T) {
			r := *r
			r.t = t
			r.expect("POST", "/v1/services", tt.body, tt.status, tt.want)
		})
	}
	r.expect("POST", "/v1/services", body(strings.Repeat("x", 64), 11000, 12000), 201, `{"name":"`+strings.Repeat("x", 64)+`","description":null,"start":11000,"end":12000}`)
	r.expect("PUT", "/v1/services/django", body("rails", 5000, 6000), 400, `{"name":["The name of a service cannot be changed."]}`)
	r.expect("PUT", "/v1/services/django", `{"start":5000,"end":6000}`, 400, `{"name":["This field is required."]}`)
	r.expect("PATCH", "/v1/services/django", `{"end":11500}`, 400, overlaps)
	r.expect("PATCH", "/v1/services/django", `{"end":4000}`, 400, `{"non_field_errors":["Start of the range should be a lower number."]}`)

	req := httptest.NewRequest("POST", "/v1/services", strings.NewReader("name=x"))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	rec := httptest.NewRecorder()
	r.handler.ServeHTTP(rec, req)
	if want := `{"detail":"Unsupported media type \"application/x-www-form-urlencoded\" in request."}`; rec.Code != 415 || strings.TrimSpace(rec.Body.String()) != want {
		t.Errorf("a form: %d %s", rec.Code, rec.Body)
	}
}

func TestOffers(t *testing.T) {
	r := newRig(t)
	r.expect("POST", "/v1/services", django, 201, django)
	first := r.offer("django", "web-01")
	if first.Service != "django" || first.Name != "web-01" || first.Port != 5000 || first.Created != "2017-09-08T14:16:39.277408Z" || len(first.Secret) != 36 || first.Secret[14] != '4' {
		t.Errorf("%+v", first)
	}
	const listed = `{"service":"django","name":"web-01","port":5000,"created":"2017-09-08T14:16:39.277408Z"}`
	r.expect("GET", "/v1/services/django/offers", "", 200, `[`+listed+`]`)
	r.expect("GET", "/v1/services/django/ports", "", 200, `[]`)
	r.expect("GET", "/v1/services/django/ports/5000", "", 404, notFound)
	r.expect("POST", "/v1/services/django/offers", `{"name":"web-01"}`, 400, unique)
	second := r.offer("django", "web-02")
	if second.Port != 5001 || second.Secret == first.Secret {
		t.Errorf("%+v after %+v", second, first)
	}
	r.expect("POST", "/v1/services/django/offers", `{"name":"web-03"}`, 400, full)

	// With its secret it is found, after a restart too.
	r.reopen()
	path := "/v1/services/django/offers/" + first.Secret
	got := strings.TrimSuffix(listed, `,"created":"2017-09-08T14:16:39.277408Z"}`) + `,"secret":"` + first.Secret + `","created":"2017-09-08T14:16:39.277408Z"}`
	r.expect("GET", path, "", 200, got)
	r.expect("GET", "/v1/services/django/offers/"+strings.ToUpper(strings.ReplaceAll(first.Secret, "-", "")), "", 200, got)
	for _, wrong := range []string{"6f8ffc86-d98a-49ba-848a-a7cbaaea9360", "secret", "%00", strings.Repeat("a", 5000)} {
		for _, call := range []string{"GET ", "PUT ", "DELETE ", "POST /accept", "POST /reject"} {
			method, end, _ := strings.Cut(call, " ")
			r.expect(method, "/v1/services/django/offers/"+wrong+end, "", 404, notFound)
		}
	}
	r.expect("POST", "/v1/services", `{"name":"other","start":6000,"end":6001}`, 201, `{"name":"other","description":null,"start":6000,"end":6001}`)
	r.expect("POST", "/v1/services/other/offers/"+first.Secret+"/accept", "", 404, notFound)

	// Accepted it is a port, later than it was offered.
	r.clock.pass(85 * time.Second)
	const port = `{"service":"django","name":"web-01","port":5000,"created":"2017-09-08T14:18:04.277408Z"}`
	r.expect("POST", path+"/accept", "{}", 201, port)
	r.expect("POST", path+"/accept", "", 404, notFound)
	r.expect("POST", path+"/reject", "", 404, notFound)
	r.expect("POST", "/v1/services/django/offers/"+second.Secret+"/reject", "", 204, "")
	r.expect("POST", "/v1/services/django/offers/"+second.Secret+"/accept", "", 404, notFound)
	r.clock.pass(time.Hour)
	if err := r.leases.RecuperateOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.reopen()
	r.expect("GET", "/v1/services/django/ports", "", 200, `[`+port+`]`)
	r.expect("GET", "/v1/services/django/ports/5000", "", 200, port)
	r.expect("GET", "/v1/services/django/ports/web-01", "", 200, port)
	r.expect("GET", "/v1/services/django/offers", "", 200, `[]`)
	for _, l := range r.leases.Leases() {
		if l.Holder.Kind != lease.Manual || l.Holder.Name != "web-01" || l.Generation != 2 {
			t.Errorf("%+v", l)
		}
	}

	// PUT accepts as well, DELETE rejects.
	third := r.offer("django", "web-03")
	r.expect("DELETE", "/v1/services/django/offers/"+third.Secret, "", 204, "")
	third = r.offer("django", "web-03")
	if status, body := r.call("PUT", "/v1/services/django/offers/"+third.Secret, `{"name":"web-03"}`); status != 201 {
		t.Errorf("%d %s", status, body)
	}
}

// The name of an instance may be offered again, but not accepted while there is one.
func TestNameTaken(t *testing.T) {
	r := newRig(t)
	r.expect("POST", "/v1/services", django, 201, django)
	accept := func(o offer) string { return "/v1/services/django/offers/" + o.Secret + "/accept" }
	if status, body := r.call("POST", accept(r.offer("django", "web-01")), ""); status != 201 {
		t.Fatal(status, body)
	}
	again := r.offer("django", "web-01")
	r.expect("POST", accept(again), "", 400, taken)
	r.expect("POST", "/v1/services/django/offers", `{"name":"web-01"}`, 400, unique) // it is still there
	r.expect("DELETE", "/v1/services/django/ports/web-01", "", 204, "")
	if status, body := r.call("POST", accept(again), ""); status != 201 || !strings.Contains(body, `"port":5001`) {
		t.Error(status, body)
	}
}

// Of many who ask for one name at once one gets it.
func TestNameAtOnce(t *testing.T) {
	r := newRig(t)
	r.expect("POST", "/v1/services", `{"name":"django","start":5000,"end":5099}`, 201, `{"name":"django","description":null,"start":5000,"end":5099}`)
	var wg sync.WaitGroup
	var mu sync.Mutex
	count := map[int]int{}
	release := r.store.Block()
	for range 16 {
		wg.Go(func() {
			status, _ := r.call("POST", "/v1/services/django/offers", `{"name":"web"}`)
			mu.Lock()
			defer mu.Unlock()
			count[status]++
		})
	}
	// One goes on to the store, and no other one before it is done.
	if err := r.store.AwaitBlocked(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := r.store.AwaitBlocked(soon, 2); err == nil {
		t.Error("two commit at once")
	}
	release()
	wg.Wait()
	if count[201] != 1 || count[400] != 15 || len(r.leases.Leases()) != 1 {
		t.Errorf("answers %v, %d leases", count, len(r.leases.Leases()))
	}
}

func TestOfferRefused(t *testing.T) {
	r := newRig(t)
	r.expect("POST", "/v1/services", django, 201, django)
	for _, tt := range []struct{ what, body, want string }{
		{"nothing", `{}`, `{"name":["This field is required."]}`},
		{"no name", `{"name":""}`, `{"name":["This field may not be blank."]}`},
		{"a name of 65", `{"name":"` + strings.Repeat("ü", 65) + `"}`, `{"name":["Ensure this field has no more than 64 characters."]}`},
		{"a control character", `{"name":"web\u001b[2J"}`, `{"name":["Only printable characters are allowed."]}`},
		{"a name that is an object", `{"name":{}}`, `{"name":["Not a valid string."]}`},
		{"a name that is true", `{"name":true}`, `{"name":["Not a valid string."]}`},
	} {
		t.Run(tt.what, func(t *testing.T) {
			r := *r
			r.t = t
			r.expect("POST", "/v1/services/django/offers", tt.body, 400, tt.want)
		})
	}
	for _, path := range []string{"/offers", "/ports"} {
		r.expect("GET", "/v1/services/none"+path, "", 404, notFound)
	}
	r.expect("POST", "/v1/services/none/offers", `{"name":"web"}`, 404, notFound)
	if o := r.offer("django", strings.Repeat("ü", 64)); o.Name != strings.Repeat("ü", 64) {
		t.Errorf("%+v", o)
	}
}

// An offer that is not accepted within half an hour is gone, and its port comes
// back, where there is a daemon at that time and where there is none.
func TestOfferRunsOut(t *testing.T) {
	for _, restarted := range []bool{false, true} {
		t.Run(fmt.Sprintf("restarted %v", restarted), func(t *testing.T) {
			r := newRig(t)
			r.expect("POST", "/v1/services", django, 201, django)
			early := r.offer("django", "web-01")
			r.clock.pass(time.Second)
			late := r.offer("django", "web-02")
			accept := func(o offer) (int, string) {
				return r.call("POST", "/v1/services/django/offers/"+o.Secret+"/accept", "")
			}
			if restarted {
				r.leases.Close()
			}
			r.clock.pass(30*time.Minute - time.Second)
			if restarted {
				r.open()
			}
			if status, body := accept(early); status != 404 {
				t.Errorf("an offer of half an hour ago: %d %s", status, body)
			}
			r.expect("GET", "/v1/services/django/offers/"+early.Secret, "", 404, notFound)
			if status, body := r.call("GET", "/v1/services/django/offers", ""); status != 200 || strings.Contains(body, "web-01") || !strings.Contains(body, "web-02") {
				t.Errorf("%d %s", status, body)
			}
			if status, body := accept(late); status != 201 {
				t.Errorf("an offer of a second less: %d %s", status, body)
			}
			// Nobody had to look: the port is needed.
			if o := r.offer("django", "web-01"); o.Port != 5000 || o.Secret == early.Secret {
				t.Errorf("%+v", o)
			}
			r.clock.pass(31 * time.Minute)
			if err := r.leases.RecuperateOnce(t.Context()); err != nil {
				t.Fatal(err)
			}
			if leases := r.leases.Leases(); len(leases) != 1 || leases[0].Port != 5001 {
				t.Errorf("%+v", leases)
			}
			if err := r.adapter.SweepOnce(t.Context()); err != nil {
				t.Fatal(err)
			}
			if entries, _, err := r.store.List(t.Context(), "offers/"); err != nil || len(entries) != 1 {
				t.Errorf("%d notes are left, %v", len(entries), err)
			}
		})
	}
}

// The store has no secret, nor do lists.
func TestSecretIsNotKept(t *testing.T) {
	r := newRig(t)
	r.expect("POST", "/v1/services", django, 201, django)
	o := r.offer("django", "web-01")
	plain := []string{o.Secret, strings.ReplaceAll(o.Secret, "-", "")}
	entries, _, err := r.store.List(t.Context(), "")
	if err != nil || len(entries) < 3 {
		t.Fatal(len(entries), err)
	}
	for _, e := range entries {
		for _, secret := range plain {
			if strings.Contains(string(e.Value), secret) || strings.Contains(e.Key, secret) {
				t.Errorf("%s has the secret", e.Key)
			}
		}
	}
	if _, body := r.call("GET", "/v1/services/django/offers", ""); strings.Contains(body, o.Secret) {
		t.Error(body)
	}
}

// What others hold of a service is listed with its ports, and theirs to give up.
func TestPortsOfOthers(t *testing.T) {
	r := newRig(t)
	r.expect("POST", "/v1/services", `{"name":"django","start":5000,"end":5009}`, 201, `{"name":"django","description":null,"start":5000,"end":5009}`)
	_, err := r.leases.Acquire(t.Context(),
		lease.Request{Range: "django", Holder: lease.Holder{Kind: lease.Process, Name: "httpServer #1", Process: 1}},
		lease.Request{Range: "django", Holder: lease.Holder{Kind: lease.Manual, Name: "by hand"}},
		lease.Request{Range: "django", Holder: lease.Holder{Kind: lease.Session, Name: "web-09", Expires: r.clock.Now().Add(time.Hour)}})
	if err != nil {
		t.Fatal(err)
	}
	o := r.offer("django", "web-09")
	r.expect("GET", "/v1/services/django/ports", "", 200, `[{"service":"django","name":"httpServer #1","port":5000,"created":"2017-09-08T14:16:39.277408Z"},`+
		`{"service":"django","name":"by hand","port":5001,"created":"2017-09-08T14:16:39.277408Z"},{"service":"django","name":"web-09","port":5002,"created":"2017-09-08T14:16:39.277408Z"}]`)
	r.expect("POST", "/v1/services/django/offers/"+o.Secret+"/accept", "", 400, taken)
	r.expect("DELETE", "/v1/services/django/ports/5000", "", 400, `{"port":["Port 5000 is leased by httpServer #1, and comes back when that ends."]}`)
	r.expect("DELETE", "/v1/services/django", "", 400, `{"non_field_errors":["Port 5000 of the service is leased by httpServer #1."]}`)
	r.expect("DELETE", "/v1/services/django/ports/by%20hand", "", 204, "")
	r.expect("DELETE", "/v1/services/django/ports/by%20hand", "", 404, notFound)
	r.expect("DELETE", "/v1/services/django/ports/5003", "", 404, notFound) // an offer
	if got := len(r.leases.Leases()); got != 3 {
		t.Errorf("%d leases are left", got)
	}
}

// A service goes with its ports and offers; one of which ports are held cannot
// lose them.
func TestServiceWithPorts(t *testing.T) {
	r := newRig(t)
	r.expect("POST", "/v1/services", django, 201, django)
	r.call("POST", "/v1/services/django/offers/"+r.offer("django", "web-01").Secret+"/accept", "")
	r.offer("django", "web-02")
	r.expect("PUT", "/v1/services/django", `{"name":"django","start":5001,"end":5005}`, 400, `{"non_field_errors":["Defined service instances fall outside of the range."]}`)
	r.expect("PUT", "/v1/services/django", `{"name":"django","start":4990,"end":5001}`, 200, `{"name":"django","description":"Django service","start":4990,"end":5001}`)
	r.expect("DELETE", "/v1/services/django", "", 204, "")
	if left := r.leases.Leases(); len(left) != 0 {
		t.Errorf("%+v", left)
	}
	if entries, _, err := r.store.List(t.Context(), ""); err != nil || len(entries) != 0 {
		t.Errorf("%+v are left, %v", entries, err)
	}
}

// A commit that fails, or of which is not known what became of it, leaves
// adapter and leases agreed.
func TestOfferUnknown(t *testing.T) {
	for _, fault := range []storetest.Fault{storetest.Conflict, storetest.UnknownApplied, storetest.UnknownLost} {
		t.Run(fmt.Sprint(fault), func(t *testing.T) {
			for step := 1; step <= 2; step++ {
				r := newRig(t)
				r.expect("POST", "/v1/services", django, 201, django)
				if step == 1 {
					r.store.FailCommit(r.store.Commits()+1, fault)
				}
				status, body := r.call("POST", "/v1/services/django/offers", `{"name":"web-01"}`)
				var o offer
				if json.Unmarshal([]byte(body), &o); status == 201 {
					if step == 2 {
						r.store.FailCommit(r.store.Commits()+1, fault)
					}
					status, body = r.call("POST", "/v1/services/django/offers/"+o.Secret+"/accept", "")
				}
				if status != 201 && status != 503 && status != 404 {
					t.Errorf("step %d: %d %s", step, status, body)
				}
				if err := r.leases.Settle(t.Context()); err != nil {
					t.Fatal(err)
				}
				_, before := r.call("GET", "/v1/services/django/ports", "")
				_, offers := r.call("GET", "/v1/services/django/offers", "")
				r.reopen()
				r.expect("GET", "/v1/services/django/ports", "", 200, before)
				r.expect("GET", "/v1/services/django/offers", "", 200, offers)
				r.clock.pass(time.Hour)
				if o := r.offer("django", "web-01"); o.Port == 0 {
					t.Errorf("%+v", o)
				}
			}
		})
	}
}
