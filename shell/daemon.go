package shell

import (
	"context"
	"errors"
	"fmt"
	"time"

	"berth/client"
)

// ServeOptions say how the daemon is run.
type ServeOptions struct {
	// AdoptCopy has a copied state folder take the place of its original.
	AdoptCopy bool

	// Cgroups has each process live in a cgroup of its own.
	Cgroups bool

	// LogSize is how many bytes the present output file of a process has, and
	// LogFiles how many older ones are kept; nil where nothing is said.
	LogSize, LogFiles *int64

	// SocketGroup is the group whose members may use the socket, with SocketRole;
	// SocketAllow has others, as USER=ROLE,@GROUP=ROLE.
	SocketGroup, SocketRole, SocketAllow string

	// Listen is the TCP address on which the daemon answers too, with the
	// certificate and the key of TLSCert and TLSKey.
	Listen, TLSCert, TLSKey string

	// OfferTTL is how long an offer of django-portmaster's calls can be accepted;
	// 0 where nothing is said.
	OfferTTL time.Duration
}

type serveCommand struct {
	SocketGroup string `placeholder:"GROUP" help:"members of this group may use the socket, with the role of -socket-role"`
	SocketRole  string `placeholder:"ROLE" complete:"role" help:"what they may do: read, lease, exec or admin; lease if left out"`
	SocketAllow string `placeholder:"WHO=ROLE,…" help:"other users, and behind an @ groups, that may use the socket"`
	Listen      string `placeholder:"ADDRESS" help:"answer on this TCP address too, with TLS, to those who have a token"`
	TLSCert     string `name:"tls-cert" placeholder:"FILE" complete:"file" help:"certificate chain for -listen (PEM), read again when it changes"`
	TLSKey      string `name:"tls-key" placeholder:"FILE" complete:"file" help:"key of the certificate (PEM)"`

	Cgroups   bool       `help:"start each process in a cgroup of its own, so that kill reaches all that comes from it"`
	LogSize   *byteCount `placeholder:"SIZE" help:"how long the output of a process gets before it becomes an old file: 10M if left out, 0 for no limit"`
	LogFiles  *fileCount `placeholder:"N" help:"how many old files of a process' output are kept: 5 if left out"`
	OfferTTL  offerTTL   `name:"offer-ttl" placeholder:"TIME" help:"how long an offer of django-portmaster's calls can be accepted: 30m if left out"`
	AdoptCopy bool       `help:"where the state folder is a copy: take the place of the original, which is gone"`
}

func (serveCommand) page() page {
	return page{
		long: `Runs the daemon in the foreground until it is stopped by berth stop, SIGTERM or SIGINT. Processes go on without it, and the next daemon of the same state folder takes them over. Other commands start a daemon in the background by themselves.

With -cgroups, or BERTH_CGROUPS=1 in the environment of who starts the daemon, each process lives in a cgroup (version 2, Linux 5.14) below the daemon's, and kill ends all that is in it: also what has forked itself into a session of its own. That needs root, or a cgroup that was delegated to this user. A daemon of something else that a process starts ends with that process then.

The output of a process is in process.out of its folder. When that has 10 MiB, or what -log-size says (K, M and G are units), its content becomes the old file process.out.1, and so on up to process.out.5, or what -log-files says; logs shows them in a row. BERTH_LOG_SIZE and BERTH_LOG_FILES in the environment of who starts the daemon mean the same. The process keeps writing to the same file. On ext4 and XFS no line is lost; on other file systems the file is emptied, and what is written at that instant is lost. The size is looked at once a second: who writes quickly gets beyond it.

The socket is for its owner and root, who may do everything. -socket-group opens it to the members of a group: -socket-role read lets them see, lease acquire leases and release their own, exec deploy and start and stop processes, admin everything. -socket-allow adds single users and groups: -socket-allow alice=exec,@ops=admin. Who they are is what the kernel says of the process that connects. A socket in the state folder is out of reach for others: name one elsewhere with BERTH_SOCKET.

With -listen HOST:PORT the daemon also answers over TCP, with TLS 1.3 only. Callers need a token there (see berth man token add), and set BERTH_URL=https://HOST:PORT. Whoever has a token with the role exec can run commands as the user of the daemon.

BERTH_SOCKET_GROUP, BERTH_SOCKET_ROLE, BERTH_SOCKET_ALLOW, BERTH_LISTEN, BERTH_TLS_CERT and BERTH_TLS_KEY in the environment of who starts the daemon mean the same.

An offer that was made by the calls of django-portmaster (/v1/services) runs out after 30 minutes, or what -offer-ttl says (90s, 10m, 2h), or BERTH_OFFER_TTL in the environment of who starts the daemon. It is for offers that are made from then on.

A state folder that was copied, or restored from a backup, is not the one that its processes were started for. While one of them runs it is refused, unless -adopt-copy says that the original is gone for good: the processes are taken over then. While none runs it is served as a folder of its own.`,
		examples: []example{
			{"serve", "run the daemon, as a service manager does"},
			{"serve -cgroups", "have kill reach children that left the process group, too"},
			{"serve -socket-group dev -socket-role lease", "let the members of the group dev lease ports"},
			{"serve -listen :8443 -tls-cert berth.crt -tls-key berth.key", "answer over the network to those who have a token"},
			{"serve -offer-ttl 10m", "have offers run out sooner"},
			{"serve -adopt-copy", "go on with a folder that was moved to another disk by copying"},
		},
	}
}

