package mount_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/test/lab"
)

// TestLocks: locks of processes on one mount, and on two of one share, exclude
// each other as on a local file system. A lock of diod's covers a whole file.
func TestLocks(t *testing.T) {
	forServers(t, func(t *testing.T, server *lab.Server) {
		a, b := lab.Mount(t, server.URL).Dir, lab.Mount(t, server.URL).Dir
		beside := map[string]string{"exporter": "granted", "diod": "refused"}[server.Name]
		for name, test := range map[string]struct {
			other string
			start int64 // of the range that the other asks for; 100 to 199 is held
			kind  string
			want  string
		}{
			"range-on-one-mount":       {a, 150, "fcntl", "refused"},
			"beside-on-one-mount":      {a, 200, "fcntl", beside},
			"whole-file-on-one-mount":  {a, 0, "flock", "refused"},
			"range-on-two-mounts":      {b, 150, "fcntl", "refused"},
			"beside-on-two-mounts":     {b, 200, "fcntl", beside},
			"whole-file-on-two-mounts": {b, 0, "flock", "refused"},
		} {
			t.Run(name, func(t *testing.T) {
				held := openFile(t, filepath.Join(a, name), os.O_RDWR|os.O_CREATE)
				must(t, takeLock(held, test.kind, 100))
				child(t, "lock", filepath.Join(test.other, name), test.kind, fmt.Sprint(test.start), test.want)
				must(t, held.Close())
				child(t, "lock", filepath.Join(test.other, name), test.kind, fmt.Sprint(test.start), "granted")
			})
		}
	})
}

// takeLock takes a lock of 100 bytes, or of the whole file, without waiting.
func takeLock(f *os.File, kind string, start int64) error {
	if kind == "flock" {
		return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	return unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Start: start, Len: 100})
}

// lockFile is a child's work: args are the file, the kind of lock, its start
// and what the answer has to be.
func lockFile(args []string) error {
	f, err := os.OpenFile(args[0], os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	var start int64
	if _, err := fmt.Sscan(args[2], &start); err != nil {
		return err
	}
	got := "granted"
	switch err := takeLock(f, args[1], start); {
	case errors.Is(err, unix.EAGAIN):
		got = "refused"
	case err != nil:
		return err
	}
	if got != args[3] {
		return fmt.Errorf("%s, want %s", got, args[3])
	}
	return nil
}

// TestLocksOfThreads: threads of one process own its fcntl locks together. Whatever they do at the same time, what is given back
// at the end is free on the server too.
func TestLocksOfThreads(t *testing.T) {
	forServers(t, func(t *testing.T, server *lab.Server) {
		a, b := lab.Mount(t, server.URL).Dir, lab.Mount(t, server.URL).Dir
		f := openFile(t, a+"/f", os.O_RDWR|os.O_CREATE)
		other := openFile(t, b+"/f", os.O_RDWR)
		for range 50 {
			var threads errgroup.Group
			for range 4 {
				threads.Go(func() error {
					err := unix.FcntlFlock(f.Fd(), unix.F_SETLKW, &unix.Flock_t{Type: unix.F_WRLCK})
					return errors.Join(err, unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_UNLCK}))
				})
			}
			must(t, threads.Wait())
			must(t, unix.FcntlFlock(other.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}))
			must(t, unix.FcntlFlock(other.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_UNLCK}))
		}
	})
}
