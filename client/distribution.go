package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"berth/api"
	"berth/descriptor"
)

// Distributions lists the distributions whose name and version match the
// patterns, "" matching all. None is no error.
func (c *Client) Distributions(ctx context.Context, name, version string) ([]api.Distribution, error) {
	var out []api.Distribution
	err := c.call(ctx, http.MethodGet, "/v1/distributions", query("name", name, "version", version), nil, &out)
	return out, err
}

// Deploy deploys what body holds: a zip with META-INF/corus.xml, a corus.xml by
// itself, or an app file, if filename ends in .json, .yaml, .yml or .toml. It is
// streamed. Filename is what messages call it.
// Errors: api.CodeDistributionInvalid, CodeDistributionExists.
func (c *Client) Deploy(ctx context.Context, filename string, body io.Reader) (api.Deployed, error) {
	return c.DeployIn(ctx, "", filename, body)
}

// DeployIn is Deploy for an app file whose apps run in a folder, which is
// absolute, unless they name another one.
func (c *Client) DeployIn(ctx context.Context, folder, filename string, body io.Reader) (api.Deployed, error) {
	if tell, ok := ctx.Value(uploadKey{}).(func(sent, total int64)); ok {
		body = &countedBody{Reader: body, total: sizeOf(body), tell: tell}
	}
	resp, err := c.send(ctx, http.MethodPost, "/v1/distributions", query("filename", filename, "folder", folder), "application/octet-stream", body)
	if err != nil {
		return api.Deployed{}, err
	}
	defer resp.Body.Close()
	var out api.Deployed
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		return api.Deployed{}, fmt.Errorf("read the daemon's answer: %w", lost(ctx, err))
	}
	return out, nil
}

// DeployFile deploys a file, or a folder that holds META-INF/corus.xml, which
// is packed while it is sent. Errors: those of Deploy, and what is wrong with
// the file or the folder.
func (c *Client) DeployFile(ctx context.Context, path string) (api.Deployed, error) {
	info, err := os.Stat(path)
	if err != nil {
		return api.Deployed{}, fmt.Errorf("deploy: %w", err)
	}
	name := filepath.Base(path)
	switch {
	case info.IsDir():
		return c.deployFolder(ctx, name, path)
	case !info.Mode().IsRegular():
		return api.Deployed{}, fmt.Errorf("deploy: %s is neither a file nor a folder", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return api.Deployed{}, fmt.Errorf("deploy: %w", err)
	}
	defer f.Close()
	folder := ""
	if IsAppFile(name) {
		if folder, err = filepath.Abs(filepath.Dir(path)); err != nil {
			return api.Deployed{}, fmt.Errorf("deploy: %w", err)
		}
	}
	return c.DeployIn(ctx, folder, name, f)
}

// Apps reads the app file of that path, and returns the name and version of the
// distribution that it makes.
func Apps(path string) (name, version string, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", "", err
	}
	d, err := descriptor.ParseApps(filepath.Base(path), text)
	if err != nil {
		return "", "", fmt.Errorf("%s: %w", path, err)
	}
	return d.Name, d.Version, nil
}

// IsAppFile reports whether a name ends as those of app files do.
func IsAppFile(name string) bool {
	return slices.Contains([]string{".json", ".yaml", ".yml", ".toml"}, strings.ToLower(filepath.Ext(name)))
}

func (c *Client) deployFolder(ctx context.Context, name, path string) (api.Deployed, error) {
	r, w := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := descriptor.Pack(path, w)
		w.CloseWithError(err)
		packed <- err
	}()
	d, err := c.Deploy(ctx, name, r)
	// Packing ends, should the daemon have answered before the end of the folder.
	r.Close()
	if perr := <-packed; perr != nil && !errors.Is(perr, io.ErrClosedPipe) {
		return api.Deployed{}, perr
	}
	return d, err
}

type uploadKey struct{}

// WithUpload returns a context with which Deploy and DeployFile tell how many
// bytes they have sent, of how many: 0 where that is not known, as of a folder
// that is packed meanwhile. At the end both are the same, and the daemon unpacks.
// Tell is called from another goroutine, and must not wait.
func WithUpload(ctx context.Context, tell func(sent, total int64)) context.Context {
	return context.WithValue(ctx, uploadKey{}, tell)
}

func sizeOf(body io.Reader) int64 {
	if f, ok := body.(*os.File); ok {
		if info, err := f.Stat(); err == nil {
			return info.Size()
		}
	}
	return 0
}

// countedBody tells how much of a body was read.
type countedBody struct {
	io.Reader
	sent, total int64
	tell        func(sent, total int64)
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.sent += int64(n)
	switch {
	case errors.Is(err, io.EOF):
		b.tell(b.sent, b.sent)
	case n > 0:
		b.tell(b.sent, b.total)
	}
	return n, err
}

// Undeploy removes the distributions whose name and version match the patterns,
// all or none, and returns them; none is no error. Processes of one that run
// are api.CodeDistributionRunning.
func (c *Client) Undeploy(ctx context.Context, name, version string) (api.Undeployed, error) {
	var out api.Undeployed
	err := c.call(ctx, http.MethodDelete, "/v1/distributions", query("name", name, "version", version), nil, &out)
	return out, err
}
