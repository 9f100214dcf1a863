package server_test

import (
	"errors"
	"testing"

	"berth/api"
	"berth/launcher"
)

func TestDiagnoses(t *testing.T) {
	r := newRig(t)
	r.processes.processes = []launcher.Process{newProcess(1)}
	status, body := r.do(t, "GET", "/v1/diagnoses?id=1&name=http*", "")
	want := `[{"process":1,"distribution":"demo","version":"1.0","profile":"test","name":"httpServer","pid":4001,"range":"http","port":8080,` +
		`"url":"http://localhost:8080/","result":"failed","code":503,"milliseconds":1.5,"reason":"answers 503","graceEnds":"2026-01-02T03:04:05Z"}]`
	if status != 200 || body != want {
		t.Errorf("%d\n%s\nwant\n%s", status, body, want)
	}
	if p := r.problem(t, "GET", "/v1/diagnoses?id=3", ""); !errors.Is(&p, api.CodeProcessNotFound) {
		t.Errorf("%+v", p)
	}
	r.processes.processes = nil
	if status, body := r.do(t, "GET", "/v1/diagnoses", ""); status != 200 || body != "[]" {
		t.Errorf("%d %s", status, body)
	}
}
