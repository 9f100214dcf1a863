package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"berth/api"
	"berth/client"
	"berth/proc"
	"berth/sockdiag"
)

// newFaultHost is a host with the document's distribution and a range of n
// ports, of which it returns the first.
func newFaultHost(t *testing.T, n int) (*host, int) {
	t.Helper()
	h := newHost(t)
	m := portBlock(t)
	h.write("demo/META-INF/corus.xml", documentDescriptor)
	h.run("port", "add", "-n", "http", "-min", strconv.Itoa(m), "-max", strconv.Itoa(m+n-1))
	h.run("deploy", "demo")
	return h, m
}

// daemonPID is the pid of the daemon, starting or answering, that has the state
// folder now; 0 where there is none.
func (h *host) daemonPID() int {
	text, err := os.ReadFile(filepath.Join(h.home, "lock"))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	// It may be that of one that is gone.
	_, child, _ := proc.EnvironValue(pid, "BERTH_PROCESS_ID")
	if value, ok, err := proc.EnvironValue(pid, "BERTH_HOME"); err != nil || !ok || value != h.home || child {
		return 0
	}
	return pid
}

// settled waits until every process runs and listens, and nothing of the state
// folder is about to end; then it checks that the lists agree with each other
// and with the machine, and returns what runs.
func (h *host) settled() []api.Process {
	h.t.Helper()
	ps := h.ps() // starts a daemon where there is none
	var why string
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if why = h.unsettled(ps); why == "" {
			break
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("it does not settle: %s\n%+v\nthe log:\n%s", why, ps, h.log())
		}
		var err error
		if ps, err = h.client.Processes(h.t.Context(), api.Selector{}, false); err != nil {
			h.t.Fatal(err)
		}
	}
	h.check(ps)
	return ps
}

// unsettled tells what is on its way still, or never will be right.
func (h *host) unsettled(ps []api.Process) string {
	pids := map[int]bool{}
	for _, p := range ps {
		if p.Status != api.StatusRunning {
			return fmt.Sprintf("process %d is %s", p.ID, p.Status)
		}
		for _, port := range p.Ports {
			if port.State != api.PortListening {
				return fmt.Sprintf("port %d of process %d is %s", port.Port, p.ID, port.State)
			}
		}
		pids[p.PID] = true
	}
	carriers := h.carriers()
	for _, pid := range carriers {
		if !pids[pid] {
			return fmt.Sprintf("pid %d is of this state folder and not in ps", pid)
		}
	}
	for pid := range pids {
		if !slices.Contains(carriers, pid) {
			return fmt.Sprintf("pid %d is in ps and does not run", pid)
		}
	}
	return ""
}

