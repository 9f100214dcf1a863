package descriptor

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Port is a process' need of a port of a range.
type Port struct {
	// Name is the range's name.
	Name string

	// Spec is what is leased where that is not a port of the range Name: a port
	// that was asked for directly. Nil in every corus.xml.
	Spec *PortSpec

	// Count is how many contiguous ports are needed: 1 to 1,024. Berth's own.
	Count int

	// Protocol, where it is given, has to be the range's: "tcp" or "udp". Berth's own.
	Protocol string

	// BindSelf says that the process binds port 0 by itself, and that what it
	// listens on becomes its lease: bind="self". Name is what it is known by then,
	// and no range's. One TCP port of a process can have it. Berth's own.
	BindSelf bool

	// InjectEnv says that the process properties are handed over in
	// JAVA_TOOL_OPTIONS, for a JVM that a script starts: inject="env". All ports
	// of a process have it where one says so. Berth's own.
	InjectEnv bool

	// Handoff is how the port is handed over; empty where the process is told
	// its number and binds it by itself.
	Handoff Handoff

	// HTTP and HTTPS tell how the process is asked on that port how it is;
	// nil where the descriptor says nothing.
	HTTP, HTTPS *Diagnostic
}

// Handoff is how a leased port gets to its process without a moment in which
// somebody else could bind it. The attribute is Berth's own.
type Handoff string

// The ways to hand over a port. A listening socket is passed as systemd does,
// see sd_listen_fds(3).
const (
	// Listen: the socket is bound and listens before the process starts.
	Listen Handoff = "listen"
	// Inherit is Listen, and the socket is descriptor 0 as well, where inetd's
	// servers and System.inheritedChannel of Java find it. One port of a
	// process can have it.
	Inherit Handoff = "inherit"
	// Hold: the port is kept bound, and the process binds it over that.
	Hold Handoff = "hold"
)

var handoffs = []Handoff{Listen, Inherit, Hold}

// Diagnostic is how a process is asked over HTTP or HTTPS how it is.
type Diagnostic struct {
	// Path begins with "/", and is that where it is left out.
	Path string

	// SuccessCode is the status code of a process that is well: 100 to 599,
	// 200 where it is left out.
	SuccessCode int

	// PortPrefix is written before the digits of the leased port: 8 makes 8100
	// of 100. 0 is none, and the most is 6553.
	PortPrefix int

	// ConnectionTimeout and ReadTimeout are 1 ms to 1 h, 3 s where left out.
	ConnectionTimeout, ReadTimeout time.Duration

	// GracePeriod is the time after the start in which a failure does not
	// count: 0 to 24 h, 45 s where it is left out.
	GracePeriod time.Duration
}

// diagnosticAttributes has both names of the status code: the schema says
// statusCode, Corus' code and manual successCode.
var diagnosticAttributes = []string{"path", "successCode", "statusCode", "portPrefix", "connectionTimeout", "readTimeout", "gracePeriod"}

const (
	// MaxCount is the most ports that a port element may ask for.
	MaxCount = 1024

	maxPortPrefix        = 6553 // with one digit after it the last that may be a port
	hourInMilliseconds   = 60 * 60 * 1000
	defaultTimeoutMillis = 3000
)

// portsReader reads the port elements of a process.
type portsReader struct {
	process *Process
	inject  string // where one says it
}

// add reads a port element. A range that the process has already stays one
// port; what only the later element says about it is added.
func (r *portsReader) add(e *element) {
	port := Port{
		Name:     e.name("name"),
		Handoff:  e.handoff(),
		Count:    e.integer("count", 0, 1, MaxCount),
		Protocol: e.word("protocol", "tcp", "udp"),
		BindSelf: e.word("bind", "self") != "",
	}
	if inject := e.word("inject", "args", "env"); inject != "" {
		if r.inject != "" && r.inject != inject {
			e.problem("attribute \"inject\": %s, and %s before: the properties of a process are handed over in one way, keep one", quote(inject), quote(r.inject))
		}
		r.inject = inject
	}
	for _, child := range e.children() {
		place := &port.HTTP
		if child.Tag == "https-diagnostic" {
			place = &port.HTTPS
		}
		if *place != nil {
			child.problem("stands twice: keep one")
		}
		*place = child.diagnostic()
	}
	p := r.process
	i := slices.IndexFunc(p.Ports, func(o Port) bool { return o.Name == port.Name })
	if port.Handoff == Inherit {
		for k, other := range p.Ports {
			if other.Handoff == Inherit && k != i {
				e.problem("attribute \"handoff\": port %s has \"inherit\" already, and there is one descriptor 0: use \"listen\"", quote(other.Name))
				break
			}
		}
	}
	if i < 0 {
		i = len(p.Ports)
		p.Ports = append(p.Ports, port)
	} else {
		e.join(&p.Ports[i], port)
	}
	had := p.Ports[i]
	switch {
	case had.BindSelf && had.Handoff != "":
		e.problem("attribute \"bind\": a port that the process binds by itself cannot be handed over: keep \"bind\" or \"handoff\"")
	case had.BindSelf && had.Protocol == "udp":
		e.problem("attribute \"bind\": which of its UDP sockets is the server's cannot be told, since none of them listens: leave \"bind\" out")
	case had.BindSelf && slices.ContainsFunc(p.Ports, func(o Port) bool { return o.BindSelf && o.Name != had.Name }):
		e.problem("attribute \"bind\": another port of the process has \"self\" already, and which is which cannot be told: keep one")
	case had.BindSelf && had.Count > 1:
		e.problem("attribute \"bind\": a port that the process binds by itself is one port: keep \"bind\" or \"count\"")
	case had.Handoff == Inherit && had.Count > 1:
		e.problem("attribute \"handoff\": there is one descriptor 0, and \"count\" asks for %d ports: use \"listen\"", had.Count)
	}
}

