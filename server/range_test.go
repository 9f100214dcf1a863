package server_test

import (
	"errors"
	"slices"
	"testing"

	"berth/api"
	"berth/launcher"
	"berth/lease"
)

func TestRanges(t *testing.T) {
	r := newRig(t)
	r.processes.processes = []launcher.Process{newProcess(1), newProcess(2)}
	r.processes.processes[1].Ports[0].State = launcher.PortStolen
	held := func(id lease.ID, process int, name string) lease.Lease {
		return lease.Lease{ID: id, Holder: lease.Holder{Kind: lease.Process, Process: process, Name: name}}
	}
	r.leases.ranges = []lease.RangeStatus{
		{Range: lease.Range{Name: "admin", Min: 9000, Max: 9000, Protocol: lease.UDP, Scope: lease.ClusterScope}},
		{
			Range:     lease.Range{Name: "http", Min: 8080, Max: 8084, Protocol: lease.TCP, Scope: lease.HostScope},
			Available: []int{8084},
			Active: []lease.ActivePort{
				{Port: 8080, Lease: held("l1", 1, "httpServer #1")},
				{Port: 8081, Lease: held("l2", 2, "httpServer #2")},
				{Port: 8082, Lease: lease.Lease{ID: "l9", Holder: lease.Holder{Kind: lease.Manual, Name: "me"}}},
			},
			SetAside: []lease.SetAside{{Port: 8083, Reason: "in use", PID: 7, Command: "nc", Since: began}},
		},
	}
	const (
		admin = `{"name":"admin","min":9000,"max":9000,"protocol":"udp","scope":"cluster"`
		http  = `{"name":"http","min":8080,"max":8084,"protocol":"tcp","scope":"host"`
		http2 = http + `,"available":[8084],"active":[` +
			`{"port":8080,"state":"listening","holder":"httpServer #1","pid":4001,"lease":"l1"},` +
			`{"port":8081,"state":"stolen","holder":"httpServer #2","pid":4002,"lease":"l2"},` +
			`{"port":8082,"state":"leased","holder":"me","lease":"l9"}],` +
			`"setAside":[{"port":8083,"reason":"in use","pid":7,"command":"nc","since":"2026-01-02T03:04:05Z"}]}`
	)
	tests := []struct {
		name, method, path, body string
		status                   int
		want                     string
	}{
		{"all", "GET", "/v1/ranges", "", 200, "[" + admin + `,"available":[],"active":[],"setAside":[]},` + http2 + "]"},
		{"some", "GET", "/v1/ranges?name=h*", "", 200, "[" + http2 + "]"},
		{"none", "GET", "/v1/ranges?name=x", "", 200, "[]"},
		{"add", "POST", "/v1/ranges", `{"ranges":[{"name":"a","min":1,"max":2},{"name":"b","min":1,"max":1,"protocol":"UDP"}]}`, 201,
			`[{"name":"a","min":1,"max":2,"protocol":"tcp","scope":"host"},{"name":"b","min":1,"max":1,"protocol":"udp","scope":"host"}]`},
		{"update by force", "PATCH", "/v1/ranges/http", `{"min":8083,"max":8084,"force":true}`, 200,
			`{"name":"http","min":8083,"max":8084,"protocol":"tcp","scope":"host","before":` + http + `},"outside":[` +
				`{"port":8080,"state":"listening","holder":"httpServer #1","pid":4001,"lease":"l1"},` +
				`{"port":8081,"state":"stolen","holder":"httpServer #2","pid":4002,"lease":"l2"},` +
				`{"port":8082,"state":"leased","holder":"me","lease":"l9"}]}`},
		{"update without leases", "PATCH", "/v1/ranges/admin", `{"min":9000,"max":9001}`, 200,
			`{"name":"admin","min":9000,"max":9001,"protocol":"udp","scope":"cluster","before":` + admin + `},"outside":[]}`},
		{"delete none", "DELETE", "/v1/ranges?name=x", "", 200, `{"deleted":[]}`},
		{"delete", "DELETE", "/v1/ranges?name=admin", "", 200, `{"deleted":[` + admin + `}]}`},
		{"delete by force", "DELETE", "/v1/ranges?name=h*&force=true", "", 200, `{"deleted":[` + http + `}]}`},
		{"archive", "PUT", "/v1/ranges/archives/r1", "", 200, `{"revision":"r1","ranges":[` + admin + "}," + http + `}]}`},
		{"restore", "POST", "/v1/ranges/archives/r1/restore", "", 200, `{"revision":"r1","ranges":[` + admin + "}," + http + `}]}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, body := r.do(t, tt.method, tt.path, tt.body)
			if status != tt.status || body != tt.want {
				t.Errorf("%s %s: %d\n%s\nwant %d\n%s", tt.method, tt.path, status, body, tt.status, tt.want)
			}
		})
	}
	if p := r.problem(t, "DELETE", "/v1/ranges?name=*", ""); !errors.Is(&p, api.CodeRangeLeased) {
		t.Errorf("deleting a leased range: %+v", p)
	}
	if p := r.problem(t, "POST", "/v1/ranges/archives/r2/restore", ""); !errors.Is(&p, api.CodeArchiveNotFound) {
		t.Errorf("restoring what was not archived: %+v", p)
	}
}

func TestAddRangesOptions(t *testing.T) {
	r := newRig(t)
	var got lease.AddOptions
	var ranges []lease.Range
	r.leases.add = func(added []lease.Range, o lease.AddOptions) error {
		ranges, got = added, o
		return nil
	}
	if status, body := r.do(t, "POST", "/v1/ranges", `{"ranges":[{"name":"a","min":1,"max":2,"scope":"cluster"}],"clear":true,"force":true}`); status != 201 {
		t.Fatal(status, body)
	}
	if want := (lease.AddOptions{Clear: true, Force: true}); got != want {
		t.Errorf("options %+v, want %+v", got, want)
	}
	if want := []lease.Range{{Name: "a", Min: 1, Max: 2, Protocol: lease.TCP, Scope: lease.ClusterScope}}; !slices.Equal(ranges, want) {
		t.Errorf("ranges %+v, want %+v", ranges, want)
	}
}
