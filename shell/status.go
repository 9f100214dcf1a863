package shell

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"berth/api"
)

type statusCommand struct {
	outputOption
}

func (statusCommand) page() page {
	return page{
		long: `Shows on one screen how things are: the daemon, whether disk and store are well, how many processes there are of each status and how many are unhealthy, and how full each range is. doctor says more of disk and store, ps and port ls of the others.`,
		examples: []example{
			{"status", "see how things are"},
			{"status -o json", "the same as JSON"},
		},
	}
}

// overview is what status shows.
type overview struct {
	Daemon        api.Daemon       `json:"daemon"`
	UptimeSeconds int64            `json:"uptimeSeconds"`
	Health        *api.Health      `json:"health,omitempty"`
	Processes     map[string]int   `json:"processes"`
	Unhealthy     int              `json:"unhealthy"`
	Ranges        []rangeOccupancy `json:"ranges"`
}

// rangeOccupancy is how full a range is.
type rangeOccupancy struct {
	api.Range
	Ports     int `json:"ports"`
	Active    int `json:"active"`
	SetAside  int `json:"setAside"`
	Available int `json:"available"`
}

func (c *statusCommand) run(ctx context.Context, s *Shell) error {
	d, err := s.client.Daemon(ctx)
	if err != nil {
		return err
	}
	o := overview{Daemon: d, UptimeSeconds: int64(time.Since(d.StartedAt).Seconds()), Processes: map[string]int{}, Ranges: []rangeOccupancy{}}
	h, err := s.client.Health(ctx)
	if err != nil {
		return err
	}
	o.Health = &h
	ps, err := s.client.Processes(ctx, api.Selector{}, false)
	if err != nil {
		return err
	}
	for _, p := range ps {
		o.Processes[p.Status]++
		if p.Health == api.HealthUnhealthy {
			o.Unhealthy++
		}
	}
	ranges, err := s.client.Ranges(ctx, "")
	if err != nil {
		return err
	}
	for _, r := range ranges {
		o.Ranges = append(o.Ranges, rangeOccupancy{
			Range: r.Range, Ports: portsOf(r.Range),
			Active: len(r.Active), SetAside: len(r.SetAside), Available: len(r.Available),
		})
	}
	return list(s, c.Output, []overview{o}, func() { s.showOverview(o) })
}

func (s *Shell) showOverview(o overview) {
	d := o.Daemon
	t := table{rows: [][]string{
		{"daemon", fmt.Sprintf("pid %d, version %s, up %s, %s of memory", d.PID, oneLine(d.Version), span(time.Duration(o.UptimeSeconds)*time.Second), bytesOf(d.RSSBytes))},
		{"state", oneLine(d.Home)},
		{"socket", oneLine(d.Socket)},
		{"health", s.healthLine(o.Health)},
		{"processes", s.statusLine(o)},
	}}
	s.out.table(t)
	if len(o.Ranges) == 0 {
		s.out.printf("\nno range is there: port add makes one\n")
		return
	}
	s.out.printf("\n")
	t = table{head: []string{"RANGE", "PORTS", "PROTOCOL", "LEASED", "SET ASIDE", "AVAILABLE", "FULL"}}
	for _, r := range o.Ranges {
		aside := "-"
		if r.SetAside > 0 {
			aside = s.out.odd(fmt.Sprint(r.SetAside))
		}
		if r.Ephemeral {
			t.add(oneLine(r.Name), interval(r.Range), r.Protocol, fmt.Sprint(r.Active), aside, "-", "-")
			continue
		}
		full := fmt.Sprintf("%d %%", 100*(r.Ports-r.Available)/r.Ports)
		if r.Available == 0 {
			full = s.out.bad(full)
		}
		t.add(oneLine(r.Name), interval(r.Range), r.Protocol, fmt.Sprint(r.Active), aside, fmt.Sprint(r.Available), full)
	}
	s.out.table(t)
}

// portsOf is how many ports a range has; an ephemeral one has none of its own.
func portsOf(r api.Range) int {
	if r.Ephemeral {
		return 0
	}
	return r.Max - r.Min + 1
}

// healthLine is the health of disk and store in a line.
func (s *Shell) healthLine(h *api.Health) string {
	switch {
	case len(h.Damage) > 0:
		return s.out.bad(fmt.Sprintf("acknowledged changes are lost: %s; berth doctor tells more", oneLine(h.Damage[0])))
	case h.ReadOnly:
		return s.out.bad("nothing is leased: " + oneLine(h.Reason))
	case !h.Healthy:
		return s.out.bad("not all is well: berth doctor tells more")
	}
	return s.out.good("all is well") + fmt.Sprintf(", %s of disk available", bytesOf(h.Available))
}

// statusLine counts the processes of each status, and the unhealthy ones.
func (s *Shell) statusLine(o overview) string {
	count := o.Processes
	var all []string
	known := []string{api.StatusRunning, api.StatusStarting, api.StatusStopping, api.StatusRestarting}
	for name := range count {
		if !slices.Contains(known, name) {
			known = append(known, name)
		}
	}
	slices.Sort(known[4:])
	for _, name := range known {
		if n := count[name]; n > 0 {
			all = append(all, fmt.Sprintf("%d %s", n, status(s.out, name)))
		}
	}
	if len(all) == 0 {
		return "none"
	}
	line := strings.Join(all, ", ")
	if o.Unhealthy > 0 {
		line += ", of which " + s.out.bad(fmt.Sprintf("%d unhealthy", o.Unhealthy))
	}
	return line
}

// span is a time for people, in its two largest units: 2h 15m.
func span(d time.Duration) string {
	days, hours, minutes, seconds := int(d.Hours())/24, int(d.Hours())%24, int(d.Minutes())%60, int(d.Seconds())%60
	switch {
	case days > 0:
		return fmt.Sprintf("%dd %dh", days, hours)
	case hours > 0:
		return fmt.Sprintf("%dh %dm", hours, minutes)
	case minutes > 0:
		return fmt.Sprintf("%dm %ds", minutes, seconds)
	}
	return fmt.Sprintf("%ds", seconds)
}
