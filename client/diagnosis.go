package client

import (
	"context"
	"net/http"
	"strconv"

	"berth/api"
)

// Diagnoses asks the processes that the selector selects how they are, by its
// ids and patterns; pids and ports are not looked at. None is no error.
// Errors: api.CodeProcessNotFound for an id that is not there.
func (c *Client) Diagnoses(ctx context.Context, s api.Selector) ([]api.Diagnosis, error) {
	q := query("distribution", s.Distribution, "version", s.Version, "profile", s.Profile, "name", s.Name)
	for _, id := range s.IDs {
		q.Add("id", strconv.Itoa(id))
	}
	var out []api.Diagnosis
	err := c.call(ctx, http.MethodGet, "/v1/diagnoses", q, nil, &out)
	return out, err
}
