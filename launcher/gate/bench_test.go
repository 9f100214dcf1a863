package gate_test

import (
	"os"
	"testing"

	"berth/launcher/gate"

	"golang.org/x/sys/unix"
)

// BenchmarkStart starts /bin/true and waits for its end: through each gate,
// and, as the floor, by os.StartProcess without any.
func BenchmarkStart(b *testing.B) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	files := []*os.File{null, null, null}
	b.Run("floor", func(b *testing.B) {
		for b.Loop() {
			p, err := os.StartProcess("/bin/true", []string{"true"}, &os.ProcAttr{Files: files})
			if err != nil {
				b.Fatal(err)
			}
			if _, err := p.Wait(); err != nil {
				b.Fatal(err)
			}
		}
	})
	for name, start := range gate.Ways {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				child, err := start(gate.Command{Path: "/bin/true", Args: []string{"true"}, Files: files})
				if err != nil {
					b.Fatal(err)
				}
				_ = child.Open()
				if err := child.Executed(b.Context()); err != nil {
					b.Fatal(err)
				}
				_ = unix.Close(child.PIDFD())
				if _, err := unix.Wait4(child.PID, nil, 0, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
