package server_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"berth/access"
	"berth/api"
	"berth/internal/require"
	"berth/launcher"
	"berth/lease"
	"berth/server"
	"berth/store/storetest"
)

// needs are the roles that the operations need, as an administrator is told of
// them in docs/access.md. An operation that is new belongs here too.
var needs = map[string]access.Role{
	"get-daemon": access.Read, "get-health": access.Read, "get-document": access.Read, "get-whoami": access.Read,
	"list-ranges": access.Read, "get-port": access.Read, "list-leases": access.Read, "list-distributions": access.Read, "list-processes": access.Read,
	"get-process": access.Read, "get-process-info": access.Read, "get-output": access.Read, "stream-events": access.Read,
	"diagnose-processes": access.Read, "list-properties": access.Read, "list-tags": access.Read, "list-execs": access.Read,

	"acquire-leases": access.Lease, "renew-lease": access.Lease, "release-lease": access.Lease, "release-leases": access.Lease,

	"deploy-distribution": access.Exec, "undeploy-distributions": access.Exec, "deploy-archive": access.Exec,
	"exec-processes": access.Exec, "kill-processes": access.Exec, "restart-processes": access.Exec, "reload-processes": access.Exec,
	"deploy-exec": access.Exec, "undeploy-execs": access.Exec, "enable-execs": access.Exec,

	"list-quotas": access.Read, "set-quota": access.Admin, "delete-quota": access.Admin,

	"stop-daemon": access.Admin, "accept-damage": access.Admin, "fix-kernel": access.Admin,
	"add-ranges": access.Admin, "update-range": access.Admin, "delete-ranges": access.Admin, "archive-ranges": access.Admin, "restore-ranges": access.Admin,
	"export-properties": access.Admin, "add-properties": access.Admin, "delete-properties": access.Admin,
	"add-tags": access.Admin, "delete-tags": access.Admin, "rename-tags": access.Admin,
	"archive-settings": access.Admin, "restore-settings": access.Admin, "archive": access.Admin, "restore": access.Admin,
	"list-tokens": access.Admin, "add-token": access.Admin, "delete-tokens": access.Admin,
	"list-audit": access.Admin, "follow-audit": access.Admin,
}

// call is a request of an operation, and its answer.
type call struct {
	Operation string
	Method    string
	Path      string

	Status    int
	Code      api.Code
	Challenge string // the header field WWW-Authenticate
	Err       string // why there is no answer
}

// operations are calls of all operations of the server's own document, which
// has to say who may do each.
func operations(t *testing.T, r *rig) []call {
	t.Helper()
	status, text := r.do(t, "GET", "/v1/openapi.json", "")
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string `json:"operationId"`
			Role        string `json:"x-role"`
			Security    []map[string][]string
			Responses   map[string]any
		}
		Components struct {
			SecuritySchemes map[string]struct{ Type, Scheme string }
		}
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil || status != 200 {
		t.Fatalf("%d %v", status, err)
	}
	if s := doc.Components.SecuritySchemes["token"]; s.Type != "http" || s.Scheme != "bearer" {
		t.Errorf("the document says %+v of tokens", doc.Components.SecuritySchemes)
	}
	var calls []call
	for path, methods := range doc.Paths {
		for method, op := range methods {
			c := call{Operation: op.OperationID, Method: strings.ToUpper(method), Path: path}
			for strings.Contains(c.Path, "{") { // nothing is called none
				before, rest, _ := strings.Cut(c.Path, "{")
				_, after, _ := strings.Cut(rest, "}")
				c.Path = before + "9999" + after
			}
			if c.Operation == "stream-events" {
				c.Path += "?follow=false"
			}
			calls = append(calls, c)
			need, ok := needs[op.OperationID]
			if !ok {
				t.Errorf("operation %s is new: say in the table above what role it needs, and in docs/access.md", op.OperationID)
			}
			if op.Role != need.String() {
				t.Errorf("operation %s: the document says role %q, not %v", op.OperationID, op.Role, need)
			}
			if len(op.Security) == 0 || op.Responses["401"] == nil || op.Responses["403"] == nil {
				t.Errorf("operation %s: the document does not say how it is refused: %v %v", op.OperationID, op.Security, op.Responses)
			}
		}
	}
	if len(calls) != len(needs) {
		t.Errorf("%d operations were found, %d are in the table", len(calls), len(needs))
	}
	calls = append(calls, portmasterCalls()...)
	slices.SortFunc(calls, func(a, b call) int { return strings.Compare(a.Operation, b.Operation) })
	return calls
}

