package client

import (
	"context"
	"net/http"

	"berth/api"
)

// FixKernel has the kernel leave the ports of ranges alone, until the machine is
// started anew. Errors: api.CodeKernel where the daemon may not set that.
func (c *Client) FixKernel(ctx context.Context) (api.KernelFixed, error) {
	var out api.KernelFixed
	err := c.call(ctx, http.MethodPost, "/v1/health/fix", nil, nil, &out)
	return out, err
}
