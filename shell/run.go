package shell

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"berth/api"
	"berth/client"
	"berth/descriptor"
	"berth/launcher/cmdline"
	"berth/lease"
)

// The exit codes of a command that could not be run, as shells have them.
const (
	exitNotExecutable = 126
	exitNotFound      = 127
	exitBySignal      = 128 // and the signal's number
)

// mostInstances is how many instances run in the foreground at most: each takes
// a thread and two pipes of the program.
const mostInstances = 256

type runCommand struct {
	Words     []string      `arg:"" optional:"" name:"command" behind:"" complete:"file" help:"the command and its arguments, behind --"`
	Port      []string      `sep:"none" placeholder:"SPEC" complete:"range" help:"a port that each instance gets: the name of a range, 3000, 3000-3003, auto:5000-5100, or 0 for any"`
	Range     []string      `short:"n" sep:"none" placeholder:"RANGE" complete:"range" help:"a port of this range"`
	Count     blockCount    `placeholder:"N" help:"how many contiguous ports each of them is, 1 if left out"`
	Proto     protocol      `placeholder:"PROTOCOL" complete:"protocol" help:"tcp or udp; left out, that of the range, and tcp without one"`
	Instances instanceCount `short:"i" placeholder:"N" help:"how many instances"`
	Name      string        `placeholder:"NAME" help:"who holds the ports, for people; left out, the name of the program"`
	EnvFile   []string      `sep:"none" placeholder:"FILE" complete:"file" help:"a file with variables of its environment, NAME=value a line"`
	Grace     seconds       `default:"10" placeholder:"SECONDS" help:"with -i: how long instances may take to end when they are asked to, 10 if left out"`
	Inject    injection     `default:"env" placeholder:"WAY" help:"how a JVM is told its ports: env, as -D in JAVA_TOOL_OPTIONS, or none"`
}

func (runCommand) page() page {
	return page{
		usage: []string{"berth run [-n RANGE…] [-port SPEC…] [-count N] [-proto PROTOCOL] [-i N] [-grace SECONDS] [-name NAME] [-env-file FILE…] [-inject WAY] -- COMMAND [ARG…]"},
		long: `Leases ports and runs a command in the foreground with them. Without -n and -port it gets one port that is free. The leases end with the command, however it ends.

A single command takes the place of berth: it has its process id, its terminal and its signals, job control works, and its exit code is the one that is seen. Nothing of berth is left beside it, and the process that holds the leases is the command itself. So neither can outlive the other, also where it is killed. A daemon that is restarted meanwhile keeps the leases. What the command leaves running behind it does not hold them: a server that forks into the background gives its port up, and the port is set aside until nobody is bound to it. Have it stay in the foreground, or use berth start.

The environment has PORT, the first port, TCP_PORT, TCP_PORTS and TCP_PORTS_RANGE (UDP_ likewise), CORUS_PROCESS_PORT_RANGE for the port of a range, and PM2_INSTANCE_ID and NODE_APP_INSTANCE, the number of the instance. ${PORT} and the others, ${corus.server.port.RANGE} and ${corus.process.port.RANGE} are replaced in the arguments; other variables stay as they are, as a shell that is run may have its own. $${PORT} is the text ${PORT}. Quote them, or your shell replaces them first. A port of no range has the name port, the next one port2. A JVM, be it started by a script, has the ports as -Dcorus.server.port.RANGE in JAVA_TOOL_OPTIONS, which it tells of on standard error; -inject none leaves that out.

A file of -env-file has NAME=value, a line each; export before it, comments with # and values in quotes, over several lines too, are understood. It counts more than the environment, and the ports count more than it. The same variables are replaced in values that are not in single quotes.

With -i each of the N instances is a child of berth with ports and leases of its own, 3000-3003 giving them one each. All have their ports before any runs, or none runs. Their lines are shown with name and number before them; they have no input. Ctrl-C, Ctrl-Z, and signals that berth is sent reach all of them and what they have started. Who has not ended 10 seconds after SIGINT, SIGTERM or SIGQUIT, or what -grace says, is killed. One that ends leaves the others alone; berth ends with the last one, with the exit code of the first that failed. If berth itself is killed they are sent SIGTERM, and whoever goes on keeps its leases.

The exit code is that of the command, 128 and the signal's number where a signal ended it, 127 where it is not found and 126 where it cannot be run; 1, 2 and 3 where berth could not lease the ports, as ever.`,
		examples: []example{
			{"run -port http -- node server.js", "run a server on a port of the range http"},
			{"run -port http -- java -jar app.jar --port='${PORT}'", "the same for one that takes its port as an argument"},
			{"run -n media -count 4 -proto udp -- ./relay", "run a program with four UDP ports in a row"},
			{"run -i 3 -port auto:5000-5100 -env-file .env -- python3 worker.py", "run three, on ports that are free"},
			{"run -- make test", "run something with a port that is free in PORT"},
		},
	}
}

