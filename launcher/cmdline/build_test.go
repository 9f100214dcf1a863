package cmdline_test

import (
	"errors"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"berth/descriptor"
	"berth/launcher/cmdline"
)

// folders lists archives of folders that exist only here.
func folders(tree map[string][]string) func(string) ([]string, error) {
	return func(dir string) ([]string, error) {
		if jars, found := tree[dir]; found {
			return slices.Clone(jars), nil
		}
		return nil, fmt.Errorf("open %s: no such folder was to be listed", dir)
	}
}

func noArchives(string) ([]string, error) { return nil, nil }

// generic returns an input whose arguments are "echo" and the values.
func generic(values ...string) cmdline.Input {
	starter := descriptor.Starter{Kind: descriptor.Generic, Profile: "test", Args: []descriptor.Arg{{Value: "echo"}}}
	for _, value := range values {
		starter.Args = append(starter.Args, descriptor.Arg{Value: value})
	}
	return cmdline.Input{Starter: starter, UserDir: "/dist"}
}

func properties(namesAndValues ...string) []cmdline.Property {
	var all []cmdline.Property
	for i := 0; i < len(namesAndValues); i += 2 {
		all = append(all, cmdline.Property{Name: namesAndValues[i], Value: namesAndValues[i+1]})
	}
	return all
}

func mustBuild(t *testing.T, in cmdline.Input) cmdline.Command {
	t.Helper()
	command, err := cmdline.Build(in)
	if err != nil {
		t.Fatal(err)
	}
	return command
}

func expectArgs(t *testing.T, command cmdline.Command, want ...string) {
	t.Helper()
	if !slices.Equal(command.Args, want) {
		t.Errorf("arguments\n%s\nwant\n%s", strings.Join(command.Args, "\n"), strings.Join(want, "\n"))
	}
}

func expectWarnings(t *testing.T, command cmdline.Command, want ...string) {
	t.Helper()
	if !slices.Equal(command.Warnings, want) {
		t.Errorf("warnings\n%s\nwant\n%s", strings.Join(command.Warnings, "\n"), strings.Join(want, "\n"))
	}
}

