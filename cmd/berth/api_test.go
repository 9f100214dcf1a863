package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"berth/api"
)

// inputs make a valid request of each operation. One makes what it needs
// before, and shares no names with another one.
var inputs = map[string]func(t *testing.T, d *driven) request{
	"get-daemon":   func(*testing.T, *driven) request { return request{} },
	"stop-daemon":  func(*testing.T, *driven) request { return request{} }, // the daemon of its own that it needs is the test's
	"get-document": func(*testing.T, *driven) request { return request{} },
	"get-health":   func(*testing.T, *driven) request { return request{} },
	// Nothing is damaged.
	"accept-damage": func(*testing.T, *driven) request { return request{} },

	// The settings are a folder of the test's.
	"fix-kernel": func(t *testing.T, d *driven) request {
		d.addRange(t, 2)
		return request{}
	},

	"get-port": func(t *testing.T, d *driven) request {
		held := d.acquire(t, d.addRange(t, 1))
		return request{path: "/v1/ports/tcp/" + strconv.Itoa(held.Port)}
	},
	"list-ranges": func(t *testing.T, d *driven) request {
		name := d.addRange(t, 2)
		d.acquire(t, name)
		return request{query: url.Values{"name": {name[:1] + "*"}}}
	},
	"add-ranges": func(_ *testing.T, d *driven) request {
		first, last := d.ports(2)
		return request{body: fmt.Sprintf(`{"ranges":[{"name":%q,"min":%d,"max":%d,"protocol":"udp"}]}`, d.name("added"), first, last)}
	},
	"update-range": func(t *testing.T, d *driven) request {
		return request{path: "/v1/ranges/" + d.addRange(t, 3), body: fmt.Sprintf(`{"max":%d}`, d.nextPort-2)}
	},
	"delete-ranges": func(t *testing.T, d *driven) request {
		return request{query: url.Values{"name": {d.addRange(t, 1)}}}
	},
	"archive-ranges": func(t *testing.T, d *driven) request {
		d.addRange(t, 1)
		return request{path: "/v1/ranges/archives/" + d.name("rev")}
	},
	"restore-ranges": func(t *testing.T, d *driven) request {
		rev := d.name("rev")
		d.must(t, "archive-ranges", request{path: "/v1/ranges/archives/" + rev}, nil)
		return request{path: "/v1/ranges/archives/" + rev + "/restore"}
	},

	"list-leases": func(t *testing.T, d *driven) request {
		d.acquire(t, d.addRange(t, 1))
		return request{}
	},
	"acquire-leases": func(t *testing.T, d *driven) request {
		name := d.addRange(t, 2)
		return request{
			header: map[string]string{"Idempotency-Key": `"` + d.name("key") + `"`},
			body:   fmt.Sprintf(`{"ranges":[%q],"ports":[{"range":%q,"protocol":"tcp","count":1}],"holder":{"kind":"session","ttl":"10m","name":"a test"},"owner":"tests","keep":true}`, name, name),
		}
	},
	"renew-lease": func(t *testing.T, d *driven) request {
		var made []api.Lease
		d.must(t, "acquire-leases", request{body: fmt.Sprintf(`{"ranges":[%q],"holder":{"kind":"session","ttl":"10m"}}`, d.addRange(t, 1))}, &made)
		return request{path: "/v1/leases/" + made[0].ID + "/renew", body: fmt.Sprintf(`{"ttl":"20m","generation":%d}`, made[0].Generation)}
	},
	"release-leases": func(t *testing.T, d *driven) request {
		owner := d.name("owner")
		d.must(t, "acquire-leases", request{body: fmt.Sprintf(`{"ranges":[%q],"owner":%q}`, d.addRange(t, 1), owner)}, nil)
		return request{query: url.Values{"owner": {owner}}, header: map[string]string{"Idempotency-Key": `"` + d.name("key") + `"`}}
	},
	"release-lease": func(t *testing.T, d *driven) request {
		l := d.acquire(t, d.addRange(t, 1))
		return request{path: "/v1/leases/" + l.ID, query: url.Values{"generation": {strconv.FormatInt(l.Generation, 10)}}}
	},

	"list-distributions": func(t *testing.T, d *driven) request {
		name, _ := d.deploy(t)
		return request{query: url.Values{"name": {name}, "limit": {"1"}}}
	},
	"deploy-distribution": func(t *testing.T, d *driven) request {
		text := d.descriptor(d.name("dist"), d.addRange(t, 1))
		return request{query: url.Values{"filename": {"corus.xml"}}, contentType: "application/octet-stream", body: text}
	},
	"undeploy-distributions": func(t *testing.T, d *driven) request {
		name, _ := d.deploy(t)
		return request{query: url.Values{"name": {name}, "version": {"1.0"}}}
	},
	"deploy-archive": func(t *testing.T, d *driven) request {
		name, _ := d.deploy(t)
		rev := d.name("rev")
		d.must(t, "undeploy-distributions", request{query: url.Values{"name": {name}, "version": {"1.0"}, "rev": {rev}}}, nil)
		return request{path: "/v1/distributions/archives/" + rev + "/deploy"}
	},

	"exec-processes": func(t *testing.T, d *driven) request {
		name, _ := d.deploy(t)
		return request{
			header: map[string]string{"Idempotency-Key": `"` + d.name("key") + `"`},
			body:   fmt.Sprintf(`{"distribution":%q,"version":"1.0","profile":"test","instances":2,"waitSeconds":20}`, name),
		}
	},
	"list-processes": func(t *testing.T, d *driven) request {
		p := d.exec(t)
		return request{query: url.Values{"id": {strconv.Itoa(p.ID)}, "usage": {"true"}, "ended": {"true"}}}
	},
	"get-process": func(t *testing.T, d *driven) request {
		return request{path: "/v1/processes/" + strconv.Itoa(d.exec(t).ID)}
	},
	"get-process-info": func(t *testing.T, d *driven) request {
		return request{path: "/v1/processes/" + strconv.Itoa(d.exec(t).ID) + "/info"}
	},
	"kill-processes": func(t *testing.T, d *driven) request {
		return request{body: fmt.Sprintf(`{"ids":[%d],"hard":true,"waitSeconds":20}`, d.exec(t).ID)}
	},
	"restart-processes": func(t *testing.T, d *driven) request {
		return request{body: fmt.Sprintf(`{"ids":[%d],"hard":true,"waitSeconds":20}`, d.exec(t).ID)}
	},
	"reload-processes": func(t *testing.T, d *driven) request {
		return request{body: fmt.Sprintf(`{"ids":[%d],"waitSeconds":20}`, d.exec(t).ID)}
	},
	"get-output": func(t *testing.T, d *driven) request {
		return request{path: "/v1/processes/" + strconv.Itoa(d.exec(t).ID) + "/output", query: url.Values{"tail": {"5"}}}
	},
	"diagnose-processes": func(t *testing.T, d *driven) request {
		return request{query: url.Values{"id": {strconv.Itoa(d.exec(t).ID)}}}
	},

	"list-execs": func(t *testing.T, d *driven) request {
		d.deployExec(t)
		return request{}
	},
	"deploy-exec": func(_ *testing.T, d *driven) request {
		return request{query: url.Values{"filename": {"exec.xml"}}, contentType: "application/xml", body: execFile(d.name("exec"))}
	},
	"undeploy-execs": func(t *testing.T, d *driven) request {
		return request{query: url.Values{"name": {d.deployExec(t)}}}
	},
	"enable-execs": func(t *testing.T, d *driven) request {
		return request{body: fmt.Sprintf(`{"name":%q,"enabled":false}`, d.deployExec(t))}
	},

	"list-properties": func(t *testing.T, d *driven) request {
		return request{query: url.Values{"name": {d.property(t)}}}
	},
	"export-properties": func(t *testing.T, d *driven) request {
		return request{query: url.Values{"name": {d.property(t)}}}
	},
	"add-properties": func(_ *testing.T, d *driven) request {
		return request{body: fmt.Sprintf(`{"scope":"server","properties":[{"name":%q,"value":"a value"}]}`, d.name("property"))}
	},
	"delete-properties": func(t *testing.T, d *driven) request {
		return request{query: url.Values{"name": {d.property(t)}, "category": {"front"}}}
	},
	"list-tags": func(t *testing.T, d *driven) request {
		d.tag(t)
		return request{}
	},
	"add-tags": func(_ *testing.T, d *driven) request {
		return request{body: fmt.Sprintf(`{"tags":[%q]}`, d.name("tag"))}
	},
	"delete-tags": func(t *testing.T, d *driven) request {
		return request{query: url.Values{"name": {d.tag(t)}}}
	},
	"rename-tags": func(t *testing.T, d *driven) request {
		return request{body: fmt.Sprintf(`{"tags":[{"from":%q,"to":%q}]}`, d.tag(t), d.name("renamed"))}
	},

	"archive-settings": func(t *testing.T, d *driven) request {
		d.tag(t)
		return request{path: "/v1/conf/archives/" + d.name("rev"), query: url.Values{"kind": {"tags"}}}
	},
	"restore-settings": func(t *testing.T, d *driven) request {
		d.property(t)
		rev := d.name("rev")
		d.must(t, "archive-settings", request{path: "/v1/conf/archives/" + rev, query: url.Values{"kind": {"properties"}}}, nil)
		return request{path: "/v1/conf/archives/" + rev + "/restore", query: url.Values{"kind": {"properties"}}}
	},
	"archive": func(t *testing.T, d *driven) request {
		d.tag(t)
		return request{path: "/v1/archives/" + d.name("rev")}
	},
	"restore": func(t *testing.T, d *driven) request {
		rev := d.name("rev")
		d.must(t, "archive", request{path: "/v1/archives/" + rev}, nil)
		return request{path: "/v1/archives/" + rev + "/restore"}
	},

	"list-tokens": func(t *testing.T, d *driven) request {
		d.token(t)
		return request{}
	},
	"add-token": func(_ *testing.T, d *driven) request {
		return request{body: fmt.Sprintf(`{"name":%q,"role":"lease","quota":3,"expiresInSeconds":3600}`, d.name("token"))}
	},
	"delete-tokens": func(t *testing.T, d *driven) request { return request{query: url.Values{"name": {d.token(t)}}} },
	"get-whoami":    func(*testing.T, *driven) request { return request{} },
	"list-quotas": func(t *testing.T, d *driven) request {
		d.quota(t)
		return request{}
	},
	"set-quota": func(_ *testing.T, d *driven) request {
		return request{path: "/v1/quotas/" + d.name("owner"), body: `{"max":7}`}
	},
	"delete-quota": func(t *testing.T, d *driven) request { return request{path: "/v1/quotas/" + d.quota(t)} },
	"list-audit": func(t *testing.T, d *driven) request {
		d.tag(t)
		return request{query: url.Values{"last": {"3"}}}
	},
	"follow-audit": func(t *testing.T, d *driven) request {
		d.tag(t)
		return request{query: url.Values{"last": {"1"}}}
	},

	"stream-events": func(t *testing.T, d *driven) request {
		d.tag(t)
		return request{query: url.Values{"follow": {"false"}}, header: map[string]string{"Last-Event-ID": "1"}}
	},
}

