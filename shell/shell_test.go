package shell_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth/api"
	"berth/shell"
)

// Commands ask the daemon for what was typed, and print what it answered.
func TestCommands(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	properties := write("ranges.properties", "http=8080,8085\nadmin=9000\n")
	bad := write("bad.properties", "http=8080,x\n")
	empty := write("empty.properties", "# nothing\n")
	zip := write("demo.zip", "zip")
	write("more.zip", "zip")

	tests := []struct {
		name  string
		args  []string
		asked []string
		out   string
		err   string
		code  int
	}{
		// Ranges.
		{"port add", []string{"port", "add", "-n", "http", "-min", "8080", "-max", "8085"},
			[]string{`POST /v1/ranges {"ranges":[{"name":"http","min":8080,"max":8085,"protocol":"tcp"}]}`}, "added http [8080 - 8085] tcp\n", "", 0},
		{"port add of UDP", []string{"port", "add", "--name=dns", "--min=53", "--max=53", "-proto", "UDP", "-f"},
			[]string{`POST /v1/ranges {"ranges":[{"name":"dns","min":53,"max":53,"protocol":"udp"}]}`}, "added dns [53 - 53] udp\n", "", 0},
		{"port add of a file", []string{"port", "add", "-p", properties, "-clear", "-f"},
			[]string{`POST /v1/ranges {"ranges":[{"name":"http","min":8080,"max":8085,"protocol":"tcp"},{"name":"admin","min":9000,"max":9000,"protocol":"tcp"}],"clear":true,"force":true}`},
			"added http [8080 - 8085] tcp\nadded admin [9000 - 9000] tcp\n", "", 0},
		{"port add of a bad file", []string{"port", "add", "-p", bad}, nil, "", "line 1", 1},
		{"port add of an empty file", []string{"port", "add", "-p", empty}, nil, "", "there is no range in it", 1},
		{"port add of no file", []string{"port", "add", "-p", dir + "/none"}, nil, "", "no such file", 1},
		{"port add of two kinds", []string{"port", "add", "-p", properties, "-n", "x"}, nil, "", "option -p names a file", 2},
		{"port add without a name", []string{"port", "add", "-min", "1", "-max", "2"}, nil, "", "option -n is missing", 2},
		{"port add without a min", []string{"port", "add", "-n", "x", "-max", "2"}, nil, "", "option -min is missing", 2},
		{"undeploy without a version", []string{"undeploy", "-d", "demo"}, nil, "", "option -v is missing", 2},
		{"port add without a max", []string{"port", "add", "-n", "x", "-min", "2"}, nil, "", "option -max is missing", 2},
		{"port add upside down", []string{"port", "add", "-n", "x", "-min", "5", "-max", "3"}, nil, "", "option -max: 3 is below -min 5", 2},
		{"port add of port 0", []string{"port", "add", "-n", "x", "-min", "0", "-max", "3"}, nil, "", "option -min: `0` is not between 1 and 65535", 2},
		{"port add of a port too high", []string{"port", "add", "-n", "x", "-min", "1", "-max", "65536"}, nil, "", "option -max: `65536` is not between", 2},
		{"port add of a huge port", []string{"port", "add", "-n", "x", "-min", "99999999999999999999", "-max", "1"}, nil, "", "option -min: `99999999999999999999` is not between", 2},
		{"port add of a word", []string{"port", "add", "-n", "x", "-min", "http", "-max", "1"}, nil, "", "option -min: `http` is not a whole number", 2},
		{"port add of a fraction", []string{"port", "add", "-n", "x", "-min", "1.5", "-max", "1"}, nil, "", "option -min: `1.5` is not a whole number", 2},
		{"port add of another protocol", []string{"port", "add", "-n", "x", "-min", "1", "-max", "1", "-proto", "sctp"}, nil, "", "option -proto: `sctp` is not tcp or udp", 2},
		{"port update", []string{"port", "update", "-n", "http", "-max", "8090"},
			[]string{`PATCH /v1/ranges/http {"max":8090}`}, "updated http [8080 - 8090] tcp, before [8080 - 8085]\n", "", 0},
		{"port update by force", []string{"port", "update", "-n", "http", "-min", "8080", "-max", "8082", "-f"},
			[]string{`PATCH /v1/ranges/http {"min":8080,"max":8082,"force":true}`},
			"updated http [8080 - 8082] tcp, before [8080 - 8085]\nstill leased outside of it: 8080 httpServer 1 (demo 1.0) (pid 4711)\nstill leased outside of it: 8081 httpServer 2 (demo 1.0) (pid 4712) stolen\n", "", 0},
		{"port add with all", []string{"port", "add", "-n", "web", "-min", "9000", "-max", "9099", "-policy", "NEXT", "-static", "10"},
			[]string{`POST /v1/ranges {"ranges":[{"name":"web","min":9000,"max":9099,"protocol":"tcp","policy":"next","static":10}]}`}, "added web [9000 - 9099] tcp, 10 static, policy next\n", "", 0},
		{"port add of an ephemeral range", []string{"port", "add", "-n", "any", "-ephemeral", "-proto", "udp"},
			[]string{`POST /v1/ranges {"ranges":[{"name":"any","min":0,"max":0,"protocol":"udp","ephemeral":true}]}`}, "added any ephemeral udp\n", "", 0},
		{"port add of an ephemeral range with ports", []string{"port", "add", "-n", "any", "-ephemeral", "-max", "9"}, nil, "", "option -ephemeral has the system choose", 2},
		{"port add of a file with a policy", []string{"port", "add", "-p", properties, "-policy", "next"}, nil, "", "it goes without -policy, -static and -ephemeral", 2},
		{"port add of an unknown policy", []string{"port", "add", "-n", "x", "-min", "1", "-max", "1", "-policy", "best"}, nil, "", "option -policy: `best` is not lowest, next or random", 2},
		{"port add of static ports below none", []string{"port", "add", "-n", "x", "-min", "1", "-max", "1", "-static", "-1"}, nil, "", "option -static: `-1` is not between 0 and 65535", 2},
		{"port update of other things", []string{"port", "update", "-n", "http", "-policy", "random", "-static", "0"},
			[]string{`PATCH /v1/ranges/http {"policy":"random","static":0}`}, "http [8080 - 8085] tcp is as it was\n", "", 0},
		{"port update of nothing", []string{"port", "update", "-n", "http"}, nil, "", "options -min and -max are missing", 2},
		{"port update of no range", []string{"port", "update", "-min", "1"}, nil, "", "option -n is missing", 2},
		{"port update upside down", []string{"port", "update", "-n", "http", "-min", "5", "-max", "3"}, nil, "", "option -max: 3 is below -min 5", 2},
		{"port del", []string{"port", "del", "-n", "http"}, []string{"DELETE /v1/ranges?name=http"}, "deleted http [8080 - 8085] tcp\n", "", 0},
		{"port del by force", []string{"port", "del", "-n", "http", "-f"}, []string{"DELETE /v1/ranges?force=true&name=http"}, "deleted http [8080 - 8085] tcp\n", "", 0},
		{"port del of nothing", []string{"port", "del", "-n", "x*"}, []string{"DELETE /v1/ranges?name=x%2A"}, "", "no range matches x*\n", 0},
		{"port del of an empty name", []string{"port", "del", "-n", ""}, nil, "", "option -n is empty", 2},
		{"port ls", []string{"port", "ls"}, []string{"GET /v1/ranges"}, strings.Join([]string{
			"NAME    RANGE          PROTOCOL  AVAILABLE  ACTIVE                                          SET ASIDE",
			"http    [8080 - 8085]  tcp       8083-8085  8080 httpServer 1 (demo 1.0) (pid 4711)         8082 in use by another process (pid 99, nc)",
			"                                            8081 httpServer 2 (demo 1.0) (pid 4712) stolen",
			"syslog  [514 - 514]    udp       514        -                                               -",
			"",
		}, "\n"), "", 0},
		{"port archive", []string{"port", "archive", "-rev", "r-1"}, []string{"PUT /v1/ranges/archives/r-1"},
			"archived http [8080 - 8085] tcp\narchived syslog [514 - 514] udp\n", "", 0},
		{"port unarchive", []string{"port", "unarchive", "-rev", "r-1"}, []string{"POST /v1/ranges/archives/r-1/restore"},
			"restored http [8080 - 8085] tcp\nrestored syslog [514 - 514] udp\n", "", 0},
		{"port archive of a bad revision", []string{"port", "archive", "-rev", "a/b"}, nil, "", "option -rev: `a/b` has '/'", 2},

		// Distributions.
		{"deploy", []string{"deploy", zip}, []string{"POST /v1/distributions?filename=demo.zip zip"}, "deployed demo 1.0: httpServer\n", "", 0},
		{"deploy of a pattern", []string{"deploy", dir + "/*.zip"},
			[]string{"POST /v1/distributions?filename=demo.zip zip", "POST /v1/distributions?filename=more.zip zip"},
			"deployed demo 1.0: httpServer\ndeployed more 1.0: httpServer\n", "", 0},
		{"deploy of no file", []string{"deploy", dir + "/none.zip"}, nil, "", "there is no file", 1},
		{"deploy of a pattern without files", []string{"deploy", dir + "/*.jar"}, nil, "", "no file matches", 1},
		{"deploy of nothing", []string{"deploy"}, nil, "", "FILE is missing", 2},
		{"deploy of an empty folder", []string{"deploy", dir}, []string{"POST"}, "", "META-INF/corus.xml", 1},
		{"undeploy", []string{"undeploy", "-d", "demo", "-v", "1.0"}, []string{"DELETE /v1/distributions?name=demo&version=1.0"}, "undeployed demo 1.0\n", "", 0},
		{"ls", []string{"ls", "-d", "de*"}, []string{"GET /v1/distributions?name=de%2A"},
			"NAME  VERSION  PROCESSES           PROFILES  RUNNING\ndemo  1.0      httpServer, worker  test      2\n", "", 0},

		// Processes.
		{"exec", []string{"exec", "-d", "demo", "-v", "1.0", "-p", "test", "-n", "http*", "-i", "2", "-w"},
			[]string{`POST /v1/processes {"distribution":"demo","version":"1.0","profile":"test","name":"http*","instances":2,"waitSeconds":120}`},
			"started httpServer 1 (pid 4711) on http:8080\nstarted worker 2 (pid 0)\n", "", 0},
		{"exec of no instance", []string{"exec", "-d", "d", "-v", "1", "-p", "p", "-i", "0"}, nil, "", "option -i: `0` is not between 1", 2},
		{"exec with a bad wait", []string{"exec", "-d", "d", "-v", "1", "-p", "p", "-w", "3x"}, nil, "", "option -w: `3x` is not a number of seconds", 2},
		{"exec with a wait of nothing", []string{"exec", "-d", "d", "-v", "1", "-p", "p", "-w=0"}, nil, "", "option -w: `0` is not above 0", 2},
		{"exec with a wait of NaN", []string{"exec", "-d", "d", "-v", "1", "-p", "p", "-w=NaN"}, nil, "", "option -w: `NaN` is not above 0", 2},
		{"ps", []string{"ps"}, []string{"GET /v1/processes"},
			"DISTRIBUTION  VERSION  PROFILE  NAME        ID  PID   STATUS\n" +
				"demo          1.0      test     httpServer  1   4711  running\n" +
				"demo          1.0      test     worker      2   -     ended (retry 2)\n", "", 0},
		{"ps with all", []string{"ps", "-a", "-ports", "-i", "1", "2", "-pr", "http:*"}, []string{"GET /v1/processes?ended=true&id=1&id=2&port=http%3A%2A"},
			"DISTRIBUTION  VERSION  PROFILE  NAME        ID  PID   STATUS           PORTS                EXIT    REASON\n" +
				"demo          1.0      test     httpServer  1   4711  running          http:8080 listening  -\n" +
				"demo          1.0      test     worker      2   -     ended (retry 2)  -                    code 3  ended by itself\n", "", 0},
		{"ps long", []string{"ps", "-l", "-n", "*"}, []string{"GET /v1/processes?name=%2A&usage=true"},
			"DISTRIBUTION  VERSION  PROFILE  NAME        ID  PID   STATUS           CPU  MEMORY  UPTIME  RESTARTS  PORTS\n" +
				"demo          1.0      test     httpServer  1   4711  running          -    -       -       0         http:8080 listening\n" +
				"demo          1.0      test     worker      2   -     ended (retry 2)  -    -       -       0         -\n", "", 0},
		{"info", []string{"info", "httpServer"}, []string{"GET /v1/processes?ended=true&name=httpServer", "GET /v1/processes/1/info"},
			"process         httpServer #1, instance 0\n" +
				"distribution    demo 1.0, profile test\n" +
				"status          running\n" +
				"pid             4711, and 4712 that come from it\n" +
				"ports           http:8080 listening\n" +
				"started         " + sampleTime.Local().Format(time.DateTime) + ", up 1h 1m\n" +
				"processor       12.5%\n" +
				"memory          3.0 MiB\n" +
				"restarts        4\n" +
				"last exit       code 7, ended by itself\n" +
				"command         server -x 'two words'\n" +
				"working folder  /d\n" +
				"folder          /p/1\n" +
				"log files       /p/1/process.out\n" +
				"depends on      db (store 2.0)\n" +
				"restarted       on-failure, at most 10 times in a row\n" +
				"stopped         forced after 30s, 3 times more\n" +
				"environment     HOME PATH\n", "", 0},
		{"ps of a bad port", []string{"ps", "-pr", "8080"}, nil, "", "option -pr: `8080` is not RANGE:PORT", 2},
		{"ps of a bad port number", []string{"ps", "-pr", "http:x"}, nil, "", "option -pr: `http:x`: behind the colon", 2},
		{"ps of a bad id", []string{"ps", "-i", "1", "-2"}, nil, "", "unknown option -2", 2},
		{"ps in a bad format", []string{"ps", "-o", "xml"}, nil, "", "option -o: `xml` is not table, json or yaml", 2},
		{"kill", []string{"kill", "-i", "1", "2", "-hard", "-w", "1.5"}, []string{`POST /v1/processes/kill {"ids":[1,2],"hard":true,"waitSeconds":1.5}`},
			"running httpServer 1 (pid 4711) on http:8080\nended worker 2\n", "", 0},
		{"kill of all", []string{"kill", "all"}, []string{`POST /v1/processes/kill {"all":true}`},
			"running httpServer 1 (pid 4711) on http:8080\nended worker 2\n", "", 0},
		{"kill by names", []string{"kill", "-d", "demo", "-v", "*", "-n", "x", "-p", "y", "-op", "7"},
			[]string{`POST /v1/processes/kill {"pids":[7],"distribution":"demo","version":"*","name":"x","profile":"y"}`},
			"running httpServer 1 (pid 4711) on http:8080\nended worker 2\n", "", 0},
		{"kill of nothing named", []string{"kill"}, nil, "", "say what to stop: its NAME, all, -i ID…, -op PID…, -pr RANGE:PORT, or -d NAME -v VERSION", 2},
		{"kill of nothing named but how", []string{"kill", "-hard", "-w"}, nil, "", "say what to stop", 2},
		{"kill of all and one", []string{"kill", "all", "-i", "1"}, nil, "", "`all` goes without -i 1", 2},
		{"kill by name", []string{"kill", "httpServer"}, []string{`POST /v1/processes/kill {"name":"httpServer"}`},
			"running httpServer 1 (pid 4711) on http:8080\nended worker 2\n", "", 0},
		{"kill by name and option", []string{"kill", "web", "-i", "1"}, nil, "", "unexpected word `web`", 2},
		{"kill of a word", []string{"kill", "3"}, nil, "", "unexpected word `3`: an id stands behind -i", 2},
		{"kill of what a shell expanded", []string{"kill", "-n", "a", "b"}, nil, "", "did your shell expand `*`? quote it", 2},
		{"restart", []string{"restart", "-pr", "*:8080", "-w"}, []string{`POST /v1/processes/restart {"port":"*:8080","waitSeconds":60}`},
			"running httpServer 1 (pid 4711) on http:8080\nended worker 2\n", "", 0},
		{"restart of nothing named", []string{"restart"}, nil, "", "say what to restart", 2},
		{"logs", []string{"logs", "1"}, []string{"GET /v1/processes/1/output"}, "first\nsecond\n", "", 0},
		{"logs followed", []string{"logs", "-f", "-n", "0", "1"}, []string{"GET /v1/processes/1/output?follow=true&tail=0"}, "first\nsecond\n", "", 0},
		{"logs of a name", []string{"logs", "x", "-n", "3"}, []string{"GET /v1/processes?ended=true&name=x", "GET /v1/processes/1/output?tail=3"}, "first\nsecond\n", "", 0},
		{"logs of a bad count", []string{"logs", "-n", "-3", "1"}, nil, "", "option -n: `-3` is not between 0", 2},

		// The rest.
		{"echo", []string{"echo", "a", "-n", "b"}, nil, "a -n b\n", "", 0},
		{"echo of nothing", []string{"echo"}, nil, "\n", "", 0},
		{"ver", []string{"ver"}, []string{"GET /v1/daemon"}, fmt.Sprintf("berth 1.0\ndaemon 2.0, pid %d, state in /var/lib/berth\n", os.Getpid()), "", 0},
		{"--version", []string{"--version"}, []string{"GET /v1/daemon"}, fmt.Sprintf("berth 1.0\ndaemon 2.0, pid %d, state in /var/lib/berth\n", os.Getpid()), "", 0},
		{"pause", []string{"pause", "-t", "0.01"}, nil, "", "", 0},
		{"pause for Enter", []string{"pause"}, nil, "", "", 0},
		{"stop with an argument", []string{"stop", "3"}, nil, "", "to stop processes: berth kill", 2},
		{"stop with an option", []string{"stop", "-i", "3"}, nil, "", "to stop processes: berth kill", 2},
		{"serve without a daemon", []string{"serve"}, nil, "", "no daemon in it", 1},
		{"man of an unknown command", []string{"man", "port", "ad"}, nil, "", "unknown command `ad`, did you mean add?", 2},
		{"an unknown command", []string{"frob"}, nil, "", "berth: unknown command `frob`; try berth --help", 2},

		// -cluster.
		{"cluster", []string{"ps", "-cluster"}, []string{"GET /v1/processes"},
			"DISTRIBUTION  VERSION  PROFILE  NAME        ID  PID   STATUS\ndemo          1.0      test     httpServer  1   4711  running\ndemo          1.0      test     worker      2   -     ended (retry 2)\n", "", 0},
		{"cluster of this host", []string{"echo", "-cluster=localhost,127.0.0.1,localhost:33000", "x"}, nil, "x\n", "", 0},
		{"cluster of another host", []string{"ps", "-cluster", "other.example"}, nil, "", "is alone: there is no host `other.example`", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := sample(newDaemon(t))
			got := d.run(t, "", tt.args...)
			if got.code != tt.code || got.out != tt.out || !strings.Contains(got.err, tt.err) || (tt.err == "") != (got.err == "") {
				t.Errorf("code %d, want %d\nout:\n%s\nwant:\n%s\nerr: %swant: %s", got.code, tt.code, got.out, tt.out, got.err, tt.err)
			}
			if strings.Count(got.err, "\n") > 1 {
				t.Errorf("the error has more than a line: %q", got.err)
			}
			asked := d.requests()
			if tt.name == "deploy of an empty folder" {
				return // whether the request came is up to when packing found it
			}
			if !slices.Equal(asked, tt.asked) {
				t.Errorf("asked\n%q, want\n%q", asked, tt.asked)
			}
		})
	}
}

