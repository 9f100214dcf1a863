package server

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"berth/access"
	"berth/api"
	"berth/launcher"
	"berth/lease"
)

func (s *Server) routeRanges(routes huma.API) {
	route(s, routes, access.Read, huma.Operation{
		OperationID: "list-ranges", Method: http.MethodGet, Path: "/v1/ranges",
		Summary: "List ranges and what became of their ports",
	}, s.listRanges)
	route(s, routes, access.Admin, huma.Operation{
		OperationID: "add-ranges", Method: http.MethodPost, Path: "/v1/ranges",
		Summary:       "Add ranges, all or none",
		DefaultStatus: http.StatusCreated, MaxBodyBytes: maxRanges,
	}, s.addRanges)
	route(s, routes, access.Admin, huma.Operation{
		OperationID: "update-range", Method: http.MethodPatch, Path: "/v1/ranges/{name}",
		Summary: "Change the bounds, the policy, the static ports or the description of a range",
	}, s.updateRange)
	route(s, routes, access.Admin, huma.Operation{
		OperationID: "delete-ranges", Method: http.MethodDelete, Path: "/v1/ranges",
		Summary: "Delete the ranges whose names match, all or none",
	}, s.deleteRanges)
	route(s, routes, access.Admin, huma.Operation{
		OperationID: "archive-ranges", Method: http.MethodPut, Path: "/v1/ranges/archives/{rev}",
		Summary: "Archive all ranges under a name",
	}, s.archiveRanges)
	route(s, routes, access.Admin, huma.Operation{
		OperationID: "restore-ranges", Method: http.MethodPost, Path: "/v1/ranges/archives/{rev}/restore",
		Summary: "Restore the ranges of an archive",
	}, s.restoreRanges)
}

func (s *Server) listRanges(_ context.Context, in *struct {
	Name string `query:"name" doc:"a name, or a pattern with *"`
}) (*reply[[]api.RangeStatus], error) {
	ranges := s.opts.Leases.Ranges(orAll(in.Name))
	used, err := s.portUse(ranges)
	if err != nil {
		return nil, err
	}
	out := list(ranges, func(r lease.RangeStatus) api.RangeStatus { return rangeStatus(r, used) })
	return &reply[[]api.RangeStatus]{out}, nil
}

func (s *Server) addRanges(ctx context.Context, in *struct{ Body api.AddRanges }) (*reply[[]api.AddedRange], error) {
	ranges := make([]lease.Range, 0, len(in.Body.Ranges))
	for _, r := range in.Body.Ranges {
		added, err := rangeOf(r)
		if err != nil {
			return nil, err
		}
		ranges = append(ranges, added)
	}
	o := lease.AddOptions{Clear: in.Body.Clear, Force: in.Body.Force}
	if err := s.opts.Leases.AddRanges(ctx, ranges, o); err != nil {
		return nil, err
	}
	kernel := s.kernel()
	return &reply[[]api.AddedRange]{list(ranges, func(r lease.Range) api.AddedRange {
		return api.AddedRange{Range: apiRange(r), Warnings: kernel.warnings(r)}
	})}, nil
}

func (s *Server) updateRange(ctx context.Context, in *struct {
	Name string `path:"name" doc:"of the range" example:"http"`
	Body api.UpdateRange
}) (*reply[api.UpdatedRange], error) {
	if in.Body.Min == 0 && in.Body.Max == 0 && in.Body.Policy == "" && in.Body.Static == nil && in.Body.Description == nil {
		return nil, invalid("body: give min, max, policy, static or description")
	}
	u, err := s.opts.Leases.UpdateRange(ctx, in.Name, lease.UpdateOptions{
		Min: in.Body.Min, Max: in.Body.Max, Policy: lease.Policy(in.Body.Policy), Static: in.Body.Static, Description: in.Body.Description,
		Force: in.Body.Force,
	})
	if err != nil {
		return nil, err
	}
	used, err := s.portUse([]lease.RangeStatus{{Active: u.Outside}})
	if err != nil {
		return nil, err
	}
	out := api.UpdatedRange{Range: apiRange(u.Range), Before: apiRange(u.Before), Outside: activePorts(u.Outside, used)}
	if u.Range.Min != u.Before.Min || u.Range.Max != u.Before.Max {
		out.Warnings = s.kernel().warnings(u.Range)
	}
	return &reply[api.UpdatedRange]{out}, nil
}

