package ninefs_test

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep/server"
	"github.com/csi-9p/csi-9p/node/ninefs"
	"github.com/csi-9p/csi-9p/test/lab"
)

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
	volume, dir := stat(t, m.dir), stat(t, bound)

	start := stop()
	var waiting sync.WaitGroup
	var begun atomic.Int32
	for i := range 150 {
		waiting.Go(func() {
			begun.Add(1)
			if err := unix.Lstat(m.path(fmt.Sprint("missing", i)), &unix.Stat_t{}); !errors.Is(err, unix.ENOENT) {
				t.Errorf("who waits for the server: %v, want ENOENT once it is back", err)
			}
		})
	}
	for begun.Load() < 150 {
		time.Sleep(time.Millisecond)
	}
	asked := make(chan struct{})
	go func() { // asked while the server could be reached, as far as was known
		defer close(asked)
		stat(t, m.dir)
	}()
	gone.Store(true)
	<-asked
	if now := stat(t, m.dir); now != volume {
		t.Errorf("the volume's root: %+v, was %+v", now, volume)
	}
	if now := stat(t, bound); now != dir {
		t.Errorf("a directory: %+v, was %+v", now, dir)
	}

	start()
	waiting.Wait()
	check(t, os.Chmod(s.root+"/dir", 0o700))
	gone.Store(false)
	if now := stat(t, bound); now.Mode != unix.S_IFDIR|0o700 {
		t.Errorf("the server is back, and a directory's mode is %o", now.Mode)
	}
}