// addRange adds a range of so many ports, and returns its name.
func (d *driven) addRange(t *testing.T, count int) string {
	t.Helper()
	first, last := d.ports(count)
	name := d.name("range")
	d.must(t, "add-ranges", request{body: fmt.Sprintf(`{"ranges":[{"name":%q,"min":%d,"max":%d}]}`, name, first, last)}, nil)
	return name
}

func (d *driven) acquire(t *testing.T, name string) api.Lease {
	t.Helper()
	var leases []api.Lease
	d.must(t, "acquire-leases", request{body: fmt.Sprintf(`{"ranges":[%q]}`, name)}, &leases)
	return leases[0]
}

// descriptor is of a distribution with a process that listens.
func (d *driven) descriptor(name, of string) string {
	return fmt.Sprintf(`<distribution name=%q version="1.0">
  <process name="web" invoke="false" shutdownTimeout="5000">
    <port name=%q/>
    <generic profile="test"><arg value="server"/><arg value="${corus.process.port.%s}"/></generic>
  </process>
</distribution>`, name, of, of)
}

// deploy deploys a distribution with a range for two processes of it.
func (d *driven) deploy(t *testing.T) (name, of string) {
	t.Helper()
	name, of = d.name("dist"), d.addRange(t, 3)
	d.must(t, "deploy-distribution", request{contentType: "application/octet-stream", body: d.descriptor(name, of)}, nil)
	return name, of
}

