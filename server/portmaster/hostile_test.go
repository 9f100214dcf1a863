package portmaster_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"
)

// hostile are bodies that nobody means well with.
var hostile = []string{
	"", "null", "0", "-0", "[]", `"name"`, "{", "}", "{}}", `{"name"}`, `{"name":}`, `{"name":"x"`, "\x00", "\xff\xfe", "\xef\xbb\xbf{}",
	`{"name":"x","start":1e999,"end":-1e999}`, `{"name":"x","start":-1,"end":18446744073709551616}`, `{"name":"x","start":"0x1388","end":"١٢٣٤"}`,
	`{"name":"x","start":"` + strings.Repeat("9", 1000) + `","end":5.}`, `{"name":"x","start":5000.0000000000001,"end":6000}`, `{"name":"x","start":{},"end":[[]]}`,
	`{"name":"../../etc","start":5000,"end":6000}`, `{"name":"*","start":5000,"end":6000}`, `{"name":"a*","start":5000,"end":6000}`, `{"name":"\u0000","start":5000,"end":6000}`,
	`{"name":"\ud800","start":5000,"end":6000}`, `{"name":"x","name":7,"start":5000,"end":6000}`, `{"name":"x","description":"` + strings.Repeat("\\u0000", 10) + `","start":5000,"end":6000}`,
	`{"port":1,"service":"other","secret":"x","name":"<script>"}`, `{"name":"%00%n%s"}`, `{"name":"` + strings.Repeat("x", 60_000) + `"}`, strings.Repeat("[", 60_000),
	strings.Repeat(`{"name":`, 9_000) + "1" + strings.Repeat("}", 9_000), `{"name":"web-01\n"}`, `{"name":"\u202ebew"}`, `{"name":1e5}`, `{"name":""}`,
}

// Whatever is sent is answered with what is wrong, in JSON, and never with the
// daemon's own fault; what cannot be sent so is refused.
func FuzzBodies(f *testing.F) {
	for _, body := range hostile {
		f.Add(body, "web-01")
	}
	for _, part := range []string{"*", "..%2f", "%00", "%ff", "9999999999999999999999", "-1", "00005000", "5000", " ", "%e2%80%ae", strings.Repeat("a", 3000)} {
		f.Add(`{"name":"web-01"}`, part)
	}
	f.Fuzz(func(t *testing.T, body, part string) {
		r := newRig(t)
		r.expect("POST", "/v1/services", django, 201, django)
		for _, route := range []string{
			"POST /v1/services", "PUT /v1/services/django", "PATCH /v1/services/django", "POST /v1/services/django/offers", "GET /v1/services/django/ports/PART",
			"DELETE /v1/services/django/ports/PART", "POST /v1/services/django/offers/PART/accept", "DELETE /v1/services/django/offers/PART", "GET /v1/services/PART", "DELETE /v1/services/PART",
		} {
			method, path, _ := strings.Cut(route, " ")
			path = strings.Replace(path, "PART", part, 1)
			req, err := http.NewRequestWithContext(t.Context(), method, "http://berth"+path, strings.NewReader(body))
			if err != nil {
				continue // no request can have that path
			}
			req.Header.Set("Content-Type", "application/json")
			rec := httptest.NewRecorder()
			r.handler.ServeHTTP(rec, req)
			text := rec.Body.String()
			if rec.Code >= 500 {
				t.Errorf("%s %q: %d %s", route, body, rec.Code, text)
			}
			if strings.HasPrefix(rec.Header().Get("Content-Type"), "application/json") && (!json.Valid([]byte(text)) || !utf8.ValidString(text)) {
				t.Errorf("%s %q: %d %q is no JSON", route, body, rec.Code, text)
			}
		}
	})
}
