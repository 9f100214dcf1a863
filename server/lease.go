package server

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"berth/access"
	"berth/api"
	"berth/lease"
	"berth/store"
)

// maxAcquired is the most leases of one request: as many as there are ports.
const maxAcquired = lease.MaxPort

func (s *Server) routeLeases(routes huma.API) {
	route(s, routes, access.Read, huma.Operation{
		OperationID: "list-leases", Method: http.MethodGet, Path: "/v1/leases",
		Summary: "List the live leases",
	}, s.listLeases)
	route(s, routes, access.Lease, huma.Operation{
		OperationID: "acquire-leases", Method: http.MethodPost, Path: "/v1/leases",
		Summary:       "Acquire leases, all or none, held until they are released",
		DefaultStatus: http.StatusCreated,
	}, s.acquireLeases)
	route(s, routes, access.Lease, huma.Operation{
		OperationID: "release-lease", Method: http.MethodDelete, Path: "/v1/leases/{id}",
		Summary: "Release a lease",
	}, s.releaseLease)
}

func (s *Server) listLeases(context.Context, *empty) (*reply[[]api.Lease], error) {
	return &reply[[]api.Lease]{list(s.opts.Leases.Leases(), apiLease)}, nil
}

func (s *Server) acquireLeases(ctx context.Context, in *struct {
	Keyed
	Body api.AcquireLeases
}) (*reply[[]api.Lease], error) {
	leases, err := once(ctx, s, in.Key, "acquire-leases", in.Body, func(q *keyed) ([]api.Lease, error) {
		return s.acquire(ctx, in.Body, q)
	}, func(note *keyNote) (leases []api.Lease, err error) {
		err = json.Unmarshal(note.Answer, &leases)
		return leases, err
	})
	if err != nil {
		return nil, err
	}
	return &reply[[]api.Lease]{leases}, nil
}

func (s *Server) acquire(ctx context.Context, in api.AcquireLeases, q *keyed) ([]api.Lease, error) {
	switch {
	case len(in.Ranges) == 0:
		return nil, invalid("body.ranges: name at least one range")
	case len(in.Ranges) > maxAcquired:
		return nil, invalid("body.ranges: %d of them, at most %d", len(in.Ranges), maxAcquired)
	}
	requests := make([]lease.Request, len(in.Ranges))
	for i, name := range in.Ranges {
		requests[i] = lease.Request{Range: name, Holder: lease.Holder{Kind: lease.Manual, Name: in.Holder}}
	}
	var extra func([]lease.Lease) store.Batch
	if q != nil {
		extra = func(planned []lease.Lease) store.Batch {
			answer, err := json.Marshal(list(planned, apiLease))
			if err != nil {
				panic(err) // plain data
			}
			return q.record(keyNote{Answer: answer})
		}
	}
	leases, err := s.opts.Leases.AcquireWith(ctx, extra, requests...)
	if err != nil {
		return nil, err
	}
	return list(leases, apiLease), nil
}

func (s *Server) releaseLease(ctx context.Context, in *struct {
	ID         string `path:"id"`
	Generation int64  `query:"generation" required:"true" doc:"the lease's generation; another one is refused"`
}) (*empty, error) {
	return nil, s.opts.Leases.Release(ctx, lease.ID(in.ID), in.Generation)
}

func apiLease(l lease.Lease) api.Lease {
	return api.Lease{
		ID:         string(l.ID),
		Generation: l.Generation,
		Range:      l.Range,
		Protocol:   string(l.Protocol),
		Port:       l.Port,
		Holder:     l.Holder.String(),
		Process:    l.Holder.Process,
		Since:      l.Since,
	}
}