// ask sends calls, all by one client, and notes what was answered.
func ask(c *http.Client, base, token string, calls []call) []call {
	out := slices.Clone(calls)
	for i := range out {
		one := &out[i]
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		req, err := http.NewRequestWithContext(ctx, one.Method, base+one.Path, nil)
		if err == nil {
			if token != "" {
				req.Header.Set("Authorization", "Bearer "+token)
			}
			var resp *http.Response
			if resp, err = c.Do(req); err == nil {
				one.Status, one.Challenge = resp.StatusCode, resp.Header.Get("WWW-Authenticate")
				if resp.StatusCode >= 400 {
					text, _ := io.ReadAll(resp.Body)
					var p api.Error
					if json.Unmarshal(text, &p) == nil {
						one.Code = p.Code
					} else {
						one.Err = strings.TrimSpace(string(text))
					}
				}
				resp.Body.Close()
			}
		}
		if err != nil {
			one.Err = err.Error()
		}
		cancel()
	}
	return out
}

// identity is who a child of the test is.
type identity struct {
	uid, gid int
	groups   []uint32
}

// asked is what a child of the test is told.
type asked struct {
	Socket, Token string
	Calls         []call
}

const askVariable = "BERTH_TEST_ASK"

// TestMain makes this test's binary a client that can be run as another user.
func TestMain(m *testing.M) {
	if os.Getenv(askVariable) == "" {
		os.Exit(m.Run())
	}
	var in asked
	if err := json.NewDecoder(bufio.NewReader(os.Stdin)).Decode(&in); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(ask(unixClient(in.Socket), "http://berth", in.Token, in.Calls)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// askAs sends calls as another user, by a process of that user.
func askAs(t *testing.T, id identity, socket, token string, calls []call) []call {
	t.Helper()
	in, err := json.Marshal(asked{socket, token, calls})
	if err != nil {
		t.Fatal(err)
	}
	// By its own path the program may be in a folder that is closed to others.
	cmd := exec.Command("/proc/self/exe")
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), askVariable+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(id.uid), Gid: uint32(id.gid), Groups: id.groups}}
	var errOut bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), &errOut
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("as user %d: %v %s", id.uid, err, errOut.String())
	}
	var out []call
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// openDir is a folder that other users get into.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "berth")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

const (
	memberGID = 61000 // of the group that the socket is opened to
	allowed   = 61003 // a user with a role of its own
)

// accessRig is a rig whose socket is shared, and that listens on TCP too.
type accessRig struct {
	*rig
	tokens  *access.Tokens
	secrets map[string]string
	ca      *authority
	url     string
	stops   atomic.Int32
	later   atomic.Int64 // how far the clock of the tokens has gone ahead, as a time.Duration
}

func newAccessRig(t *testing.T) *accessRig {
	t.Helper()
	a := &accessRig{secrets: make(map[string]string), ca: newAuthority(t)}
	cert, key := a.ca.issue(t, t.TempDir(), time.Hour)
	tcp, err := server.ListenTLS("127.0.0.1:0", cert, key, quiet)
	if err != nil {
		t.Fatal(err)
	}
	a.url = "https://" + tcp.Addr().String()
	a.rig = newRigOn(t, []net.Listener{tcp}, func(socket *shared) {
		socket.path = filepath.Join(openDir(t), "b.sock")
		socket.group = memberGID
		socket.peers = access.Peers{
			Owner: os.Geteuid(), Users: map[int]access.Role{allowed: access.Exec},
			Groups: map[int]access.Role{memberGID: access.Lease},
		}
	}, func(o *server.Options) {
		if o.Tokens, err = access.OpenTokens(t.Context(), o.Keys, func() time.Time { return time.Now().Add(time.Duration(a.later.Load())) }, quiet); err != nil {
			t.Fatal(err)
		}
		a.tokens = o.Tokens
		o.TokenPause = -1
		o.Stop = func() { a.stops.Add(1) }
	})
	now := time.Now()
	for _, name := range []string{"read", "lease", "exec", "admin", "revoked", "expired"} {
		add := access.Token{Name: name, Role: access.Admin}
		if role, err := access.ParseRole(name); err == nil {
			add.Role = role
		}
		if name == "expired" {
			add.Created, add.Expires = now, now.Add(time.Hour)
		}
		_, secret, err := a.tokens.Add(t.Context(), add)
		if err != nil {
			t.Fatal(err)
		}
		a.secrets[name] = secret
	}
	if _, err := a.tokens.Delete(t.Context(), func(name string) bool { return name == "revoked" }); err != nil {
		t.Fatal(err)
	}
	if _, err := a.tokens.Find(a.secrets["expired"]); err != nil {
		t.Fatal(err)
	}
	a.later.Store(int64(2 * time.Hour))
	return a
}

