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
	Exec string   `short:"e" placeholder:"FILE" complete:"file" help:"deploy an exec configuration, an exec.xml"`
	Rev  revision `placeholder:"REVISION" help:"deploy the distributions that undeploy -rev has kept under this revision"`
	Seq  bool     `help:"with -cluster: one host after the other; accepted as in Corus"`
	File []string `arg:"" optional:"" complete:"file" help:"zip with META-INF/corus.xml, folder that holds it, a corus.xml, or an app file; patterns as *.zip and **/*.zip"`
	outputOption
}

func (deployCommand) page() page {
	return page{
		usage: []string{
			"berth deploy FILE…",
			"berth deploy -e FILE",
			"berth deploy -rev REVISION",
		},
		long: `Deploys distributions: zip files that hold META-INF/corus.xml, folders that do, or a corus.xml by itself for programs that are on the machine already. A file that ends in .json, .yaml, .yml or .toml is an app file: a list of apps with name, script, args, instances, port, env and cwd; they run in the folder of the file unless they name another one, and start deploys and starts them at once. Name and version, as the descriptor has them, are unique together.

Patterns are expanded here too, so they may be quoted; their files come in the order of their names. Of several files the first that cannot be deployed stops the rest; those before it stay.

An exec configuration says which processes are started together, by exec -e NAME or when the host boots. One of its name is replaced. A file whose first element is exec is one without -e, too.

With -rev it deploys the distributions that undeploy -rev has kept under a revision, all or none; the revision keeps them.`,
		examples: []example{
			{"deploy demo.zip", "deploy a zip file"},
			{"deploy samples/http-generic", "deploy a folder"},
			{"deploy apps.json", "deploy an app file"},
			{`deploy "dist/*.zip"`, "deploy all zip files of a folder"},
			{"deploy -e exec.xml", "deploy an exec configuration"},
			{"deploy -rev before-update", "bring back what undeploy -rev has kept"},
		},
	}
}

func (c *deployCommand) run(ctx context.Context, s *Shell) error {
	if c.Rev != "" {
		if len(c.File) > 0 || c.Exec != "" {
			return &UsageError{Text: "-rev names a revision, and goes without files"}
		}
		return c.archived(ctx, s)
	}
	if c.Exec != "" {
		if len(c.File) > 0 {
			return &UsageError{Text: "-e names the file of an exec configuration, and goes without other files"}
		}
		return s.deployExec(ctx, c.Exec, c.Output)
	}
	if len(c.File) == 0 {
		return &UsageError{Text: "FILE is missing"}
	}
	files, err := expand(c.File)
	if err != nil {
		return err
	}
	if len(files) == 1 && s.isExecFile(files[0]) {
		return s.deployExec(ctx, files[0], c.Output)
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

// archived deploys what a revision holds.
func (c *deployCommand) archived(ctx context.Context, s *Shell) error {
	var ds []api.Distribution
	err := s.busy(ctx, "deploying revision "+string(c.Rev), func(ctx context.Context) (err error) {
		ds, err = s.client.DeployArchived(ctx, string(c.Rev))
		return err
	})
	if err != nil {
		return byID(err)
	}
	if len(ds) == 0 && c.Output == asTable {
		s.note("revision %s holds no distribution", c.Rev)
	}
	return list(s, c.Output, lists(ds), func() {
		for _, d := range ds {
			s.out.printf("deployed %s %s: %s\n", oneLine(d.Name), oneLine(d.Version), orNone(d.Processes))
		}
	})
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
	Distribution string   `short:"d" placeholder:"PATTERN" pattern:"" complete:"distribution" help:"name of the distributions"`
	Version      string   `short:"v" placeholder:"PATTERN" pattern:"" complete:"version" help:"version of the distributions"`
	Exec         string   `short:"e" placeholder:"PATTERN" pattern:"" complete:"exec" help:"remove the exec configurations of these names"`
	Rev          revision `placeholder:"REVISION" help:"keep them under this revision, in place of the distributions that it held"`
	All          string   `arg:"" optional:"" complete:"all" help:"all: all distributions, as -d * -v *"`
	outputOption
}

func (undeployCommand) page() page {
	return page{
		usage: []string{
			"berth undeploy -d PATTERN -v PATTERN [-rev REVISION]",
			"berth undeploy all [-rev REVISION]",
			"berth undeploy -e PATTERN",
		},
		long: `Removes the distributions that match. While processes of one run, none is removed: stop them with kill first. No match is no error.

With -rev what is removed is kept, and deploy -rev brings it back; what the revision held before is gone, also where nothing matches now.`,
		examples: []example{
			{"undeploy -d demo -v 1.0", "remove one distribution"},
			{`undeploy -d demo -v "*"`, "remove all versions of it"},
			{"undeploy all", "remove all distributions"},
			{"undeploy all -rev before-update", "remove all, for deploy -rev to bring back"},
			{"undeploy -e site", "remove an exec configuration; its processes go on"},
		},
	}
}

func (c *undeployCommand) run(ctx context.Context, s *Shell) error {
	switch {
	case c.Exec != "":
		if c.Distribution != "" || c.Version != "" || c.All != "" || c.Rev != "" {
			return &UsageError{Text: "-e goes without -d, -v, -rev and all"}
		}
		return s.undeployExecs(ctx, c.Exec, c.Output)
	case c.All == "all" && c.Distribution == "" && c.Version == "":
		c.Distribution, c.Version = "*", "*"
	case c.All != "":
		return &UsageError{Text: fmt.Sprintf("unexpected word %s: did your shell expand `*`? quote it", quote(c.All))}
	case c.Distribution == "":
		return &UsageError{Text: "option -d is missing"}
	case c.Version == "":
		return &UsageError{Text: "option -v is missing"}
	}
	var out api.Undeployed
	var err error
	if c.Rev != "" {
		out, err = s.client.UndeployTo(ctx, c.Distribution, c.Version, string(c.Rev))
	} else {
		out, err = s.client.Undeploy(ctx, c.Distribution, c.Version)
	}
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
