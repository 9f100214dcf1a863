package cmdline_test

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"berth/descriptor"
	"berth/launcher/cmdline"
)

func TestJavaInFull(t *testing.T) {
	command := mustBuild(t, fullJava())
	var jars []string
	for i := range 20 {
		jars = append(jars, fmt.Sprintf("/dist/lib/part-%02d.jar", i))
	}
	expectArgs(t, command,
		"/jdk/bin/java", "-server",
		"-ea", "-javaagent:/dist/agent.jar=port=9090",
		"-Xms16M", "-Xmx64M", "-XX:+UseParallelGC",
		"-verbose:gc", "--add-opens", "java.base/java.lang=ALL-UNNAMED",
		"-Dhttp.port=8080", "-Durl=http://127.0.0.1:8080/",
		"-Dcorus.home=/home", "-Dcorus.server.host=127.0.0.1", "-Dcorus.server.host.name=localhost",
		"-Dcorus.distribution.name=demo", "-Dcorus.distribution.version=1.0",
		"-Dcorus.process.name=httpServer", "-Dcorus.process.dir=/home/processes/7", "-Dcorus.process.id=7",
		"-Dcorus.process.profile=test", "-Dcorus.process.poll.interval=10", "-Dcorus.process.status.interval=30",
		"-Dcorus.process.port.http=8080", "-Dcorus.server.port.http=8080",
		"-Dcorus.process.port.admin=9090", "-Dcorus.server.port.admin=9090",
		"-Dlog.level=info", "-Dlog.file=/home/processes/7/log",
		"-cp", strings.Join(jars, ":"), "demo.Main",
		"--name", "httpServer of demo", "-v",
	)
	expectWarnings(t, command)
}

