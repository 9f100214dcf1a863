package launcher

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"berth/descriptor"
	"berth/internal/failpoint"
	"berth/launcher/cmdline"
	"berth/launcher/gate"
	"berth/proc"
	"berth/store"

	"github.com/bmatcuk/doublestar/v4"
)

// definition is what a process is started from.
type definition struct {
	distribution *deployed
	process      *descriptor.Process
	starter      *descriptor.Starter
	instances    int // how many are to start

	// kept are the ports that a process which is replaced hands on, by the place
	// of their need, and sockets the daemon's copies of what they are bound to.
	kept    map[int][]Port
	sockets sockets
}

// incarnation is a child behind its gate.
type incarnation struct {
	child    *gate.Child
	handle   *proc.Process
	handover handover
	cgroup   string // the path of its own one, empty where it has none
	gone     func() // removes that once the child, abandoned, is gone
}

// abandon ends a child whose gate was never opened.
func (i *incarnation) abandon() {
	i.child.Abandon()
	if i.handle.Exited(context.Background()) == nil {
		_, _ = i.handle.Reap()
	}
	_ = i.handle.Close()
	i.gone()
}

// prepare makes the folder of a process and starts its command behind a gate.
// It returns the warnings of the command line. The gate is one of a group unless
// that is nil. Nothing runs before the gate is opened.
func (l *Launcher) prepare(p Process, d definition, set properties, h handover, together *gate.Group) (*incarnation, []string, error) {
	cmd, err := l.command(p, d, set, h.environ())
	switch {
	case errors.Is(err, cmdline.ErrUnsupported):
		return nil, nil, err
	case err != nil:
		return nil, nil, fmt.Errorf("%w: %w", ErrExecRefused, err)
	}
	if d.process.Health != nil {
		if _, err := l.checkAt(cmd.Check, p, d); err != nil {
			cmd.Warnings = append(cmd.Warnings, fmt.Sprintf("process %q: its health is not checked: %v", p.Name, err))
		}
	}
	path, err := lookPath(cmd.Args[0], cmd.Env, cmd.Dir)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: process %q: %w", ErrExecFailed, p.Name, err)
	}
	if err := os.MkdirAll(l.Dir(p.ID), 0o700); err != nil {
		return nil, nil, err
	}
	if err := failpoint.Fail("exec/folder"); err != nil {
		return nil, nil, err
	}
	if err := l.writeHidden(p.ID, cmd.Hidden); err != nil {
		return nil, nil, err
	}
	if err := l.forgetContainer(p.ID); err != nil {
		return nil, nil, err
	}
	out, err := os.OpenFile(l.outputFile(p.ID), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, nil, err
	}
	defer out.Close()
	if len(d.process.PreExec) > 0 {
		if err := l.runPreExec(p, d, set, out); err != nil {
			return nil, nil, err
		}
		// They may have made files that the command has in it.
		if cmd, err = l.command(p, d, set, h.environ()); err != nil {
			return nil, nil, fmt.Errorf("%w: %w", ErrExecRefused, err)
		}
	}
	in := h.input()
	if in == nil {
		if in, err = os.Open(os.DevNull); err != nil {
			return nil, nil, err
		}
		defer in.Close()
	}
	command := gate.Command{
		Path: path, Args: cmd.Args, Env: cmd.Env, Dir: cmd.Dir,
		Files: []*os.File{in, out, out}, Group: together,
	}
	if files := h.files(); len(files) > 0 {
		command.Files, command.PIDEnv = append(command.Files[:firstHanded:firstHanded], files...), "LISTEN_PID"
	}
	p.StartedAt = l.Now().UTC().Truncate(time.Millisecond)
	size := len(carried(p, proc.Identity{})) + identitySize
	if l.Cgroups != nil {
		size += len(l.Cgroups.Path(p.ID)) + len(`,"cgroup":""`)
	}
	if size <= carriedLimit {
		command.LateEnv, command.LateSize = recordEnv, size
	}
	child, cgroup, err := l.startIn(p, command)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: process %q: %w", ErrExecFailed, p.Name, err)
	}
	pidfd := child.PIDFD()
	id, err := proc.Identify(child.PID)
	p.Cgroup = cgroup
	i := &incarnation{child: child, handle: proc.Adopt(pidfd, id), handover: h, cgroup: cgroup, gone: func() { l.removeCgroup(p) }}
	if err == nil && command.LateEnv != "" {
		err = child.SetLate(carried(p, id))
	}
	if err == nil {
		err = failpoint.Fail("exec/gated")
	}
	if err != nil {
		i.abandon()
		return nil, nil, fmt.Errorf("%w: process %q: %w", ErrExecFailed, p.Name, err)
	}
	return i, cmd.Warnings, nil
}

