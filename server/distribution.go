package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"berth/access"
	"berth/api"
	"berth/launcher"
)

func (s *Server) routeDistributions(routes huma.API) {
	route(s, routes, access.Read, huma.Operation{
		OperationID: "list-distributions", Method: http.MethodGet, Path: "/v1/distributions",
		Summary: "List the distributions that are deployed",
	}, s.listDistributions)
	route(s, routes, access.Exec, huma.Operation{
		OperationID: "deploy-distribution", Method: http.MethodPost, Path: "/v1/distributions",
		Summary:       "Deploy an archive, or a descriptor or app file by itself",
		DefaultStatus: http.StatusCreated,
		RequestBody: &huma.RequestBody{
			Description: "a zip with META-INF/corus.xml, a corus.xml, or an app file",
			Required:    true,
			Content: map[string]*huma.MediaType{
				"application/octet-stream": {Schema: &huma.Schema{Type: "string", Format: "binary"}},
			},
		},
	}, s.deployDistribution)
	route(s, routes, access.Exec, huma.Operation{
		OperationID: "undeploy-distributions", Method: http.MethodDelete, Path: "/v1/distributions",
		Summary: "Remove the distributions that match, all or none",
	}, s.undeployDistributions)
}

func (s *Server) listDistributions(_ context.Context, in *struct {
	Page
	Name    string `query:"name" doc:"a name, or a pattern with *"`
	Version string `query:"version" doc:"a version, or a pattern with *"`
}) (*listed[api.Distribution], error) {
	running, err := s.running()
	if err != nil {
		return nil, err
	}
	found, next, err := paged(&in.Page, s.opts.Processes.Distributions(in.Name, in.Version), func(d launcher.Distribution) []any {
		return []any{d.Name, d.Version}
	})
	if err != nil {
		return nil, err
	}
	out := list(found, func(d launcher.Distribution) api.Distribution { return apiDistribution(d, running) })
	return &listed[api.Distribution]{next, out}, nil
}

// upload is a distribution that is being sent. Its body is not read before the
// handler does.
type upload struct {
	Filename string `query:"filename" doc:"what the client calls it, for messages; one that ends in .json, .yaml, .yml or .toml is an app file"`
	Folder   string `query:"folder" doc:"of an app file: the absolute folder in which its apps run unless they name another one"`
	body     io.Reader
}

// Resolve keeps the body for the handler.
func (u *upload) Resolve(ctx huma.Context) []error {
	u.body = ctx.BodyReader()
	return nil
}

func (s *Server) deployDistribution(_ context.Context, in *upload) (*reply[api.Deployed], error) {
	name := filepath.Base(in.Filename)
	if in.Filename == "" {
		name = "upload"
	}
	file, err := s.spool(name, in.body)
	if err != nil {
		return nil, err
	}
	defer os.Remove(file)
	if in.Folder != "" {
		if !filepath.IsAbs(in.Folder) {
			return nil, invalid("query.folder: %q is not absolute", in.Folder)
		}
		name = filepath.Join(in.Folder, name)
	}
	d, warnings, err := s.opts.Processes.Deploy(s.lasting, file, name)
	if err != nil {
		return nil, err
	}
	return &reply[api.Deployed]{api.Deployed{Distribution: apiDistribution(d, nil), Warnings: warnings}}, nil
}

func (s *Server) undeployDistributions(_ context.Context, in *struct {
	Name    string `query:"name" required:"true" doc:"a name, or a pattern with *"`
	Version string `query:"version" required:"true" doc:"a version, or a pattern with *"`
	Rev     string `query:"rev" doc:"keep them under this name, in place of what it held"`
}) (*reply[api.Undeployed], error) {
	var removed []launcher.Distribution
	var err error
	if in.Rev != "" {
		removed, err = s.opts.Processes.UndeployTo(s.lasting, in.Name, in.Version, in.Rev)
	} else {
		removed, err = s.opts.Processes.Undeploy(s.lasting, in.Name, in.Version)
	}
	if err != nil {
		return nil, err
	}
	out := list(removed, func(d launcher.Distribution) api.Distribution { return apiDistribution(d, nil) })
	return &reply[api.Undeployed]{api.Undeployed{Undeployed: out}}, nil
}

// spool writes what is sent under name to a file in the state folder, and
// returns its path. Nothing is left when it fails.
func (s *Server) spool(name string, body io.Reader) (path string, err error) {
	if err := os.MkdirAll(s.spoolDir(), 0o700); err != nil {
		return "", fmt.Errorf("make the folder of uploads: %w", err)
	}
	f, err := os.CreateTemp(s.spoolDir(), "upload-*")
	if err != nil {
		return "", fmt.Errorf("make a file for the upload: %w", err)
	}
	defer func() {
		if closeErr := f.Close(); err == nil && closeErr != nil {
			err = fmt.Errorf("write %s: %w", name, closeErr)
		}
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	sent := &source{Reader: body}
	n, err := io.Copy(f, io.LimitReader(sent, s.opts.MaxUpload+1))
	switch {
	case sent.err != nil:
		// The client stopped sending: there is nobody to answer, or it is slow.
		return "", invalid("body: %s was not sent to its end: %v", name, sent.err)
	case err != nil:
		return "", fmt.Errorf("write %s: %w", name, err)
	case n > s.opts.MaxUpload:
		return "", newProblem(http.StatusRequestEntityTooLarge, api.CodeDistributionInvalid,
			fmt.Sprintf("%s: larger than %d bytes", name, s.opts.MaxUpload))
	case n == 0:
		return "", newProblem(http.StatusUnprocessableEntity, api.CodeDistributionInvalid, name+": the file is empty")
	}
	return f.Name(), nil
}

// spoolDir is where uploads wait to be deployed.
func (s *Server) spoolDir() string { return filepath.Join(s.opts.Home, "spool") }

// source tells errors of reading apart from those of writing.
type source struct {
	io.Reader
	err error
}

func (r *source) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}

// running counts the live processes of each distribution.
func (s *Server) running() (map[distributionKey]int, error) {
	processes, err := s.opts.Processes.Processes(launcher.Selector{})
	if err != nil {
		return nil, err
	}
	running := make(map[distributionKey]int)
	for _, p := range processes {
		running[distributionKey{p.Distribution, p.Version}]++
	}
	return running, nil
}

type distributionKey struct{ name, version string }

func apiDistribution(d launcher.Distribution, running map[distributionKey]int) api.Distribution {
	out := api.Distribution{
		Name:       d.Name,
		Version:    d.Version,
		DeployedAt: d.DeployedAt,
		Processes:  []string{},
		Profiles:   []string{},
		Running:    running[distributionKey{d.Name, d.Version}],
	}
	if d.Descriptor == nil {
		return out
	}
	for _, p := range d.Descriptor.Processes {
		out.Processes = append(out.Processes, p.Name)
		for _, starter := range p.Starters {
			if !slices.Contains(out.Profiles, starter.Profile) {
				out.Profiles = append(out.Profiles, starter.Profile)
			}
		}
	}
	return out
}
