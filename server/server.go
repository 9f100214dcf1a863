package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"berth/access"
	"berth/audit"
	"berth/event"
	"berth/server/portmaster"
	"berth/store"
)

// noContext is for calls that take a context and do not wait.
var noContext = context.Background()

const (
	// headerTimeout is how long a client may take to send a request's header,
	// bodyTimeout how long it may stop while it sends the body.
	headerTimeout = 10 * time.Second
	bodyTimeout   = 30 * time.Second
	idleTimeout   = 5 * time.Minute

	maxHeaderBytes = 64 << 10

	// workGrace is how long starting and stopping processes may go on once
	// the server was asked to stop, before its waiting is cut short.
	workGrace = time.Second
)

// Options are what a Server works with. Leases, Processes, Settings,
// Keys and Home are needed.
type Options struct {
	// Leases and Processes are whom the handlers ask.
	Leases    Leases
	Processes Processes

	// Settings has properties and tags.
	Settings Settings

	// Store tells of its health; nil says that it cannot.
	Store store.Inspector

	// Kernel tells of the kernel's settings of ports; nil says nothing of them.
	Kernel Kernel

	// Keys keeps the idempotency keys, below idempotency/, and what is noted of
	// offers, below offers/. It is the store of Leases and Processes, who commit
	// both with their own records.
	Keys store.Store

	// Events has what happens; nil is a log of which nobody tells.
	Events *event.Log

	// Tokens are the tokens that callers may show; nil is none. Quotas say how
	// many leases owners may have; nil is no limit.
	Tokens *access.Tokens
	Quotas *access.Quotas

	// Audit is told of every change; nil is nobody.
	Audit *audit.Log

	// TokenPause is how long the answer to a token that is none takes, so that
	// nobody tries many; 0 means 200 ms, below 0 none.
	TokenPause time.Duration

	// OfferTTL is how long an offer of django-portmaster's calls can be accepted; 0
	// means half an hour. Now is the clock that the leases have; nil means time.Now.
	OfferTTL time.Duration
	Now      func() time.Time

	// Home is the state folder. Uploads are spooled into its folder "spool".
	Home string

	// Socket, Address (where it listens on TCP, empty for nowhere) and Version are
	// what GET /v1/daemon tells of the daemon.
	Socket  string
	Address string
	Version string

	// Stop asks the daemon to end. It is called once POST /v1/daemon/stop was
	// accepted, must not wait, and may be called more than once.
	Stop func()

	// MaxUpload is the most bytes of an uploaded distribution; 0 means 2 GiB.
	MaxUpload int64

	// MaxConnections is the most connections at a time; 0 means 1,024. One that
	// waits for its client makes way for a new one.
	MaxConnections int

	// Drain is how long requests may go on once the server was asked to stop;
	// 0 means 5 s. Streams end at once, waiting for processes a second later.
	Drain time.Duration

	// Logger takes what goes wrong inside; nil means slog.Default.
	Logger *slog.Logger
}

// Server answers the API. It is made by New and serves by Serve.
type Server struct {
	opts    Options
	log     *slog.Logger
	started time.Time
	handler http.Handler
	grants  map[string]grant // by the pattern of the route
	refused [2]refusals      // of who is not known, and of who is
	keys    *keys
	offers  *portmaster.Adapter
	conns   *connections

	// stopping is closed when the server is asked to stop: streams end, and
	// nothing new begins.
	stopping chan struct{}
	stopOnce sync.Once

	// lasting is the context of work that goes on when its client hangs up:
	// what was asked for is done or refused, never left half done by somebody's
	// going away. It ends a grace after stopping, and with it all waiting.
	lasting context.Context
	endWork context.CancelCauseFunc
}

