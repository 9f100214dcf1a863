package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"berth/api"
	"berth/launcher"
	"berth/lease"
	"berth/server"
	"berth/store"
	"berth/store/storetest"
)

// freePorts is a Prober to which every port can be bound.
type freePorts struct{}

func (freePorts) Probe(lease.Protocol, int) error { return nil }

// leasing is a rig with a lease manager on st, and a range of 100 ports.
func leasing(t *testing.T, st store.Store, changes ...func(*server.Options)) (*rig, *lease.Manager) {
	t.Helper()
	m, err := lease.Open(t.Context(), lease.Options{Store: st, Prober: freePorts{}})
	if err != nil {
		t.Fatal(err)
	}
	err = m.AddRanges(t.Context(), []lease.Range{{Name: "http", Min: 20000, Max: 20099}}, lease.AddOptions{})
	if err != nil && !errors.Is(err, lease.ErrRangeExists) {
		t.Fatal(err)
	}
	changes = append([]func(*server.Options){func(o *server.Options) { o.Leases, o.Keys = m, st }}, changes...)
	return newRig(t, changes...), m
}

// post sends a request with an idempotency key. Without an answer the status is 0.
func (r *rig) post(t *testing.T, key, path, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequest("POST", "http://berth"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.GetBody = nil // nobody but the test sends it again
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key)
	resp, err := r.client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, strings.TrimSpace(string(text))
}

const acquireOne = `{"ranges":["http"],"holder":{"name":"me"}}`

// Requests with one key are done once, one after the other, at the same time,
// and by the next daemon; all get the same answer.
func TestKeyOnce(t *testing.T) {
	st := storetest.NewMemory()
	r, m := leasing(t, st)
	var answers sync.Map
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			key := fmt.Sprintf(`"key %d"`, i%4)
			status, body := r.post(t, key, "/v1/leases", acquireOne)
			if before, ok := answers.LoadOrStore(key, body); status != 201 || ok && before != body {
				t.Errorf("%s: %d %s, before: %v", key, status, body, before)
			}
		})
	}
	all.Wait()
	if n := len(m.Leases()); n != 4 {
		t.Errorf("4 keys made %d leases", n)
	}
	r.stop()

	next, m := leasing(t, st)
	answers.Range(func(key, before any) bool {
		if status, body := next.post(t, key.(string), "/v1/leases", " "+acquireOne); status != 201 || body != before {
			t.Errorf("the next daemon: %d %s, before: %s", status, body, before)
		}
		return true
	})
	// The quotes are no part of the key, and a lease that ended does not change the answer.
	if err := m.Release(t.Context(), m.Leases()[0].ID, 0); err != nil {
		t.Fatal(err)
	}
	for key, before := range answers.Range {
		if status, body := next.post(t, strings.Trim(key.(string), `"`), "/v1/leases", acquireOne); status != 201 || body != before {
			t.Errorf("after a release: %d %s, before: %s", status, body, before)
		}
	}
	if n := len(m.Leases()); n != 3 {
		t.Errorf("%d leases, want 3", n)
	}
}

// Requests that arrive several times and in any order: what was acquired and
// released stays so, whichever copy of an earlier request comes late.
func TestKeyReordered(t *testing.T) {
	r, m := leasing(t, storetest.NewMemory())
	const clients, copies = 20, 4
	release := func(body string) {
		var made []api.Lease
		if err := json.Unmarshal([]byte(body), &made); err != nil || len(made) != 1 {
			t.Errorf("answered %s: %v", body, err)
			return
		}
		path := fmt.Sprintf("http://berth/v1/leases/%s?generation=%d", made[0].ID, made[0].Generation)
		req, err := http.NewRequest("DELETE", path, nil)
		if err != nil {
			t.Error(err)
			return
		}
		resp, err := r.client.Do(req)
		if err != nil {
			t.Error(err)
			return
		}
		_ = resp.Body.Close()
		if resp.StatusCode >= 500 {
			t.Errorf("a release is answered %s", resp.Status)
		}
	}
	var answers [clients]string
	for i := range clients {
		status, body := r.post(t, fmt.Sprint("client ", i), "/v1/leases", acquireOne)
		if status != http.StatusCreated {
			t.Fatalf("%d %s", status, body)
		}
		answers[i] = body
	}
	var late []func()
	for i := range clients {
		for range copies {
			late = append(late, func() {
				if _, body := r.post(t, fmt.Sprint("client ", i), "/v1/leases", acquireOne); body != answers[i] {
					t.Errorf("client %d is answered %s, before: %s", i, body, answers[i])
				}
			})
			if i%2 == 0 {
				late = append(late, func() { release(answers[i]) })
			}
		}
		// Somebody else gets the ports that come back, and keeps them.
		late = append(late, func() {
			if status, body := r.post(t, fmt.Sprint("other ", i), "/v1/leases", `{"ranges":["http"],"holder":{"name":"other"}}`); status != http.StatusCreated {
				t.Errorf("%d %s", status, body)
			}
		})
	}
	rand.Shuffle(len(late), func(i, j int) { late[i], late[j] = late[j], late[i] })
	var all sync.WaitGroup
	for _, one := range late {
		all.Go(one)
	}
	all.Wait()
	held := map[string]int{}
	for _, l := range m.Leases() {
		held[l.Holder.Name]++
	}
	if want := map[string]int{"me": clients / 2, "other": clients}; !maps.Equal(held, want) {
		t.Errorf("held are %v, want %v", held, want)
	}
}

