package ninefs_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/node/ninefs"
	"github.com/csi-9p/csi-9p/test/lab"
)

// ofd is an fcntl lock whose owner is the open file: within one process what another process's would be.
func ofd(f *os.File, cmd int, typ int16, start, length int64) error {
	return unix.FcntlFlock(f.Fd(), cmd, &unix.Flock_t{Type: typ, Start: start, Len: length})
}

func openRW(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	check(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// TestByteRangeLocks: on one mount, and on two that only the server brings together.
func TestByteRangeLocks(t *testing.T) {
	noLeak(t)
	s := exporter(t)
	a, b := twoMounts(t, s)
	for _, c := range []struct {
		name string
		on   [2]*mounted
	}{{"one mount", [2]*mounted{a, a}}, {"two mounts", [2]*mounted{a, b}}} {
		t.Run(c.name, func(t *testing.T) {
			path := strings.ReplaceAll(c.name, " ", "-")
			f, g := openRW(t, c.on[0].path(path)), openRW(t, c.on[1].path(path))
			check(t, ofd(f, unix.F_OFD_SETLK, unix.F_WRLCK, 10, 10))
			check(t, ofd(g, unix.F_OFD_SETLK, unix.F_WRLCK, 0, 10))
			check(t, ofd(g, unix.F_OFD_SETLK, unix.F_WRLCK, 20, 0))
			wantErr(t, ofd(g, unix.F_OFD_SETLK, unix.F_RDLCK, 15, 1), unix.EAGAIN)
			wantErr(t, ofd(f, unix.F_OFD_SETLK, unix.F_RDLCK, 1<<40, 1), unix.EAGAIN)

			probe := unix.Flock_t{Type: unix.F_WRLCK, Start: 5, Len: 10}
			check(t, unix.FcntlFlock(g.Fd(), unix.F_OFD_GETLK, &probe))
			if probe.Type != unix.F_WRLCK || probe.Start != 10 || probe.Len != 10 {
				t.Errorf("in the way of 5+10 is %+v, want the write lock of 10+10", probe)
			}
			check(t, ofd(f, unix.F_OFD_SETLK, unix.F_RDLCK, 10, 10))
			check(t, ofd(g, unix.F_OFD_SETLK, unix.F_RDLCK, 15, 1))
			wantErr(t, ofd(f, unix.F_OFD_SETLK, unix.F_WRLCK, 10, 10), unix.EAGAIN)
			check(t, ofd(f, unix.F_OFD_SETLK, unix.F_WRLCK, 10, 5))
			check(t, ofd(g, unix.F_OFD_SETLK, unix.F_UNLCK, 15, 1))
			check(t, ofd(f, unix.F_OFD_SETLK, unix.F_WRLCK, 10, 10))
			check(t, f.Close())
			lab.Eventually(t, 5*time.Second, func() error { return ofd(g, unix.F_OFD_SETLK, unix.F_WRLCK, 0, 0) })
		})
	}
}

func TestFlock(t *testing.T) {
	onServers(t, func(t *testing.T, s share) {
		a, b := twoMounts(t, s)
		f, g, h := openRW(t, a.path("f")), openRW(t, a.path("f")), openRW(t, b.path("f"))
		check(t, unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB))
		wantErr(t, unix.Flock(int(g.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
		wantErr(t, unix.Flock(int(h.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
		check(t, unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB))
		check(t, unix.Flock(int(h.Fd()), unix.LOCK_SH|unix.LOCK_NB))
		wantErr(t, unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB), unix.EWOULDBLOCK)
		check(t, unix.Flock(int(h.Fd()), unix.LOCK_UN))
		check(t, f.Close())
		lab.Eventually(t, 5*time.Second, func() error { return unix.Flock(int(h.Fd()), unix.LOCK_EX|unix.LOCK_NB) })
	})
}

// TestWaitForLock: waiters get their turn, here and on another client.
func TestWaitForLock(t *testing.T) {
	noLeak(t)
	s := exporter(t)
	a, b := twoMounts(t, s)
	write(t, a.path("counter"), "0")
	var inside atomic.Int32
	errs := make(chan error)
	const workers, rounds = 6, 10
	for w := range workers {
		m := []*mounted{a, b}[w%2]
		go func() { errs <- countUp(m.path("counter"), rounds, &inside) }()
	}
	for range workers {
		check(t, <-errs)
	}
	wantContent(t, filepath.Join(s.root, "counter"), fmt.Sprint(workers*rounds))
}

// countUp adds one to the number in a file, many times, each under a lock.
func countUp(path string, rounds int, inside *atomic.Int32) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, 16)
	for range rounds {
		if err := ofd(f, unix.F_OFD_SETLKW, unix.F_WRLCK, 0, 0); err != nil {
			return err
		}
		if inside.Add(1) != 1 {
			return errors.New("two hold an exclusive lock")
		}
		n, _ := f.ReadAt(buf, 0)
		var count int
		if _, err := fmt.Sscan(string(buf[:n]), &count); err != nil {
			return err
		}
		if _, err := f.WriteAt([]byte(fmt.Sprint(count+1)), 0); err != nil {
			return err
		}
		inside.Add(-1)
		if err := ofd(f, unix.F_OFD_SETLK, unix.F_UNLCK, 0, 0); err != nil {
			return err
		}
	}
	return nil
}

// lockWaiter waits for a lock in a process of its own, so that it can be killed and interrupted.
func lockWaiter(args []string) error {
	f, err := os.OpenFile(args[0], os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FcntlFlock(f.Fd(), unix.F_SETLKW, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		return err
	}
	return os.WriteFile(args[1], nil, 0o600)
}

// TestKilledWaiter: a process that waits for a lock can be killed, whether a local owner is in its way or one of another
// client, and its wait leaves nothing behind.
func TestKilledWaiter(t *testing.T) {
	noLeak(t)
	s := exporter(t)
	a, b := twoMounts(t, s)
	for _, waitOn := range []*mounted{a, b} {
		f := openRW(t, a.path("f"))
		// The kernel releases a file after close(2) has returned, and through the other mount here.
		lab.Eventually(t, 5*time.Second, func() error { return ofd(f, unix.F_OFD_SETLK, unix.F_WRLCK, 0, 0) })
		mark := filepath.Join(lab.Dir(t), "got it")
		p := lab.Child(t, "wait for a lock", waitOn.path("f"), mark)
		lab.Eventually(t, 5*time.Second, func() error { return inLockWait(p.PID()) })
		check(t, syscall.Kill(p.PID(), syscall.SIGKILL))
		lab.Eventually(t, 5*time.Second, func() error {
			select {
			case <-p.Ended():
				return nil
			default:
				return errors.New("the killed process is still there")
			}
		})
		check(t, f.Close())
		g := openRW(t, b.path("f"))
		lab.Eventually(t, 5*time.Second, func() error { return ofd(g, unix.F_OFD_SETLK, unix.F_WRLCK, 0, 0) })
		check(t, g.Close())
		if _, err := os.Stat(mark); err == nil {
			t.Error("the waiter got a lock that was held")
		}
	}
}

// inLockWait reports whether some thread of a process waits in fcntl(2) with F_SETLKW.
func inLockWait(pid int) error {
	calls, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", pid))
	if err != nil {
		return err
	}
	for _, path := range calls {
		b, err := os.ReadFile(path)
		if err == nil && strings.HasPrefix(string(b), fmt.Sprint(unix.SYS_FCNTL)+" ") {
			return nil
		}
	}
	return errors.New("no thread waits for a lock")
}

// TestProcessLocks: fcntl's own locks belong to a process, and any close of the file gives them back.
func TestProcessLocks(t *testing.T) {
	noLeak(t)
	m := mount(t, exporter(t))
	f := openRW(t, m.path("f"))
	check(t, unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}))
	g := openRW(t, m.path("f"))
	check(t, unix.FcntlFlock(g.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})) // the same process's
	if tryLock(t, m.path("f")) == nil {
		t.Error("another process got the lock")
	}
	check(t, g.Close())
	check(t, tryLock(t, m.path("f")))
}

// tryLock takes a process lock in another process.
func tryLock(t *testing.T, path string) error {
	out, err := exec.Command("python3", "-c",
		"import fcntl,sys; fcntl.lockf(open(sys.argv[1],'r+'), fcntl.LOCK_EX|fcntl.LOCK_NB)", path).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// TestInterruptedWait: a wait for a lock ends with EINTR when its process gets a signal, as fcntl(2) has it.
func TestInterruptedWait(t *testing.T) {
	noLeak(t)
	a, b := twoMounts(t, exporter(t))
	f := openRW(t, a.path("f"))
	check(t, ofd(f, unix.F_OFD_SETLK, unix.F_WRLCK, 0, 0))
	for _, m := range []*mounted{a, b} {
		out, err := exec.Command("timeout", "20", "python3", "-c", `
import fcntl, signal, sys
def alarm(*_): raise InterruptedError
signal.signal(signal.SIGALRM, alarm)
signal.setitimer(signal.ITIMER_REAL, 0.2)
try: fcntl.lockf(open(sys.argv[1], 'r+'), fcntl.LOCK_EX)
except InterruptedError: print("interrupted")`, m.path("f")).CombinedOutput()
		if err != nil || string(out) != "interrupted\n" {
			t.Errorf("a waiter that got a signal: %v: %s", err, out)
		}
	}
	check(t, ofd(f, unix.F_OFD_SETLK, unix.F_UNLCK, 0, 0))
	check(t, tryLock(t, b.path("f")))
}

// TestDeadlock: two that wait for each other are told so.
func TestDeadlock(t *testing.T) {
	noLeak(t)
	m := mount(t, exporter(t))
	f, g := openRW(t, m.path("f")), openRW(t, m.path("f"))
	check(t, ofd(f, unix.F_OFD_SETLK, unix.F_WRLCK, 0, 1))
	check(t, ofd(g, unix.F_OFD_SETLK, unix.F_WRLCK, 1, 1))
	errs := make(chan error, 2)
	go func() { errs <- ofd(f, unix.F_OFD_SETLKW, unix.F_WRLCK, 1, 1) }()
	go func() { errs <- ofd(g, unix.F_OFD_SETLKW, unix.F_WRLCK, 0, 1) }()
	wantErr(t, <-errs, unix.EDEADLK)
	check(t, ofd(f, unix.F_OFD_SETLK, unix.F_UNLCK, 0, 1))
	check(t, ofd(g, unix.F_OFD_SETLK, unix.F_UNLCK, 1, 1))
	check(t, <-errs)
}

// TestLocalLocks: a server whose locks are not to be believed is not asked.
func TestLocalLocks(t *testing.T) {
	noLeak(t)
	s := exporter(t)
	table := ninefs.NewLockTable()
	set := func(o *ninefs.Options) { o.LocalLocks, o.Locks = true, table }
	a, b := mount(t, s, set), mount(t, s, set)
	f, g := openRW(t, a.path("f")), openRW(t, b.path("f"))
	check(t, ofd(f, unix.F_OFD_SETLK, unix.F_WRLCK, 0, 0))
	wantErr(t, ofd(g, unix.F_OFD_SETLK, unix.F_WRLCK, 0, 0), unix.EAGAIN)
	other := openRW(t, mount(t, s).path("f"))
	check(t, ofd(other, unix.F_OFD_SETLK, unix.F_WRLCK, 0, 0))
}
