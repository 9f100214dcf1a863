package server_test

import (
	"net/http"
	"strings"
	"testing"

	"berth/api"
)

// No list and no answer shows a secret; what exports values does.
func TestSecretsAreMasked(t *testing.T) {
	r := newRig(t)
	body := `{"properties":[{"name":"db.password","value":"canary"},{"name":"url","value":"shown"}],"categories":["test"]}`
	for _, request := range []struct{ method, path, body string }{
		{http.MethodPost, "/v1/conf/properties", body},
		{http.MethodGet, "/v1/conf/properties?every=true", ""},
		{http.MethodGet, "/v1/conf/properties?category=t*&name=*", ""},
		{http.MethodDelete, "/v1/conf/properties?category=test&name=*", ""},
	} {
		_, text := r.do(t, request.method, request.path, request.body)
		if strings.Contains(text, "canary") || !strings.Contains(text, "*********") || !strings.Contains(text, "shown") {
			t.Errorf("%s %s: %s", request.method, request.path, text)
		}
	}
	r.do(t, http.MethodPost, "/v1/conf/properties", body)
	if _, text := r.do(t, http.MethodGet, "/v1/conf/values?category=test", ""); !strings.Contains(text, "canary") {
		t.Errorf("an export: %s", text)
	}
	if log := r.log.String(); strings.Contains(log, "canary") {
		t.Errorf("the log: %s", log)
	}
	for _, bad := range []string{
		`{"properties":[{"name":"a=b","value":"canary"}]}`, `{"properties":[{"name":"secret","value":7,"canary":1}]}`,
		`{"properties":[{"name":"secret","value":"canary\u0000"}]}`, `{"scope":"x","properties":[{"name":"a","value":"canary"}]}`,
	} {
		if p := r.problem(t, http.MethodPost, "/v1/conf/properties", bad); p.Code != api.CodeInvalid || strings.Contains(p.Detail, "canary\"") {
			t.Errorf("%s: %+v", bad, p)
		}
	}
	r.problem(t, http.MethodDelete, "/v1/conf/properties", "") // all are asked for by *
}
