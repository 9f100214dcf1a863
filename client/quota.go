package client

import (
	"context"
	"net/http"
	"net/url"

	"berth/api"
)

// Quotas lists how many leases owners may have.
func (c *Client) Quotas(ctx context.Context) ([]api.Quota, error) {
	var out []api.Quota
	err := c.call(ctx, http.MethodGet, "/v1/quotas", nil, nil, &out)
	return out, err
}

// SetQuota sets how many leases an owner may have, and of which protocols; * stands
// for each owner that has no quota of its own.
func (c *Client) SetQuota(ctx context.Context, owner string, in api.SetQuota) (api.Quota, error) {
	var out api.Quota
	err := c.call(ctx, http.MethodPut, "/v1/quotas/"+url.PathEscape(owner), nil, in, &out)
	return out, err
}

// DeleteQuota takes the quota of an owner away. One that has none is no error.
func (c *Client) DeleteQuota(ctx context.Context, owner string) error {
	return c.call(ctx, http.MethodDelete, "/v1/quotas/"+url.PathEscape(owner), nil, nil, nil)
}
