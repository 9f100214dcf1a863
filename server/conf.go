package server

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"berth/access"
	"berth/api"
	"berth/conf"
	"berth/lease"
	"berth/store"
)

// Settings is what the handlers need of properties and tags. A *conf.Settings
// is one; its errors are those of package conf and of the store.
type Settings interface {
	AddProperties(ctx context.Context, scope conf.Scope, categories []string, pairs []conf.Pair, clear bool) ([]conf.Property, error)
	Properties(ctx context.Context, s conf.Selection) ([]conf.Property, error)
	DeleteProperties(ctx context.Context, s conf.Selection) ([]conf.Property, error)
	Tags(ctx context.Context) ([]string, error)
	AddTags(ctx context.Context, tags []string, clear bool) error
	DeleteTags(ctx context.Context, pattern string) ([]string, error)
	RenameTags(ctx context.Context, renamings []conf.Renaming) ([]conf.Renaming, error)
	Archive(ctx context.Context, rev string, kinds ...conf.Kind) (map[conf.Kind]int, error)
	Unarchive(ctx context.Context, rev string, kinds ...conf.Kind) (map[conf.Kind]int, error)
	ArchiveWith(ctx context.Context, rev string, kinds []conf.Kind, commit func(context.Context, store.Batch) error) (map[conf.Kind]int, error)
	UnarchiveWith(ctx context.Context, rev string, kinds []conf.Kind, commit func(context.Context, store.Batch) error) (map[conf.Kind]int, error)
	ExecConfigs
}

var _ Settings = (*conf.Settings)(nil)

func (s *Server) routeConf(routes huma.API) {
	route(s, routes, access.Read, huma.Operation{
		OperationID: "list-properties", Method: http.MethodGet, Path: "/v1/conf/properties",
		Summary: "List properties; secrets are masked",
	}, s.listProperties)
	route(s, routes, access.Admin, huma.Operation{
		OperationID: "export-properties", Method: http.MethodGet, Path: "/v1/conf/values",
		Summary: "Export properties with their values, secrets as well",
	}, s.exportProperties)
	route(s, routes, access.Admin, huma.Operation{
		OperationID: "add-properties", Method: http.MethodPost, Path: "/v1/conf/properties",
		Summary:       "Set properties, all or none",
		DefaultStatus: http.StatusCreated, MaxBodyBytes: maxRanges,
	}, s.addProperties)
	route(s, routes, access.Admin, huma.Operation{
		OperationID: "delete-properties", Method: http.MethodDelete, Path: "/v1/conf/properties",
		Summary: "Delete the properties that match, all or none",
	}, s.deleteProperties)
	route(s, routes, access.Read, huma.Operation{
		OperationID: "list-tags", Method: http.MethodGet, Path: "/v1/conf/tags",
		Summary: "List the tags of the server",
	}, s.listTags)
	route(s, routes, access.Admin, huma.Operation{
		OperationID: "add-tags", Method: http.MethodPost, Path: "/v1/conf/tags",
		Summary:       "Give the server tags, all or none",
		DefaultStatus: http.StatusCreated,
	}, s.addTags)
	route(s, routes, access.Admin, huma.Operation{
		OperationID: "delete-tags", Method: http.MethodDelete, Path: "/v1/conf/tags",
		Summary: "Delete the tags that match",
	}, s.deleteTags)
	route(s, routes, access.Admin, huma.Operation{
		OperationID: "rename-tags", Method: http.MethodPost, Path: "/v1/conf/tags/rename",
		Summary: "Rename tags, all or none",
	}, s.renameTags)
	route(s, routes, access.Admin, huma.Operation{
		OperationID: "archive-settings", Method: http.MethodPut, Path: "/v1/conf/archives/{rev}",
		Summary: "Archive all properties, tags or exec configurations under a name",
	}, s.archiveSettings)
	route(s, routes, access.Admin, huma.Operation{
		OperationID: "restore-settings", Method: http.MethodPost, Path: "/v1/conf/archives/{rev}/restore",
		Summary: "Restore the properties, tags or exec configurations of an archive",
	}, s.restoreSettings)
}

// selectedProperties are the query parameters that select properties.
type selectedProperties struct {
	Scope      string   `query:"scope" doc:"process (the default) or server"`
	Names      []string `query:"name,explode" doc:"a name, or a pattern with *; of several one has to fit"`
	Categories []string `query:"category,explode" doc:"a category, or a pattern with *; without one the global properties"`
	Every      bool     `query:"every" doc:"without category: also those of all categories"`
}

func (in *selectedProperties) selection() (conf.Selection, error) {
	scope, err := conf.ParseScope(in.Scope)
	return conf.Selection{Scope: scope, Names: in.Names, Categories: in.Categories, Every: in.Every}, err
}

func (s *Server) listProperties(ctx context.Context, in *selectedProperties) (*reply[[]api.Property], error) {
	selection, err := in.selection()
	if err != nil {
		return nil, err
	}
	found, err := s.opts.Settings.Properties(ctx, selection)
	if err != nil {
		return nil, err
	}
	return &reply[[]api.Property]{list(found, shownProperty)}, nil
}

