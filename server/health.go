package server

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"berth/access"
	"berth/api"
)

func (s *Server) routeHealth(routes huma.API) {
	route(s, routes, access.Read, huma.Operation{
		OperationID: "get-health", Method: http.MethodGet, Path: "/v1/health",
		Summary: "Tell how the daemon's disk and store are",
	}, s.health)
	route(s, routes, access.Admin, huma.Operation{
		OperationID: "accept-damage", Method: http.MethodPost, Path: "/v1/health/accept",
		Summary: "Accept what the store has lost, so that ports are leased again; answers what it was",
	}, s.acceptDamage)
}

func (s *Server) health(context.Context, *empty) (*reply[api.Health], error) {
	if s.opts.Store == nil {
		return nil, errUninspected
	}
	h := s.opts.Store.Health()
	out := api.Health{
		Healthy: h.Refusal == nil && len(h.Damage) == 0, ReadOnly: h.Refusal != nil,
		Folder: h.Dir, Available: h.Available, Needed: h.Needed, Damage: append([]string{}, h.Damage...),
	}
	out.Rebuilt, out.Left = []string{}, []string{}
	if len(h.Damage) > 0 {
		r := s.opts.Processes.Rebuilding()
		out.Rebuilt, out.Left = append(out.Rebuilt, r.Rebuilt...), append(out.Left, r.Left...)
	}
	out.Kernel = s.kernelHealth()
	if h.Refusal != nil {
		out.Reason = oneLine(h.Refusal.Error())
	}
	return &reply[api.Health]{out}, nil
}

func (s *Server) acceptDamage(ctx context.Context, in *empty) (*reply[api.Health], error) {
	before, err := s.health(ctx, in)
	if err != nil {
		return nil, err
	}
	if err := s.opts.Store.Accept(); err != nil {
		return nil, err
	}
	return before, nil
}
