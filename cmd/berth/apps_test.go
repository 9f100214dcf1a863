package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"berth/api"
	"berth/client"
	"berth/internal/require"
)

// The app files in testdata/apps are those of PMDaemon's page on port
// management, as they stand there, and the one with several apps in YAML and TOML
// as well. They name ports that a machine may have given away, and so they run in
// a network of their own.
func TestAppFilesOfTheDocument(t *testing.T) {
	const inside = "BERTH_TEST_NETWORK"
	if os.Getenv(inside) == "" {
		document, err := os.ReadFile("../../../shared/seeds/pmdaemon-port-management.md")
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		files, err := filepath.Glob("testdata/apps/*.json")
		if err != nil || len(files) != 6 {
			t.Fatalf("there are %d files, %v", len(files), err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if len(document) > 0 && !strings.Contains(string(document), string(text)) {
				t.Errorf("%s is not what the document has", file)
			}
		}
		runInNetwork(t, inside)
		return
	}
	loopbackUp(t)
	apps, err := filepath.Abs("testdata/apps")
	if err != nil {
		t.Fatal(err)
	}
	// What the files start need not be on a machine: these tell how they were
	// called, and serve on the port of the variable PORT.
	programs := t.TempDir()
	for _, name := range []string{"node", "npm", "python"} {
		text := fmt.Sprintf("#!/bin/sh\necho %s \"$*\" as $PM2_INSTANCE_ID\nexec server\n", name)
		if err := os.WriteFile(filepath.Join(programs, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", programs+":"+os.Getenv("PATH"))
	h := newHost(t)

	services := []appRun{
		{"api-gateway", "node gateway.js as 0", 8080},
		{"user-service", "node user-service.js as 0", 8001},
		{"user-service", "node user-service.js as 1", 8002},
		{"order-service", "python -m uvicorn main:app as 0", 8010},
		{"order-service", "python -m uvicorn main:app as 1", 8011},
		{"order-service", "python -m uvicorn main:app as 2", 8012},
	}
	for _, tt := range []struct {
		file string
		runs []appRun
	}{
		{"web-app.json", []appRun{{"web-app", "node server.js as 0", 3000}}},
		{"web-cluster.json", []appRun{
			{"web-cluster", "node server.js as 0", 3000}, {"web-cluster", "node server.js as 1", 3001},
			{"web-cluster", "node server.js as 2", 3002}, {"web-cluster", "node server.js as 3", 3003},
		}},
		{"workers.json", []appRun{
			{"workers", "node worker.js as 0", 5000}, {"workers", "node worker.js as 1", 5001}, {"workers", "node worker.js as 2", 5002},
		}},
		{"dev-api.json", []appRun{{"dev-api", "npm run dev as 0", 3000}}},
		{"prod-api.json", []appRun{
			{"prod-api", "node dist/server.js as 0", 3000}, {"prod-api", "node dist/server.js as 1", 3001},
			{"prod-api", "node dist/server.js as 2", 3002}, {"prod-api", "node dist/server.js as 3", 3003},
		}},
		{"services.json", services},
		{"services.yaml", services},
		{"services.toml", services},
	} {
		t.Run(tt.file, func(t *testing.T) {
			h := *h
			h.t = t
			if filepath.Ext(tt.file) == ".json" {
				h.run("deploy", filepath.Join(apps, tt.file))
				name := strings.TrimSuffix(tt.file, ".json")
				h.run("exec", "-d", name, "-v", "1.0", "-p", "default", "-w")
			} else {
				h.run("start", filepath.Join(apps, tt.file), "-w") // in place of what it was
			}
			h.checkApps(tt.runs)
			h.run("kill", "all", "-w")
		})
	}
}

// appRun is an instance of an app: its name, the first line that it prints, and
// its port.
type appRun struct {
	name, line string
	port       int
}

// checkApps checks that just these run, listen, and were told their ports.
func (h *host) checkApps(want []appRun) {
	h.t.Helper()
	var got []appRun
	for _, p := range h.ps() {
		if p.Status != api.StatusRunning || len(p.Ports) != 1 || p.Ports[0].State != api.PortListening {
			h.t.Errorf("%+v", p)
			continue
		}
		output, err := h.client.Output(h.t.Context(), p.ID, client.Output{})
		if err != nil {
			h.t.Fatal(err)
		}
		line, _ := bufio.NewReader(output).ReadString('\n')
		output.Close()
		got = append(got, appRun{p.Name, strings.TrimSpace(line), p.Ports[0].Port})
		if page := get(h.t, p.Ports[0].Port); !strings.HasPrefix(page, fmt.Sprintf("port %d ", p.Ports[0].Port)) {
			h.t.Errorf("port %d answers %q", p.Ports[0].Port, page)
		}
	}
	if !slices.Equal(got, want) {
		h.t.Errorf("there run\n%v\nnot\n%v", got, want)
	}
}

// runInNetwork runs this test once more, in a network namespace of its own, with
// a variable that says so.
func runInNetwork(t *testing.T, variable string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), variable+"=1")
	attributes := &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	if uid := os.Geteuid(); uid != 0 {
		attributes.Cloneflags |= unix.CLONE_NEWUSER
		attributes.UidMappings = []syscall.SysProcIDMap{{HostID: uid, Size: 1}}
		attributes.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	probe := exec.Command("/bin/true")
	probe.SysProcAttr, cmd.SysProcAttr = attributes, attributes
	if err := probe.Run(); err != nil {
		require.Missing(t, "network namespaces ("+err.Error()+")", "run the tests as root, or let users make namespaces")
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("%v\n%s", err, out)
	}
}

// loopbackUp switches on the loopback interface of a new network namespace.
func loopbackUp(t *testing.T) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		t.Fatal(err)
	}
}
