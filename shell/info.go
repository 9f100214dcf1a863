package shell

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"berth/api"
)

type infoCommand struct {
	Process string `arg:"" name:"name|id" complete:"known" help:"id or name of the process; a name is a pattern"`
	outputOption
}

func (infoCommand) page() page {
	return page{
		long: `Shows all of a process: its status, what its health check has come to, ports with whether it listens on them, processor time and memory with its descendants, command line, folders, log files, the names of its environment variables, how often it was started again and how it ended last, what it depends on, and how its descriptor has it looked after. Values of secrets are masked.

A name shows every process of that name that runs; where none runs, the last ones that ended.`,
		examples: []example{
			{"info 3", "show all of a process"},
			{"info httpServer", "all of each process of a name"},
			{"info 3 -o json", "the same as JSON"},
		},
	}
}

func (c *infoCommand) run(ctx context.Context, s *Shell) error {
	ids, err := s.idsOf(ctx, c.Process)
	if err != nil {
		return err
	}
	s.noneMatch(c.Output, len(ids), c.Process, "process", "")
	infos := []api.ProcessInfo{}
	for _, id := range ids {
		info, err := s.client.ProcessInfo(ctx, id)
		if err != nil {
			return byID(err)
		}
		info.Ports = notNil(info.Ports)
		infos = append(infos, info)
	}
	return list(s, c.Output, infos, func() {
		for i, info := range infos {
			if i > 0 {
				s.out.printf("\n")
			}
			s.showInfo(info)
		}
	})
}

// idsOf are the ids that a word means: itself, or those of the processes of a
// name that run, or else of those that ended.
func (s *Shell) idsOf(ctx context.Context, word string) (ids []int, err error) {
	if id, err := strconv.Atoi(word); err == nil && id > 0 {
		return []int{id}, nil
	}
	ps, err := s.processesOf(ctx, word)
	for _, p := range ps {
		ids = append(ids, p.ID)
	}
	return ids, err
}

// processesOf are the processes of a name that run, or else those that ended.
func (s *Shell) processesOf(ctx context.Context, name string) ([]api.Process, error) {
	ps, err := s.client.Processes(ctx, api.Selector{Name: name}, true)
	if err != nil {
		return nil, err
	}
	lives := func(p api.Process) bool { return p.Status != api.StatusEnded }
	if slices.ContainsFunc(ps, lives) {
		ps = slices.DeleteFunc(ps, func(p api.Process) bool { return !lives(p) })
	}
	return ps, nil
}

func (s *Shell) showInfo(p api.ProcessInfo) {
	var t table
	add := func(name, value string) {
		if value != "" {
			t.add(name, value)
		}
	}
	add("process", fmt.Sprintf("%s #%d, instance %d", oneLine(p.Name), p.ID, p.Instance))
	add("distribution", fmt.Sprintf("%s %s, profile %s", oneLine(p.Distribution), oneLine(p.Version), oneLine(p.Profile)))
	add("status", status(s.out, p.Status)+retries(p.Process)+waits(p.Process))
	add("health", healthState(s.out, p))
	add("pid", pidLine(p))
	add("ports", portStates(s.out, p.Process))
	if p.Status != api.StatusEnded && p.PID != 0 {
		add("started", fmt.Sprintf("%s, up %s", p.StartedAt.Local().Format(time.DateTime), uptime(p.Process)))
		add("processor", cpu(p.Process))
		add("memory", memory(p.Process))
	}
	add("restarts", strconv.Itoa(p.Restarts))
	if p.LastExit != nil {
		add("last exit", oneLine(lastExit(*p.LastExit)))
	}
	if p.Status == api.StatusEnded {
		add("ended", p.EndedAt.Local().Format(time.DateTime))
		add("exit", exit(p.Process))
	}
	add("reason", oneLine(p.Reason))
	add("command", oneLine(quoted(p.Command)))
	add("working folder", oneLine(p.WorkingDir))
	add("folder", oneLine(p.Dir))
	add("log files", oneLine(strings.Join(p.LogFiles, ", ")))
	add("depends on", oneLine(strings.Join(p.Dependencies, ", ")))
	if q := p.Policy; q != nil {
		add("restarted", policy(*q))
		add("stopped", fmt.Sprintf("forced after %gs, %d times more", q.ShutdownTimeoutSeconds, q.MaxKillRetry))
	}
	for i, names := range lines(p.Environment, 80) {
		heading := ""
		if i == 0 {
			heading = "environment"
		}
		add(heading, oneLine(names))
	}
	s.out.table(t)
}

