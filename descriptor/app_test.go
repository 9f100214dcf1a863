package descriptor_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"berth/descriptor"
)

// appsIn are the same apps in the three formats.
var appsIn = map[string]string{
	"shop.json": `{"$schema": "x", "apps": [
  {"name": "gateway", "script": "node", "args": ["gateway.js", "a b", ""], "port": "8080"},
  {"name": "users", "script": "node", "args": ["users.js"], "instances": 2, "port": "8001-8002", "cwd": "/srv/users",
   "env": {"NODE_ENV": "production", "LIMIT": 1.50, "DEBUG": false, "EMPTY": null},
   "autorestart": true, "max_restarts": 3, "min_uptime": 2000, "restart_delay": 100, "kill_timeout": 5000,
   "health_check_url": "http://localhost:${PORT}/health", "health_check_timeout": "500ms", "health_check_interval": 5},
  {"name": "orders", "script": "python", "args": ["-m", "uvicorn", "main:app"], "instances": 3, "port": "auto:8010-8020", "autorestart": false},
  {"name": "many", "script": "./many", "interpreter": "bash", "interpreter_args": "-e -u", "port": ["http", 9000, 0], "restart": "always"}
]}`,
	"shop.yaml": `
defaults: &defaults
  autorestart: true
  max_restarts: 3
apps:
  - name: gateway
    script: node
    args: [gateway.js, a b, ""]
    port: 8080
  - <<: *defaults
    name: users
    script: node
    args:
      - users.js
    instances: 2
    port: "8001-8002"
    cwd: /srv/users
    env:
      NODE_ENV: production
      LIMIT: 1.50
      DEBUG: false
      EMPTY:
    min_uptime: 2s
    restart_delay: 100ms
    kill_timeout: 5000
    health_check:
      type: http
      url: http://localhost:${PORT}/health
      timeout: 0.5
      interval: 5s
  - {name: orders, script: python, args: [-m, uvicorn, "main:app"], instances: 3, port: "auto:8010-8020", autorestart: false}
  - name: many
    script: ./many
    interpreter: bash
    interpreter_args: [-e, -u]
    port: [http, 9000, 0]
    restart: always
`,
	"shop.toml": `
[[apps]]
name = "gateway"
script = "node"
args = ["gateway.js", "a b", ""]
port = 8080

[[apps]]
name = "users"
script = "node"
args = ["users.js"]
instances = 2
port = "8001-8002"
cwd = "/srv/users"
max_restarts = 3
min_uptime = "2s"
restart_delay = 100
kill_timeout = 5000
health_check_url = "http://localhost:${PORT}/health"
health_check_timeout = 0.5
health_check_interval = 5
[apps.env]
NODE_ENV = "production"
LIMIT = "1.50"
DEBUG = false
EMPTY = ""

[[apps]]
name = "orders"
script = "python"
args = ["-m", "uvicorn", "main:app"]
instances = 3
port = "auto:8010-8020"
autorestart = false

[[apps]]
name = "many"
script = "./many"
interpreter = "bash"
interpreter_args = ["-e", "-u"]
port = ["http", 9000, 0]
restart = "always"
`,
}

