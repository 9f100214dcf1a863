package server

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// Page are the query parameters of a list that can be long. huma looks into
// exported types only.
type Page struct {
	Limit int    `query:"limit" minimum:"0" maximum:"100000" example:"100" doc:"at most so many; 0, as without it, is all"`
	After string `query:"after" maxLength:"1000" doc:"what comes after this one: copied from the field Link of the answer before"`

	path  string
	query url.Values
}

// Resolve keeps the address for the one of the next page.
func (p *Page) Resolve(ctx huma.Context) []error {
	u := ctx.URL()
	p.path, p.query = u.EscapedPath(), u.Query()
	return nil
}

// listed is a response with a list that may have been cut short.
type listed[T any] struct {
	Link string `header:"Link" doc:"<address>; rel=\"next\", where the list was cut short: what follows (RFC 8288)"`
	Body []T
}

// paged is the page of items, which are in the order of their places: they go
// from coarse to fine, each part compared as place says. So a page follows the
// one before without gap or repetition, whatever has come and gone meanwhile.
func paged[T any](p *Page, items []T, place func(T) []any) ([]T, string, error) {
	if p.After != "" && len(items) > 0 {
		after, err := parsePlace(p.After, place(items[0]))
		if err != nil {
			return nil, "", err
		}
		first, found := slices.BinarySearchFunc(items, after, func(item T, after []any) int { return comparePlaces(place(item), after) })
		if found {
			first++
		}
		items = items[first:]
	}
	if p.Limit == 0 || len(items) <= p.Limit {
		return items, "", nil
	}
	items = items[:p.Limit]
	query := url.Values{}
	for name, values := range p.query {
		query[name] = values
	}
	query.Set("after", formatPlace(place(items[len(items)-1])))
	return items, fmt.Sprintf("<%s?%s>; rel=\"next\"", p.path, query.Encode()), nil
}

// A place is written with its parts escaped and parted by slashes: 7,
// tcp/8080/4f0k2c9rv7dq1, demo/1.0.
func formatPlace(place []any) string {
	parts := make([]string, len(place))
	for i, part := range place {
		parts[i] = url.PathEscape(fmt.Sprint(part))
	}
	return strings.Join(parts, "/")
}

// parsePlace reads a place whose parts are of the kinds of like's.
func parsePlace(text string, like []any) ([]any, error) {
	parts := strings.Split(text, "/")
	place := make([]any, len(like))
	if len(parts) != len(like) {
		return nil, invalid("query.after: %.40q is not from a field Link of this list", text)
	}
	for i, part := range parts {
		part, err := url.PathUnescape(part)
		place[i] = part
		if _, number := like[i].(int); number && err == nil {
			place[i], err = strconv.Atoi(part)
		}
		if err != nil {
			return nil, invalid("query.after: %.40q is not from a field Link of this list", text)
		}
	}
	return place, nil
}

func comparePlaces(a, b []any) int {
	for i := range a {
		var c int
		switch x := a[i].(type) {
		case int:
			c = cmp.Compare(x, b[i].(int))
		case string:
			c = cmp.Compare(x, b[i].(string))
		}
		if c != 0 {
			return c
		}
	}
	return 0
}