func TestLookupOrder(t *testing.T) {
	tests := []struct {
		name  string
		value string
		in    func(*cmdline.Input)
		want  string
	}{
		{"user.dir before the starter", "${user.dir}", func(in *cmdline.Input) {
			in.Starter.Properties = properties("user.dir", "starter")
		}, "/dist"},
		{"user.dir before the process", "${user.dir}", func(in *cmdline.Input) {
			in.ProcessProperties = properties("user.dir", "process")
		}, "/dist"},
		{"java.home before the starter", "${java.home}", func(in *cmdline.Input) {
			in.JavaHome = "/jdk"
			in.Starter.Properties = properties("java.home", "starter")
		}, "/jdk"},
		{"java.home that is not known", "${java.home}", func(in *cmdline.Input) {
			in.ServerProperties = properties("java.home", "server")
		}, "server"},
		{"the starter before the process", "${x}", func(in *cmdline.Input) {
			in.Starter.Properties = properties("x", "starter")
			in.ProcessProperties = properties("x", "process")
		}, "starter"},
		{"the process before the server", "${x}", func(in *cmdline.Input) {
			in.ProcessProperties = properties("x", "process")
			in.ServerProperties = properties("x", "server")
		}, "process"},
		{"the server's facts before what is set for it", "${x}", func(in *cmdline.Input) {
			in.ServerProperties = properties("x", "fact")
			in.ServerVariables = properties("x", "set")
		}, "fact"},
		{"the process before what is set for the server", "${x}", func(in *cmdline.Input) {
			in.ProcessProperties = properties("x", "process")
			in.ServerVariables = properties("x", "set")
		}, "process"},
		{"what is set for the server before the environment", "${x}", func(in *cmdline.Input) {
			in.ServerVariables = properties("x", "set ${y}", "y", "with ${PORT}")
			in.Environ = []string{"x=environment"}
			in.Ports = []cmdline.Port{{Name: "http", Number: 8080}}
		}, "set with 8080"},
		{"what is set for the server in a property of the process", "${y}", func(in *cmdline.Input) {
			in.ServerVariables = properties("x", "set")
			in.ProcessProperties = properties("y", "<${x}>")
		}, "<set>"},
		{"the server before the environment", "${x}", func(in *cmdline.Input) {
			in.ServerProperties = properties("x", "server")
			in.Environ = []string{"x=environment"}
		}, "server"},
		{"the environment before the default", "${x:-default}", func(in *cmdline.Input) {
			in.Environ = []string{"x=environment"}
		}, "environment"},
		{"the default at last", "${x:-default}", func(*cmdline.Input) {}, "default"},
		{"the starter before the environment", "${x}", func(in *cmdline.Input) {
			in.Starter.Properties = properties("x", "starter")
			in.Environ = []string{"x=environment"}
		}, "starter"},
		{"the later one of the starter", "${x}", func(in *cmdline.Input) {
			in.Starter.Properties = properties("x", "1", "x", "2")
		}, "2"},
		{"the later one of the process", "${x}", func(in *cmdline.Input) {
			in.ProcessProperties = properties("x", "1", "x", "2")
		}, "2"},
		{"an empty value of a nearer one", "[${x}]", func(in *cmdline.Input) {
			in.Starter.Properties = properties("x", "")
			in.ProcessProperties = properties("x", "process")
		}, "[]"},
		{"the environment that the process will have", "${BERTH_PROCESS_ID} ${PORT}", func(in *cmdline.Input) {
			in.Environ = []string{"BERTH_PROCESS_ID=1", "PORT=1"}
			in.ExtraEnv = []string{"BERTH_PROCESS_ID=7"}
			in.Ports = []cmdline.Port{{Name: "http", Number: 8080}}
		}, "7 8080"},
		{"a variable of the process in one of the starter", "${x}", func(in *cmdline.Input) {
			in.Starter.Properties = properties("x", "<${y}>")
			in.ProcessProperties = properties("y", "${z}")
			in.Environ = []string{"z=$<w>"}
			in.ServerProperties = properties("w", "end")
		}, "<end>"},
		{"a value of the process that a starter's replaces", "${y}", func(in *cmdline.Input) {
			in.Starter.Properties = properties("x", "starter")
			in.ProcessProperties = properties("x", "process", "y", "${x}")
		}, "starter"},
		{"facts hold no variables", "${user.dir} ${corus.process.dir}", func(in *cmdline.Input) {
			in.UserDir = "/a/${x}"
			in.ServerProperties = properties("corus.process.dir", "/b/${x}", "x", "wrong")
		}, "/a/${x} /b/${x}"},
		{"an escape in a property is text where it is used", "${x}", func(in *cmdline.Input) {
			in.Starter.Properties = properties("y", "wrong", "x", "$${y}")
		}, "${y}"},
		{"a property that was not known yet, used when it is", "${x}", func(in *cmdline.Input) {
			in.Starter.Properties = properties("x", "<${y}>", "y", "late")
		}, "<late>"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			in := generic(test.value)
			test.in(&in)
			expectArgs(t, mustBuild(t, in), "echo", test.want)
		})
	}
}