func TestParseApps(t *testing.T) {
	app := func(name string, args ...string) descriptor.Process {
		p := descriptor.Process{
			Name: name, Instances: 1, ShutdownTimeout: 1600 * time.Millisecond, MaxKillRetry: 3,
			PollInterval: 10 * time.Second, StatusInterval: 30 * time.Second, PollTimeout: -time.Second,
			Restart: descriptor.RestartOnFailure, MaxRestarts: 16, MinUptime: time.Second,
			Starters: []descriptor.Starter{{Kind: descriptor.Generic, Profile: "default"}},
		}
		for _, arg := range args {
			p.Starters[0].Args = append(p.Starters[0].Args, descriptor.Arg{Value: arg})
		}
		return p
	}
	direct := func(name string, spec descriptor.PortSpec) descriptor.Port {
		return descriptor.Port{Name: name, Count: 1, Spec: &spec}
	}
	gateway := app("gateway", "node", "gateway.js", "a b", "")
	gateway.Ports = []descriptor.Port{direct("port", descriptor.PortSpec{First: 8080, Last: 8080})}
	users := app("users", "node", "users.js")
	users.Instances, users.Cwd, users.MaxRestarts = 2, "/srv/users", 3
	users.MinUptime, users.RestartDelay, users.ShutdownTimeout = 2*time.Second, 100*time.Millisecond, 5*time.Second
	users.Ports = []descriptor.Port{direct("port", descriptor.PortSpec{First: 8001, Last: 8002})}
	users.Starters[0].Env = []descriptor.Property{{Name: "DEBUG", Value: "false"}, {Name: "EMPTY"}, {Name: "LIMIT", Value: "1.50"}, {Name: "NODE_ENV", Value: "production"}}
	users.Health = &descriptor.HealthCheck{URL: "http://localhost:${PORT}/health", Timeout: 500 * time.Millisecond, Interval: 5 * time.Second, Retries: 3}
	orders := app("orders", "python", "-m", "uvicorn", "main:app")
	orders.Instances, orders.Restart = 3, descriptor.RestartNever
	orders.Ports = []descriptor.Port{direct("port", descriptor.PortSpec{First: 8010, Last: 8020, Auto: true})}
	many := app("many", "bash", "-e", "-u", "./many")
	many.Restart = descriptor.RestartAlways
	many.Ports = []descriptor.Port{{Name: "http", Count: 1}, direct("port", descriptor.PortSpec{First: 9000, Last: 9000}), direct("port2", descriptor.PortSpec{})}
	want := &descriptor.Distribution{Name: "shop", Version: "1.0", Processes: []descriptor.Process{gateway, users, orders, many}}

	for file, text := range appsIn {
		for _, name := range []string{"/folder/" + file, "shop"} { // told by its end, and by the text
			got, err := descriptor.ParseApps(name, []byte(text))
			if err != nil {
				t.Errorf("%s as %s: %v", file, name, err)
				continue
			}
			want.Warnings = nil
			if strings.HasSuffix(file, "yaml") {
				want.Warnings = []string{`app file: key "defaults" is not known and is ignored`}
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s as %s: got\n%+v\nwant\n%+v", file, name, got, want)
			}
		}
	}
}

func TestParseAppsWarns(t *testing.T) {
	d, err := descriptor.ParseApps("a.json", []byte(`{"name": "n", "version": "2", "apps": [{"name": "a", "script": "b", "max_memory_restart": "512M", "namespace": "api", "scirpt": "c", "colour": 1}]}`))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`app "a": key "colour" is not known and is ignored`,
		`app "a": "max_memory_restart" is ignored: Berth does not restart a process for its memory`,
		`app "a": key "scirpt" is not known and is ignored: did you mean "script"?`,
		`app "a": namespace "api" is ignored: put apps that belong together into one file`,
	}
	if d.Name != "n" || d.Version != "2" || !reflect.DeepEqual(d.Warnings, want) {
		t.Errorf("got %s %s\n%s\nwant\n%s", d.Name, d.Version, strings.Join(d.Warnings, "\n"), strings.Join(want, "\n"))
	}
}

