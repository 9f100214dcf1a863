package server

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"berth/access"
	"berth/api"
	"berth/launcher"
	"berth/store"
)

// defaultReloadWait is how long a new process may take in a reload until it listens.
const defaultReloadWait = time.Minute

// maxWait is the longest that a request may ask to wait, in seconds.
const maxWait = 24 * 60 * 60

func (s *Server) routeProcesses(routes huma.API) {
	route(s, routes, access.Exec, huma.Operation{
		OperationID: "exec-processes", Method: http.MethodPost, Path: "/v1/processes",
		Summary:       "Start processes, all or none",
		DefaultStatus: http.StatusCreated,
	}, s.execProcesses)
	route(s, routes, access.Read, huma.Operation{
		OperationID: "list-processes", Method: http.MethodGet, Path: "/v1/processes",
		Summary: "List the processes that live, by id",
	}, s.listProcesses)
	route(s, routes, access.Read, huma.Operation{
		OperationID: "get-process", Method: http.MethodGet, Path: "/v1/processes/{id}",
		Summary: "Show a process that lives, or one of the last that ended",
	}, s.getProcess)
	route(s, routes, access.Read, huma.Operation{
		OperationID: "get-process-info", Method: http.MethodGet, Path: "/v1/processes/{id}/info",
		Summary: "Show all of a process that lives, or of one of the last that ended",
	}, s.getProcessInfo)
	route(s, routes, access.Exec, huma.Operation{
		OperationID: "kill-processes", Method: http.MethodPost, Path: "/v1/processes/kill",
		Summary: "Stop processes and recuperate their leases",
	}, s.killProcesses)
	route(s, routes, access.Exec, huma.Operation{
		OperationID: "restart-processes", Method: http.MethodPost, Path: "/v1/processes/restart",
		Summary: "Stop processes and start them again on the same ports",
	}, s.restartProcesses)
	route(s, routes, access.Exec, huma.Operation{
		OperationID: "reload-processes", Method: http.MethodPost, Path: "/v1/processes/reload",
		Summary: "Exchange processes for new ones, one after the other",
	}, s.reloadProcesses)
}

func (s *Server) execProcesses(ctx context.Context, in *struct {
	Keyed
	Body api.Exec
}) (*reply[api.Started], error) {
	wait, err := waitOf(in.Body.WaitSeconds)
	if err != nil {
		return nil, err
	}
	if in.Body.Instances < 0 {
		return nil, invalid("body.instances: %d is below 0", in.Body.Instances)
	}
	var parts []launcher.ExecPart
	var left []string
	switch {
	case in.Body.Config != "":
		if parts, left, err = s.execParts(ctx, in.Body); err != nil {
			return nil, err
		}
		if len(parts) == 0 {
			return &reply[api.Started]{api.Started{Processes: []api.Process{}, Warnings: left}}, nil
		}
	case in.Body.Distribution == "" || in.Body.Version == "":
		return nil, invalid("body: distribution and version are needed, or config")
	}
	result, err := once(ctx, s, in.Key, "exec-processes", bodyText(in.Body), func(q *keyed) (launcher.ExecResult, error) {
		var extra func(ids []int, warnings []string) store.Batch
		if q != nil {
			extra = func(ids []int, warnings []string) store.Batch {
				return q.record(keyNote{IDs: []int{ids[0], ids[len(ids)-1]}, Warnings: warnings})
			}
		}
		return s.opts.Processes.Exec(s.lasting, launcher.ExecRequest{
			Distribution: in.Body.Distribution,
			Version:      in.Body.Version,
			Profile:      in.Body.Profile,
			Name:         in.Body.Name,
			Instances:    in.Body.Instances,
			Parts:        parts,
			Stable:       in.Body.Config != "",
			Wait:         wait,
			Extra:        extra,
		})
	}, func(note *keyNote) (launcher.ExecResult, error) {
		if len(note.IDs) != 2 {
			return launcher.ExecResult{}, fmt.Errorf("the record of the idempotency key names the processes %v, not a first and a last", note.IDs)
		}
		var ids []int
		for id := note.IDs[0]; id <= note.IDs[1]; id++ {
			ids = append(ids, id)
		}
		result, err := s.opts.Processes.Started(s.lasting, ids, wait)
		result.Warnings = note.Warnings
		return result, err
	})
	if err != nil {
		return nil, err
	}
	return &reply[api.Started]{api.Started{
		Processes: list(result.Processes, s.apiProcess),
		Warnings:  append(left, result.Warnings...),
	}}, nil
}