func TestGeneric(t *testing.T) {
	starter := descriptor.Starter{
		Kind: descriptor.Generic,
		Args: []descriptor.Arg{
			{Value: "${user.dir}/bin/serve"}, {ProcessProperties: true}, {Value: "--port=${corus.process.port.http}"},
			{Value: ""}, {Value: "${nothing:-}"}, {Value: "two words 'as they are'"}, {Value: "line\nend"}, {ProcessProperties: true}, {Value: "${x}"},
		},
		Properties: properties("x", "${corus.server.port.http}0", "corus.home", "mine"),
	}
	command := mustBuild(t, cmdline.Input{
		Starter:           starter,
		UserDir:           "/dist",
		ServerProperties:  properties("corus.home", "/home", "corus.process.port.http", "8080", "corus.server.port.http", "8080"),
		ProcessProperties: properties("p", "1", "q", "${x} $<p>", "p", "2"),
	})
	given := []string{"-Dx=80800", "-Dcorus.home=/home", "-Dcorus.process.port.http=8080", "-Dcorus.server.port.http=8080", "-Dq=80800 2", "-Dp=2"}
	want := append([]string{"/dist/bin/serve"}, given...)
	want = append(want, "--port=8080", "", "two words 'as they are'", "line\nend")
	want = append(want, given...)
	expectArgs(t, command, append(want, "80800")...)
	expectWarnings(t, command, `property "corus.home": the server sets it for every process, and its value is the one on the command line`)
}

func TestWarnings(t *testing.T) {
	in := generic("${x} ${y}", "${y} $<x> ${z:-d} ${late}", "${b}")
	in.Process = "httpServer"
	in.Starter.Properties = properties("a", "${b}", "b", "${gone}")
	in.ProcessProperties = properties("corus.home", "/else")
	in.ServerProperties = properties("corus.home", "/home")
	in.Ports = []cmdline.Port{{Name: "m.x", Number: 1}, {Name: "m-x", Number: 2}}
	command := mustBuild(t, in)
	expectArgs(t, command, "echo", "${x} ${y}", "${y} $<x> d ${late}", "${gone}")
	expectWarnings(t, command,
		`process "httpServer": property "a": variable "b" has no value before it is rendered, and stays as it is`,
		`process "httpServer": property "b": variable "gone" is unknown, and stays as it is`,
		`process "httpServer": process property "corus.home": it replaces what the server sets for every process`,
		`process "httpServer": arg 2: variable "x" is unknown, and stays as it is`,
		`process "httpServer": arg 2: variable "y" is unknown, and stays as it is`,
		`process "httpServer": arg 3: variable "late" is unknown, and stays as it is`,
		`process "httpServer": environment: CORUS_PROCESS_PORT_M_X is the port of range "m.x"; that of range "m-x" has the same name there, use corus.process.port.m-x`,
	)
}

