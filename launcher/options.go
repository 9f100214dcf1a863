package launcher

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	events "berth/event"
	"berth/launcher/cgroup"
	"berth/lease"
	"berth/store"
)

// Options are the settings of a Launcher.
type Options struct {
	// Store holds the records. It is required, and closed by the caller.
	Store store.Store

	// Leases is the manager of the ports, on the same store. Required.
	Leases *lease.Manager

	// Home is the state folder, absolute. Distributions are unpacked and
	// processes have their folders below it. Required.
	Home string

	// Socket is the daemon's socket; processes are told of it.
	Socket string

	// StateID tells the state folder from all others. Processes carry it.
	StateID string

	// Copied says that the records were copied from another state folder. Its
	// processes are not ours: none is adopted, signalled or started again.
	Copied bool

	// Lost says that the store has less than was acknowledged, and that nobody has
	// accepted that yet. Records of processes that still run are rebuilt then,
	// and folders without a record stay.
	Lost bool

	// Cgroups has each process live in a cgroup of its own, so that what it has
	// left can be killed with it. Nil: in the daemon's.
	Cgroups *cgroup.Parent

	// Settings has the properties that processes are given, and the tags of the
	// server. Nil: there are none.
	Settings Settings

	// Runner runs the commands that stand before a process. Nil: processes that
	// have some are not supported.
	Runner func(ctx context.Context, in PreExec) error

	// Host names this host in the keys of records. Default: "local".
	Host string

	// HostAddress and HostName are what processes are told of the host.
	// Default: its first address that is not loopback, or 127.0.0.1; its name.
	HostAddress, HostName string

	// ServerPort is the TCP port on which the daemon answers, which processes are
	// told. 0: none.
	ServerPort int

	// Environ is what processes inherit. Default: the environment of this process.
	Environ []string

	// JavaHome is the Java installation of starters that name none. Default:
	// JAVA_HOME of Environ, or that of the java on the PATH.
	JavaHome string

	// KeepEnded is how many processes that ended are remembered. Default: 100.
	KeepEnded int

	// LogLimit is how many bytes the output of a process has in its present file
	// before that is rotated, and LogFiles how many old files are kept. Default:
	// 10 MiB; 5. A LogLimit below 0 has outputs grow without limit, LogFiles below 0
	// keeps none.
	LogLimit int64
	LogFiles int

	// KillPause is how long a process that was forced has to be gone before it is
	// forced again. Default: 5 s.
	KillPause time.Duration

	// Now is the clock. Default: time.Now.
	Now func() time.Time

	// Events is told what happens to distributions and processes. Nil: nobody is.
	Events *events.Log

	// Logger is told what cannot be answered to anybody. Default: slog.Default().
	Logger *slog.Logger
}

func (o *Options) setDefaults() error {
	if o.Store == nil || o.Leases == nil || !filepath.IsAbs(o.Home) {
		return errors.New("a launcher needs a store, a lease manager and an absolute home")
	}
	if o.Host == "" {
		o.Host = "local"
	}
	if o.HostAddress == "" {
		o.HostAddress = hostAddress()
	}
	if o.HostName == "" {
		o.HostName, _ = os.Hostname()
	}
	if o.Environ == nil {
		o.Environ = os.Environ()
	}
	if o.JavaHome == "" {
		o.JavaHome = javaHome(o.Environ)
	}
	if o.KeepEnded == 0 {
		o.KeepEnded = 100
	}
	if o.LogLimit == 0 {
		o.LogLimit = 10 << 20
	}
	switch {
	case o.LogFiles == 0:
		o.LogFiles = 5
	case o.LogFiles < 0:
		o.LogFiles = 0
	}
	if o.KillPause == 0 {
		o.KillPause = 5 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return nil
}

// hostAddress is an IPv4 address at which others reach this host.
func hostAddress() string {
	addresses, _ := net.InterfaceAddrs()
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() && n.IP.To4() != nil {
			return n.IP.String()
		}
	}
	return "127.0.0.1"
}

// javaHome is the folder of the Java installation that the environment means.
func javaHome(environ []string) string {
	if home, ok := lookupEnv(environ, "JAVA_HOME"); ok && home != "" {
		return home
	}
	java, err := exec.LookPath("java")
	if err != nil {
		return ""
	}
	if java, err = filepath.EvalSymlinks(java); err != nil || filepath.Base(filepath.Dir(java)) != "bin" {
		return ""
	}
	return filepath.Dir(filepath.Dir(java))
}
