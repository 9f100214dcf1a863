package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"charm.land/lipgloss/v2"
	"golang.org/x/sys/unix"

	"berth/api"
)

// instance is a child that becomes the command once its ports are leased.
type instance struct {
	number int
	name   string // who holds its leases
	cmd    *exec.Cmd
	gate   *os.File // nil once it was told to run
	leases []api.Lease
	pipes  []*os.File // what it prints, where that is shown with something before it
	ended  bool
}

// crew are the instances of a command.
type crew struct {
	task *task
	of   int // how many there are to be

	// alone says that there is one, which has the terminal of this program and is
	// in its process group. Several have groups of their own, so that a signal
	// reaches each once, also what it has started, whoever it was sent to.
	alone bool

	all    []*instance
	exits  chan *instance
	asked  bool      // they were asked to end
	first  exitError // how the first one ended that failed
	lock   sync.Mutex
	relays sync.WaitGroup
}

// supervise runs n instances as children and returns when all have ended. Its
// error is what kept them from running, or how the first one ended that failed.
func (t *task) supervise(ctx context.Context, n int) error {
	// A child is sent its signal when the thread ends that made it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := t.s.out.Flush(); err != nil {
		return err
	}
	c := &crew{task: t, of: n, alone: n == 1, exits: make(chan *instance, n)}
	signals, stop := c.catch()
	defer stop()
	err := c.start(ctx, signals)
	if err != nil {
		c.abandon()
	}
	c.wait(signals)
	if err == nil && c.first.code != 0 {
		err = &c.first
	}
	return err
}

// catch has signals sent to a channel: those that would end or stop this
// program, and those that may mean something to the instances. What it was started
// to ignore is not among them.
func (c *crew) catch() (signals chan os.Signal, stop func()) {
	caught := []os.Signal{unix.SIGTERM, unix.SIGQUIT}
	if !c.alone {
		caught = append(caught, unix.SIGTSTP, unix.SIGCONT, unix.SIGWINCH, unix.SIGUSR1, unix.SIGUSR2)
	}
	for _, sig := range []os.Signal{unix.SIGINT, unix.SIGHUP} {
		if !signal.Ignored(sig) {
			caught = append(caught, sig)
		}
	}
	signals = make(chan os.Signal, 64)
	signal.Notify(signals, caught...)
	return signals, func() { signal.Stop(signals) }
}

// start makes the children, leases the ports of all, and then has them run.
func (c *crew) start(ctx context.Context, signals <-chan os.Signal) error {
	for i := range c.of {
		if err := c.hold(i); err != nil {
			return err
		}
	}
	if err := c.lease(ctx, signals); err != nil {
		return err
	}
	for _, in := range c.all {
		command, err := c.task.build(in.leases, in.number)
		if err != nil {
			return err
		}
		if !c.alone {
			c.tell(in, fmt.Sprintf("pid %d on %s", in.cmd.Process.Pid, leaseList(in.leases)))
		}
		gate := in.gate
		in.gate = nil
		if err := give(gate, order{c.task.path, command.Args, command.Env}); err != nil {
			return err
		}
	}
	return nil
}

// hold makes the child of an instance.
func (c *crew) hold(number int) error {
	s := c.task.s
	in := &instance{number: number, name: c.task.name, cmd: new(exec.Cmd)}
	if c.alone {
		in.cmd.Stdout, in.cmd.Stderr = s.opts.Out, s.opts.Err
		if !s.stdin { // it would read the commands
			in.cmd.Stdin = s.opts.In
		}
	} else {
		in.name = fmt.Sprint(c.task.name, " ", number)
		in.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		for _, to := range []struct{ own, shown *io.Writer }{{&in.cmd.Stdout, &s.opts.Out}, {&in.cmd.Stderr, &s.opts.Err}} {
			read, write, err := os.Pipe()
			if err != nil {
				return err
			}
			defer write.Close()
			*to.own = write
			in.pipes = append(in.pipes, read)
			r := relay{lock: &c.lock, to: *to.shown, before: c.before(in, *to.shown)}
			c.relays.Go(func() { r.copy(read) })
		}
	}
	var err error
	if in.gate, err = holdBack(in.cmd); err != nil {
		for _, pipe := range in.pipes {
			pipe.Close()
		}
		return err
	}
	c.all = append(c.all, in)
	go func() {
		awaitExit(in.cmd.Process.Pid)
		c.exits <- in
	}()
	return nil
}

// awaitExit waits until a child has ended, and leaves it to be reaped: its id is
// not used again before.
func awaitExit(pid int) {
	for errors.Is(unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
	}
}

