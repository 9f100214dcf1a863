package launcher

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"berth/descriptor"
	"berth/launcher/cmdline"
	"berth/proc"
)

// containerPatience is how long docker may take to end a container.
const containerPatience = 10 * time.Second

// containerName names the container of a process, so that those of several
// state folders on a machine have different names.
func containerName(state string, id int) string {
	return "berth-" + state[:min(len(state), 8)] + "-" + strconv.Itoa(id)
}

// containerFile is where docker run writes the id of a container that stays
// when it has ended: those have no name, which the next one of the process would need.
func (l *Launcher) containerFile(id int) string { return filepath.Join(l.Dir(id), "container.id") }

// forgetContainer removes what an earlier start of a process has left there:
// docker run refuses to write over it.
func (l *Launcher) forgetContainer(id int) error {
	if err := os.Remove(l.containerFile(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// noDocker is the exit code of a docker run that failed itself, docker's daemon being
// gone for instance; see docker-run(1).
const noDocker = 125

// endContainer ends the container of a process whose docker run is gone without
// having seen its end: it was killed or failed, or nobody knows how it ended. Containers are
// children of docker's own daemon and outlive docker run. It is best effort: what
// goes wrong is logged, and what still has a port is found when that is probed.
func (u *unit) endContainer(exit proc.Exit) {
	l, p := u.l, u.snapshot()
	if u.disowned {
		return // it is the other state folder's
	}
	if exit.Known && exit.Signal == 0 && exit.Code != noDocker {
		return // docker run ends by itself behind its container
	}
	d, err := l.definitionOf(p)
	if err != nil || d.starter.Kind != descriptor.Docker || d.starter.Container == nil {
		return
	}
	name := containerName(l.StateID, p.ID)
	args := []string{"rm", "--force", name} // the name is for the next one then
	if !d.starter.Container.AutoRemove {
		text, err := os.ReadFile(l.containerFile(p.ID))
		if name = strings.TrimSpace(string(text)); err != nil || name == "" {
			return // docker run had made none
		}
		args = []string{"kill", name}
	}
	out, err := l.docker(args...)
	if strings.Contains(out, "No such container") || strings.Contains(out, "is not running") {
		return
	}
	if err != nil {
		l.Logger.Error("the container of a process may run on: docker did not end it", "process", p.Title(), "container", name, "error", err, "output", out)
		return
	}
	l.Logger.Info("the container of a process was ended", "process", p.Title(), "container", name)
}

// docker runs a docker command for a limited time and returns what it printed.
func (l *Launcher) docker(args ...string) (output string, err error) {
	env, _, err := cmdline.Environ(l.Environ, l.Home, nil, nil)
	if err != nil {
		return "", err
	}
	path, err := lookPath("docker", env, l.Home)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(l.life, containerPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env, cmd.Dir, cmd.WaitDelay = env, l.Home, time.Second
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return strings.TrimSpace(string(out)), err
}
