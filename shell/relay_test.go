package shell_test

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"berth/shell"
)

// notes keeps each write, and tells of the first one.
type notes struct {
	mu    sync.Mutex
	all   []string
	first chan struct{}
}

func (n *notes) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.all = append(n.all, string(p)); len(n.all) == 1 {
		close(n.first)
	}
	return len(p), nil
}

func (n *notes) String() string { return strings.Join(n.all, "") }

// Lines are shown whole, with what stands before them, and a last one gets its end.
func TestRelay(t *testing.T) {
	long := strings.Repeat("x", 100<<10)
	for _, tt := range []struct{ name, in, want string }{
		{"nothing", "", ""},
		{"a line", "one\n", "web 0 | one\n"},
		{"empty lines", "\n\n", "web 0 | \nweb 0 | \n"},
		{"no end", "one\ntwo", "web 0 | one\nweb 0 | two\n"},
		{"a long line", long + "\nend\n", "web 0 | " + long[:64<<10] + "\nweb 0 | " + long[64<<10:] + "\nweb 0 | end\n"},
		{"just as long as may be", long[:64<<10-1] + "\n", "web 0 | " + long[:64<<10-1] + "\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			read, write, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				defer write.Close()
				for rest := tt.in; rest != ""; {
					n := min(len(rest), 777)
					write.WriteString(rest[:n])
					rest = rest[n:]
				}
			}()
			shown := &notes{first: make(chan struct{})}
			shell.Relay(shown, "web 0 | ", read)
			if got := shown.String(); got != tt.want {
				t.Errorf("%d bytes, not %d: %.200q", len(got), len(tt.want), got)
			}
			for _, text := range shown.all {
				if !strings.HasSuffix(text, "\n") {
					t.Errorf("a line is written in parts: %.60q", text)
				}
			}
		})
	}
}

// Where somebody keeps the pipe open, what is in it is shown all the same.
func TestRelayOfPipeLeftOpen(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer write.Close()
	shown := &notes{first: make(chan struct{})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		shell.Relay(shown, "> ", read)
	}()
	fmt.Fprint(write, "one\n")
	<-shown.first
	fmt.Fprint(write, "two\nthree")
	shell.EndRelay(read)
	<-done
	if got := shown.String(); got != "> one\n> two\n> three\n" {
		t.Errorf("%q was shown", got)
	}
}
