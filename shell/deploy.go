package shell

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"berth/api"
	"berth/client"
)

type deployCommand struct {
	File []string `arg:"" complete:"file" help:"zip with META-INF/corus.xml, folder that holds it, a corus.xml, or an app file; patterns as *.zip and **/*.zip"`
	outputOption
}

func (deployCommand) page() page {
	return page{
		long: `Deploys distributions: zip files that hold META-INF/corus.xml, folders that do, or a corus.xml by itself for programs that are on the machine already. A file that ends in .json, .yaml, .yml or .toml is an app file: a list of apps with name, script, args, instances, port, env and cwd; they run in the folder of the file unless they name another one, and start deploys and starts them at once. Name and version, as the descriptor has them, are unique together.

Patterns are expanded here too, so they may be quoted; their files come in the order of their names. Of several files the first that cannot be deployed stops the rest; those before it stay.`,
		examples: []example{
			{"deploy demo.zip", "deploy a zip file"},
			{"deploy samples/http-generic", "deploy a folder"},
			{"deploy apps.json", "deploy an app file"},
			{`deploy "dist/*.zip"`, "deploy all zip files of a folder"},
		},
	}
}

func (c *deployCommand) run(ctx context.Context, s *Shell) error {
	files, err := expand(c.File)
	if err != nil {
		return err
	}
	var done []api.Deployed
	for _, file := range files {
		var d api.Deployed
		err = s.busyWith(ctx, "deploying "+file, func(ctx context.Context, tell func(string)) error {
			d, err = s.client.DeployFile(client.WithUpload(ctx, uploading(file, tell)), file)
			return err
		})
		if err != nil {
			if len(files) > 1 {
				err = fmt.Errorf("%s: %w (%s)", file, err, deployedSoFar(done))
			}
			break
		}
		for _, warning := range d.Warnings {
			s.note("warning: %s", warning)
		}
		d.Processes, d.Profiles = notNil(d.Processes), notNil(d.Profiles)
		done = append(done, d)
		if c.Output == asTable {
			s.out.printf("deployed %s %s: %s\n", d.Name, d.Version, orNone(d.Processes))
			_ = s.out.Flush()
		}
	}
	if listed := list(s, c.Output, done, func() {}); err == nil {
		err = listed
	}
	return err
}

func deployedSoFar(done []api.Deployed) string {
	if len(done) == 0 {
		return "nothing was deployed"
	}
	var names []string
	for _, d := range done {
		names = append(names, d.Name+" "+d.Version)
	}
	return "deployed before it: " + strings.Join(names, ", ")
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "no process"
	}
	return strings.Join(names, ", ")
}

// expand replaces patterns by the files that match. A name that is there is no pattern.
func expand(words []string) ([]string, error) {
	var files []string
	for _, word := range words {
		if _, err := os.Stat(word); err == nil {
			files = append(files, word)
			continue
		}
		if !strings.ContainsAny(word, "*?[{") {
			return nil, fmt.Errorf("there is no file %s", quote(word))
		}
		found, err := doublestar.FilepathGlob(filepath.Clean(word))
		if err != nil {
			return nil, &UsageError{Text: fmt.Sprintf("pattern %s: %v", quote(word), err)}
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("no file matches %s", quote(word))
		}
		slices.Sort(found)
		files = append(files, found...)
	}
	return files, nil
}

type undeployCommand struct {
	Distribution string `short:"d" placeholder:"PATTERN" needed:"" pattern:"" complete:"distribution" help:"name of the distributions"`
	Version      string `short:"v" placeholder:"PATTERN" needed:"" pattern:"" complete:"version" help:"version of the distributions"`
	outputOption
}

func (undeployCommand) page() page {
	return page{
		long: `Removes the distributions that match. While processes of one run, none is removed: stop them with kill first. No match is no error.`,
		examples: []example{
			{"undeploy -d demo -v 1.0", "remove one distribution"},
			{`undeploy -d demo -v "*"`, "remove all versions of it"},
		},
	}
}

func (c *undeployCommand) run(ctx context.Context, s *Shell) error {
	out, err := s.client.Undeploy(ctx, c.Distribution, c.Version)
	if err != nil {
		return err
	}
	s.noneMatch(c.Output, len(out.Undeployed), c.Distribution+" "+c.Version, "distribution", "")
	return list(s, c.Output, lists(out.Undeployed), func() {
		for _, d := range out.Undeployed {
			s.out.printf("undeployed %s %s\n", d.Name, d.Version)
		}
	})
}

// lists makes lists that are missing empty ones.
func lists(ds []api.Distribution) []api.Distribution {
	for i := range ds {
		ds[i].Processes, ds[i].Profiles = notNil(ds[i].Processes), notNil(ds[i].Profiles)
	}
	return ds
}