// check compares the lists of what runs, of ports and of leases with each
// other, and with who listens.
func (h *host) check(ps []api.Process) {
	h.t.Helper()
	type place struct {
		protocol string
		port     int
	}
	holders := map[place]int{} // to the pid
	for _, p := range ps {
		if id, _, err := proc.EnvironValue(p.PID, "BERTH_PROCESS_ID"); err != nil || id != strconv.Itoa(p.ID) {
			h.t.Errorf("pid %d is said to be process %d; it says %q (%v)", p.PID, p.ID, id, err)
		}
		for _, port := range p.Ports {
			at := place{port.Protocol, port.Port}
			if other, twice := holders[at]; twice {
				h.t.Errorf("%v is leased to pid %d and to pid %d", at, other, p.PID)
			}
			holders[at] = p.PID
			if owner, ok, err := sockdiag.Find(port.Protocol, port.Port); err != nil || !ok || owner.PID != p.PID {
				h.t.Errorf("port %d is pid %d's by ps; who listens is %+v (%v)", port.Port, p.PID, owner, err)
			}
		}
	}
	active := map[place]int{}
	for _, r := range h.ranges() {
		for _, a := range r.Active {
			active[place{r.Protocol, a.Port}] = a.PID
		}
	}
	leases, err := h.client.Leases(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	for at, pid := range holders {
		if active[at] != pid {
			h.t.Errorf("%v is pid %d's by ps and pid %d's by port ls", at, pid, active[at])
		}
	}
	if len(active) != len(holders) || len(leases) != len(holders) {
		h.t.Errorf("processes have %d ports, %d are active, %d leases live: %+v", len(holders), len(active), len(leases), leases)
	}
}

// identities are the ids of processes with their pids and ports.
func identities(ps []api.Process) map[int]string {
	all := map[int]string{}
	for _, p := range ps {
		all[p.ID] = fmt.Sprintf("pid %d on %v", p.PID, portsOf([]api.Process{p}))
	}
	return all
}

// What outlives the daemon, however that ended, is the same to the next one.
func TestFaultAdoption(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		end  func(h *host)
	}{
		{"killed", func(h *host) { h.kill(h.daemon().PID) }},
		{"stopped", func(h *host) { h.run("stop") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h, m := newFaultHost(t, 6)
			h.run(append(execOne, "-i", "4")...)
			before := h.settled()
			first := h.daemon().PID

			// Nobody ends while no daemon runs.
			tt.end(h)
			for _, p := range before {
				get(t, p.Ports[0].Port)
			}
			after := h.settled()
			if got, want := fmt.Sprint(identities(after)), fmt.Sprint(identities(before)); got != want {
				t.Errorf("they were %s and are %s", want, got)
			}
			if d := h.daemon(); d.PID == first || d.Processes != 4 {
				t.Errorf("the daemon was pid %d, and is %+v", first, d)
			}

			// The second and third end meanwhile; the lowest of their ports is next.
			tt.end(h)
			for _, p := range before[1:3] {
				h.kill(p.PID)
			}
			left := h.settled()
			if len(left) != 2 || left[0].PID != before[0].PID || left[1].PID != before[3].PID {
				t.Errorf("left are %+v", left)
			}
			for _, p := range decode[[]api.Process](h, "ps", "-a", "-o", "json") {
				if gone := p.ID == before[1].ID || p.ID == before[2].ID; gone != (p.Status == api.StatusEnded) || gone != strings.Contains(p.Reason, "while the daemon was away") {
					t.Errorf("ps -a shows %+v", p)
				}
			}
			h.run(append(execOne, "-i", "2")...)
			now := h.settled()
			if got := portsOf(now); !slices.Equal(got, []int{m, m + 3, m + 1, m + 2}) || now[2].ID <= before[3].ID {
				t.Errorf("the next ones have %v: %+v", got, now)
			}
		})
	}
}

// Clients that find no daemon at the same time get one.
func TestFaultStartTogether(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	results := make(chan result, 6)
	for range cap(results) {
		go func() { results <- h.try("ps", "-o", "json") }()
	}
	for range cap(results) {
		if r := <-results; r.code != 0 || strings.TrimSpace(r.out) != "[]" {
			t.Error(r)
		}
	}
	if n := strings.Count(h.log(), "the daemon answers"); n != 1 {
		t.Errorf("%d daemons answered:\n%s", n, h.log())
	}
}

// The daemon that a command starts holds none of its descriptors open, or who
// reads from them would wait for the daemon's end.
func TestFaultStartedBySubstitution(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	for _, script := range []string{
		`x=$(berth ps -o json) && echo "got $x"`,
		`x=$(berth ls -o json </dev/zero) && y=$(berth ls -o json 2>&1 >/dev/null) && echo "got $x"`,
		`x=$(berth ps -o json 9>&1 8>&1) && echo "got $x"`,
		`berth ps -o json 9>&1 | sed 's/^/got /'`,
	} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		out, err := h.command(ctx, "sh", "-c", script).Output()
		cancel()
		if err != nil || string(out) != "got []\n" {
			t.Errorf("%s: %q (%v)", script, out, err)
		}
		// It is the command that started it.
		if pid := h.daemon().PID; !strings.Contains(h.log(), fmt.Sprintf("pid=%d ", pid)) {
			t.Errorf("%s: the log does not name pid %d", script, pid)
		}
		h.run("stop")
	}
}

// A daemon whose folder is moved away ends by itself and says why; with the
// folder back in its place everything is as it was.
func TestFaultHomeRenamed(t *testing.T) {
	t.Parallel()
	h, _ := newFaultHost(t, 6)
	h.run(append(execOne, "-i", "2")...)
	before := h.settled()
	pid := h.daemon().PID
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := os.Rename(h.home, h.home+".away"); err != nil {
		t.Fatal(err)
	}
	// A daemon that does not end must not keep the host from being cleaned up.
	t.Cleanup(func() {
		if os.Rename(h.home+".away", h.home) == nil {
			h.kill(pid)
		}
	})
	awaitGone(t, pid, fd)
	if err := os.Rename(h.home+".away", h.home); err != nil {
		t.Fatal(err)
	}
	if log := h.log(); !strings.Contains(log, "the state folder was replaced") {
		t.Errorf("the log does not say why it ended:\n%s", log)
	}
	if got, want := fmt.Sprint(identities(h.settled())), fmt.Sprint(identities(before)); got != want {
		t.Errorf("they were %s and are %s", want, got)
	}
}

