package client

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"

	"berth/api"
)

// Audit lists the last changes that were asked for, the oldest first.
func (c *Client) Audit(ctx context.Context, last int) ([]api.AuditRecord, error) {
	var out []api.AuditRecord
	err := c.call(ctx, http.MethodGet, "/v1/audit", url.Values{"last": {strconv.Itoa(last)}}, nil, &out)
	return out, err
}

// FollowAudit yields the last changes that were asked for, and then those that
// are, until ctx or the daemon ends. An error is the last that is yielded.
func (c *Client) FollowAudit(ctx context.Context, last int) iter.Seq2[api.AuditRecord, error] {
	return func(yield func(api.AuditRecord, error) bool) {
		resp, err := c.send(ctx, http.MethodGet, "/v1/audit/stream", url.Values{"last": {strconv.Itoa(last)}}, "", nil)
		if err != nil {
			yield(api.AuditRecord{}, err)
			return
		}
		body := &stream{body: resp.Body, ctx: ctx}
		defer body.Close()
		lines := bufio.NewScanner(body)
		lines.Buffer(nil, maxEvent)
		for lines.Scan() {
			var r api.AuditRecord
			if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
				yield(r, fmt.Errorf("read the daemon's audit: %w", err))
				return
			}
			if !yield(r, nil) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(api.AuditRecord{}, err)
		}
	}
}