func (s *Server) exportProperties(ctx context.Context, in *selectedProperties) (*reply[[]api.Property], error) {
	selection, err := in.selection()
	if err != nil {
		return nil, err
	}
	found, err := s.opts.Settings.Properties(ctx, selection)
	if err != nil {
		return nil, err
	}
	return &reply[[]api.Property]{list(found, apiProperty)}, nil
}

func (s *Server) addProperties(ctx context.Context, in *struct{ Body api.AddProperties }) (*reply[[]api.Property], error) {
	scope, err := conf.ParseScope(in.Body.Scope)
	if err != nil {
		return nil, err
	}
	pairs := list(in.Body.Properties, func(p api.Pair) conf.Pair { return conf.Pair(p) })
	added, err := s.opts.Settings.AddProperties(ctx, scope, in.Body.Categories, pairs, in.Body.Clear)
	if err != nil {
		return nil, err
	}
	return &reply[[]api.Property]{list(added, shownProperty)}, nil
}

func (s *Server) deleteProperties(ctx context.Context, in *selectedProperties) (*reply[api.DeletedProperties], error) {
	selection, err := in.selection()
	if err != nil {
		return nil, err
	}
	if len(selection.Names) == 0 {
		return nil, invalid("query.name: it selects no property: name some, or * for all")
	}
	deleted, err := s.opts.Settings.DeleteProperties(ctx, selection)
	if err != nil {
		return nil, err
	}
	return &reply[api.DeletedProperties]{api.DeletedProperties{Deleted: list(deleted, shownProperty)}}, nil
}

// shownProperty is a property as lists show it.
func shownProperty(p conf.Property) api.Property { return apiProperty(p.Shown()) }

func apiProperty(p conf.Property) api.Property {
	return api.Property{Name: p.Name, Value: p.Value, Scope: string(p.Scope), Category: p.Category, Hidden: p.Hidden()}
}

func (s *Server) listTags(ctx context.Context, in *struct {
	Name string `query:"name" doc:"a tag, or a pattern with *"`
}) (*reply[[]api.Tag], error) {
	tags, err := s.opts.Settings.Tags(ctx)
	if err != nil {
		return nil, err
	}
	found := []api.Tag{}
	for _, tag := range tags {
		if lease.Match(orAll(in.Name), tag) {
			found = append(found, apiTag(tag))
		}
	}
	return &reply[[]api.Tag]{found}, nil
}

func (s *Server) addTags(ctx context.Context, in *struct{ Body api.AddTags }) (*reply[[]api.Tag], error) {
	if err := s.opts.Settings.AddTags(ctx, in.Body.Tags, in.Body.Clear); err != nil {
		return nil, err
	}
	tags, err := s.opts.Settings.Tags(ctx)
	if err != nil {
		return nil, err
	}
	return &reply[[]api.Tag]{list(tags, apiTag)}, nil
}

func (s *Server) deleteTags(ctx context.Context, in *struct {
	Name string `query:"name" required:"true" doc:"a tag, or a pattern with *"`
}) (*reply[api.DeletedTags], error) {
	deleted, err := s.opts.Settings.DeleteTags(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	return &reply[api.DeletedTags]{api.DeletedTags{Deleted: list(deleted, apiTag)}}, nil
}

func (s *Server) renameTags(ctx context.Context, in *struct{ Body api.RenameTags }) (*reply[api.RenameTags], error) {
	renamings := list(in.Body.Tags, func(r api.RenamedTag) conf.Renaming { return conf.Renaming(r) })
	done, err := s.opts.Settings.RenameTags(ctx, renamings)
	if err != nil {
		return nil, err
	}
	return &reply[api.RenameTags]{api.RenameTags{Tags: list(done, func(r conf.Renaming) api.RenamedTag { return api.RenamedTag(r) })}}, nil
}

func apiTag(tag string) api.Tag { return api.Tag{Name: tag} }

// archivedKind names an archive and a kind of what it holds.
type archivedKind struct {
	Rev  string `path:"rev" doc:"letters, digits, '-', '_' and '.'"`
	Kind string `query:"kind" required:"true" enum:"properties,tags,execs" doc:"what to archive or to restore"`
}

func (s *Server) archiveSettings(ctx context.Context, in *archivedKind) (*reply[api.ArchivedSettings], error) {
	kept, err := s.opts.Settings.Archive(ctx, in.Rev, conf.Kind(in.Kind))
	return archivedSettings(in, kept, err)
}

func (s *Server) restoreSettings(ctx context.Context, in *archivedKind) (*reply[api.ArchivedSettings], error) {
	restored, err := s.opts.Settings.Unarchive(ctx, in.Rev, conf.Kind(in.Kind))
	return archivedSettings(in, restored, err)
}

func archivedSettings(in *archivedKind, counts map[conf.Kind]int, err error) (*reply[api.ArchivedSettings], error) {
	if err != nil {
		return nil, err
	}
	return &reply[api.ArchivedSettings]{api.ArchivedSettings{Revision: in.Rev, Kind: in.Kind, Count: counts[conf.Kind(in.Kind)]}}, nil
}
