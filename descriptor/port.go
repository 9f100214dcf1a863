package descriptor

import (
	"slices"
	"strings"
	"time"
)

// Port is a process' need of a port of a range.
type Port struct {
	// Name is the range's name.
	Name string

	// HTTP and HTTPS tell how the process is asked on that port how it is;
	// nil where the descriptor says nothing.
	HTTP, HTTPS *Diagnostic
}

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
	maxPortPrefix        = 6553 // with one digit after it the last that may be a port
	hourInMilliseconds   = 60 * 60 * 1000
	defaultTimeoutMillis = 3000
)

// addPort reads a port element into p. A range that p has already stays one
// port; what only the later element says about it is added.
func (e *element) addPort(p *Process) {
	port := Port{Name: e.name("name")}
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
	i := slices.IndexFunc(p.Ports, func(o Port) bool { return o.Name == port.Name })
	if i < 0 {
		p.Ports = append(p.Ports, port)
		return
	}
	had := &p.Ports[i]
	if had.HTTP == nil {
		had.HTTP = port.HTTP
	}
	if had.HTTPS == nil {
		had.HTTPS = port.HTTPS
	}
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
