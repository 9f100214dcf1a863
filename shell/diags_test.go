package shell_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"berth/api"
)

// diagnosis is that of process 1 or 2 of the sample.
func diagnosis(id int, result, reason string) api.Diagnosis {
	d := api.Diagnosis{
		Process: id, Distribution: "demo", Version: "1.0", Profile: "test", Name: "httpServer", PID: 4710 + id,
		Range: "http", Port: 8079 + id, URL: "http://localhost:" + strconv.Itoa(8079+id) + "/", Result: result, Reason: reason,
	}
	switch result {
	case api.DiagnosisWell:
		d.Code, d.Milliseconds = 200, 1.25
	case api.DiagnosisUnchecked:
		d.Range, d.Port, d.URL = "", 0, ""
	}
	return d
}

func TestDiags(t *testing.T) {
	well, starting := diagnosis(1, api.DiagnosisWell, ""), diagnosis(1, api.DiagnosisStarting, "answers 503")
	failed, unchecked := diagnosis(2, api.DiagnosisFailed, "answers 500"), diagnosis(2, api.DiagnosisUnchecked, "its descriptor has no diagnostic")
	soon := starting
	soon.GraceEnds = time.Now().Add(time.Millisecond)
	for _, tt := range []struct {
		name  string
		found [][]api.Diagnosis
		line  string
		asks  int
		out   []string // lines, blanks squeezed
		err   string
		code  int
	}{
		{"nothing", nil, "diags", 1, nil, "there is no process\n", 0},
		{"no match", nil, "diags -n x*", 1, nil, "no process matches -n x*\n", 0},
		{"well", [][]api.Diagnosis{{well, unchecked}}, "diags", 1, []string{
			"DISTRIBUTION VERSION NAME ID PORT RESULT URL ANSWER",
			"demo 1.0 httpServer 1 http:8080 well http://localhost:8080/ 200 in 1.25 ms",
			"demo 1.0 httpServer 2 - unchecked - its descriptor has no diagnostic",
		}, "", 0},
		{"silent", [][]api.Diagnosis{{well}}, "diags -s", 1, nil, "", 0},
		{"failed", [][]api.Diagnosis{{well, failed}}, "diags -s", 1, nil, "berth: diags: not well: httpServer 2 (http:8081): answers 500\n", 1},
		{"starting is no failure", [][]api.Diagnosis{{starting}}, "diags -s", 1, nil, "", 0},
		{"waits", [][]api.Diagnosis{{starting}, {starting}, {well}}, "diags -s -w -t 0.001", 3, nil, "", 0},
		{"waits no longer than the grace period", [][]api.Diagnosis{{soon}, {well}}, "diags -s -w -t 3600", 2, nil, "", 0},
		{"waits until one failed", [][]api.Diagnosis{{starting, starting}, {starting, failed}}, "diags -s -w -t 0.001", 2, nil,
			"berth: diags: not well: httpServer 2 (http:8081): answers 500\n", 1},
		{"waits too long", [][]api.Diagnosis{{starting}}, "diags -s -w 0.01 -t 60", 1, nil,
			"berth: diags: not well after 0.01s: httpServer 1 (http:8080): answers 503\n", 1},
		{"one that ended", [][]api.Diagnosis{{diagnosis(2, api.DiagnosisStarting, "")}, {well}}, "diags -s -w -t 0.001", 2, nil,
			"berth: diags: httpServer 2 (http:8081) ended while it was waited for: ended by itself\n", 1},
		{"abort", [][]api.Diagnosis{{well}}, "diags -a -s -d * -v *", 1, nil, "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := sample(newDaemon(t))
			d.diagnoses = tt.found
			got := d.run(t, "", strings.Fields(tt.line)...)
			var out []string
			for line := range strings.Lines(got.out) {
				out = append(out, strings.Join(strings.Fields(line), " "))
			}
			if got.code != tt.code || got.err != tt.err || !slices.Equal(out, tt.out) {
				t.Errorf("code %d, err %q, out\n%s", got.code, got.err, got.out)
			}
			asks := 0
			for _, line := range d.requests() {
				if strings.HasPrefix(line, "GET /v1/diagnoses") {
					asks++
				}
			}
			if asks != tt.asks {
				t.Errorf("asked %d times: %q", asks, d.requests())
			}
		})
	}
	t.Run("json", func(t *testing.T) {
		d := sample(newDaemon(t))
		d.diagnoses = [][]api.Diagnosis{{well, failed}}
		got := d.run(t, "", "diags", "-o", "json")
		var found []api.Diagnosis
		if err := json.Unmarshal([]byte(got.out), &found); err != nil || !slices.Equal(found, d.diagnoses[0]) || got.code != 1 {
			t.Errorf("code %d, %v: %s", got.code, err, got.out)
		}
	})
}

