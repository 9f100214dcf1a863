package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"

	"github.com/danielgtaylor/huma/v2"

	"berth/access"
	"berth/api"
	"berth/conf"
	"berth/descriptor"
	"berth/launcher"
)

// ExecConfigs is what the handlers need of exec configurations. A
// *conf.Settings is one.
type ExecConfigs interface {
	DeployExec(ctx context.Context, x *descriptor.Exec) (conf.ExecConfig, error)
	ExecConfigs(ctx context.Context, pattern string) ([]conf.ExecConfig, error)
	UndeployExecs(ctx context.Context, pattern string) ([]string, error)
	EnableExecs(ctx context.Context, pattern string, enabled bool) ([]conf.ExecConfig, error)
}

func (s *Server) routeExecConfigs(routes huma.API) {
	route(s, routes, access.Read, huma.Operation{
		OperationID: "list-execs", Method: http.MethodGet, Path: "/v1/execs",
		Summary: "List exec configurations",
	}, s.listExecConfigs)
	route(s, routes, access.Exec, huma.Operation{
		OperationID: "deploy-exec", Method: http.MethodPost, Path: "/v1/execs",
		Summary:       "Deploy an exec configuration, in place of the one of its name",
		DefaultStatus: http.StatusCreated,
		RequestBody: &huma.RequestBody{
			Description: "an exec.xml",
			Required:    true,
			Content: map[string]*huma.MediaType{
				"application/xml": {Schema: &huma.Schema{Type: "string"}},
			},
		},
	}, s.deployExecConfig)
	route(s, routes, access.Exec, huma.Operation{
		OperationID: "undeploy-execs", Method: http.MethodDelete, Path: "/v1/execs",
		Summary: "Remove the exec configurations whose names match",
	}, s.undeployExecConfigs)
	route(s, routes, access.Exec, huma.Operation{
		OperationID: "enable-execs", Method: http.MethodPost, Path: "/v1/execs/enable",
		Summary: "Enable or disable the exec configurations whose names match",
	}, s.enableExecConfigs)
}

func (s *Server) listExecConfigs(ctx context.Context, in *struct {
	Name string `query:"name" doc:"a name, or a pattern with *"`
}) (*reply[[]api.ExecConfig], error) {
	found, err := s.opts.Settings.ExecConfigs(ctx, orAll(in.Name))
	if err != nil {
		return nil, err
	}
	return &reply[[]api.ExecConfig]{list(found, apiExecConfig)}, nil
}

func (s *Server) deployExecConfig(ctx context.Context, in *upload) (*reply[api.DeployedExec], error) {
	name := filepath.Base(in.Filename)
	if in.Filename == "" {
		name = "upload"
	}
	x, err := descriptor.ParseExec(io.LimitReader(in.body, maxRanges))
	switch {
	case errors.Is(err, descriptor.ErrInvalid):
		return nil, fmt.Errorf("%w: %s: %w", launcher.ErrDistributionInvalid, name, err)
	case err != nil:
		return nil, invalid("body: %s was not sent to its end: %v", name, err)
	}
	deployed, err := s.opts.Settings.DeployExec(ctx, x)
	if err != nil {
		return nil, err
	}
	return &reply[api.DeployedExec]{api.DeployedExec{ExecConfig: apiExecConfig(deployed), Warnings: x.Warnings}}, nil
}

func (s *Server) undeployExecConfigs(ctx context.Context, in *struct {
	Name string `query:"name" required:"true" doc:"a name, or a pattern with *"`
}) (*reply[api.UndeployedExecs], error) {
	names, err := s.opts.Settings.UndeployExecs(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	return &reply[api.UndeployedExecs]{api.UndeployedExecs{Undeployed: some(names)}}, nil
}

func (s *Server) enableExecConfigs(ctx context.Context, in *struct{ Body api.EnableExecs }) (*reply[[]api.ExecConfig], error) {
	if in.Body.Name == "" {
		return nil, invalid("body.name: it selects no exec configuration: name one, or * for all")
	}
	found, err := s.opts.Settings.EnableExecs(ctx, in.Body.Name, in.Body.Enabled)
	if err != nil {
		return nil, err
	}
	return &reply[[]api.ExecConfig]{list(found, apiExecConfig)}, nil
}

func apiExecConfig(x conf.ExecConfig) api.ExecConfig {
	return api.ExecConfig{
		Name: x.Name, StartOnBoot: x.StartOnBoot, Enabled: x.Enabled,
		Processes: list(x.Processes, func(p descriptor.ExecProcess) api.ExecProcess { return api.ExecProcess(p) }),
	}
}

// execParts are the processes of the exec configurations that a request names,
// and warnings about those that are disabled.
func (s *Server) execParts(ctx context.Context, in api.Exec) (parts []launcher.ExecPart, warnings []string, err error) {
	if in.Distribution != "" || in.Version != "" || in.Profile != "" || in.Name != "" || in.Instances != 0 {
		return nil, nil, invalid("body.config: an exec configuration has distribution, version, profile, name and instances in it: leave them out")
	}
	found, err := s.opts.Settings.ExecConfigs(ctx, in.Config)
	if err != nil {
		return nil, nil, err
	}
	if len(found) == 0 {
		return nil, nil, fmt.Errorf("%w: %s: berth ls -e shows which there are", errNoExec, in.Config)
	}
	for _, x := range found {
		if !x.Enabled {
			warnings = append(warnings, fmt.Sprintf("exec configuration %q is disabled: left out (berth exec enable -e %s)", x.Name, x.Name))
			continue
		}
		parts = append(parts, PartsOf(x)...)
	}
	return parts, warnings, nil
}

// PartsOf are the processes of an exec configuration, as the launcher is asked
// for them. No name of one is a pattern.
func PartsOf(x conf.ExecConfig) []launcher.ExecPart {
	parts := make([]launcher.ExecPart, 0, len(x.Processes))
	for _, p := range x.Processes {
		parts = append(parts, launcher.ExecPart(p))
	}
	return parts
}
