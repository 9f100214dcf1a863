//go:build faults

package failpoint

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
)

func init() {
	file := os.Getenv("BERTH_STACKS")
	if file == "" {
		return
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	go func() {
		for range asked {
			if err := writeStacks(file); err != nil {
				fmt.Fprintln(os.Stderr, "failpoint:", err)
			}
		}
	}()
}

// writeStacks writes the stacks of all goroutines to a file, which is there once
// it is whole.
func writeStacks(file string) error {
	stacks := make([]byte, 64<<10)
	for {
		n := runtime.Stack(stacks, true)
		if n < len(stacks) {
			stacks = stacks[:n]
			break
		}
		stacks = make([]byte, 2*len(stacks))
	}
	if err := os.WriteFile(file+".new", stacks, 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}