// exec starts a process, and returns it once it listens.
func (d *driven) exec(t *testing.T) api.Process {
	t.Helper()
	name, _ := d.deploy(t)
	var started api.Started
	d.must(t, "exec-processes", request{body: fmt.Sprintf(`{"distribution":%q,"version":"1.0","profile":"test","waitSeconds":20}`, name)}, &started)
	return started.Processes[0]
}

func execFile(name string) string {
	return fmt.Sprintf(`<exec name=%q startOnBoot="false"><process dist="none" version="1.0" name="web" profile="test"/></exec>`, name)
}

func (d *driven) deployExec(t *testing.T) string {
	t.Helper()
	name := d.name("exec")
	d.must(t, "deploy-exec", request{contentType: "application/xml", body: execFile(name)}, nil)
	return name
}

func (d *driven) property(t *testing.T) string {
	t.Helper()
	name := d.name("some-password")
	d.must(t, "add-properties", request{body: fmt.Sprintf(`{"categories":["front"],"properties":[{"name":%q,"value":"x"}]}`, name)}, nil)
	return name
}

func (d *driven) tag(t *testing.T) string {
	t.Helper()
	name := d.name("tag")
	d.must(t, "add-tags", request{body: fmt.Sprintf(`{"tags":[%q]}`, name)}, nil)
	return name
}