// The daemon is killed after an exec was written down and before it was answered:
// the command asks the next one what became of it, and it is done once.
func TestFaultKilledBeforeAnswer(t *testing.T) {
	t.Parallel()
	h, _ := newFaultHost(t, 6)
	done := make(chan result, 1)
	// They listen once the file is there, and the command waits for that.
	gate := filepath.Join(h.dir, "go")
	h.write("late/META-INF/corus.xml", `<distribution name="late" version="1.0"><process name="server"><port name="http"/><generic profile="test">
		<arg value="/bin/sh"/><arg value="-c"/><arg value="while ! test -e `+gate+`; do sleep 0.05; done; exec server"/></generic></process></distribution>`)
	h.run("deploy", "late")
	go func() {
		done <- h.try("exec", "-d", "late", "-v", "1.0", "-p", "test", "-n", "server", "-i", "2", "-w", "50", "-o", "json")
	}()
	var before []api.Process
	h.eventually("the processes are there", func() bool {
		select {
		case r := <-done:
			t.Fatal(r)
		default:
		}
		var err error
		before, err = h.client.Processes(t.Context(), api.Selector{}, false)
		return err == nil && len(before) == 2
	})
	h.kill(h.daemon().PID)
	h.eventually("the command has started the next daemon", func() bool {
		select {
		case r := <-done:
			t.Fatal(r)
		default:
		}
		_, err := h.client.Daemon(t.Context())
		return err == nil
	})
	h.write("go", "")
	r := <-done
	var told []api.Process
	if err := json.Unmarshal([]byte(r.out), &told); r.code != 0 || err != nil {
		t.Fatalf("%v: %v", err, r)
	}
	after := h.settled()
	if got, want := fmt.Sprint(identities(told)), fmt.Sprint(identities(before)); got != want || fmt.Sprint(identities(after)) != want {
		t.Errorf("started were %s, it told of %s, and there are %s", want, got, fmt.Sprint(identities(after)))
	}
}

// A copy of a state folder is refused while a process of the original runs, and
// leaves it alone; where it takes the original's place it adopts the process.
// Once the process is gone the copy is a folder of its own, and its port free.
func TestFaultHomeCopied(t *testing.T) {
	t.Parallel()
	h, m := newFaultHost(t, 1)
	h.run(execOne...)
	before := h.settled()
	h.kill(h.daemon().PID)
	at := func(home string) *host {
		c := &host{t: t, home: home, dir: h.dir, client: client.New(client.Options{Socket: filepath.Join(home, "berth.sock")})}
		copyFolder(t, h.home, home)
		return c
	}

	alone := at(h.home + ".alone")
	said := alone.refused(3, "ps")
	if !strings.Contains(said, "serve -adopt-copy") || !strings.Contains(said, fmt.Sprintf("(pid %d)", before[0].PID)) {
		t.Errorf("it was refused with %s", said)
	}
	get(t, m)

	instead := at(h.home + ".instead")
	ctx, cancel := context.WithCancel(context.Background())
	serving := instead.command(ctx, "berth", "serve", "-adopt-copy")
	if err := serving.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		instead.end()
		cancel()
		serving.Wait()
		alone.end()
	})
	instead.eventually("the daemon answers", func() bool {
		_, err := instead.client.Daemon(t.Context())
		return err == nil
	})
	if got, want := fmt.Sprint(identities(instead.settled())), fmt.Sprint(identities(before)); got != want {
		t.Errorf("adopted are %s, want %s", got, want)
	}
	if said := h.refused(3, "ps"); !strings.Contains(said, "a copied state folder") {
		t.Errorf("the original was refused with %s", said)
	}
	instead.run("kill", "all", "-hard", "-w")
	instead.run("stop")

	if ps := alone.ps(); len(ps) != 0 {
		t.Errorf("processes of the copy: %+v", ps)
	}
	if r := alone.ranges(); len(r) != 1 || !slices.Equal(r[0].Available, []int{m}) {
		t.Errorf("the copy's range: %+v", r)
	}
	if alone.stateID() == h.stateID() {
		t.Error("the copy has the id of the original still")
	}
}