func TestJava(t *testing.T) {
	tests := []struct {
		name     string
		starter  descriptor.Starter
		in       func(*cmdline.Input)
		want     []string
		warnings []string
	}{
		{name: "the least", want: []string{"java", "-cp", "/dist", "Main"}},
		{name: "vmType with a dash", starter: descriptor.Starter{VMType: "-server"}, want: []string{"java", "-server", "-cp", "/dist", "Main"}},
		{name: "vmType with a variable", starter: descriptor.Starter{VMType: "${vm:-client}"}, want: []string{"java", "-client", "-cp", "/dist", "Main"}},
		{name: "vmType that becomes empty", starter: descriptor.Starter{VMType: "${vm:-}"}, want: []string{"java", "-cp", "/dist", "Main"}},

		{name: "javaCmd", starter: descriptor.Starter{JavaCmd: "java17"}, want: []string{"java17", "-cp", "/dist", "Main"}},
		{name: "javaHome", starter: descriptor.Starter{JavaHome: "${HOME}/jdk/"}, in: func(in *cmdline.Input) { in.Environ = []string{"HOME=/root"} },
			want: []string{"/root/jdk/bin/java", "-cp", "/dist", "Main"}},
		{name: "javaHome and javaCmd", starter: descriptor.Starter{JavaHome: "/jdk", JavaCmd: "${cmd:-javaw}"},
			want: []string{"/jdk/bin/javaw", "-cp", "/dist", "Main"}},
		{name: "javaHome within the distribution", starter: descriptor.Starter{JavaHome: "jre"}, want: []string{"/dist/jre/bin/java", "-cp", "/dist", "Main"}},
		{name: "javaHome that becomes empty", starter: descriptor.Starter{JavaHome: "${JAVA_HOME:-}"}, want: []string{"java", "-cp", "/dist", "Main"}},
		{name: "javaCmd with a slash", starter: descriptor.Starter{JavaHome: "/jdk", JavaCmd: "./jre/java"}, want: []string{"./jre/java", "-cp", "/dist", "Main"}},
		{name: "the server's Java", in: func(in *cmdline.Input) { in.JavaHome = "/usr/jdk" }, want: []string{"/usr/jdk/bin/java", "-cp", "/dist", "Main"}},
		{name: "java.home of the starter", starter: descriptor.Starter{JavaHome: "${java.home}/17", Args: []descriptor.Arg{{Value: "-x=${java.home}"}}},
			in:   func(in *cmdline.Input) { in.JavaHome = "/usr/jdk" },
			want: []string{"/usr/jdk/17/bin/java", "-x=/usr/jdk/17", "-cp", "/dist", "Main"}},

		{name: "arguments for the JVM", starter: descriptor.Starter{Args: []descriptor.Arg{{Value: "-ea"}, {Value: "-Dx=two words"}, {Value: ""}, {Value: "${x:-}"}}},
			want: []string{"java", "-ea", "-Dx=two words", "-cp", "/dist", "Main"}},
		{name: "xoptions", starter: descriptor.Starter{XOptions: properties("ms", "16M", "rs", "", "", "int", "X:+UseG1GC", "", "ms", "${ms}0")},
			want: []string{"java", "-Xms16M", "-Xrs", "-Xint", "-XX:+UseG1GC", "-Xms16M0", "-cp", "/dist", "Main"}},
		{name: "options", starter: descriptor.Starter{Options: properties("verbose", "", "", "-d64", "p", "a b", "javaagent:${user.dir}/a.jar", "", "q", "${p}")},
			want: []string{"java", "-verbose", "-d64", "-p", "a b", "-javaagent:/dist/a.jar", "-q", "a b", "-cp", "/dist", "Main"}},
		{name: "order", starter: descriptor.Starter{VMType: "server", Args: []descriptor.Arg{{Value: "-a"}}, XOptions: properties("x", "1"),
			Options: properties("o", "${x}"), Properties: properties("p", "${o}${x}"), MainArgs: "${p}"},
			want: []string{"java", "-server", "-a", "-Xx1", "-o", "1", "-Dp=11", "-cp", "/dist", "Main", "11"}},
		{name: "an xoption is known to an option, not the other way round",
			starter:  descriptor.Starter{Args: []descriptor.Arg{{Value: "-a${x}"}}, XOptions: properties("x", "${o}"), Options: properties("o", "1")},
			want:     []string{"java", "-a${x}", "-Xx${o}", "-o", "1", "-cp", "/dist", "Main"},
			warnings: []string{`arg 1: variable "x" has no value before it is rendered, and stays as it is`, `xoption "x": variable "o" has no value before it is rendered, and stays as it is`}},
		{name: "an option with a class path", starter: descriptor.Starter{Options: properties("cp", "x.jar")},
			want:     []string{"java", "-cp", "x.jar", "-cp", "/dist", "Main"},
			warnings: []string{`option "cp": the class path of libDirs comes after it and takes its place; add its folders to libDirs`}},

		{name: "properties of one name", starter: descriptor.Starter{Properties: properties("a", "1", "b", "1", "${x:-a}", "2", "c", "1")},
			in: func(in *cmdline.Input) {
				in.ServerProperties = properties("s", "1")
				in.ProcessProperties = properties("b", "3", "d", "1", "d", "2")
			},
			want: []string{"java", "-Da=2", "-Dc=1", "-Ds=1", "-Db=3", "-Dd=2", "-cp", "/dist", "Main"}},
		{name: "values are not quoted", starter: descriptor.Starter{Properties: properties("a", `two "words"`, "b", "", "c", "x=y", "d", "1\n2")},
			want: []string{"java", `-Da=two "words"`, "-Db=", "-Dc=x=y", "-Dd=1\n2", "-cp", "/dist", "Main"}},

		{name: "main class with a variable", starter: descriptor.Starter{MainClass: "${pkg:-demo}.Main"}, want: []string{"java", "-cp", "/dist", "demo.Main"}},
		{name: "main arguments", starter: descriptor.Starter{MainArgs: `a "b c" '' ${two} "${two}" ${none:-} ${none:-d e} $${two} ${none:-}x`},
			in:   func(in *cmdline.Input) { in.ProcessProperties = properties("two", `1 "2`) },
			want: []string{"java", `-Dtwo=1 "2`, "-cp", "/dist", "Main", "a", "b c", "", `1 "2`, `1 "2`, "d e", "${two}", "x"}},

		{name: "class path: default folder", in: jars("/dist/lib", "b.jar", "a/c.zip", "a.jar"),
			want: []string{"java", "-cp", "/dist/lib/a.jar:/dist/lib/a/c.zip:/dist/lib/b.jar", "Main"}},
		{name: "class path: two folders", starter: descriptor.Starter{LibDirs: []string{"z", "a/b"}},
			in: func(in *cmdline.Input) {
				in.Jars = folders(map[string][]string{"/dist/z": {"/dist/z/2.jar", "/dist/z/1.jar"}, "/dist/a/b": {"/dist/a/b/3.jar"}})
			},
			want: []string{"java", "-cp", "/dist/z/1.jar:/dist/z/2.jar:/dist/a/b/3.jar", "Main"}},
		{name: "class path: classes", starter: descriptor.Starter{LibDirs: []string{"classes/", "lib"}}, in: jars("/dist/lib", "a.jar"),
			want: []string{"java", "-cp", "/dist/classes:/dist/lib/a.jar", "Main"}},
		{name: "class path: the distribution itself", starter: descriptor.Starter{LibDirs: []string{"./"}}, want: []string{"java", "-cp", "/dist", "Main"}},
		{name: "class path: absolute", starter: descriptor.Starter{LibDirs: []string{"/opt/lib", "/opt/classes/"}}, in: jars("/opt/lib", "a.jar"),
			want: []string{"java", "-cp", "/opt/lib/a.jar:/opt/classes", "Main"}},
		{name: "class path: variables", starter: descriptor.Starter{LibDirs: []string{"${user.dir}/x", "${dirs}"}},
			in: func(in *cmdline.Input) {
				in.Environ = []string{"dirs= y ;z/:"}
				in.Jars = folders(map[string][]string{"/dist/x": {"x.jar"}, "/dist/y": {"y.jar"}})
			},
			want: []string{"java", "-cp", "/dist/x/x.jar:/dist/y/y.jar:/dist/z", "Main"}},
		{name: "class path: an archive", starter: descriptor.Starter{LibDirs: []string{"lib/a.jar", "b.ZIP"}}, want: []string{"java", "-cp", "/dist/lib/a.jar:/dist/b.ZIP", "Main"}},
		{name: "class path: a pattern", starter: descriptor.Starter{LibDirs: []string{"lib/a*.jar"}}, in: jars("/dist/lib", "a.jar", "ab.jar", "b.jar", "sub/ac.jar", "ad.zip"),
			want: []string{"java", "-cp", "/dist/lib/a.jar:/dist/lib/ab.jar", "Main"}},
		{name: "class path: everything of a folder", starter: descriptor.Starter{LibDirs: []string{"lib/*"}}, in: jars("/dist/lib", "a.jar", "sub/ac.jar", "ad.zip"),
			want: []string{"java", "-cp", "/dist/lib/a.jar:/dist/lib/ad.zip", "Main"}},
		{name: "class path: twice the same", starter: descriptor.Starter{LibDirs: []string{"lib", "lib/a.jar", "./lib"}}, in: jars("/dist/lib", "b.jar", "a.jar"),
			want: []string{"java", "-cp", "/dist/lib/a.jar:/dist/lib/b.jar", "Main"}},
		{name: "class path: nothing in libDirs", starter: descriptor.Starter{LibDirs: []string{"libs"}},
			want:     []string{"java", "-cp", "/dist", "Main"},
			warnings: []string{`libDirs: "libs" has no .jar and no .zip; a folder of classes is written with / at its end`}},
		{name: "class path: a folder that is not there", in: func(in *cmdline.Input) {
			in.Jars = func(dir string) ([]string, error) {
				return nil, &fs.PathError{Op: "open", Path: dir, Err: fs.ErrNotExist}
			}
		}, want: []string{"java", "-cp", "/dist", "Main"}},
		{name: "class path: nobody lists archives", in: func(in *cmdline.Input) { in.Jars = nil }, want: []string{"java", "-cp", "/dist", "Main"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			in := cmdline.Input{UserDir: "/dist", Starter: test.starter, Jars: noArchives}
			in.Starter.Kind = descriptor.Java
			if in.Starter.MainClass == "" {
				in.Starter.MainClass = "Main"
			}
			if test.in != nil {
				test.in(&in)
			}
			command := mustBuild(t, in)
			expectArgs(t, command, test.want...)
			expectWarnings(t, command, test.warnings...)
		})
	}
}

// jars lets a single folder have archives.
func jars(dir string, names ...string) func(*cmdline.Input) {
	return func(in *cmdline.Input) { in.Jars = folders(map[string][]string{dir: names}) }
}