// What the daemon refuses has the exit code that it means.
func TestExitCodes(t *testing.T) {
	tests := []struct {
		name string
		args []string
		at   string
		code api.Code
		want int
		says string
	}{
		{"refused", []string{"port", "add", "-n", "a", "-min", "1", "-max", "1"}, "POST /v1/ranges", api.CodeRangeOverlaps, 1, "berth: port add: no way\n"},
		{"leased without force", []string{"port", "del", "-n", "a"}, "DELETE /v1/ranges", api.CodeRangeLeased, 1, "berth: port del: no way (-f forces it)\n"},
		{"leased with clear", []string{"port", "add", "-n", "a", "-min", "1", "-max", "1", "-clear"}, "POST /v1/ranges", api.CodeRangeLeased, 1, "berth: port add: no way (-f forces it)\n"},
		{"not well formed", []string{"ps"}, "GET /v1/processes", api.CodeInvalid, 2, "berth: ps: no way\n"},
		{"no such process in ps", []string{"ps", "-i", "9"}, "GET /v1/processes", api.CodeProcessNotFound, 4, "berth: ps: no way\n"},
		{"no such process in kill", []string{"kill", "-i", "9"}, "POST /v1/processes/kill", api.CodeProcessNotFound, 4, "berth: kill: no way\n"},
		{"no such process in restart", []string{"restart", "-op", "9"}, "POST /v1/processes/restart", api.CodeProcessNotFound, 4, "berth: restart: no way\n"},
		{"no such process in logs", []string{"logs", "9"}, "GET /v1/processes/9/output", api.CodeProcessNotFound, 4, "berth: logs: no way\n"},
		{"no such archive", []string{"port", "unarchive", "-rev", "r"}, "POST /v1/ranges/archives/r/restore", api.CodeArchiveNotFound, 4, "berth: port unarchive: no way\n"},
		{"no such process name in exec", []string{"exec", "-d", "d", "-v", "v", "-p", "p", "-n", "n"}, "POST /v1/processes", api.CodeProcessNotFound, 1, "berth: exec: no way\n"},
		{"timed out", []string{"exec", "-d", "d", "-v", "v", "-p", "p", "-w"}, "POST /v1/processes", api.CodeTimeout, 1, "berth: exec: no way\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := sample(newDaemon(t))
			d.problems[tt.at] = api.Error{Detail: "no way", Code: tt.code}
			got := d.run(t, "", tt.args...)
			if got.code != tt.want || got.err != tt.says || got.out != "" {
				t.Errorf("code %d, want %d; out %q, err %q, want %q", got.code, tt.want, got.out, got.err, tt.says)
			}
		})
	}
	t.Run("no daemon", func(t *testing.T) {
		d := &daemon{socket: filepath.Join(t.TempDir(), "s")}
		for _, args := range [][]string{{"ps"}, {"stop"}, {"logs", "1"}, {"deploy", "shell_test.go"}} {
			if got := d.run(t, "", args...); got.code != 3 || !strings.Contains(got.err, "no daemon answers") {
				t.Errorf("%v: code %d, err %q", args, got.code, got.err)
			}
		}
		if got := d.run(t, "", "ver"); got.code != 0 || !strings.Contains(got.out, "none answers") {
			t.Errorf("ver: code %d, out %q", got.code, got.out)
		}
	})
}

