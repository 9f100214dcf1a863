package shell_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"berth/client"
	"berth/shell"
)

// The test binary is also the program whose prompt is typed at.
func TestMain(m *testing.M) {
	socket := os.Getenv("BERTH_TEST_PROMPT")
	if socket == "" {
		os.Exit(m.Run())
	}
	c := client.New(client.Options{Socket: socket})
	os.Exit(shell.New(shell.Options{Client: c, Version: "1.0", History: os.Getenv("BERTH_TEST_HISTORY")}).Run(context.Background(), nil))
}

// terminal is a pseudo terminal with the prompt on it.
type terminal struct {
	t    *testing.T
	pty  *os.File
	cmd  *exec.Cmd
	done chan error

	mu   sync.Mutex
	text []byte
	more chan struct{}
}

func openTerminal(t *testing.T, d *daemon, history string) *terminal {
	t.Helper()
	pty, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pty.Close() })
	if err := unix.IoctlSetPointerInt(int(pty.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(pty.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(int(pty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 50, Col: 120}); err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()

	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	x := &terminal{t: t, pty: pty, done: make(chan error, 1), more: make(chan struct{}, 1)}
	x.cmd = exec.Command(self)
	x.cmd.Env = append(os.Environ(), "BERTH_TEST_PROMPT="+d.socket, "BERTH_TEST_HISTORY="+history, "TERM=xterm", "NO_COLOR=1",
		"INPUTRC=/dev/null", "HOME="+t.TempDir(), "GORACE=atexit_sleep_ms=0")
	x.cmd.Stdin, x.cmd.Stdout, x.cmd.Stderr = tty, tty, tty
	x.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := x.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { x.done <- x.cmd.Wait(); close(x.done) }()
	t.Cleanup(func() { _ = x.cmd.Process.Kill(); <-x.done })
	go x.read()
	x.expect("berth> ")
	return x
}

// read keeps what is shown. It answers nothing: the prompt asks terminals nothing.
func (x *terminal) read() {
	buf := make([]byte, 4096)
	for {
		n, err := x.pty.Read(buf)
		if err != nil {
			return
		}
		x.mu.Lock()
		x.text = append(x.text, buf[:n]...)
		x.mu.Unlock()
		select {
		case x.more <- struct{}{}:
		default:
		}
	}
}

// expect waits until text was shown, and forgets what was shown up to it.
func (x *terminal) expect(text string) {
	x.t.Helper()
	limit := time.After(15 * time.Second)
	for {
		x.mu.Lock()
		at := bytes.Index(x.text, []byte(text))
		if at >= 0 {
			x.text = x.text[at+len(text):]
		}
		shown := string(x.text)
		x.mu.Unlock()
		if at >= 0 {
			return
		}
		select {
		case <-x.more:
		case <-limit:
			x.t.Fatalf("the terminal does not show %q; it shows %q", text, shown)
		}
	}
}

func (x *terminal) typed(keys string) {
	x.t.Helper()
	if _, err := x.pty.WriteString(keys); err != nil {
		x.t.Fatal(err)
	}
}

// ended waits for the program's end and returns its exit code.
func (x *terminal) ended() int {
	x.t.Helper()
	select {
	case <-x.done:
		return x.cmd.ProcessState.ExitCode()
	case <-time.After(15 * time.Second):
		x.t.Fatal("the prompt does not end")
		return 0
	}
}

const (
	ctrlC = "\x03"
	ctrlD = "\x04"
	enter = "\r"
	tab   = "\t"
	up    = "\x1b[A"
)

// The prompt runs commands, goes on when one fails or shows its help, and is
// left by exit, quit and Ctrl-D.
func TestPrompt(t *testing.T) {
	d := sample(newDaemon(t))
	x := openTerminal(t, d, "")
	x.typed("port add -n http -min 8080 -max 8085" + enter)
	x.expect("added http [8080 - 8085] tcp")
	x.expect("berth> ")
	x.typed("port add --help" + enter)
	x.expect("Usage: berth port add")
	x.expect("berth> ")
	x.typed("frobnicate" + enter)
	x.expect("unknown command `frobnicate`")
	x.expect("berth> ")
	x.typed(`echo "a  b" ${HOME} # c` + enter)
	x.expect("a  b ${HOME}\r\n")
	x.expect("berth> ")
	x.typed("serve" + enter)
	x.expect("not run from the prompt")
	x.expect("berth> ")
	x.typed("exit" + enter)
	if code := x.ended(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	for _, keys := range []string{"quit" + enter, ctrlD} {
		x := openTerminal(t, d, "")
		x.typed(keys)
		if code := x.ended(); code != 0 {
			t.Errorf("%q: exit code %d", keys, code)
		}
	}
}

// Ctrl-C clears the line that is being typed, also while candidates are
// listed, and ends a command that runs; the prompt goes on.
func TestPromptInterrupt(t *testing.T) {
	d := sample(newDaemon(t))
	d.hold = make(chan struct{})
	x := openTerminal(t, d, "")
	x.typed("kill al")
	x.expect("al")
	x.typed(ctrlC)
	x.expect("berth> ")
	x.typed("port del -n " + tab)
	x.expect("syslog")
	x.typed(tab + ctrlC)
	x.expect("berth> ")
	x.typed("echo still here" + enter)
	x.expect("still here\r\n")
	x.expect("berth> ")

	x.typed("kill all -w" + enter)
	<-d.entered
	x.typed(ctrlC)
	x.expect("interrupted")
	x.expect("berth> ")
	x.typed("pause" + enter)
	x.expect("press Enter")
	x.typed(ctrlC)
	x.expect("berth> ")
	x.typed("echo done" + enter)
	x.expect("done\r\n")
	for _, line := range d.requests() {
		if strings.HasPrefix(line, "DELETE") {
			t.Errorf("a line that was cleared was run: %s", line)
		}
	}
}

// Tab completes from the grammar and from the daemon.
func TestPromptCompletion(t *testing.T) {
	d := sample(newDaemon(t))
	x := openTerminal(t, d, "")
	x.typed("unde" + tab)
	x.expect("undeploy ")
	x.typed("-d d" + tab)
	x.expect("demo ")
	x.typed("-v 1" + tab)
	x.expect("1.0 ")
	x.typed(enter)
	x.expect("undeployed demo 1.0")
	x.expect("berth> ")
	want := "DELETE /v1/distributions?name=demo&version=1.0"
	if asked := d.requests(); asked[len(asked)-1] != want {
		t.Errorf("asked %q, want %s at last", asked, want)
	}
}

// Lines are kept for the next prompt in a file that others cannot read.
func TestPromptHistory(t *testing.T) {
	d := sample(newDaemon(t))
	path := filepath.Join(t.TempDir(), "home", "history")
	x := openTerminal(t, d, path)
	x.typed("echo remembered" + enter)
	x.expect("remembered\r\n")
	x.expect("berth> ")
	x.typed("exit" + enter)
	x.ended()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode().Perm())
	}

	x = openTerminal(t, d, path)
	x.typed(up) // exit
	x.expect("exit")
	x.typed(up)
	x.expect("echo remembered")
	x.typed(enter)
	x.expect("remembered\r\n")
	x.expect("berth> ")
}

// A terminal that can only print has a prompt as well.
func TestPlainPrompt(t *testing.T) {
	d := sample(newDaemon(t))
	o := shell.Options{
		In: strings.NewReader("echo a\nfrobnicate\necho b"), IsTerminal: func(any) bool { return true },
		Env: func(name string) (string, bool) { return "dumb", name == "TERM" },
	}
	got := d.runWith(t, context.Background(), o)
	if got.code != 0 || got.out != "berth> a\nberth> berth> b\nberth> \n" || !strings.HasPrefix(got.err, "berth: unknown command") {
		t.Errorf("code %d, out %q, err %q", got.code, got.out, got.err)
	}
}
