package bench_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"berth/api"
	"berth/client"
)

// descriptor has a process that listens on a port of the range bench, one that
// writes down when its main began, and ends, and both from the program given.
const descriptor = `<distribution name="bench" version="1.0">
  <process name="serve" invoke="true">
    <port name="bench"/>
    <generic profile="bench"><arg value=%[1]q/></generic>
  </process>
  <process name="stamp" invoke="true">
    <port name="bench"/>
    <generic profile="bench"><arg value=%[1]q/><arg value="stamp"/><arg value=%[2]q/></generic>
  </process>
</distribution>
`

// daemon is a berth serve with a state folder of its own.
type daemon struct {
	*client.Client
	binary, home string
	pid          int
	stamp        string // the file that process stamp writes
	end          func() // ends its processes and it
}

// berth builds the command and returns its path.
func berth(b testing.TB) string {
	b.Helper()
	return buildOnce(b, "berth", func(path string) error {
		return command("go", "build", "-C", "..", "-buildvcs=false", "-o", path, "./cmd/berth")
	})
}

// startDaemon starts a daemon and waits until it answers. At the end of the
// benchmark its processes and it are ended.
func startDaemon(b testing.TB) *daemon {
	b.Helper()
	binary := berth(b)
	home := folder(b)
	d := &daemon{binary: binary, home: home, stamp: filepath.Join(home, "stamp")}
	log, err := os.Create(filepath.Join(home, "berth.log"))
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	serve := exec.Command(d.binary, "serve")
	serve.Env, serve.Stdout, serve.Stderr = d.environ(), log, log
	if err := serve.Start(); err != nil {
		b.Fatal(err)
	}
	d.pid = serve.Process.Pid
	d.Client = client.New(client.Options{Socket: filepath.Join(home, "berth.sock")})
	d.end = endLater(b, func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		var failed []error
		if _, err := d.Kill(ctx, api.Kill{Selector: api.Selector{All: true}, Hard: true, WaitSeconds: patience.Seconds()}); err != nil {
			failed = append(failed, fmt.Errorf("end the processes: %w", err))
		}
		if _, err := d.StopDaemon(ctx); err != nil {
			failed = append(failed, fmt.Errorf("end the daemon: %w", err), serve.Process.Kill())
		}
		d.Close()
		if err := serve.Wait(); err != nil {
			failed = append(failed, err)
		}
		if failed != nil || b.Failed() {
			text, _ := os.ReadFile(log.Name())
			b.Logf("the daemon's log:\n%s", text[max(0, len(text)-4096):])
		}
		for _, err := range failed {
			b.Error(err)
		}
	})
	for deadline := time.Now().Add(patience); ; {
		_, err := d.Daemon(b.Context())
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			b.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	ranges := api.AddRanges{Ranges: []api.Range{{Name: "bench", Min: minPort, Max: maxPort}}}
	if _, err := d.AddRanges(b.Context(), ranges); err != nil {
		b.Fatal(err)
	}
	return d
}

// environ is the environment of daemon and commands.
func (d *daemon) environ() []string {
	var list []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "BERTH_") {
			list = append(list, v)
		}
	}
	return append(list, "BERTH_HOME="+d.home, "BERTH_AUTOSTART=0")
}

// deploy deploys a descriptor.
func (d *daemon) deploy(b testing.TB, text string) {
	b.Helper()
	if _, err := d.Deploy(b.Context(), "corus.xml", strings.NewReader(text)); err != nil {
		b.Fatal(err)
	}
}

// deployTrivial deploys the descriptor of the trivial server.
func (d *daemon) deployTrivial(b testing.TB) {
	b.Helper()
	d.deploy(b, fmt.Sprintf(descriptor, trivial(b), d.stamp))
}

// startTrivial starts n trivial servers and returns when all listen.
func (d *daemon) startTrivial(b testing.TB, n int) {
	b.Helper()
	if _, err := d.Exec(b.Context(), api.Exec{
		Distribution: "bench", Version: "1.0", Profile: "bench", Name: "serve", Instances: n, WaitSeconds: patience.Seconds(),
	}); err != nil {
		b.Fatal(err)
	}
}

// run runs the command with arguments, and returns its output.
func (d *daemon) run(b testing.TB, args ...string) []byte {
	b.Helper()
	var out, errors bytes.Buffer
	cmd := exec.Command(d.binary, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = d.environ(), &out, &errors
	if err := cmd.Run(); err != nil {
		b.Fatalf("berth %s: %v: %s", strings.Join(args, " "), err, errors.Bytes())
	}
	return out.Bytes()
}

// exec runs berth exec and returns the ports of what it started.
func (d *daemon) exec(b testing.TB, args ...string) []int {
	b.Helper()
	var list []api.Process
	out := d.run(b, append([]string{"exec", "-o", "json"}, args...)...)
	if err := json.Unmarshal(out, &list); err != nil {
		b.Fatalf("read %q: %v", out, err)
	}
	var ports []int
	for _, p := range list {
		for _, port := range p.Ports {
			ports = append(ports, port.Port)
		}
	}
	return ports
}

// killAll ends all processes and waits until their ports are recuperated.
func (d *daemon) killAll(b testing.TB) {
	b.Helper()
	kill := api.Kill{Selector: api.Selector{All: true}, Hard: true, WaitSeconds: patience.Seconds()}
	if _, err := d.Kill(b.Context(), kill); err != nil {
		b.Fatal(err)
	}
}