// lease leases the ports of all instances, each for its child, unless a signal
// says that they shall end.
func (c *crew) lease(ctx context.Context, signals <-chan os.Signal) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	leased := make(chan error, 1)
	go func() {
		for _, in := range c.all {
			var err error
			if in.leases, err = c.task.acquire(ctx, in.name, in.number, in.cmd.Process.Pid); err != nil {
				if c.of > 1 {
					err = fmt.Errorf("instance %d: %w", in.number, err)
				}
				leased <- err
				return
			}
		}
		leased <- nil
	}()
	for {
		select {
		case err := <-leased:
			return err
		case sig := <-signals:
			if isEnding(sig) {
				cancel()
				<-leased
				return &exitError{code: exitBySignal + int(sig.(syscall.Signal)), text: "interrupted", told: true}
			}
		}
	}
}

// abandon has those end that run, and lets the others go with their leases.
func (c *crew) abandon() {
	for _, in := range c.all {
		if in.gate != nil {
			in.gate.Close()
			c.task.release(in.leases)
		}
	}
	c.signal(unix.SIGTERM)
	c.asked = true
}

// wait waits until all have ended, passes signals on, and shows what is left of
// the output.
func (c *crew) wait(signals <-chan os.Signal) {
	var limit <-chan time.Time
	for left := len(c.all); left > 0; {
		if c.asked && limit == nil {
			limit = time.After(c.task.grace)
		}
		select {
		case in := <-c.exits:
			left--
			c.reap(in)
		case sig := <-signals:
			c.pass(sig)
		case <-limit:
			c.signal(unix.SIGKILL)
			limit = make(chan time.Time)
		}
	}
	for _, in := range c.all {
		for _, pipe := range in.pipes {
			endRelay(pipe) // who was left behind may hold it open
		}
	}
	c.relays.Wait()
	for _, in := range c.all {
		for _, pipe := range in.pipes {
			pipe.Close()
		}
	}
}

// reap takes note of how an instance ended.
func (c *crew) reap(in *instance) {
	_ = in.cmd.Wait() // how it ended is in its state
	in.ended = true
	if in.gate != nil {
		return // it never ran
	}
	code, how := howEnded(in.cmd.ProcessState)
	if code != 0 && c.first.code == 0 {
		c.first = exitError{code: code, text: in.name + " ended: " + how, told: !c.alone}
	}
	if !c.alone {
		c.tell(in, "ended: "+how)
	}
}

// howEnded is how a child ended, as the exit code that shells give it and for people.
func howEnded(state *os.ProcessState) (code int, how string) {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return exitBySignal + int(status.Signal()), unix.SignalName(status.Signal())
	}
	return state.ExitCode(), fmt.Sprint("exit code ", state.ExitCode())
}

// isEnding reports whether a signal asks to end.
func isEnding(sig os.Signal) bool {
	return sig == unix.SIGINT || sig == unix.SIGTERM || sig == unix.SIGQUIT || sig == unix.SIGHUP
}

// pass hands a signal on. One that has the terminal has those already that come
// from the terminal.
func (c *crew) pass(sig os.Signal) {
	switch sig {
	case unix.SIGINT, unix.SIGQUIT:
		if c.alone {
			return
		}
		c.asked = true
	case unix.SIGTERM:
		c.asked = !c.alone
	}
	c.signal(sig.(syscall.Signal))
	switch {
	case sig == unix.SIGTSTP:
		// The program stops as its instances do, for the shell to see.
		_ = unix.Kill(os.Getpid(), unix.SIGSTOP)
	case isEnding(sig):
		c.signal(unix.SIGCONT) // who is stopped hears of it, too
	}
}

// signal sends a signal to all that have not ended: to their groups, where they
// have some.
func (c *crew) signal(sig syscall.Signal) {
	for _, in := range c.all {
		switch pid := in.cmd.Process.Pid; {
		case in.ended:
		case c.alone:
			_ = unix.Kill(pid, sig)
		default:
			_ = unix.Kill(-pid, sig)
		}
	}
}

// tell shows something of an instance among what it prints itself.
func (c *crew) tell(in *instance, what string) {
	w := c.task.s.opts.Err
	c.lock.Lock()
	defer c.lock.Unlock()
	fmt.Fprintf(w, "%s%s\n", c.before(in, w), what)
}

// before stands before each line of an instance on a stream.
func (c *crew) before(in *instance, stream io.Writer) string {
	text := fmt.Sprintf("%s %-*d |", oneLine(c.task.name), len(fmt.Sprint(c.of-1)), in.number)
	if c.task.s.colour(stream) {
		palette := []string{"6", "3", "2", "5", "4", "1"} // of the terminal's own
		text = lipgloss.NewStyle().Foreground(lipgloss.Color(palette[in.number%len(palette)])).Render(text)
	}
	return text + " "
}

// leaseList shows leases as a list of ports: http:8080, 3000.
func leaseList(leases []api.Lease) string {
	var ports []string
	for _, l := range leases {
		text := fmt.Sprint(l.Port)
		if l.Range != "" {
			text = oneLine(l.Range) + ":" + text
		}
		if l.Protocol != "" && l.Protocol != "tcp" {
			text += "/" + l.Protocol
		}
		ports = append(ports, text)
	}
	return strings.Join(ports, ", ")
}