func (s *Server) listProcesses(_ context.Context, in *struct {
	Page
	Distribution string `query:"distribution" doc:"a name, or a pattern with *"`
	Version      string `query:"version" doc:"a version, or a pattern with *"`
	Name         string `query:"name" doc:"a process name, or a pattern with *"`
	Profile      string `query:"profile" doc:"a profile, or a pattern with *"`
	IDs          []int  `query:"id,explode" doc:"exact; one that is not there is an error"`
	PIDs         []int  `query:"pid,explode" doc:"exact; one that is not there is an error"`
	Port         string `query:"port" doc:"RANGE:PORT, each a pattern: http:*"`
	Ended        bool   `query:"ended" doc:"also the last ones that ended"`
	Usage        bool   `query:"usage" doc:"with cpuPercent and memoryBytes"`
}) (*listed[api.Process], error) {
	processes, err := s.opts.Processes.Processes(launcher.Selector{
		IDs:          in.IDs,
		PIDs:         in.PIDs,
		Distribution: in.Distribution,
		Version:      in.Version,
		Name:         in.Name,
		Profile:      in.Profile,
		Port:         in.Port,
		Ended:        in.Ended,
	})
	if err != nil {
		return nil, err
	}
	processes, next, err := paged(&in.Page, processes, func(p launcher.Process) []any { return []any{p.ID} })
	if err != nil {
		return nil, err
	}
	out := list(processes, s.shownProcess)
	if in.Usage {
		used, err := s.opts.Processes.Usages(processes)
		if err != nil {
			return nil, err
		}
		for i := range out {
			setUsage(&out[i], used[out[i].ID])
		}
	}
	return &listed[api.Process]{next, out}, nil
}

// processID names a process in a path.
type processID struct {
	ID int `path:"id" doc:"the id that Berth gave it"`
}

func (s *Server) getProcess(_ context.Context, in *processID) (*reply[api.Process], error) {
	p, err := s.opts.Processes.Process(in.ID)
	if err != nil {
		return nil, err
	}
	return &reply[api.Process]{s.shownProcess(p)}, nil
}

func (s *Server) killProcesses(_ context.Context, in *struct{ Body api.Kill }) (*reply[api.Affected], error) {
	r, err := stopRequest(in.Body.Selector, in.Body.Hard, in.Body.WaitSeconds)
	if err != nil {
		return nil, err
	}
	return s.affected(s.opts.Processes.Kill(s.lasting, r))
}

func (s *Server) restartProcesses(_ context.Context, in *struct{ Body api.Restart }) (*reply[api.Affected], error) {
	r, err := stopRequest(in.Body.Selector, in.Body.Hard, in.Body.WaitSeconds)
	if err != nil {
		return nil, err
	}
	if len(in.Body.Ports) > 0 {
		result, err := s.opts.Processes.Reload(s.lasting, launcher.ReloadRequest{Selector: r.Selector, Ports: in.Body.Ports, Wait: r.Wait})
		return s.affected(result.Processes, err)
	}
	return s.affected(s.opts.Processes.Restart(s.lasting, r))
}