// join adds to a port what a later element says about the same range.
func (e *element) join(had *Port, port Port) {
	differ := func(key, value, before string) {
		e.problem("attribute %q: %s, and %s of the same port before: keep one", key, quote(value), quote(before))
	}
	if had.Handoff != "" && port.Handoff != "" && had.Handoff != port.Handoff {
		differ("handoff", string(port.Handoff), string(had.Handoff))
	}
	if had.Count != 0 && port.Count != 0 && had.Count != port.Count {
		differ("count", strconv.Itoa(port.Count), strconv.Itoa(had.Count))
	}
	if had.Protocol != "" && port.Protocol != "" && had.Protocol != port.Protocol {
		differ("protocol", port.Protocol, had.Protocol)
	}
	had.Handoff = cmp.Or(had.Handoff, port.Handoff)
	had.Count = cmp.Or(had.Count, port.Count)
	had.Protocol = cmp.Or(had.Protocol, port.Protocol)
	had.BindSelf = had.BindSelf || port.BindSelf
	had.HTTP = cmp.Or(had.HTTP, port.HTTP)
	had.HTTPS = cmp.Or(had.HTTPS, port.HTTPS)
}

// end sets what no port element said.
func (r *portsReader) end() {
	for i := range r.process.Ports {
		p := &r.process.Ports[i]
		p.Count = max(p.Count, 1)
		p.InjectEnv = r.inject == "env"
	}
}

// word returns the value of an attribute that is one of some words, in lower
// case; empty where it is left out.
func (e *element) word(key string, words ...string) string {
	value, ok := e.attribute(key)
	if !ok {
		return ""
	}
	word := strings.ToLower(strings.TrimSpace(value))
	if slices.Contains(words, word) {
		return word
	}
	if len(words) == 1 {
		e.problem("attribute %q: %s is not %q, which is all that it can be", key, quote(value), words[0])
	} else {
		e.problem("attribute %q: %s is neither %q nor %q", key, quote(value), words[0], words[1])
	}
	return ""
}

// handoff returns the value of attribute "handoff", which is one of three
// where it is there.
func (e *element) handoff() Handoff {
	value, ok := e.attribute("handoff")
	if !ok {
		return ""
	}
	h := Handoff(strings.ToLower(strings.TrimSpace(value)))
	if !slices.Contains(handoffs, h) {
		e.problem("attribute \"handoff\": %s is none of \"listen\", \"inherit\" and \"hold\"", quote(value))
		return ""
	}
	return h
}

func (e *element) diagnostic() *Diagnostic {
	codeKey := "successCode"
	if _, ok := e.attribute(codeKey); !ok {
		codeKey = "statusCode"
	} else if _, ok := e.attribute("statusCode"); ok {
		e.problem("attributes \"successCode\" and \"statusCode\" mean the same: keep one")
	}
	path, _ := e.attribute("path")
	path = strings.TrimSpace(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return &Diagnostic{
		Path:              path,
		SuccessCode:       e.integer(codeKey, 200, 100, 599),
		PortPrefix:        e.integer("portPrefix", 0, 0, maxPortPrefix),
		ConnectionTimeout: e.duration("connectionTimeout", time.Millisecond, defaultTimeoutMillis, 1, hourInMilliseconds),
		ReadTimeout:       e.duration("readTimeout", time.Millisecond, defaultTimeoutMillis, 1, hourInMilliseconds),
		GracePeriod:       e.duration("gracePeriod", time.Second, 45, 0, dayInSeconds),
	}
}
