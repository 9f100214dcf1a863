package server

import (
	"context"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"berth/access"
	"berth/api"
	"berth/lease"
)

func (s *Server) routeQuotas(routes huma.API) {
	route(s, routes, access.Read, huma.Operation{
		OperationID: "list-quotas", Method: http.MethodGet, Path: "/v1/quotas",
		Summary: "List the quotas: how many leases owners may have",
	}, s.listQuotas)
	route(s, routes, access.Admin, huma.Operation{
		OperationID: "set-quota", Method: http.MethodPut, Path: "/v1/quotas/{owner}",
		Summary: "Set the quota of an owner, or with * of each that has none of its own",
	}, s.setQuota)
	route(s, routes, access.Admin, huma.Operation{
		OperationID: "delete-quota", Method: http.MethodDelete, Path: "/v1/quotas/{owner}",
		Summary: "Take the quota of an owner away; one that has none is no error",
	}, s.deleteQuota)
}

func (s *Server) listQuotas(context.Context, *empty) (*reply[[]api.Quota], error) {
	if s.opts.Quotas == nil {
		return nil, errNoQuotas
	}
	return &reply[[]api.Quota]{list(s.opts.Quotas.List(), func(q access.Quota) api.Quota {
		return api.Quota{Owner: q.Owner, Max: q.Max, TCP: q.TCP, UDP: q.UDP, Have: s.leasesOf(q.Owner)}
	})}, nil
}

func (s *Server) setQuota(ctx context.Context, in *struct {
	Owner string `path:"owner" maxLength:"255" doc:"an owner, or *"`
	Body  api.SetQuota
}) (*reply[api.Quota], error) {
	if s.opts.Quotas == nil {
		return nil, errNoQuotas
	}
	if err := s.opts.Quotas.Set(ctx, access.Quota{Owner: in.Owner, Max: in.Body.Max, TCP: in.Body.TCP, UDP: in.Body.UDP}); err != nil {
		return nil, err
	}
	return &reply[api.Quota]{api.Quota{Owner: in.Owner, Max: in.Body.Max, TCP: in.Body.TCP, UDP: in.Body.UDP, Have: s.leasesOf(in.Owner)}}, nil
}

func (s *Server) deleteQuota(ctx context.Context, in *struct {
	Owner string `path:"owner" maxLength:"255" doc:"an owner, or *"`
}) (*empty, error) {
	if s.opts.Quotas == nil {
		return nil, errNoQuotas
	}
	_, err := s.opts.Quotas.Delete(ctx, in.Owner)
	return nil, err
}

// withinQuota acquires leases where their owner may have so many. What it gives up
// for them does not count.
func (s *Server) withinQuota(ctx context.Context, owner string, requests []lease.Request, acquire func() error) error {
	if s.opts.Quotas == nil {
		return acquire()
	}
	most, limited := s.opts.Quotas.Of(owner, access.From(ctx).Quota)
	if !limited {
		return acquire() // who has a demand has a quota
	}
	want := 0
	for _, q := range requests {
		want += max(q.Count, 1)
	}
	inTurn := acquire
	acquire = func() error {
		if err := s.withinDemand(owner, requests); err != nil {
			return err
		}
		return inTurn()
	}
	kept := func() (n int) {
		for _, l := range s.opts.Leases.ByOwner(owner) {
			if l.Holder.Process == 0 && !slices.ContainsFunc(requests, func(q lease.Request) bool { return givesUp(q, l) }) {
				n++
			}
		}
		return n
	}
	return s.opts.Quotas.Within(ctx, owner, most, want, kept, acquire)
}

// withinDemand is the error where an owner would have more leases of a protocol
// than its demand.
func (s *Server) withinDemand(owner string, requests []lease.Request) error {
	for _, protocol := range []lease.Protocol{lease.TCP, lease.UDP} {
		most, limited := s.opts.Quotas.Demand(owner, string(protocol))
		if !limited {
			continue
		}
		want, have := 0, 0
		for _, q := range requests {
			if s.protocolOf(q) == protocol {
				want += max(q.Count, 1)
			}
		}
		for _, l := range s.opts.Leases.ByOwner(owner) {
			if l.Protocol == protocol && l.Holder.Process == 0 && !slices.ContainsFunc(requests, func(q lease.Request) bool { return givesUp(q, l) }) {
				have++
			}
		}
		if want > 0 && have+want > most {
			return access.ExceedsDemand(owner, string(protocol), have, want, most)
		}
	}
	return nil
}

// protocolOf is the protocol of the ports that a request is for: that of its
// range, where it names only that.
func (s *Server) protocolOf(q lease.Request) lease.Protocol {
	if q.Protocol == "" && q.Range != "" {
		for _, r := range s.opts.Leases.Ranges(q.Range) {
			if r.Name == q.Range {
				return r.Protocol
			}
		}
	}
	if q.Protocol == lease.UDP {
		return lease.UDP
	}
	return lease.TCP
}

// givesUp reports whether a request ends a lease of its owner for what it acquires.
// A port that is asked for directly may end one of the range that it lies in, too,
// which is not looked at: then rather too little is leased.
func givesUp(q lease.Request, l lease.Lease) bool {
	protocol := q.Protocol
	if protocol == "" {
		protocol = l.Protocol // that of the range
		if q.Range == "" {
			protocol = lease.TCP
		}
	}
	return !q.Keep && l.Range == q.Range && l.Protocol == protocol
}

// leasesOf counts the leases of an owner.
func (s *Server) leasesOf(owner string) (n int) {
	for _, l := range s.opts.Leases.ByOwner(owner) {
		if l.Holder.Process == 0 {
			n++
		}
	}
	return n
}