// New returns a server for what opts name. It does not listen yet.
func New(opts Options) *Server {
	if opts.MaxUpload == 0 {
		opts.MaxUpload = 2 << 30
	}
	if opts.MaxConnections == 0 {
		opts.MaxConnections = defaultConnections
	}
	if opts.Drain == 0 {
		opts.Drain = 5 * time.Second
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	if opts.Events == nil {
		opts.Events = event.New(1, time.Now)
	}
	if opts.TokenPause == 0 {
		opts.TokenPause = tokenPause
	}
	if opts.Stop == nil {
		opts.Stop = func() {}
	}
	s := &Server{
		opts:     opts,
		log:      opts.Logger,
		started:  time.Now().UTC(),
		stopping: make(chan struct{}),
		grants:   make(map[string]grant),
	}
	s.lasting, s.endWork = context.WithCancelCause(noContext)
	s.keys = newKeys(opts.Keys, time.Now, s.log)
	s.offers = portmaster.New(s.portmaster())
	s.conns = &connections{most: opts.MaxConnections, open: make(map[net.Conn]int64)}
	s.handler = s.guard(strict(s.permit(s.routes())))
	return s
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Serve answers the connections of listeners until ctx ends or one of them fails.
// It then lets the requests that are under way end, within Options.Drain, and
// closes them. It returns nil after an end that was asked for. A Server serves once.
//
// Who connects is known by the connections of ListenShared; from other listeners
// only who shows a token is.
func (s *Server) Serve(ctx context.Context, listeners ...net.Listener) error {
	// Uploads that a daemon left when it was killed.
	if err := os.RemoveAll(s.spoolDir()); err != nil {
		return errors.Join(fmt.Errorf("clear the folder of uploads: %w", err), closeAll(listeners))
	}
	if err := errors.Join(s.keys.load(ctx), s.offers.Load(ctx)); err != nil {
		return errors.Join(err, closeAll(listeners))
	}
	sweepCtx, endSweep := context.WithCancel(ctx)
	var sweeper sync.WaitGroup
	sweeper.Go(func() { s.keys.run(sweepCtx) })
	sweeper.Go(func() { s.offers.Run(sweepCtx) })
	defer sweeper.Wait()
	defer endSweep()
	srv := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		ConnState:         s.conns.changed,
		ConnContext:       s.connected,
		MaxHeaderBytes:    maxHeaderBytes,
		// OPTIONS * is answered as all that no route takes.
		DisableGeneralOptionsHandler: true,

		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	stopped := make(chan error, 1)
	served := make(chan struct{})
	go func() {
		select {
		case <-ctx.Done():
		case <-served:
		}
		s.stopOnce.Do(func() { close(s.stopping) })
		grace := time.AfterFunc(min(workGrace, s.opts.Drain/2), func() { s.endWork(errStopping) })
		defer grace.Stop()
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.Drain)
		defer cancel()
		err := errors.Join(srv.Shutdown(limit), s.conns.drain(limit))
		if errors.Is(err, context.DeadlineExceeded) {
			s.log.Warn("requests were cut off at the end of the daemon", "after", s.opts.Drain)
			err = srv.Close()
		}
		s.endWork(errStopping)
		stopped <- err
	}()
	ended := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { ended <- srv.Serve(leanListener{l, s}) }()
	}
	err := <-ended
	close(served)
	stopErr := <-stopped
	for range len(listeners) - 1 {
		<-ended
	}
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return errors.Join(err, stopErr)
}

func closeAll(listeners []net.Listener) (err error) {
	for _, l := range listeners {
		err = errors.Join(err, l.Close())
	}
	return err
}

// guard stands before every handler: no panic gets past it, a body comes in
// without stopping for long, and nothing new begins once the server is
// stopping.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := &recorder{ResponseWriter: w}
		defer func() {
			// Only who went away, or was cut off, has no answer.
			if !rec.wrote {
				rec.tell(statusHungUp)
			}
		}()
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p == http.ErrAbortHandler {
				panic(p)
			}
			if err, ok := p.(error); ok && (errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, net.ErrClosed)) {
				// huma panics where it cannot write to a client that has gone away.
				panic(http.ErrAbortHandler)
			}
			s.log.Error("a request panicked", "method", r.Method, "path", r.Pattern, "panic", p, "stack", string(debug.Stack()))
			if rec.wrote {
				panic(http.ErrAbortHandler)
			}
			writeProblem(rec, problemOf(errPanic))
		}()
		select {
		case <-s.stopping:
			writeProblem(rec, problemOf(errStopping))
			return
		default:
		}
		if r.ContentLength != 0 {
			conn, _ := r.Context().Value(connectionKey{}).(net.Conn)
			r.Body = &timedBody{
				ReadCloser: r.Body, control: http.NewResponseController(w),
				short: 0 < r.ContentLength && r.ContentLength <= maxRanges,
				waits: func() { s.conns.waits(conn) }, works: func() { s.conns.works(conn) },
			}
		}
		next.ServeHTTP(rec, r)
	})
}

// recorder remembers whether anything of the response was sent.
type recorder struct {
	http.ResponseWriter
	wrote bool

	// before is called once, before a status is sent; nil is not.
	before func(status int)
}

func (r *recorder) WriteHeader(status int) {
	r.tell(status)
	r.wrote = true
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	r.tell(http.StatusOK)
	r.wrote = true
	return r.ResponseWriter.Write(p)
}

func (r *recorder) tell(status int) {
	if before := r.before; before != nil {
		r.before = nil
		before(status)
	}
}

// Unwrap lets http.ResponseController find the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
