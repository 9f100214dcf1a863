package server_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth/api"
	"berth/launcher"
	"berth/server"
)

func TestDistributions(t *testing.T) {
	r := newRig(t)
	r.processes.distributions = []launcher.Distribution{demo}
	r.processes.processes = []launcher.Process{newProcess(1), newProcess(2)}
	const one = `{"name":"demo","version":"1.0","deployedAt":"2026-01-02T03:04:05Z","processes":["httpServer","worker"],"profiles":["prod","test"],"running":`
	for _, tt := range []struct {
		name, method, path string
		want               string
	}{
		{"all", "GET", "/v1/distributions", "[" + one + "2}]"},
		{"by name", "GET", "/v1/distributions?name=d*&version=1.0", "[" + one + "2}]"},
		{"none", "GET", "/v1/distributions?name=x", "[]"},
		{"undeploy", "DELETE", "/v1/distributions?name=demo&version=*", `{"undeployed":[` + one + "0}]}"},
		{"undeploy none", "DELETE", "/v1/distributions?name=x&version=*", `{"undeployed":[]}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if status, body := r.do(t, tt.method, tt.path, ""); status != 200 || body != tt.want {
				t.Errorf("%d\n%s\nwant\n%s", status, body, tt.want)
			}
		})
	}
}

func TestDeploy(t *testing.T) {
	r := newRig(t, func(o *server.Options) { o.MaxUpload = 100_000 })
	content := strings.Repeat("0123456789", 10_000)
	var got, name, file string
	var fail error
	r.processes.deploy = func(f, n string) (launcher.Distribution, []string, error) {
		data, err := os.ReadFile(f)
		if err != nil {
			return launcher.Distribution{}, nil, err
		}
		got, name, file = string(data), n, f
		return demo, []string{"odd"}, fail
	}
	const want = `{"name":"demo","version":"1.0","deployedAt":"2026-01-02T03:04:05Z","processes":["httpServer","worker"],"profiles":["prod","test"],"running":0,"warnings":["odd"]}`
	status, body := r.do(t, "POST", "/v1/distributions?filename=..%2Fsome%2Fdemo.zip", content)
	if status != 201 || body != want {
		t.Errorf("%d %s", status, body)
	}
	if got != content || name != "demo.zip" {
		t.Errorf("deployed %d bytes under %q", len(got), name)
	}
	if info, err := os.Stat(filepath.Dir(file)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder of uploads: %v %v", info, err)
	}

	fail = fmt.Errorf("deploy demo.zip: %w", launcher.ErrDistributionExists)
	if p := r.problem(t, "POST", "/v1/distributions?filename=demo.zip", content); !errors.Is(&p, api.CodeDistributionExists) {
		t.Errorf("a second time: %+v", p)
	}
	if p := r.problem(t, "POST", "/v1/distributions?filename=demo.zip", content+"x"); !errors.Is(&p, api.CodeDistributionInvalid) || p.Status != 413 {
		t.Errorf("too large: %+v", p)
	}
	if p := r.problem(t, "POST", "/v1/distributions?filename=demo.zip", ""); !errors.Is(&p, api.CodeDistributionInvalid) || p.Detail != "demo.zip: the file is empty" {
		t.Errorf("empty: %+v", p)
	}
	left, err := os.ReadDir(filepath.Dir(file))
	if err != nil {
		t.Fatal(err)
	}
	if len(left) > 0 {
		t.Errorf("uploads were left: %v", left)
	}
}
