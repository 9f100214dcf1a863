package shell_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"berth/shell"
)

// screen keeps what was written, and tells when it has a text.
type screen struct {
	mu    sync.Mutex
	all   bytes.Buffer
	wants string
	has   chan struct{}
}

func newScreen(wants string) *screen { return &screen{wants: wants, has: make(chan struct{})} }

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all.Write(p)
	if s.wants != "" && strings.Contains(s.all.String(), s.wants) {
		s.wants = ""
		close(s.has)
	}
	return len(p), nil
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.String()
}

// A terminal shows for whom a command waits, on one line that is gone at the
// end; nothing is shown elsewhere.
func TestWaitedFor(t *testing.T) {
	for _, terminal := range []bool{true, false} {
		d := sample(newDaemon(t))
		d.hold = make(chan struct{})
		err := newScreen("waiting for httpServer 1, ")
		go func() {
			<-d.entered
			if terminal {
				<-err.has
			}
			close(d.hold)
		}()
		got := d.runWith(t, context.Background(), shell.Options{
			In: strings.NewReader(""), Err: err, IsTerminal: func(stream any) bool { return terminal && stream == any(err) },
		}, "kill", "all", "-w")
		text := err.String()
		if got.code != 0 || terminal && !strings.HasSuffix(text, "\r\x1b[K") || !terminal && text != "" {
			t.Errorf("terminal %v: code %d, err %q", terminal, got.code, text)
		}
	}
}

func TestFit(t *testing.T) {
	for _, tt := range []struct {
		text    string
		columns int
		want    string
	}{
		{"short", 80, "short"},
		{"0123456789", 10, "0123456789"},
		{"0123456789a", 10, "012345678…"},
		{"日本語日本語", 10, "日本語日…"},
		{"0123456789a", -3, "012345678…"},
	} {
		if got := shell.Fit(tt.text, tt.columns); got != tt.want {
			t.Errorf("%q in %d: %q, want %q", tt.text, tt.columns, got, tt.want)
		}
	}
}

func TestUploading(t *testing.T) {
	var said []string
	tell := shell.Uploading("a.zip", func(text string) { said = append(said, text) })
	tell(10, 0)
	tell(1536, 3<<20)
	tell(3<<20, 3<<20)
	want := "deploying a.zip: 10 bytes|deploying a.zip: 1.5 KiB of 3.0 MiB|deploying a.zip: 3.0 MiB sent, unpacking"
	if got := strings.Join(said, "|"); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

// What is deployed gets to the daemon whole, on a terminal too.
func TestDeployOnTerminal(t *testing.T) {
	d := sample(newDaemon(t))
	path := filepath.Join(t.TempDir(), "demo.zip")
	text := strings.Repeat("z", 100_000)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	err := newScreen("")
	got := d.runWith(t, context.Background(), shell.Options{
		In: strings.NewReader(""), Err: err, IsTerminal: func(stream any) bool { return stream == any(err) },
	}, "deploy", path)
	if got.code != 0 || got.out != "deployed demo 1.0: httpServer\n" {
		t.Errorf("%+v", got)
	}
	if asked := d.requests(); len(asked) != 1 || !strings.HasSuffix(asked[0], " "+text) {
		t.Errorf("%.200q", asked)
	}
}
