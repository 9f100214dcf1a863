package main

import (
	"context"
	"strings"
	"testing"

	"berth/api"
	"berth/client"
)

// What starts on boot is started once a boot, as far as it does not run: a
// daemon that is started again leaves alone what was killed since.
func TestStartOnBoot(t *testing.T) {
	dir := t.TempDir()
	ctx := t.Context()
	boot := func(id string) *running {
		t.Helper()
		var booted chan struct{}
		r := start(t, dir, func(d *daemon) {
			d.boot = func() (string, error) { return id, nil }
			booted = d.booted
		})
		<-booted
		return r
	}
	names := func(c *client.Client) string {
		t.Helper()
		list, err := c.Processes(ctx, api.Selector{}, false)
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, p := range list {
			all = append(all, p.Name)
		}
		return strings.Join(all, " ")
	}
	again := func(r *running, id string) *running {
		t.Helper()
		r.cancel()
		if err := <-r.ended; err != nil {
			t.Fatal(err)
		}
		r.ended <- nil
		return boot(id)
	}
	runs := func(c *client.Client, want string) {
		t.Helper()
		if got := names(c); got != want {
			t.Fatalf("runs: %s; want: %s", got, want)
		}
	}

	r := boot("first")
	if _, err := r.client.Deploy(ctx, "corus.xml", strings.NewReader(`<distribution name="demo" version="1.0">
		<process name="one" shutdownTimeout="2000"><generic profile="test"><arg value="sleep"/><arg value="600"/></generic></process>
		<process name="two" shutdownTimeout="2000"><generic profile="test"><arg value="sleep"/><arg value="600"/></generic></process>
	</distribution>`)); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"site":  `<exec name="site" startOnBoot="true"><process dist="demo" version="1.0" name="one" profile="test" instances="2"/><process dist="demo" version="1.0" name="two" profile="test"/></exec>`,
		"other": `<exec name="other"><process dist="demo" version="1.0" name="one" profile="test" instances="3"/></exec>`,
		"bad":   `<exec name="bad" startOnBoot="true"><process dist="none" version="1.0" name="one" profile="test"/></exec>`,
		"off":   `<exec name="off" startOnBoot="true"><process dist="demo" version="1.0" name="two" profile="test" instances="5"/></exec>`,
	} {
		if _, err := r.client.DeployExec(ctx, name, strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.client.EnableExecs(ctx, "off", false); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c := boot("end").client
		if _, err := c.Kill(context.Background(), api.Kill{Selector: api.Selector{All: true}, Hard: true, WaitSeconds: 20}); err != nil {
			t.Error(err)
		}
	})

	r = again(r, "first") // the same boot: nothing starts
	runs(r.client, "")
	r = again(r, "second")
	runs(r.client, "one one two")
	if _, err := r.client.Kill(ctx, api.Kill{Selector: api.Selector{IDs: []int{1}}, WaitSeconds: 20}); err != nil {
		t.Fatal(err)
	}
	r = again(r, "second")
	runs(r.client, "one two")
	r = again(r, "third") // what runs stays, what is missing is started
	runs(r.client, "one two one")
	list, err := r.client.Processes(ctx, api.Selector{}, false)
	if err != nil || len(list) != 3 || list[0].ID != 2 || list[1].ID != 3 || list[2].ID != 4 {
		t.Errorf("after another boot: %v, %+v", err, list)
	}
}
