package descriptor_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"berth/descriptor"
)

func parseFile(t *testing.T, name string) *descriptor.Distribution {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d, err := descriptor.Parse(f)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return d
}

func parse(t *testing.T, text string) *descriptor.Distribution {
	t.Helper()
	d, err := descriptor.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestParseReadsTheManualsExample reads the example of Corus' manual on ports.
func TestParseReadsTheManualsExample(t *testing.T) {
	d := parse(t, `<distribution xmlns="http://www.sapia-oss.org/xsd/corus/distribution-5.0.xsd" name="demo" version="1.0">
  <process name="httpServer" maxKillRetry="3" shutdownTimeout="30000" invoke="true">
    <port name="http" />
    <magnet magnetFile="httpServer.magnet.xml" profile="test" vmType="server">
      <property name="http.port" value="${corus.server.port.http}" />
      <xoption name="ms" value="16M" />
    </magnet>
  </process>
</distribution>`)
	want := descriptor.Process{
		Name:  "httpServer",
		Ports: []descriptor.Port{{Name: "http", Count: 1}},
		Starters: []descriptor.Starter{{
			Kind: descriptor.Magnet, Profile: "test", MagnetFile: "httpServer.magnet.xml", VMType: "server",
			Properties: []descriptor.Property{{Name: "http.port", Value: "${corus.server.port.http}"}},
			XOptions:   []descriptor.Property{{Name: "ms", Value: "16M"}},
		}},
		Invoke: true, ShutdownTimeout: 30 * time.Second, MaxKillRetry: 3,
		PollInterval: 10 * time.Second, StatusInterval: 30 * time.Second, PollTimeout: -time.Second,
		Restart: descriptor.RestartNever, MaxRestarts: descriptor.DefaultMaxRestarts,
	}
	if len(d.Warnings) > 0 || !reflect.DeepEqual(d.Processes, []descriptor.Process{want}) {
		t.Errorf("got  %+v\nwant %+v", d, want)
	}
}

func TestParseReadsEverything(t *testing.T) {
	want := &descriptor.Distribution{
		Name: "shop", Version: "2.1",
		Tags:               []string{"blue", "fast"},
		PropertyCategories: []string{"common", "shop"},
		Processes: []descriptor.Process{{
			Name: "web",
			Ports: []descriptor.Port{
				{
					Name: "http", Count: 4, Protocol: "tcp", InjectEnv: true,
					HTTP: &descriptor.Diagnostic{Path: "/status", SuccessCode: 204, PortPrefix: 8,
						ConnectionTimeout: 500 * time.Millisecond, ReadTimeout: 700 * time.Millisecond, GracePeriod: 5 * time.Second},
					HTTPS: &descriptor.Diagnostic{Path: "/", SuccessCode: 200,
						ConnectionTimeout: 3 * time.Second, ReadTimeout: 3 * time.Second, GracePeriod: 45 * time.Second},
				},
				{Name: "admin", Count: 1, BindSelf: true, InjectEnv: true},
			},
			Starters: []descriptor.Starter{
				{
					Kind: descriptor.Java, Profile: "prod",
					Dependencies: []descriptor.Dependency{
						{Process: "db"},
						{Distribution: "mail", Version: "1.0", Process: "relay", Profile: "fast"},
					},
					Args: []descriptor.Arg{{Value: "-XX:+UseZGC"}},
					Properties: []descriptor.Property{
						{Name: "http.port", Value: "${corus.server.port.http}"},
						{Name: "greeting", Value: `a < b & "c"`},
					},
					VMType: "server", JavaHome: "${user.home}/jdk", JavaCmd: "java",
					LibDirs:   []string{"lib", "${extra:-more}", "conf/"},
					Options:   []descriptor.Property{{Name: "verbose", Value: "gc"}},
					XOptions:  []descriptor.Property{{Name: "ms", Value: "16M"}, {Value: "mx64M"}},
					MainClass: "shop.Main", MainArgs: "--port ${corus.server.port.http} 'two words'",
				},
				{
					Kind: descriptor.Java, Profile: "dev",
					VMType: "-client", LibDirs: []string{"classes/", "lib"}, MainClass: "shop.Main",
				},
			},
			Invoke: false, ShutdownTimeout: 1500 * time.Millisecond, MaxKillRetry: 5, DeleteOnKill: true, MaxInstances: 4,
			PollInterval: 20 * time.Second, StatusInterval: time.Minute, PollTimeout: 90 * time.Second,
			Tags: []string{"edge"}, PropertyCategories: []string{"web"},
			PreExec: []string{"conf merge -b base -p web", "echo ready"},
			Restart: descriptor.RestartOnFailure, MaxRestarts: 3, InterpolationPasses: 2,
		}, {
			Name: "db",
			Starters: []descriptor.Starter{
				{
					Kind: descriptor.Generic, Profile: "prod",
					Args:       []descriptor.Arg{{Value: "./db"}, {ProcessProperties: true}, {Value: "--data"}, {Value: ""}},
					Properties: []descriptor.Property{{Name: "fsync", Value: "on"}},
				},
				{Kind: descriptor.Magnet, Profile: "dev", MagnetFile: "db.magnet.xml", MagnetOptions: "-info"},
				{
					Kind: descriptor.Docker, Profile: "container",
					Dependencies: []descriptor.Dependency{{Process: "web"}},
					Container: &descriptor.Container{
						Image: "shop/db:${db.version}", Command: "db --data '/my data'",
						Settings: []descriptor.Property{
							{Name: "user", Value: "db"}, {Name: "networkMode", Value: "bridge"}, {Name: "macAddress", Value: "02:42:ac:11:00:02"},
							{Name: "memory", Value: "512m"}, {Name: "memorySwap", Value: "1g"}, {Name: "cpuShares", Value: "512"},
							{Name: "cpuPeriod", Value: "100000"}, {Name: "cpuSetCpus", Value: "0-1"}, {Name: "cpuQuota", Value: "50000"},
							{Name: "blkioWeight", Value: "300"}, {Name: "cgroupParent", Value: "/shop"}, {Name: "addHost", Value: "mail:10.0.0.2"},
							{Name: "cpuSetMems", Value: "0"}, {Name: "memorySwappiness", Value: "10"}, {Name: "oomKillDisable", Value: "false"},
						},
						Ports:   []descriptor.PortMapping{{Host: "${corus.process.port.db}", Container: "5432"}},
						Volumes: []descriptor.VolumeMapping{{Host: "${db.dir}", Container: "/data", Permission: "ro"}, {Host: "/a", Container: "/b"}},
						Env:     []descriptor.Property{{Name: "DB_MODE", Value: "${mode:-fast}"}, {Name: "EMPTY"}},
					},
				},
			},
			Invoke: true, ShutdownTimeout: 30 * time.Second, MaxKillRetry: 3,
			PollInterval: 10 * time.Second, StatusInterval: 30 * time.Second, PollTimeout: -time.Second,
			Restart: descriptor.RestartNever, MaxRestarts: descriptor.DefaultMaxRestarts,
		}},
		Warnings: []string{`process "db": docker (profile "container"): dependency "web": that process has no profile "container"`},
	}
	got := parseFile(t, "testdata/full.corus.xml")
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestParseNamespaces(t *testing.T) {
	const process = `<process name="p"><generic profile="x"><arg value="true"/></generic></process></distribution>`
	const ns = "http://www.sapia-oss.org/xsd/corus/distribution-"
	tests := map[string]string{
		"none":             `<distribution name="d" version="1">`,
		"byte order mark":  "\xef\xbb\xbf" + `<?xml version="1.0" encoding="utf-8"?><distribution name="d" version="1">`,
		"comment in front": `<?xml version="1.0"?><!-- c --><?x y?><distribution name="d" version="1">`,
	}
	for _, v := range []string{"2.0", "3.0", "4.0", "4.1", "4.2", "4.7", "5.0"} {
		tests[v] = `<distribution name="d" version="1" xmlns="` + ns + v + `.xsd">`
	}
	for name, start := range tests {
		t.Run(name, func(t *testing.T) {
			d := parse(t, start+process)
			if len(d.Processes) != 1 || d.Processes[0].Starters[0].Args[0].Value != "true" || len(d.Warnings) > 0 {
				t.Errorf("got %+v", d)
			}
		})
	}
	t.Run("prefix", func(t *testing.T) {
		d := parse(t, `<c:distribution name="d" version="1" xmlns:c="`+ns+`3.0.xsd"><c:process name="p"><c:java profile="x" mainClass="M"/></c:process></c:distribution>`)
		if s, ok := d.Processes[0].Starter("x"); !ok || s.MainClass != "M" {
			t.Errorf("got %+v", d)
		}
	})
}

func TestParseHandoff(t *testing.T) {
	d := parse(t, `<distribution name="d" version="1"><process name="p"><port name="a"/><port name="b" handoff="listen"/><port name="c" handoff=" Inherit "/>
		<port name="d" handoff="hold"/><port name="a" handoff="hold"/><port name="c" handoff="inherit"/><port name="b"/><java profile="x" mainClass="M"/></process></distribution>`)
	want := []descriptor.Port{{Name: "a", Count: 1, Handoff: descriptor.Hold}, {Name: "b", Count: 1, Handoff: descriptor.Listen},
		{Name: "c", Count: 1, Handoff: descriptor.Inherit}, {Name: "d", Count: 1, Handoff: descriptor.Hold}}
	if !reflect.DeepEqual(d.Processes[0].Ports, want) || len(d.Warnings) > 0 {
		t.Errorf("got %+v, want %+v", d, want)
	}
}

func TestParseWarns(t *testing.T) {
	tests := map[string]struct {
		text string
		want []string
	}{
		"attribute that is not known": {
			`<process name="p" colour="red"><java profile="x" mainClass="M"/></process>`,
			[]string{`process "p": attribute "colour" is not known and is ignored (line 1)`},
		},
		"attribute in other case": {
			`<process name="p" shutdownTimeOut="1"><java profile="x" mainClass="M"/></process>`,
			[]string{`process "p": attribute "shutdownTimeOut" is not known and is ignored (line 1): did you mean "shutdownTimeout"?`},
		},
		"attribute misspelt": {
			`<process name="p"><port name="http" nmae="x"/><java profile="x" mainClass="M"/></process>`,
			[]string{`process "p": port "http": attribute "nmae" is not known and is ignored (line 1): did you mean "name"?`},
		},
		"elements that are not known, with their lines": {
			"<process name=\"p\"\n><port name=\"h\"><http-diagnostic>\n<x><y/></x></http-diagnostic></port>\n<database/>\n\n  <prot\nname=\"http\"/><java profile=\"x\" mainClass=\"M\"\n colour=\"red\"/></process>\n<proces/>",
			[]string{
				`distribution "d": element "proces" is not known and is ignored (line 9): did you mean "process"?`,
				`process "p": element "database" is not known and is ignored (line 4): process has port, preExec, java, generic, magnet and docker`,
				`process "p": element "prot" is not known and is ignored (line 6): did you mean "port"?`,
				`process "p": java (profile "x"): attribute "colour" is not known and is ignored (line 7)`,
				`process "p": port "h": http-diagnostic: element "x" is not known and is ignored (line 3): http-diagnostic has no elements`,
			},
		},
		"element of java in generic": {
			`<process name="p"><generic profile="x"><arg value="a"/><xoption name="ms" value="1"/></generic></process>`,
			[]string{`process "p": generic (profile "x"): element "xoption" is not known and is ignored (line 1): generic has arg, processProperties, property and dependency`},
		},
		"text": {
			`<process name="p">more<java profile="x" mainClass="M"/></process>`,
			[]string{`process "p": text "more" is ignored`},
		},
		"no process": {
			``,
			[]string{`distribution "d": there is no process in it`},
		},
		"dependency on itself": {
			`<process name="p"><java profile="x" mainClass="M"><dependency dist="d" version="1" process="p"/></java></process>`,
			[]string{`process "p": java (profile "x"): dependency "p": the process depends on itself, which is ignored`},
		},
		"dependency on what is not there": {
			`<process name="p"><java profile="x" mainClass="M"><dependency process="q"/><dependency process="r" profile="y"/></java></process>
			<process name="r"><java profile="x" mainClass="M"/></process>`,
			[]string{
				`process "p": java (profile "x"): dependency "q": the distribution has no such process`,
				`process "p": java (profile "x"): dependency "r": that process has no profile "y"`,
			},
		},
		"circle": {
			`<process name="a"><java profile="x" mainClass="M"><dependency process="b"/></java></process>
			<process name="b"><generic profile="x"><arg value="b"/><dependency process="c"/></generic></process>
			<process name="c"><magnet profile="x" magnetFile="M"><dependency process="a" profile="x"/></magnet></process>`,
			[]string{`process "a": dependencies in profile "x" lead in a circle: "a", "b", "c", "a"`},
		},
		"no circle across profiles": {
			`<process name="a"><java profile="x" mainClass="M"><dependency process="b"/></java></process>
			<process name="b"><java profile="x" mainClass="M"/><java profile="y" mainClass="M"><dependency process="a" profile="x"/></java></process>`,
			nil,
		},
		"no circle through another version": {
			`<process name="a"><java profile="x" mainClass="M"><dependency process="b"/></java></process>
			<process name="b"><java profile="x" mainClass="M"><dependency process="a" version="0.9"/></java></process>`,
			nil,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			d := parse(t, `<distribution name="d" version="1">`+test.text+`</distribution>`)
			if !reflect.DeepEqual(d.Warnings, test.want) {
				t.Errorf("got  %q\nwant %q", d.Warnings, test.want)
			}
			for _, p := range d.Processes {
				for _, s := range p.Starters {
					for _, dep := range s.Dependencies {
						if dep.Process == p.Name {
							t.Errorf("%s keeps a dependency on itself", p.Name)
						}
					}
				}
			}
		})
	}
}

func TestParseBoundsWarnings(t *testing.T) {
	text := `<distribution name="d" version="1"><process name="p"><java profile="x" mainClass="M">` +
		strings.Repeat(`<arg value="v" x="y"/>`, 120) + `</java></process></distribution>`
	d := parse(t, text)
	if got := d.Warnings[len(d.Warnings)-1]; len(d.Warnings) != 101 || got != "and 20 warnings more" {
		t.Errorf("%d warnings, the last %q", len(d.Warnings), got)
	}
}

func TestParseLibDirs(t *testing.T) {
	tests := map[string][]string{
		`libDirs=""`:                          {},
		`libDirs=" a ; b:c;;"`:                {"a", "b", "c"},
		`libDirs="${a:-x;y}:$&lt;b:-z&gt;/l"`: {"${a:-x;y}", "$<b:-z>/l"},
		`libDirs="${a:-${b:-c}}:d"`:           {"${a:-${b:-c}}", "d"},
		``:                                    nil,
	}
	for attribute, want := range tests {
		t.Run(attribute, func(t *testing.T) {
			d := parse(t, `<distribution name="d" version="1"><process name="p"><java profile="x" mainClass="M" `+attribute+`/></process></distribution>`)
			if got := d.Processes[0].Starters[0].LibDirs; !reflect.DeepEqual(got, want) {
				t.Errorf("got %#v, want %#v", got, want)
			}
		})
	}
}

func TestParseReturnsReadErrors(t *testing.T) {
	_, err := descriptor.Parse(iotest.ErrReader(io.ErrClosedPipe))
	if !errors.Is(err, io.ErrClosedPipe) || errors.Is(err, descriptor.ErrInvalid) {
		t.Errorf("got %v", err)
	}
}

// TestParseReadsCorusSamples reads Corus' own samples where they are at hand.
func TestParseReadsCorusSamples(t *testing.T) {
	files, err := filepath.Glob("../../shared/corus/*.corus.xml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		d := parseFile(t, file)
		if len(d.Processes) == 0 {
			t.Errorf("%s: no process", file)
		}
		t.Logf("%s: %s %s %q", filepath.Base(file), d.Name, d.Version, d.Warnings)
	}
}

func TestDistributionFinds(t *testing.T) {
	d := parseFile(t, "testdata/demo.corus.xml")
	p, ok := d.Process("httpServer")
	if !ok || p.Name != "httpServer" {
		t.Fatalf("got %+v, %v", p, ok)
	}
	if s, ok := p.Starter("test"); !ok || s.MainClass != "demo.HttpServer" {
		t.Errorf("got %+v, %v", s, ok)
	}
	if _, ok := p.Starter("dev"); ok {
		t.Error("a starter of a profile that is not there")
	}
	if _, ok := d.Process("httpserver"); ok {
		t.Error("a process that is not there")
	}
}