func TestHTTP(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/third":
			if asked++; asked < 3 {
				w.WriteHeader(503)
			}
		case r.URL.Path == "/made" && r.Method == "POST":
			w.WriteHeader(201)
		case r.URL.Path != "/demo/page":
			w.WriteHeader(404)
		}
	}))
	t.Cleanup(server.Close)
	place, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, _ := strconv.Atoi(place.Port())
	local := "http://localhost:" + place.Port()
	for _, tt := range []struct {
		line, out, err string
		code           int
	}{
		{"http check -p http -c demo/page", "well " + local + "/demo/page: 200 (httpServer 1)\n", "", 0},
		{"http check -p -c /demo/page -cluster", "well " + local + "/demo/page: 200 (httpServer 1)\n", "", 0},
		{"http check -p http,sys* -c /demo/page -i 1 -m 1", "well " + local + "/demo/page: 200 (httpServer 1)\n",
			"berth: http check: not well after asking 1 time: 0 of 1 processes have a port of range sys*\n", 1},
		{"http check -p none.*", "", "nothing to ask: no range matches none.*\n", 0},
		{"http check -p none", "", "berth: http check: there is no range `none`\n", 1},
		{"http check -p http -m 2 -t 0.001", "", "berth: http check: not well after asking 2 times: " + local + "/ (httpServer 1): answers 404 Not Found, not 200\n", 1},
		{"http check -p http -s 404 -m 1", "well " + local + "/: 404 (httpServer 1)\n", "", 0},
		{"http check -p http -x 6553", "", "berth: http check: option -x: 6553 before port " + place.Port() + " makes 6553" + place.Port() + ", which is no port; try berth http check --help\n", 2},
		{"http check -u " + server.URL + "/third -t 0.001", "well " + server.URL + "/third: 200\n", "", 0},
		{"http check -u " + server.URL + " -p", "", "berth: http check: option -u goes without -p; try berth http check --help\n", 2},
		{"http check -u localhost:80", "", "berth: http check: option -u: \"localhost:80\" does not begin with http:// or https://; try berth http check --help\n", 2},
		{"http check -u http://localhost -c x", "", "berth: http check: options -c and -x go with -p: write path and port into the URL; try berth http check --help\n", 2},
		{"http check", "", "berth: http check: say what to ask: -p RANGE, or -u URL; try berth http check --help\n", 2},
		{"http post -u " + server.URL + "/made", server.URL + "/made: 201\n", "", 0},
		{"http post -u " + server.URL + "/made -s 200", "", "berth: http post: " + server.URL + "/made: answers 201 Created, not 200\n", 1},
	} {
		t.Run(tt.line, func(t *testing.T) {
			d := sample(newDaemon(t))
			d.processes = d.processes[:1]
			d.processes[0].Ports[0].Port = port
			if got := d.run(t, "", strings.Fields(tt.line)...); got.code != tt.code || got.out != tt.out || got.err != tt.err {
				t.Errorf("code %d, out %q, err %q", got.code, got.out, got.err)
			}
		})
	}
	if asked != 3 {
		t.Errorf("/third was asked for %d times", asked)
	}
}