// Each kind of caller asks for each operation: who may is never told that it may
// not, and who may not is, with a code that says why. Nothing of what was refused
// is done.
func TestAccessMatrix(t *testing.T) {
	require.Root(t) // for processes of other users
	a := newAccessRig(t)
	a.processes.processes = []launcher.Process{newProcess(1)}
	var acquired atomic.Int32
	a.leases.acquire = func(context.Context, []lease.Request) ([]lease.Lease, error) {
		acquired.Add(1)
		return nil, lease.ErrRangeFull
	}
	calls := operations(t, a.rig)

	trusting := a.ca.client("127.0.0.1")
	other := newAuthority(t).client("127.0.0.1")
	misnamed := a.ca.client("elsewhere.test")
	remote := func(c *http.Client, base, token string) func(*testing.T) []call {
		return func(*testing.T) []call { return ask(c, base, token, calls) }
	}
	local := func(id identity, token string) func(*testing.T) []call {
		return func(t *testing.T) []call { return askAs(t, id, a.socket, token, calls) }
	}
	const unanswered = -1
	plain := "http" + strings.TrimPrefix(a.url, "https")
	for _, caller := range []struct {
		name string
		role access.Role
		code api.Code // of what it may not; empty: as its role has it
		ask  func(*testing.T) []call
		err  string // what stands where there is no answer
	}{
		{name: "the owner", role: access.Admin, ask: local(identity{uid: os.Geteuid()}, "")},
		{name: "a member of the group", role: access.Lease, ask: local(identity{uid: 61001, gid: memberGID}, "")},
		{name: "a member of the group besides others", role: access.Lease, ask: local(identity{uid: 61002, gid: 61009, groups: []uint32{61008, memberGID}}, "")},
		{name: "a user with a role", role: access.Exec, ask: local(identity{uid: allowed, gid: 61009}, "")},
		{name: "another user", role: access.None, code: api.CodeForbidden, ask: local(identity{uid: 61004, gid: 61009}, "")},
		{name: "another user with a token", role: access.Lease, ask: local(identity{uid: 61004, gid: 61009}, a.secrets["lease"])},
		{name: "the owner with a token that may less", role: access.Read, ask: local(identity{uid: os.Geteuid()}, a.secrets["read"])},
		{name: "the owner with a revoked token", role: access.None, code: api.CodeUnauthenticated, ask: local(identity{uid: os.Geteuid()}, a.secrets["revoked"])},
		{name: "token read", role: access.Read, ask: remote(trusting, a.url, a.secrets["read"])},
		{name: "token lease", role: access.Lease, ask: remote(trusting, a.url, a.secrets["lease"])},
		{name: "token exec", role: access.Exec, ask: remote(trusting, a.url, a.secrets["exec"])},
		{name: "token admin", role: access.Admin, ask: remote(trusting, a.url, a.secrets["admin"])},
		{name: "a revoked token", role: access.None, code: api.CodeUnauthenticated, ask: remote(trusting, a.url, a.secrets["revoked"])},
		{name: "an expired token", role: access.None, code: api.CodeUnauthenticated, ask: remote(trusting, a.url, a.secrets["expired"])},
		{name: "a made-up token", role: access.None, code: api.CodeUnauthenticated, ask: remote(trusting, a.url, "berth_"+strings.Repeat("A", 43))},
		{name: "no token", role: access.None, code: api.CodeUnauthenticated, ask: remote(trusting, a.url, "")},
		{name: "a certificate of somebody else", role: unanswered, err: "certificate signed by unknown authority", ask: remote(other, a.url, a.secrets["admin"])},
		{name: "a certificate of another host", role: unanswered, err: "elsewhere.test", ask: remote(misnamed, a.url, a.secrets["admin"])},
		{name: "plain HTTP", role: unanswered, code: api.CodeInvalid, ask: remote(http.DefaultClient, plain, a.secrets["admin"])},
	} {
		t.Run(caller.name, func(t *testing.T) {
			stops, leased := a.stops.Load(), acquired.Load()
			for _, got := range caller.ask(t) {
				need, ok := needs[got.Operation]
				if !ok {
					need = portmasterNeeds[got.Operation]
				}
				refused := got.Status == 401 || got.Status == 403
				switch {
				case caller.role == unanswered:
					if got.Code != caller.code || !strings.Contains(got.Err, caller.err) || (caller.code != "") != (got.Status == 400) {
						t.Errorf("%s: %+v, want no answer but %q %s", got.Operation, got, caller.err, caller.code)
					}
				case got.Err != "":
					t.Errorf("%s: %s", got.Operation, got.Err)
				case caller.role.Allows(need) && caller.role != access.None:
					if refused || got.Status >= 500 && got.Status != 501 {
						t.Errorf("%s needs %v, and was answered %d %s", got.Operation, need, got.Status, got.Code)
					}
				default:
					status, code := 403, api.CodeForbidden
					if caller.code == api.CodeUnauthenticated {
						status, code = 401, caller.code
					}
					if got.Status != status || got.Code != code || !strings.HasPrefix(got.Challenge, "Bearer ") {
						t.Errorf("%s needs %v, and was answered %d %s (%s), want %d %s", got.Operation, need, got.Status, got.Code, got.Challenge, status, code)
					}
				}
			}
			if caller.role < access.Admin && a.stops.Load() != stops {
				t.Error("the daemon was stopped")
			}
			if caller.role < access.Lease && acquired.Load() != leased {
				t.Error("something was leased")
			}
		})
	}
	if a.stops.Load() != 2 {
		t.Errorf("the daemon was stopped %d times, by the owner and the token admin", a.stops.Load())
	}
	for _, secret := range a.secrets {
		if strings.Contains(a.log.String(), secret[6:]) {
			t.Error("a token is in the log")
		}
	}
}

