package cmdline

import (
	"fmt"
	"strconv"
	"strings"
)

// Environ returns the environment of a process: what it inherits, then its
// ports, then extra. Entries are NAME=value; of several of one name the last
// counts, at the place of the first.
//
// The ports are PORT, the number of the first one; TCP_PORT and UDP_PORT, that
// of the first one of the protocol; of several ones of a protocol TCP_PORTS, all
// numbers parted by commas, where they are at most eight, and TCP_PORTS_RANGE
// (20001-20004) where they follow each other; UDP_PORTS and UDP_PORTS_RANGE
// likewise; and for each range
// corus.process.port.RANGE and CORUS_PROCESS_PORT_RANGE. The latter is in upper
// case with _ for each character that is not a letter of ASCII or a digit. Where
// two ranges make one name, the first has it and a warning says so.
//
// Some of what would be inherited was meant for the one it is inherited from,
// and is left out: PORT and the names of ports, PM2_INSTANCE_ID and
// NODE_APP_INSTANCE, BERTH_PROCESS_ID,
// BERTH_STATE_ID and BERTH_PROCESS_RECORD, and what systemd tells a service about itself (NOTIFY_SOCKET,
// LISTEN_FDS and their like). PWD becomes dir unless that is empty.
//
// The error is an ErrInvalid, for a NUL character.
func Environ(inherited []string, dir string, ports []Port, extra []string) (environ, warnings []string, err error) {
	e, warnings, err := makeEnviron(inherited, dir, ports, extra)
	if err != nil {
		return nil, nil, err
	}
	return e.entries, warnings, nil
}

func makeEnviron(inherited []string, dir string, ports []Port, extra []string) (e *environ, warnings []string, err error) {
	e = newEnviron(len(inherited) + 2 + 2*len(ports) + len(extra))
	for _, entry := range inherited {
		if name, _, found := strings.Cut(entry, "="); found && !isStale(name) {
			e.add(entry)
		}
	}
	if dir != "" {
		e.set("PWD", dir)
	}
	if len(ports) > 0 {
		e.set("PORT", strconv.Itoa(ports[0].Number))
	}
	e.setProtocols(ports)
	owner := make(map[string]string, len(ports))
	for i, port := range ports {
		if port.Name == "" || !isFirstOfRange(ports, i) {
			continue
		}
		number := strconv.Itoa(port.Number)
		e.set(processPortPrefix+port.Name, number)
		name := environName(processPortPrefix + port.Name)
		if first, taken := owner[name]; taken {
			warnings = append(warnings, fmt.Sprintf("environment: %s is the port of range %s; that of range %s has the same name there, use %s",
				name, quote(first), quote(port.Name), processPortPrefix+port.Name))
			continue
		}
		owner[name] = port.Name
		e.set(name, number)
	}
	for _, entry := range extra {
		e.add(entry)
	}
	if e.invalid != "" {
		return nil, nil, problemf(ErrInvalid, "environment: %s holds a NUL character", quote(e.invalid))
	}
	return e, warnings, nil
}

// mostListed is how many ports of a protocol are listed at most.
const mostListed = 8

// setProtocols sets the variables of all TCP ports and of all UDP ports.
func (e *environ) setProtocols(ports []Port) {
	for _, protocol := range []string{"tcp", "udp"} {
		var numbers []string
		first, last, contiguous := 0, 0, true
		for _, port := range ports {
			if orTCP(port.Protocol) != protocol {
				continue
			}
			if len(numbers) == 0 {
				first = port.Number
			} else if port.Number != last+1 {
				contiguous = false
			}
			last = port.Number + port.count() - 1
			for n := range port.count() {
				numbers = append(numbers, strconv.Itoa(port.Number+n))
			}
		}
		name := strings.ToUpper(protocol)
		if len(numbers) > 0 {
			e.set(name+"_PORT", numbers[0])
		}
		if len(numbers) > 1 && contiguous {
			e.set(name+"_PORTS_RANGE", fmt.Sprintf("%d-%d", first, last))
		}
		if len(numbers) > 1 && len(numbers) <= mostListed {
			e.set(name+"_PORTS", strings.Join(numbers, ","))
		}
	}
}

// environ is an environment in the making.
type environ struct {
	entries []string
	index   map[string]int
	invalid string // the first name with a NUL character in it or its value
}

func newEnviron(size int) *environ {
	return &environ{entries: make([]string, 0, size), index: make(map[string]int, size)}
}

func (e *environ) set(name, value string) { e.add(name + "=" + value) }

// add adds NAME=value, and passes over what is not of that form.
func (e *environ) add(entry string) {
	name, _, found := strings.Cut(entry, "=")
	if !found || name == "" {
		return
	}
	if e.invalid == "" && strings.IndexByte(entry, 0) >= 0 {
		e.invalid = name
	}
	if i, found := e.index[name]; found {
		e.entries[i] = entry
		return
	}
	e.index[name] = len(e.entries)
	e.entries = append(e.entries, entry)
}

func (e *environ) lookup(name string) (string, bool) {
	i, found := e.index[name]
	if !found {
		return "", false
	}
	return e.entries[i][len(name)+1:], true
}

// environName returns a property's name as most programs can read it from their
// environment.
func environName(property string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		case 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
			return r
		}
		return '_'
	}, property)
}

// isStale says whether an inherited name was meant for the one that it is
// inherited from.
func isStale(name string) bool {
	return isOfPorts(name) || isOfIdentity(name) || isOfService(name) || name == "OLDPWD"
}

// isOfPorts says whether a name tells a process its ports, or which of several
// instances it is.
func isOfPorts(name string) bool {
	switch name {
	case "PORT", "TCP_PORT", "UDP_PORT", "TCP_PORTS", "UDP_PORTS", "TCP_PORTS_RANGE", "UDP_PORTS_RANGE",
		"PM2_INSTANCE_ID", "NODE_APP_INSTANCE":
		return true
	}
	return strings.HasPrefix(name, "CORUS_PROCESS_PORT_") ||
		strings.HasPrefix(name, processPortPrefix) ||
		strings.HasPrefix(name, serverPortPrefix)
}

// isOfIdentity says whether a name tells whose a process and what it starts are.
func isOfIdentity(name string) bool {
	return name == "BERTH_PROCESS_ID" || name == "BERTH_STATE_ID" || name == "BERTH_PROCESS_RECORD"
}

// isOfService says whether a name is what systemd tells a service about itself:
// systemd.exec(5), sd_listen_fds(3), sd_notify(3), sd_watchdog_enabled(3).
func isOfService(name string) bool {
	switch name {
	case "NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDNAMES",
		"WATCHDOG_PID", "WATCHDOG_USEC", "INVOCATION_ID", "JOURNAL_STREAM",
		"MANAGERPID", "MANAGERPIDFDID", "SYSTEMD_EXEC_PID",
		"MEMORY_PRESSURE_WATCH", "MEMORY_PRESSURE_WRITE", "FDSTORE":
		return true
	}
	return false
}