// A daemon that is killed while it opens its state folder, the first time and
// later, leaves one that opens.
func TestFaultKilledWhileOpening(t *testing.T) {
	t.Parallel()
	random, rounds := seeded(t, 4)
	serve := func(h *host) (begun time.Time, end func()) {
		cmd := h.command(context.Background(), "berth", "serve")
		begun = time.Now()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return begun, func() {
			cmd.Process.Kill()
			cmd.Wait()
		}
	}
	// How long opening takes undisturbed.
	h := newHost(t)
	begun, end := serve(h)
	h.eventually("the daemon answers", func() bool {
		_, err := h.client.Daemon(t.Context())
		return err == nil
	})
	whole := time.Since(begun)
	end()
	kills := 0
	for range rounds {
		h := newHost(t)
		for range 6 {
			_, end := serve(h)
			time.Sleep(time.Duration(random.Int64N(int64(whole) * 5 / 4)))
			end()
			kills++
		}
		if r := h.try("ps", "-o", "json"); r.code != 0 || strings.TrimSpace(r.out) != "[]" {
			t.Fatalf("after %d kills: %v\n%s", kills, r, h.log())
		}
	}
	t.Logf("%d kills within %v of the start", kills, whole*5/4)
}

// seeded returns a source of random numbers, whose seed it logs, and how many
// rounds a test runs: what BERTH_FAULT_ROUNDS says, or a few. BERTH_FAULT_SEED
// sets the seed.
func seeded(t *testing.T, few int) (*rand.Rand, int) {
	t.Helper()
	number := func(name string, otherwise uint64) uint64 {
		text := os.Getenv(name)
		if text == "" {
			return otherwise
		}
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return n
	}
	seed := number("BERTH_FAULT_SEED", rand.Uint64())
	t.Logf("BERTH_FAULT_SEED=%d", seed)
	if hasRaceDetector() { // every start takes ten times as long
		few /= 2
	}
	return rand.New(rand.NewPCG(seed, 0)), int(number("BERTH_FAULT_ROUNDS", uint64(few)))
}

// The daemon is killed at random moments, at times twice, while clients have it
// start, end and restart processes, and change ranges and distributions. After
// each kill all that was answered holds, and everything agrees.
func TestFaultKilledAtRandom(t *testing.T) {
	t.Parallel()
	random, rounds := seeded(t, 10)
	h, m := newFaultHost(t, blockSize)
	var actors []*actor
	for i := range 4 {
		actors = append(actors, newActor(h, i, m+i, rand.New(rand.NewPCG(random.Uint64(), 0))))
	}
	for round := range rounds {
		h.settled() // a daemon answers
		stop := make(chan struct{})
		var acting sync.WaitGroup
		for _, a := range actors {
			acting.Go(func() { a.act(stop) })
		}
		time.Sleep(time.Duration(random.IntN(400)) * time.Millisecond)
		pid := h.daemon().PID
		killed := time.Now()
		h.kill(pid)
		again := random.IntN(2) == 0
		if again {
			// The one that a client has started by now may be opening still.
			time.Sleep(time.Duration(random.IntN(150)) * time.Millisecond)
			if pid := h.daemonPID(); pid != 0 {
				h.kill(pid)
			}
		}
		close(stop)
		acting.Wait()

		ps := h.settled()
		commands, succeeded := 0, 0
		for _, a := range actors {
			c, s := a.verify(ps, killed)
			commands, succeeded = commands+c, succeeded+s
		}
		t.Logf("round %d: %d commands, %d of them done, killed twice: %v, %d processes", round, commands, succeeded, again, len(ps))
		if t.Failed() {
			t.Fatalf("the log:\n%s", h.log())
		}
	}
	// What ended is done with: all ports can be leased again.
	h.run("kill", "all", "-hard", "-w")
	for _, r := range h.ranges() {
		if r.Name == "http" && len(r.Available) != blockSize {
			t.Errorf("at the end: %+v", r)
		}
	}
}
