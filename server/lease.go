package server

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

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
		Summary: "List the live leases, all or those that fit",
	}, s.listLeases)
	route(s, routes, access.Lease, huma.Operation{
		OperationID: "acquire-leases", Method: http.MethodPost, Path: "/v1/leases",
		Summary:       "Acquire leases, all or none, until their holder is gone or they are released",
		DefaultStatus: http.StatusCreated,
	}, s.acquireLeases)
	route(s, routes, access.Lease, huma.Operation{
		OperationID: "renew-lease", Method: http.MethodPost, Path: "/v1/leases/{id}/renew",
		Summary: "Have the time of a session run out later",
	}, s.renewLease)
	route(s, routes, access.Lease, huma.Operation{
		OperationID: "release-lease", Method: http.MethodDelete, Path: "/v1/leases/{id}",
		Summary: "Release a lease",
	}, s.releaseLease)
}

func (s *Server) listLeases(_ context.Context, in *struct {
	Page
	Range    string `query:"range" doc:"a name, or a pattern with *"`
	Owner    string `query:"owner" doc:"a name, or a pattern with *"`
	Kind     string `query:"kind" enum:"process,session,manual" doc:"what ends them: the end of a process, of a time, or of nothing but a release"`
	Protocol string `query:"protocol" enum:"tcp,udp" doc:"of their ports"`
	Port     int    `query:"port" minimum:"1" maximum:"65535" doc:"of both protocols, where protocol is left out"`
	PID      int    `query:"pid" minimum:"1" doc:"of the operating system's process that holds them, as the daemon sees it"`
}) (*listed[api.Lease], error) {
	var fitting []lease.Lease
	for _, l := range s.opts.Leases.Leases() {
		switch {
		case in.Range != "" && !lease.Match(in.Range, l.Range):
		case in.Owner != "" && !lease.Match(in.Owner, l.Holder.Owner):
		case in.Kind != "" && in.Kind != string(l.Holder.Kind):
		case in.Protocol != "" && in.Protocol != string(l.Protocol):
		case in.Port != 0 && in.Port != l.Port:
		case in.PID != 0 && in.PID != l.Holder.Identity.PID:
		default:
			fitting = append(fitting, l)
		}
	}
	// Leases of one port, of which all but one have ended elsewhere, are in no order.
	if in.Limit > 0 || in.After != "" {
		slices.SortFunc(fitting, func(a, b lease.Lease) int { return comparePlaces(leasePlace(a), leasePlace(b)) })
	}
	fitting, next, err := paged(&in.Page, fitting, leasePlace)
	if err != nil {
		return nil, err
	}
	return &listed[api.Lease]{next, list(fitting, apiLease)}, nil
}

// leasePlace is where a lease is in lists.
func leasePlace(l lease.Lease) []any { return []any{string(l.Protocol), l.Port, string(l.ID)} }

type acquireLeases struct {
	Keyed
	Body api.AcquireLeases
}

func (s *Server) acquireLeases(ctx context.Context, in *acquireLeases) (*reply[[]api.Lease], error) {
	got, err := s.acquireOnce(ctx, in.Key, in.Body, bodyText(in.Body))
	if err != nil {
		return nil, err
	}
	return &reply[[]api.Lease]{got.leases}, nil
}

// acquired is what was acquired, and, where somebody needed it, as JSON.
type acquired struct {
	leases []api.Lease
	text   []byte
}

// acquireOnce acquires leases, or tells which ones a request with the same key
// has. Text is the request as JSON.
func (s *Server) acquireOnce(ctx context.Context, field string, in api.AcquireLeases, text []byte) (acquired, error) {
	return once(ctx, s, field, "acquire-leases", text, func(q *keyed) (acquired, error) {
		return s.acquire(ctx, in, q)
	}, func(note *keyNote) (got acquired, err error) {
		err = json.Unmarshal(note.Answer, &got.leases)
		return got, err
	})
}

