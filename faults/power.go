package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// power cuts the power of a machine whose file system lies in an image: what
// the image has at that moment is what the next daemon finds.
var power = measure{
	name: "power", what: "power cuts", unit: "cuts", ci: 30, soak: 500,
	needs: []need{needDisk},
	run: func(ctx context.Context, s *suite, n int) (f figure, err error) {
		answers, err := s.cutPower(ctx, n, &f)
		f.note("%d answers held", answers)
		return f, err
	},
}

// powerControl does the same to a daemon that does not wait for its disk. Cuts
// that lose nothing then would show nothing with one that waits.
var powerControl = measure{
	name: "power-control", what: "power cuts without syncs that lose something", unit: "cuts", ci: 5, soak: 50,
	needs: []need{needDisk},
	run: func(ctx context.Context, s *suite, n int) (f figure, err error) {
		var lost figure
		answers := 0
		quiet := *s
		quiet.log = io.Discard // of what has to be lost
		for i := 0; i < n && ctx.Err() == nil; i++ {
			before := len(lost.violations)
			more, err := quiet.cutPower(ctx, 1, &lost, "skip-sync")
			if err != nil {
				return f, err
			}
			answers += more
			if len(lost.violations) > before {
				f.done++
			}
		}
		f.note("%d of %d answers lost or changed", len(lost.violations), answers)
		return f, ctx.Err()
	},
}

// cutPower cuts the power n times while clients acquire and release, and tells
// how many answers they got.
func (s *suite) cutPower(ctx context.Context, n int, f *figure, planted ...string) (answers int, err error) {
	h, d, end, err := s.hostOnDisk()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, end()) }()
	h.planted = append(h.planted, planted...)
	if err := h.up(ctx); err != nil {
		return 0, err
	}
	if err := h.deploy(ctx); err != nil {
		return 0, err
	}
	l := newLedger()
	for i := 0; i < n && ctx.Err() == nil; i++ {
		acting, stop := context.WithCancel(ctx)
		var actors sync.WaitGroup
		for j := range 6 {
			random := rand.New(rand.NewPCG(s.random.Uint64(), 0))
			actors.Go(func() { l.act(acting, h, fmt.Sprintf("cut%d.%d", i, j), random, false) })
		}
		time.Sleep(time.Duration(s.random.Int64N(int64(200 * time.Millisecond))))
		err := l.grown(acting, answers)
		answers = l.count()
		err = errors.Join(err, h.freeze())
		stop()
		actors.Wait()
		if err == nil {
			err = d.cut(h.kill)
		}
		if err != nil {
			return l.answers, err
		}
		f.done++
		if err := h.up(ctx); err != nil {
			return l.answers, err
		}
		if err := l.verify(ctx, h, f); err != nil {
			return l.answers, err
		}
	}
	return l.answers, ctx.Err()
}

// grown waits until there are more answers than so many.
func (l *ledger) grown(ctx context.Context, answers int) error {
	for deadline := time.Now().Add(patience); l.count() <= answers; time.Sleep(time.Millisecond) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Now().After(deadline) {
			return errors.New("the daemon answers nothing")
		}
	}
	return nil
}

func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.answers
}

// freeze stops the daemon and waits until none of its threads runs any more: a
// system call that one of them is in ends before.
func (h *host) freeze() error {
	if err := h.daemon.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	tasks := fmt.Sprintf("/proc/%d/task", h.daemon.Pid)
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		entries, err := os.ReadDir(tasks)
		if err != nil {
			return err
		}
		running := 0
		for _, e := range entries {
			stat, err := os.ReadFile(filepath.Join(tasks, e.Name(), "stat"))
			if err != nil {
				return err
			}
			// The state follows the command, which is in parentheses.
			if i := strings.LastIndexByte(string(stat), ')'); i < 0 || !strings.HasPrefix(string(stat[i+1:]), " T") {
				running++
			}
		}
		if running == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d threads of the daemon do not stop", running)
		}
	}
}