// injection is how a JVM is told its ports.
type injection string

func (i *injection) UnmarshalText(text []byte) error {
	switch v := injection(text); v {
	case "env", "none":
		*i = v
		return nil
	}
	return fmt.Errorf("%s is not env or none", quote(string(text)))
}

// task is a command to be run in the foreground.
type task struct {
	s     *Shell
	name  string // of who holds its ports
	path  string // of the program
	in    cmdline.RunInput
	ports []descriptor.PortSpec
	count int
	proto string
	grace time.Duration
}

func (c *runCommand) run(ctx context.Context, s *Shell) error {
	if s.opts.Replace == nil {
		return errors.New("no commands are run in the foreground here: use start")
	}
	if len(c.Words) == 0 {
		return &UsageError{Text: "the command is missing: it goes behind --, as in berth run -port http -- node server.js"}
	}
	n := max(1, int(c.Instances))
	if n > mostInstances {
		return &UsageError{Text: fmt.Sprintf("option -i: at most %d instances run in the foreground: use start", mostInstances)}
	}
	t := &task{s: s, name: c.Name, count: max(1, int(c.Count)), proto: string(c.Proto), grace: time.Duration(float64(c.Grace) * float64(time.Second))}
	if t.name == "" {
		base := filepath.Base(c.Words[0])
		t.name = strings.TrimSuffix(base, filepath.Ext(base))
	}
	t.in = cmdline.RunInput{Args: c.Words, Environ: os.Environ(), InjectEnv: c.Inject == "env"}
	var err error
	if t.ports, err = c.specs(n, t.count); err != nil {
		return err
	}
	for _, file := range c.EnvFile {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		variables, err := cmdline.ParseEnvFile(string(text))
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		t.in.Files = append(t.in.Files, variables...)
	}
	if t.path, err = findProgram(c.Words[0], t.searchPath()); err != nil {
		return err
	}
	if n == 1 && !s.prompting && !s.stdin && s.depth == 0 && s.count == nil {
		return t.replace(ctx)
	}
	return t.supervise(ctx, n)
}

// specs are the ports that each instance gets.
func (c *runCommand) specs(n, count int) ([]descriptor.PortSpec, error) {
	var specs []descriptor.PortSpec
	for _, name := range c.Range {
		spec, err := descriptor.ParsePortSpec(name)
		if err != nil || spec.Range == "" {
			return nil, &UsageError{Text: fmt.Sprintf("option -n: %s is not the name of a range; ports are asked for with -port", quote(name))}
		}
		specs = append(specs, spec)
	}
	for _, text := range c.Port {
		spec, err := descriptor.ParsePortSpec(text)
		if err != nil {
			return nil, &UsageError{Text: "option -port: " + err.Error()}
		}
		specs = append(specs, spec)
	}
	if len(specs) == 0 {
		specs = []descriptor.PortSpec{{}} // whatever is free
	}
	for _, spec := range specs {
		size, want := spec.Size(), n*count
		switch {
		case spec.Range != "":
		case size == 0 && count > 1:
			return nil, &UsageError{Text: "option -count: of ports in a row the first has to be known: give -port auto:5000-5100, or a range"}
		case size == 1 && !spec.Auto && n == 1, size == 0:
		case size < want:
			return nil, fmt.Errorf("port %s is %d, and %d are needed: give %d-%d", spec, size, want, spec.First, spec.First+want-1)
		}
	}
	return specs, nil
}

