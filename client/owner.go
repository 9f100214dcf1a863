package client

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/url"

	"berth/api"
)

// ReleaseLeases ends all leases of an owner, or those of a range or a protocol
// where these are given, all or none, and returns them. Where the connection is
// lost it asks again, and it is done once. None is no error.
func (c *Client) ReleaseLeases(ctx context.Context, in api.ReleaseLeases) ([]api.Lease, error) {
	q := url.Values{"owner": {in.Owner}}
	for name, value := range map[string]string{"range": in.Range, "protocol": in.Protocol} {
		if value != "" {
			q.Set(name, value)
		}
	}
	var out []api.Lease
	err := c.exchange(ctx, http.MethodDelete, "/v1/leases", q, rand.Text(), nil, &out)
	return out, err
}
