package server_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"berth/api"
	"berth/lease"
)

func TestLeases(t *testing.T) {
	r := newRig(t)
	var asked []lease.Request
	r.leases.acquire = func(_ context.Context, requests []lease.Request) ([]lease.Lease, error) {
		asked = requests
		return []lease.Lease{{ID: "a1", Generation: 1, Range: "http", Protocol: lease.TCP, Port: 8080, Holder: requests[0].Holder, Since: began}}, nil
	}
	r.leases.release = func(id lease.ID, generation int64) error {
		switch {
		case id != "a1":
			return lease.ErrLeaseNotFound
		case generation != 3:
			return lease.ErrLeaseChanged
		}
		return nil
	}

	one := `[{"id":"a1","generation":1,"range":"http","protocol":"tcp","port":8080,"holder":"me","kind":"manual","owner":"` + me(t) + `","since":"2026-01-02T03:04:05Z"}]`
	if status, body := r.do(t, "POST", "/v1/leases", `{"ranges":["http","admin"],"holder":{"name":"me"}}`); status != 201 || body != one {
		t.Errorf("acquire: %d %s", status, body)
	}
	holder := lease.Holder{Kind: lease.Manual, Name: "me", Owner: me(t)}
	if want := []lease.Request{{Range: "http", Holder: holder, Keep: true}, {Range: "admin", Holder: holder, Keep: true}}; !slices.Equal(asked, want) {
		t.Errorf("asked for %+v, want %+v", asked, want)
	}
	if status, body := r.do(t, "GET", "/v1/leases", ""); status != 200 || body != "[]" {
		t.Errorf("no leases: %d %s", status, body)
	}
	r.leases.leases = []lease.Lease{{
		ID: "p1", Generation: 2, Range: "http", Protocol: lease.TCP, Port: 8081, Since: began,
		Holder: lease.Holder{Kind: lease.Process, Name: "httpServer #4", Process: 4},
	}}
	const list = `[{"id":"p1","generation":2,"range":"http","protocol":"tcp","port":8081,"holder":"httpServer #4","kind":"process","process":4,"since":"2026-01-02T03:04:05Z"}]`
	if status, body := r.do(t, "GET", "/v1/leases", ""); status != 200 || body != list {
		t.Errorf("leases: %d %s", status, body)
	}
	if status, body := r.do(t, "DELETE", "/v1/leases/a1?generation=3", ""); status != 204 || body != "" {
		t.Errorf("release: %d %s", status, body)
	}
	if p := r.problem(t, "DELETE", "/v1/leases/a1?generation=2", ""); !errors.Is(&p, api.CodeLeaseChanged) {
		t.Errorf("release of another generation: %+v", p)
	}
	if p := r.problem(t, "DELETE", "/v1/leases/a2?generation=1", ""); !errors.Is(&p, api.CodeLeaseNotFound) {
		t.Errorf("release of what is not there: %+v", p)
	}
}
