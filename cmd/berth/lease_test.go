package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"berth/api"
	"berth/client"
	"berth/internal/require"
)

// terminal is a shell that a test types into.
type terminal struct {
	h   *host
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
	err *strings.Builder
}

// terminal starts a shell.
func (h *host) terminal(attributes *syscall.SysProcAttr, words ...string) *terminal {
	h.t.Helper()
	cmd := h.command(context.Background(), words[0], words[1:]...)
	cmd.SysProcAttr = attributes
	in, err := cmd.StdinPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	c := &terminal{h: h, cmd: cmd, in: in, out: bufio.NewReader(out), err: &strings.Builder{}}
	cmd.Stderr = c.err
	if err := cmd.Start(); err != nil {
		if errors.Is(err, syscall.EPERM) {
			require.Missing(h.t, "a pid namespace", "run the tests where unshare(2) is allowed")
		}
		h.t.Fatal(err)
	}
	h.t.Cleanup(c.end)
	return c
}

func (c *terminal) end() {
	_ = c.cmd.Process.Kill() // ended already or not
	_ = c.cmd.Wait()
}

// types has the shell run a line and returns what it prints up to a new line.
func (c *terminal) types(line string) string {
	c.h.t.Helper()
	if _, err := io.WriteString(c.in, line+"\n"); err != nil {
		c.h.t.Fatalf("type %q: %v", line, err)
	}
	said, err := c.out.ReadString('\n')
	if err != nil {
		c.end()
		c.h.t.Fatalf("%q printed %q: %v; %s", line, said, err, c.err)
	}
	return strings.TrimSpace(said)
}

// leases are the leases of the host, by their ports.
func (h *host) leases() map[int]api.Lease {
	h.t.Helper()
	all := map[int]api.Lease{}
	for _, l := range decode[[]api.Lease](h, "lease", "ls", "-o", "json") {
		all[l.Port] = l
	}
	return all
}

// backWithinASecond waits until nothing is leased, and fails where that takes
// longer.
func (h *host) backWithinASecond(since time.Time) {
	h.t.Helper()
	h.backUp(since, time.Second)
}

func (h *host) backUp(since time.Time, within time.Duration) {
	h.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		all, err := h.client.Leases(h.t.Context())
		if err != nil {
			h.t.Fatal(err)
		}
		if len(all) == 0 {
			break
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("leased is still %+v", all)
		}
	}
	took := time.Since(since)
	h.t.Logf("back after %v", took)
	if took > within {
		h.t.Errorf("it was back after %v, not within %v", took, within)
	}
}

// A port that was leased in a shell is that shell's, whatever subshell the
// command ran in, and is back within a second once the shell is gone.
func TestLeaseOfAShell(t *testing.T) {
	const first = 24700
	h := newHost(t)
	h.run("port", "add", "-n", "http", "-min", strconv.Itoa(first), "-max", strconv.Itoa(first+3))
	exit := func(c *terminal) { c.in.Close() }
	killed := func(c *terminal) { _ = c.cmd.Process.Kill() }
	const plain = `PORT=$(berth lease acquire -n http); echo "$PORT"`
	for _, tt := range []struct {
		name, shell, line string
		end               func(*terminal)
	}{
		{"bash, exit", "bash", plain, exit},
		{"bash, killed", "bash", plain, killed},
		{"bash, a pipeline", "bash", `PORT=$(berth lease acquire -n http | cat); echo "$PORT"`, exit},
		{"bash, subshells", "bash", `PORT=$( ( ( berth lease acquire -n http; : ); : ) ); echo "$PORT"`, killed},
		{"bash, a function", "bash", `f() { local p; p=$(berth lease acquire -n http) && echo "$p"; }; PORT=$(f | sort); echo "$PORT"`, exit},
		{"bash, for itself", "bash", `PORT=$(timeout 60 berth lease acquire -n http -for $$); echo "$PORT"`, exit},
		{"dash", "dash", plain, exit},
		{"dash, a pipeline", "dash", `PORT=$(berth lease acquire -n http | cat); echo "$PORT"`, killed},
		{"zsh", "zsh", `PORT=$(berth lease acquire -n http | cat); echo "$PORT"`, exit},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := &host{t: t, home: h.home, dir: h.dir, client: h.client}
			c := h.terminal(nil, require.Tool(t, tt.shell))
			port, err := strconv.Atoi(c.types(tt.line))
			if err != nil || port != first {
				t.Fatalf("printed %d, %v, want %d; %s", port, err, first, c.err)
			}
			l, ok := h.leases()[port]
			if !ok || l.Kind != api.HolderProcess || l.PID != c.cmd.Process.Pid || l.Holder != fmt.Sprintf("%s (pid %d)", tt.shell, l.PID) {
				t.Errorf("the lease is %+v, want it held by pid %d", l, c.cmd.Process.Pid)
			}
			since := time.Now()
			tt.end(c)
			_ = c.cmd.Wait()
			h.backWithinASecond(since)
		})
	}
}