// The daemon goes away after the work was written down and before it is
// answered.
func TestKeyUnanswered(t *testing.T) {
	st := storetest.NewMemory()
	r, _ := leasing(t, st, func(o *server.Options) { o.Leases = unanswered{o.Leases} })
	if status, body := r.post(t, "k", "/v1/leases", acquireOne); status != 0 {
		t.Fatalf("answered %d %s", status, body)
	}
	r.stop()
	next, m := leasing(t, st)
	if n := len(m.Leases()); n != 1 {
		t.Fatalf("%d leases", n)
	}
	status, body := next.post(t, "k", "/v1/leases", acquireOne)
	if want := string(m.Leases()[0].ID); status != 201 || !strings.Contains(body, want) {
		t.Errorf("%d %s, want lease %s", status, body, want)
	}
	if n := len(m.Leases()); n != 1 {
		t.Errorf("%d leases after it was asked again", n)
	}
}

// unanswered breaks the connection once leases were acquired.
type unanswered struct{ leases }

type leases = server.Leases

func (u unanswered) AcquireWith(ctx context.Context, extra func([]lease.Lease) store.Batch, requests ...lease.Request) ([]lease.Lease, error) {
	if _, err := u.leases.AcquireWith(ctx, extra, requests...); err != nil {
		return nil, err
	}
	panic(http.ErrAbortHandler)
}

