package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"berth/api"
)

// ExecConfigs lists the exec configurations whose names match pattern, all for
// "". None is no error.
func (c *Client) ExecConfigs(ctx context.Context, pattern string) ([]api.ExecConfig, error) {
	var out []api.ExecConfig
	err := c.call(ctx, http.MethodGet, "/v1/execs", query("name", pattern), nil, &out)
	return out, err
}

// DeployExec deploys the exec.xml that body holds, in place of the exec
// configuration of its name. Filename is what messages call it.
// Errors: api.CodeDistributionInvalid.
func (c *Client) DeployExec(ctx context.Context, filename string, body io.Reader) (api.DeployedExec, error) {
	resp, err := c.send(ctx, http.MethodPost, "/v1/execs", query("filename", filename), "application/xml", body)
	if err != nil {
		return api.DeployedExec{}, err
	}
	defer resp.Body.Close()
	var out api.DeployedExec
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		return api.DeployedExec{}, fmt.Errorf("read the daemon's answer: %w", lost(ctx, err))
	}
	return out, nil
}

// UndeployExecs removes the exec configurations whose names match pattern, and
// returns their names; none is no error.
func (c *Client) UndeployExecs(ctx context.Context, pattern string) (api.UndeployedExecs, error) {
	var out api.UndeployedExecs
	err := c.call(ctx, http.MethodDelete, "/v1/execs", query("name", pattern), nil, &out)
	return out, err
}

// EnableExecs enables or disables the exec configurations whose names match
// pattern, and returns them; none is no error.
func (c *Client) EnableExecs(ctx context.Context, pattern string, enabled bool) ([]api.ExecConfig, error) {
	var out []api.ExecConfig
	err := c.call(ctx, http.MethodPost, "/v1/execs/enable", nil, api.EnableExecs{Name: pattern, Enabled: enabled}, &out)
	return out, err
}