// Several files stop at the first that fails, and what was done is told.
func TestDeployStops(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.zip", "b.zip", "c.zip"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d := sample(newDaemon(t))
	d.warnings = []string{"an odd thing"}
	got := d.run(t, "", "deploy", dir+"/a.zip", dir+"/b.zip")
	if got.code != 0 || got.err != "warning: an odd thing\nwarning: an odd thing\n" {
		t.Errorf("code %d, err %q", got.code, got.err)
	}

	var out bytes.Buffer
	failing := d
	failing.warnings = nil
	n := 0
	o := shell.Options{Out: writerFunc(func(p []byte) (int, error) {
		n++
		failing.problems["POST /v1/distributions"] = api.Error{Detail: "it is deployed already", Code: api.CodeDistributionExists}
		return out.Write(p)
	})}
	got = d.runWith(t, context.Background(), o, "deploy", dir+"/*.zip")
	if got.code != 1 || out.String() != "deployed a 1.0: httpServer\n" ||
		!strings.Contains(got.err, "b.zip: it is deployed already (deployed before it: a 1.0)") {
		t.Errorf("code %d, out %q, err %q", got.code, out.String(), got.err)
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// Nobody who reads any more is not an error to tell of.
func TestBrokenPipe(t *testing.T) {
	d := sample(newDaemon(t))
	o := shell.Options{Out: writerFunc(func([]byte) (int, error) { return 0, fmt.Errorf("write: %w", syscall.EPIPE) })}
	for _, args := range [][]string{{"ps"}, {"logs", "1"}, {"ps", "-o", "yaml"}, {"--help"}} {
		if got := d.runWith(t, context.Background(), o, args...); got.code != shell.ExitPipe || got.err != "" {
			t.Errorf("%v: code %d, err %q", args, got.code, got.err)
		}
	}
	o.Out = writerFunc(func([]byte) (int, error) { return 0, syscall.ENOSPC })
	if got := d.runWith(t, context.Background(), o, "ps"); got.code != 1 || !strings.Contains(got.err, "no space left") {
		t.Errorf("a full disk: code %d, err %q", got.code, got.err)
	}
}

// Ctrl-C ends a wait quietly, with the code that shells give it.
func TestInterrupt(t *testing.T) {
	t.Run("kill", func(t *testing.T) {
		d := sample(newDaemon(t))
		d.hold = make(chan struct{})
		go func() { <-d.entered; _ = syscall.Kill(os.Getpid(), syscall.SIGINT) }()
		got := d.run(t, "", "kill", "all", "-w")
		if got.code != shell.ExitSignal || got.err != "interrupted: the daemon goes on with what it was asked for\n" || got.out != "" {
			t.Errorf("code %d, out %q, err %q", got.code, got.out, got.err)
		}
	})
	t.Run("logs", func(t *testing.T) {
		d := sample(newDaemon(t))
		d.output = func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "a line\n")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}
		var out bytes.Buffer
		o := shell.Options{Out: writerFunc(func(p []byte) (int, error) {
			_ = syscall.Kill(os.Getpid(), syscall.SIGINT)
			return out.Write(p)
		})}
		got := d.runWith(t, context.Background(), o, "logs", "-f", "1")
		if got.code != shell.ExitSignal || got.err != "" || out.String() != "a line\n" {
			t.Errorf("code %d, out %q, err %q", got.code, out.String(), got.err)
		}
	})
	t.Run("pause", func(t *testing.T) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		defer w.Close()
		o := shell.Options{In: r, IsTerminal: func(stream any) bool { return stream == r }, Err: writerFunc(func(p []byte) (int, error) {
			_ = syscall.Kill(os.Getpid(), syscall.SIGINT) // once it has said that it waits
			return len(p), nil
		})}
		if got := sample(newDaemon(t)).runWith(t, context.Background(), o, "pause"); got.code != shell.ExitSignal {
			t.Errorf("code %d", got.code)
		}
	})
}

