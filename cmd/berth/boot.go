package main

import (
	"context"
	"fmt"
	"log/slog"

	"berth/conf"
	"berth/launcher"
	"berth/proc"
	"berth/server"
)

// bootOf tells a boot of the host from all others. In a container the kernel's
// boot outlives the container, so it is the start of the first process, too.
func bootOf() (string, error) {
	first, err := proc.Identify(1)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s %d", first.BootID, first.StartTime), nil
}

// startOnBoot starts, once a boot, what the exec configurations that start on
// boot have and what does not run. A daemon that is started again leaves alone
// what an administrator has killed since. What cannot be started is logged.
func startOnBoot(ctx context.Context, boot string, settings *conf.Settings, processes *launcher.Launcher, log *slog.Logger) error {
	booted, err := settings.Booted(ctx)
	if err != nil || booted == boot {
		return err
	}
	configs, err := settings.ExecConfigs(ctx, "*")
	if err != nil {
		return err
	}
	for _, x := range configs {
		if !x.StartOnBoot || !x.Enabled {
			continue
		}
		parts, err := missing(x, processes)
		if err != nil {
			return err
		}
		if len(parts) == 0 {
			continue
		}
		started, err := processes.Exec(ctx, launcher.ExecRequest{Parts: parts, Stable: true})
		for _, warning := range started.Warnings {
			log.Warn("starting on boot", "exec", x.Name, "warning", warning)
		}
		if err != nil {
			log.Error("cannot start on boot", "exec", x.Name, "error", err)
			continue
		}
		log.Info("started on boot", "exec", x.Name, "processes", len(started.Processes))
	}
	return settings.SetBooted(ctx, boot)
}

// missing is what of an exec configuration does not run.
func missing(x conf.ExecConfig, processes *launcher.Launcher) ([]launcher.ExecPart, error) {
	var parts []launcher.ExecPart
	for _, part := range server.PartsOf(x) {
		running, err := processes.Processes(launcher.Selector{
			Distribution: part.Distribution, Version: part.Version, Name: part.Name, Profile: part.Profile,
		})
		if err != nil {
			return nil, err
		}
		if part.Instances -= len(running); part.Instances > 0 {
			parts = append(parts, part)
		}
	}
	return parts, nil
}