// command makes arguments and environment of a process; extra is what the
// environment has besides.
func (l *Launcher) command(p Process, d definition, set properties, extra []string) (cmdline.Command, error) {
	ports, server := l.told(p, d)
	check := ""
	if d.process.Health != nil {
		check = d.process.Health.URL
	}
	return cmdline.Build(cmdline.Input{
		Check:     check,
		Starter:   *d.starter,
		Process:   p.Name,
		UserDir:   d.distribution.Dir,
		Cwd:       d.process.Cwd,
		JavaHome:  l.JavaHome,
		Instance:  p.Instance,
		InjectEnv: slices.ContainsFunc(d.process.Ports, func(port descriptor.Port) bool { return port.InjectEnv }),
		Container: containerName(l.StateID, p.ID), ContainerFile: l.containerFile(p.ID),

		ProcessProperties: set.own,
		ServerProperties:  server,
		ServerVariables:   set.server,
		Ports:             ports,
		Environ:           l.Environ,
		ExtraEnv: append([]string{
			"BERTH_HOME=" + l.Home, "BERTH_SOCKET=" + l.Socket,
			"BERTH_STATE_ID=" + l.StateID, "BERTH_PROCESS_ID=" + strconv.Itoa(p.ID),
		}, extra...),
		Jars:   listJars,
		Magnet: d.distribution.readMagnet,
	})
}

// told are the ports of a process, and what it is told of the server and itself.
func (l *Launcher) told(p Process, d definition) (ports []cmdline.Port, properties []cmdline.Property) {
	for _, g := range groups(d.process.Ports, p.Ports) {
		number := g[0].Number
		if g[0].Self {
			number = 0
		}
		ports = append(ports, cmdline.Port{Name: g[0].Label(), Protocol: string(g[0].Protocol), Number: number, Count: len(g)})
	}
	return ports, cmdline.ServerProperties(cmdline.ServerInfo{
		Home: l.Home, Host: l.HostAddress, HostName: l.HostName, ServerPort: l.ServerPort,
		Distribution: p.Distribution, Version: p.Version,
		Process: p.Name, Dir: l.Dir(p.ID), ID: p.ID, Profile: p.Profile,
		PollInterval: d.process.PollInterval, StatusInterval: d.process.StatusInterval,
		Ports: ports,
	})
}

// writeHidden puts the properties that nobody else may see into the folder of a
// process, where it finds them before its first instruction.
func (l *Launcher) writeHidden(id int, hidden []cmdline.Property) error {
	name := filepath.Join(l.Dir(id), cmdline.HiddenFile)
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(hidden) == 0 {
		return nil
	}
	return os.WriteFile(name, cmdline.HiddenText(hidden), 0o600)
}

// readMagnet reads a magnet file of the distribution.
func (d *deployed) readMagnet(name string) (*descriptor.MagnetFile, error) {
	if !filepath.IsAbs(name) {
		name = filepath.Join(d.Dir, name)
	}
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("it is not there (looked for %s)", name)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return descriptor.ParseMagnet(f)
}

// listJars lists the .jar and .zip files of a folder and the folders below it,
// sorted. A folder that is not there has none.
func listJars(dir string) ([]string, error) {
	jars, err := doublestar.Glob(os.DirFS(dir), "**/*.{jar,zip}", doublestar.WithFilesOnly())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return jars, err
}

// startAgain starts a process that was asked to restart and has exited, or
// waits, on the ports that it has. If that cannot be done, the process ends.
func (u *unit) startAgain(ctx context.Context) {
	u.collect(true)
	failpoint.At("restart/collected")
	u.forgetReason()
	p := u.snapshot()
	p.Due = time.Time{}
	if !p.Again { // it was asked to, and tries anew
		p.Retries, p.Retried, p.InARow = 0, "", 0
		p.Restarts++
	}
	i, err := u.prepareAgain(&p, func(b store.Batch) error {
		_, err := u.l.Store.Commit(ctx, b)
		return err
	})
	if err != nil {
		u.because("could not be started again: " + err.Error())
		u.update(func(q *Process) { q.Status = Starting })
		_ = u.happened(ctx, startFailed)
		return
	}
	u.goOn(ctx, p, i)
}

// goOn has the process be its new incarnation, which is written down as p, and
// opens the gate.
func (u *unit) goOn(ctx context.Context, p Process, i *incarnation) {
	u.handle = i.handle
	failpoint.At("restart/written")
	u.watchExit()
	u.update(func(q *Process) { *q = p })
	err := i.passGate(ctx)
	u.handover = u.handover.lasting()
	if err != nil {
		u.because(err.Error())
		return // its exit comes
	}
	failpoint.At("restart/executed")
	_ = u.happened(ctx, executed)
	u.startedAgain(ctx)
}