// A socket that is the owner's, or a group's, is out of reach for others.
func TestSocketModes(t *testing.T) {
	require.Root(t)
	me := access.Peers{Owner: os.Geteuid()}
	grouped := access.Peers{Owner: os.Geteuid(), Groups: map[int]access.Role{memberGID: access.Read}}
	calls := []call{{Operation: "get-daemon", Method: "GET", Path: "/v1/daemon"}, {Operation: "acquire-leases", Method: "POST", Path: "/v1/leases"}}
	for _, tt := range []struct {
		name  string
		peers access.Peers
		group int
		mode  os.FileMode
		as    identity
		want  string
	}{
		{"the owner's", me, -1, 0o600, identity{uid: 61001, gid: memberGID}, "connect: permission denied"},
		{"the owner's, for the owner", me, -1, 0o600, identity{}, "200 400"},
		{"a group's, for another", grouped, memberGID, 0o660, identity{uid: 61004, gid: 61009}, "connect: permission denied"},
		{"a group's, for a member", grouped, memberGID, 0o660, identity{uid: 61001, gid: memberGID}, "200 403"},
		{"a group's, for a further member", grouped, memberGID, 0o660, identity{uid: 61001, gid: 61009, groups: []uint32{memberGID}}, "200 403"},
		{"a group's, for a member of many", grouped, memberGID, 0o660, identity{uid: 61001, gid: 61009, groups: manyGroups()}, "200 403"},
		{"a group's, for the owner", grouped, memberGID, 0o660, identity{}, "200 400"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRigOn(t, nil, func(s *shared) {
				s.path, s.peers, s.group = filepath.Join(openDir(t), "b.sock"), tt.peers, tt.group
			})
			info, err := os.Stat(r.socket)
			if err != nil || info.Mode().Perm() != tt.mode {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
			var got []string
			for _, c := range askAs(t, tt.as, r.socket, "", calls) {
				if c.Err != "" {
					if !strings.Contains(c.Err, tt.want) {
						t.Errorf("%s: %s", c.Operation, c.Err)
					}
					continue
				}
				got = append(got, fmt.Sprint(c.Status))
			}
			if len(got) > 0 && strings.Join(got, " ") != tt.want {
				t.Errorf("answered %v, want %s", got, tt.want)
			}
		})
	}
}