func TestKeyReused(t *testing.T) {
	r, m := leasing(t, storetest.NewMemory())
	if status, body := r.post(t, "k", "/v1/leases", acquireOne); status != 201 {
		t.Fatal(status, body)
	}
	for path, body := range map[string]string{
		"/v1/leases":    `{"ranges":["http","http"],"holder":{"name":"me"}}`,
		"/v1/processes": `{"distribution":"demo","version":"1.0","profile":"test"}`,
	} {
		if status, text := r.post(t, "k", path, body); status != 422 || !strings.Contains(text, string(api.CodeKeyReused)) {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
	if n := len(m.Leases()); n != 1 {
		t.Errorf("%d leases", n)
	}
	for _, key := range []string{`"`, `""`, `"half`, "tab\there", strings.Repeat("k", 256)} {
		if status, text := r.post(t, key, "/v1/leases", acquireOne); status != 400 || !strings.Contains(text, "Idempotency-Key") {
			t.Errorf("key %q: %d %s", key, status, text)
		}
	}
}

// What was refused was not done: the key can be used again.
func TestKeyRefused(t *testing.T) {
	r, m := leasing(t, storetest.NewMemory())
	body := `{"ranges":["` + strings.Repeat(`http","`, 100) + `http"]}`
	if status, text := r.post(t, "k", "/v1/leases", body); status != 409 {
		t.Fatal(status, text)
	}
	if err := m.AddRanges(t.Context(), []lease.Range{{Name: "later", Min: 20100, Max: 20100}}, lease.AddOptions{}); err != nil {
		t.Fatal(err)
	}
	if status, text := r.post(t, "k", "/v1/leases", `{"ranges":["later"]}`); status != 201 {
		t.Error(status, text)
	}
}

// An answer that does not fit into one record is the same all the same.
func TestKeyLongAnswer(t *testing.T) {
	st := storetest.NewMemory()
	r, m := leasing(t, st)
	if err := m.AddRanges(t.Context(), []lease.Range{{Name: "many", Min: 30000, Max: 33999}}, lease.AddOptions{}); err != nil {
		t.Fatal(err)
	}
	body := `{"ranges":["` + strings.Repeat(`many","`, 3999) + `many"]}`
	status, before := r.post(t, "k", "/v1/leases", body)
	if status != 201 {
		t.Fatal(status, before)
	}
	r.stop()
	next, m := leasing(t, st)
	if status, after := next.post(t, "k", "/v1/leases", body); status != 201 || after != before || len(after) < 500_000 {
		t.Errorf("%d, %d bytes, before %d", status, len(after), len(before))
	}
	if n := len(m.Leases()); n != 4000 {
		t.Errorf("%d leases", n)
	}
}

// Keys that are too old or too many are forgotten, the oldest first.
func TestKeysForgotten(t *testing.T) {
	st := storetest.NewMemory()
	key := func(n int) string { return fmt.Sprintf("idempotency/local/%032x", n) }
	put := func(n int, age time.Duration) {
		var b store.Batch
		b.Put(key(n), fmt.Appendf(nil, `{"at":%q,"print":"x","ids":[1,2]}`, time.Now().Add(-age).Format(time.RFC3339Nano)))
		if _, err := st.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	const most, surplus, old = 10_000, 150, 100
	for n := range most + surplus {
		put(n, time.Hour-time.Duration(n)*time.Millisecond)
	}
	for n := range old {
		put(most+surplus+n, 25*time.Hour)
	}
	_, before, err := st.List(t.Context(), "idempotency/")
	if err != nil {
		t.Fatal(err)
	}
	changes, err := st.Watch(t.Context(), "idempotency/", before)
	if err != nil {
		t.Fatal(err)
	}
	newRig(t, func(o *server.Options) { o.Keys = st })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var left []store.Entry
	for {
		if left, _, err = st.List(ctx, "idempotency/"); err != nil {
			t.Fatal(err)
		}
		if len(left) <= most {
			break
		}
		if _, err := changes.Next(ctx); err != nil {
			t.Fatalf("%d keys are left: %v", len(left), err)
		}
	}
	if len(left) != most || left[0].Key != key(surplus) || left[most-1].Key != key(most+surplus-1) {
		t.Errorf("%d keys are left, from %s to %s", len(left), left[0].Key, left[len(left)-1].Key)
	}
}

// An exec that is asked for again tells of the processes that it started.
func TestKeyExec(t *testing.T) {
	st := storetest.NewMemory()
	var started atomic.Int32
	exec := func(r *rig) {
		r.processes.processes = []launcher.Process{newProcess(1), newProcess(2), newProcess(3)}
		r.processes.exec = func(ctx context.Context, req launcher.ExecRequest) (launcher.ExecResult, error) {
			started.Add(1)
			if _, err := st.Commit(ctx, req.Extra([]int{2, 3}, []string{"w"})); err != nil {
				return launcher.ExecResult{}, err
			}
			return launcher.ExecResult{Processes: r.processes.processes[1:], Warnings: []string{"w"}}, nil
		}
	}
	onStore := func(o *server.Options) { o.Keys = st }
	const body = `{"distribution":"demo","version":"1.0","profile":"test","instances":2}`
	r := newRig(t, onStore)
	exec(r)
	status, before := r.post(t, "k", "/v1/processes", body)
	if status != 201 || !strings.Contains(before, `"id":3`) {
		t.Fatal(status, before)
	}
	r.stop()
	next := newRig(t, onStore)
	exec(next)
	status, after := next.post(t, "k", "/v1/processes", body)
	if status != 201 || strings.ReplaceAll(after, next.processes.dir, "") != strings.ReplaceAll(before, r.processes.dir, "") {
		t.Errorf("%d %s, before: %s", status, after, before)
	}
	if n := started.Load(); n != 1 {
		t.Errorf("started %d times", n)
	}
}

// Who sends a key whose request is under way waits for that no longer than it
// stays itself, nor than the daemon does.
func TestKeyWaits(t *testing.T) {
	gone, cancel := context.WithCancelCause(t.Context())
	cancel(io.EOF)
	if err := server.BeginTwice(gone, t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("who has gone away: %v", err)
	}
	if err := server.BeginTwice(t.Context(), gone); err == nil || !strings.Contains(err.Error(), "about to end") {
		t.Errorf("at the end of the daemon: %v", err)
	}
}
