package launcher_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"berth/launcher"
	"berth/lease"
)

// standIn is what these tests know of docker: run, rm and kill. A container is a
// process in a session of its own that outlives docker run and does not carry
// the ids of Berth; its command, the last word, is a program of the tests. Signals are
// passed on to it. What docker is asked for is in the file that DOCKER_LOG names.
const standIn = `#!/bin/sh
echo "$*" >> "$DOCKER_LOG"
verb=$1
shift
case $verb in
run)
	for word; do
		case $word in
		berth-*) name=$word ;;
		--cidfile=*)
			file=${word#--cidfile=} name=id-$$
			[ ! -e "$file" ] || { echo "$file is there"; exit 125; }
			echo $name > "$file" ;;
		esac
		last=$word
	done
	[ ! -e "$DOCKER_LOG.$name" ] || { echo "the name $name is in use"; exit 125; }
	setsid env -u BERTH_PROCESS_ID -u BERTH_STATE_ID -u BERTH_PROCESS_RECORD "$TEST_BINARY" program "$last" &
	container=$!
	echo $container > "$DOCKER_LOG.$name"
	trap 'kill $container' TERM
	trap 'exit 125' USR1 # docker's daemon is gone
	while kill -0 $container 2> /dev/null; do wait $container; done
	rm -f "$DOCKER_LOG.$name" ;;
*)
	for name; do :; done
	container=$(cat "$DOCKER_LOG.$name") || exit 1
	kill -KILL $container
	while :; do # until the last thread is gone, and with it the sockets
		set -- /proc/$container/task/*
		[ $# -gt 1 ] || grep -qs '^State:.[^ZX]' /proc/$container/status || break
		sleep 0.01
	done
	rm -f "$DOCKER_LOG.$name" ;;
esac
`

// docked has a stand-in for docker on the PATH, and returns what it was asked
// for since it was asked last.
func docked(t *testing.T) (asked func() []string) {
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	if err := os.WriteFile(filepath.Join(dir, "docker"), []byte(standIn), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	t.Setenv("DOCKER_LOG", log)
	seen := 0
	return func() []string {
		text, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		fresh := lines[seen:]
		seen = len(lines)
		return fresh
	}
}

// container is a process element with a docker starter.
func container(name, attributes, program string) string {
	timeout := "60000"
	if program == "stubborn" {
		timeout = "400"
	}
	return `<process name="` + name + `" shutdownTimeout="` + timeout + `"><port name="http"/><docker profile="test" image="i" ` + attributes + ` command="` + program + `"/></process>`
}

// No container outlives its process, however that ends, and its port comes back.
func TestContainersEndWithTheirProcess(t *testing.T) {
	const named, staying = "rm --force berth-state-1", "kill id-"
	for _, tt := range []struct {
		name, attributes, program string
		end                       func(w *world, p launcher.Process)
		asked                     string // of docker, at the end
	}{
		{"asked", "", "serve", (*world).killAndWait, ""},
		{"asked in vain", "", "stubborn", (*world).killAndWait, named},
		{"asked in vain, and it stays", `autoRemoveEnabled="false"`, "stubborn", (*world).killAndWait, staying},
		{"killed from outside", "", "serve", (*world).killClient, named},
		{"killed from outside, and it stays", `autoRemoveEnabled="false"`, "serve", (*world).killClient, staying},
		{"docker was away", "", "serve", func(w *world, p launcher.Process) {
			if err := syscall.Kill(p.Identity.PID, syscall.SIGUSR1); err != nil {
				w.t.Fatal(err)
			}
		}, named},
		{"killed while the daemon was away", "", "serve", func(w *world, p launcher.Process) {
			w.close()
			w.killClient(p)
			w.open()
		}, named},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked := docked(t)
			w := newWorld(t, lease.Range{Name: "http", Min: 26320, Max: 26320})
			w.deploy(container("p", tt.attributes, tt.program))
			p := w.exec("p", 1)[0]
			if run := asked(); len(run) != 1 || !strings.HasPrefix(run[0], "run --") {
				t.Fatalf("docker %q", run)
			}
			tt.end(w, p)
			w.awaitEnded(p.ID)
			switch lines := asked(); {
			case tt.asked == "" && len(lines) > 0, tt.asked != "" && (len(lines) != 1 || !strings.HasPrefix(lines[0], tt.asked)):
				t.Errorf("docker %q, want %q", lines, tt.asked)
			}
			if r := w.leases.Ranges("http")[0]; len(r.SetAside) > 0 || len(r.Active) > 0 {
				t.Errorf("%+v", r)
			}
		})
	}
}

func (w *world) killAndWait(p launcher.Process) {
	w.t.Helper()
	if _, err := w.Kill(w.t.Context(), launcher.StopRequest{Selector: launcher.Selector{IDs: []int{p.ID}}, Wait: patience}); err != nil {
		w.t.Fatal(err)
	}
}

// killClient kills docker run, of which the container hears nothing.
func (w *world) killClient(p launcher.Process) {
	w.t.Helper()
	if err := syscall.Kill(p.Identity.PID, syscall.SIGKILL); err != nil {
		w.t.Fatal(err)
	}
}

// A restart by force, and one after docker run was killed, finds name and port free.
func TestContainersStartAgain(t *testing.T) {
	for _, attributes := range []string{"", `autoRemoveEnabled="false"`} {
		t.Run(attributes, func(t *testing.T) {
			asked := docked(t)
			w := newWorld(t, lease.Range{Name: "http", Min: 26320, Max: 26320})
			w.deploy(strings.Replace(container("p", attributes, "stubborn"), "<process ", `<process restart="always" `, 1))
			p := w.exec("p", 1)[0]
			if _, err := w.Restart(t.Context(), launcher.StopRequest{Hard: true, Wait: patience}); err != nil {
				t.Fatal(err)
			}
			again := w.awaitListening(p, 1)
			w.killClient(again)
			w.awaitListening(again, 2)
			var verbs []string
			for _, line := range asked() {
				verb, _, _ := strings.Cut(line, " ")
				verbs = append(verbs, verb)
			}
			end := "rm"
			if attributes != "" {
				end = "kill"
			}
			if got, want := strings.Join(verbs, " "), "run "+end+" run "+end+" run"; got != want {
				t.Errorf("docker was asked to %s, want %s", got, want)
			}
		})
	}
}

// awaitListening waits until a process was started so many times again and listens.
func (w *world) awaitListening(before launcher.Process, restarts int) launcher.Process {
	w.t.Helper()
	return w.awaitProcess(before.ID, func(p launcher.Process) bool {
		return p.Restarts == restarts && p.Identity.PID != before.Identity.PID && p.Ports[0].State == launcher.PortListening
	})
}

// What docker cannot do is logged, and holds nobody up.
func TestContainerThatDockerCannotEnd(t *testing.T) {
	asked := docked(t)
	w := newWorld(t, lease.Range{Name: "http", Min: 26320, Max: 26320})
	w.deploy(container("p", "", "serve"))
	p := w.exec("p", 1)[0]
	file := os.Getenv("DOCKER_LOG") + ".berth-state-1"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(file); err != nil { // docker has lost it
		t.Fatal(err)
	}
	w.killClient(p)
	w.awaitEnded(p.ID)
	if lines := asked(); len(lines) != 2 || lines[1] != "rm --force berth-state-1" {
		t.Errorf("docker %q", lines)
	}
	if w.countLogged("may run on: docker did not end it") != 1 {
		t.Error("nothing was logged")
	}
	// Its port is not handed out.
	if r := w.leases.Ranges("http")[0]; len(r.SetAside) != 1 {
		t.Errorf("%+v", r)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
}
