package descriptor_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"berth/descriptor"
)

// magnetStart is how most magnet files begin.
const magnetStart = `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE magnet PUBLIC "-//SAPIA OSS//Magnet DTD 2.0//EN"
                 "http://www.sapia-oss.org/dtd/magnet-2.0.dtd">
`

func TestParseMagnet(t *testing.T) {
	got, err := descriptor.ParseMagnet(strings.NewReader(magnetStart + `<magnet name="m" description="d" xmlns="http://schemas.sapia-oss.org/magnet/">
  <parameters profile=" dev "><param name="a" value=" ${b} " scope="system" if="x" unless="y"/><param name="c" value=""/></parameters>
  <parameters><param name="e" value="f" scope="magnet"/></parameters>
  <classpath id="main"><path directory="lib" sorting="descending"><include pattern="**/*.jar"/><exclude pattern="old/**"/></path></classpath>
  <environment id="base"><variable name="A" value="1"/></environment>
  <codebase><path directory="x"/></codebase>
  <launcher type="java" name="j" default="dev" mainClass="M" args="a 'b c'" isDaemon="true" waitTime="5">
    <profile name="dev"><parameters><param name="g" value="h"/></parameters><classpath parent="main"/></profile>
    <profile name="prod"/>
  </launcher>
  <launcher type="system" name="s" command="c d" workingDirectory="w" os="linux" waitTime="0">
    <profile name="prod"><environment parent="base"><variable name="B" value="2"/></environment></profile>
  </launcher>
</magnet>`))
	if err != nil {
		t.Fatal(err)
	}
	want := &descriptor.MagnetFile{
		Name: "m", Description: "d",
		Parameters: []descriptor.MagnetParameters{
			{Profile: "dev", Parameters: []descriptor.MagnetParameter{{Name: "a", Value: " ${b} ", System: true, If: "x", Unless: "y"}, {Name: "c"}}},
			{Parameters: []descriptor.MagnetParameter{{Name: "e", Value: "f"}}},
		},
		ClassPaths: []descriptor.MagnetClassPath{{ID: "main", Paths: []descriptor.MagnetPath{
			{Directory: "lib", Includes: []string{"**/*.jar"}, Excludes: []string{"old/**"}, Descending: true}}}},
		Environments: []descriptor.MagnetEnvironment{{ID: "base", Variables: []descriptor.Property{{Name: "A", Value: "1"}}}},
		Launchers: []descriptor.MagnetLauncher{
			{Type: descriptor.MagnetJava, Name: "j", Default: "dev", MainClass: "M", Args: "a 'b c'", Profiles: []descriptor.MagnetProfile{
				{Name: "dev", Parameters: []descriptor.MagnetParameter{{Name: "g", Value: "h"}}, ClassPath: &descriptor.MagnetClassPath{Parent: "main"}},
				{Name: "prod"},
			}},
			{Type: descriptor.MagnetSystem, Name: "s", Command: "c d", WorkingDirectory: "w", OS: "linux", Profiles: []descriptor.MagnetProfile{
				{Name: "prod", Environment: &descriptor.MagnetEnvironment{Parent: "base", Variables: []descriptor.Property{{Name: "B", Value: "2"}}}},
			}},
		},
		Warnings: []string{
			`codebase: the element is ignored: give java.rmi.server.codebase by a parameter of scope system`,
			`launcher "j": attribute "waitTime" is ignored: the command starts at once`,
			`launcher "j": attribute "isDaemon" is ignored: main runs on the main thread`,
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for profile, name := range map[string]string{"dev": "dev", "prod": "prod", "other": "dev", "": "dev"} {
		if p := got.Launchers[0].Profile(profile); p == nil || p.Name != name {
			t.Errorf("profile %q is %+v", profile, p)
		}
	}
	if p := got.Launchers[1].Profile("other"); p != nil {
		t.Errorf("a profile that is not there is %+v", p)
	}
	if v, err := got.Variables(got.Launchers[1].Profile("prod")); err != nil || !reflect.DeepEqual(v, []descriptor.Property{{Name: "A", Value: "1"}, {Name: "B", Value: "2"}}) {
		t.Errorf("variables %v, %v", v, err)
	}
}

func TestParseMagnetRefuses(t *testing.T) {
	launcher := func(attributes string) string {
		return `<launcher name="l" ` + attributes + `><profile name="x"/></launcher>`
	}
	magnet := func(content string) string { return `<magnet>` + content + `</magnet>` }
	main := launcher(`type="java" mainClass="M"`)
	for _, tt := range []struct {
		text, want  string
		unsupported bool
	}{
		{``, `there is no element: a magnet file begins with <magnet>`, false},
		{`<distribution/>`, `root element "distribution": a magnet file begins with <magnet>`, false},
		{`<magnet xmlns="urn:x"/>`, `namespace "urn:x" is not known: use "http://schemas.sapia-oss.org/magnet/", or none`, false},
		{`<!DOCTYPE magnet [<!ENTITY e SYSTEM "file:///etc/passwd">]>` + magnet(main), `line 1: a DOCTYPE with an internal subset ([…]) is not accepted: remove the subset`, false},
		{`<!DOCTYPE magnet PUBLIC "x" "y" [ ]>` + magnet(main), `line 1: a DOCTYPE with an internal subset ([…]) is not accepted: remove the subset`, false},
		{`<!DOCTYPE magnet><!DOCTYPE magnet>` + magnet(main), `line 1: a DOCTYPE stands once, before the first element`, false},
		{magnet(`<!DOCTYPE magnet>`), `line 1: a DOCTYPE stands once, before the first element`, false},
		{`<!ENTITY e "x">` + magnet(main), `line 1: <!ENTITY e "x" is not accepted: remove it`, false},
		{magnet(`&e;`), `line 1: not well-formed XML: invalid character entity &e;`, false},
		{magnet(``), `magnet: there is no launcher: add one of type "java" or "system"`, false},
		{magnet(main + main), `launcher "l": launcher "l" is of type java too, and Berth does not run two main classes in one JVM: make two processes of them, each with a magnet file of its own`, true},
		{magnet(`<script type="bsh">x</script>` + main), `script: a script of type "bsh" cannot be run, there is no interpreter for it: write what it sets as parameters, or start the process by a <generic> starter`, true},
		{magnet(launcher(`type="tomcat"`)), `launcher "l": attribute "type": a launcher of type "tomcat" cannot be run: only "java" and "system" can`, true},
		{magnet(`<launchHandlerDef type="t" classname="c"/>` + main), `launchHandlerDef: handlers of the file's own cannot be used`, true},
		{`<magnet extends="base.xml">` + main + `</magnet>`, `magnet: attribute "extends": Berth reads one magnet file by itself: put what is in "base.xml" into it`, true},
		{magnet(`<classpath id="c"><path protocol="http" directory="d"/></classpath>` + main), `classpath: path: attribute "protocol": "http" cannot be used: put the files into the distribution`, true},
		{magnet(launcher(``)), `launcher "l": attribute "type" is missing`, false},
		{magnet(launcher(`type="java"`)), `launcher "l": attribute "mainClass" is missing`, false},
		{magnet(launcher(`type="system"`)), `launcher "l": attribute "command" is missing`, false},
		{magnet(`<launcher name="l" type="java" mainClass="M"/>`), `launcher "l": there is no profile: a launcher has at least one`, false},
		{magnet(`<parameters><param name="a" value="b" scope="world"/></parameters>` + main), `parameters: param "a": attribute "scope": "world" is neither "magnet" nor "system"`, false},
		{magnet(`<parameters><param value="b"/></parameters>` + main), `parameters: param: attribute "name" is missing`, false},
	} {
		m, err := descriptor.ParseMagnet(strings.NewReader(tt.text))
		if !errors.Is(err, descriptor.ErrInvalid) || err.Error() != tt.want || m != nil || errors.Is(err, descriptor.ErrUnsupported) != tt.unsupported {
			t.Errorf("%s: got %+v\n%v\nwant\n%s", tt.text, m, err, tt.want)
		}
	}
}

// A magnet file in an archive is looked at when it is deployed.
func TestOpenChecksMagnetFiles(t *testing.T) {
	place := entry{name: descriptor.Place, text: in(`<process name="p"><magnet profile="x" magnetFile="conf/m.xml"/><magnet profile="y" magnetFile="${user.dir}/conf/m.xml"/><magnet profile="z" magnetFile="${other}"/></process>`)}
	open := func(entries ...entry) (*descriptor.Distribution, error) {
		file := writeFile(t, filepath.Join(t.TempDir(), "a.zip"), zipBytes(t, append([]entry{place}, entries...)...), 0o600)
		a, err := descriptor.Open(file, descriptor.Limits{})
		if err != nil {
			return nil, err
		}
		defer a.Close()
		return a.Distribution, nil
	}
	const launcher = `<launcher type="java" name="l" mainClass="M"><profile name="x"/></launcher>`
	d, err := open(entry{name: "conf/m.xml", text: magnetStart + `<magnet>` + launcher + `</magnet>`})
	if err != nil || len(d.Warnings) > 0 {
		t.Errorf("got %+v, %v", d, err)
	}
	d, err = open()
	if want := []string{`process "p": magnet (profile "x"): there is no file "conf/m.xml" in the archive`}; err != nil || !reflect.DeepEqual(d.Warnings, want) {
		t.Errorf("got %+v, %v", d, err)
	}
	d, err = open(entry{name: "conf/m.xml", text: `<magnet>` + launcher + launcher + `</magnet>`})
	if !errors.Is(err, descriptor.ErrUnsupported) || !strings.HasPrefix(err.Error(), `conf/m.xml: launcher "l": `) {
		t.Errorf("got %+v, %v", d, err)
	}
}

func FuzzParseMagnet(f *testing.F) {
	for _, pattern := range []string{"testdata/*.xml", "../launcher/cmdline/testdata/*.xml", "../../shared/corus/*.xml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	f.Add([]byte(`<!DOCTYPE magnet SYSTEM "file:///etc/passwd"><magnet/>`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := descriptor.ParseMagnet(bytes.NewReader(text))
		if err != nil {
			if m != nil || !errors.Is(err, descriptor.ErrInvalid) {
				t.Errorf("got %v and %T", m, err)
			}
			checkLine(t, err)
			return
		}
		for _, w := range m.Warnings {
			checkLine(t, errors.New(w))
		}
		mains := 0
		for _, l := range m.Launchers {
			if l.Type == descriptor.MagnetJava {
				mains++
			} else if l.Type != descriptor.MagnetSystem {
				t.Errorf("launcher %+v", l)
			}
			for i := range l.Profiles {
				_, _ = m.Variables(&l.Profiles[i])
			}
		}
		if len(m.Launchers) == 0 || mains > 1 {
			t.Errorf("launchers %+v", m.Launchers)
		}
	})
}
