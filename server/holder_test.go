package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"berth/access"
	"berth/api"
	"berth/internal/require"
	"berth/lease"
	"berth/proc"
	"berth/server"
)

// me is whose leases are that this user acquires.
func me(t *testing.T) string {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return u.Username
}

// nobody is a user with no rights.
const nobody = 65534

// What a request says of its holder is what the manager is asked for.
func TestHolders(t *testing.T) {
	r := newRig(t)
	var asked []lease.Request
	r.leases.acquire = func(_ context.Context, requests []lease.Request) ([]lease.Lease, error) {
		asked = requests
		return nil, nil
	}
	own, err := proc.Identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	namespace, err := proc.OwnNamespace()
	if err != nil {
		t.Fatal(err)
	}
	manual := lease.Holder{Kind: lease.Manual, Owner: me(t)}
	process := lease.Holder{Kind: lease.Process, Owner: me(t), Name: proc.Name(os.Getpid()), Identity: lease.Identity{Identity: own, Namespace: namespace}}
	for _, tt := range []struct {
		name, body string
		want       []lease.Request
	}{
		{"nothing said", `{"ranges":["a"]}`, []lease.Request{{Range: "a", Keep: true, Holder: manual}}},
		{"manual", `{"ranges":["a"],"holder":{"kind":"manual","name":"x"},"owner":"o"}`,
			[]lease.Request{{Range: "a", Holder: lease.Holder{Kind: lease.Manual, Name: "x", Owner: "o"}}}},
		{"an owner's, kept", `{"ranges":["a"],"owner":"o","keep":true}`, []lease.Request{{Range: "a", Keep: true, Holder: lease.Holder{Kind: lease.Manual, Owner: "o"}}}},
		{"a session", `{"ranges":["a"],"holder":{"kind":"session","ttl":"90s"}}`,
			[]lease.Request{{Range: "a", Keep: true, Holder: lease.Holder{Kind: lease.Session, Owner: me(t), TTL: 90 * time.Second}}}},
		{"a process", fmt.Sprintf(`{"ranges":["a"],"holder":{"kind":"process","pid":%d}}`, os.Getpid()), []lease.Request{{Range: "a", Keep: true, Holder: process}}},
		{"ports", `{"ranges":["a"],"ports":[{"range":"b","count":3,"protocol":"udp"},{"port":80},{"min":1,"max":9,"prefer":4},{"system":true}]}`, []lease.Request{
			{Range: "a", Keep: true, Holder: manual},
			{Range: "b", Count: 3, Protocol: lease.UDP, Keep: true, Holder: manual},
			{Port: 80, Keep: true, Holder: manual},
			{Min: 1, Max: 9, Prefer: 4, Keep: true, Holder: manual},
			{System: true, Keep: true, Holder: manual},
		}},
	} {
		if status, body := r.do(t, "POST", "/v1/leases", tt.body); status != 201 {
			t.Errorf("%s: %d %s", tt.name, status, body)
		} else if fmt.Sprintf("%+v", asked) != fmt.Sprintf("%+v", tt.want) {
			t.Errorf("%s: asked for\n%+v, want\n%+v", tt.name, asked, tt.want)
		}
	}

	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	asked = nil
	for _, tt := range []struct {
		name, holder string
		code         api.Code
	}{
		{"another kind", `{"kind":"ghost"}`, api.CodeInvalid},
		{"a process without a pid", `{"kind":"process"}`, api.CodeInvalid},
		{"a pid without a process", `{"pid":1}`, api.CodeInvalid},
		{"a pid below 0", `{"kind":"process","pid":-1}`, api.CodeInvalid},
		{"a session without a time", `{"kind":"session"}`, api.CodeInvalid},
		{"a time without a session", `{"ttl":"1s"}`, api.CodeInvalid},
		{"no time", `{"kind":"session","ttl":"long"}`, api.CodeInvalid},
		{"too short a time", `{"kind":"session","ttl":"1ms"}`, api.CodeInvalid},
		{"too long a time", `{"kind":"session","ttl":"100000h"}`, api.CodeInvalid},
		{"a process that has ended", fmt.Sprintf(`{"kind":"process","pid":%d}`, gone.Process.Pid), api.CodeHolderRefused},
		{"a process that never was", `{"kind":"process","pid":2147483647}`, api.CodeHolderRefused},
	} {
		if p := r.problem(t, "POST", "/v1/leases", `{"ranges":["a"],"holder":`+tt.holder+`}`); !errors.Is(&p, tt.code) || p.Status >= 500 {
			t.Errorf("%s: %+v, want %s", tt.name, p, tt.code)
		}
	}
	if asked != nil {
		t.Errorf("what was refused asked for %+v", asked)
	}
}

