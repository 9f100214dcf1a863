package launcher_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"berth/launcher"
)

func (w *world) reload(ids ...int) (launcher.ReloadResult, error) {
	w.t.Helper()
	return w.Reload(w.t.Context(), launcher.ReloadRequest{Selector: launcher.Selector{IDs: ids}, Wait: patience})
}

// tellProgram has programs of the tests do what they were made to wait for.
func (w *world) tellProgram(what string, port int) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.home, fmt.Sprintf("%s-%d", what, port)), nil, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// clients ask HTTP servers over and over, until stop is called, which returns how
// many answers there were from each port and what went wrong.
type clients struct {
	mu      sync.Mutex
	answers map[int]int
	wrong   map[int][]string
	stop    context.CancelFunc
	ended   sync.WaitGroup
}

func newClients(t *testing.T, ports ...int) *clients {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := &clients{answers: map[int]int{}, wrong: map[int][]string{}, stop: cancel}
	for _, port := range ports {
		for _, keep := range []bool{true, false} {
			c.ended.Go(func() {
				transport := &http.Transport{DisableKeepAlives: !keep}
				defer transport.CloseIdleConnections()
				client := &http.Client{Transport: transport}
				for ctx.Err() == nil {
					said, err := get(client, port)
					c.mu.Lock()
					if err != nil {
						c.wrong[port] = append(c.wrong[port], err.Error())
					} else if said != "" {
						c.answers[port]++
					}
					c.mu.Unlock()
					time.Sleep(time.Millisecond)
				}
			})
		}
	}
	t.Cleanup(c.end)
	return c
}

func get(client *http.Client, port int) (string, error) {
	resp, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/", port))
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != 200 {
		err = errors.New(resp.Status)
	}
	return string(b), err
}

func (c *clients) end() {
	c.stop()
	c.ended.Wait()
}

// lost is what went wrong at a port so far, and how many answers there were.
func (c *clients) lost(port int) (string, int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.wrong[port], "; "), c.answers[port]
}

// awaitAnswers waits until some more requests of a port were answered.
func (c *clients) awaitAnswers(t *testing.T, port int) {
	t.Helper()
	_, before := c.lost(port)
	eventually(t, func() (bool, string) {
		lost, n := c.lost(port)
		return n >= before+5, fmt.Sprintf("port %d answers no more: %s", port, lost)
	})
}

// patient has processes be given the time to answer what they have accepted.
func patient(processes string) string {
	return strings.ReplaceAll(processes, `shutdownTimeout="400"`, `shutdownTimeout="60000"`)
}

