package server_test

import (
	"encoding/json"
	"slices"
	"testing"

	"berth/api"
	"berth/launcher"
)

func TestInfoMasksSecrets(t *testing.T) {
	r := newRig(t)
	r.processes.processes = []launcher.Process{newProcess(1)}
	r.processes.command = []string{"secret", "-Ddb.password=hush", "-Dport=80", "--db-password", "hush", "--username=hush", "access_key=hush", "-secret", "-x", "plain", "a=b"}
	want := []string{"secret", "-Ddb.password=*********", "-Dport=80", "--db-password", "*********", "--username=*********", "access_key=*********", "-secret", "-x", "plain", "a=b"}
	status, body := r.do(t, "GET", "/v1/processes/1/info", "")
	var info api.ProcessInfo
	if err := json.Unmarshal([]byte(body), &info); err != nil || status != 200 {
		t.Fatalf("%d %s, %v", status, body, err)
	}
	if !slices.Equal(info.Command, want) {
		t.Errorf("%q, want %q", info.Command, want)
	}
	if info.MemoryBytes == nil || info.CPUPercent == nil || info.ID != 1 {
		t.Errorf("%+v", info)
	}
}

func TestUsageIsTold(t *testing.T) {
	r := newRig(t)
	r.processes.processes = []launcher.Process{newProcess(1)}
	_, body := r.do(t, "GET", "/v1/processes?usage=true", "")
	var ps []api.Process
	if err := json.Unmarshal([]byte(body), &ps); err != nil || len(ps) != 1 || *ps[0].CPUPercent != 12.3 || *ps[0].MemoryBytes != 1<<20 {
		t.Errorf("%s, %v", body, err)
	}
}
