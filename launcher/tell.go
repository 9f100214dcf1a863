package launcher

import (
	"fmt"
	"strconv"
	"strings"
)

// tell tells what has changed of a process: its status, its health, and who
// listens on its ports.
func (l *Launcher) tell(before, now Process) {
	if l.Events == nil {
		return
	}
	if before.Status != now.Status {
		l.tellStatus(now)
	}
	if before.Health != now.Health && (now.Health == Healthy || now.Health == Unhealthy) {
		text := now.Title() + " is " + string(now.Health)
		if now.HealthReason != "" {
			text += ": " + now.HealthReason
		}
		l.Events.Add("process", string(now.Health), strconv.Itoa(now.ID), text)
	}
	for i, port := range now.Ports {
		if i >= len(before.Ports) || before.Ports[i].State == port.State || before.Identity != now.Identity {
			continue
		}
		text := fmt.Sprintf("%s listens on %s", now.Title(), port.String())
		switch port.State {
		case PortListening:
		case PortStolen:
			text = fmt.Sprintf("another process listens on %s of %s", port.String(), now.Title())
		default:
			text = fmt.Sprintf("%s listens no more on %s", now.Title(), port.String())
		}
		l.Events.Add("process", string(port.State), strconv.Itoa(now.ID), text)
	}
}

// tellStatus tells the status of a process.
func (l *Launcher) tellStatus(p Process) {
	if l.Events == nil {
		return
	}
	var text string
	switch p.Status {
	case Starting:
		text = "starts"
		var ports []string
		for _, port := range p.Ports {
			ports = append(ports, port.String())
		}
		if len(ports) > 0 {
			text += " on " + strings.Join(ports, ", ")
		}
	case Running:
		text = fmt.Sprintf("runs, pid %d", p.Identity.PID)
	case Stopping:
		text = "is asked to end"
	case Restarting:
		text = "is asked to end and to start again"
	case Waiting:
		text = "has ended and is started again"
		if p.LastExit != nil {
			text += ": " + p.LastExit.Reason
		}
	case Ended:
		text = howEnded(p)
	default:
		text = "is " + string(p.Status)
	}
	l.Events.Add("process", string(p.Status), strconv.Itoa(p.ID), p.Title()+" "+text)
}

// howEnded says how a process ended, and why.
func howEnded(p Process) string {
	how := "ended"
	if p.Exit == nil {
		return how
	}
	switch {
	case p.Exit.Code != nil:
		how = fmt.Sprintf("ended with exit code %d", *p.Exit.Code)
	case p.Exit.Signal != "":
		how = "ended by " + p.Exit.Signal
	}
	if !strings.HasPrefix(p.Exit.Reason, "ended") {
		how += " (" + p.Exit.Reason + ")"
	}
	return how
}