// One free port is enough to exchange all instances, one after the other: a
// request to one that is not being exchanged is never lost.
func TestReload(t *testing.T) {
	w := newWorld(t, tcp("http", 22700, 22704))
	w.deploy(patient(process("server", `<port name="http"/>`, "http")))
	before := w.exec("server", 4)
	// Those that are still to come are asked all the time, and so are the new ones.
	var asked []*clients
	for i, p := range before {
		var others []int
		for _, o := range before[i+1:] {
			others = append(others, o.Ports[0].Number)
		}
		c := newClients(t, others...)
		r, err := w.reload(p.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, port := range others {
			c.awaitAnswers(t, port)
			if lost, n := c.lost(port); lost != "" || n == 0 {
				t.Errorf("port %d, %d answers: %s", port, n, lost)
			}
		}
		c.end()
		now := r.Processes[0]
		if len(r.Processes) != 1 || now.Instance != p.Instance || now.Replaces != p.ID || now.ID <= p.ID || now.Restarts != p.Restarts+1 || now.Status != launcher.Running || len(r.Warnings) != 0 {
			t.Errorf("process %d was exchanged for %+v, %v", p.ID, r.Processes, r.Warnings)
		}
		fresh := newClients(t, now.Ports[0].Number)
		fresh.awaitAnswers(t, now.Ports[0].Number)
		asked = append(asked, fresh)
		if old, _ := w.Process(p.ID); old.Live() || old.Exit == nil || old.Exit.Reason != fmt.Sprintf("replaced by process %d", now.ID) {
			t.Errorf("the old one: %+v", old)
		}
	}
	for _, c := range asked {
		c.end()
		for port, wrong := range c.wrong {
			t.Errorf("new instance on port %d: %v", port, wrong)
		}
	}
	all, err := w.Processes(launcher.Selector{})
	if err != nil || len(all) != 4 {
		t.Fatalf("%d run: %v", len(all), err)
	}
	if leases := w.leases.Leases(); len(leases) != 4 {
		t.Errorf("leases: %v", leases)
	}
	// All at once, by name: the same.
	r, err := w.Reload(t.Context(), launcher.ReloadRequest{Selector: launcher.Selector{Name: "server"}})
	if err != nil || len(r.Processes) != 4 {
		t.Fatalf("%+v %v", r, err)
	}
	for i, p := range r.Processes {
		if p.Replaces != all[i].ID || p.Instance != all[i].Instance {
			t.Errorf("%+v replaces %+v", p, all[i])
		}
	}
}

// With sockets that are handed over all stay on their ports, and no request is
// lost at all. The leases are passed on.
func TestReloadHandedOver(t *testing.T) {
	w := newWorld(t, tcp("http", 22710, 22713))
	w.deploy(patient(process("server", listenPort, "http")))
	before := w.exec("server", 4)
	ports := numbers(before)
	c := newClients(t, ports...)
	for _, port := range ports {
		c.awaitAnswers(t, port)
	}
	for range 2 {
		r, err := w.Reload(t.Context(), launcher.ReloadRequest{Wait: patience})
		if err != nil || len(r.Processes) != 4 || len(r.Warnings) != 0 {
			t.Fatalf("%+v %v", r, err)
		}
		if got := numbers(r.Processes); !slices.Equal(got, ports) {
			t.Errorf("they are on %v now, and were on %v", got, ports)
		}
		for i, p := range r.Processes {
			held := w.leases.ByProcess(p.ID)
			if len(held) != 1 || held[0].ID != before[i].Ports[0].Lease || held[0].Holder.Name != p.Title() {
				t.Errorf("process %d has the leases %+v", p.ID, held)
			}
		}
	}
	for _, port := range ports {
		c.awaitAnswers(t, port)
	}
	c.end()
	for _, port := range ports {
		if lost, n := c.lost(port); lost != "" || n == 0 {
			t.Errorf("port %d, %d answers: %s", port, n, lost)
		}
	}
}

// A new one that ends, or does not listen, is stopped, and the old one stays.
func TestReloadFails(t *testing.T) {
	w := newWorld(t, tcp("http", 22720, 22729))
	w.deploy(process("late", `<port name="http"/>`, "late") + process("handed", listenPort, "fickle"))
	w.tellProgram("bind", 22720)
	late := w.exec("late", 1)[0]
	r, err := w.Reload(t.Context(), launcher.ReloadRequest{Selector: launcher.Selector{IDs: []int{late.ID}}, Wait: 100 * time.Millisecond})
	if !errors.Is(err, launcher.ErrTimeout) || len(r.Processes) != 0 || !strings.Contains(err.Error(), "late #1 (demo 1.0) stays") {
		t.Errorf("%+v %v", r, err)
	}
	handed := w.exec("handed", 1)[0]
	port := handed.Ports[0].Number
	ask(t, "tcp", port) // it has begun
	w.tellProgram("fail", port)
	if _, err = w.reload(handed.ID); !errors.Is(err, launcher.ErrExecFailed) || !strings.Contains(err.Error(), "exit code 9") {
		t.Errorf("%v", err)
	}
	for _, p := range []launcher.Process{late, handed} {
		now, err := w.Process(p.ID)
		if err != nil || now.Identity != p.Identity || now.Status != launcher.Running {
			t.Errorf("the old one: %+v %v", now, err)
		}
		if held := w.leases.ByProcess(p.ID); len(held) != 1 || held[0].Port != p.Ports[0].Number {
			t.Errorf("leases of process %d: %+v", p.ID, held)
		}
	}
	if said := ask(t, "tcp", port); said == "" {
		t.Error("the old one does not answer")
	}
	if n := len(w.leases.Leases()); n != 2 {
		t.Errorf("%d leases are left", n)
	}
	// What was in the way once is not for ever.
	if err := os.Remove(filepath.Join(w.home, fmt.Sprintf("fail-%d", port))); err != nil {
		t.Fatal(err)
	}
	if r, err := w.reload(handed.ID); err != nil || r.Processes[0].Ports[0].Number != port {
		t.Errorf("%+v %v", r, err)
	}
}

// What is started again by itself has not come to work.
func TestReloadRelapses(t *testing.T) {
	w := newWorld(t, tcp("http", 22750, 22751))
	w.deploy(strings.Replace(process("handed", listenPort, "fickle"), "<process ", `<process restart="always" `, 1))
	old := w.exec("handed", 1)[0]
	ask(t, "tcp", 22750) // it has begun
	w.tellProgram("fail", 22750)
	if _, err := w.reload(old.ID); !errors.Is(err, launcher.ErrExecFailed) {
		t.Errorf("%v", err)
	}
	all, err := w.Processes(launcher.Selector{})
	if err != nil || len(all) != 1 || all[0].Identity != old.Identity {
		t.Errorf("%+v %v", all, err)
	}
}

// Where there can be no new one beside the old one, that is restarted.
func TestReloadInstead(t *testing.T) {
	w := newWorld(t, tcp("http", 22730, 22731), tcp("one", 22735, 22739))
	w.deploy(process("server", `<port name="http"/>`, "http") +
		strings.Replace(process("only", `<port name="one"/>`, "serve"), "<process ", `<process maxInstances="1" `, 1))
	before := w.exec("server", 2)
	r, err := w.Reload(t.Context(), launcher.ReloadRequest{Wait: patience})
	if err != nil || len(r.Processes) != 2 || len(r.Restarted) != 2 || len(r.Warnings) != 2 || !strings.Contains(r.Warnings[0], "restarted instead") {
		t.Fatalf("%+v %v", r, err)
	}
	for i, p := range r.Processes {
		if p.ID != before[i].ID || p.Identity == before[i].Identity || p.Ports[0].State != launcher.PortListening {
			t.Errorf("%+v was %+v", p, before[i])
		}
	}
	only := w.exec("only", 1)[0]
	if r, err = w.reload(only.ID); err != nil || len(r.Restarted) != 1 || !strings.Contains(r.Warnings[0], "maxInstances is 1") {
		t.Errorf("%+v %v", r, err)
	}
}

// A daemon that ends in the middle leaves both in its records, and no port is
// leased twice or lost, whichever of them ends first.
func TestReloadInterrupted(t *testing.T) {
	for name, first := range map[string]func(old, now int) int{
		"the old one ends first": func(old, _ int) int { return old },
		"the new one ends first": func(_, now int) int { return now },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, tcp("http", 22740, 22740), tcp("own", 22745, 22746))
			w.deploy(process("both", listenPort+`<port name="own"/>`, "tardy"))
			w.tellProgram("bind", 22745)
			old := w.exec("both", 1)[0]
			done := make(chan error, 1)
			go func() {
				_, err := w.Reload(context.WithoutCancel(t.Context()), launcher.ReloadRequest{Wait: patience})
				done <- err
			}()
			eventually(t, func() (bool, string) {
				_, err := w.Process(old.ID + 1)
				return err == nil, fmt.Sprint(err)
			})
			w.awaitProcess(old.ID+1, func(p launcher.Process) bool { return p.Status == launcher.Running })
			w.close()
			if err := <-done; !errors.Is(err, launcher.ErrClosed) {
				t.Fatal(err)
			}
			w.open()
			both, err := w.Processes(launcher.Selector{})
			if err != nil || len(both) != 2 || both[0].Identity != old.Identity || both[1].Replaces != old.ID {
				t.Fatalf("%+v %v", both, err)
			}
			if n := len(w.leases.Leases()); n != 3 {
				t.Errorf("%d leases", n)
			}
			one := first(both[0].ID, both[1].ID)
			other := both[0].ID + both[1].ID - one
			if _, err := w.Kill(t.Context(), launcher.StopRequest{Selector: launcher.Selector{IDs: []int{one}}, Wait: patience}); err != nil {
				t.Fatal(err)
			}
			if held := w.leases.ByProcess(other); len(held) != 2 {
				t.Errorf("process %d has %+v", other, held)
			}
			if err := w.leases.Check(t.Context()); err != nil {
				t.Error(err)
			}
			c, err := net.Dial("tcp", "127.0.0.1:22740")
			if err != nil {
				t.Fatalf("port 22740 is lost: %v", err)
			}
			_ = c.Close()
			w.reopen()
			if held := w.leases.ByProcess(other); len(held) != 2 {
				t.Errorf("after another start process %d has %+v", other, held)
			}
		})
	}
}