func TestBuildErrors(t *testing.T) {
	secret := "hunter2"
	java := func(change func(*descriptor.Starter)) cmdline.Input {
		in := cmdline.Input{UserDir: "/dist", Jars: noArchives,
			Starter: descriptor.Starter{Kind: descriptor.Java, MainClass: "Main"}}
		change(&in.Starter)
		return in
	}
	with := func(in cmdline.Input, change func(*cmdline.Input)) cmdline.Input {
		change(&in)
		return in
	}
	disk := errors.New("input/output error")
	tests := []struct {
		name string
		in   cmdline.Input
		is   error
		want string
	}{
		{"magnet", cmdline.Input{Starter: descriptor.Starter{Kind: descriptor.Magnet}, Process: "httpServer", UserDir: "/dist"},
			cmdline.ErrUnsupported, `process "httpServer": <magnet> cannot be started: its file cannot be read here`},
		{"no process name", cmdline.Input{Starter: descriptor.Starter{Kind: descriptor.Magnet}, UserDir: "/dist"},
			cmdline.ErrUnsupported, `<magnet> cannot be started: its file cannot be read here`},
		{"relative folder", with(generic(), func(in *cmdline.Input) { in.UserDir = "dist" }),
			cmdline.ErrInvalid, `the distribution's folder "dist" is not an absolute path`},

		{"circle of the starter", with(generic(), func(in *cmdline.Input) { in.Starter.Properties = properties("a", "${b}", "b", "${a}") }),
			cmdline.ErrCircle, `property "b": variable "b": circle: b → a → b`},
		{"circle of three of the starter", with(generic(), func(in *cmdline.Input) {
			in.Starter.Properties = properties("a", "${b}", "b", "${c}", "c", "${a}")
		}), cmdline.ErrCircle, `property "c": variable "c": circle: c → a → b → c`},
		{"circle of one of the starter", with(generic(), func(in *cmdline.Input) { in.Starter.Properties = properties("a", "x${a}") }),
			cmdline.ErrCircle, `property "a": variable "a": circle: a → a`},
		{"circle of the process", with(generic(), func(in *cmdline.Input) {
			in.ProcessProperties = properties("a", "${b}", "b", "${a}")
		}), cmdline.ErrCircle, `process property "a": variable "a": circle: a → b → a`},
		{"circle of one of the process", with(generic(), func(in *cmdline.Input) { in.ProcessProperties = properties("a", "${a}") }),
			cmdline.ErrCircle, `process property "a": variable "a": circle: a → a`},
		{"circle of the environment", with(generic("${A}"), func(in *cmdline.Input) { in.Environ = []string{"A=${B}", "B=${A}"} }),
			cmdline.ErrCircle, `arg 2: variable "A": circle: A → B → A`},
		{"circle through an option", java(func(s *descriptor.Starter) {
			s.XOptions, s.Options = properties("ms", "${o}"), properties("o", "${ms}")
		}), cmdline.ErrCircle, `option "o": variable "o": circle: o → ms → o`},

		{"bomb", with(generic("${a}"), func(in *cmdline.Input) {
			in.Environ = []string{"a=" + strings.Repeat("${b}", 300), "b=" + strings.Repeat(secret, 100)}
		}), cmdline.ErrTooLong, `arg 2: it is longer than 64 KiB with its variables replaced; make it shorter`},
		{"many large values", with(generic(), func(in *cmdline.Input) {
			in.Environ = []string{"a=" + strings.Repeat("x", 60000)}
			for i := range 100 {
				in.Starter.Properties = append(in.Starter.Properties, cmdline.Property{Name: fmt.Sprint("p", i), Value: "${a}"})
			}
		}), cmdline.ErrTooLong, `property "p34": the values are longer than 2 MiB together, more than a command may have`},
		{"long argument", with(generic(), func(in *cmdline.Input) {
			in.ServerProperties = properties("x", strings.Repeat("x", 128<<10))
			in.Starter.Args = append(in.Starter.Args, descriptor.Arg{ProcessProperties: true})
		}), cmdline.ErrTooLong, `argument 1 (property "x") is longer than the 128 KiB that an argument may have`},

		{"NUL in an argument", generic("a", secret+"\x00"), cmdline.ErrInvalid, `argument 2 holds a NUL character`},
		{"NUL in a property", with(generic(), func(in *cmdline.Input) {
			in.ProcessProperties = properties("p", secret+"\x00")
			in.Starter.Args = append(in.Starter.Args, descriptor.Arg{ProcessProperties: true})
		}), cmdline.ErrInvalid, `argument 1 (property "p") holds a NUL character`},
		{"NUL in the environment", with(generic(), func(in *cmdline.Input) { in.ExtraEnv = []string{"A=" + secret + "\x00"} }),
			cmdline.ErrInvalid, `environment: "A" holds a NUL character`},
		{"NUL through a variable", with(generic("${a}"), func(in *cmdline.Input) { in.ServerProperties = properties("a", "\x00") }),
			cmdline.ErrInvalid, `argument 1 holds a NUL character`},
		{"property with an equals sign", with(generic(), func(in *cmdline.Input) { in.Starter.Properties = properties("a=b", secret) }),
			cmdline.ErrInvalid, `property "a=b": a name is not empty and holds no "=" and no NUL character`},
		{"process property without a name", with(generic(), func(in *cmdline.Input) { in.ProcessProperties = properties("", secret) }),
			cmdline.ErrInvalid, `process property: a name is not empty and holds no "=" and no NUL character`},
		{"server property with a NUL", with(generic(), func(in *cmdline.Input) { in.ServerProperties = properties("a\x00", secret) }),
			cmdline.ErrInvalid, `server property "a\x00": a name is not empty and holds no "=" and no NUL character`},

		{"no program", cmdline.Input{UserDir: "/dist", Starter: descriptor.Starter{Kind: descriptor.Generic}},
			cmdline.ErrInvalid, `<generic> has no program; give it as the first <arg>`},
		{"empty program", cmdline.Input{UserDir: "/dist", Starter: descriptor.Starter{Kind: descriptor.Generic, Args: []descriptor.Arg{{Value: ""}, {Value: "x"}}}},
			cmdline.ErrInvalid, `<generic> has no program; give it as the first <arg>`},
		{"properties before the program", cmdline.Input{UserDir: "/dist", Starter: descriptor.Starter{Kind: descriptor.Generic, Args: []descriptor.Arg{{ProcessProperties: true}, {Value: "x"}}}},
			cmdline.ErrInvalid, `<processProperties> stands before the program; begin with an <arg>`},

		{"no main class", java(func(s *descriptor.Starter) { s.MainClass = "${x:-}" }),
			cmdline.ErrInvalid, `mainClass is empty; name the class whose main is to run`},
		{"open quote", java(func(s *descriptor.Starter) { s.MainArgs = `a "` + secret }),
			cmdline.ErrInvalid, `args: a quote (") is not closed`},
		{"colon in the class path", with(java(func(*descriptor.Starter) {}), func(in *cmdline.Input) {
			in.UserDir = "/di:st"
		}), cmdline.ErrInvalid, `class path: "/di:st" holds ":", which parts the entries of a class path; rename it`},
		{"folder that cannot be read", with(java(func(*descriptor.Starter) {}), func(in *cmdline.Input) {
			in.Jars = func(string) ([]string, error) { return nil, disk }
		}), disk, `libDirs: "lib": input/output error`},
		{"bad pattern", java(func(s *descriptor.Starter) { s.LibDirs = []string{"lib/[*.jar"} }), nil, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.want == "" { // a pattern is looked at only where there are archives
				test.in.Jars = func(string) ([]string, error) { return []string{"a.jar"}, nil }
				test.is, test.want = cmdline.ErrInvalid, `libDirs: "lib/[*.jar" is not a pattern: syntax error in pattern`
			}
			command, err := cmdline.Build(test.in)
			if !errors.Is(err, test.is) || err == nil || err.Error() != test.want {
				t.Fatalf("error %v\nwant  %s", err, test.want)
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("error %v shows a value", err)
			}
			if !reflect.DeepEqual(command, cmdline.Command{}) {
				t.Errorf("a command beside the error: %v", command)
			}
		})
	}
}