// manyGroups are more groups than are asked of the kernel at first.
func manyGroups() []uint32 {
	var groups []uint32
	for n := range uint32(100) {
		groups = append(groups, 62000+n)
	}
	return append(groups, memberGID)
}

// A socket that is shared is of no use where others do not get to it: a folder
// of its own is opened for passing through, others are left alone.
func TestSharedFolders(t *testing.T) {
	peers := access.Peers{Owner: os.Geteuid(), Users: map[int]access.Role{allowed: access.Read}}
	own := filepath.Join(openDir(t), "run")
	for range 2 { // the second daemon finds the folder of the first
		l, err := server.ListenShared(filepath.Join(own, "b.sock"), peers, -1)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(own); err != nil || info.Mode().Perm() != 0o711 {
			t.Errorf("%v %v", info.Mode(), err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	private := filepath.Join(openDir(t), "private")
	if err := os.Mkdir(private, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(private, "letter"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := server.ListenShared(filepath.Join(private, "b.sock"), peers, -1)
	if !errors.Is(err, server.ErrSocketPath) || !strings.Contains(err.Error(), private) {
		t.Errorf("a private folder: %v", err)
	}
	if info, err := os.Stat(private); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if _, err := os.Lstat(filepath.Join(private, "b.sock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}

// A stream that was opened with a token ends with it.
func TestRevokedStreamEnds(t *testing.T) {
	a := newAccessRig(t)
	for _, path := range []string{"/v1/events", "/v1/audit/stream"} {
		added, secret, err := a.tokens.Add(t.Context(), access.Token{Name: "watcher", Role: access.Admin})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		req, _ := http.NewRequestWithContext(ctx, "GET", a.url+path, nil)
		req.Header.Set("Authorization", "bearer  "+secret) // RFC 9110: the scheme in any case
		resp, err := a.ca.client("127.0.0.1").Do(req)
		if err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, err)
		}
		if _, err := a.tokens.Delete(t.Context(), func(name string) bool { return name == added.Name }); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || ctx.Err() != nil { // it comes to its end
			t.Errorf("%s goes on: %v, %v", path, err, ctx.Err())
		}
		resp.Body.Close()
	}
}

// A stream ends when the time of its token is over.
func TestExpiredStreamEnds(t *testing.T) {
	a := newAccessRig(t)
	a.later.Store(0)
	_, secret, err := a.tokens.Add(t.Context(), access.Token{Name: "brief", Role: access.Read, Expires: time.Now().Add(time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, "GET", a.url+"/v1/events", nil)
	req.Header.Set("Authorization", "Bearer "+secret)
	resp, err := a.ca.client("127.0.0.1").Do(req)
	if err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || ctx.Err() != nil {
		t.Errorf("it goes on: %v, %v", err, ctx.Err())
	}
}

// A route of which nobody has said who may ask is for admins, and one that is not
// there for everybody who may anything.
func TestUndeclaredRoutes(t *testing.T) {
	s := server.New(server.Options{Leases: &fakeLeases{}, Processes: &fakeProcesses{}, Keys: storetest.NewMemory(), Home: t.TempDir(), Logger: quiet})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /forgotten", func(http.ResponseWriter, *http.Request) {})
	for role, want := range map[access.Role]int{access.None: 403, access.Read: 403, access.Exec: 403, access.Admin: 200} {
		w := httptest.NewRecorder()
		ctx := access.With(t.Context(), access.Caller{Known: true, Role: role})
		s.Permit(mux).ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/forgotten", nil))
		if w.Code != want {
			t.Errorf("role %v: %d, want %d", role, w.Code, want)
		}
	}
	w := httptest.NewRecorder()
	s.Permit(mux).ServeHTTP(w, httptest.NewRequest("GET", "/forgotten", nil))
	if w.Code != 401 {
		t.Errorf("nobody: %d", w.Code)
	}
}

// What else may be shown than a token is refused, and what is wrong is said.
func TestAuthorizationField(t *testing.T) {
	r := newRig(t)
	for field, want := range map[string]string{
		"Basic cm9vdDpyb290": "Bearer TOKEN", "Bearer": "not known here", "Bearer ": "not known here", "berth_x": "Bearer TOKEN",
		"Bearer " + strings.Repeat("x", 5000): "not known here",
	} {
		req, _ := http.NewRequest("GET", "http://berth/v1/daemon", nil)
		req.Header.Set("Authorization", field)
		resp, err := r.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 401 || !strings.Contains(string(text), want) || resp.Header.Get("WWW-Authenticate") != `Bearer realm="berth", error="invalid_token"` {
			t.Errorf("%.40q: %d %s %v", field, resp.StatusCode, text, resp.Header)
		}
	}
}

// Who connects in no way that is known may nothing, also where the handler is
// asked without a connection.
func TestNobodyMayNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := newRigOn(t, []net.Listener{l}, nil)
	for _, path := range []string{"/v1/daemon", "/v1/nothing", "/", "/openapi.json", "/v1/openapi.json"} {
		resp, err := http.Get("http://" + l.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 401 {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
	if status, _ := r.do(t, "GET", "/v1/daemon", ""); status != 200 {
		t.Errorf("the owner: %d", status)
	}
}

// A refused upload does not hang, and is not read.
func TestRefusedUpload(t *testing.T) {
	a := newAccessRig(t)
	body := &endless{}
	req, _ := http.NewRequest("POST", a.url+"/v1/distributions?filename=x.zip", body)
	resp, err := a.ca.client("127.0.0.1").Do(req)
	if err != nil {
		// The connection was closed while it was sent, before the answer was read.
		if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			t.Fatal(err)
		}
	} else {
		resp.Body.Close()
		if resp.StatusCode != 401 {
			t.Errorf("%d", resp.StatusCode)
		}
	}
	if n := body.n.Load(); n > 64<<20 {
		t.Errorf("%d bytes were taken", n)
	}
}

type endless struct{ n atomic.Int64 }

func (e *endless) Read(p []byte) (int, error) {
	e.n.Add(int64(len(p)))
	return len(p), nil
}

// asOwner is the context of a request of the owner's, for handlers that are
// asked without a connection.
var asOwner = access.With(context.Background(), access.Caller{Known: true, Role: access.Admin})

// withToken is a client on the socket that shows a token.
type withToken struct {
	next  http.RoundTripper
	token string
}

func (w withToken) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+w.token)
	return w.next.RoundTrip(r)
}

// as is the rig for who has a token that is made now.
func (r *rig) as(t *testing.T, tokens *access.Tokens, add access.Token) *rig {
	t.Helper()
	_, secret, err := tokens.Add(t.Context(), add)
	if err != nil {
		t.Fatal(err)
	}
	other := *r
	other.client = &http.Client{Transport: withToken{r.client.Transport, secret}}
	return &other
}

// Nobody is told by a key what another caller's request led to.
func TestKeysAreNotShared(t *testing.T) {
	var tokens *access.Tokens
	r, _ := leasing(t, storetest.NewMemory(), func(o *server.Options) { tokens = o.Tokens })
	web := r.as(t, tokens, access.Token{Name: "web", Role: access.Lease})
	again := r.as(t, tokens, access.Token{Name: "web-2", Role: access.Lease, Owner: "web"})
	db := r.as(t, tokens, access.Token{Name: "db", Role: access.Lease})
	admin := r.as(t, tokens, access.Token{Name: "boss", Role: access.Admin})
	seen := map[string]string{}
	for _, tt := range []struct {
		name string
		r    *rig
		new  bool
	}{{"the owner", r, true}, {"web", web, true}, {"db", db, true}, {"web again", again, false}, {"an admin", admin, false}, {"db again", db, false}} {
		status, body := tt.r.post(t, `"the same"`, "/v1/leases", `{"ranges":["http"]}`)
		if _, ok := seen[body]; status != 201 || ok == tt.new {
			t.Errorf("%s: %d %s, which was the answer of %q", tt.name, status, body, seen[body])
		}
		seen[body] = tt.name
	}
}
