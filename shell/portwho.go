package shell

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"berth/api"
)

type portWhoCommand struct {
	Port  portNumber `arg:"" help:"the port, 1 to 65535"`
	Proto protocol   `default:"tcp" placeholder:"PROTOCOL" complete:"protocol" help:"tcp or udp"`
	outputOption
}

func (portWhoCommand) page() page {
	return page{
		long: `Tells who has a port, whether it is of a range or not: the range that it lies in, its lease with the holder and since when, and every socket that listens on it, with the address, the process that has it, and since when that runs. Where nobody listens, sockets that are only bound or connected are shown. What cannot be read, as the processes of other users where the daemon is not root's, is said. The sockets are those of the daemon's network namespace.`,
		examples: []example{
			{"port who 8080", "who has TCP port 8080"},
			{"port who 53 -proto udp -o json", "who has UDP port 53, as JSON"},
		},
	}
}

func (c *portWhoCommand) run(ctx context.Context, s *Shell) error {
	who, err := s.client.PortWho(ctx, string(c.Proto), int(c.Port))
	if err != nil {
		return err
	}
	who.Sockets, who.Unseen = notNil(who.Sockets), notNil(who.Unseen)
	return list(s, c.Output, []api.PortWho{who}, func() { s.showPort(who) })
}

func (s *Shell) showPort(who api.PortWho) {
	t := table{rows: [][]string{{"port", fmt.Sprintf("%d %s", who.Port, who.Protocol)}}}
	add := func(key, value string) { t.add(key, oneLine(value)) }
	t.add("state", stateOfPort(s.out, who.State))
	switch {
	case who.Range == "":
		add("range", "none: it is in no range")
	case who.Static:
		add("range", who.Range+", of which it is a static port")
	default:
		add("range", who.Range)
	}
	if l := who.Lease; l != nil {
		text := fmt.Sprintf("%s, generation %d", l.ID, l.Generation)
		if l.Range != "" && l.Range != who.Range {
			text += ", of range " + l.Range
		}
		add("lease", text)
		holder := l.Holder
		if pid := "pid " + strconv.Itoa(who.PID); who.PID != 0 && !strings.Contains(holder, pid) {
			holder += " (" + pid + ")"
		}
		add("holder", holder)
		if l.Owner != "" {
			add("owner", l.Owner)
		}
		add("since", ago(l.Since))
		if !l.ExpiresAt.IsZero() {
			add("runs out", l.ExpiresAt.Local().Format(time.DateTime)+" (in "+span(time.Until(l.ExpiresAt))+")")
		}
	}
	if a := who.SetAside; a != nil {
		add("set aside", a.Reason+", since "+ago(a.Since))
	}
	for _, socket := range who.Sockets {
		add(socket.State, socketLine(socket))
	}
	if who.More > 0 {
		add("more", fmt.Sprintf("%d sockets", who.More))
	}
	if len(who.Sockets) == 0 && len(who.Unseen) == 0 {
		add("bound", "nothing")
	}
	for _, line := range who.Unseen {
		t.add("unseen", s.out.odd(oneLine(line)))
	}
	s.out.table(t)
}

// socketLine is a socket with who has it.
func socketLine(socket api.PortSocket) string {
	user := socket.User
	if user == "" {
		user = "uid " + strconv.Itoa(socket.UID)
	}
	line := socket.Address
	if socket.V6Only {
		line += " (IPv6 only)"
	}
	line += " of user " + user
	for i, o := range socket.Owners {
		line += map[bool]string{true: ": ", false: "; "}[i == 0] + fmt.Sprintf("pid %d (%s)", o.PID, o.Command)
		if !o.StartedAt.IsZero() {
			line += ", runs since " + ago(o.StartedAt)
		}
		if o.Proxy {
			line += ", for a container"
		}
	}
	return line
}

// ago is a time with how long ago that was.
func ago(at time.Time) string {
	return at.Local().Format(time.DateTime) + " (" + span(time.Since(at)) + " ago)"
}

func stateOfPort(o *output, state string) string {
	switch state {
	case api.PortListening, api.PortAvailable:
		return o.good(state)
	case api.PortStolen, api.PortAside:
		return o.bad(state)
	}
	return o.odd(oneLine(state))
}
