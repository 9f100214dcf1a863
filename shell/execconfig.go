package shell

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"berth/api"
)

// act does what exec is told by a word, or reports that it is to start
// processes, of which enough is known then.
func (c *execCommand) act(ctx context.Context, s *Shell) (done bool, err error) {
	named := c.Distribution != "" || c.Version != "" || c.Profile != "" || c.Name != "" || c.Instances != 0
	switch c.Action {
	case "":
		switch {
		case c.Rev != "":
			return false, &UsageError{Text: "option -rev goes with archive and unarchive"}
		case c.Config != "" && named:
			return false, &UsageError{Text: "option -e goes without -d, -v, -p, -n and -i: the exec configuration has them"}
		case c.Config != "":
		case c.Distribution == "":
			return false, &UsageError{Text: "option -d is missing"}
		case c.Version == "":
			return false, &UsageError{Text: "option -v is missing"}
		case c.Profile == "":
			return false, &UsageError{Text: "option -p is missing"}
		}
		return false, nil
	case "enable", "disable":
		if c.Config == "" || named || c.Rev != "" || c.Wait != 0 {
			return true, &UsageError{Text: c.Action + " goes with -e PATTERN alone"}
		}
		return true, c.enable(ctx, s)
	case "archive", "unarchive":
		if c.Rev == "" || named || c.Config != "" || c.Wait != 0 {
			return true, &UsageError{Text: c.Action + " goes with -rev REVISION alone"}
		}
		return true, c.archive(ctx, s)
	}
	text := fmt.Sprintf("unexpected word %s: enable, disable, archive or unarchive", quote(c.Action))
	if strings.Contains(c.Name+c.Distribution+c.Version+c.Config, "*") || named {
		text += "; did your shell expand `*`? quote it"
	}
	return true, &UsageError{Text: text}
}

func (c *execCommand) enable(ctx context.Context, s *Shell) error {
	found, err := s.client.EnableExecs(ctx, c.Config, c.Action == "enable")
	if err != nil {
		return err
	}
	s.noneMatch(c.Output, len(found), c.Config, "exec configuration", "")
	return list(s, c.Output, found, func() {
		for _, x := range found {
			s.out.printf("%sd %s\n", c.Action, oneLine(x.Name))
		}
	})
}

func (c *execCommand) archive(ctx context.Context, s *Shell) error {
	do, done := s.client.ArchiveSettings, "archived"
	if c.Action == "unarchive" {
		do, done = s.client.RestoreSettings, "restored"
	}
	out, err := do(ctx, string(c.Rev), api.KindExecs)
	if err != nil {
		return byID(err)
	}
	s.out.printf("%s exec configurations: %d\n", done, out.Count)
	return nil
}

// deployExec deploys a file with an exec configuration.
func (s *Shell) deployExec(ctx context.Context, name string, as format) error {
	f, err := os.Open(s.path(name))
	if err != nil {
		return err
	}
	defer f.Close()
	x, err := s.client.DeployExec(ctx, filepath.Base(name), f)
	if err != nil {
		return err
	}
	for _, warning := range x.Warnings {
		s.note("warning: %s", warning)
	}
	return list(s, as, []api.ExecConfig{x.ExecConfig}, func() {
		s.out.printf("deployed exec configuration %s: %s\n", oneLine(x.Name), execProcesses(x.ExecConfig))
	})
}

func execProcesses(x api.ExecConfig) string {
	var names []string
	for _, p := range x.Processes {
		name := oneLine(p.Name)
		if p.Instances > 1 {
			name = fmt.Sprintf("%d × %s", p.Instances, name)
		}
		names = append(names, name)
	}
	return orNone(names)
}

func (s *Shell) undeployExecs(ctx context.Context, pattern string, as format) error {
	out, err := s.client.UndeployExecs(ctx, pattern)
	if err != nil {
		return err
	}
	s.noneMatch(as, len(out.Undeployed), pattern, "exec configuration", "")
	return list(s, as, out.Undeployed, func() {
		for _, name := range out.Undeployed {
			s.out.printf("undeployed exec configuration %s\n", oneLine(name))
		}
	})
}

func (s *Shell) listExecs(ctx context.Context, pattern string, as format) error {
	found, err := s.client.ExecConfigs(ctx, pattern)
	if err != nil {
		return err
	}
	s.noneMatch(as, len(found), pattern, "exec configuration", "deploy one with deploy -e FILE")
	return list(s, as, found, func() {
		if len(found) == 0 {
			return
		}
		t := table{head: []string{"NAME", "ENABLED", "ON BOOT", "DISTRIBUTION", "VERSION", "PROCESS", "PROFILE", "INSTANCES"}}
		for _, x := range found {
			name, enabled, boot := oneLine(x.Name), yes(x.Enabled), yes(x.StartOnBoot)
			for _, p := range x.Processes {
				t.add(name, enabled, boot, oneLine(p.Distribution), oneLine(p.Version), oneLine(p.Name), oneLine(p.Profile), strconv.Itoa(p.Instances))
				name, enabled, boot = "", "", ""
			}
		}
		s.out.table(t)
	})
}

func yes(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}

// isExecFile reports whether a file is an exec configuration: whether its first
// element is exec.
func (s *Shell) isExecFile(name string) bool {
	if !strings.HasSuffix(strings.ToLower(name), ".xml") {
		return false
	}
	text, err := s.readFile(name)
	return err == nil && rootElement(text) == "exec"
}

// rootElement is the name of the first element of an XML text, empty if none is
// found.
func rootElement(text string) string {
	for {
		_, rest, found := strings.Cut(text, "<")
		if !found {
			return ""
		}
		switch {
		case strings.HasPrefix(rest, "!--"):
			_, text, _ = strings.Cut(rest, "-->")
		case strings.HasPrefix(rest, "?"), strings.HasPrefix(rest, "!"):
			_, text, _ = strings.Cut(rest, ">")
		default:
			end := strings.IndexAny(rest, " \t\r\n/>")
			if end < 0 {
				return ""
			}
			return rest[:end]
		}
	}
}
