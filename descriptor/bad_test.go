package descriptor_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"berth/descriptor"
)

// in puts the text of a process into a distribution.
func in(process string) string {
	return `<distribution name="d" version="1">` + process + `</distribution>`
}

// java puts the content of a java starter into a distribution.
func java(content string) string {
	return in(`<process name="p"><java profile="x" mainClass="M">` + content + `</java></process>`)
}

// generic puts the content of a generic starter into a distribution.
func generic(content string) string {
	return in(`<process name="p"><generic profile="x">` + content + `</generic></process>`)
}

// port puts an element into a distribution before a starter.
func port(element string) string {
	return in(`<process name="p">` + element + `<java profile="x" mainClass="M"/></process>`)
}

// process puts attributes into a process.
func process(attributes string) string {
	return in(`<process name="p" ` + attributes + `><java profile="x" mainClass="M"/></process>`)
}

func TestParseRefuses(t *testing.T) {
	const m = "http://www.sapia-oss.org/xsd/corus/distribution-"
	tests := []struct{ name, text, want string }{
		// The text.
		{"empty", ``, `there is no element: a descriptor begins with <distribution>`},
		{"comment only", `<!-- nothing -->`, `there is no element: a descriptor begins with <distribution>`},
		{"no XML", `PORT=8080`, `line 1: text "PORT=8080" stands outside of the root element`},
		{"cut off", "<distribution name=\"d\" version=\"1\">\n<process", `line 2: not well-formed XML: unexpected EOF`},
		{"wrong end", `<distribution></process>`, `line 1: not well-formed XML: element <distribution> closed by </process>`},
		{"no quotes", `<distribution name=d>`, `line 1: not well-formed XML: unquoted or missing attribute value in element`},
		{"invalid UTF-8", "<distribution name=\"\xff\">", `line 1: not well-formed XML: invalid UTF-8`},
		{"NUL", in("\x00"), `line 1: not well-formed XML: illegal character code U+0000`},
		{"escape character", in("&#27;"), `line 1: not well-formed XML: illegal character code U+001B`},
		{"undefined entity", in("\n&who;"), `line 2: not well-formed XML: invalid character entity &who;`},
		{"DOCTYPE", "<!DOCTYPE distribution>\n" + in(""), `line 1: a DOCTYPE is not accepted: remove it`},
		{"external entity", "<!DOCTYPE d [<!ENTITY e SYSTEM \"file:///etc/passwd\">]>" + in("&e;"), `line 1: a DOCTYPE is not accepted: remove it`},
		{"DOCTYPE inside", in("\n<!DOCTYPE x>"), `line 2: a DOCTYPE is not accepted: remove it`},
		{"second root", in("") + "\n" + in(""), `line 2: a second root element "distribution"`},
		{"text after the root", in("") + "\nend", `line 2: text "end" stands outside of the root element`},
		{"text before the root", "start" + in(""), `line 1: text "start" stands outside of the root element`},
		{"latin-1", `<?xml version="1.0" encoding="ISO-8859-1"?>` + in(""), `line 1: encoding "ISO-8859-1" is not supported: save the text as UTF-8`},
		{"UTF-16", "\xff\xfe<\x00d\x00", `the text is UTF-16 or UTF-32: save it as UTF-8`},
		{"UTF-16 without mark", "\x00<\x00d", `the text is UTF-16 or UTF-32: save it as UTF-8`},
		{"XML 1.1", `<?xml version="1.1"?>` + in(""), `line 1: not well-formed XML: unsupported version "1.1"; only version 1.0 is supported`},
		{"too large", in("<!--" + strings.Repeat("x", 1<<20) + "-->"), `the text is larger than 1048576 bytes`},
		{"too deep", strings.Repeat("<a>", 33), `line 1: elements are nested more than 32 deep`},
		{"deeper still", strings.Repeat("<a>", 200_000), `line 1: elements are nested more than 32 deep`},
		{"too many elements", "<a>" + strings.Repeat("<b/>", 10_000), `line 1: there are more than 10000 elements`},
		{"attribute twice", `<distribution name="d" name="e" version="1"/>`, `line 1: element "distribution": attribute "name" is given twice`},
		{"attribute twice by its namespace", `<distribution xmlns:a="u" xmlns:b="u" a:x="" b:x=""/>`, `line 1: element "distribution": attribute "x" is given twice`},
		{"too many attributes", `<distribution ` + manyAttributes(65) + `/>`, `line 1: element "distribution" has more than 64 attributes`},

		// The root.
		{"other root", `<server/>`, `root element "server": a descriptor begins with <distribution>`},
		{"root in other case", `<Distribution/>`, `root element "Distribution": a descriptor begins with <distribution>`},
		{"exec configuration", `<exec xmlns="http://www.sapia-oss.org/xsd/corus/exec-2.0.xsd" name="e"/>`, `root element "exec": a descriptor begins with <distribution>`},
		{"other namespace", `<distribution xmlns="urn:x"/>`, `namespace "urn:x" is not known: use "` + m + `5.0.xsd", one of its versions from 2.0 on, or none`},
		{"namespace before 2.0", `<distribution xmlns="` + m + `1.0.xsd"/>`, `namespace "` + m + `1.0.xsd" is not known: use "` + m + `5.0.xsd", one of its versions from 2.0 on, or none`},
		{"namespace after 5.0", `<distribution xmlns="` + m + `5.1.xsd"/>`, `namespace "` + m + `5.1.xsd" is not known: use "` + m + `5.0.xsd", one of its versions from 2.0 on, or none`},
		{"prefix of the root", `<c:distribution name="d" version="1"/>`, `root element "c:distribution": its prefix is not declared`},
		{"prefix of an element", in(`<c:process/>`), `distribution "d": element "c:process": its prefix is not declared`},
		{"prefix of an attribute", `<distribution name="d" version="1" x:y="z"/>`, `distribution "d": attribute "x:y": its prefix is not declared`},
		{"element of another namespace", in(`<process xmlns="urn:x"/>`), `distribution "d": element "process" is of namespace "urn:x", not of that of the distribution`},
		{"no name", `<distribution version="1"/>`, `distribution: attribute "name" is missing`},
		{"no version", `<distribution name="d"/>`, `distribution "d": attribute "version" is missing`},
		{"empty name", `<distribution name="" version="1"/>`, `distribution: attribute "name" is empty`},
		{"name with a slash", `<distribution name="a/b" version="1"/>`, `distribution "a/b": attribute "name": "a/b" has a character other than letters, digits, ".", "_" and "-"`},
		{"name with a blank", `<distribution name="a b" version="1"/>`, `distribution "a b": attribute "name": "a b" has a character other than letters, digits, ".", "_" and "-"`},
		{"version of dots", `<distribution name="d" version=".."/>`, `distribution "d": attribute "version": ".." is not a name`},
		{"long name", `<distribution name="` + strings.Repeat("n", 129) + `" version="1"/>`,
			`distribution "` + strings.Repeat("n", 80) + `…": attribute "name": "` + strings.Repeat("n", 80) + `…" is longer than 128 characters`},

		// A process.
		{"process without a name", in(`<process><java profile="x" mainClass="M"/></process>`), `process: attribute "name" is missing`},
		{"second process without a name", in(`<process name="p"><java profile="x" mainClass="M"/></process><process><java profile="x" mainClass="M"/></process>`), `process 2: attribute "name" is missing`},
		{"process twice", in(strings.Repeat(`<process name="p"><java profile="x" mainClass="M"/></process>`, 2)), `process "p": the name is taken by an earlier process`},
		{"no starter", in(`<process name="p"><port name="http"/></process>`), `process "p": there is no starter: add a java, generic, magnet or docker element`},
		{"profile twice", in(`<process name="p"><java profile="x" mainClass="M"/><generic profile="x"><arg value="a"/></generic></process>`), `process "p": generic (profile "x"): the profile is taken by an earlier starter`},
		{"starter without a profile", in(`<process name="p"><java mainClass="M"/></process>`), `process "p": java: attribute "profile" is missing`},
		{"invoke", process(`invoke="maybe"`), `process "p": attribute "invoke": "maybe" is neither "true" nor "false"`},
		{"deleteOnKill", process(`deleteOnKill=""`), `process "p": attribute "deleteOnKill": "" is neither "true" nor "false"`},
		{"shutdownTimeout below 0", process(`shutdownTimeout="-1"`), `process "p": attribute "shutdownTimeout": "-1" is not a whole number from 0 to 86400000`},
		{"shutdownTimeout above a day", process(`shutdownTimeout="86400001"`), `process "p": attribute "shutdownTimeout": "86400001" is not a whole number from 0 to 86400000`},
		{"shutdownTimeout with a unit", process(`shutdownTimeout="30s"`), `process "p": attribute "shutdownTimeout": "30s" is not a whole number from 0 to 86400000`},
		{"maxKillRetry", process(`maxKillRetry="-1"`), `process "p": attribute "maxKillRetry": "-1" is not a whole number from 0 to 1000`},
		{"maxInstances", process(`maxInstances="99999999999999999999"`), `process "p": attribute "maxInstances": "99999999999999999999" is not a whole number from 0 to 100000`},
		{"pollInterval", process(`pollInterval="0"`), `process "p": attribute "pollInterval": "0" is not a whole number from 1 to 86400`},
		{"pollTimeout", process(`pollTimeout="-2"`), `process "p": attribute "pollTimeout": "-2" is not a whole number from -1 to 86400`},
		{"statusInterval", process(`statusInterval="1.5"`), `process "p": attribute "statusInterval": "1.5" is not a whole number from 1 to 86400`},
		{"restart", process(`restart="often"`), `process "p": attribute "restart": "often" is none of "never", "on-failure" and "always"`},
		{"maxRestarts", process(`maxRestarts="-1"`), `process "p": attribute "maxRestarts": "-1" is not a whole number from 0 to 1000`},
		{"interpolationPasses", process(`interpolationPasses="0"`), `process "p": attribute "interpolationPasses": "0" is not a whole number from 1 to 100`},
		{"preExec twice", port(`<preExec/><preExec/>`), `process "p": preExec 2: stands twice: put all commands into one`},
		{"empty command", port(`<preExec><cmd value="ver"/><cmd> </cmd></preExec>`), `process "p": preExec: cmd 2: there is no command: put it into attribute "value"`},
		{"two commands in one", port(`<preExec><cmd value="ver">ls</cmd></preExec>`), `process "p": preExec: cmd: the command stands both in attribute "value" and as text: keep one`},

		// A port.
		{"port without a name", in(`<process name="httpServer"><port/><java profile="x" mainClass="M"/></process>`), `process "httpServer": port: attribute "name" is missing`},
		{"port with a misspelt name", port(`<port nmae="http"/>`), `process "p": port: attribute "name" is missing: did you mean it by "nmae"?`},
		{"port with a bad name", port(`<port name="http:1"/>`), `process "p": port "http:1": attribute "name": "http:1" has a character other than letters, digits, ".", "_" and "-"`},
		{"handoff that is not known", port(`<port name="h" handoff="lsten"/>`), `process "p": port "h": attribute "handoff": "lsten" is none of "listen", "inherit" and "hold"`},
		{"empty handoff", port(`<port name="h" handoff=""/>`), `process "p": port "h": attribute "handoff": "" is none of "listen", "inherit" and "hold"`},
		{"two for descriptor 0", port(`<port name="h" handoff="inherit"/><port name="i" handoff="inherit"/>`),
			`process "p": port "i": attribute "handoff": port "h" has "inherit" already, and there is one descriptor 0: use "listen"`},
		{"two handoffs of one port", port(`<port name="h" handoff="listen"/><port name="h" handoff="hold"/>`),
			`process "p": port "h": attribute "handoff": "hold", and "listen" of the same port before: keep one`},
		{"count below 1", port(`<port name="h" count="0"/>`), `process "p": port "h": attribute "count": "0" is not a whole number from 1 to 1024`},
		{"count above 1024", port(`<port name="h" count="1025"/>`), `process "p": port "h": attribute "count": "1025" is not a whole number from 1 to 1024`},
		{"protocol", port(`<port name="h" protocol="sctp"/>`), `process "p": port "h": attribute "protocol": "sctp" is neither "tcp" nor "udp"`},
		{"bind", port(`<port name="h" bind="other"/>`), `process "p": port "h": attribute "bind": "other" is not "self", which is all that it can be`},
		{"inject", port(`<port name="h" inject="file"/>`), `process "p": port "h": attribute "inject": "file" is neither "args" nor "env"`},
		{"two counts of one range", port(`<port name="h" count="2"/><port name="h"/><port name="h" count="3"/>`),
			`process "p": port "h": attribute "count": "3", and "2" of the same port before: keep one`},
		{"two protocols of one range", port(`<port name="h" protocol="tcp"/><port name="h" protocol="udp"/>`),
			`process "p": port "h": attribute "protocol": "udp", and "tcp" of the same port before: keep one`},
		{"two ways to inject", port(`<port name="h" inject="env"/><port name="i" inject="args"/>`),
			`process "p": port "i": attribute "inject": "args", and "env" before: the properties of a process are handed over in one way, keep one`},
		{"bound by itself and handed over", port(`<port name="h" bind="self" handoff="listen"/>`),
			`process "p": port "h": attribute "bind": a port that the process binds by itself cannot be handed over: keep "bind" or "handoff"`},
		{"UDP bound by itself", port(`<port name="h" bind="self" protocol="udp"/>`),
			`process "p": port "h": attribute "bind": which of its UDP sockets is the server's cannot be told, since none of them listens: leave "bind" out`},
		{"two bound by itself", port(`<port name="h" bind="self"/><port name="i" bind="self"/>`),
			`process "p": port "i": attribute "bind": another port of the process has "self" already, and which is which cannot be told: keep one`},
		{"many bound by itself", port(`<port name="h" bind="self"/><port name="h" count="2"/>`),
			`process "p": port "h": attribute "bind": a port that the process binds by itself is one port: keep "bind" or "count"`},
		{"many for descriptor 0", port(`<port name="h" handoff="inherit" count="2"/>`),
			`process "p": port "h": attribute "handoff": there is one descriptor 0, and "count" asks for 2 ports: use "listen"`},
		{"diagnostic twice", port(`<port name="h"><http-diagnostic/><http-diagnostic/></port>`), `process "p": port "h": http-diagnostic 2: stands twice: keep one`},
		{"both status codes", port(`<port name="h"><http-diagnostic successCode="200" statusCode="201"/></port>`), `process "p": port "h": http-diagnostic: attributes "successCode" and "statusCode" mean the same: keep one`},
		{"status code", port(`<port name="h"><https-diagnostic statusCode="0"/></port>`), `process "p": port "h": https-diagnostic: attribute "statusCode": "0" is not a whole number from 100 to 599`},
		{"port prefix", port(`<port name="h"><http-diagnostic portPrefix="7000"/></port>`), `process "p": port "h": http-diagnostic: attribute "portPrefix": "7000" is not a whole number from 0 to 6553`},
		{"read timeout", port(`<port name="h"><http-diagnostic readTimeout="0"/></port>`), `process "p": port "h": http-diagnostic: attribute "readTimeout": "0" is not a whole number from 1 to 3600000`},

		// A starter.
		{"no main class", in(`<process name="httpServer"><java profile="dev"/></process>`), `process "httpServer": java (profile "dev"): attribute "mainClass" is missing`},
		{"blank main class", in(`<process name="p"><java profile="x" mainClass=" "/></process>`), `process "p": java (profile "x"): attribute "mainClass" is empty`},
		{"empty image", in(`<process name="p"><docker profile="x" image=" "/></process>`), `process "p": docker (profile "x"): attribute "image" is empty: leave it out for the distribution's name and version`},
		{"port mapping without a container's port", in(`<process name="p"><docker profile="x"><portMapping hostPort="80"/></docker></process>`), `process "p": docker (profile "x"): portMapping: attribute "containerPort" is missing`},
		{"volume mapping without a host's", in(`<process name="p"><docker profile="x"><volumeMapping containerVolume="/d"/></docker></process>`), `process "p": docker (profile "x"): volumeMapping: attribute "hostVolume" is missing`},
		{"environment without a value", in(`<process name="p"><docker profile="x"><env><property name="A"/></env></docker></process>`), `process "p": docker (profile "x"): env: property "A": attribute "value" is missing`},
		{"autoRemoveEnabled", in(`<process name="p"><docker profile="x" autoRemoveEnabled="no"/></process>`), `process "p": docker (profile "x"): attribute "autoRemoveEnabled": "no" is neither "true" nor "false"`},
		{"a magnet file", `<magnet/>`, `this is a magnet file and not a descriptor: put it into a distribution, where attribute magnetFile of a <magnet> starter names it`},
		{"a magnet file with its DOCTYPE", magnetStart + `<magnet/>`, `line 3: this is a magnet file and not a descriptor: put it into a distribution, where attribute magnetFile of a <magnet> starter names it`},
		{"no magnet file", in(`<process name="p"><magnet profile="x"/></process>`), `process "p": magnet (profile "x"): attribute "magnetFile" is missing`},
		{"vmType of two words", in(`<process name="p"><java profile="x" mainClass="M" vmType="server -Xmx1g"/></process>`), `process "p": java (profile "x"): vmType "server -Xmx1g" is more than a word: put JVM arguments into arg elements`},
		{"vmType twice", in(`<process name="p"><java profile="x" mainClass="M" vmType="server"><vmType>client</vmType></java></process>`), `process "p": java (profile "x"): vmType is given twice: keep one`},
		{"libDirs twice", java(`<libDirs>a</libDirs><libDirs>b</libDirs>`), `process "p": java (profile "x"): libDirs is given twice: keep one`},
		{"second arg without a value", java(`<arg value="a"/><arg/>`), `process "p": java (profile "x"): arg 2: attribute "value" is missing`},
		{"property without a name", java(`<property value="v"/>`), `process "p": java (profile "x"): property: attribute "name" is missing`},
		{"property without a value", java(`<property name="n"/>`), `process "p": java (profile "x"): property "n": attribute "value" is missing`},
		{"option without a name", java(`<option name="" value="v"/>`), `process "p": java (profile "x"): option: attribute "name" is empty`},
		{"xoption without anything", java(`<xoption/>`), `process "p": java (profile "x"): xoption: there is neither a name nor a value`},
		{"generic without a command", generic(``), `process "p": generic (profile "x"): there is no command: the first element has to be an arg with the program`},
		{"generic that begins with properties", generic(`<processProperties/><arg value="a"/>`), `process "p": generic (profile "x"): there is no command: the first element has to be an arg with the program`},
		{"generic with an empty program", generic(`<arg value=""/><arg value="a"/>`), `process "p": generic (profile "x"): arg 1: attribute "value" is empty: the first arg is the program`},
		{"arg without a value", generic(`<arg/>`), `process "p": generic (profile "x"): arg: attribute "value" is missing`},

		// A dependency.
		{"dependency on nothing", java(`<dependency/>`), `process "p": java (profile "x"): dependency: attribute "process" is missing`},
		{"dependency with two names", java(`<dependency dist="a" distribution="b" process="q"/>`), `process "p": java (profile "x"): dependency "q": attributes "dist" and "distribution" mean the same: keep one`},
		{"dependency on a pattern", java(`<dependency dist="*" process="q"/>`), `process "p": java (profile "x"): dependency "q": attribute "dist": "*" has a character other than letters, digits, ".", "_" and "-"`},

		// Several.
		{"two problems", in(`<process name="p" invoke="x"><port/><java profile="x" mainClass="M"/></process>`),
			`process "p": attribute "invoke": "x" is neither "true" nor "false"; process "p": port: attribute "name" is missing`},
		{"twelve problems", port(strings.Repeat("<port/>", 12)), strings.Repeat(`process "p": port: attribute "name" is missing; `, 10) + `and 2 more`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d, err := descriptor.Parse(strings.NewReader(test.text))
			if err == nil {
				t.Fatalf("accepted: %+v", d)
			}
			if err.Error() != test.want {
				t.Errorf("got  %s\nwant %s", err, test.want)
			}
			if d != nil || !errors.Is(err, descriptor.ErrInvalid) {
				t.Errorf("got %v and %T", d, err)
			}
			if got, want := errors.Is(err, descriptor.ErrUnsupported), test.name == "docker"; got != want {
				t.Errorf("is unsupported: %v", got)
			}
		})
	}
}

func manyAttributes(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `a%d="" `, i)
	}
	return b.String()
}
