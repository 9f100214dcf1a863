package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"berth/api"
)

// PortWho tells who has a port, whether Berth manages it or not: its lease, and
// what is bound to it on the daemon's host. Protocol is tcp or udp; another one,
// and what is no port, is api.CodeInvalid.
func (c *Client) PortWho(ctx context.Context, protocol string, port int) (api.PortWho, error) {
	var out api.PortWho
	err := c.call(ctx, http.MethodGet, "/v1/ports/"+url.PathEscape(protocol)+"/"+strconv.Itoa(port), nil, nil, &out)
	return out, err
}