func (c *serveCommand) run(ctx context.Context, s *Shell) error {
	if s.prompting || s.stdin || s.depth > 0 {
		return &UsageError{Text: "the daemon is not run from the prompt or a script"}
	}
	if s.opts.Serve == nil {
		return errors.New("this program has no daemon in it")
	}
	return s.opts.Serve(ctx, ServeOptions{
		AdoptCopy: c.AdoptCopy, Cgroups: c.Cgroups, LogSize: (*int64)(c.LogSize), LogFiles: (*int64)(c.LogFiles),
		SocketGroup: c.SocketGroup, SocketRole: c.SocketRole, SocketAllow: c.SocketAllow,
		Listen: c.Listen, TLSCert: c.TLSCert, TLSKey: c.TLSKey, OfferTTL: time.Duration(c.OfferTTL),
	})
}

type stopCommand struct {
	What []string `arg:"" optional:"" verbatim:"" help:"nothing: processes are stopped with kill"`
}

func (stopCommand) page() page {
	return page{
		usage: []string{"berth stop"},
		long:  `Ends the daemon and waits until it is gone. Its processes go on, with their ports, and the next daemon takes them over. Processes are stopped with kill.`,
		examples: []example{
			{"stop", "end the daemon"},
		},
	}
}

func (c *stopCommand) run(ctx context.Context, s *Shell) error {
	if len(c.What) > 0 {
		return &UsageError{Text: "it ends the daemon and takes no argument; to stop processes: berth kill all, or berth kill -i ID"}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("it still runs after a minute"))
	defer cancel()
	return s.busy(ctx, "waiting for the daemon to end", func(ctx context.Context) error {
		d, err := s.client.StopDaemon(ctx)
		if err != nil {
			return err
		}
		s.out.printf("the daemon (pid %d) ended; %s\n", d.PID, goOn(d.Processes))
		return nil
	})
}

func goOn(processes int) string {
	switch processes {
	case 0:
		return "no process was running"
	case 1:
		return "1 process goes on"
	default:
		return fmt.Sprintf("%d processes go on", processes)
	}
}

type verCommand struct{}

func (verCommand) page() page {
	return page{
		long: `Shows the version of this program, and that of the daemon if one answers. It starts none.`,
		examples: []example{
			{"ver", "show versions"},
		},
	}
}

func (verCommand) run(ctx context.Context, s *Shell) error {
	s.out.printf("berth %s\n", s.opts.Version)
	d, err := s.client.Daemon(client.WithoutStart(ctx))
	switch {
	case errors.Is(err, client.ErrNoDaemon):
		s.out.printf("daemon: none answers on %s\n", s.client.Address())
	case err != nil:
		return err
	default:
		s.out.printf("daemon %s, pid %d, state in %s\n", d.Version, d.PID, d.Home)
	}
	return nil
}
