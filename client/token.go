package client

import (
	"context"
	"net/http"
	"net/url"

	"berth/api"
)

// Tokens lists the tokens whose names match a pattern; empty is all.
func (c *Client) Tokens(ctx context.Context, pattern string) ([]api.Token, error) {
	q := url.Values{}
	if pattern != "" {
		q.Set("name", pattern)
	}
	var out []api.Token
	err := c.call(ctx, http.MethodGet, "/v1/tokens", q, nil, &out)
	return out, err
}

// AddToken makes a token and returns it with its secret, which is told this once.
// Errors: access.ErrTokenExists, ErrForbidden.
func (c *Client) AddToken(ctx context.Context, in api.AddToken) (api.AddedToken, error) {
	var out api.AddedToken
	err := c.call(ctx, http.MethodPost, "/v1/tokens", nil, in, &out)
	return out, err
}

// DeleteTokens revokes the tokens whose names match a pattern, and returns them.
// None is no error.
func (c *Client) DeleteTokens(ctx context.Context, pattern string) ([]api.Token, error) {
	var out api.DeletedTokens
	err := c.call(ctx, http.MethodDelete, "/v1/tokens", url.Values{"name": {pattern}}, nil, &out)
	return out.Deleted, err
}

// Whoami tells who the daemon takes the caller for.
func (c *Client) Whoami(ctx context.Context) (api.Whoami, error) {
	var out api.Whoami
	err := c.call(ctx, http.MethodGet, "/v1/whoami", nil, nil, &out)
	return out, err
}