// A process' own property and the starter's property of the same name may refer
// to it without a circle, for they are different variables.
func TestPassedOn(t *testing.T) {
	in := generic("${p} ${q}")
	in.Starter.Properties = properties("p", "${p}/a", "q", "1")
	in.ProcessProperties = properties("p", "base", "q", "${q}2")
	in.Starter.Args = append(in.Starter.Args, descriptor.Arg{ProcessProperties: true})
	expectArgs(t, mustBuild(t, in), "echo", "base/a 1", "-Dp=base", "-Dq=12")
}

func TestInputIsNotChanged(t *testing.T) {
	in := fullJava()
	before := fmt.Sprintf("%#v %#v %#v %#v", in.Starter, in.ProcessProperties, in.ServerProperties, in.Environ)
	first := mustBuild(t, in)
	second := mustBuild(t, in)
	if after := fmt.Sprintf("%#v %#v %#v %#v", in.Starter, in.ProcessProperties, in.ServerProperties, in.Environ); after != before {
		t.Errorf("the input changed from\n%s\nto\n%s", before, after)
	}
	if !reflect.DeepEqual(first, second) {
		t.Errorf("the same input gave\n%v\nand\n%v", first, second)
	}
}

// fullJava returns an input of ordinary size that uses everything.
func fullJava() cmdline.Input {
	ports := []cmdline.Port{{Name: "http", Protocol: "tcp", Number: 8080}, {Name: "admin", Protocol: "tcp", Number: 9090}}
	var environ []string
	for i := range 40 {
		environ = append(environ, fmt.Sprintf("VARIABLE_%d=value %d", i, i))
	}
	var jars []string
	for i := range 20 {
		jars = append(jars, path.Join("/dist/lib", fmt.Sprintf("part-%02d.jar", i)))
	}
	return cmdline.Input{
		UserDir:  "/dist",
		JavaHome: "/jdk",
		Starter: descriptor.Starter{
			Kind: descriptor.Java, Profile: "test", VMType: "server", MainClass: "demo.Main",
			Args:       []descriptor.Arg{{Value: "-ea"}, {Value: "-javaagent:${user.dir}/agent.jar=port=${corus.process.port.admin}"}},
			XOptions:   properties("ms", "16M", "mx", "${heap:-64M}", "X:", "+UseParallelGC"),
			Options:    properties("verbose:gc", "", "-add-opens", "java.base/java.lang=ALL-UNNAMED"),
			Properties: properties("http.port", "${corus.server.port.http}", "url", "http://${corus.server.host}:${http.port}/"),
			MainArgs:   `--name "${corus.process.name} of ${corus.distribution.name}" -v`,
		},
		ProcessProperties: properties("log.level", "info", "log.file", "${corus.process.dir}/log"),
		ServerProperties: cmdline.ServerProperties(cmdline.ServerInfo{
			Home: "/home", Host: "127.0.0.1", HostName: "localhost", Distribution: "demo", Version: "1.0",
			Process: "httpServer", Dir: "/home/processes/7", ID: 7, Profile: "test",
			PollInterval: 10 * time.Second, StatusInterval: 30 * time.Second, Ports: ports,
		}),
		Ports:    ports,
		Environ:  environ,
		ExtraEnv: []string{"BERTH_STATE_ID=ab", "BERTH_PROCESS_ID=7", "BERTH_HOME=/home", "BERTH_SOCKET=/home/berth.sock"},
		Jars:     folders(map[string][]string{"/dist/lib": jars}),
	}
}

