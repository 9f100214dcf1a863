package launcher

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"berth/descriptor"
	"berth/httpcheck"
	"berth/sockdiag"
)

// diagnosesAtOnce is how many processes are asked at a time.
const diagnosesAtOnce = 16

// Wellness is what came of asking a process how it is.
type Wellness string

// What comes of asking.
const (
	Well      Wellness = "well"      // it answered as its descriptor says
	Coming    Wellness = "starting"  // it did not, and its grace period is not over; or it is just being restarted
	Leaving   Wellness = "stopping"  // it was asked to stop, and is not asked how it is
	Ill       Wellness = "failed"    // it did not answer as its descriptor says
	Unchecked Wellness = "unchecked" // its descriptor does not say how to ask
)

// Diagnosis is what came of asking a process on one of its ports. A process that
// cannot be asked has one without a port.
type Diagnosis struct {
	Process Process

	// Port is the leased port; URL is what was asked. They are zero for a process
	// that cannot be asked.
	Port Port
	URL  string

	Result Wellness

	// Code is the status of the answer, 0 where none came; Took how long it took.
	Code int
	Took time.Duration

	// Reason says why it is not well, for people.
	Reason string

	// GraceEnds is when failures begin to count.
	GraceEnds time.Time
}

// Diagnose asks the processes that a selector selects how they are, each on its
// ports as its descriptor says, and returns what they answered in the order of
// their ids. Errors are those of selecting.
func (l *Launcher) Diagnose(ctx context.Context, s Selector) ([]Diagnosis, error) {
	s.Ended = false
	processes, err := l.Processes(s)
	if err != nil {
		return nil, err
	}
	var all []Diagnosis
	var ask []question
	for _, p := range processes {
		questions := l.questionsOf(p)
		if len(questions) == 0 {
			all = append(all, Diagnosis{Process: p, Result: Unchecked, Reason: "its descriptor has no diagnostic"})
		}
		for _, q := range questions {
			q.at = len(all)
			ask = append(ask, q)
			all = append(all, Diagnosis{Process: p, Port: q.port, URL: cmp.Or(q.shown, q.url)})
		}
	}
	var group errgroup.Group
	group.SetLimit(diagnosesAtOnce)
	for _, q := range ask {
		group.Go(func() error {
			l.diagnose(ctx, &all[q.at], q)
			return nil
		})
	}
	_ = group.Wait()
	return all, ctx.Err()
}

// question is how a process is asked on one port.
type question struct {
	at         int // in the list of diagnoses
	port       Port
	asked      int // the port with its prefix
	url        string
	shown      string // the same for people, where it differs
	diagnostic *descriptor.Diagnostic
}

// questionsOf reads them from the descriptor of a process.
func (l *Launcher) questionsOf(p Process) []question {
	d, err := l.definitionOf(p)
	if err != nil {
		return nil
	}
	var all []question
	add := func(scheme string, port Port, diagnostic *descriptor.Diagnostic) {
		if diagnostic == nil {
			return
		}
		q := question{port: port, asked: port.Number, diagnostic: diagnostic}
		if diagnostic.PortPrefix > 0 {
			// A prefix and a port have ten digits at most.
			q.asked, _ = strconv.Atoi(fmt.Sprintf("%d%d", diagnostic.PortPrefix, port.Number))
		}
		q.url = fmt.Sprintf("%s://localhost:%d%s", scheme, q.asked, diagnostic.Path)
		all = append(all, q)
	}
	for _, port := range p.Ports {
		for _, need := range d.process.Ports {
			if need.Name == port.Range && !port.Self && !need.BindSelf || port.Self && need.BindSelf && need.Name == port.Name {
				add("http", port, need.HTTP)
				add("https", port, need.HTTPS)
			}
		}
	}
	if c, _ := l.checkOf(p); c != nil {
		all = append(all, question{port: c.port, asked: c.port.Number, url: c.url, shown: c.shown, diagnostic: &descriptor.Diagnostic{
			ConnectionTimeout: c.spec.Timeout, ReadTimeout: c.spec.Timeout,
			GracePeriod: time.Duration(c.spec.Retries) * c.spec.Interval,
		}})
	}
	return all
}

// diagnose asks once, and judges by what the process is doing.
func (l *Launcher) diagnose(ctx context.Context, d *Diagnosis, q question) {
	d.GraceEnds = d.Process.StartedAt.Add(q.diagnostic.GracePeriod)
	switch d.Process.Status {
	case Stopping:
		d.Result, d.Reason = Leaving, "it was asked to stop"
		return
	case Starting, Restarting:
		d.Result, d.Reason = Coming, "it is just being started"
		return
	}
	if q.port.isAwaited() {
		d.URL, d.Reason = "", fmt.Sprintf("it does not listen on %v", q.port)
		if q.port.Conflict != "" {
			d.Reason = fmt.Sprintf("port %s: %s", q.port.Name, q.port.Conflict)
		}
		d.Result = Ill
		if l.Now().Before(d.GraceEnds) {
			d.Result = Coming
		}
		return
	}
	if q.asked > 65535 {
		d.Result = Ill
		d.Reason = fmt.Sprintf("prefix %d before port %d makes %d, which is no port", q.diagnostic.PortPrefix, q.port.Number, q.asked)
		return
	}
	answer := httpcheck.Ask(ctx, httpcheck.Request{
		URL: q.url, Addresses: addressesOf(q.asked), Code: q.diagnostic.SuccessCode,
		Connect: q.diagnostic.ConnectionTimeout, Read: q.diagnostic.ReadTimeout,
	})
	d.Code, d.Took = answer.Code, answer.Took
	switch {
	case answer.Err == nil:
		d.Result = Well
		return
	case l.Now().Before(d.GraceEnds):
		d.Result = Coming
	default:
		d.Result = Ill
	}
	d.Reason = answer.Err.Error()
}

// addressesOf are where a port of this host is asked: loopback, or the address
// that its server has bound where that is none of these.
func addressesOf(port int) []string {
	number := strconv.Itoa(port)
	v4, v6 := net.JoinHostPort("127.0.0.1", number), net.JoinHostPort("::1", number)
	sockets, err := sockdiag.OnPort("tcp", port)
	if err != nil {
		return []string{v4, v6}
	}
	var all []string
	add := func(address string) {
		for _, has := range all {
			if has == address {
				return
			}
		}
		all = append(all, address)
	}
	for _, s := range sockets {
		switch a := s.Local.Addr().Unmap(); {
		case a == netip.IPv4Unspecified():
			add(v4)
		case a == netip.IPv6Unspecified():
			if !s.V6Only {
				add(v4)
			}
			add(v6)
		default:
			add(netip.AddrPortFrom(a, uint16(port)).String())
		}
	}
	if len(all) == 0 {
		return []string{v4}
	}
	return all
}
