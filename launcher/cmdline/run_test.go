package cmdline_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"berth/launcher/cmdline"
)

func variable(env []string, name string) string {
	for _, entry := range env {
		if n, value, _ := strings.Cut(entry, "="); n == name {
			return value
		}
	}
	return "-"
}

func fileVariable(name, value string, literal bool) cmdline.FileVariable {
	return cmdline.FileVariable{Property: cmdline.Property{Name: name, Value: value}, Literal: literal}
}

// A command in the foreground is told its ports in every way there is, and is
// otherwise what its caller wrote.
func TestBuildRun(t *testing.T) {
	in := cmdline.RunInput{
		Args: []string{"sh", "-c", "echo ${PORT} ${i} ${x:-y} $$ ${corus.server.port.http}", "", "${corus.process.port.media}", "${corus.process.port.port}", "${NODE_APP_INSTANCE}"},
		Ports: []cmdline.Port{
			{Name: "http", Number: 8080},
			{Name: "media", Protocol: "udp", Number: 20001, Count: 4},
			{Number: 3000},
		},
		Instance: 2,
		Environ: []string{
			"HOME=/root", "PORT=1", "PM2_INSTANCE_ID=9", "TCP_PORT=1", "OLDPWD=/tmp", "PWD=/x", "JAVA_TOOL_OPTIONS=-Xmx1m",
			"NOTIFY_SOCKET=/run/n", "BERTH_PROCESS_ID=7", "BERTH_STATE_ID=s", "COLOR=red",
		},
		Files: []cmdline.FileVariable{
			fileVariable("PORT", "5", false), fileVariable("COLOR", "blue", false),
			fileVariable("URL", "http://localhost:${PORT}/${x}", false), fileVariable("OWN", "${PORT}", true),
		},
		InjectEnv: true,
	}
	got, err := cmdline.BuildRun(in)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"sh", "-c", "echo 8080 ${i} ${x:-y} $$ 8080", "", "20001", "3000", "2"}; !slices.Equal(got.Args, want) {
		t.Errorf("arguments %q, not %q", got.Args, want)
	}
	for name, want := range map[string]string{
		"HOME": "/root", "PORT": "8080", "PM2_INSTANCE_ID": "2", "NODE_APP_INSTANCE": "2",
		"TCP_PORT": "8080", "TCP_PORTS": "8080,3000", "TCP_PORTS_RANGE": "-",
		"UDP_PORT": "20001", "UDP_PORTS": "20001,20002,20003,20004", "UDP_PORTS_RANGE": "20001-20004",
		"CORUS_PROCESS_PORT_HTTP": "8080", "corus.process.port.media": "20001", "CORUS_PROCESS_PORT_PORT": "3000",
		"COLOR": "blue", "URL": "http://localhost:8080/${x}", "OWN": "${PORT}",
		"PWD": "/x", "OLDPWD": "/tmp", "NOTIFY_SOCKET": "-", "BERTH_PROCESS_ID": "7", "BERTH_STATE_ID": "s",
		"JAVA_TOOL_OPTIONS": "-Xmx1m -Dcorus.process.port.http=8080 -Dcorus.server.port.http=8080" +
			" -Dcorus.process.port.media=20001 -Dcorus.server.port.media=20001 -Dcorus.process.port.port=3000 -Dcorus.server.port.port=3000",
	} {
		if value := variable(got.Env, name); value != want {
			t.Errorf("%s is %q, not %q", name, value, want)
		}
	}
	if len(got.Warnings) > 0 {
		t.Errorf("warnings %q", got.Warnings)
	}
	if in.Ports[2].Name != "" || in.Args[4] != "${corus.process.port.media}" {
		t.Error("the input was changed")
	}

	// In place of its caller it is what systemd speaks with.
	in.InPlace, in.InjectEnv = true, false
	if got, err = cmdline.BuildRun(in); err != nil || variable(got.Env, "NOTIFY_SOCKET") != "/run/n" || variable(got.Env, "JAVA_TOOL_OPTIONS") != "-Xmx1m" {
		t.Errorf("%v, %q", err, got.Env)
	}
}

func TestBuildRunWarnsAndRefuses(t *testing.T) {
	got, err := cmdline.BuildRun(cmdline.RunInput{
		Args:  []string{"x", "${corus.server.port.htp}", "${corus.server.port.htp}", "${other}"},
		Ports: []cmdline.Port{{Name: "http", Number: 1}},
	})
	if err != nil || len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], `arg 2: no port "corus.server.port.htp" is leased`) || got.Args[1] != "${corus.server.port.htp}" {
		t.Errorf("%v, %q", err, got)
	}
	for _, tt := range []struct {
		in   cmdline.RunInput
		want error
	}{
		{cmdline.RunInput{}, cmdline.ErrInvalid},
		{cmdline.RunInput{Args: []string{""}}, cmdline.ErrInvalid},
		{cmdline.RunInput{Args: []string{"x", "a\x00"}}, cmdline.ErrInvalid},
		{cmdline.RunInput{Args: []string{"x", strings.Repeat("a", 200<<10)}}, cmdline.ErrTooLong},
		{cmdline.RunInput{Args: []string{"x"}, Environ: []string{"A=\x00"}}, cmdline.ErrInvalid},
	} {
		if _, err := cmdline.BuildRun(tt.in); !errors.Is(err, tt.want) {
			t.Errorf("%.60q: %v, not %v", tt.in.Args, err, tt.want)
		}
	}
}