func (s *Server) reloadProcesses(_ context.Context, in *struct{ Body api.Reload }) (*reply[api.Reloaded], error) {
	r, err := stopRequest(in.Body.Selector, false, in.Body.WaitSeconds)
	if err != nil {
		return nil, err
	}
	result, err := s.opts.Processes.Reload(s.lasting, launcher.ReloadRequest{
		Selector: r.Selector, Ports: in.Body.Ports, Wait: cmp.Or(r.Wait, defaultReloadWait),
	})
	if err != nil {
		return nil, err
	}
	return &reply[api.Reloaded]{api.Reloaded{Processes: list(result.Processes, s.apiProcess), Restarted: result.Restarted, Warnings: result.Warnings}}, nil
}

func (s *Server) affected(processes []launcher.Process, err error) (*reply[api.Affected], error) {
	if err != nil {
		return nil, err
	}
	return &reply[api.Affected]{api.Affected{Processes: list(processes, s.apiProcess)}}, nil
}

// stopRequest reads whom to stop. That nothing was selected is refused: an
// empty body must not stop everything.
func stopRequest(selected api.Selector, hard bool, waitSeconds float64) (launcher.StopRequest, error) {
	wait, err := waitOf(waitSeconds)
	if err != nil {
		return launcher.StopRequest{}, err
	}
	narrowed := len(selected.IDs) > 0 || len(selected.PIDs) > 0 || selected.Distribution != "" || selected.Version != "" ||
		selected.Name != "" || selected.Profile != "" || selected.Port != ""
	if !narrowed && !selected.All {
		return launcher.StopRequest{}, invalid("body: it selects no process: name some, or set all")
	}
	return launcher.StopRequest{
		Selector: launcher.Selector{
			IDs:          selected.IDs,
			PIDs:         selected.PIDs,
			Distribution: selected.Distribution,
			Version:      selected.Version,
			Name:         selected.Name,
			Profile:      selected.Profile,
			Port:         selected.Port,
		},
		Hard: hard,
		Wait: wait,
	}, nil
}

// waitOf reads how long to wait; 0 is not at all.
func waitOf(seconds float64) (time.Duration, error) {
	if seconds < 0 || seconds > maxWait {
		return 0, invalid("body.waitSeconds: %g is outside 0 to %d", seconds, maxWait)
	}
	return time.Duration(seconds * float64(time.Second)), nil
}

// shownProcess is a process with how long it has run.
func (s *Server) shownProcess(p launcher.Process) api.Process {
	out := s.apiProcess(p)
	uptime := p.Uptime(time.Now()).Seconds()
	out.UptimeSeconds = &uptime
	return out
}

func (s *Server) apiProcess(p launcher.Process) api.Process {
	out := api.Process{
		ID:           p.ID,
		Distribution: p.Distribution,
		Version:      p.Version,
		Profile:      p.Profile,
		Name:         p.Name,
		Instance:     p.Instance,
		Replaces:     p.Replaces,
		PID:          p.PID(),
		Status:       string(p.Status),
		StartedAt:    p.StartedAt,
		Ports: list(p.Ports, func(port launcher.Port) api.ProcessPort {
			return api.ProcessPort{
				Name:     port.Label(),
				Protocol: string(port.Protocol),
				Port:     port.Number,
				State:    string(port.State),
				Lease:    string(port.Lease),
				Reason:   port.Conflict,
			}
		}),
		Dir:     s.opts.Processes.Dir(p.ID),
		Retries: p.Retries,
		Reason:  p.Retried,
		EndedAt: p.EndedAt,

		Restarts: p.Restarts,
		Due:      p.Due,

		Health:       string(p.Health),
		HealthReason: p.HealthReason,
	}
	if last := p.LastExit; last != nil {
		out.LastExit = &api.ProcessExit{ExitCode: last.Code, Signal: last.Signal, Reason: last.Reason}
		if p.Status == launcher.Waiting {
			out.Reason = last.Reason
		}
	}
	if p.Exit != nil {
		out.ExitCode, out.Signal, out.Reason = p.Exit.Code, p.Exit.Signal, p.Exit.Reason
	}
	return out
}
