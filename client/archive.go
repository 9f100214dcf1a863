package client

import (
	"context"
	"net/http"
	"net/url"

	"berth/api"
)

// Archive keeps properties, tags, ranges and exec configurations under a
// revision, in place of what it held of them, all or nothing.
func (c *Client) Archive(ctx context.Context, revision string) (api.ArchivedSite, error) {
	var out api.ArchivedSite
	err := c.call(ctx, http.MethodPut, "/v1/archives/"+url.PathEscape(revision), nil, nil, &out)
	return out, err
}

// Unarchive brings back what Archive has kept under a revision, all or nothing.
// Errors: lease.ErrArchiveNotFound, ErrRangeOverlaps, ErrRangeLeased.
func (c *Client) Unarchive(ctx context.Context, revision string) (api.ArchivedSite, error) {
	var out api.ArchivedSite
	err := c.call(ctx, http.MethodPost, "/v1/archives/"+url.PathEscape(revision)+"/restore", nil, nil, &out)
	return out, err
}

// UndeployTo does as Undeploy, and keeps what it removes under a revision, in
// place of the distributions that it held.
func (c *Client) UndeployTo(ctx context.Context, name, version, revision string) (api.Undeployed, error) {
	var out api.Undeployed
	err := c.call(ctx, http.MethodDelete, "/v1/distributions", query("name", name, "version", version, "rev", revision), nil, &out)
	return out, err
}

// DeployArchived deploys the distributions that a revision holds, all or none.
// Errors: lease.ErrArchiveNotFound, api.CodeDistributionExists.
func (c *Client) DeployArchived(ctx context.Context, revision string) ([]api.Distribution, error) {
	var out []api.Distribution
	err := c.call(ctx, http.MethodPost, "/v1/distributions/archives/"+url.PathEscape(revision)+"/deploy", nil, nil, &out)
	return out, err
}
