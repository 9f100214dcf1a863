package cmdline_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"berth/descriptor"
	"berth/launcher/cmdline"
)

func TestIsHidden(t *testing.T) {
	for name, want := range map[string]bool{
		"password": true, "db.Password.old": true, "USERNAME": true, "my-secret": true, "aws.access.key": true, "AccessKeyId": true, "accesskey": true,
		"": false, "user": false, "pass": false, "key.access": false, "accesskex": false, "http.port": false,
	} {
		if got := cmdline.IsHidden(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

// A hidden property is in no argument, however it would get there.
func TestHiddenIsRefusedInArguments(t *testing.T) {
	const secret = "canary"
	hide := func(in cmdline.Input) cmdline.Input {
		in.Process = "p"
		in.ProcessProperties = append(in.ProcessProperties, properties("db.password", secret, "again", "<${db.password}>")...)
		return in
	}
	java := func(change func(*descriptor.Starter)) cmdline.Input {
		in := cmdline.Input{UserDir: "/dist", Jars: noArchives, Starter: descriptor.Starter{Kind: descriptor.Java, MainClass: "M"}}
		change(&in.Starter)
		return hide(in)
	}
	docker := func(change func(*descriptor.Container)) cmdline.Input {
		c := &descriptor.Container{Image: "i"}
		change(c)
		return hide(cmdline.Input{UserDir: "/dist", Starter: descriptor.Starter{Kind: descriptor.Docker, Container: c}})
	}
	alone := func(in cmdline.Input) cmdline.Input {
		in.ProcessProperties = in.ProcessProperties[:1]
		return in
	}
	listed := hide(generic())
	listed.Starter.Args = append(listed.Starter.Args, descriptor.Arg{ProcessProperties: true})
	injected := hide(generic())
	injected.InjectEnv = true
	environment := hide(generic("${DB_SECRET}"))
	environment.Environ = []string{"DB_SECRET=" + secret}
	throughEnv := hide(generic("${URL}"))
	throughEnv.Starter.Env = properties("URL", "db://${db.password}@host")
	nested := hide(generic("${x}"))
	nested.Starter.Properties = properties("x", "${y}", "y", "${db.password}")
	for name, test := range map[string]struct {
		in   cmdline.Input
		what string
	}{
		"directly":                 {hide(generic("--pw=${db.password}")), `arg 2`},
		"with a default":           {hide(generic("${db.password:-x}")), `arg 2`},
		"in brackets":              {hide(generic("$<db.password>")), `arg 2`},
		"by a name that is made":   {hide(generic("${db.${none:-password}}")), `arg 2`},
		"through a property":       {hide(generic("${again}")), `arg 2`},
		"through two":              {nested, `arg 2`},
		"where all are listed":     {listed, `property "again"`},
		"in JAVA_TOOL_OPTIONS":     {injected, `property "again"`},
		"through a variable":       {throughEnv, `arg 2`},
		"as an option":             {java(func(s *descriptor.Starter) { s.Options = properties("password", "${db.password}") }), `option "password"`},
		"as an xoption":            {java(func(s *descriptor.Starter) { s.XOptions = properties("x", "${db.password}") }), `xoption "x"`},
		"as a name":                {java(func(s *descriptor.Starter) { s.Properties = properties("${db.password}", "x") }), `property "${db.password}"`},
		"for main":                 {alone(java(func(s *descriptor.Starter) { s.MainArgs = "a ${db.password}" })), `args`},
		"as libDirs":               {alone(java(func(s *descriptor.Starter) { s.LibDirs = []string{"${db.password}"} })), `libDirs`},
		"in a container's command": {docker(func(c *descriptor.Container) { c.Command = "x ${db.password}" }), `command`},
		"as a container's PATH":    {docker(func(c *descriptor.Container) { c.Env = properties("PATH", "${db.password}") }), `env "PATH"`},
		"as a volume": {docker(func(c *descriptor.Container) {
			c.Volumes = []descriptor.VolumeMapping{{Host: "${db.password}", Container: "/x"}}
		}), `volumeMapping "${db.password}"`},
	} {
		t.Run(name, func(t *testing.T) {
			command, err := cmdline.Build(test.in)
			want := fmt.Sprintf(`process "p": %s: it holds the hidden property "db.password", which must not be on a command line; have the process read it from ${corus.process.dir}/.corus-process.hidden.properties`, test.what)
			if !errors.Is(err, cmdline.ErrInvalid) || err.Error() != want {
				t.Fatalf("got %q\n%v\nwant\n%s", command.Args, err, want)
			}
		})
	}
	t.Run("from the server", func(t *testing.T) {
		in := generic("--pw=${site.password}")
		in.ServerVariables = properties("site.password", secret)
		want := `arg 2: it holds the hidden property "site.password" of the server, which must not be on a command line; ` +
			`set it for processes (conf add -s p) and have the process read it from ${corus.process.dir}/.corus-process.hidden.properties`
		if _, err := cmdline.Build(in); !errors.Is(err, cmdline.ErrInvalid) || err.Error() != want {
			t.Errorf("got %v\nwant %s", err, want)
		}
	})
	t.Run("from the environment", func(t *testing.T) {
		if _, err := cmdline.Build(environment); !errors.Is(err, cmdline.ErrInvalid) || !strings.Contains(err.Error(), `hidden property "DB_SECRET" of the environment`) || strings.Contains(err.Error(), secret) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a port is none", func(t *testing.T) {
		in := generic("${corus.server.port.secret}")
		in.Ports = []cmdline.Port{{Name: "secret", Number: 8080}}
		in.ServerProperties = cmdline.ServerProperties(cmdline.ServerInfo{Ports: in.Ports})
		expectArgs(t, mustBuild(t, in), "echo", "8080")
	})
}

// What is set for the server is given to no process, unless a value of its own has it.
func TestServerVariablesAreNotGiven(t *testing.T) {
	in := generic("${site}")
	in.Starter.Args = append(in.Starter.Args, descriptor.Arg{ProcessProperties: true})
	in.InjectEnv = true
	in.ServerVariables = properties("site", "main", "site.password", "canary", "unused", "canary")
	in.Starter.Properties = properties("where", "${site}", "db.password", "${site.password}")
	in.Starter.Env = properties("DB_URL", "db://${site.password}@host")
	command := mustBuild(t, in)
	expectArgs(t, command, "echo", "main", "-Dwhere=main")
	if !slices.Equal(command.Hidden, properties("db.password", "canary")) {
		t.Errorf("hidden %q", command.Hidden)
	}
	var has []string
	for _, entry := range command.Env {
		if strings.Contains(entry, "canary") || strings.Contains(entry, "main") {
			has = append(has, entry)
		}
	}
	if want := []string{"DB_URL=db://canary@host", "JAVA_TOOL_OPTIONS=-Dwhere=main"}; !slices.Equal(has, want) {
		t.Errorf("environment %q", has)
	}
}

// Where the environment has it, a secret is on no command line.
func TestHiddenInTheEnvironment(t *testing.T) {
	in := generic()
	in.ProcessProperties = properties("db.password", "pw ${x:-y}")
	in.Starter.Env = properties("DB_URL", "db://${db.password}@host", "PORTS", "${PORT}")
	in.Ports = []cmdline.Port{{Name: "http", Number: 8080}}
	command := mustBuild(t, in)
	expectArgs(t, command, "echo")
	for _, entry := range []string{"DB_URL=db://pw y@host", "PORTS=8080"} {
		if !slices.Contains(command.Env, entry) {
			t.Errorf("no %q in %q", entry, command.Env)
		}
	}
	if !slices.Equal(command.Hidden, properties("db.password", "pw y")) {
		t.Errorf("hidden %q", command.Hidden)
	}
}

func TestHiddenText(t *testing.T) {
	got := string(cmdline.HiddenText(properties("a b=c:d#e!f\\", "  x y  ", "é", "ü🚢\n\r\t\f\\", "empty", "", "plain", "a=b:c#d!")))
	want := `a\ b\=c\:d\#e\!f\\=\ \ x y  ` + "\n" + `\u00e9=\u00fc\ud83d\udea2\n\r\t\f\\` + "\nempty=\nplain=a=b:c#d!\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestDockerRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*descriptor.Container)
		want   string
	}{
		"no image":               {func(c *descriptor.Container) { c.Image = "" }, `image: ":" is not the name of one`},
		"an option for an image": {func(c *descriptor.Container) { c.Image = "--privileged" }, `image: "--privileged" is not the name of one`},
		"a port that is not leased": {func(c *descriptor.Container) {
			c.Ports = []descriptor.PortMapping{{Host: "${corus.server.port.http}", Container: "80"}}
		}, `portMapping "${corus.server.port.http}:80": "${corus.server.port.http}" is not a port from 1 to 65535`},
		"a container's port": {func(c *descriptor.Container) { c.Ports = []descriptor.PortMapping{{Host: "80", Container: "http"}} },
			`portMapping "80:http": "http" is not a port from 1 to 65535`},
		"a colon in a volume": {func(c *descriptor.Container) { c.Volumes = []descriptor.VolumeMapping{{Host: "/a:b", Container: "/c"}} },
			`volumeMapping "/a:b": "/a:b" holds ":", which parts a mapping of docker`},
		"a volume that is not absolute": {func(c *descriptor.Container) { c.Volumes = []descriptor.VolumeMapping{{Host: "/a", Container: "b"}} },
			`volumeMapping "/a": containerVolume "b" is not an absolute path`},
		"an open quote": {func(c *descriptor.Container) { c.Command = "'" }, `command: a quote (') is not closed`},
	} {
		t.Run(name, func(t *testing.T) {
			c := &descriptor.Container{Image: "i"}
			test.change(c)
			_, err := cmdline.Build(cmdline.Input{UserDir: "/dist", Starter: descriptor.Starter{Kind: descriptor.Docker, Container: c}})
			if !errors.Is(err, cmdline.ErrInvalid) || err.Error() != test.want {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}

func TestMagnetRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		file string
		is   error
		want string
	}{
		"no launcher has the profile": {`<magnet><launcher type="java" name="a" mainClass="M"><profile name="x"/></launcher></magnet>`,
			cmdline.ErrInvalid, `magnet file "m.xml": no launcher has profile "test", or a default`},
		"two commands": {`<magnet><launcher type="java" name="a" mainClass="M"><profile name="test"/></launcher><launcher type="system" name="b" command="c"><profile name="test"/></launcher></magnet>`,
			cmdline.ErrUnsupported, `magnet file "m.xml": launchers "a" and "b" both have profile "test": a process is one command, make two processes of them`},
		"a script": {`<magnet><script type="bsh">x</script><launcher type="java" name="a" mainClass="M"><profile name="test"/></launcher></magnet>`,
			cmdline.ErrUnsupported, `magnet file "m.xml": script: a script of type "bsh" cannot be run, there is no interpreter for it: write what it sets as parameters, or start the process by a <generic> starter`},
		"a class path that is not there": {`<magnet><launcher type="java" name="a" mainClass="M"><profile name="test"><classpath parent="b"/></profile></launcher></magnet>`,
			cmdline.ErrInvalid, `magnet file "m.xml": there is no class path "b"`},
		"a class path that is its own parent": {`<magnet><classpath id="b" parent="b"/><launcher type="java" name="a" mainClass="M"><profile name="test"><classpath parent="b"/></profile></launcher></magnet>`,
			cmdline.ErrInvalid, `magnet file "m.xml": class path "b" is its own parent`},
		"an environment that is not there": {`<magnet><launcher type="system" name="a" command="c"><profile name="test"><environment parent="b"/></profile></launcher></magnet>`,
			cmdline.ErrInvalid, `magnet file "m.xml": there is no environment "b"`},
		"a pattern": {`<magnet><launcher type="java" name="a" mainClass="M"><profile name="test"><classpath><path directory="l"><include pattern="[x"/></path></classpath></profile></launcher></magnet>`,
			cmdline.ErrInvalid, `magnet file "m.xml": path "l": "[x" is not a pattern`},
		"a circle": {`<magnet><parameters><param name="a" value="${b}"/></parameters><launcher type="java" name="a" mainClass="${x}"><profile name="test"/></launcher></magnet>`,
			cmdline.ErrCircle, `magnet file "m.xml": process property "x": variable "x": circle: x → y → x`},
	} {
		t.Run(name, func(t *testing.T) {
			in := cmdline.Input{UserDir: "/dist", Jars: noArchives,
				Starter: descriptor.Starter{Kind: descriptor.Magnet, Profile: "test", MagnetFile: "m.xml"},
				Magnet: func(string) (*descriptor.MagnetFile, error) {
					return descriptor.ParseMagnet(strings.NewReader(test.file))
				}}
			if test.is == cmdline.ErrCircle {
				in.ProcessProperties = properties("x", "${y}", "y", "${x}")
			}
			_, err := cmdline.Build(in)
			if !errors.Is(err, test.is) || err.Error() != test.want {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
	t.Run("a file that is not there", func(t *testing.T) {
		in := cmdline.Input{UserDir: "/dist", Starter: descriptor.Starter{Kind: descriptor.Magnet, Profile: "test", MagnetFile: "m.xml"},
			Magnet: func(name string) (*descriptor.MagnetFile, error) {
				_, err := os.Open(filepath.Join(t.TempDir(), name))
				return nil, err
			}}
		if _, err := cmdline.Build(in); !errors.Is(err, os.ErrNotExist) || !strings.HasPrefix(err.Error(), `magnet file "m.xml": `) {
			t.Errorf("got %v", err)
		}
	})
}
