package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"berth/access"
	"berth/audit"
	"berth/conf"
	"berth/event"
	"berth/home"
	"berth/internal/failpoint"
	"berth/launcher"
	"berth/launcher/cgroup"
	"berth/lease"
	"berth/server"
	"berth/shell"
	"berth/store"
	"berth/store/badger"
	"berth/sysctl"
)

// serve runs the daemon until it is told to end, by berth stop or a signal.
func serve(ctx context.Context, paths home.Paths, o shell.ServeOptions) error {
	ends := []os.Signal{syscall.SIGTERM, syscall.SIGINT}
	if !signal.Ignored(syscall.SIGHUP) {
		ends = append(ends, syscall.SIGHUP) // not under nohup(1)
	}
	ctx, stop := signal.NotifyContext(ctx, ends...)
	defer stop()
	// A second signal ends it at once.
	defer context.AfterFunc(ctx, stop)()
	// Else a log that nobody reads any more would end the daemon. Ignoring the
	// signal would be handed on to the processes; taking it is not.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)

	forgetCaller()
	d := newDaemon(paths, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	d.adoptCopy, d.cgroups = o.AdoptCopy, o.Cgroups || os.Getenv("BERTH_CGROUPS") == "1"
	if err := d.setLogs(o); err != nil {
		return err
	}
	if err := d.setAccess(o, os.Getenv); err != nil {
		return err
	}
	if err := d.setOfferTTL(o); err != nil {
		return err
	}
	return d.run(ctx)
}

// setLogs takes how outputs are rotated from the options, or else from the
// environment.
func (d *daemon) setLogs(o shell.ServeOptions) error {
	for _, setting := range []struct {
		given *int64
		name  string
		parse func(string) (int64, error)
		set   func(int64)
	}{
		{o.LogSize, "BERTH_LOG_SIZE", shell.ByteCount, func(n int64) { d.logLimit = n }},
		{o.LogFiles, "BERTH_LOG_FILES", shell.FileCount, func(n int64) { d.logFiles = int(n) }},
	} {
		n := setting.given
		if text := os.Getenv(setting.name); n == nil && text != "" {
			parsed, err := setting.parse(text)
			if err != nil {
				return fmt.Errorf("%s: %w", setting.name, err)
			}
			n = &parsed
		}
		switch {
		case n == nil:
		case *n == 0:
			setting.set(-1)
		default:
			setting.set(*n)
		}
	}
	return nil
}

// failingStore is a store that tells when it has to be opened again.
type failingStore interface {
	store.Store
	store.Inspector
	Failed() <-chan struct{}
	Err() error
}

// daemon is everything that serve runs, on one state folder.
type daemon struct {
	logLimit  int64 // of an output file in bytes; 0 for the default, -1 for none
	logFiles  int   // old ones that are kept; 0 for the default, -1 for none
	paths     home.Paths
	log       *slog.Logger
	environ   []string      // what processes inherit
	lockLimit time.Duration // how long to wait for another daemon's end
	openStore func(dir string, log *slog.Logger) (failingStore, error)

	// adoptCopy has a copy of a state folder take the place of its original.
	adoptCopy bool

	// cgroups has processes live in cgroups of their own.
	cgroups bool

	// peers are who may use the socket, and socketGroup, unless it is -1, is the
	// group that it gets.
	peers       access.Peers
	socketGroup int

	// listen is the TCP address that is answered on too, empty for none.
	listen, tlsCert, tlsKey string

	// offerTTL is how long an offer can be accepted; 0 for the default. Now is the
	// clock of the leases; nil is time.Now.
	offerTTL time.Duration
	now      func() time.Time

	// boot tells the boot of the host from others.
	boot func() (string, error)

	// kernel is the kernel's settings of ports.
	kernel server.Kernel

	// ready is closed once the daemon answers, booted once it has started what
	// starts on boot.
	ready, booted chan struct{}
}

func newDaemon(paths home.Paths, log *slog.Logger) *daemon {
	return &daemon{
		paths:   paths,
		log:     log,
		environ: os.Environ(),
		peers:   access.Peers{Owner: os.Geteuid()}, socketGroup: -1,
		lockLimit: lockLimit,
		openStore: func(dir string, log *slog.Logger) (failingStore, error) {
			o := badger.Options{Logger: log}
			if failpoint.Planted("small-journal") {
				o.JournalBytes = 16 << 10 // its turns come soon
			}
			return badger.Open(dir, o)
		},
		boot:   bootOf,
		kernel: sysctl.Kernel{},
		ready:  make(chan struct{}), booted: make(chan struct{}),
	}
}

// openStoreFreed opens the store, and waits as long as for the state folder where
// another process has it: a child that a killed daemon was just making loses one
// lock after the other.
func (d *daemon) openStoreFreed(ctx context.Context) (failingStore, error) {
	retry := time.NewTicker(lockRetry)
	defer retry.Stop()
	for deadline := time.Now().Add(d.lockLimit); ; {
		st, err := d.openStore(filepath.Join(d.paths.State, "store"), d.log)
		if err == nil || !errors.Is(err, store.ErrLocked) || time.Now().After(deadline) {
			return st, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-retry.C:
		}
	}
}

// run opens the state folder and serves it until ctx ends or a part of the
// daemon fails. The processes go on. It returns nil after an end that was
// asked for.
func (d *daemon) run(ctx context.Context) (err error) {
	if err := d.paths.Prepare(); err != nil {
		return err
	}
	lock, err := takeLock(ctx, d.paths, d.lockLimit)
	if err != nil {
		return err
	}
	// What is opened is closed in the opposite order.
	defer closing(&err, "give up the lock", lock.Close)

	if err := failpoint.Fail("serve/locked"); err != nil {
		return err
	}
	id, err := stateID(d.paths.State)
	if err != nil {
		return err
	}
	release, err := holdStateID(id)
	if err != nil {
		return err
	}
	defer closing(&err, "give up the id", release)

	if err := failpoint.Fail("serve/held"); err != nil {
		return err
	}
	isCopy, err := copied(d.paths.State, id)
	if err != nil {
		return err
	}
	switch {
	case isCopy && d.adoptCopy:
		if err := bindStateID(d.paths.State, id); err != nil {
			return err
		}
		d.log.Warn("this copy of a state folder takes the place of its original, which must not be served any more", "home", d.paths.State)
		isCopy = false
	case isCopy:
		// Until all is taken up the folder keeps the id that it came with, and
		// nothing carries the new one.
		id = newStateID()
		releaseOwn, holdErr := holdStateID(id)
		if holdErr != nil {
			return holdErr
		}
		defer closing(&err, "give up the id", releaseOwn)
	}

	st, err := d.openStoreFreed(ctx)
	if err != nil {
		return fmt.Errorf("open the store: %w", err)
	}
	defer func() {
		// Closing writes tables by their paths. Those of a folder that was
		// replaced are another daemon's; what was answered is in the log already.
		if !errors.Is(err, errReplaced) {
			closing(&err, "close the store", st.Close)
		}
	}()

	remote, err := d.listenTLS()
	if err != nil {
		return err
	}
	if remote != nil {
		defer remote.Close() // the server has closed it mostly
	}
	audits, err := audit.Open(d.paths.State, audit.Options{Logger: d.log})
	if err != nil {
		return err
	}
	defer closing(&err, "close the audit", audits.Close)

	if err := failpoint.Fail("serve/stored"); err != nil {
		return err
	}
	events := event.New(event.DefaultKept, time.Now)
	leases, err := lease.Open(ctx, lease.Options{Store: st, Now: d.now, Events: events, Logger: d.log})
	if err != nil {
		return fmt.Errorf("read the leases: %w", err)
	}
	defer closing(&err, "close the leases", leases.Close)

	if err := failpoint.Fail("serve/leases"); err != nil {
		return err
	}
	settings, err := conf.Open(ctx, st, "local")
	if err != nil {
		return err
	}
	tokens, err := access.OpenTokens(ctx, st, time.Now, d.log)
	if err != nil {
		return err
	}
	quotas, err := access.OpenQuotas(ctx, st, d.log)
	if err != nil {
		return err
	}
	var cgroups *cgroup.Parent
	if d.cgroups {
		if cgroups, err = cgroup.Open(id); err != nil {
			return fmt.Errorf("%w: serve as root, in a cgroup that is delegated to this user, or without -cgroups (BERTH_CGROUPS)", err)
		}
		defer closing(&err, "remove the cgroup of the processes", cgroups.Close)
	}
	processes, err := launcher.Open(ctx, launcher.Options{
		Store: st, Leases: leases, Settings: processSettings{settings}, Runner: d.runPreExec, Home: d.paths.State, Socket: d.paths.Socket, StateID: id, Copied: isCopy, Lost: len(st.Health().Damage) > 0, ServerPort: portOf(remote), Cgroups: cgroups, LogLimit: d.logLimit, LogFiles: d.logFiles, Environ: d.environ, Events: events, Logger: d.log,
	})
	if errors.Is(err, launcher.ErrCopied) {
		return fmt.Errorf("%w: %w: serve the original; or, where that is gone for good, let this one take its place with berth serve -adopt-copy", errCopied, err)
	}
	if err != nil {
		return fmt.Errorf("take up the processes: %w", err)
	}
	defer closing(&err, "close the launcher", processes.Close)
	if isCopy {
		if err := bindStateID(d.paths.State, id); err != nil {
			return err
		}
		if err := release(); err != nil {
			return fmt.Errorf("give up the id of the original: %w", err)
		}
		d.log.Warn("this copy of a state folder has an id of its own from now on; the processes in its records are gone", "home", d.paths.State)
	}

	// Whoever has ended while there was no daemon has nothing when this one answers.
	if err := leases.RecuperateOnce(ctx); err != nil {
		d.log.Warn("leases whose holders are gone cannot be recuperated yet", "error", err)
	}

	if err := failpoint.Fail("serve/adopted"); err != nil {
		return err
	}
	l, err := server.ListenShared(d.paths.Socket, d.peers, d.socketGroup)
	if err != nil {
		return err
	}
	listeners := []net.Listener{l}
	if remote != nil {
		listeners = append(listeners, remote)
	}
	failpoint.At("serve/listening")
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	api := server.New(server.Options{
		Leases: leases, Processes: processes, Settings: settings, Store: st, Kernel: d.kernel, Keys: st, Events: events, Home: d.paths.State, Socket: d.paths.Socket,
		Tokens: tokens, Quotas: quotas, Audit: audits, Address: addressOf(remote), Version: buildVersion(), Stop: stop, Logger: d.log,
		OfferTTL: d.offerTTL, Now: d.now,
	})

	// The first part that ends ends all.
	parts, ctx := errgroup.WithContext(ctx)
	start := func(name string, part func(context.Context) error) {
		parts.Go(func() error {
			err := part(ctx)
			switch {
			case ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)):
				return nil
			case err == nil:
				err = errEnded
			}
			return fmt.Errorf("%s: %w", name, err)
		})
	}
	start("serve "+d.paths.Socket, func(ctx context.Context) error { return api.Serve(ctx, listeners...) })
	start("watch the ports that are set aside", leases.Run)
	start("watch the processes", processes.Run)
	start("watch the lock", lock.watch)
	start("watch the store", func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return nil
		case <-st.Failed():
			return st.Err()
		}
	})
	events.Add("daemon", "started", strconv.Itoa(os.Getpid()), fmt.Sprintf("the daemon answers, pid %d, version %s", os.Getpid(), buildVersion()))
	d.log.Info("the daemon answers", "socket", d.paths.Socket, "listen", addressOf(remote), "home", d.paths.State, "pid", os.Getpid(),
		"version", buildVersion(), "processes", processes.Running())
	failpoint.At("serve/answering")
	close(d.ready)
	parts.Go(func() error {
		defer close(d.booted)
		boot, err := d.boot()
		if err == nil {
			err = startOnBoot(ctx, boot, settings, processes, d.log)
		}
		if err != nil && ctx.Err() == nil {
			d.log.Error("cannot start what starts on boot", "error", err)
		}
		return nil // the daemon goes on
	})

	if err = parts.Wait(); err != nil {
		d.log.Error("the daemon ends; its processes go on", "error", err)
		return err
	}
	d.log.Info("the daemon ends; its processes go on", "processes", processes.Running())
	return nil
}

// closing is deferred to close a part, and adds what goes wrong to err.
func closing(err *error, what string, closer func() error) {
	if closeErr := closer(); closeErr != nil {
		*err = errors.Join(*err, fmt.Errorf("%s: %w", what, closeErr))
	}
}
