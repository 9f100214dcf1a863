package client

import (
	"context"
	"net/http"

	"berth/api"
)

// Health tells how the daemon's disk and store are.
func (c *Client) Health(ctx context.Context) (api.Health, error) {
	var out api.Health
	err := c.call(ctx, http.MethodGet, "/v1/health", nil, nil, &out)
	return out, err
}

// AcceptDamage accepts what the store has lost, so that ports are leased
// again. It returns how the store was before.
func (c *Client) AcceptDamage(ctx context.Context) (api.Health, error) {
	var out api.Health
	err := c.call(ctx, http.MethodPost, "/v1/health/accept", nil, nil, &out)
	return out, err
}