// The daemon is run by what was injected, and gets its context.
func TestServe(t *testing.T) {
	d := newDaemon(t)
	boom := errors.New("the store is gone")
	ran := false
	o := shell.Options{Serve: func(context.Context, shell.ServeOptions) error { ran = true; return boom }}
	if got := d.runWith(t, context.Background(), o, "serve"); !ran || got.code != 1 || got.err != "berth: serve: the store is gone\n" {
		t.Errorf("ran %v, code %d, err %q", ran, got.code, got.err)
	}
	var adopt bool
	o = shell.Options{Serve: func(_ context.Context, o shell.ServeOptions) error { adopt = o.AdoptCopy; return nil }}
	if got := d.runWith(t, context.Background(), o, "serve", "-adopt-copy"); !adopt || got.code != 0 {
		t.Errorf("with -adopt-copy: %v, code %d, err %q", adopt, got.code, got.err)
	}
	cgroups := false
	o = shell.Options{Serve: func(_ context.Context, o shell.ServeOptions) error { cgroups = o.Cgroups; return nil }}
	if got := d.runWith(t, context.Background(), o, "serve", "-cgroups"); !cgroups || got.code != 0 {
		t.Errorf("with -cgroups: %v, code %d, err %q", cgroups, got.code, got.err)
	}
	if got := d.runWith(t, context.Background(), o, "serve"); cgroups || got.code != 0 {
		t.Errorf("without -cgroups: %v, code %d, err %q", cgroups, got.code, got.err)
	}
	o = shell.Options{In: strings.NewReader("serve\n"), Serve: func(context.Context, shell.ServeOptions) error { t.Error("a script ran the daemon"); return nil }}
	if got := d.runWith(t, context.Background(), o); got.code != 2 {
		t.Errorf("serve in a script: code %d, err %q", got.code, got.err)
	}
}
