package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"berth/api"
)

// Leases lists all live leases.
func (c *Client) Leases(ctx context.Context) ([]api.Lease, error) {
	var out []api.Lease
	err := c.call(ctx, http.MethodGet, "/v1/leases", nil, nil, &out)
	return out, err
}

// AcquireLeases acquires one port of each range named, all or none, until they
// are released. Where the connection is lost it asks again, and it is done once.
// Errors: lease.ErrRangeNotFound, ErrRangeFull.
func (c *Client) AcquireLeases(ctx context.Context, in api.AcquireLeases) ([]api.Lease, error) {
	var out []api.Lease
	err := c.acquire(ctx, http.MethodPost, "/v1/leases", in, &out)
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