func (d *driven) quota(t *testing.T) string {
	t.Helper()
	owner := d.name("owner")
	d.must(t, "set-quota", request{path: "/v1/quotas/" + owner, body: `{"max":3}`}, nil)
	return owner
}

func (d *driven) token(t *testing.T) string {
	t.Helper()
	name := d.name("token")
	d.must(t, "add-token", request{body: fmt.Sprintf(`{"name":%q,"role":"read"}`, name)}, nil)
	return name
}

// Every operation of the document says what it is, and has only what it says.
func TestDocument(t *testing.T) {
	d := drive(t, 25299)
	described := func(where, text string) {
		if strings.TrimSpace(text) == "" {
			t.Errorf("%s has no description", where)
		}
	}
	for id, op := range d.operations {
		described(id+": the summary", op.Summary)
		described(id+" (add it to server/described.go)", op.Description)
		if len(op.Tags) != 1 || !slices.Contains(d.tags, op.Tags[0]) {
			t.Errorf("%s has the tags %q, not one of %q", id, op.Tags, d.tags)
		}
		for _, p := range op.Parameters {
			described(fmt.Sprintf("%s: the parameter %s", id, p.Name), p.Description)
		}
		if s := op.jsonBody(); s != nil {
			example, err := json.Marshal(op.RequestBody.Content["application/json"].Example)
			if err != nil || string(example) == "null" {
				t.Errorf("%s has no example of its request (add it to server/described.go)", id)
			} else if err := d.validate(example, "paths", op.path, strings.ToLower(op.method), "requestBody", "content", "application/json", "schema"); err != nil {
				t.Errorf("%s: the example of its request: %v", id, err)
			}
		}
		done := 0
		for status, r := range op.Responses {
			described(id+": the answer "+status, r.Description)
			if n, err := strconv.Atoi(status); err != nil || n < 200 {
				t.Errorf("%s documents an answer %q", id, status)
			} else if n < 300 {
				done++
			}
			for kind, media := range r.Content {
				if !strings.HasSuffix(kind, "json") || strings.HasSuffix(kind, "ndjson") || kind == "application/openapi+json" {
					continue
				}
				example, err := json.Marshal(media.Example)
				if err != nil || string(example) == "null" {
					t.Errorf("%s: %s has no example (add it to server/described.go)", id, status)
				} else if err := d.validate(example, "paths", op.path, strings.ToLower(op.method), "responses", status, "content", kind, "schema"); err != nil {
					t.Errorf("%s: the example of %s: %v", id, status, err)
				}
			}
		}
		if done != 1 {
			t.Errorf("%s has %d answers that say it was done, not one", id, done)
		}
	}
	for name, s := range d.schemas {
		for field, p := range s.Properties {
			if p.Ref == "" {
				described(fmt.Sprintf("the field %s of %s (give it a doc tag)", field, name), p.Description)
			}
		}
		if err := d.validate([]byte(`{}`), "components", "schemas", name); err != nil && strings.Contains(err.Error(), "compil") {
			t.Errorf("the schema %s: %v", name, err)
		}
	}
}

// Every operation is done with valid input, and answers as the document says.
func TestValidRequests(t *testing.T) {
	d := drive(t, 25300)
	for id := range inputs {
		if d.operations[id] == nil {
			t.Errorf("there are inputs for %s, which is no operation", id)
		}
	}
	for _, id := range d.ids() {
		t.Run(id, func(t *testing.T) {
			input, ok := inputs[id]
			if !ok {
				t.Fatal("there is no valid input for it: add one to inputs")
			}
			on := d
			if id == "stop-daemon" {
				on = drive(t, 25390)
			}
			resp := on.call(t, id, input(t, on))
			if resp.status >= 300 {
				t.Fatalf("it was not done: %d %s", resp.status, resp.body)
			}
			if id == "stop-daemon" {
				if err := <-on.ended; err != nil {
					t.Error(err)
				}
			}
		})
	}
}