// A daemon that is killed, and started again, knows who holds, and recuperates
// what ended meanwhile before it answers.
func TestLeaseOfAShellOutlivesTheDaemon(t *testing.T) {
	const first = 24710
	h := newHost(t)
	bash := require.Tool(t, "bash")
	h.run("port", "add", "-n", "http", "-min", strconv.Itoa(first), "-max", strconv.Itoa(first+3))
	const line = `PORT=$(berth lease acquire -n http); echo "$PORT"`
	one, two := h.terminal(nil, bash), h.terminal(nil, bash)
	if a, b := one.types(line), two.types(line); a != strconv.Itoa(first) || b != strconv.Itoa(first+1) {
		t.Fatalf("printed %s and %s", a, b)
	}
	h.kill(h.daemon().PID)
	one.end()
	if got := h.leases(); len(got) != 1 || got[first+1].PID != two.cmd.Process.Pid {
		t.Errorf("after the restart leased are %+v, want %d only", got, first+1)
	}
	since := time.Now()
	two.end()
	h.backWithinASecond(since)
}

// A shell in a pid namespace of its own holds as any other one, as long as the
// daemon sees it; where it does not, it is told what to do instead.
func TestLeaseInAPidNamespace(t *testing.T) {
	require.Root(t)
	const first = 24720
	bash := require.Tool(t, "bash")
	unshare := require.Tool(t, "unshare")
	const line = `PORT=$(berth lease acquire -n http | cat); echo "$PORT"`

	t.Run("seen", func(t *testing.T) {
		h := newHost(t)
		h.run("port", "add", "-n", "http", "-min", strconv.Itoa(first), "-max", strconv.Itoa(first+3))
		c := h.terminal(nil, unshare, "--pid", "--fork", "--kill-child", "--mount-proc", bash)
		if inside := c.types("echo $$"); inside != "1" {
			t.Fatalf("the shell has pid %s", inside)
		}
		port := c.types(line)
		l := h.leases()[first]
		if port != strconv.Itoa(first) || l.PID <= 1 || l.Holder != fmt.Sprintf("bash (pid %d)", l.PID) {
			t.Errorf("printed %q, the lease is %+v; %s", port, l, c.err)
		}
		since := time.Now()
		c.end()
		h.backWithinASecond(since)
	})

	t.Run("with another's /proc", func(t *testing.T) {
		h := newHost(t)
		h.run("port", "add", "-n", "http", "-min", strconv.Itoa(first), "-max", strconv.Itoa(first+3))
		c := h.terminal(nil, unshare, "--pid", "--fork", "--kill-child", bash)
		c.types(`exec 2>&1; echo ready`)
		said := c.types(`berth lease acquire -n http`)
		if !strings.HasPrefix(said, "berth: lease acquire: ") || !strings.Contains(said, "-ttl") || !strings.Contains(said, "-manual") || !strings.Contains(said, "-for") {
			t.Errorf("it says %q", said)
		}
		if port := c.types(`berth lease acquire -n http -ttl 1s`); port != strconv.Itoa(first) {
			t.Errorf("for a time: %q", port)
		}
		h.backUp(time.Now(), patience)
	})

	t.Run("unseen", func(t *testing.T) {
		h := newHost(t)
		serve := h.command(context.Background(), unshare, "--pid", "--fork", "--kill-child", "--mount-proc", "berth", "serve")
		if err := serve.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			h.try("stop")
			_ = serve.Process.Kill() // ended already or not
			_ = serve.Wait()
		})
		h.eventually("the daemon answers", func() bool {
			_, err := h.client.Daemon(client.WithoutStart(t.Context()))
			return err == nil
		})
		h.run("port", "add", "-n", "http", "-min", strconv.Itoa(first), "-max", strconv.Itoa(first+3))
		for _, args := range [][]string{{"-n", "http"}, {"-n", "http", "-for", strconv.Itoa(os.Getpid())}} {
			said := h.refused(1, append([]string{"lease", "acquire"}, args...)...)
			if !strings.Contains(said, "-ttl") || !strings.Contains(said, "-manual") || !strings.Contains(said, "-for PID") {
				t.Errorf("it says %q", said)
			}
		}
		if got := h.leases(); len(got) != 0 {
			t.Errorf("leased are %+v", got)
		}
		if out := h.run("lease", "acquire", "-n", "http", "-manual"); out != strconv.Itoa(first)+"\n" {
			t.Errorf("until it is released: %q", out)
		}
		// The pid of the shell outside is another one's inside, or nobody's.
		c := h.terminal(nil, bash)
		c.types(`exec 2>&1; echo ready`)
		if said := c.types(`berth lease acquire -n http`); !strings.Contains(said, "-ttl") {
			t.Errorf("it says %q", said)
		}
		// Nor is the daemon's pid that of a process here, whose end is waited for.
		if out := h.run("stop"); !strings.HasPrefix(out, "the daemon (pid 1) ended") {
			t.Errorf("it says %q", out)
		}
	})
}