// A file that is one app by itself is read like a list of it.
func TestParseLoneApp(t *testing.T) {
	lone, err := descriptor.ParseApps("file.json", []byte(`{"name": "web", "version": "2", "script": "node", "cwd": "x", "port": "3000", "colour": 1}`))
	if err != nil {
		t.Fatal(err)
	}
	listed, err := descriptor.ParseApps("file.json", []byte(`{"name": "web", "version": "2", "apps": [{"name": "web", "script": "node", "cwd": "x", "port": "3000", "colour": 1}]}`))
	if err != nil || !reflect.DeepEqual(lone, listed) {
		t.Errorf("%v\n%+v\n%+v", err, lone, listed)
	}
	if want := []string{`app "web": key "colour" is not known and is ignored`}; !reflect.DeepEqual(lone.Warnings, want) {
		t.Errorf("warnings %q", lone.Warnings)
	}
	_, err = descriptor.ParseApps("file.toml", []byte("script = 'node'"))
	if want := `app 1: "name" is missing or empty`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestParseAppsRefuses(t *testing.T) {
	app := func(more string) string { return `{"apps":[{"name":"a","script":"b"` + more + `}]}` }
	for _, tt := range []struct{ name, text, want string }{
		{"a.json", ``, `the file is empty`},
		{"a.json", `{"apps":[}`, `not JSON: line 1: invalid character '}' looking for beginning of value`},
		{"a.json", "{\n\"apps\":[1,]}", `not JSON: line 2: invalid character ']' looking for beginning of value`},
		{"a.json", `{"apps":[]} x`, `not JSON: there is more after the first value`},
		{"a.json", `[]`, `an app file is a table with a list "apps"`},
		{"a.json", `{}`, `app file: there are no apps: it begins with a list "apps" of tables with "name" and "script"`},
		{"a.json", `{"apps":[1]}`, `app 1: it is not a table with "name" and "script"`},
		{"a.json", `{"apps":[{}]}`, `app 1: "name" is missing or empty; app 1: "script" is missing or empty`},
		{"a.json", `{"apps":[{"name":"a b","script":"c"}]}`, `app "a b": the name has a character other than letters, digits, ".", "_" and "-"`},
		{"a.json", `{"apps":[{"name":"a","script":"c"},{"name":"a","script":"c"}]}`, `app "a": the name is taken by an earlier app`},
		{"my apps.json", app(``), `app file: name "my apps" has a character other than letters, digits, ".", "_" and "-": give it another by the key "name"`},
		{"a.json", app(`,"instances":0`), `app "a": "instances": "0" is not a whole number from 1 to 10000`},
		{"a.json", app(`,"instances":4,"port":"3000-3001"`), `app "a": port range 3000-3001 has only 2 ports but 4 instances are asked for`},
		{"a.json", app(`,"instances":2,"port":3000`), `app "a": port range 3000-3000 has only 1 port but 2 instances are asked for`},
		{"a.json", app(`,"port":"70000"`), `app "a": port "70000": 70000 is not a port from 1 to 65535`},
		{"a.json", app(`,"port":{"a":1}`), `app "a": "port" is none of a text, a number and a list of them`},
		{"a.json", app(`,"port":["http","http"]`), `app "a": "port": "http" stands twice`},
		{"a.json", app(`,"args":"a 'b c'"`), `app "a": "args" has quotes: write it as a list of texts`},
		{"a.json", app(`,"args":[[1]]`), `app "a": "args": not all of it are texts`},
		{"a.json", app(`,"env":["A=1"]`), `app "a": "env" is not a table of names and values`},
		{"a.json", app(`,"env":{"A=":"1"}`), `app "a": "env": "A=" is no name of a variable`},
		{"a.json", app(`,"autorestart":"perhaps"`), `app "a": "autorestart": "perhaps" is neither true nor false`},
		{"a.json", app(`,"restart":"often"`), `app "a": "restart": "often" is none of "never", "on-failure" and "always"`},
		{"a.json", app(`,"kill_timeout":-1`), `app "a": "kill_timeout": "-1" is no time from 0s to 24h: write a number of milliseconds, or a text such as "5s"`},
		{"a.json", app(`,"health_check_url":"http://x/","health_check_timeout":0`), `app "a": "health_check_timeout": "0" is no time from 1ms to 24h: write a number of seconds, or a text such as "5s"`},
		{"a.json", app(`,"health_check_url":"localhost/health"`), `app "a": "health_check_url": "localhost/health" is no address that begins with http:// or https://`},
		{"a.toml", "[[apps]]\nname = ", `not TOML: toml: line 2 (last key "apps.name"): unexpected EOF; expected value`},
		{"a.yaml", "apps: [", `not YAML: line 1: did not find expected node content`},
		{"a.yaml", "apps:\n- name: a\n  name: b\n  script: c", `not YAML: line 3: key "name" stands twice`},
		{"a.yaml", "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\napps: [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]", `not YAML: its aliases make it too large`},
	} {
		d, err := descriptor.ParseApps(tt.name, []byte(tt.text))
		if !errors.Is(err, descriptor.ErrInvalid) || err.Error() != tt.want || d != nil {
			t.Errorf("%s: got %+v\n%v\nwant\n%s", tt.text, d, err, tt.want)
		}
	}
}

func FuzzParseApps(f *testing.F) {
	for name, text := range appsIn {
		f.Add(filepath.Ext(name), []byte(text))
		f.Add("", []byte(text))
	}
	f.Add(".yaml", []byte("a: &a [*a]\n<<: *a"))
	f.Add(".toml", []byte("apps = [{name='a', script='b', env={A=2024-01-01}}]"))
	if text, err := os.ReadFile("testdata/ecosystem.json"); err == nil {
		f.Add(".json", text)
	}
	f.Fuzz(func(t *testing.T, ending string, text []byte) {
		d, err := descriptor.ParseApps("a"+ending, text)
		if err != nil {
			if d != nil || !errors.Is(err, descriptor.ErrInvalid) {
				t.Errorf("got %v and %T", d, err)
			}
			checkLine(t, err)
			return
		}
		checkDistribution(t, d)
	})
}
