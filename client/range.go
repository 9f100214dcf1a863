package client

import (
	"context"
	"net/http"
	"net/url"

	"berth/api"
)

// Ranges lists the ranges whose name matches pattern, all for "". None is no error.
func (c *Client) Ranges(ctx context.Context, pattern string) ([]api.RangeStatus, error) {
	var out []api.RangeStatus
	err := c.call(ctx, http.MethodGet, "/v1/ranges", query("name", pattern), nil, &out)
	return out, err
}

// AddRanges adds ranges, all or none, and returns them as they were stored, with
// what may keep their ports from being bound.
// Errors: lease.ErrRangeInvalid, ErrRangeExists, ErrRangeOverlaps; with Clear also ErrRangeLeased.
func (c *Client) AddRanges(ctx context.Context, in api.AddRanges) ([]api.AddedRange, error) {
	var out []api.AddedRange
	err := c.call(ctx, http.MethodPost, "/v1/ranges", nil, in, &out)
	return out, err
}

// UpdateRange changes the bounds, the policy or the static ports of a range. Where leased ports would fall out of
// it, it is lease.ErrRangeLeased unless Force is given, and they stay leased then.
// Other errors: lease.ErrRangeNotFound, ErrRangeInvalid, ErrRangeOverlaps.
func (c *Client) UpdateRange(ctx context.Context, name string, in api.UpdateRange) (api.UpdatedRange, error) {
	var out api.UpdatedRange
	err := c.call(ctx, http.MethodPatch, "/v1/ranges/"+url.PathEscape(name), nil, in, &out)
	return out, err
}

// DeleteRanges deletes the ranges whose name matches pattern, all or none, and
// returns them; none is no error. A range with live leases is
// lease.ErrRangeLeased unless force is given, and its leases live on then.
func (c *Client) DeleteRanges(ctx context.Context, pattern string, force bool) (api.DeletedRanges, error) {
	q := query("name", pattern)
	if force {
		q.Set("force", "true")
	}
	var out api.DeletedRanges
	err := c.call(ctx, http.MethodDelete, "/v1/ranges", q, nil, &out)
	return out, err
}

// ArchiveRanges keeps the ranges that there are under a revision, in place of
// what it held.
func (c *Client) ArchiveRanges(ctx context.Context, revision string) (api.Archived, error) {
	var out api.Archived
	err := c.call(ctx, http.MethodPut, "/v1/ranges/archives/"+url.PathEscape(revision), nil, nil, &out)
	return out, err
}

// RestoreRanges brings the ranges of a revision back, all or none.
// Errors: lease.ErrArchiveNotFound, ErrRangeOverlaps.
func (c *Client) RestoreRanges(ctx context.Context, revision string) (api.Archived, error) {
	var out api.Archived
	err := c.call(ctx, http.MethodPost, "/v1/ranges/archives/"+url.PathEscape(revision)+"/restore", nil, nil, &out)
	return out, err
}

// query makes a query of name and value pairs, leaving out what is empty.
func query(pairs ...string) url.Values {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Add(pairs[i], pairs[i+1])
		}
	}
	return q
}