func TestRenew(t *testing.T) {
	r := newRig(t)
	r.leases.renew = func(id lease.ID, generation int64, ttl time.Duration) (lease.Lease, error) {
		if id != "a1" {
			return lease.Lease{}, lease.ErrLeaseNotFound
		}
		if generation > 1 {
			return lease.Lease{}, lease.ErrLeaseChanged
		}
		return lease.Lease{ID: id, Generation: 2, Port: 8080, Protocol: lease.TCP, Since: began,
			Holder: lease.Holder{Kind: lease.Session, TTL: ttl, Expires: began.Add(ttl)}}, nil
	}
	const want = `{"id":"a1","generation":2,"range":"","protocol":"tcp","port":8080,"holder":"session holder","kind":"session","expiresAt":"2026-01-02T03:04:35Z","since":"2026-01-02T03:04:05Z"}`
	if status, body := r.do(t, "POST", "/v1/leases/a1/renew", `{"ttl":"30s","generation":1}`); status != 200 || body != want {
		t.Errorf("%d %s", status, body)
	}
	for body, code := range map[string]api.Code{`{"generation":2}`: api.CodeLeaseChanged, `{"ttl":"x"}`: api.CodeInvalid, `{"generation":-1}`: api.CodeInvalid} {
		if p := r.problem(t, "POST", "/v1/leases/a1/renew", body); !errors.Is(&p, code) {
			t.Errorf("%s: %+v, want %s", body, p, code)
		}
	}
	if p := r.problem(t, "POST", "/v1/leases/a2/renew", `{}`); !errors.Is(&p, api.CodeLeaseNotFound) {
		t.Errorf("what is not there: %+v", p)
	}
}

// Leases are listed by what they are.
func TestLeaseFilters(t *testing.T) {
	r := newRig(t)
	r.leases.leases = []lease.Lease{
		{ID: "1", Range: "http", Protocol: lease.TCP, Port: 80, Holder: lease.Holder{Kind: lease.Manual, Owner: "web"}},
		{ID: "2", Range: "media", Protocol: lease.UDP, Port: 80, Holder: lease.Holder{Kind: lease.Session, Owner: "turn1"}},
		{ID: "3", Protocol: lease.TCP, Port: 90, Holder: lease.Holder{Kind: lease.Process, Identity: lease.Identity{Identity: proc.Identity{PID: 7}}}},
	}
	for query, want := range map[string]string{
		"": "123", "range=http": "1", "range=*": "123", "range=m*": "2", "owner=t*": "2", "owner=none": "", "kind=manual": "1", "protocol=tcp": "13",
		"port=80": "12", "port=80&protocol=tcp": "1", "pid=7": "3", "owner=web&kind=session": "",
	} {
		_, body := r.do(t, "GET", "/v1/leases?"+query, "")
		got := ""
		for _, id := range []string{"1", "2", "3"} {
			if strings.Contains(body, `"id":"`+id+`"`) {
				got += id
			}
		}
		if got != want {
			t.Errorf("%s: %q, want %q: %s", query, got, want, body)
		}
	}
}

// A process holds for its own user's callers only; root's is nobody's.
func TestHolderOfAnotherUser(t *testing.T) {
	require.Root(t)
	socket := ""
	var mu sync.Mutex
	var asked []lease.Request
	newRigOn(t, nil, func(s *shared) {
		s.path = filepath.Join(openDir(t), "b.sock")
		s.peers.Users = map[int]access.Role{nobody: access.Lease}
		socket = s.path
	}, func(o *server.Options) {
		o.Leases.(*fakeLeases).acquire = func(_ context.Context, requests []lease.Request) ([]lease.Lease, error) {
			mu.Lock()
			defer mu.Unlock()
			asked = requests
			return nil, nil
		}
	})
	child := exec.Command("/proc/self/exe", "-test.run=^TestHolderChild$", "-test.v")
	child.Dir = "/"
	child.Env = append(os.Environ(), "BERTH_TEST_HOLDER="+socket)
	child.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := child.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if !strings.Contains(string(out), "itself: 201") {
		t.Errorf("for itself: %s", out)
	}
	if !strings.Contains(string(out), "another: 422") || !strings.Contains(string(out), "holder-refused") || !strings.Contains(string(out), "of user 0") {
		t.Errorf("for root's process: %s", out)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(asked) != 1 || asked[0].Holder.Identity.PID != child.Process.Pid || asked[0].Holder.Owner == me(t) {
		t.Errorf("asked for %+v, want it held by pid %d", asked, child.Process.Pid)
	}
}

// TestHolderChild is what another user does.
func TestHolderChild(t *testing.T) {
	socket := os.Getenv("BERTH_TEST_HOLDER")
	if socket == "" {
		return // it is run by TestHolderOfAnotherUser
	}
	c := unixClient(socket)
	defer c.CloseIdleConnections()
	for _, who := range []struct {
		name string
		pid  int
	}{{"another", os.Getppid()}, {"itself", os.Getpid()}} {
		resp, err := c.Post("http://berth/v1/leases", "application/json",
			strings.NewReader(fmt.Sprintf(`{"ranges":["a"],"holder":{"kind":"process","pid":%d}}`, who.pid)))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("%s: %d %s\n", who.name, resp.StatusCode, body)
	}
}

// Over the network nobody knows which process is meant.
func TestHolderOverTheNetwork(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	secret := ""
	newRigOn(t, []net.Listener{l}, nil, func(o *server.Options) {
		if _, secret, err = o.Tokens.Add(t.Context(), access.Token{Name: "ci", Role: access.Lease}); err != nil {
			t.Fatal(err)
		}
	})
	req, err := http.NewRequest("POST", "http://"+l.Addr().String()+"/v1/leases",
		strings.NewReader(fmt.Sprintf(`{"ranges":["a"],"holder":{"kind":"process","pid":%d}}`, os.Getpid())))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+secret)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != 422 || !strings.Contains(string(body), string(api.CodeHolderUnseen)) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}
