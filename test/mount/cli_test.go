package mount_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/test/lab"
)

// TestBackground: csi-9p mount returns when the directory is usable, and
// umount(8) ends the process that serves it.
func TestBackground(t *testing.T) {
	forServers(t, func(t *testing.T, server *lab.Server) {
		dir := lab.Dir(t)
		t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
		put(t, filepath.Join(server.Root, "f"), "data")
		lab.Run(t, time.Minute, exec.Command(lab.Binary(t), "mount", server.URL, dir))
		sees(t, filepath.Join(dir, "f"), "data")
		if n := len(lab.Descendants()); n != 2 {
			t.Errorf("%d processes, want the server and the mount's", n)
		}
		lab.Run(t, time.Minute, exec.Command("umount", dir))
		lab.Eventually(t, unmountLimit, func() error {
			if n := len(lab.Descendants()); n != 1 {
				return fmt.Errorf("%d processes, want the server alone", n)
			}
			return nil
		})
		if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
			t.Errorf("after umount: %v, %v", entries, err)
		}
	})
}

// TestInterrupt: Ctrl-C unmounts a mount in the foreground.
func TestInterrupt(t *testing.T) {
	server := lab.Exporter(t, lab.Dir(t))
	mount := lab.Mount(t, server.URL)
	put(t, filepath.Join(mount.Dir, "f"), "data")
	mount.Signal(t, syscall.SIGINT)
	if err := mount.Wait(unmountLimit); err != nil {
		t.Errorf("after SIGINT: %v", err)
	}
	if entries, err := os.ReadDir(mount.Dir); err != nil || len(entries) > 0 {
		t.Errorf("still mounted: %v, %v", entries, err)
	}
}

// TestReadOnlyMount: -o ro is the mount's own, whatever the share allows.
func TestReadOnlyMount(t *testing.T) {
	forServers(t, func(t *testing.T, server *lab.Server) {
		put(t, filepath.Join(server.Root, "f"), "data")
		f := filepath.Join(lab.Mount(t, server.URL, "ro").Dir, "f")
		sees(t, f, "data")
		wants(t, "write", os.WriteFile(f, nil, 0o644), unix.EROFS)
		wants(t, "unlink", os.Remove(f), unix.EROFS)
	})
}

// TestAllow: the exporter lets in who is on the list.
func TestAllow(t *testing.T) {
	listed := lab.Exporter(t, lab.Dir(t), "--allow", "192.0.2.0/24", "--allow", "127.0.0.0/8")
	put(t, filepath.Join(lab.Mount(t, listed.URL).Dir, "f"), "data")
	other := lab.Exporter(t, lab.Dir(t), "--allow", "192.0.2.0/24")
	fails(t, "127.0.0.1", "mount", "--foreground", other.URL, lab.Dir(t))
}

// TestSquash: every client is one user to the exporter.
func TestSquash(t *testing.T) {
	root := lab.Dir(t)
	must(t, os.Chown(root, 1234, 5678))
	server := lab.Exporter(t, root, "--squash", "1234:5678")
	dir := lab.Mount(t, server.URL).Dir
	put(t, filepath.Join(dir, "f"), "data")
	var st unix.Stat_t
	must(t, unix.Stat(filepath.Join(root, "f"), &st))
	if st.Uid != 1234 || st.Gid != 5678 {
		t.Errorf("the file belongs to %d:%d", st.Uid, st.Gid)
	}
	if err := os.Chown(filepath.Join(dir, "f"), 1, 1); err == nil {
		t.Error("a squashed client gave a file away")
	}
}
