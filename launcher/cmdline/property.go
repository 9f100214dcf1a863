package cmdline

import (
	"strconv"
	"strings"
	"time"

	"berth/descriptor"
)

// Property is a name with a value.
type Property = descriptor.Property

// Port is a leased port, as a process is told of it.
type Port struct {
	Name     string // of the range
	Protocol string // tcp or udp; empty means tcp
	Number   int    // 1–65535; the first one of a block
	Count    int    // how many contiguous ports it is; 0 means 1
}

func (p Port) count() int { return max(p.Count, 1) }

// has says whether a number is one of the port's.
func (p Port) has(number int) bool { return number >= p.Number && number < p.Number+p.count() }

// ServerInfo is what a process is told of the server, its distribution and
// itself.
type ServerInfo struct {
	Home       string // the state folder
	Host       string // an address of the host
	HostName   string
	ServerPort int    // of the daemon's TCP listener; 0 where it has none
	Domain     string // the cluster's name; empty outside of a cluster

	Distribution string
	Version      string

	Process        string // the name in the descriptor
	Dir            string // the process' own folder
	ID             int
	Profile        string
	PollInterval   time.Duration // told in whole seconds
	StatusInterval time.Duration // told in whole seconds

	Ports []Port
}

// ServerProperties returns the properties that every process is given: the
// names and the order are those of Corus. Each port is there twice, as
// corus.process.port.RANGE and as corus.server.port.RANGE, a block by its first
// one; of two ports of one range the first counts.
func ServerProperties(info ServerInfo) []Property {
	properties := make([]Property, 0, 14+2*len(info.Ports))
	add := func(name, value string) {
		properties = append(properties, Property{Name: name, Value: value})
	}
	add("corus.home", info.Home)
	add("corus.server.host", info.Host)
	add("corus.server.host.name", info.HostName)
	if info.ServerPort > 0 {
		add("corus.server.port", strconv.Itoa(info.ServerPort))
	}
	if info.Domain != "" {
		add("corus.server.domain", info.Domain)
	}
	add("corus.distribution.name", info.Distribution)
	add("corus.distribution.version", info.Version)
	add("corus.process.name", info.Process)
	add("corus.process.dir", info.Dir)
	add("corus.process.id", strconv.Itoa(info.ID))
	add("corus.process.profile", info.Profile)
	add("corus.process.poll.interval", seconds(info.PollInterval))
	add("corus.process.status.interval", seconds(info.StatusInterval))
	for i, port := range info.Ports {
		if port.Name != "" && isFirstOfRange(info.Ports, i) {
			number := strconv.Itoa(port.Number)
			add(processPortPrefix+port.Name, number)
			add(serverPortPrefix+port.Name, number)
		}
	}
	return properties
}

const (
	processPortPrefix = "corus.process.port."
	serverPortPrefix  = "corus.server.port."
)

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }

func isFirstOfRange(ports []Port, i int) bool {
	for _, earlier := range ports[:i] {
		if earlier.Name == ports[i].Name {
			return false
		}
	}
	return true
}

// lastOfName returns the properties without those that a later one of the same
// name replaces.
func lastOfName(all []definition) []definition {
	last := make(map[string]int, len(all))
	for i, p := range all {
		last[p.Name] = i
	}
	kept := make([]definition, 0, len(last))
	for i, p := range all {
		if last[p.Name] == i {
			kept = append(kept, p)
		}
	}
	return kept
}

// definitions appends each property as an argument.
func definitions(args []string, properties []Property) []string {
	for _, p := range properties {
		args = append(args, "-D"+p.Name+"="+p.Value)
	}
	return args
}

// allFinal are definitions of properties that stand for themselves and are no secrets.
func allFinal(properties []Property) []definition {
	all := make([]definition, len(properties))
	for i, p := range properties {
		all[i] = definition{Property: p}
	}
	return all
}

// checkName refuses a property whose name would be read as another one.
func checkName(of subject, name string) error {
	if name == "" || strings.ContainsAny(name, "=\x00") {
		return problemf(ErrInvalid, `%s: a name is not empty and holds no "=" and no NUL character`, of)
	}
	return nil
}