func (s *Server) deleteRanges(ctx context.Context, in *struct {
	Name  string `query:"name" required:"true" doc:"a name, or a pattern with *"`
	Force bool   `query:"force" doc:"also where a range has live leases"`
}) (*reply[api.DeletedRanges], error) {
	deleted, err := s.opts.Leases.DeleteRanges(ctx, in.Name, in.Force)
	if err != nil {
		return nil, err
	}
	return &reply[api.DeletedRanges]{api.DeletedRanges{Deleted: list(deleted, apiRange)}}, nil
}

// archive names an archive of ranges.
type archive struct {
	Rev string `path:"rev" doc:"letters, digits, '-', '_' and '.'"`
}

func (s *Server) archiveRanges(ctx context.Context, in *archive) (*reply[api.Archived], error) {
	ranges, err := s.opts.Leases.Archive(ctx, in.Rev)
	if err != nil {
		return nil, err
	}
	return &reply[api.Archived]{api.Archived{Revision: in.Rev, Ranges: list(ranges, apiRange)}}, nil
}

func (s *Server) restoreRanges(ctx context.Context, in *archive) (*reply[api.Archived], error) {
	ranges, err := s.opts.Leases.Unarchive(ctx, in.Rev)
	if err != nil {
		return nil, err
	}
	return &reply[api.Archived]{api.Archived{Revision: in.Rev, Ranges: list(ranges, apiRange)}}, nil
}

// rangeOf reads a range with its defaults written out. Whether its name and
// ports are right is the manager's to say.
func rangeOf(r api.Range) (lease.Range, error) {
	protocol, err := lease.ParseProtocol(r.Protocol)
	if err != nil {
		return lease.Range{}, err
	}
	scope, err := lease.ParseScope(r.Scope)
	if err != nil {
		return lease.Range{}, err
	}
	policy, err := lease.ParsePolicy(r.Policy)
	if err != nil {
		return lease.Range{}, err
	}
	return lease.Range{
		Name: r.Name, Min: r.Min, Max: r.Max, Protocol: protocol, Scope: scope,
		Policy: policy, Static: r.Static, Ephemeral: r.Ephemeral, Description: r.Description,
	}, nil
}

func apiRange(r lease.Range) api.Range {
	return api.Range{
		Name: r.Name, Min: r.Min, Max: r.Max, Protocol: string(r.Protocol), Scope: string(r.Scope),
		Policy: string(r.Policy), Static: r.Static, Ephemeral: r.Ephemeral, Description: r.Description,
	}
}

// use is what the launcher knows of a leased port.
type use struct {
	state launcher.PortState
	pid   int
}

// portUse tells by lease what the ports of running processes are used for. It
// asks the launcher only where a process has an active port of ranges.
func (s *Server) portUse(ranges []lease.RangeStatus) (map[lease.ID]use, error) {
	held := false
	for _, r := range ranges {
		for _, a := range r.Active {
			held = held || a.Lease.Holder.Process != 0
		}
	}
	if !held {
		return nil, nil
	}
	processes, err := s.opts.Processes.Processes(launcher.Selector{})
	if err != nil {
		return nil, err
	}
	used := make(map[lease.ID]use)
	for _, p := range processes {
		for _, port := range p.Ports {
			used[port.Lease] = use{port.State, p.PID()}
		}
	}
	return used, nil
}

func rangeStatus(r lease.RangeStatus, used map[lease.ID]use) api.RangeStatus {
	return api.RangeStatus{
		Range:     apiRange(r.Range),
		Available: some(r.Available),
		Active:    activePorts(r.Active, used),
		SetAside: list(r.SetAside, func(a lease.SetAside) api.SetAsidePort {
			return api.SetAsidePort{Port: a.Port, Reason: a.Reason, PID: a.PID, Command: a.Command, Since: a.Since}
		}),
	}
}

func activePorts(active []lease.ActivePort, used map[lease.ID]use) []api.ActivePort {
	return list(active, func(a lease.ActivePort) api.ActivePort {
		u := used[a.Lease.ID]
		if u.pid == 0 {
			u.pid = a.Lease.Holder.Identity.PID
		}
		if u.state == "" {
			u.state = launcher.PortLeased
		}
		return api.ActivePort{
			Port:   a.Port,
			State:  string(u.state),
			Holder: a.Lease.Holder.String(),
			PID:    u.pid,
			Lease:  string(a.Lease.ID),
		}
	})
}