// lines are words in lines that are not wider than asked for, unless a word is.
func lines(words []string, width int) (list []string) {
	for _, word := range words {
		if last := len(list) - 1; last >= 0 && len(list[last])+1+len(word) <= width {
			list[last] += " " + word
			continue
		}
		list = append(list, word)
	}
	return list
}

// healthState is what the health check of a process has come to, and how it is
// asked.
func healthState(o *output, p api.ProcessInfo) string {
	state := strings.Trim(health(o, p.Process), " ()")
	if p.HealthReason != "" {
		state += behind(", ", oneLine(p.HealthReason))
		state = strings.TrimPrefix(state, ", ")
	}
	if h := p.HealthCheck; h != nil {
		state += behind("; ", fmt.Sprintf("%s every %gs, for %gs at most; unhealthy after %d failures in a row", oneLine(h.URL), h.IntervalSeconds, h.TimeoutSeconds, h.Retries))
		state = strings.TrimPrefix(state, "; ")
	}
	return state
}

// policy says when a process is started again by itself.
func policy(q api.ProcessPolicy) string {
	switch q.Restart {
	case "always", "on-failure":
		return fmt.Sprintf("%s, at most %d times in a row", q.Restart, q.MaxRestarts)
	default:
		return "never by itself"
	}
}

// waits says when a process that waits is started again.
func waits(p api.Process) string {
	if p.Status != api.StatusWaiting || p.Due.IsZero() {
		return ""
	}
	return ", starts again at " + p.Due.Local().Format("15:04:05.000")
}

func pidLine(p api.ProcessInfo) string {
	if p.PID == 0 || p.Status == api.StatusEnded || len(p.PIDs) < 2 {
		return orNoNumber(p.PID)
	}
	var others []string
	for _, pid := range p.PIDs {
		if pid != p.PID {
			others = append(others, strconv.Itoa(pid))
		}
	}
	return fmt.Sprintf("%d, and %s that come from it", p.PID, strings.Join(others, ", "))
}

func lastExit(e api.ProcessExit) string {
	switch {
	case e.Signal != "":
		return e.Signal + ", " + e.Reason
	case e.ExitCode != nil:
		return fmt.Sprintf("code %d, %s", *e.ExitCode, e.Reason)
	default:
		return e.Reason
	}
}

// quoted are arguments as a shell would take them.
func quoted(args []string) string {
	var words []string
	for _, arg := range args {
		if arg == "" || strings.ContainsAny(strings.ReplaceAll(arg, "*********", ""), " \t\n'\"\\$`*?[]{}()<>|&;#~!") {
			arg = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
		words = append(words, arg)
	}
	return strings.Join(words, " ")
}

// cpu, memory and uptime are what a process uses and how long it has run.
func cpu(p api.Process) string {
	if p.CPUPercent == nil || !isUp(p) {
		return "-"
	}
	return fmt.Sprintf("%.1f%%", *p.CPUPercent)
}

func memory(p api.Process) string {
	switch {
	case p.MemoryBytes == nil || !isUp(p):
		return "-"
	case *p.MemoryBytes < 10<<30:
		return fmt.Sprintf("%.1f MiB", float64(*p.MemoryBytes)/(1<<20))
	default:
		return fmt.Sprintf("%.1f GiB", float64(*p.MemoryBytes)/(1<<30))
	}
}

func isUp(p api.Process) bool { return p.UptimeSeconds != nil && *p.UptimeSeconds > 0 }

func uptime(p api.Process) string {
	if !isUp(p) {
		return "-"
	}
	return span(time.Duration(*p.UptimeSeconds * float64(time.Second)))
}
