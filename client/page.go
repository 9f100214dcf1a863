package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"berth/api"
)

// defaultPage is how many items an iterator asks for at a time.
const defaultPage = 1000

// EachProcess yields what Processes lists, which is asked for in pages of so
// many, 0 meaning 1,000: a long list is never held as a whole, and what comes or
// goes meanwhile makes it neither skip nor repeat another one. An error is the
// last that is yielded.
func (c *Client) EachProcess(ctx context.Context, s api.Selector, ended bool, page int) iter.Seq2[api.Process, error] {
	return pages[api.Process](ctx, c, "/v1/processes", processQuery(s, ended), page)
}

// EachLease yields what FindLeases lists, as EachProcess does.
func (c *Client) EachLease(ctx context.Context, f api.LeaseFilter, page int) iter.Seq2[api.Lease, error] {
	return pages[api.Lease](ctx, c, "/v1/leases", leaseQuery(f), page)
}

// EachDistribution yields what Distributions lists, as EachProcess does.
func (c *Client) EachDistribution(ctx context.Context, name, version string, page int) iter.Seq2[api.Distribution, error] {
	return pages[api.Distribution](ctx, c, "/v1/distributions", query("name", name, "version", version), page)
}

// pages yields the items of a list page after page.
func pages[T any](ctx context.Context, c *Client, path string, q url.Values, size int) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		path, q := path, maps.Clone(q)
		if size <= 0 {
			size = defaultPage
		}
		q.Set("limit", strconv.Itoa(size))
		for path != "" {
			var items []T
			var next string
			err := again(ctx, true, func() (err error) {
				items, next, err = page[T](ctx, c, path, q)
				return err
			})
			if err != nil {
				yield(none, err)
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
			if path, q, err = splitNext(next); err != nil {
				yield(none, err)
				return
			}
		}
	}
}

// page asks for one page, and returns the field Link of its answer.
func page[T any](ctx context.Context, c *Client, path string, q url.Values) (items []T, link string, err error) {
	resp, err := c.sendOnce(ctx, http.MethodGet, path, q, "", "", nil)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&items); err != nil {
		return nil, "", fmt.Errorf("read the daemon's answer: %w", lost(ctx, err))
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxProblem))
	return items, resp.Header.Get("Link"), nil
}

// splitNext reads <path?query>; rel="next". Without it there is no next page.
func splitNext(link string) (path string, q url.Values, err error) {
	if link == "" {
		return "", nil, nil
	}
	at, ok := strings.CutPrefix(link, "<")
	at, ok2 := strings.CutSuffix(at, `>; rel="next"`)
	u, err := url.Parse(at)
	if !ok || !ok2 || err != nil || !strings.HasPrefix(u.Path, "/") {
		return "", nil, fmt.Errorf("read the daemon's answer: the field Link is %q", link)
	}
	return u.EscapedPath(), u.Query(), nil
}
