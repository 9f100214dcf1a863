package cmdline_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"berth/launcher/cmdline"
)

func TestEnviron(t *testing.T) {
	http := cmdline.Port{Name: "http", Protocol: "tcp", Number: 8080}
	admin := cmdline.Port{Name: "http-admin.v2_x", Protocol: "tcp", Number: 9090}
	tests := []struct {
		name      string
		inherited []string
		dir       string
		ports     []cmdline.Port
		extra     []string
		want      []string
		warnings  []string
	}{
		{name: "nothing", want: []string{}},
		{
			name:      "inherited as it is",
			inherited: []string{"PATH=/bin", "EMPTY=", "EQUALS=a=b", "LINES=a\nb", "not.an-identifier=1", "RAW=\xff${x}"},
			want:      []string{"PATH=/bin", "EMPTY=", "EQUALS=a=b", "LINES=a\nb", "not.an-identifier=1", "RAW=\xff${x}"},
		},
		{
			name:      "last of a name counts",
			inherited: []string{"A=1", "B=1", "A=2"},
			extra:     []string{"B=2", "C=1", "C=2"},
			want:      []string{"A=2", "B=2", "C=2"},
		},
		{
			name:      "entries without a name or a value",
			inherited: []string{"", "A", "=B", "C=1"},
			extra:     []string{"D", "=E"},
			want:      []string{"C=1"},
		},
		{
			name:  "a port",
			ports: []cmdline.Port{http},
			want:  []string{"PORT=8080", "TCP_PORT=8080", "corus.process.port.http=8080", "CORUS_PROCESS_PORT_HTTP=8080"},
		},
		{
			name:  "the first port is PORT",
			ports: []cmdline.Port{admin, http},
			want: []string{"PORT=9090", "TCP_PORT=9090", "TCP_PORTS=9090,8080",
				"corus.process.port.http-admin.v2_x=9090", "CORUS_PROCESS_PORT_HTTP_ADMIN_V2_X=9090",
				"corus.process.port.http=8080", "CORUS_PROCESS_PORT_HTTP=8080"},
		},
		{
			name:  "two ranges of one name in upper case",
			ports: []cmdline.Port{{Name: "a.b", Number: 1}, {Name: "A-b", Number: 2}},
			want: []string{"PORT=1", "TCP_PORT=1", "TCP_PORTS_RANGE=1-2", "TCP_PORTS=1,2", "corus.process.port.a.b=1", "CORUS_PROCESS_PORT_A_B=1",
				"corus.process.port.A-b=2"},
			warnings: []string{`environment: CORUS_PROCESS_PORT_A_B is the port of range "a.b"; that of range "A-b" has the same name there, use corus.process.port.A-b`},
		},
		{
			name:  "a range twice",
			ports: []cmdline.Port{http, {Name: "http", Number: 8081}},
			want:  []string{"PORT=8080", "TCP_PORT=8080", "TCP_PORTS_RANGE=8080-8081", "TCP_PORTS=8080,8081", "corus.process.port.http=8080", "CORUS_PROCESS_PORT_HTTP=8080"},
		},
		{
			name:  "a block",
			ports: []cmdline.Port{{Name: "media", Protocol: "udp", Number: 20001, Count: 4}},
			want: []string{"PORT=20001", "UDP_PORT=20001", "UDP_PORTS_RANGE=20001-20004", "UDP_PORTS=20001,20002,20003,20004",
				"corus.process.port.media=20001", "CORUS_PROCESS_PORT_MEDIA=20001"},
		},
		{
			name:  "a block of more than eight is not listed",
			ports: []cmdline.Port{{Name: "media", Protocol: "udp", Number: 20001, Count: 9}},
			want: []string{"PORT=20001", "UDP_PORT=20001", "UDP_PORTS_RANGE=20001-20009",
				"corus.process.port.media=20001", "CORUS_PROCESS_PORT_MEDIA=20001"},
		},
		{
			name: "protocols apart, and no range of what does not follow each other",
			ports: []cmdline.Port{{Name: "a", Protocol: "udp", Number: 5}, {Name: "b", Protocol: "tcp", Number: 7, Count: 2},
				{Name: "c", Protocol: "udp", Number: 4}, {Name: "d", Protocol: "tcp", Number: 10}},
			want: []string{"PORT=5", "TCP_PORT=7", "TCP_PORTS=7,8,10", "UDP_PORT=5", "UDP_PORTS=5,4",
				"corus.process.port.a=5", "CORUS_PROCESS_PORT_A=5", "corus.process.port.b=7", "CORUS_PROCESS_PORT_B=7",
				"corus.process.port.c=4", "CORUS_PROCESS_PORT_C=4", "corus.process.port.d=10", "CORUS_PROCESS_PORT_D=10"},
		},
		{
			name:  "a port of no range",
			ports: []cmdline.Port{{Number: 3000}},
			want:  []string{"PORT=3000", "TCP_PORT=3000"},
		},
		{
			name: "stale ports do not come through",
			inherited: []string{"PORT=1", "A=1", "CORUS_PROCESS_PORT_HTTP=1", "corus.process.port.http=1",
				"corus.process.port.other=2", "CORUS_PROCESS_PORT_OTHER=2", "corus.server.port.http=1", "REPORT=1", "PORTS=1",
				"TCP_PORT=1", "UDP_PORT=1", "TCP_PORTS=1,2", "UDP_PORTS=1,2", "TCP_PORTS_RANGE=1-2", "UDP_PORTS_RANGE=1-2", "PM2_INSTANCE_ID=1", "NODE_APP_INSTANCE=1"},
			want: []string{"A=1", "REPORT=1", "PORTS=1"},
		},
		{
			name:      "stale ports are replaced",
			inherited: []string{"PORT=1", "CORUS_PROCESS_PORT_HTTP=1", "Z=1"},
			ports:     []cmdline.Port{http},
			want:      []string{"Z=1", "PORT=8080", "TCP_PORT=8080", "corus.process.port.http=8080", "CORUS_PROCESS_PORT_HTTP=8080"},
		},
		{
			name: "what systemd told the daemon does not come through",
			inherited: []string{"NOTIFY_SOCKET=/run/systemd/notify", "LISTEN_FDS=1", "LISTEN_PID=7", "LISTEN_FDNAMES=x", "LISTEN_PIDFDID=9",
				"WATCHDOG_USEC=1", "WATCHDOG_PID=7", "INVOCATION_ID=ab", "JOURNAL_STREAM=8:1", "MANAGERPID=1", "SYSTEMD_EXEC_PID=7", "HOME=/root"},
			want: []string{"HOME=/root"},
		},
		{
			name:      "ids of a process around the daemon do not come through, its own are",
			inherited: []string{"BERTH_PROCESS_ID=3", "BERTH_STATE_ID=old", "BERTH_HOME=/old", "BERTH_AUTOSTART=0"},
			extra:     []string{"BERTH_STATE_ID=new", "BERTH_PROCESS_ID=4", "BERTH_HOME=/new"},
			want:      []string{"BERTH_HOME=/new", "BERTH_AUTOSTART=0", "BERTH_STATE_ID=new", "BERTH_PROCESS_ID=4"},
		},
		{
			name:      "the working directory",
			inherited: []string{"PWD=/daemon", "OLDPWD=/before", "A=1"},
			dir:       "/dist",
			want:      []string{"PWD=/dist", "A=1"},
		},
		{
			name:  "extra wins over a port",
			ports: []cmdline.Port{http},
			extra: []string{"PORT=0"},
			want:  []string{"PORT=0", "TCP_PORT=8080", "corus.process.port.http=8080", "CORUS_PROCESS_PORT_HTTP=8080"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, warnings, err := cmdline.Environ(test.inherited, test.dir, test.ports, test.extra)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("environment\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
			if !reflect.DeepEqual(warnings, test.warnings) {
				t.Errorf("warnings %q, want %q", warnings, test.warnings)
			}
		})
	}
}

func TestEnvironNUL(t *testing.T) {
	tests := []struct {
		name             string
		inherited, extra []string
		want             string
	}{
		{"inherited value", []string{"A=1", "B=secret\x00"}, nil, `environment: "B" holds a NUL character`},
		{"extra value", nil, []string{"BERTH_HOME=\x00"}, `environment: "BERTH_HOME" holds a NUL character`},
		{"name", []string{"A\x00B=1"}, nil, `environment: "A\x00B" holds a NUL character`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, _, err := cmdline.Environ(test.inherited, "", nil, test.extra)
			if !errors.Is(err, cmdline.ErrInvalid) || err.Error() != test.want || got != nil {
				t.Fatalf("got %q, %v; want %s", got, err, test.want)
			}
		})
	}
}
