package client

import (
	"context"
	"net/http"
	"net/url"

	"berth/api"
)

// Properties lists the properties that are selected; values of those whose
// names say that they are secrets are masked. None is no error.
func (c *Client) Properties(ctx context.Context, s api.PropertySelection) ([]api.Property, error) {
	var out []api.Property
	err := c.call(ctx, http.MethodGet, "/v1/conf/properties", propertyQuery(s), nil, &out)
	return out, err
}

// PropertyValues returns the properties that are selected with their values,
// secrets as well. They are for a file that only its owner reads, not for a list.
func (c *Client) PropertyValues(ctx context.Context, s api.PropertySelection) ([]api.Property, error) {
	var out []api.Property
	err := c.call(ctx, http.MethodGet, "/v1/conf/values", propertyQuery(s), nil, &out)
	return out, err
}

// AddProperties sets properties, all or none, and returns them as lists show them.
func (c *Client) AddProperties(ctx context.Context, in api.AddProperties) ([]api.Property, error) {
	var out []api.Property
	err := c.call(ctx, http.MethodPost, "/v1/conf/properties", nil, in, &out)
	return out, err
}

// DeleteProperties deletes the properties that are selected, all or none, and
// returns them as lists show them; none is no error.
func (c *Client) DeleteProperties(ctx context.Context, s api.PropertySelection) (api.DeletedProperties, error) {
	var out api.DeletedProperties
	err := c.call(ctx, http.MethodDelete, "/v1/conf/properties", propertyQuery(s), nil, &out)
	return out, err
}

func propertyQuery(s api.PropertySelection) url.Values {
	q := query("scope", s.Scope)
	for _, name := range s.Names {
		q.Add("name", name)
	}
	for _, category := range s.Categories {
		q.Add("category", category)
	}
	if s.Every {
		q.Set("every", "true")
	}
	return q
}

// Tags lists the tags of the server that match pattern, all for "".
func (c *Client) Tags(ctx context.Context, pattern string) ([]api.Tag, error) {
	var out []api.Tag
	err := c.call(ctx, http.MethodGet, "/v1/conf/tags", query("name", pattern), nil, &out)
	return out, err
}

// AddTags gives the server tags, all or none, and returns all that it has then.
func (c *Client) AddTags(ctx context.Context, in api.AddTags) ([]api.Tag, error) {
	var out []api.Tag
	err := c.call(ctx, http.MethodPost, "/v1/conf/tags", nil, in, &out)
	return out, err
}

// DeleteTags deletes the tags that match pattern and returns them; none is no error.
func (c *Client) DeleteTags(ctx context.Context, pattern string) (api.DeletedTags, error) {
	var out api.DeletedTags
	err := c.call(ctx, http.MethodDelete, "/v1/conf/tags", query("name", pattern), nil, &out)
	return out, err
}

// RenameTags renames those of the tags that the server has, all or none, and
// returns them.
func (c *Client) RenameTags(ctx context.Context, in api.RenameTags) (api.RenameTags, error) {
	var out api.RenameTags
	err := c.call(ctx, http.MethodPost, "/v1/conf/tags/rename", nil, in, &out)
	return out, err
}

// ArchiveSettings keeps the settings of a kind under a revision, in place of
// what it held.
func (c *Client) ArchiveSettings(ctx context.Context, revision, kind string) (api.ArchivedSettings, error) {
	var out api.ArchivedSettings
	err := c.call(ctx, http.MethodPut, "/v1/conf/archives/"+url.PathEscape(revision), query("kind", kind), nil, &out)
	return out, err
}

// RestoreSettings brings the settings of a kind back that a revision holds, all
// or none. Errors: lease.ErrArchiveNotFound.
func (c *Client) RestoreSettings(ctx context.Context, revision, kind string) (api.ArchivedSettings, error) {
	var out api.ArchivedSettings
	err := c.call(ctx, http.MethodPost, "/v1/conf/archives/"+url.PathEscape(revision)+"/restore", query("kind", kind), nil, &out)
	return out, err
}