// hostOnDisk makes a state folder on a disk of its own. The returned function
// ends its daemon and removes both.
func (s *suite) hostOnDisk() (*host, *disk, func() error, error) {
	h, err := s.newHost()
	if err != nil {
		return nil, nil, nil, err
	}
	d, err := newDisk(h.dir)
	if err != nil {
		return nil, nil, nil, errors.Join(err, os.RemoveAll(h.dir))
	}
	h.useHome(filepath.Join(d.root, "home"))
	return h, d, func() error {
		if h.daemon != nil {
			h.kill()
		}
		// What is mounted there is never to be removed file by file.
		if err := d.unmount(); err != nil {
			return err
		}
		return os.RemoveAll(h.dir)
	}, nil
}

// disk is an ext4 file system in an image.
type disk struct {
	image  string
	root   string // where it is mounted
	device string // the loop device, empty while it is not mounted
}

// diskBytes is the size of the image, of which most is a hole.
const diskBytes = 256 << 20

func newDisk(dir string) (*disk, error) {
	d := &disk{image: filepath.Join(dir, "image"), root: filepath.Join(dir, "disk")}
	if err := os.Mkdir(d.root, 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(d.image, nil, 0o600); err != nil {
		return nil, err
	}
	if err := os.Truncate(d.image, diskBytes); err != nil {
		return nil, err
	}
	if _, err := command("mkfs.ext4", "-q", "-F", d.image); err != nil {
		return nil, err
	}
	return d, d.mount()
}

// mount mounts the image. Nothing is written by itself before long: what nobody
// has synced is to be lost.
func (d *disk) mount() error {
	device, err := command("losetup", "--find", "--show", d.image)
	if err != nil {
		return err
	}
	if _, err := command("mount", "-t", "ext4", "-o", "commit=300", device, d.root); err != nil {
		_, detachErr := command("losetup", "--detach", device)
		return errors.Join(err, detachErr)
	}
	d.device = device
	return nil
}

func (d *disk) unmount() error {
	if d.device == "" {
		return nil
	}
	if _, err := command("umount", d.root); err != nil {
		return err
	}
	_, err := command("losetup", "--detach", d.device)
	d.device = ""
	return err
}

// cut puts a copy of what has reached the device in the place of the file
// system. Whoever uses that is ended in between.
func (d *disk) cut(end func()) error {
	next := d.image + ".next"
	for deadline := time.Now().Add(patience); ; {
		before, _, err := d.writes()
		if err != nil {
			return err
		}
		if _, err := command("cp", "--sparse=always", d.image, next); err != nil {
			return err
		}
		after, underWay, err := d.writes()
		if err != nil {
			return err
		}
		// A copy is of one moment if nothing was written meanwhile.
		if before == after && underWay == "0" {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is written again and again: it cannot be copied", d.device)
		}
	}
	end()
	if err := d.unmount(); err != nil {
		return err
	}
	if err := os.Rename(next, d.image); err != nil {
		return err
	}
	return d.mount()
}

// writes tells how many writes the device has done, and how many requests are
// under way; see the kernel's Documentation/block/stat.rst.
func (d *disk) writes() (done, underWay string, err error) {
	text, err := os.ReadFile(filepath.Join("/sys/block", filepath.Base(d.device), "stat"))
	if err != nil {
		return "", "", err
	}
	fields := strings.Fields(string(text))
	if len(fields) < 9 {
		return "", "", fmt.Errorf("%s: cannot read its statistics %q", d.device, text)
	}
	return fields[4], fields[8], nil
}

// command runs a program and returns what it prints. An interrupt from the
// terminal does not end it halfway.
func command(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, text)
	}
	return text, nil
}

// needDisk is what a file system in an image takes.
var needDisk = need{"a file system in an image", func() string {
	if os.Geteuid() != 0 {
		return "only root mounts it"
	}
	for _, tool := range []string{"mkfs.ext4", "losetup", "mount", "umount", "cp"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "the program " + tool + " is not installed"
		}
	}
	if device, err := command("losetup", "--find"); err != nil || device == "" {
		return fmt.Sprintf("there is no free loop device: %v", err)
	}
	return ""
}}
