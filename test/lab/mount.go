package lab

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// mountFlagsEnv names the flags that every mount of a run has besides its own:
// what the share of [GivenServer] needs.
const mountFlagsEnv = "CSI9P_TEST_MOUNT_FLAGS"

// Mountpoint is a share mounted by a csi-9p process.
type Mountpoint struct {
	*Process
	Dir string // where it is mounted
}

// Mount mounts a share by `csi-9p mount --foreground` until the test ends. The
// options are those of -o: "cache=none".
func Mount(tb testing.TB, url string, options ...string) *Mountpoint {
	tb.Helper()
	return MountWith(tb, nil, url, options...)
}

// MountWith is Mount with more flags.
func MountWith(tb testing.TB, flags []string, url string, options ...string) *Mountpoint {
	tb.Helper()
	NeedRoot(tb)
	dir := filepath.Join(Dir(tb), "m")
	if err := os.Mkdir(dir, 0o755); err != nil {
		tb.Fatal(err)
	}
	loop := IOURing(tb)
	args := append([]string{"mount", "--foreground", "--io-uring=" + loop.String(), url, dir}, flags...)
	args = append(args, strings.Fields(os.Getenv(mountFlagsEnv))...)
	if len(options) > 0 {
		args = append(args, "-o", strings.Join(options, ","))
	}
	m := &Mountpoint{Dir: dir, Process: Start(tb, exec.Command(Binary(tb), args...))}
	Eventually(tb, hang, func() error {
		select {
		case <-m.Ended():
			tb.Fatalf("csi-9p mount %s ended: %v\n%s", url, m.err, m.Output())
		default:
		}
		return m.mounted()
	})
	tb.Cleanup(func() { m.Unmount(tb) })
	return m
}

// mounted is nil when something is mounted at the directory. It never touches
// the directory itself, which can block.
func (m *Mountpoint) mounted() error {
	mounts, err := mountinfo.GetMounts(mountinfo.SingleEntryFilter(m.Dir))
	if err != nil {
		return err
	}
	if len(mounts) == 0 {
		return fmt.Errorf("nothing is mounted at %s", m.Dir)
	}
	return nil
}

// Unmount detaches the mount and waits until its process has ended, which it
// must do by itself. A mount that is gone already is fine.
func (m *Mountpoint) Unmount(tb testing.TB) {
	tb.Helper()
	err := unix.Unmount(m.Dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		tb.Errorf("unmount %s: %v", m.Dir, err)
	}
	if err := m.Wait(hang); errors.Is(err, ErrStillRuns) {
		tb.Errorf("csi-9p mount after umount: %v", err)
		for _, holder := range m.holders() {
			tb.Errorf("the mount lives on in the mount namespace of %s", holder)
		}
		m.Dump(tb)
		m.Kill(tb)
	}
}

// holders names the processes that see the mount still: each mount namespace
// made while it was mounted has a copy of its own, which keeps it alive.
func (m *Mountpoint) holders() []string {
	files, err := filepath.Glob("/proc/[0-9]*/mountinfo")
	if err != nil {
		return nil
	}
	var all []string
	for _, file := range files {
		table, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(table, []byte(" "+m.Dir+" ")) {
			continue
		}
		all = append(all, nameOf(filepath.Dir(file)))
	}
	return all
}
