package lease

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Protocol is a transport protocol that ports belong to. A TCP port and the
// UDP port of the same number are two ports.
type Protocol string

// The protocols.
const (
	TCP Protocol = "tcp"
	UDP Protocol = "udp"
)

// ParseProtocol reads tcp or udp, in any case; empty means TCP.
// Other words are ErrRangeInvalid.
func ParseProtocol(s string) (Protocol, error) {
	switch p := Protocol(strings.ToLower(s)); p {
	case "":
		return TCP, nil
	case TCP, UDP:
		return p, nil
	}
	return "", stated(ErrRangeInvalid, "protocol %q is not known; it is tcp or udp", s)
}

// Scope tells among whom the ports of a range are shared out.
type Scope string

// The scopes.
const (
	// HostScope: each host leases the ports of the range for itself.
	HostScope Scope = "host"
	// ClusterScope: a port is leased once, on any host.
	ClusterScope Scope = "cluster"
)

// ParseScope reads host or cluster, in any case; empty means HostScope.
// Other words are ErrRangeInvalid.
func ParseScope(s string) (Scope, error) {
	switch c := Scope(strings.ToLower(s)); c {
	case "":
		return HostScope, nil
	case HostScope, ClusterScope:
		return c, nil
	}
	return "", stated(ErrRangeInvalid, "scope %q is not known; it is host or cluster", s)
}

// The bounds of ports and names.
const (
	MinPort = 1
	MaxPort = 65535

	// MaxName is the most characters in the name of a range or an archive.
	MaxName = 64

	// MaxDescription is the most characters in the description of a range.
	MaxDescription = 1024
)

// Range is a named, inclusive interval of ports of one protocol and scope, or,
// where it is ephemeral, a name for ports that the system chooses.
// An empty Protocol means TCP, an empty Scope means HostScope.
type Range struct {
	Name     string
	Min      int // first port, 1 to 65535; 0 where the range is ephemeral
	Max      int // last port, inclusive, not below Min; 0 where the range is ephemeral
	Protocol Protocol
	Scope    Scope

	// Policy is how a port is picked where any will do. Empty: as the manager's
	// Options say, the lowest where they say nothing.
	Policy Policy

	// Static is how many of its ports, the lowest, are kept for pinned leases:
	// they are leased to who asks for them by number, and to nobody else.
	Static int

	// Ephemeral says that the range has no ports of its own: the system chooses
	// each, of those that lie in no range. Its scope is HostScope.
	Ephemeral bool

	// Description is for people, and may be empty.
	Description string
}

// Validate checks name, ports, protocol, scope, policy, static ports and description. What is
// wrong is ErrRangeInvalid.
func (r Range) Validate() error {
	if err := validName("range", r.Name); err != nil {
		return err
	}
	if _, err := ParseProtocol(string(r.Protocol)); err != nil {
		return stated(ErrRangeInvalid, "range %q: %v", r.Name, err)
	}
	if _, err := ParseScope(string(r.Scope)); err != nil {
		return stated(ErrRangeInvalid, "range %q: %v", r.Name, err)
	}
	if n := utf8.RuneCountInString(r.Description); n > MaxDescription {
		return stated(ErrRangeInvalid, "range %q: its description has %s characters, at most %s are allowed", r.Name, thousands(n), thousands(MaxDescription))
	}
	if r.Ephemeral {
		return r.validateEphemeral()
	}
	for _, port := range [...]int{r.Min, r.Max} {
		if port < MinPort || port > MaxPort {
			return stated(ErrRangeInvalid, "range %q: port %d is outside %d to %d", r.Name, port, MinPort, MaxPort)
		}
	}
	if r.Max < r.Min {
		return stated(ErrRangeInvalid, "range %q: max %d is below min %d", r.Name, r.Max, r.Min)
	}
	if _, err := ParsePolicy(string(r.Policy)); err != nil {
		return stated(ErrRangeInvalid, "range %q: %v", r.Name, err)
	}
	switch {
	case r.Static < 0:
		return stated(ErrRangeInvalid, "range %q: %d static ports; the least is 0", r.Name, r.Static)
	case r.Static >= r.Len():
		return stated(ErrRangeInvalid, "range %q %v: %d static ports of its %s would leave none for other leases", r.Name, r, r.Static, count(r.Len()))
	}
	return nil
}

// validName checks the name of what: letters, digits, '.', '_' and '-', at
// most MaxName of them.
func validName(what, name string) error {
	switch {
	case name == "":
		return stated(ErrRangeInvalid, "a %s without a name", what)
	case len(name) > MaxName:
		return stated(ErrRangeInvalid, "%s %.20q…: its name has %d characters, at most %d are allowed", what, name, len(name), MaxName)
	}
	for _, c := range name {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return stated(ErrRangeInvalid, "%s %q: its name has %q, only letters, digits, '.', '_' and '-' are allowed", what, name, c)
		}
	}
	return nil
}

// isUnread reports whether r stands for a range whose record cannot be read: it
// has neither ports nor protocol.
func (r Range) isUnread() bool { return r.Min == 0 && !r.Ephemeral }

// normal returns r with its defaults written out.
func (r Range) normal() Range {
	if p, err := ParseProtocol(string(r.Protocol)); err == nil {
		r.Protocol = p
	}
	if s, err := ParseScope(string(r.Scope)); err == nil {
		r.Scope = s
	}
	if p, err := ParsePolicy(string(r.Policy)); err == nil {
		r.Policy = p
	}
	return r
}

// Contains reports whether port is one of the range's.
func (r Range) Contains(port int) bool { return r.Min <= port && port <= r.Max }

// Overlaps reports whether a port belongs to both ranges. Ends are inclusive:
// 100–105 and 106–110 are neighbours. Ranges of different protocols never overlap.
func (r Range) Overlaps(other Range) bool {
	return r.normal().Protocol == other.normal().Protocol && !r.Ephemeral && !other.Ephemeral && r.Min <= other.Max && other.Min <= r.Max
}

// Len is how many ports the range has; an ephemeral one has none.
func (r Range) Len() int {
	if r.Ephemeral {
		return 0
	}
	return r.Max - r.Min + 1
}

// String is the range's interval, as [8080 - 8085], or ephemeral.
func (r Range) String() string {
	if r.Ephemeral {
		return "ephemeral"
	}
	return fmt.Sprintf("[%d - %d]", r.Min, r.Max)
}
