package ninefs_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep/server"
	"github.com/csi-9p/csi-9p/node/ninefs"
	"github.com/csi-9p/csi-9p/test/lab"
)

// look is a child's work: it prints what stat(2) and statfs(2) say of each path.
func look(paths []string) error {
	for _, path := range paths {
		var st unix.Stat_t
		var fs unix.Statfs_t
		if err := errors.Join(unix.Stat(path, &st), unix.Statfs(path, &fs)); err != nil {
			return err
		}
		fmt.Printf("%+v, %d blocks of %d\n", st, fs.Blocks, fs.Bsize) // how many are free changes by the moment
	}
	return nil
}

// seekers are more than a mount has workers.
const seekers = 150

// seek is a child's work: it looks for many names at a time that are not in a directory.
func seek(args []string) error {
	var seeking sync.WaitGroup
	failed := make(chan error, 1)
	for i := range seekers {
		seeking.Go(func() {
			err := unix.Lstat(fmt.Sprint(args[0], "/missing", i), &unix.Stat_t{})
			if !errors.Is(err, unix.ENOENT) {
				select {
				case failed <- fmt.Errorf("%w, want ENOENT", err):
				default:
				}
			}
		})
	}
	seeking.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// waiting counts the threads of a process that wait for an answer of FUSE (request_wait_answer of fs/fuse/dev.c).
func waiting(t *testing.T, p *lab.Process) (n int) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/wchan", p.PID()))
	check(t, err)
	for _, file := range files {
		if in, err := os.ReadFile(file); err == nil && string(in) == "request_wait_answer" {
			n++
		}
	}
	return n
}

// TestMountPointsOfAServerThatIsGone: whoever looks at a mount point, of the volume or of a directory in it, does not wait for
// a server that cannot be reached, though more requests wait for it than are worked on at a time.
func TestMountPointsOfAServerThatIsGone(t *testing.T) {
	noLeak(t)
	s, stop := stoppable(t, server.Options{})
	var gone atomic.Bool
	m := mount(t, s, func(o *ninefs.Options) {
		o.AttrTimeout = time.Nanosecond
		o.Unreachable = gone.Load
	})
	check(t, os.Mkdir(m.path("dir"), 0o750))
	bound := lab.Dir(t)
	check(t, unix.Mount(m.path("dir"), bound, "", unix.MS_BIND, ""))
	t.Cleanup(func() { check(t, unix.Unmount(bound, unix.MNT_DETACH)) })
	seen := func() string {
		t.Helper()
		return lab.Run(t, 20*time.Second, lab.ChildCommand(t, "look", m.dir, bound))
	}
	before := seen()

	start := stop()
	early := lab.Child(t, "look", m.dir) // asks while the server can be reached, as far as is known
	gone.Store(true)
	check(t, early.Wait(20*time.Second))
	seeker := lab.Child(t, "seek", m.dir)
	lab.Eventually(t, 20*time.Second, func() error {
		if n := waiting(t, seeker); n < seekers {
			return fmt.Errorf("%d of %d wait", n, seekers)
		}
		return nil
	})
	if now := seen(); now != before {
		t.Errorf("of a server that is gone:\n%swas\n%s", now, before)
	}

	start()
	if err := seeker.Wait(20 * time.Second); err != nil {
		t.Errorf("who waited for the server: %v\n%s", err, seeker.Output())
	}
	check(t, os.Chmod(s.root+"/dir", 0o700))
	gone.Store(false)
	if now := stat(t, bound); now.Mode != unix.S_IFDIR|0o700 {
		t.Errorf("the server is back, and a directory's mode is %o", now.Mode)
	}
}
