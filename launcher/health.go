package launcher

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"berth/descriptor"
	"berth/httpcheck"
	"berth/lease"
)

// Health is what the check of a process that runs has come to. A process that is
// not checked has none.
type Health string

// What the check of a process comes to.
const (
	Checking  Health = "checking"  // it has not answered yet since it was started
	Healthy   Health = "healthy"   // it answered
	Unhealthy Health = "unhealthy" // it has not answered in time, or has ceased to
)

// The pauses between two checks of a process that has not answered yet: short
// after its start, and longer and longer.
const (
	shortestCheckPause = 20 * time.Millisecond
	longestCheckPause  = time.Second
)

// listenPatience is how long a process that is checked may take until it listens,
// unless as many checks as may fail take longer.
const listenPatience = 45 * time.Second

// answers reports whether nothing is known that would keep a process from work:
// its check has been answered, or it has none.
func (p Process) answers() bool { return p.Health != Checking && p.Health != Unhealthy }

// check is how a process that runs is asked how it is.
type check struct {
	url   string
	shown string // the same, without a password
	port  Port   // on which it is asked
	spec  *descriptor.HealthCheck
}

// checkOf is how a process is asked; nil where its definition has no check.
// Where it has one that cannot be asked the error says why.
func (l *Launcher) checkOf(p Process) (*check, error) {
	d, err := l.definitionOf(p)
	if err != nil || d.process.Health == nil {
		return nil, nil
	}
	set, err := l.properties(l.life, d)
	if err != nil {
		return nil, err
	}
	cmd, err := l.command(p, d, set, nil)
	if err != nil {
		return nil, err
	}
	return l.checkAt(cmd.Check, p, d)
}

