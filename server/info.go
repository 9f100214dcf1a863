package server

import (
	"context"
	"math"
	"strings"

	"berth/api"
	"berth/conf"
	"berth/launcher"
)

func (s *Server) getProcessInfo(_ context.Context, in *processID) (*reply[api.ProcessInfo], error) {
	info, err := s.opts.Processes.Info(in.ID)
	if err != nil {
		return nil, err
	}
	out := api.ProcessInfo{
		Process: s.shownProcess(info.Process), PIDs: notNil(info.PIDs), Command: masked(info.Command), Environment: notNil(info.Environment),
		WorkingDir: info.WorkingDir, LogFiles: notNil(info.LogFiles), Dependencies: notNil(info.Dependencies),
	}
	setUsage(&out.Process, info.Usage)
	if d := info.Definition; d != nil {
		if h := d.Health; h != nil && info.Check != "" {
			out.HealthCheck = &api.HealthCheck{
				URL: info.Check, TimeoutSeconds: h.Timeout.Seconds(), IntervalSeconds: h.Interval.Seconds(), Retries: h.Retries,
			}
		}
		out.Policy = &api.ProcessPolicy{
			Restart: string(d.Restart), MaxRestarts: d.MaxRestarts, ShutdownTimeoutSeconds: d.ShutdownTimeout.Seconds(),
			MaxKillRetry: d.MaxKillRetry, DeleteOnKill: d.DeleteOnKill, MaxInstances: d.MaxInstances,
		}
	}
	return &reply[api.ProcessInfo]{out}, nil
}

// setUsage has a process tell what it uses, in tenths of a percent.
func setUsage(p *api.Process, u launcher.Usage) {
	percent := math.Round(10*u.CPUPercent) / 10
	p.CPUPercent, p.MemoryBytes = &percent, &u.Memory
}

func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// masked are the arguments of a process with the values of those masked whose
// names say that they are secrets: name=value, with dashes or -D before it, and
// a value behind an option of such a name.
func masked(args []string) []string {
	out := make([]string, len(args))
	secret := false
	for i, arg := range args {
		name, _, given := strings.Cut(arg, "=")
		bare := strings.TrimLeft(name, "-")
		if strings.HasPrefix(name, "-D") {
			bare = name[2:]
		}
		hidden := i > 0 && conf.Property{Name: bare}.Hidden()
		switch {
		case secret && !strings.HasPrefix(arg, "-"):
			out[i] = conf.Mask
		case hidden && given:
			out[i] = name + "=" + conf.Mask
		default:
			out[i] = arg
		}
		secret = hidden && !given && strings.HasPrefix(arg, "-")
	}
	return out
}
