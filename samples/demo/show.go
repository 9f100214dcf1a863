package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"berth/api"
)

// show is the session. It returns an error where something is not as it shall be.
func (s *session) show(ctx context.Context, first, last int) error {
	began := time.Now()
	fmt.Printf("$ export BERTH_HOME=%s\n\n", s.home())
	for _, args := range [][]string{
		{"port", "add", "-n", "http", "-min", strconv.Itoa(first), "-max", strconv.Itoa(last)},
		{"deploy", sampleFolder},
		{"exec", "-d", "http-generic", "-v", "1.0", "-p", "test", "-i", strconv.Itoa(instances), "-w"},
	} {
		if err := s.command(ctx, args...); err != nil {
			return s.explain(ctx, err)
		}
	}
	if err := s.command(ctx, "ps", "-ports"); err != nil {
		return err
	}
	processes, err := s.processes(ctx)
	if err != nil {
		return err
	}
	ports, err := leased(processes, first, last)
	if err != nil {
		return err
	}
	for _, p := range processes {
		if err := fetch(ctx, p); err != nil {
			return err
		}
	}
	fmt.Println()
	for _, args := range [][]string{{"port", "ls"}, {"kill", "all", "-w"}, {"port", "ls"}} {
		if err := s.command(ctx, args...); err != nil {
			return err
		}
	}
	r, err := s.ranges(ctx)
	if err != nil {
		return err
	}
	back, err := available(r, ports)
	if err != nil {
		return err
	}
	if err := s.stop(ctx); err != nil {
		return err
	}
	fmt.Printf("It works: %d processes ran on the ports %s; %s. The session took %.1f s.\n",
		len(processes), join(ports), back, time.Since(began).Seconds())
	return nil
}

// explain says it where a step failed because other programs have the ports.
func (s *session) explain(ctx context.Context, err error) error {
	r, rangeErr := s.ranges(ctx)
	if rangeErr != nil || len(r.SetAside) <= size-instances {
		return err
	}
	return fmt.Errorf("%w (other programs have %d of the ports %d to %d: name the first of %d others with -min)",
		err, len(r.SetAside), r.Min, r.Max, size)
}

// leased checks that every instance has a port of the range for itself and
// listens on it, and returns the ports.
func leased(processes []api.Process, first, last int) (ports []int, err error) {
	if len(processes) != instances {
		return nil, fmt.Errorf("%d processes run, not %d", len(processes), instances)
	}
	for _, p := range processes {
		if p.Status != api.StatusRunning || len(p.Ports) != 1 {
			return nil, fmt.Errorf("process %d is %s with %d ports, not running with one", p.ID, p.Status, len(p.Ports))
		}
		port := p.Ports[0]
		switch {
		case port.Port < first || port.Port > last:
			return nil, fmt.Errorf("process %d has port %d, which is not of the range", p.ID, port.Port)
		case port.State != api.PortListening:
			return nil, fmt.Errorf("port %d of process %d is %s, not listening", port.Port, p.ID, port.State)
		case slices.Contains(ports, port.Port):
			return nil, fmt.Errorf("port %d is leased twice", port.Port)
		}
		ports = append(ports, port.Port)
	}
	return ports, nil
}

// fetch asks a process for its page, prints the main lines, and checks that it
// is the page of this process, which knows its port in every way.
func fetch(ctx context.Context, p api.Process) error {
	port := strconv.Itoa(p.Ports[0].Port)
	url := "http://127.0.0.1:" + port + "/"
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	// A transport of its own: no proxy, and no connection that stays.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	if err != nil {
		return fmt.Errorf("GET %s: %w", url, err)
	}
	want := []string{
		"PORT=" + port, "argument=" + port, "corus.process.port.http=" + port, "http.port=" + port,
		"process=" + strconv.Itoa(p.ID), "pid=" + strconv.Itoa(p.PID),
	}
	fmt.Printf("GET %s → %s: ", url, response.Status)
	lines := strings.Split(string(body), "\n")
	var missing []string
	for _, line := range want {
		if !slices.Contains(lines, line) {
			missing = append(missing, line)
		}
	}
	if response.StatusCode != http.StatusOK || len(missing) > 0 {
		return fmt.Errorf("the page of process %d does not say %s, but: %q", p.ID, strings.Join(missing, ", "), body)
	}
	fmt.Println(strings.Join(want, " "))
	return nil
}

// available checks that no port is leased any more and that all that were are
// available again, and says how many are.
func available(r api.RangeStatus, ports []int) (string, error) {
	if len(r.Active) > 0 {
		return "", fmt.Errorf("port %d is still leased by %s", r.Active[0].Port, r.Active[0].Holder)
	}
	for _, port := range ports {
		if !slices.Contains(r.Available, port) {
			return "", fmt.Errorf("port %d did not come back", port)
		}
	}
	if n := len(r.Available) + len(r.SetAside); n != size {
		return "", fmt.Errorf("the range shows %d ports, not %d", n, size)
	}
	if len(r.SetAside) == 0 {
		return fmt.Sprintf("all %d ports are available again", size), nil
	}
	var foreign []int
	for _, p := range r.SetAside {
		foreign = append(foreign, p.Port)
	}
	return fmt.Sprintf("%d of %d ports are available again, and other programs have %s, which Berth passed over",
		len(r.Available), size, join(foreign)), nil
}

// join writes 8080, 8081 and 8082.
func join(ports []int) string {
	text := strconv.Itoa(ports[0])
	for i, port := range ports[1:] {
		glue := ", "
		if i == len(ports)-2 {
			glue = " and "
		}
		text += glue + strconv.Itoa(port)
	}
	return text
}
