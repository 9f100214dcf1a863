package server

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"berth/access"
	"berth/api"
	"berth/conf"
	"berth/launcher"
	"berth/lease"
	"berth/store"
)

func (s *Server) routeArchives(routes huma.API) {
	route(s, routes, access.Admin, huma.Operation{
		OperationID: "archive", Method: http.MethodPut, Path: "/v1/archives/{rev}",
		Summary: "Archive properties, tags, ranges and exec configurations under a name, all or nothing",
	}, s.archiveSite)
	route(s, routes, access.Admin, huma.Operation{
		OperationID: "restore", Method: http.MethodPost, Path: "/v1/archives/{rev}/restore",
		Summary: "Restore properties, tags, ranges and exec configurations of an archive, all or nothing",
	}, s.restoreSite)
	route(s, routes, access.Exec, huma.Operation{
		OperationID: "deploy-archive", Method: http.MethodPost, Path: "/v1/distributions/archives/{rev}/deploy",
		Summary:       "Deploy the distributions of an archive, all or none",
		DefaultStatus: http.StatusCreated,
	}, s.deployArchived)
}

// siteKinds are the kinds of settings that are archived with the ranges.
var siteKinds = []conf.Kind{conf.Properties, conf.Tags, conf.Execs}

func (s *Server) archiveSite(_ context.Context, in *archive) (*reply[api.ArchivedSite], error) {
	var ranges []lease.Range
	kept, err := s.opts.Settings.ArchiveWith(s.lasting, in.Rev, siteKinds, func(ctx context.Context, b store.Batch) (err error) {
		ranges, err = s.opts.Leases.ArchiveWith(ctx, in.Rev, b)
		return err
	})
	return archivedSite(in, kept, ranges, err)
}

func (s *Server) restoreSite(_ context.Context, in *archive) (*reply[api.ArchivedSite], error) {
	var ranges []lease.Range
	restored, err := s.opts.Settings.UnarchiveWith(s.lasting, in.Rev, siteKinds, func(ctx context.Context, b store.Batch) (err error) {
		ranges, err = s.opts.Leases.UnarchiveWith(ctx, in.Rev, b)
		return err
	})
	return archivedSite(in, restored, ranges, err)
}

func archivedSite(in *archive, counts map[conf.Kind]int, ranges []lease.Range, err error) (*reply[api.ArchivedSite], error) {
	if err != nil {
		return nil, err
	}
	return &reply[api.ArchivedSite]{api.ArchivedSite{
		Revision: in.Rev, Properties: counts[conf.Properties], Tags: counts[conf.Tags], Execs: counts[conf.Execs], Ranges: len(ranges),
	}}, nil
}

func (s *Server) deployArchived(_ context.Context, in *archive) (*reply[[]api.Distribution], error) {
	deployed, err := s.opts.Processes.DeployArchived(s.lasting, in.Rev)
	if err != nil {
		return nil, err
	}
	return &reply[[]api.Distribution]{list(deployed, func(d launcher.Distribution) api.Distribution { return apiDistribution(d, nil) })}, nil
}
