package server_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"berth/audit"
	"berth/lease"
	"berth/server"
)

// What goes past huma is answered, and audited, as what goes through it. A blank
// in a body, or in the number of a generation, sends it there.
func TestLean(t *testing.T) {
	var log *audit.Log
	r := newRig(t, func(o *server.Options) { log = o.Audit })
	r.leases.acquire = func(_ context.Context, requests []lease.Request) ([]lease.Lease, error) {
		if requests[0].Range == "full" {
			return nil, fmt.Errorf("%w: full <8080-8081>", lease.ErrRangeFull)
		}
		return []lease.Lease{{ID: "a1", Generation: 1, Range: requests[0].Range, Protocol: lease.TCP, Port: 8080, Holder: requests[0].Holder, Since: began}}, nil
	}
	r.leases.release = func(id lease.ID, generation int64) error {
		if generation != 3 {
			return lease.ErrLeaseChanged
		}
		return nil
	}
	ask := func(method, path, body string) string {
		t.Helper()
		status, header, text := r.ask(t, method, path, body)
		header.Del("Date")
		told, err := log.Last(1)
		if err != nil || len(told) != 1 {
			t.Fatalf("the audit has %+v: %v", told, err)
		}
		return fmt.Sprintf("%d %v %s; audited %s %q %d %s", status, header, text, told[0].Operation, told[0].Subject, told[0].Status, told[0].Code)
	}
	for _, tt := range []struct {
		name, body string
		starts     string
	}{
		{"one", `{"ranges":["http"]}`, "201"},
		{"all there is", `{"ranges":["http","admin"],"holder":{"kind":"session","ttl":"30s","name":"ü<\u0026>"},"owner":"me","keep":true}`, "201"},
		{"nothing", `{}`, "400"},
		{"a full range", `{"ranges":["full"]}`, "409"},
		{"no such kind", `{"ranges":["http"],"holder":{"kind":"lord"}}`, "400"},
		{"a pid below 0", `{"ranges":["http"],"holder":{"kind":"process","pid":-1}}`, "400"},
		{"a long owner", `{"ranges":["http"],"owner":"` + strings.Repeat("o", 256) + `"}`, "400"},
		{"ports", `{"ports":[{"range":"http","count":2}]}`, "201"},
		{"too many ports", `{"ports":[{"range":"http","count":2000}]}`, "400"},
		{"an unknown name", `{"ranges":["http"],"rages":[]}`, "400"},
		{"a name in another case", `{"Ranges":["http"]}`, "201"},
		{"a name twice", `{"ranges":["full"],"ranges":["http"]}`, "400"},
		{"a type that is wrong", `{"ranges":"http"}`, "400"},
		{"no JSON", `{"ranges":["http"]`, "400"},
		{"not UTF-8", "{\"ranges\":[\"\xff\"]}", "400"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			lean, through := ask("POST", "/v1/leases", tt.body), ask("POST", "/v1/leases", " "+tt.body)
			if lean != through || !strings.HasPrefix(lean, tt.starts) {
				t.Errorf("answered\n%s\nand through huma\n%s", lean, through)
			}
		})
	}
	for _, tt := range []struct{ n, same, starts string }{
		{"3", "%33", "204"},
		{"4", "%34", "409"},
		{"03", "%303", "204"},
		{"-1", "%2d1", "400"},
		{"x", "%78", "400"},
		{"", "%30", "409"},
	} {
		t.Run("generation "+tt.n, func(t *testing.T) {
			lean, through := ask("DELETE", "/v1/leases/a1?generation="+tt.n, ""), ask("DELETE", "/v1/leases/a1?generation="+tt.same, "")
			if tt.n == "" { // 0, which the audit has otherwise
				lean, _, _ = strings.Cut(lean, "; audited")
				through, _, _ = strings.Cut(through, "; audited")
			}
			if lean != through || !strings.HasPrefix(lean, tt.starts) {
				t.Errorf("answered\n%s\nand through huma\n%s", lean, through)
			}
		})
	}
}
