package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"berth/api"
	"berth/client"
	"berth/conf"
	"berth/event"
	"berth/launcher"
	"berth/lease"
	"berth/server"
	"berth/store/storetest"
)

// exampleDaemon is one in this process, whose ports are all free and which keeps
// its state in memory. The examples speak with one each.
type exampleDaemon struct {
	socket string
	close  func()
}

// noProbe takes every port for one that can be bound.
type noProbe struct{}

func (noProbe) Probe(lease.Protocol, int) error { return nil }

// startDaemon starts a daemon. A program would leave that to client.Autostart,
// or to the machine's administrator.
func startDaemon() *exampleDaemon {
	check := func(err error) {
		if err != nil {
			log.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	home, err := os.MkdirTemp("", "berth")
	check(err)
	quiet := slog.New(slog.DiscardHandler)
	st := storetest.NewMemory()
	events := event.New(100, time.Now)
	leases, err := lease.Open(ctx, lease.Options{Store: st, Prober: noProbe{}, Events: events, Logger: quiet})
	check(err)
	processes, err := launcher.Open(ctx, launcher.Options{Store: st, Leases: leases, Home: home, StateID: filepath.Base(home), Events: events, Logger: quiet})
	check(err)
	settings, err := conf.Open(ctx, st, "local")
	check(err)
	d := &exampleDaemon{socket: filepath.Join(home, "berth.sock")}
	l, err := server.Listen(d.socket)
	check(err)
	served := make(chan error, 1)
	s := server.New(server.Options{Leases: leases, Processes: processes, Settings: settings, Keys: st, Events: events, Home: home, Socket: d.socket, Version: "example", Stop: cancel, Logger: quiet})
	go func() { served <- s.Serve(ctx, l) }()
	d.close = func() {
		_, _ = processes.Kill(context.Background(), launcher.StopRequest{Hard: true, Wait: time.Minute})
		cancel()
		check(<-served)
		check(processes.Close())
		check(leases.Check(context.Background()))
		check(leases.Close())
		check(os.RemoveAll(home))
	}
	return d
}

// A program leases a port, uses it and gives it back.
func Example() {
	d := startDaemon()
	defer d.close()
	ctx := context.Background()

	c := client.New(client.Options{Socket: d.socket})
	defer c.Close()

	_, err := c.AddRanges(ctx, api.AddRanges{Ranges: []api.Range{{Name: "http", Min: 8080, Max: 8085}}})
	if err != nil {
		log.Fatal(err)
	}
	leases, err := c.AcquireLeases(ctx, api.AcquireLeases{Ranges: []string{"http"}})
	if err != nil {
		log.Fatal(err)
	}
	l := leases[0]
	fmt.Println("leased", l.Protocol, l.Port)

	if err := c.ReleaseLease(ctx, l.ID, l.Generation); err != nil {
		log.Fatal(err)
	}
	// Output: leased tcp 8080
}

// What a range has is told port by port.
func ExampleClient_Ranges() {
	d := startDaemon()
	defer d.close()
	ctx := context.Background()
	c := client.New(client.Options{Socket: d.socket})
	defer c.Close()

	_, _ = c.AddRanges(ctx, api.AddRanges{Ranges: []api.Range{{Name: "http", Min: 8080, Max: 8083}}})
	_, _ = c.AcquireLeases(ctx, api.AcquireLeases{Ranges: []string{"http", "http"}})

	ranges, err := c.Ranges(ctx, "h*")
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range ranges {
		fmt.Println(r.Name, "available", r.Available)
		for _, a := range r.Active {
			fmt.Println(a.Port, a.State)
		}
	}
	// Output:
	// http available [8082 8083]
	// 8080 leased
	// 8081 leased
}

// An error is its code, and where the code stands for an error of package lease
// it is that as well.
func ExampleError() {
	d := startDaemon()
	defer d.close()
	ctx := context.Background()
	c := client.New(client.Options{Socket: d.socket})
	defer c.Close()

	_, _ = c.AddRanges(ctx, api.AddRanges{Ranges: []api.Range{{Name: "one", Min: 8080, Max: 8080}}})
	_, err := c.AcquireLeases(ctx, api.AcquireLeases{Ranges: []string{"one", "one"}})

	fmt.Println(errors.Is(err, api.CodeRangeFull), errors.Is(err, lease.ErrRangeFull))
	if p, ok := errors.AsType[*api.Error](err); ok {
		fmt.Println(p.Status, p.Code)
	}
	_, err = c.Process(ctx, 7)
	fmt.Println(errors.Is(err, api.CodeProcessNotFound))
	// Output:
	// true true
	// 409 range-full
	// true
}

// Who keeps the key of a request may send it again, even after a crash of its
// own, and it is done once.
func ExampleWithKey() {
	d := startDaemon()
	defer d.close()
	c := client.New(client.Options{Socket: d.socket})
	defer c.Close()
	ctx := context.Background()
	_, _ = c.AddRanges(ctx, api.AddRanges{Ranges: []api.Range{{Name: "http", Min: 8080, Max: 8085}}})

	keyed := client.WithKey(ctx, "deployment 42, port of the front end")
	for range 3 {
		leases, err := c.AcquireLeases(keyed, api.AcquireLeases{Ranges: []string{"http"}})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(leases[0].Port)
	}
	// Output:
	// 8080
	// 8080
	// 8080
}

// A long list is asked for page by page.
func ExampleClient_EachLease() {
	d := startDaemon()
	defer d.close()
	ctx := context.Background()
	c := client.New(client.Options{Socket: d.socket})
	defer c.Close()
	_, _ = c.AddRanges(ctx, api.AddRanges{Ranges: []api.Range{{Name: "http", Min: 8080, Max: 8085}}})
	_, _ = c.AcquireLeases(ctx, api.AcquireLeases{Ranges: []string{"http", "http", "http"}})

	for l, err := range c.EachLease(ctx, api.LeaseFilter{Range: "http"}, 2) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(l.Range, l.Port)
	}
	// Output:
	// http 8080
	// http 8081
	// http 8082
}

// A lease of a session is the caller's until its time has run out unrenewed.
func ExampleClient_RenewLease() {
	d := startDaemon()
	defer d.close()
	ctx := context.Background()
	c := client.New(client.Options{Socket: d.socket})
	defer c.Close()
	_, _ = c.AddRanges(ctx, api.AddRanges{Ranges: []api.Range{{Name: "http", Min: 8080, Max: 8085}}})

	leases, err := c.AcquireLeases(ctx, api.AcquireLeases{
		Ports:  []api.PortRequest{{Range: "http", Count: 2}},
		Holder: api.Holder{Kind: api.HolderSession, TTL: "30s"},
		Owner:  "deployment",
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, l := range leases {
		before := l.ExpiresAt
		l, err := c.RenewLease(ctx, l.ID, l.Generation, time.Hour)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(l.Port, "of", l.Owner, "lasts longer:", l.ExpiresAt.After(before))
	}
	// Output:
	// 8080 of deployment lasts longer: true
	// 8081 of deployment lasts longer: true
}

// A descriptor is deployed, and a process started from it on a port that is
// leased to it. Once it has ended the port is back.
func ExampleClient_Exec() {
	d := startDaemon()
	defer d.close()
	ctx := context.Background()
	c := client.New(client.Options{Socket: d.socket})
	defer c.Close()
	_, _ = c.AddRanges(ctx, api.AddRanges{Ranges: []api.Range{{Name: "http", Min: 8080, Max: 8085}}})

	deployed, err := c.Deploy(ctx, "corus.xml", strings.NewReader(`
		<distribution name="demo" version="1.0">
		  <process name="waiter" invoke="false">
		    <port name="http"/>
		    <generic profile="test"><arg value="sleep"/><arg value="600"/></generic>
		  </process>
		</distribution>`))
	if err != nil {
		log.Fatal(err)
	}
	started, err := c.Exec(ctx, api.Exec{Distribution: deployed.Name, Version: deployed.Version, Profile: "test"})
	if err != nil {
		log.Fatal(err)
	}
	p := started.Processes[0]
	fmt.Println(p.Name, p.Status, "on", p.Ports[0].Name, p.Ports[0].Port)

	_, err = c.Kill(ctx, api.Kill{Selector: api.Selector{IDs: []int{p.ID}}, WaitSeconds: 60})
	if err != nil {
		log.Fatal(err)
	}
	leases, _ := c.Leases(ctx)
	fmt.Println(len(leases), "leases")
	// Output:
	// waiter running on http 8080
	// 0 leases
}

// What a process has written is read as a stream, while it writes if that is
// followed.
func ExampleClient_Output() {
	d := startDaemon()
	defer d.close()
	ctx := context.Background()
	c := client.New(client.Options{Socket: d.socket})
	defer c.Close()
	_, _ = c.Deploy(ctx, "corus.xml", strings.NewReader(`
		<distribution name="demo" version="1.0">
		  <process name="greeter" invoke="false"><generic profile="test"><arg value="echo"/><arg value="hello"/></generic></process>
		</distribution>`))
	started, err := c.Exec(ctx, api.Exec{Distribution: "demo", Version: "1.0", Profile: "test"})
	if err != nil {
		log.Fatal(err)
	}
	out, err := c.Output(ctx, started.Processes[0].ID, client.Output{Follow: true})
	if err != nil {
		log.Fatal(err)
	}
	defer out.Close()
	_, _ = io.Copy(os.Stdout, out)
	// Output: hello
}

// Events are followed over lost connections and restarts of the daemon, until
// the reader has enough.
func ExampleClient_Events() {
	d := startDaemon()
	defer d.close()
	ctx := context.Background()
	c := client.New(client.Options{Socket: d.socket})
	defer c.Close()
	_, _ = c.AddRanges(ctx, api.AddRanges{Ranges: []api.Range{{Name: "http", Min: 8080, Max: 8085}}})
	_, _ = c.DeleteRanges(ctx, "http", false)

	for e, err := range c.Events(ctx, client.Events{Follow: true, Limit: 2}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(e.Noun, e.ID, e.Kind)
	}
	// Output:
	// range http added
	// range http deleted
}

// Properties are given to processes; those whose names say that they are
// secrets are shown to nobody who does not export them.
func ExampleClient_AddProperties() {
	d := startDaemon()
	defer d.close()
	ctx := context.Background()
	c := client.New(client.Options{Socket: d.socket})
	defer c.Close()

	_, err := c.AddProperties(ctx, api.AddProperties{Properties: []api.Pair{{Name: "db.url", Value: "jdbc:x"}, {Name: "db.password", Value: "tiger"}}})
	if err != nil {
		log.Fatal(err)
	}
	properties, err := c.Properties(ctx, api.PropertySelection{Names: []string{"db.*"}})
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range properties {
		fmt.Println(p.Name, p.Value)
	}
	// Output:
	// db.password *********
	// db.url jdbc:x
}