// checkAt is the check of a process at an address without variables. It has to
// lead to a port that is leased to the process.
func (l *Launcher) checkAt(address string, p Process, d definition) (*check, error) {
	u, err := httpcheck.ParseURL(address)
	if err != nil {
		return nil, err
	}
	if host := u.Hostname(); !l.isThisHost(host) {
		return nil, fmt.Errorf("%s is not this host: only ports of this one that are leased to it are asked", host)
	}
	number := u.Port()
	if number == "" {
		number = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	for _, port := range p.Ports {
		if port.Protocol == lease.TCP && strconv.Itoa(port.Number) == number {
			return &check{url: u.String(), shown: shownURL(u), port: port, spec: d.process.Health}, nil
		}
	}
	return nil, fmt.Errorf("port %s is not leased to it: write ${PORT} for its first port", number)
}

// shownURL is a URL without its password, and without a query, which may have one.
func shownURL(u *url.URL) string {
	shown := *u
	if shown.RawQuery != "" {
		shown.RawQuery = "…"
	}
	return shown.Redacted()
}

// isThisHost reports whether a host's name or address is one of this host.
func (l *Launcher) isThisHost(host string) bool {
	if ip := net.ParseIP(host); ip != nil {
		return ip.IsLoopback() || ip.IsUnspecified() || host == l.HostAddress
	}
	return strings.EqualFold(host, "localhost") || strings.EqualFold(host, l.HostName)
}

// startChecking has the present incarnation, which runs, asked how it is until
// stopChecking is called.
func (u *unit) startChecking(c *check) {
	var ctx context.Context
	ctx, u.unchecked = context.WithCancel(u.l.life)
	u.l.owners.Go(func() { u.checkOn(ctx, c) })
}

// stopChecking has the present incarnation not asked any more.
func (u *unit) stopChecking() {
	if u.unchecked != nil {
		u.unchecked()
		u.unchecked = nil
	}
	if p := u.snapshot(); p.Health != "" || p.HealthReason != "" {
		u.update(func(p *Process) { p.Health, p.HealthReason = "", "" })
	}
}

// checkOn asks a process again and again, and has it restarted where it is
// unhealthy and its policy says so, until ctx ends. From when it listens until it
// has answered once it is asked often, and becomes unhealthy when it has had as
// long as so many checks take that may fail.
func (u *unit) checkOn(ctx context.Context, c *check) {
	patience := time.Duration(c.spec.Retries) * c.spec.Interval
	late, pause := time.Now().Add(max(patience, listenPatience)), shortestCheckPause
	listens := false
	answered, failures, asked, stays := false, 0, false, ""
	for {
		change := u.nextChange()
		begin := time.Now()
		waits, err := u.checkOnce(ctx, c)
		if ctx.Err() != nil {
			return
		}
		if !waits && !listens {
			listens, late = true, begin.Add(patience)
		}
		switch {
		case err == nil:
			answered, failures, asked, stays = true, 0, false, ""
			pause = c.spec.Interval
			u.setHealth(ctx, Healthy, "")
		case !answered && time.Now().Before(late):
			pause = min(pause*5/4, longestCheckPause, c.spec.Interval, time.Until(late)+time.Millisecond)
			u.setHealth(ctx, Checking, err.Error())
		default:
			pause = c.spec.Interval
			if failures++; answered && failures < c.spec.Retries {
				break
			}
			u.setHealth(ctx, Unhealthy, err.Error()+stays)
			if !asked {
				asked = true
				if why := u.unwell(ctx, err.Error()); why != "" {
					stays = "; " + why
					u.setHealth(ctx, Unhealthy, err.Error()+stays)
				}
			}
		}
		timer := time.NewTimer(pause)
		if !waits {
			change = nil
		}
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-change:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// checkOnce asks once. It does not ask on a port on which the process does not
// listen, or which it has not leased any more: in the first case, what changes of
// the process may be what is waited for.
func (u *unit) checkOnce(ctx context.Context, c *check) (waits bool, err error) {
	held := false
	for _, l := range u.l.Leases.ByProcess(u.snapshot().ID) {
		held = held || l.ID == c.port.Lease
	}
	if !held {
		return false, fmt.Errorf("%v is not leased to it any more", c.port)
	}
	for _, port := range u.snapshot().Ports {
		switch {
		case port.Lease != c.port.Lease || port.State == PortListening:
		case port.State == PortStolen:
			return true, fmt.Errorf("another process listens on %v", port)
		default:
			return true, fmt.Errorf("it does not listen on %v", port)
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.spec.Timeout, errors.New("the time is over"))
	defer cancel()
	return false, httpcheck.Ask(ctx, httpcheck.Request{
		URL: c.url, Addresses: addressesOf(c.port.Number), Connect: c.spec.Timeout, Read: c.spec.Timeout,
	}).Err
}

// setHealth notes what the check has come to, unless ctx has ended: then it
// belongs to an incarnation that is gone, or is asked to end.
func (u *unit) setHealth(ctx context.Context, h Health, reason string) {
	if p := u.snapshot(); p.Health == h && p.HealthReason == reason {
		return
	}
	u.update(func(p *Process) {
		if ctx.Err() != nil {
			return
		}
		p.Health, p.HealthReason = h, reason
		if h == Healthy {
			u.unanswered = false
		}
	})
}

// unwell has the owner restart a process that is unhealthy, if its policy says
// so. It returns why it is not restarted, for people; empty where it is, or where
// its policy has it stay.
func (u *unit) unwell(ctx context.Context, why string) (stays string) {
	err := u.send(ctx, request{run: func() error {
		if ctx.Err() != nil {
			return nil // it is asked to end, or gone
		}
		p := u.snapshot()
		d, err := u.l.definitionOf(p)
		if err != nil || d.process.Restart != descriptor.RestartOnFailure && d.process.Restart != descriptor.RestartAlways {
			return nil
		}
		u.startAnewIfSteady(&p)
		if p.InARow >= d.process.MaxRestarts {
			stays = fmt.Sprintf("not restarted again after %s in a row", plural(p.InARow, "restart"))
			u.l.Logger.Warn("a process is unhealthy and is not restarted again", "process", p.Title(), "reason", why, "in a row", p.InARow)
			return nil
		}
		u.l.Logger.Warn("a process is unhealthy and is restarted", "process", p.Title(), "reason", why, "in a row", p.InARow+1)
		u.sick = why
		err = u.happened(u.l.life, sickened)
		if err != nil {
			u.sick = ""
		}
		return err
	}})
	switch {
	case err == nil:
		return stays
	case ctx.Err() != nil:
		return ""
	default:
		u.l.Logger.Error("cannot restart a process that is unhealthy", "process", u.snapshot().Title(), "error", err)
		return "it could not be restarted: " + err.Error()
	}
}