// startedAgain writes down that a restart is complete.
func (u *unit) startedAgain(ctx context.Context) {
	p := u.update(func(p *Process) { p.Again = false })
	p.Status = Starting // what is stored of a process that runs
	var b store.Batch
	b.Put(u.l.processKey(p.ID), encodeProcess(p))
	err := failpoint.Fail("restart/completing")
	if err == nil {
		_, err = u.l.Store.Commit(ctx, b)
	}
	if err != nil {
		u.l.Logger.Error("cannot record that a restart is complete", "process", p.Title(), "error", err)
	}
}

// prepareAgain starts the next child of a process behind its gate, and writes
// it down by commit.
func (u *unit) prepareAgain(p *Process, commit func(store.Batch) error) (*incarnation, error) {
	d, err := u.l.definitionOf(*p)
	if err != nil {
		return nil, err
	}
	if err := u.forgetOwn(p); err != nil {
		return nil, err
	}
	if err := u.handOverAgain(*p, d.process); err != nil {
		return nil, err
	}
	set, err := u.l.properties(u.l.life, d)
	if err != nil {
		return nil, err
	}
	i, _, err := u.l.prepare(*p, d, set, u.handover, nil)
	if err != nil {
		return nil, err
	}
	if p.Cgroup != i.cgroup {
		defer u.l.removeCgroup(*p) // below another daemon's
	}
	p.Status, p.Again = Starting, true
	p.Identity, p.StartedAt, p.Cgroup = i.handle.Identity(), u.l.Now().UTC().Truncate(time.Millisecond), i.cgroup
	for n := range p.Ports {
		p.Ports[n].State = p.Ports[n].unwatched()
	}
	var b store.Batch
	b.Put(u.l.processKey(p.ID), encodeProcess(*p))
	err = failpoint.Fail("restart/prepared")
	if err == nil {
		err = commit(b)
	}
	if err != nil {
		i.abandon()
		return nil, err
	}
	return i, nil
}

// passGate opens the gate and waits until the command runs.
func (i *incarnation) passGate(ctx context.Context) error {
	i.handover.beforeExec()
	if err := i.child.Open(); err != nil {
		return err
	}
	return execError(i.child.Executed(ctx))
}

// execError says in words why a command could not be exec'd.
func execError(err error) error {
	var e *gate.ExecError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &e):
		return fmt.Errorf("%w: %w", ErrExecFailed, err)
	case e.Step == gate.StepExec && errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %w (the interpreter that its first line names, or its loader, is not there)", ErrExecFailed, err)
	case e.Step == gate.StepExec && e.Errno.Error() == "exec format error":
		return fmt.Errorf("%w: %w (a script needs a first line such as #!/bin/sh)", ErrExecFailed, err)
	default:
		return fmt.Errorf("%w: %w", ErrExecFailed, err)
	}
}

// lookPath finds the file of a program: a name without a slash on the PATH of
// environ, another one from dir.
func lookPath(name string, environ []string, dir string) (string, error) {
	candidates := []string{name}
	if !strings.Contains(name, "/") {
		path, _ := lookupEnv(environ, "PATH")
		candidates = nil
		for _, folder := range filepath.SplitList(path) {
			candidates = append(candidates, filepath.Join(folder, name))
		}
	}
	var found error
	for _, file := range candidates {
		if !filepath.IsAbs(file) {
			file = filepath.Join(dir, file)
		}
		info, err := os.Stat(file)
		switch {
		case err != nil:
		case info.IsDir():
			found = fmt.Errorf("program %q is a folder", name)
		case info.Mode().Perm()&0o111 == 0:
			found = fmt.Errorf("program %q is not executable: %s (chmod +x it)", name, file)
		default:
			return file, nil
		}
	}
	switch {
	case found != nil:
		return "", found
	case len(candidates) == 1 && strings.Contains(name, "/"):
		return "", fmt.Errorf("program %q is not there (looked from %s)", name, dir)
	default:
		return "", fmt.Errorf("program %q is not on the PATH", name)
	}
}

// lookupEnv returns the value of a name in an environment; the last one counts.
func lookupEnv(environ []string, name string) (string, bool) {
	for i := len(environ) - 1; i >= 0; i-- {
		if v, ok := strings.CutPrefix(environ[i], name+"="); ok {
			return v, true
		}
	}
	return "", false
}
