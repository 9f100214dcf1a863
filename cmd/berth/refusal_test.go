package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"testing"

	"berth/api"
)

// What a daemon refuses, with the code that tells why, by a request that is well
// formed. The answers are held against the document as all are, and what was
// refused changes nothing unless it was exec'd.
func TestRefusals(t *testing.T) {
	d := drive(t, 25900)
	full := d.addRange(t, 1)
	held := d.acquire(t, full)
	name, of := d.deploy(t)
	running := d.exec(t)
	pid := strconv.Itoa(running.ID)
	rev := d.name("rev")
	d.must(t, "archive-ranges", request{path: "/v1/ranges/archives/" + rev}, nil)
	d.must(t, "acquire-leases", request{header: map[string]string{"Idempotency-Key": "used"}, body: fmt.Sprintf(`{"ranges":[%q]}`, of)}, nil)

	file := func(text string) request { return request{contentType: "application/octet-stream", body: text} }
	process := func(text string) string {
		name := d.name("dist")
		d.must(t, "deploy-distribution", file(fmt.Sprintf(`<distribution name=%q version="1.0">%s</distribution>`, name, text)), nil)
		return name
	}
	exec := func(name, more string) request {
		return request{body: fmt.Sprintf(`{"distribution":%q,"version":"1.0","profile":"test"%s}`, name, more)}
	}
	named := process(`<process name="a" invoke="true"><generic profile="test"><arg value="sleep"/><arg value="60"/></generic></process>`)
	gone := process(`<process name="a" invoke="false"><generic profile="test"><arg value="/no/such/program"/></generic></process>`)
	deaf := process(`<process name="a" invoke="false" shutdownTimeout="60000"><generic profile="test"><arg value="sh"/><arg value="-c"/><arg value="trap '' TERM; echo deaf; while :; do sleep 1; done"/></generic></process>`)
	var started api.Started
	d.must(t, "exec-processes", exec(deaf, ""), &started)
	// It is deaf once it says so.
	for said := false; !said; {
		out, err := d.send(t.Context(), request{method: "GET", path: fmt.Sprintf("/v1/processes/%d/output", started.Processes[0].ID)})
		if err != nil {
			t.Fatal(err)
		}
		said = len(out.body) > 0
	}

	for _, tt := range []struct {
		code    api.Code
		id      string
		request request
	}{
		{api.CodeRangeInvalid, "add-ranges", request{body: `{"ranges":[{"name":"a b","min":1,"max":2}]}`}},
		{api.CodeRangeInvalid, "add-ranges", request{body: `{"ranges":[{"name":"a","min":0,"max":70000}]}`}},
		{api.CodeRangeInvalid, "update-range", request{path: "/v1/ranges/" + of, body: `{"max":70000}`}},
		{api.CodeRangeExists, "add-ranges", request{body: fmt.Sprintf(`{"ranges":[{"name":%q,"min":1,"max":2}]}`, full)}},
		{api.CodeRangeOverlaps, "add-ranges", request{body: fmt.Sprintf(`{"ranges":[{"name":"other","min":%d,"max":%d}]}`, held.Port, held.Port)}},
		{api.CodeRangeNotFound, "update-range", request{path: "/v1/ranges/none", body: `{"max":2}`}},
		{api.CodeRangeNotFound, "acquire-leases", request{body: `{"ranges":["none"]}`}},
		{api.CodeRangeLeased, "delete-ranges", request{query: url.Values{"name": {full}}}},
		{api.CodeRangeLeased, "add-ranges", request{body: `{"ranges":[],"clear":true}`}},
		{api.CodeRangeFull, "acquire-leases", request{body: fmt.Sprintf(`{"ranges":[%q]}`, full)}},
		{api.CodeKeyReused, "acquire-leases", request{header: map[string]string{"Idempotency-Key": "used"}, body: fmt.Sprintf(`{"ranges":[%q]}`, full)}},
		{api.CodeHolderRefused, "acquire-leases", request{body: fmt.Sprintf(`{"ranges":[%q],"holder":{"kind":"process","pid":2147483647}}`, of)}},
		{api.CodeInvalid, "acquire-leases", request{body: fmt.Sprintf(`{"ranges":[%q],"holder":{"kind":"session"}}`, of)}},
		{api.CodeInvalid, "renew-lease", request{path: "/v1/leases/" + held.ID + "/renew", body: `{"ttl":"1m"}`}},
		{api.CodeLeaseNotFound, "renew-lease", request{path: "/v1/leases/none/renew", body: `{}`}},
		{api.CodeLeaseNotFound, "release-lease", request{path: "/v1/leases/none", query: url.Values{"generation": {"1"}}}},
		{api.CodeLeaseChanged, "release-lease", request{path: "/v1/leases/" + held.ID, query: url.Values{"generation": {"7"}}}},
		{api.CodeArchiveNotFound, "restore-ranges", request{path: "/v1/ranges/archives/none/restore"}},
		{api.CodeArchiveNotFound, "restore-settings", request{path: "/v1/conf/archives/none/restore", query: url.Values{"kind": {"tags"}}}},
		{api.CodeArchiveNotFound, "restore", request{path: "/v1/archives/none/restore"}},
		{api.CodeArchiveNotFound, "deploy-archive", request{path: "/v1/distributions/archives/none/deploy"}},
		{api.CodeInvalid, "archive-ranges", request{path: "/v1/ranges/archives/a%20b"}},
		{api.CodeInvalid, "delete-properties", request{}},
		{api.CodeInvalid, "kill-processes", request{body: `{}`}},
		{api.CodeInvalid, "add-tags", request{body: `{"tags":[""]}`}},

		{api.CodeDistributionInvalid, "deploy-distribution", file("<distribution/>")},
		{api.CodeDistributionInvalid, "deploy-distribution", file("")},
		{api.CodeDistributionInvalid, "deploy-exec", request{contentType: "application/xml", body: "<exec/>"}},
		{api.CodeDistributionExists, "deploy-distribution", file(d.descriptor(name, of))},
		{api.CodeDistributionRunning, "undeploy-distributions", request{query: url.Values{"name": {running.Distribution}, "version": {"*"}}}},
		{api.CodeDistributionNotFound, "exec-processes", exec("none", "")},
		{api.CodeProcessNotFound, "exec-processes", exec(name, `,"name":"none"`)},
		{api.CodeProcessNotFound, "get-process", request{path: "/v1/processes/99999"}},
		{api.CodeProcessNotFound, "get-process-info", request{path: "/v1/processes/99999/info"}},
		{api.CodeProcessNotFound, "get-output", request{path: "/v1/processes/99999/output"}},
		{api.CodeProcessNotFound, "list-processes", request{query: url.Values{"id": {"99999"}}}},
		{api.CodeProcessNotFound, "diagnose-processes", request{query: url.Values{"id": {"99999"}}}},
		{api.CodeProcessNotFound, "kill-processes", request{body: `{"ids":[99999]}`}},
		{api.CodeProcessNotFound, "restart-processes", request{body: `{"pids":[1]}`}},
		{api.CodeProcessNotFound, "reload-processes", request{body: `{"ids":[99999]}`}},
		{api.CodeProfileNotFound, "exec-processes", request{body: fmt.Sprintf(`{"distribution":%q,"version":"1.0","profile":"none","name":"web"}`, name)}},
		{api.CodeExecNotFound, "exec-processes", request{body: `{"config":"none"}`}},
		{api.CodeExecRefused, "exec-processes", exec(named, "")},
		{api.CodeRangeFull, "exec-processes", exec(name, `,"instances":50`)},
		{api.CodePortAssigned, "restart-processes", request{body: fmt.Sprintf(`{"ids":[%d],"ports":["%d"]}`, running.ID, held.Port)}},
		{api.CodePortAssigned, "reload-processes", request{body: fmt.Sprintf(`{"ids":[%d],"ports":["%d"]}`, running.ID, held.Port)}},
		{api.CodeExecFailed, "exec-processes", exec(gone, "")},
		{api.CodeTimeout, "kill-processes", request{body: fmt.Sprintf(`{"ids":[%d],"waitSeconds":0.05}`, started.Processes[0].ID)}},
	} {
		t.Run(fmt.Sprintf("%s %s", tt.id, tt.code), func(t *testing.T) {
			before := d.state(t)
			op := d.operations[tt.id]
			r := tt.request
			r.method = op.method
			if r.path == "" {
				r.path = op.path
			}
			resp, err := d.send(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if wrong := d.check(op, resp.status, resp.header, resp.body); wrong != "" {
				t.Error(wrong)
			}
			var p api.Error
			if err := json.Unmarshal(resp.body, &p); err != nil || p.Code != tt.code || p.Status != resp.status {
				t.Errorf("%d %s, want the code %s", resp.status, resp.body, tt.code)
			}
			if tt.code != api.CodeTimeout && tt.code != api.CodeExecFailed {
				d.unchanged(t, before)
			}
		})
	}
	d.must(t, "get-process", request{path: "/v1/processes/" + pid}, nil)
}
