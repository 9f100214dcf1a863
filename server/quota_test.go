package server_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"berth/access"
	"berth/api"
	"berth/lease"
	"berth/server"
	"berth/store/storetest"
)

// owners is a rig with a lease manager, asked by callers of several owners.
type owners struct {
	*rig
	m                   *lease.Manager
	web, web2, db, boss *rig
}

func newOwners(t *testing.T) owners {
	t.Helper()
	var tokens *access.Tokens
	r, m := leasing(t, storetest.NewMemory(), func(o *server.Options) { tokens = o.Tokens })
	return owners{
		rig: r, m: m,
		web:  r.as(t, tokens, access.Token{Name: "web", Role: access.Lease}),
		web2: r.as(t, tokens, access.Token{Name: "web-2", Role: access.Lease, Owner: "web", Quota: 2}),
		db:   r.as(t, tokens, access.Token{Name: "db", Role: access.Exec}),
		boss: r.as(t, tokens, access.Token{Name: "boss", Role: access.Admin}),
	}
}

// check holds the manager's invariants while the test still runs.
func (o owners) check(t *testing.T) {
	t.Helper()
	if err := o.m.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// leased acquires and returns the leases that it has to get.
func (r *rig) leased(t *testing.T, body string) []api.Lease {
	t.Helper()
	status, text := r.do(t, "POST", "/v1/leases", body)
	var leases []api.Lease
	if err := json.Unmarshal([]byte(text), &leases); err != nil || status != 201 {
		t.Fatalf("%s: %d %s", body, status, text)
	}
	return leases
}

// Leases are their owner's: nobody else but an admin releases or renews them, or
// acquires for it.
func TestOwners(t *testing.T) {
	o := newOwners(t)
	session := o.web.leased(t, `{"ranges":["http"],"holder":{"kind":"session","ttl":"1h"}}`)[0]
	held, err := o.m.Acquire(t.Context(), lease.Request{Range: "http", Holder: lease.Holder{Kind: lease.Manual}})
	if err != nil {
		t.Fatal(err)
	}
	nobodys := held[0]
	admins := o.boss.leased(t, `{"ranges":["http"]}`)[0]
	dbs := o.boss.leased(t, `{"ranges":["http"],"owner":"db"}`)[0]
	if session.Owner != "web" || admins.Owner != "boss" || dbs.Owner != "db" {
		t.Errorf("owners %q, %q and %q", session.Owner, admins.Owner, dbs.Owner)
	}
	for _, tt := range []struct {
		who          string
		r            *rig
		method, path string
		body         string
		status       int
		code         api.Code
	}{
		{"db renews web's", o.db, "POST", "/v1/leases/" + session.ID + "/renew", `{}`, 403, api.CodeForbidden},
		{"db releases web's", o.db, "DELETE", "/v1/leases/" + session.ID, "", 403, api.CodeForbidden},
		{"web releases nobody's", o.web, "DELETE", "/v1/leases/" + string(nobodys.ID), "", 403, api.CodeForbidden},
		{"web releases what is not there", o.web, "DELETE", "/v1/leases/none", "", 404, api.CodeLeaseNotFound},
		{"web acquires for db", o.web, "POST", "/v1/leases", `{"ranges":["http"],"owner":"db"}`, 403, api.CodeForbidden},
		{"web's other token renews web's", o.web2, "POST", "/v1/leases/" + session.ID + "/renew", `{}`, 200, ""},
		{"web's other token releases web's", o.web2, "DELETE", "/v1/leases/" + session.ID, "", 204, ""},
		{"an admin releases db's", o.boss, "DELETE", "/v1/leases/" + dbs.ID, "", 204, ""},
		{"web releases an admin's", o.web, "DELETE", "/v1/leases/" + admins.ID, "", 403, api.CodeForbidden},
		{"the daemon's owner releases an admin's", o.rig, "DELETE", "/v1/leases/" + admins.ID, "", 204, ""},
		{"the daemon's owner releases nobody's", o.rig, "DELETE", "/v1/leases/" + string(nobodys.ID), "", 204, ""},
	} {
		before := len(o.m.Leases())
		if tt.code != "" {
			p := tt.r.problem(t, tt.method, tt.path, tt.body)
			if p.Status != tt.status || p.Code != tt.code || len(o.m.Leases()) != before {
				t.Errorf("%s: %+v, %d leases before and %d after", tt.who, p, before, len(o.m.Leases()))
			}
		} else if status, text := tt.r.do(t, tt.method, tt.path, tt.body); status != tt.status {
			t.Errorf("%s: %d %s", tt.who, status, text)
		}
	}
	if left := o.m.Leases(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	o.check(t)
}

// An owner never has more than its quota, whoever acquires for it, and what it
// gives up does not count.
func TestQuotas(t *testing.T) {
	o := newOwners(t)
	if p := o.db.problem(t, "PUT", "/v1/quotas/db", `{"max":100}`); p.Code != api.CodeForbidden {
		t.Errorf("db sets its own quota: %+v", p)
	}
	for owner, most := range map[string]int{"web": 3, "*": 1} {
		if status, text := o.boss.do(t, "PUT", "/v1/quotas/"+owner, fmt.Sprintf(`{"max":%d}`, most)); status != 200 {
			t.Fatal(status, text)
		}
	}
	refused := func(who string, r *rig, body string) {
		t.Helper()
		before := len(o.m.Leases())
		if p := r.problem(t, "POST", "/v1/leases", body); p.Status != 409 || p.Code != api.CodeQuotaExceeded || len(o.m.Leases()) != before {
			t.Errorf("%s: %+v, %d leases before and %d after", who, p, before, len(o.m.Leases()))
		}
	}
	o.web.leased(t, `{"ranges":["http","http"]}`)
	refused("two where one is left", o.web, `{"ranges":["http","http"]}`)
	refused("a block where one is left", o.web, `{"ports":[{"range":"http","count":2}]}`)
	refused("a token whose own quota is smaller", o.web2, `{"ranges":["http"]}`)
	o.boss.leased(t, `{"ranges":["http"],"owner":"web","keep":true}`)
	refused("an admin, for an owner that has all", o.boss, `{"ranges":["http"],"owner":"web","keep":true}`)
	refused("a direct port", o.web, `{"ports":[{"port":20090}]}`)

	// In place of three it has three others.
	if got := o.web.leased(t, `{"ranges":["http","http","http"],"owner":"web"}`); len(got) != 3 || len(o.m.Leases()) != 3 {
		t.Errorf("%v, %d leases", got, len(o.m.Leases()))
	}
	refused("four in place of three", o.web, `{"ranges":["http","http","http","http"],"owner":"web"}`)
	refused("in place of what another protocol has", o.web, `{"ports":[{"port":20090,"protocol":"udp"}],"owner":"web"}`)

	o.db.leased(t, `{"ranges":["http"]}`)
	refused("an owner without a quota of its own", o.db, `{"ranges":["http"]}`)
	if _, err := o.m.Acquire(t.Context(), lease.Request{Range: "http", Count: 4, Holder: lease.Holder{Kind: lease.Manual}}); err != nil {
		t.Fatal(err) // nobody's have no quota
	}

	status, text := o.db.do(t, "GET", "/v1/quotas", "")
	if status != 200 || text != `[{"owner":"*","max":1,"have":0},{"owner":"web","max":3,"have":3}]` {
		t.Errorf("%d %s", status, text)
	}
	if status, _ := o.boss.do(t, "DELETE", "/v1/quotas/web", ""); status != 204 {
		t.Error(status)
	}
	refused("by the quota of all owners", o.web, `{"ranges":["http"]}`)
	if status, _ := o.boss.do(t, "DELETE", "/v1/quotas/*", ""); status != 204 {
		t.Error(status)
	}
	o.web.leased(t, `{"ranges":["http"]}`)
	for _, bad := range []string{`{"max":-1}`, `{"max":1000000}`, `{}`, `{"max":"1"}`} {
		if p := o.boss.problem(t, "PUT", "/v1/quotas/web", bad); p.Status != 400 {
			t.Errorf("%s: %+v", bad, p)
		}
	}
	if p := o.boss.problem(t, "PUT", "/v1/quotas/a%20b", `{"max":1}`); p.Status != 400 {
		t.Errorf("an owner that is none: %+v", p)
	}
	o.check(t)
}

// Callers that ask together do not get more, and get all that there is.
func TestQuotaTogether(t *testing.T) {
	o := newOwners(t)
	if status, text := o.boss.do(t, "PUT", "/v1/quotas/web", `{"max":10}`); status != 200 {
		t.Fatal(status, text)
	}
	var all sync.WaitGroup
	for n := range 40 {
		all.Go(func() {
			r, body := o.web, `{"ranges":["http"]}`
			if n%2 == 0 {
				r, body = o.boss, `{"ranges":["http"],"owner":"web","keep":true}`
			}
			status, text := r.do(t, "POST", "/v1/leases", body)
			if status != 201 && (status != 409 || !strings.Contains(text, string(api.CodeQuotaExceeded))) {
				t.Errorf("%d %s", status, text)
			}
		})
	}
	all.Wait()
	if n := len(o.m.ByOwner("web")); n != 10 {
		t.Errorf("the owner has %d leases, and may have 10", n)
	}
	o.check(t)
}
