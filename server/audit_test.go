package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"berth/access"
	"berth/api"
	"berth/audit"
	"berth/lease"
	"berth/server"
)

func audited(t *testing.T, r *rig, last int) []api.AuditRecord {
	t.Helper()
	status, text := r.do(t, "GET", fmt.Sprintf("/v1/audit?last=%d", last), "")
	var records []api.AuditRecord
	if err := json.Unmarshal([]byte(text), &records); err != nil || status != 200 {
		t.Fatalf("%d %s %v", status, text, err)
	}
	return records
}

// Every change is written down with who, what and outcome, and nothing that is secret.
func TestAudit(t *testing.T) {
	var tokens *access.Tokens
	r := newRig(t, func(o *server.Options) { tokens = o.Tokens; o.TokenPause = -1; o.Stop = func() {} })
	_, secret, err := tokens.Add(t.Context(), access.Token{Name: "ci", Role: access.Lease})
	if err != nil {
		t.Fatal(err)
	}
	r.leases.acquire = func(_ context.Context, requests []lease.Request) ([]lease.Lease, error) {
		if requests[0].Range == "full" {
			return nil, fmt.Errorf("acquire: %w", lease.ErrRangeFull)
		}
		return []lease.Lease{{ID: "l1", Port: 8080, Protocol: lease.TCP, Range: "http"}}, nil
	}
	as := func(token, method, path, body string) int {
		t.Helper()
		req, _ := http.NewRequest(method, "http://berth"+path, strings.NewReader(body))
		req.Header.Set("Content-Type", "application/json")
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := r.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	for _, tt := range []struct {
		token, method, path, body string
		want                      string // operation, subject, status and code; empty for no record
	}{
		{"", "GET", "/v1/ranges", "", ""},
		{"", "POST", "/v1/ranges", `{"ranges":[{"name":"http","min":8080,"max":8085}]}`, "add-ranges|http|201|"},
		{"", "DELETE", "/v1/ranges?name=http&force=true", "", "delete-ranges|force=true name=http|200|"},
		{"", "POST", "/v1/conf/properties", `{"properties":[{"name":"db.password","value":"hush-hush"}]}`, "add-properties|db.password|201|"},
		{"", "POST", "/v1/leases", `{"ranges":["http"]}`, "acquire-leases|http|201|"},
		{"", "POST", "/v1/leases", `{"ranges":["full"]}`, "acquire-leases|full|409|range-full"},
		{"", "POST", "/v1/leases", `{"ranges":["http"],"odd":1}`, "acquire-leases||400|"},
		{"", "DELETE", "/v1/leases/l1?generation=1", "", "release-lease|id=l1 generation=1|204|"},
		{"", "PUT", "/v1/archives/r1", "", "archive|rev=r1|200|"},
		{"", "POST", "/v1/tokens", `{"name":"web","role":"read"}`, "add-token|web|201|"},
		{"", "POST", "/v1/nothing?token=abc&x=y", "", "unknown|token=***** x=y|404|"},
		{secret, "POST", "/v1/leases", `{"ranges":["http"]}`, "acquire-leases|http|201|"},
		{secret, "POST", "/v1/ranges", `{"ranges":[]}`, "add-ranges||403|forbidden"},
		{secret + "x", "POST", "/v1/ranges", `{"ranges":[]}`, "add-ranges||401|unauthenticated"},
		{secret + "x", "GET", "/v1/ranges", "", "list-ranges||401|unauthenticated"},
		{"", "POST", "/v1/daemon/stop", "", "stop-daemon||202|"},
	} {
		before := len(audited(t, r, 1000))
		status := as(tt.token, tt.method, tt.path, tt.body)
		records := audited(t, r, 1000)
		if tt.want == "" {
			if len(records) != before {
				t.Errorf("%s %s is audited: %+v", tt.method, tt.path, records[len(records)-1])
			}
			continue
		}
		if len(records) != before+1 {
			t.Errorf("%s %s: %d records", tt.method, tt.path, len(records)-before)
			continue
		}
		got, want := records[before], strings.Split(tt.want, "|")
		if got.Operation != want[0] || fmt.Sprint(got.Status) != want[2] || got.Code != want[3] || got.Status != status {
			t.Errorf("%s %s (%d): %+v, want %s", tt.method, tt.path, status, got, tt.want)
		}
		for _, part := range strings.Fields(want[1]) {
			if !strings.Contains(got.Subject, part) {
				t.Errorf("%s %s: subject %q does not say %s", tt.method, tt.path, got.Subject, part)
			}
		}
		if got.UID == nil || *got.UID != os.Geteuid() || got.Time.IsZero() || got.PID != os.Getpid() || (got.Token == "ci") != (tt.token == secret) {
			t.Errorf("%s %s: who: %+v", tt.method, tt.path, got)
		}
	}
	for _, rec := range audited(t, r, 1000) {
		text, _ := json.Marshal(rec)
		for _, hidden := range []string{secret[6:], "hush", "abc"} {
			if strings.Contains(string(text), hidden) {
				t.Errorf("a secret: %s", text)
			}
		}
	}
}

// Whoever is answered finds the record there already.
func TestAuditedBeforeAnswered(t *testing.T) {
	var log *audit.Log
	r := newRig(t, func(o *server.Options) { log = o.Audit })
	for n := range 50 {
		r.do(t, "PUT", fmt.Sprintf("/v1/archives/r%d", n), "")
		last, err := log.Last(1)
		if err != nil || len(last) != 1 || last[0].Subject != fmt.Sprintf("rev=r%d", n) {
			t.Fatalf("%d: %+v %v", n, last, err)
		}
	}
}

// Who may nothing cannot fill the audit, and what was left out is counted.
func TestRefusalsAreBounded(t *testing.T) {
	var log *audit.Log
	var tokens *access.Tokens
	r := newRig(t, func(o *server.Options) { log, tokens = o.Audit, o.Tokens; o.TokenPause = -1 })
	const many = 400
	for range many {
		req, _ := http.NewRequest("GET", "http://berth/v1/daemon", nil)
		req.Header.Set("Authorization", "Bearer berth_none")
		resp, err := r.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 401 {
			t.Fatal(resp.StatusCode)
		}
	}
	records, err := log.Last(1000)
	if err != nil || len(records) < 100 || len(records) >= many {
		t.Errorf("%d records of %d refusals, %v", len(records), many, err)
	}

	// They leave room for those of who is known.
	reader := r.as(t, tokens, access.Token{Name: "reader", Role: access.Read})
	if p := reader.problem(t, "POST", "/v1/daemon/stop", ""); p.Code != api.CodeForbidden {
		t.Errorf("%+v", p)
	}
	if last, err := log.Last(1); err != nil || len(last) != 1 || last[0].Operation != "stop-daemon" || last[0].Token != "reader" || last[0].Code != "forbidden" {
		t.Errorf("%+v %v", last, err)
	}
}
