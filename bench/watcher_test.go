package bench_test

import (
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// watcher is the least that looks after processes: it waits for all of them at
// once, by their pidfds in one epoll instance, and reaps who has died. Nothing
// is written down, and no port is looked at.
type watcher struct {
	b     testing.TB
	epoll int
	stop  int // an eventfd that has it end
	null  *os.File
	done  chan struct{}

	// start starts the child of an index and returns its pidfd.
	start func(i int) (pidfd int, err error)

	// end kills the children that live, waits until they are reaped, and ends it.
	end func()

	// revive has it start a child again as soon as that has died.
	revive bool

	// dead is told of each child that has died and is not started again.
	dead chan int

	mu     sync.Mutex
	pidfds []int // by the index of the child; -1 once it is dead
}

// startWatcher starts a program n times, each in a session of its own, and
// watches over them. The function says how each is started.
func startWatcher(b testing.TB, path string, n int, revive bool, how func(i int) (args, env []string)) *watcher {
	b.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	w := &watcher{b: b, null: null, done: make(chan struct{}), revive: revive, dead: make(chan int, n)}
	w.start = func(i int) (pidfd int, err error) {
		args, env := how(i)
		attr := os.ProcAttr{Env: env, Files: []*os.File{null, null, null}, Sys: &syscall.SysProcAttr{Setsid: true, PidFD: &pidfd}}
		p, err := os.StartProcess(path, append([]string{path}, args...), &attr)
		if err != nil {
			return -1, err
		}
		return pidfd, p.Release()
	}
	if w.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		b.Fatal(err)
	}
	if w.stop, err = unix.Eventfd(0, unix.EFD_CLOEXEC); err != nil {
		b.Fatal(err)
	}
	if err := w.watch(-1, w.stop); err != nil {
		b.Fatal(err)
	}
	go w.run()
	w.end = endLater(b, w.finish)
	for i := range n {
		if err := w.add(i); err != nil {
			w.end()
			b.Fatal(err)
		}
	}
	return w
}

// add starts the next child.
func (w *watcher) add(i int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	pidfd, err := w.start(i)
	if err != nil {
		return err
	}
	w.pidfds = append(w.pidfds, pidfd)
	return w.watch(i, pidfd)
}

// watch adds a descriptor to the epoll instance, under the index of its child.
func (w *watcher) watch(i, fd int) error {
	return unix.EpollCtl(w.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)})
}

func (w *watcher) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(w.done)
	events := make([]unix.EpollEvent, 64)
	for {
		n, err := unix.EpollWait(w.epoll, events, -1)
		if err != nil && err != unix.EINTR {
			w.b.Error(err)
			return
		}
		for _, e := range events[:max(n, 0)] {
			if e.Fd < 0 {
				return
			}
			if err := w.died(int(e.Fd)); err != nil {
				w.b.Error(err)
			}
		}
	}
}

// died reaps a child, and starts it again where that is wanted.
func (w *watcher) died(i int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	pidfd := w.pidfds[i]
	if err := unix.Waitid(unix.P_PIDFD, pidfd, nil, unix.WEXITED, nil); err != nil {
		return err
	}
	w.pidfds[i] = -1
	if err := unix.Close(pidfd); err != nil {
		return err
	}
	if !w.revive {
		w.dead <- i
		return nil
	}
	pidfd, err := w.start(i)
	if err == nil {
		w.pidfds[i], err = pidfd, w.watch(i, pidfd)
	}
	return err
}

// await waits until n more children have died and are reaped.
func (w *watcher) await(b *testing.B, n int) {
	b.Helper()
	deadline := time.After(patience)
	for range n {
		select {
		case <-w.dead:
		case <-deadline:
			b.Fatalf("a child that was killed is not dead after %s", patience)
		}
	}
}

// kill kills a child.
func (w *watcher) kill(i int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return kill(w.pidfds[i])
}

func (w *watcher) finish() {
	w.mu.Lock()
	w.revive = false
	living := 0
	for _, pidfd := range w.pidfds {
		if pidfd < 0 {
			continue
		}
		if err := kill(pidfd); err != nil {
			w.b.Error(err)
		}
		living++
	}
	w.mu.Unlock()
	for range living {
		<-w.dead
	}
	if _, err := unix.Write(w.stop, []byte{1, 0, 0, 0, 0, 0, 0, 0}); err != nil {
		w.b.Error(err)
	}
	<-w.done
	for _, err := range []error{unix.Close(w.stop), unix.Close(w.epoll), w.null.Close()} {
		if err != nil {
			w.b.Error(err)
		}
	}
}