func (s *Server) acquire(ctx context.Context, in api.AcquireLeases, q *keyed) (got acquired, err error) {
	requests, err := leaseRequests(in)
	if err != nil {
		return got, err
	}
	owner, err := access.From(ctx).Acts(in.Owner)
	if err != nil {
		return got, err
	}
	holder, err := s.holderOf(ctx, in.Holder, owner)
	if err != nil {
		return got, err
	}
	for i := range requests {
		// Only who names an owner means all that it has.
		requests[i].Holder, requests[i].Keep = holder, in.Keep || in.Owner == ""
	}
	var extra func([]lease.Lease) store.Batch
	if q != nil {
		extra = func(planned []lease.Lease) store.Batch {
			got.text = answerText(list(planned, apiLease))
			return q.record(keyNote{Answer: got.text})
		}
	}
	err = s.withinQuota(ctx, owner, requests, func() error {
		leases, err := s.opts.Leases.AcquireWith(ctx, extra, requests...)
		got.leases = list(leases, apiLease)
		return err
	})
	if err != nil {
		return acquired{}, err
	}
	return got, nil
}

// leaseRequests are what is asked for, without its holder.
func leaseRequests(in api.AcquireLeases) ([]lease.Request, error) {
	if len(in.Ranges)+len(in.Ports) == 0 {
		return nil, invalid("body.ranges: name at least one range, or ports")
	}
	requests := make([]lease.Request, 0, len(in.Ranges)+len(in.Ports))
	for _, name := range in.Ranges {
		if name == "" {
			return nil, invalid("body.ranges: the name of a range is empty")
		}
		requests = append(requests, lease.Request{Range: name})
	}
	wanted := len(in.Ranges)
	for _, p := range in.Ports {
		requests = append(requests, lease.Request{
			Range: p.Range, Protocol: lease.Protocol(p.Protocol), Count: p.Count, Port: p.Port,
			Min: p.Min, Max: p.Max, Prefer: p.Prefer, System: p.System,
		})
		wanted += max(p.Count, 1)
	}
	if wanted > maxAcquired {
		return nil, invalid("body: %d ports are wanted, at most %d", wanted, maxAcquired)
	}
	return requests, nil
}

func (s *Server) renewLease(ctx context.Context, in *struct {
	ID   string `path:"id" doc:"the lease's id"`
	Body api.RenewLease
}) (*reply[api.Lease], error) {
	var ttl time.Duration // 0 is as long as it had
	if in.Body.TTL != "" {
		var err error
		if ttl, err = ttlOf("body.ttl", in.Body.TTL); err != nil {
			return nil, err
		}
	}
	if err := s.mayChange(ctx, in.ID); err != nil {
		return nil, err
	}
	l, err := s.opts.Leases.Renew(ctx, lease.ID(in.ID), in.Body.Generation, ttl)
	if err != nil {
		return nil, err
	}
	return &reply[api.Lease]{apiLease(l)}, nil
}

type releaseLease struct {
	ID         string `path:"id" doc:"the lease's id"`
	Generation int64  `query:"generation" minimum:"0" doc:"the lease's generation; another one is refused; left out, any will do"`
}

func (s *Server) releaseLease(ctx context.Context, in *releaseLease) (*empty, error) {
	if err := s.mayChange(ctx, in.ID); err != nil {
		return nil, err
	}
	return nil, s.opts.Leases.Release(ctx, lease.ID(in.ID), in.Generation)
}

// mayChange is the error where the caller may not change a lease: only its owner
// and admins may.
func (s *Server) mayChange(ctx context.Context, id string) error {
	if access.From(ctx).IsAdmin() {
		return nil
	}
	l, err := s.opts.Leases.Lease(lease.ID(id))
	if err != nil {
		return err
	}
	return ownsLease(ctx, id, l.Holder.Owner)
}

func apiLease(l lease.Lease) api.Lease {
	return api.Lease{
		ID:         string(l.ID),
		Generation: l.Generation,
		Range:      l.Range,
		Protocol:   string(l.Protocol),
		Port:       l.Port,
		Holder:     l.Holder.String(),
		Kind:       string(l.Holder.Kind),
		PID:        l.Holder.Identity.PID,
		Owner:      l.Holder.Owner,
		ExpiresAt:  l.Holder.Expires,
		Process:    l.Holder.Process,
		Since:      l.Since,
	}
}
