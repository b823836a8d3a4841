package ninefs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/ninefs"
)

// TestCollidingNumbers: a server that shows several devices in one tree under the inode numbers of each (diod, QEMU without
// multidevs=remap). A new tmpfs numbers its files like every other.
func TestCollidingNumbers(t *testing.T) {
	noLeak(t)
	s := poorQIDs(t, exporter(t))
	var devices []string
	for i := range 3 {
		dir := filepath.Join(s.root, fmt.Sprint("device", i))
		check(t, os.Mkdir(dir, 0o755))
		check(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"))
		t.Cleanup(func() { check(t, unix.Unmount(dir, unix.MNT_DETACH)) })
		check(t, os.Mkdir(filepath.Join(dir, "d"), 0o755))
		write(t, filepath.Join(dir, "d/f"), fmt.Sprint("content ", i))
		devices = append(devices, filepath.Base(dir))
	}
	m := mount(t, s)
	inodes := map[uint64]string{}
	for range 2 {
		for i, device := range devices {
			wantContent(t, m.path(device+"/d/f"), fmt.Sprint("content ", i))
			for _, name := range []string{device, device + "/d", device + "/d/f"} {
				ino := stat(t, m.path(name)).Ino
				if other, ok := inodes[ino]; ok && other != name {
					t.Errorf("%s and %s have inode %d", name, other, ino)
				}
				inodes[ino] = name
			}
		}
	}
	for i, device := range devices {
		write(t, m.path(device+"/d/f"), fmt.Sprint("new ", i))
	}
	for _, device := range devices {
		check(t, unix.Flock(int(openRW(t, m.path(device+"/d/f")).Fd()), unix.LOCK_EX|unix.LOCK_NB))
	}
	for i, device := range devices {
		wantContent(t, filepath.Join(s.root, device, "d/f"), fmt.Sprint("new ", i))
	}
}

// TestServerWithFewFids: the server refuses more than it bears, and the mount makes do.
func TestServerWithFewFids(t *testing.T) {
	noLeak(t)
	s := limited(t, 24)
	m := mount(t, s)
	for i := range 100 {
		dir := m.path(fmt.Sprint("d", i%10))
		check(t, os.MkdirAll(dir, 0o755))
		write(t, filepath.Join(dir, fmt.Sprint(i)), fmt.Sprint(i))
	}
	for i := range 100 {
		path := m.path(fmt.Sprintf("d%d/%d", i%10, i))
		wantContent(t, path, fmt.Sprint(i))
		check(t, os.Chmod(path, 0o600))
	}
	entries, err := os.ReadDir(m.path("d3"))
	check(t, err)
	if len(entries) != 10 {
		t.Errorf("%d entries, want 10", len(entries))
	}
}

// TestServerWithFewFidsInARush: many operations meet the server's limit at once, and all of them succeed.
func TestServerWithFewFidsInARush(t *testing.T) {
	noLeak(t)
	s := limited(t, 600)
	const files = 1200
	for i := range files {
		check(t, os.WriteFile(filepath.Join(s.root, fmt.Sprint(i)), nil, 0o644))
	}
	m := mount(t, s)
	var rush errgroup.Group
	for part := range 24 {
		rush.Go(func() error {
			for i := range files {
				if _, err := os.Lstat(m.path(fmt.Sprint((i*24 + part) % files))); err != nil {
					return err
				}
			}
			return nil
		})
	}
	check(t, rush.Wait())
}

// TestMountsShareFids: the fids that an idle mount keeps are given up when another one of the session needs them.
func TestMountsShareFids(t *testing.T) {
	noLeak(t)
	const most = 60
	s := limited(t, most)
	for i := range most {
		check(t, os.WriteFile(filepath.Join(s.root, fmt.Sprint(i)), nil, 0o644))
	}
	fids := ninefs.NewFidCache(ninefs.DefaultMaxFids)
	idle := mount(t, s, func(o *ninefs.Options) { o.Fids = fids })
	busy := mount(t, s, func(o *ninefs.Options) {
		o.Root.Drop()
		var err error
		o.Root, err = idle.session.Attach(t.Context(), ninep.AttachOptions{Aname: "/"})
		check(t, err)
		o.Fids = fids
	})
	for i := range most - 3 { // all but one, beside the two roots
		stat(t, idle.path(fmt.Sprint(i)))
	}
	for i := range most {
		stat(t, busy.path(fmt.Sprint(i)))
	}
	stat(t, idle.path("0"))
}
