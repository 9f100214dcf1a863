package server

import (
	"context"
	"math"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"berth/access"
	"berth/api"
	"berth/lease"
)

func (s *Server) routeTokens(routes huma.API) {
	route(s, routes, access.Admin, huma.Operation{
		OperationID: "list-tokens", Method: http.MethodGet, Path: "/v1/tokens",
		Summary: "List tokens, without their secrets",
	}, s.listTokens)
	route(s, routes, access.Admin, huma.Operation{
		OperationID: "add-token", Method: http.MethodPost, Path: "/v1/tokens",
		Summary:       "Make a token; the answer has its secret, this once",
		DefaultStatus: http.StatusCreated,
	}, s.addToken)
	route(s, routes, access.Admin, huma.Operation{
		OperationID: "delete-tokens", Method: http.MethodDelete, Path: "/v1/tokens",
		Summary: "Revoke the tokens whose names match; what is under way with them ends",
	}, s.deleteTokens)
	route(s, routes, access.Read, huma.Operation{
		OperationID: "get-whoami", Method: http.MethodGet, Path: "/v1/whoami",
		Summary: "Tell who the daemon takes the caller for",
	}, s.whoami)
}

func (s *Server) listTokens(_ context.Context, in *struct {
	Name string `query:"name" doc:"a name, or a pattern with *"`
}) (*reply[[]api.Token], error) {
	if s.opts.Tokens == nil {
		return nil, errNoTokens
	}
	return &reply[[]api.Token]{list(s.opts.Tokens.List(fitting(orAll(in.Name))), apiToken)}, nil
}

func (s *Server) addToken(ctx context.Context, in *struct{ Body api.AddToken }) (*reply[api.AddedToken], error) {
	if s.opts.Tokens == nil {
		return nil, errNoTokens
	}
	role, err := access.ParseRole(in.Body.Role)
	if err != nil {
		return nil, err
	}
	expires := in.Body.Expires
	switch n := in.Body.ExpiresInSeconds; {
	case n < 0 || n > math.MaxInt64/int64(time.Second):
		return nil, invalid("body.expiresInSeconds: %d is not a time from now on", n)
	case n > 0 && !expires.IsZero():
		return nil, invalid("body.expiresInSeconds: it excludes expires")
	case n > 0:
		expires = time.Now().UTC().Add(time.Duration(n) * time.Second)
	}
	t, secret, err := s.opts.Tokens.Add(ctx, access.Token{
		Name: in.Body.Name, Role: role, Owner: in.Body.Owner, Quota: in.Body.Quota, Expires: expires, By: access.From(ctx).String(),
	})
	if err != nil {
		return nil, err
	}
	return &reply[api.AddedToken]{api.AddedToken{Token: apiToken(t), Secret: secret}}, nil
}

func (s *Server) deleteTokens(ctx context.Context, in *struct {
	Name string `query:"name" required:"true" doc:"a name, or a pattern with *"`
}) (*reply[api.DeletedTokens], error) {
	if s.opts.Tokens == nil {
		return nil, errNoTokens
	}
	// Who revokes the token that it has shown is answered nevertheless.
	deleted, err := s.opts.Tokens.Delete(context.WithoutCancel(ctx), fitting(in.Name))
	if err != nil {
		return nil, err
	}
	return &reply[api.DeletedTokens]{api.DeletedTokens{Deleted: list(deleted, apiToken)}}, nil
}

func (s *Server) whoami(ctx context.Context, _ *empty) (*reply[api.Whoami], error) {
	c := access.From(ctx)
	out := api.Whoami{User: c.User, Token: c.Token, Address: c.Address, Role: c.Role.String(), Owner: c.Owner}
	if c.UID != access.NoUID {
		out.UID = &c.UID
	}
	return &reply[api.Whoami]{out}, nil
}

func fitting(pattern string) func(string) bool {
	return func(name string) bool { return lease.Match(pattern, name) }
}

func apiToken(t access.Token) api.Token {
	return api.Token{
		Name: t.Name, Role: t.Role.String(), Owner: t.Owner, Quota: t.Quota, Created: t.Created, Expires: t.Expires,
		Expired: t.Expired(time.Now()), By: t.By,
	}
}