// searchPath is the PATH that the command will have.
func (t *task) searchPath() string {
	path := os.Getenv("PATH")
	for _, v := range t.in.Files {
		if v.Name == "PATH" {
			path = v.Value
		}
	}
	return path
}

// findProgram finds a program as a shell does.
func findProgram(name, path string) (string, error) {
	if strings.Contains(name, "/") {
		return name, runnable(name, name)
	}
	var found error
	for _, dir := range filepath.SplitList(path) {
		if dir == "" {
			dir = "."
		}
		file := dir + "/" + name
		err := runnable(name, file)
		if err == nil {
			return file, nil
		}
		if e, ok := errors.AsType[*exitError](err); ok && e.code == exitNotExecutable && found == nil {
			found = err
		}
	}
	if found != nil {
		return "", found
	}
	return "", &exitError{code: exitNotFound, text: quote(name) + ": command not found"}
}

// runnable tells why a file cannot be run, as far as that can be told without
// running it.
func runnable(name, file string) error {
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return &exitError{code: exitNotFound, text: quote(name) + ": command not found"}
	case err != nil:
		return notRun(name, err)
	case info.IsDir():
		return &exitError{code: exitNotExecutable, text: quote(name) + " is a folder"}
	}
	if err := unix.Faccessat(unix.AT_FDCWD, file, unix.X_OK, unix.AT_EACCESS); err != nil {
		return notRun(name, err)
	}
	return nil
}

// notRun is the error of a program that the system did not run.
func notRun(name string, err error) *exitError {
	e := &exitError{code: exitNotExecutable, text: fmt.Sprintf("%s cannot be run: %v", quote(name), err)}
	switch {
	case errors.Is(err, unix.ENOENT):
		e.code, e.text = exitNotFound, quote(name)+" cannot be run: the interpreter that it names is not there"
	case errors.Is(err, unix.EACCES):
		e.text = quote(name) + " cannot be run: permission denied"
	case errors.Is(err, unix.ENOEXEC):
		e.text = quote(name) + " cannot be run: it is no program, and has no #! line that names an interpreter"
	}
	return e
}

// replace leases the ports for this process and makes it the command. Go's
// runtime has handlers for the signals that the caller ignores, except SIGHUP and
// SIGINT: the others are at their default in the command.
func (t *task) replace(ctx context.Context) error {
	t.in.InPlace = true
	leases, err := t.acquire(ctx, t.name, 0, os.Getpid())
	if err != nil {
		return err
	}
	command, err := t.build(leases, 0)
	if err == nil {
		if err = t.s.out.Flush(); err == nil {
			err = notRun(command.Args[0], t.s.opts.Replace(t.path, command.Args, command.Env))
		}
	}
	t.release(leases)
	return err
}

// build makes the command of an instance, and tells of what is odd about it.
func (t *task) build(leases []api.Lease, instance int) (cmdline.Command, error) {
	in := t.in
	in.Instance = instance
	for i := 0; i < len(leases); i += t.count {
		first := leases[i]
		in.Ports = append(in.Ports, cmdline.Port{Name: first.Range, Protocol: first.Protocol, Number: first.Port, Count: t.count})
	}
	command, err := cmdline.BuildRun(in)
	for _, warning := range command.Warnings {
		t.s.note("warning: %s", warning)
	}
	return command, err
}

