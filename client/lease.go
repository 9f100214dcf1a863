package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"berth/api"
	"berth/descriptor"
)

// Leases lists all live leases.
func (c *Client) Leases(ctx context.Context) ([]api.Lease, error) {
	return c.FindLeases(ctx, api.LeaseFilter{})
}

// FindLeases lists the live leases that fit, in the order of their ports, TCP
// before UDP. None is no error.
func (c *Client) FindLeases(ctx context.Context, f api.LeaseFilter) ([]api.Lease, error) {
	var out []api.Lease
	err := c.call(ctx, http.MethodGet, "/v1/leases", leaseQuery(f), nil, &out)
	return out, err
}

func leaseQuery(f api.LeaseFilter) url.Values {
	q := query("range", f.Range, "owner", f.Owner, "kind", f.Kind, "protocol", f.Protocol)
	if f.Port != 0 {
		q.Set("port", strconv.Itoa(f.Port))
	}
	if f.PID != 0 {
		q.Set("pid", strconv.Itoa(f.PID))
	}
	return q
}

// AcquireLeases acquires ports, all or none, for a holder: until a process has
// ended, until a session's time has run out, or until they are released. Where
// the connection is lost it asks again, and it is done once.
// Errors: lease.ErrRangeNotFound, ErrRangeFull, ErrAssigned, ErrInUse,
// ErrPrivileged; api.CodeHolderRefused, CodeHolderUnseen.
func (c *Client) AcquireLeases(ctx context.Context, in api.AcquireLeases) ([]api.Lease, error) {
	var out []api.Lease
	err := c.acquire(ctx, http.MethodPost, "/v1/leases", in, &out)
	return out, err
}

// RenewLease has the time of a session run out later: ttl from now on, or as
// long as it had where ttl is 0. Generation is the one that the caller knows; 0
// is any. Errors: lease.ErrLeaseNotFound, ErrLeaseChanged.
func (c *Client) RenewLease(ctx context.Context, id string, generation int64, ttl time.Duration) (api.Lease, error) {
	in := api.RenewLease{Generation: generation}
	if ttl != 0 {
		in.TTL = ttl.String()
	}
	var out api.Lease
	err := c.call(ctx, http.MethodPost, "/v1/leases/"+url.PathEscape(id)+"/renew", nil, in, &out)
	return out, err
}

// ReleaseLease ends a lease. Generation is the one that the caller knows; 0 is
// any. Errors: lease.ErrLeaseNotFound, ErrLeaseChanged.
func (c *Client) ReleaseLease(ctx context.Context, id string, generation int64) error {
	q := url.Values{}
	if generation != 0 {
		q.Set("generation", strconv.FormatInt(generation, 10))
	}
	return c.call(ctx, http.MethodDelete, "/v1/leases/"+url.PathEscape(id), q, nil, nil)
}

// ParsePort reads what commands are told of ports: the name of a range, 3000,
// 3000-3003, auto:5000-5100, or 0 for one that the system chooses. Of an
// interval all ports are wanted, of auto any one.
func ParsePort(text string) (api.PortRequest, error) {
	spec, err := descriptor.ParsePortSpec(text)
	switch {
	case err != nil:
		return api.PortRequest{}, err
	case spec.Range != "":
		return api.PortRequest{Range: spec.Range}, nil
	case spec.Auto:
		return api.PortRequest{Min: spec.First, Max: spec.Last}, nil
	case spec.First == 0:
		return api.PortRequest{System: true}, nil
	}
	in := api.PortRequest{Port: spec.First}
	if n := spec.Size(); n > 1 {
		in.Count = n
	}
	return in, nil
}
