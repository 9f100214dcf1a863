package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"berth/api"
)

// actor is a client that has things of its own, which nobody else touches: a
// range, a distribution, processes. It knows what must be there by the answers
// that it got; what a command that failed was about is unknown until looked at.
type actor struct {
	h      *host
	random *rand.Rand
	name   string // of its range and its distribution
	port   int    // of its range
	done   []result
	ended  []time.Time // when each of done did

	ranged, deployed known
	processes        map[int]*owned
	lost             bool // an exec failed: there may be processes that it does not know
}

// known is whether something is there, as far as answers told.
type known int

const (
	absent known = iota
	present
	unknown
)

// owned is a process of an actor.
type owned struct {
	ports []int
	there known
}

const mostOwned = 3

func newActor(h *host, i, port int, random *rand.Rand) *actor {
	name := fmt.Sprintf("actor%d", i)
	h.write(name+".xml", strings.NewReplacer(`name="demo"`, `name="`+name+`"`, `shutdownTimeout="30000"`, `shutdownTimeout="5000"`).Replace(documentDescriptor))
	// Processes are started from one that stays.
	h.write(name+"-run.xml", strings.Replace(documentDescriptor, `name="demo"`, `name="`+name+`-run"`, 1))
	h.run("deploy", name+"-run.xml")
	return &actor{h: h, random: random, name: name, port: port, processes: map[int]*owned{}}
}

// act runs commands, one after the other, until stop is closed.
func (a *actor) act(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		switch a.random.IntN(8) {
		case 0, 1:
			a.toggle(&a.ranged, []string{"port", "add", "-n", a.name, "-min", strconv.Itoa(a.port), "-max", strconv.Itoa(a.port), "-proto", "udp"}, []string{"port", "del", "-n", a.name})
		case 2:
			a.toggle(&a.deployed, []string{"deploy", a.name + ".xml"}, []string{"undeploy", "-d", a.name, "-v", "*"})
		case 3, 4, 5:
			a.exec()
		case 6:
			a.kill()
		case 7:
			a.restart()
		}
	}
}

func (a *actor) run(args ...string) result {
	r := a.h.try(args...)
	a.done, a.ended = append(a.done, r), append(a.ended, time.Now())
	return r
}

// toggle makes what is absent and removes what is present.
func (a *actor) toggle(k *known, makeIt, removeIt []string) {
	switch *k {
	case absent:
		*k = a.outcome(a.run(makeIt...), present)
	case present:
		*k = a.outcome(a.run(removeIt...), absent)
	}
}

func (a *actor) outcome(r result, wanted known) known {
	if r.code == 0 {
		return wanted
	}
	return unknown
}

func (a *actor) exec() {
	if len(a.processes) >= mostOwned || a.lost {
		return
	}
	r := a.run("exec", "-d", a.name+"-run", "-v", "1.0", "-p", "test", "-n", "httpServer", "-i", strconv.Itoa(1+a.random.IntN(2)), "-o", "json")
	var started []api.Process
	if r.code != 0 || json.Unmarshal([]byte(r.out), &started) != nil {
		a.lost = true
		return
	}
	for _, p := range started {
		a.processes[p.ID] = &owned{portsOf([]api.Process{p}), present}
	}
}

// one is the id of a process that it can rely on, 0 if there is none.
func (a *actor) one() int {
	var ids []int
	for id, p := range a.processes {
		if p.there == present {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return 0
	}
	slices.Sort(ids)
	return ids[a.random.IntN(len(ids))]
}

func (a *actor) kill() {
	id := a.one()
	if id == 0 {
		return
	}
	args := []string{"kill", "-i", strconv.Itoa(id), "-w", "30"}
	if a.random.IntN(2) == 0 {
		args = append(args, "-hard")
	}
	a.processes[id].there = a.outcome(a.run(args...), absent)
}

// restart keeps a process there whether it is done or not.
func (a *actor) restart() {
	if id := a.one(); id != 0 {
		a.run("restart", "-i", strconv.Itoa(id))
	}
}

// verify compares what it knows with what there is, and takes that over. It
// returns how many commands there were since the last time, and how many of
// them were done. None may have failed before the daemon was killed.
func (a *actor) verify(ps []api.Process, killed time.Time) (commands, succeeded int) {
	t := a.h.t
	t.Helper()
	for i, r := range a.done {
		switch {
		case r.code == 0:
			succeeded++
		case a.ended[i].Before(killed):
			t.Errorf("before the daemon was killed: %v", r)
		case strings.Contains(r.err, "panic") || strings.Count(r.err, "\n") != 1:
			t.Errorf("while the daemon was killed: %v", r)
		case r.args[0] == "exec" && strings.Contains(r.err, "not known whether"):
			t.Errorf("an exec was not asked for again: %v", r)
		}
	}
	commands = len(a.done)
	a.done, a.ended = nil, nil

	ranged := slices.ContainsFunc(a.h.ranges(), func(r api.RangeStatus) bool { return r.Name == a.name })
	a.agree("its range", &a.ranged, ranged)
	distributions := decode[[]api.Distribution](a.h, "ls", "-d", a.name, "-o", "json")
	a.agree("its distribution", &a.deployed, len(distributions) == 1)

	seen := map[int]bool{}
	for _, p := range ps {
		if p.Distribution != a.name+"-run" {
			continue
		}
		seen[p.ID] = true
		mine, ok := a.processes[p.ID]
		switch {
		case !ok && !a.lost:
			t.Errorf("%s: process %d runs, which no exec told of", a.name, p.ID)
		case ok && !slices.Equal(portsOf([]api.Process{p}), mine.ports):
			t.Errorf("%s: process %d had %v and has %v", a.name, p.ID, mine.ports, portsOf([]api.Process{p}))
		case !ok:
			a.processes[p.ID] = &owned{portsOf([]api.Process{p}), present}
		}
	}
	for id, p := range a.processes {
		a.agree(fmt.Sprintf("process %d", id), &p.there, seen[id])
		if !seen[id] {
			delete(a.processes, id)
		}
	}
	a.lost = false
	return commands, succeeded
}

// agree holds what is known to what there is.
func (a *actor) agree(what string, k *known, there bool) {
	a.h.t.Helper()
	if *k == present && !there || *k == absent && there {
		a.h.t.Errorf("%s: %s is there: %v, against what was answered", a.name, what, there)
	}
	*k = absent
	if there {
		*k = present
	}
}
