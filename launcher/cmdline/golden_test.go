package cmdline_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"berth/descriptor"
	"berth/launcher/cmdline"
)

var update = flag.Bool("update", false, "write the golden files anew")

// goldenInput is what all golden commands are made from: the first starter of
// a descriptor, beside what is awkward in an argument.
func goldenInput(t *testing.T, name string) cmdline.Input {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name+".corus.xml"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d, err := descriptor.Parse(f)
	if err != nil {
		t.Fatal(err)
	}
	p := d.Processes[0]
	ports := []cmdline.Port{{Name: "http", Protocol: "tcp", Number: 8080}, {Name: "media", Protocol: "udp", Number: 20001, Count: 3}}
	return cmdline.Input{
		Starter: p.Starters[0], Process: p.Name, UserDir: "/srv/the shop", JavaHome: "/usr/lib/jdk",
		ProcessProperties: []cmdline.Property{
			{Name: "greeting", Value: `say "hello" it's ${corus.server.port.http}`}, {Name: "empty", Value: ""},
			{Name: "größe", Value: "übergroß 🚢"}, {Name: "db.password", Value: `pw \ "x" é🚢 ${corus.process.id}`}, {Name: "line", Value: "a\nb"},
		},
		ServerProperties: cmdline.ServerProperties(cmdline.ServerInfo{
			Home: "/var/lib/berth", Host: "10.0.0.1", HostName: "host", Distribution: d.Name, Version: d.Version,
			Process: p.Name, Dir: "/var/lib/berth/processes/7", ID: 7, Profile: "test", Ports: ports,
		}),
		Ports: ports, Instance: 2, Container: "berth-0123abcd-7", ContainerFile: "/var/lib/berth/processes/7/container.id",
		InjectEnv: slices.ContainsFunc(p.Ports, func(port descriptor.Port) bool { return port.InjectEnv }),
		Environ:   []string{"PATH=/bin", "EMPTY=", "JAVA_TOOL_OPTIONS=-Xshare:auto"},
		Jars: folders(map[string][]string{
			"/srv/the shop/lib":    {"b.jar", "a b/é.jar", "old/c.zip"},
			"/srv/the shop/shared": {"x.jar"},
		}),
		Magnet: func(name string) (*descriptor.MagnetFile, error) {
			f, err := os.Open(filepath.Join("testdata", name))
			if err != nil {
				return nil, err
			}
			defer f.Close()
			return descriptor.ParseMagnet(f)
		},
	}
}

// TestGolden compares whole commands, argument by argument.
func TestGolden(t *testing.T) {
	for _, name := range []string{"java", "magnet", "magnet-system", "generic", "docker", "docker-image"} {
		t.Run(name, func(t *testing.T) {
			command := mustBuild(t, goldenInput(t, name))
			var out strings.Builder
			for _, arg := range command.Args {
				fmt.Fprintf(&out, "%q\n", arg)
			}
			fmt.Fprintf(&out, "\ndir %q\n", command.Dir)
			for _, entry := range command.Env {
				fmt.Fprintf(&out, "env %q\n", entry)
			}
			for _, p := range command.Hidden {
				fmt.Fprintf(&out, "hidden %q %q\n", p.Name, p.Value)
			}
			for _, warning := range command.Warnings {
				fmt.Fprintf(&out, "warning %s\n", warning)
			}
			file := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if out.String() != string(want) {
				t.Errorf("got\n%s\nwant\n%s", out.String(), want)
			}
			for _, arg := range command.Args {
				if strings.Contains(arg, "pw ") {
					t.Errorf("a secret is in argument %q", arg)
				}
			}
		})
	}
}