// What stands between a shell and berth is told of; who is gone, or cannot hold,
// is refused in a line.
func TestLeaseHolders(t *testing.T) {
	const first = 24730
	h := newHost(t)
	h.run("port", "add", "-n", "http", "-min", strconv.Itoa(first), "-max", strconv.Itoa(first+3))
	timeout := require.Tool(t, "timeout")
	out, err := h.command(t.Context(), timeout, "60", "berth", "lease", "acquire", "-n", "http").Output()
	if err != nil || string(out) != strconv.Itoa(first)+"\n" {
		t.Errorf("under timeout: %q, %v", out, err)
	}
	h.backUp(time.Now(), patience)
	cmd := h.command(t.Context(), timeout, "60", "berth", "lease", "acquire", "-n", "http")
	var note strings.Builder
	cmd.Stderr = &note
	if err := cmd.Run(); err != nil || !strings.Contains(note.String(), "timeout (pid ") || !strings.Contains(note.String(), "-for PID") {
		t.Errorf("under timeout it notes %q, %v", note.String(), err)
	}
	gone := h.command(t.Context(), "true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	if said := h.refused(1, "lease", "acquire", "-n", "http", "-for", strconv.Itoa(gone.Process.Pid)); !strings.Contains(said, "ended") && !strings.Contains(said, "no process") {
		t.Errorf("for one that has ended: %q", said)
	}
	h.backUp(time.Now(), patience)
}

// A session is held while it is renewed, over a restart of the daemon too, and
// then its port comes back by itself.
func TestLeaseForATime(t *testing.T) {
	h := newHost(t)
	out := h.run("lease", "acquire", "24740", "-ttl", "2s", "-owner", "ci", "-o", "json")
	var got []api.Lease
	if err := json.Unmarshal([]byte(out), &got); err != nil || len(got) != 1 || got[0].Kind != api.HolderSession || got[0].Owner != "ci" || got[0].ExpiresAt.IsZero() {
		t.Fatalf("%s: %v", out, err)
	}
	renewed := decode[[]api.Lease](h, "lease", "renew", "24740", "-ttl", "1h", "-o", "json")[0]
	if renewed.ID != got[0].ID || renewed.Generation != 2 || time.Until(renewed.ExpiresAt) < 50*time.Minute {
		t.Errorf("renewed: %+v", renewed)
	}
	h.kill(h.daemon().PID)
	if now := h.leases()[24740]; now != renewed {
		t.Errorf("after a restart: %+v, want %+v", now, renewed)
	}
	h.run("lease", "renew", renewed.ID, "-ttl", "200ms")
	h.backUp(time.Now(), patience)
	h.refused(4, "lease", "renew", renewed.ID)
}