// acquire leases the ports of an instance for a process.
func (t *task) acquire(ctx context.Context, holder string, instance, pid int) ([]api.Lease, error) {
	in := api.AcquireLeases{Holder: api.Holder{Kind: api.HolderProcess, PID: pid, Name: holder}}
	for _, spec := range t.ports {
		q := api.PortRequest{Range: spec.Range, Protocol: t.proto, Count: t.count}
		switch {
		case spec.Range != "":
		case spec.Auto:
			q.Min, q.Max = spec.First, spec.Last
		case spec.First == 0:
			q.System = true
		default:
			q.Port = spec.First + instance*t.count
		}
		in.Ports = append(in.Ports, q)
	}
	leases, err := t.s.client.AcquireLeases(client.WithoutStart(ctx), in)
	if errors.Is(err, client.ErrNoDaemon) {
		if err = t.s.wake(ctx); err == nil {
			leases, err = t.s.client.AcquireLeases(client.WithoutStart(ctx), in)
		}
	}
	// A command that has just ended may have its lease for an instant yet: it is
	// asked again while one has, and once when none has any more.
	limit := time.Now().Add(comingLimit)
	for last := false; isLeased(err) && !last; {
		last = !t.s.isComing(ctx) || time.Now().After(limit)
		leases, err = t.s.client.AcquireLeases(client.WithoutStart(ctx), in)
	}
	if err == nil && len(leases) != len(t.ports)*t.count {
		t.release(leases)
		err = fmt.Errorf("%d leases were asked for, and %d answered", len(t.ports)*t.count, len(leases))
	}
	return leases, err
}

// comingLimit is how long a port is waited for whose holder has ended.
const comingLimit = 2 * time.Second

// isLeased reports whether ports were refused because they are leased.
func isLeased(err error) bool {
	return errors.Is(err, lease.ErrRangeFull) || errors.Is(err, lease.ErrAssigned)
}

// isComing reports whether a lease is held by a process that has ended, so that
// its port is about to come back, and gives that a moment.
func (s *Shell) isComing(ctx context.Context) bool {
	leases, err := s.client.FindLeases(client.WithoutStart(ctx), api.LeaseFilter{Kind: api.HolderProcess})
	if err != nil || !slices.ContainsFunc(leases, func(l api.Lease) bool {
		return l.PID > 0 && l.Process == 0 && errors.Is(unix.Kill(l.PID, 0), unix.ESRCH)
	}) {
		return false
	}
	select {
	case <-time.After(5 * time.Millisecond):
		return true
	case <-ctx.Done():
		return false
	}
}

// releaseLimit is how long giving leases back may take: they would come back by
// themselves.
const releaseLimit = 5 * time.Second

// release gives back the leases of what did not run.
func (t *task) release(leases []api.Lease) {
	ctx, cancel := context.WithTimeout(client.WithoutStart(context.Background()), releaseLimit)
	defer cancel()
	for _, l := range leases {
		if t.s.client.ReleaseLease(ctx, l.ID, l.Generation) != nil {
			return // the daemon will see that their holder has ended
		}
	}
}

// waking is the word by which a program that will become another one has the
// daemon started. It is no command.
const waking = "__wake"

// wake has the daemon started by a process of its own: so that the daemon is no child of
// this one, and what it does to the descriptors that it shall not have is not
// done to those of the command.
func (s *Shell) wake(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self, waking)
	var said bytes.Buffer
	cmd.Stderr = &said
	err = cmd.Run()
	if ended := new(exec.ExitError); errors.As(err, &ended) && ended.Exited() {
		return &exitError{code: ended.ExitCode(), text: oneLine(said.String())}
	}
	return err
}

// wakeDaemon starts the daemon where none answers.
func (s *Shell) wakeDaemon(ctx context.Context) int {
	_, err := s.client.Daemon(ctx)
	if err != nil {
		fmt.Fprintln(s.err, oneLine(err.Error()))
	}
	return exitCode(err)
}
