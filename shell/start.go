package shell

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"berth/api"
	"berth/client"
)

// startedVersion is the version of distributions that start makes of commands.
const startedVersion = "started"

// appProfile is the one profile of app files.
const appProfile = "default"

type startCommand struct {
	Words     []string      `arg:"" optional:"" name:"command" complete:"file" help:"the command and its arguments, behind --; or an app file"`
	Name      string        `short:"n" placeholder:"NAME" help:"its name; left out, that of the program"`
	Instances instanceCount `short:"i" placeholder:"N" help:"how many instances"`
	Port      []string      `placeholder:"SPEC" help:"a port that each instance gets: 3000, 3000-3003, auto:5000-5100, 0 for any, or the name of a range"`
	Env       []string      `placeholder:"K=V" help:"a variable of its environment"`
	Cwd       string        `placeholder:"DIR" complete:"file" help:"the folder that it runs in; left out, this one"`
	Restart   string        `placeholder:"POLICY" help:"when it is started again by itself: never, on-failure or always; left out, on-failure"`
	Health    string        `placeholder:"URL" help:"address that answers while it is well; PORT in braces behind a dollar sign is its port"`
	Wait      seconds       `short:"w" placeholder:"SECONDS" bare:"120" help:"wait until all listen on their ports, 120 seconds if no number is given"`
	outputOption
}

func (startCommand) page() page {
	return page{
		usage: []string{
			"berth start [-n NAME] [-i N] [-port SPEC…] [-env K=V…] [-cwd DIR] [-restart POLICY] [-w [SECONDS]] -- COMMAND [ARG…]",
			"berth start FILE [-w [SECONDS]]",
		},
		long: `Starts a command in the background and looks after it. kill, restart, reload and logs take its NAME. Each instance has the ports in its environment: PORT is the first, and PM2_INSTANCE_ID and NODE_APP_INSTANCE its number. A port 3000 is got or refused; 3000-3003 gives four instances one each; auto:5000-5100 gives each the first that is free.

-health is an address such as 'http://localhost:${PORT}/health', which has to be on one of its ports. It is asked for every 30 seconds; a status below 400 is a good answer. -w waits for the first one, ps shows what comes of it, and after three failures in a row the process is restarted unless -restart says never. An app file can say more: health_check_interval, health_check_timeout and health_check_retries.

A command in quotes, "node server.js", is parted into words. What is started is kept as a distribution of that name and the version started: once it has ended the same name can be started with another command.

With an app file, which ends in .json, .yaml, .yml or .toml, all of its apps are started, each with its instances. The file is deployed before, in place of what it was if nothing of that runs.`,
		examples: []example{
			{"start -n web -port 3000 -- node server.js", "start a server on port 3000"},
			{"start -n web -i 4 -port 3000-3003 -w -- node server.js", "start four, and wait until they listen"},
			{`start "python3 worker.py" -n workers -i 3 -port auto:5000-5100`, "start three on ports that are free"},
			{"start apps.json", "start all apps of a file"},
		},
	}
}

// app is a command as app files have it.
type app struct {
	Name        string            `json:"name"`
	Script      string            `json:"script"`
	Args        []string          `json:"args,omitempty"`
	Instances   int               `json:"instances,omitempty"`
	Port        []string          `json:"port,omitempty"`
	Env         map[string]string `json:"env,omitempty"`
	Cwd         string            `json:"cwd,omitempty"`
	Restart     string            `json:"restart,omitempty"`
	HealthCheck string            `json:"health_check_url,omitempty"`
	KillTimeout int               `json:"kill_timeout"`
}

func (c *startCommand) run(ctx context.Context, s *Shell) error {
	words := c.Words
	if len(words) == 1 {
		_, err := os.Stat(words[0])
		switch {
		case err != nil && strings.ContainsAny(words[0], " \t"):
			if words, err = split(words[0], nil); err != nil {
				return &UsageError{Text: err.Error()}
			}
		case client.IsAppFile(words[0]):
			if err != nil {
				return fmt.Errorf("the app file cannot be read: %w", err)
			}
			return c.startFile(ctx, s, words[0])
		}
	}
	if len(words) == 0 {
		return &UsageError{Text: "say what to start: berth start -n NAME -- COMMAND, or an app file"}
	}
	a := app{
		Name: c.Name, Script: words[0], Args: words[1:], Instances: int(c.Instances), Port: c.Port,
		Restart: c.Restart, HealthCheck: c.Health, KillTimeout: 10_000, Env: map[string]string{},
	}
	if a.Name == "" {
		base := filepath.Base(words[0])
		a.Name = strings.TrimSuffix(base, filepath.Ext(base))
	}
	for _, pair := range c.Env {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return &UsageError{Text: fmt.Sprintf("option -env: %s is not NAME=VALUE", quote(pair))}
		}
		a.Env[name] = value
	}
	var err error
	if a.Cwd, err = filepath.Abs(c.Cwd); err != nil {
		return err
	}
	text, err := json.Marshal(map[string]any{"name": a.Name, "version": startedVersion, "apps": []app{a}})
	if err != nil {
		return err
	}
	err = s.replace(ctx, a.Name, startedVersion, func() error {
		_, err := s.client.Deploy(ctx, a.Name+".json", bytes.NewReader(text))
		return err
	})
	if err != nil {
		return err
	}
	if err := c.start(ctx, s, api.Exec{Distribution: a.Name, Version: startedVersion}); err != nil {
		// What never ran leaves nothing behind; of what did, the output is of use.
		if ps, listErr := s.client.Processes(ctx, api.Selector{Distribution: a.Name, Version: startedVersion}, true); listErr == nil && len(ps) == 0 {
			_, undeployErr := s.client.Undeploy(ctx, a.Name, startedVersion)
			err = errors.Join(err, undeployErr)
		}
		return err
	}
	return nil
}

// replace deploys something in place of what is deployed by its name and version
// and has ended.
func (s *Shell) replace(ctx context.Context, name, version string, deploy func() error) error {
	err := deploy()
	if !errors.Is(err, api.CodeDistributionExists) {
		return err
	}
	_, err = s.client.Undeploy(ctx, name, version)
	if errors.Is(err, api.CodeDistributionRunning) {
		return fmt.Errorf("%s runs already: kill it first, or restart or reload what runs: %w", name, err)
	}
	if err != nil {
		return err
	}
	return deploy()
}

// startFile starts the apps of a file, which is deployed before.
func (c *startCommand) startFile(ctx context.Context, s *Shell, file string) error {
	if c.Name != "" || len(c.Port) > 0 || len(c.Env) > 0 || c.Cwd != "" || c.Restart != "" || c.Health != "" {
		return &UsageError{Text: "an app file says itself what its apps are: of the options only -i, -w and -o go with it"}
	}
	name, version, err := client.Apps(file)
	if err != nil {
		return err
	}
	err = s.replace(ctx, name, version, func() error {
		d, err := s.client.DeployFile(ctx, file)
		for _, warning := range d.Warnings {
			s.note("warning: %s", warning)
		}
		return err
	})
	if err != nil {
		return err
	}
	return c.start(ctx, s, api.Exec{Distribution: name, Version: version})
}

func (c *startCommand) start(ctx context.Context, s *Shell, in api.Exec) error {
	e := execCommand{
		Distribution: in.Distribution, Version: in.Version, Profile: appProfile,
		Instances: c.Instances, Wait: c.Wait, outputOption: c.outputOption,
	}
	return e.run(ctx, s)
}
