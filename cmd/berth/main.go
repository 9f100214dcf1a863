// Berth leases the ports of named ranges and runs the processes that need them.
// It is the daemon (berth serve), and the administrator's shell.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"berth/client"
	"berth/home"
	"berth/launcher/gate"
	"berth/shell"
)

func main() {
	gate.Main()
	os.Exit(run(context.Background(), os.Args[1:]))
}

func run(ctx context.Context, args []string) int {
	paths, err := home.Find(os.Getenv, os.Geteuid())
	if err != nil {
		fmt.Fprintf(os.Stderr, "berth: %v\n", err)
		return shell.ExitFailed
	}
	reached := client.Environment(os.Getenv)
	reached.Socket, reached.Start = paths.Socket, client.Autostart{Paths: paths}.Start
	c := client.New(reached)
	defer c.Close()
	return shell.New(shell.Options{
		Client:  c,
		Version: buildVersion(),
		Replace: syscall.Exec,
		History: filepath.Join(paths.State, "history"),
		Serve:   func(ctx context.Context, o shell.ServeOptions) error { return serve(ctx, paths, o) },
	}).Run(ctx, args)
}
