package cmdline_test

import (
	"reflect"
	"testing"
	"time"

	"berth/launcher/cmdline"
)

func TestServerProperties(t *testing.T) {
	info := cmdline.ServerInfo{
		Home: "/var/lib/berth", Host: "10.0.0.1", HostName: "one.test", ServerPort: 33000, Domain: "prod",
		Distribution: "demo", Version: "1.0",
		Process: "httpServer", Dir: "/var/lib/berth/processes/7", ID: 7, Profile: "test",
		PollInterval: 10 * time.Second, StatusInterval: 1500 * time.Millisecond,
		Ports: []cmdline.Port{{Name: "http", Number: 8080}, {Name: "admin", Number: 9090}, {Name: "http", Number: 8081}},
	}
	all := []cmdline.Property{
		{Name: "corus.home", Value: "/var/lib/berth"},
		{Name: "corus.server.host", Value: "10.0.0.1"},
		{Name: "corus.server.host.name", Value: "one.test"},
		{Name: "corus.server.port", Value: "33000"},
		{Name: "corus.server.domain", Value: "prod"},
		{Name: "corus.distribution.name", Value: "demo"},
		{Name: "corus.distribution.version", Value: "1.0"},
		{Name: "corus.process.name", Value: "httpServer"},
		{Name: "corus.process.dir", Value: "/var/lib/berth/processes/7"},
		{Name: "corus.process.id", Value: "7"},
		{Name: "corus.process.profile", Value: "test"},
		{Name: "corus.process.poll.interval", Value: "10"},
		{Name: "corus.process.status.interval", Value: "1"},
		{Name: "corus.process.port.http", Value: "8080"},
		{Name: "corus.server.port.http", Value: "8080"},
		{Name: "corus.process.port.admin", Value: "9090"},
		{Name: "corus.server.port.admin", Value: "9090"},
	}
	if got := cmdline.ServerProperties(info); !reflect.DeepEqual(got, all) {
		t.Errorf("properties\n%v\nwant\n%v", got, all)
	}

	info.ServerPort, info.Domain, info.Ports = 0, "", nil
	alone := append(append([]cmdline.Property{}, all[:3]...), all[5:13]...)
	if got := cmdline.ServerProperties(info); !reflect.DeepEqual(got, alone) {
		t.Errorf("without a TCP listener, a cluster and ports: properties\n%v\nwant\n%v", got, alone)
	}
}
