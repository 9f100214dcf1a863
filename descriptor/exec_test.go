package descriptor_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"berth/descriptor"
)

func TestParseExec(t *testing.T) {
	got, err := descriptor.ParseExec(strings.NewReader(`<?xml version="1.0"?>
<exec name="shop" startOnBoot="true" xmlns="http://www.sapia-oss.org/xsd/corus/exec-2.0.xsd">
  <process dist="shop" version="2.1" name="web" profile="prod" instances="3"/>
  <process dist="shop" version="2.1" name="db" profile="prod" colour="red"/>
  <process dist="shop" version="2.1" name="db" profile="prod"/>
  <port/>
</exec>`))
	if err != nil {
		t.Fatal(err)
	}
	db := descriptor.ExecProcess{Distribution: "shop", Version: "2.1", Name: "db", Profile: "prod", Instances: 1}
	web := descriptor.ExecProcess{Distribution: "shop", Version: "2.1", Name: "web", Profile: "prod", Instances: 3}
	want := &descriptor.Exec{Name: "shop", StartOnBoot: true, Processes: []descriptor.ExecProcess{web, db, db}, Warnings: []string{
		`process "db": attribute "colour" is not known and is ignored (line 4)`,
		`exec "shop": element "port" is not known and is ignored (line 6): exec has process`,
		`process "db": the process stands here before: both are started`,
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestParseExecNamespaces(t *testing.T) {
	const ns = "http://www.sapia-oss.org/xsd/corus/exec-"
	for _, xmlns := range []string{"", ` xmlns="` + ns + `1.0.xsd"`, ` xmlns="` + ns + `2.0.xsd"`, ` xmlns="` + ns + `3.0.xsd"`} {
		x, err := descriptor.ParseExec(strings.NewReader(`<exec name="e"` + xmlns + `><process dist="d" version="1" name="p" profile="x"/></exec>`))
		if err != nil || x.StartOnBoot || len(x.Processes) != 1 || len(x.Warnings) > 0 {
			t.Errorf("%s: got %+v, %v", xmlns, x, err)
		}
	}
}

func TestParseExecRefuses(t *testing.T) {
	process := func(attributes string) string {
		return `<exec name="e"><process ` + attributes + `/></exec>`
	}
	for text, want := range map[string]string{
		``:                       `there is no element: an exec configuration begins with <exec>`,
		`<distribution/>`:        `root element "distribution": an exec configuration begins with <exec>`,
		`<!DOCTYPE exec><exec/>`: `line 1: a DOCTYPE is not accepted: remove it`,
		`<exec xmlns="urn:x"/>`:  `namespace "urn:x" is not known: use "http://www.sapia-oss.org/xsd/corus/exec-2.0.xsd", one of its versions from 1.0 to 3.0, or none`,
		`<exec name="e"/>`:       `exec "e": there is no process in it: add a process element with dist, version, name and profile`,
		`<exec><process dist="d" version="1" name="p" profile="x"/></exec>`:                            `exec: attribute "name" is missing`,
		`<exec name="e" startOnBoot="yes"><process dist="d" version="1" name="p" profile="x"/></exec>`: `exec "e": attribute "startOnBoot": "yes" is neither "true" nor "false"`,
		process(`version="1" name="p" profile="x"`):                                                    `process "p": attribute "dist" is missing`,
		process(`distribution="d" version="1" name="p" profile="x"`):                                   `process "p": attribute "dist" is missing`,
		process(`dist="d" name="p" profile="x"`):                                                       `process "p": attribute "version" is missing`,
		process(`dist="d" version="1" profile="x"`):                                                    `process: attribute "name" is missing`,
		process(`dist="d" version="1" name="p"`):                                                       `process "p": attribute "profile" is missing`,
		process(`dist="d/e" version="1" name="p" profile="x"`):                                         `process "p": attribute "dist": "d/e" has a character other than letters, digits, ".", "_" and "-"`,
		process(`dist="d" version="1" name="p" profile="x" instances="0"`):                             `process "p": attribute "instances": "0" is not a whole number from 1 to 10000`,
	} {
		x, err := descriptor.ParseExec(strings.NewReader(text))
		if !errors.Is(err, descriptor.ErrInvalid) || err.Error() != want || x != nil {
			t.Errorf("%s: got %+v\n%v\nwant\n%s", text, x, err, want)
		}
	}
	if _, err := descriptor.ParseExec(iotest.ErrReader(io.ErrClosedPipe)); !errors.Is(err, io.ErrClosedPipe) || errors.Is(err, descriptor.ErrInvalid) {
		t.Errorf("an error of reading is %v", err)
	}
}

func FuzzParseExec(f *testing.F) {
	for _, pattern := range []string{"testdata/*.xml", "../../shared/corus/*.xml"} {
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
	f.Add([]byte(`<exec name="e"><process dist="d" version="1" name="p" profile="x" instances="2"/><x/></exec>`))
	f.Fuzz(func(t *testing.T, text []byte) {
		x, err := descriptor.ParseExec(bytes.NewReader(text))
		if err != nil {
			if x != nil || !errors.Is(err, descriptor.ErrInvalid) {
				t.Errorf("got %v and %T", x, err)
			}
			checkLine(t, err)
			return
		}
		for _, w := range x.Warnings {
			checkLine(t, errors.New(w))
		}
		for _, p := range x.Processes {
			for _, name := range []string{x.Name, p.Distribution, p.Version, p.Name, p.Profile} {
				if !descriptor.IsName(name) {
					t.Errorf("%q is no name: %+v", name, x)
				}
			}
			if p.Instances < 1 || p.Instances > 10_000 {
				t.Errorf("%d instances", p.Instances)
			}
		}
		if len(x.Processes) == 0 {
			t.Error("no process")
		}
	})
}