func BenchmarkBuild(b *testing.B) {
	in := fullJava()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := cmdline.Build(in); err != nil {
			b.Fatal(err)
		}
	}
}

// Every value of a starter has its variables replaced, and an error in any of
// them says where it is.
func TestWhereAnErrorIs(t *testing.T) {
	long := strings.Repeat("ü", 100)
	for want, starter := range map[string]descriptor.Starter{
		`javaHome`:        {JavaHome: "${A}"},
		`javaCmd`:         {JavaCmd: "${A}"},
		`vmType`:          {VMType: "${A}"},
		`arg 2`:           {Args: []descriptor.Arg{{Value: "-ea"}, {Value: "${A}"}}},
		`xoption "x"`:     {XOptions: properties("x", "${A}")},
		`option "x"`:      {Options: properties("x", "${A}")},
		`property "x"`:    {Properties: properties("x", "${A}")},
		`property "${A}"`: {Properties: properties("${A}", "x")},
		`property "` + strings.Repeat("ü", 40) + `…"`: {Properties: properties(long, "${A}")},
		`libDirs`:   {LibDirs: []string{"lib", "${A}"}},
		`mainClass`: {MainClass: "${A}"},
		`args`:      {MainArgs: "a ${A}"},
	} {
		t.Run(want, func(t *testing.T) {
			starter.Kind = descriptor.Java
			if starter.MainClass == "" {
				starter.MainClass = "Main"
			}
			_, err := cmdline.Build(cmdline.Input{Starter: starter, UserDir: "/dist", Jars: noArchives, Environ: []string{"A=${A}"}})
			if want += `: variable "A": circle: A → A`; !errors.Is(err, cmdline.ErrCircle) || err.Error() != want {
				t.Errorf("error %v, want %s", err, want)
			}
		})
	}
}