// 64 clients lease and release over the socket at the same time: nothing fails,
// and what they see is what they would see one after the other. The measure
// clients of the fault suite does it with 2,000 pairs each.
func TestClientsHistory(t *testing.T) {
	const first, clients, pairs = 24750, 64, 30
	r := start(t, filepath.Join(t.TempDir(), "home"))
	// So few ports that who asks for two may find too few.
	if _, err := r.client.AddRanges(t.Context(), api.AddRanges{Ranges: []api.Range{{Name: "http", Min: first, Max: first + clients - 1}}}); err != nil {
		t.Fatal(err)
	}
	type use struct {
		port    int
		id      string
		acquire bool
	}
	var mu sync.Mutex
	var history []porcupine.Operation
	begin := time.Now()
	note := func(client int, call time.Duration, u use) {
		end := time.Since(begin)
		mu.Lock()
		defer mu.Unlock()
		history = append(history, porcupine.Operation{ClientId: client, Input: u, Call: call.Nanoseconds(), Return: end.Nanoseconds()})
	}
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			c := client.New(client.Options{Socket: r.client.Socket()})
			defer c.Close()
			for n := range pairs {
				in := api.AcquireLeases{Ranges: []string{"http"}, Holder: api.Holder{Kind: api.HolderProcess, PID: os.Getpid()}}
				if n%3 == 0 {
					in.Holder = api.Holder{Kind: api.HolderSession, TTL: "10m"}
				}
				if n%5 == 0 {
					in.Owner = strconv.Itoa(i)
				}
				call := time.Since(begin)
				got, err := c.AcquireLeases(t.Context(), in)
				if err != nil {
					t.Error(err)
					return
				}
				note(i, call, use{got[0].Port, got[0].ID, true})
				call = time.Since(begin)
				if err := c.ReleaseLease(t.Context(), got[0].ID, got[0].Generation); err != nil {
					t.Error(err)
					return
				}
				note(i, call, use{got[0].Port, got[0].ID, false})
			}
		})
	}
	all.Wait()
	if len(history) != 2*clients*pairs {
		t.Fatalf("%d operations went through, want %d", len(history), 2*clients*pairs)
	}
	model := porcupine.Model{
		Partition: func(all []porcupine.Operation) (parts [][]porcupine.Operation) {
			byPort := make(map[int][]porcupine.Operation)
			for _, o := range all {
				byPort[o.Input.(use).port] = append(byPort[o.Input.(use).port], o)
			}
			for _, part := range byPort {
				parts = append(parts, part)
			}
			return parts
		},
		Init: func() any { return "" },
		Step: func(state, input, _ any) (bool, any) {
			if u := input.(use); u.acquire {
				return state == "", u.id
			}
			return state == input.(use).id, ""
		},
	}
	if !porcupine.CheckOperations(model, history) {
		t.Fatal("the history is not linearizable")
	}
	// A second lease of a port within the time of the first is noticed.
	held := history[slices.IndexFunc(history, func(o porcupine.Operation) bool { return o.Input.(use).acquire })]
	u := held.Input.(use)
	end := history[slices.IndexFunc(history, func(o porcupine.Operation) bool { return o.Input.(use) == use{u.port, u.id, false} })].Call
	planted := append(slices.Clone(history),
		porcupine.Operation{ClientId: clients, Input: use{u.port, "planted", true}, Call: held.Return, Return: end - 1},
		porcupine.Operation{ClientId: clients, Input: use{u.port, "planted", false}, Call: end - 1, Return: end - 1})
	if porcupine.CheckOperations(model, planted) {
		t.Error("a port that was leased twice was not noticed")
	}
	if left, err := r.client.Leases(t.Context()); err != nil || len(left) != 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}
