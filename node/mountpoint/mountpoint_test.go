package mountpoint_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/node/mountpoint"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
	mount "k8s.io/mount-utils"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var mounter mountpoint.Mounter

// dir makes a directory that has no mount left on it when the test ends.
func dir(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := mounter.Unmount(path); err != nil {
			t.Error(err)
		}
	})
	return path
}

func bind(t *testing.T, source, target string, options ...string) {
	t.Helper()
	if err := mounter.Mount(source, target, "", append(options, "bind")); err != nil {
		t.Fatal(err)
	}
}

func at(t *testing.T, path string) []mount.MountInfo {
	t.Helper()
	infos, err := mountpoint.At(path)
	if err != nil {
		t.Fatal(err)
	}
	return infos
}

func TestBindShowsTheSource(t *testing.T) {
	source, target := dir(t, "source"), dir(t, "target")
	bind(t, source, target)
	if err := os.WriteFile(filepath.Join(target, "f"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(source, "f")); err != nil {
		t.Errorf("what was written to the bind is not in its source: %v", err)
	}
}

func TestBindReadOnlyLeavesTheSourceWritable(t *testing.T) {
	source, target := dir(t, "source"), dir(t, "target")
	bind(t, source, target, "ro", "nosuid", "nodev", "noexec")
	if err := os.WriteFile(filepath.Join(target, "f"), nil, 0o600); !errors.Is(err, unix.EROFS) {
		t.Errorf("writing to a read-only bind: %v, want EROFS", err)
	}
	if err := os.WriteFile(filepath.Join(source, "f"), nil, 0o600); err != nil {
		t.Errorf("writing to its source: %v", err)
	}
	options := at(t, target)[0].MountOptions
	for _, want := range []string{"ro", "nosuid", "nodev", "noexec"} {
		if !slices.Contains(options, want) {
			t.Errorf("mount options %q lack %s", options, want)
		}
	}
}

func TestMountRefuses(t *testing.T) {
	source, target := dir(t, "source"), dir(t, "target")
	for name, test := range map[string]struct {
		source, target string
		options        []string
		want           error
	}{
		"a file system":     {source, target, nil, mountpoint.ErrBindOnly},
		"a missing source":  {source + "/none", target, []string{"bind"}, unix.ENOENT},
		"a missing target":  {source, target + "/none", []string{"bind"}, unix.ENOENT},
		"a missing target ": {source, target + "/none", []string{"bind", "ro"}, unix.ENOENT},
	} {
		t.Run(name, func(t *testing.T) {
			if err := mounter.Mount(test.source, test.target, "", test.options); !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
		})
	}
	if err := mounter.Mount(source, target, "", []string{"bind", "uid=0"}); err == nil {
		t.Error("an option that is no mount attribute is taken")
	}
	if found := at(t, target); len(found) != 0 {
		t.Errorf("failed calls left %v", found)
	}
}

func TestUnmount(t *testing.T) {
	source, target := dir(t, "source"), dir(t, "target")
	for _, path := range []string{target, filepath.Join(target, "none")} {
		if err := mounter.Unmount(path); err != nil {
			t.Errorf("unmounting %s, where nothing is mounted: %v", path, err)
		}
	}
	for range 3 {
		bind(t, source, target)
	}
	if n := len(at(t, target)); n != 3 {
		t.Fatalf("%d mounts at the target, want 3", n)
	}
	if err := mounter.Unmount(target); err != nil {
		t.Error(err)
	}
	if found := at(t, target); len(found) != 0 {
		t.Errorf("after unmounting: %v", found)
	}
}

func TestTableHasPathsAsTheyAre(t *testing.T) {
	source, target := dir(t, "the source"), dir(t, "a target\twith \\040 #1\n")
	bind(t, source, target)
	found := at(t, target)
	if len(found) != 1 {
		t.Fatalf("%d mounts found at %q, want 1", len(found), target)
	}
	if filepath.Base(found[0].Root) != "the source" {
		t.Errorf("root %q, want .../the source", found[0].Root)
	}
	if is, err := mounter.IsMountPoint(target + "/"); err != nil || !is {
		t.Errorf("IsMountPoint = %t, %v", is, err)
	}
	if not, err := mounter.IsLikelyNotMountPoint(source); err != nil || !not {
		t.Errorf("IsLikelyNotMountPoint of the source = %t, %v", not, err)
	}
}

func TestGetMountRefs(t *testing.T) {
	source, a, b := dir(t, "source"), dir(t, "a"), dir(t, "b")
	bind(t, source, a)
	bind(t, source, b)
	refs, err := mounter.GetMountRefs(a)
	if err != nil || !slices.Equal(refs, []string{b}) {
		t.Errorf("GetMountRefs = %q, %v, want %q", refs, err, b)
	}
	other, c := dir(t, "other"), dir(t, "c")
	bind(t, other, a)
	bind(t, other, c)
	if refs, err := mounter.GetMountRefs(a); err != nil || !slices.Equal(refs, []string{c}) {
		t.Errorf("GetMountRefs of a covered mount = %q, %v, want %q", refs, err, c)
	}
	if refs, err := mounter.GetMountRefs(source); err != nil || refs != nil {
		t.Errorf("GetMountRefs of no mount point = %q, %v", refs, err)
	}
}

// A FUSE mount that nobody serves answers no request: whoever sends one hangs.
func TestNothingAsksTheFileSystem(t *testing.T) {
	staging, target := dir(t, "staging"), dir(t, "target")
	dev, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		t.Fatalf("FUSE is needed: %v", err)
	}
	defer dev.Close() // aborts, should a call hang
	data := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", dev.Fd())
	if err := unix.Mount("nobody", staging, "fuse", 0, data); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		err := mounter.Mount(staging, target, "", []string{"bind", "ro"})
		_, listErr := mounter.List()
		_, refsErr := mounter.GetMountRefs(staging)
		done <- errors.Join(err, listErr, refsErr, mounter.Unmount(target), mounter.Unmount(staging))
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		_ = dev.Close()
		<-done
		t.Error("a call waited for the file system")
	}
}

func TestFlags(t *testing.T) {
	for name, test := range map[string]struct {
		options []string
		want    uintptr
	}{
		"none":           {nil, 0},
		"several":        {[]string{"ro", "nosuid", "noatime"}, unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NOATIME},
		"the last wins":  {[]string{"ro", "rw", "nodev", "dev", "noexec"}, unix.MS_NOEXEC},
		"sync and async": {[]string{"async", "sync"}, unix.MS_SYNCHRONOUS},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := mountpoint.Flags(test.options); err != nil || got != test.want {
				t.Errorf("Flags = %#x, %v, want %#x", got, err, test.want)
			}
		})
	}
	if _, err := mountpoint.Flags([]string{"msize=1"}); err == nil {
		t.Error("an unknown option is taken")
	}
}

func TestAttributes(t *testing.T) {
	for name, test := range map[string]struct {
		options    []string
		set, clear uint64
	}{
		"read-only":     {[]string{"bind", "ro"}, unix.MOUNT_ATTR_RDONLY, 0},
		"the last wins": {[]string{"ro", "rw"}, 0, unix.MOUNT_ATTR_RDONLY},
		"access times are one field": {
			[]string{"noatime", "strictatime"}, unix.MOUNT_ATTR_STRICTATIME, unix.MOUNT_ATTR__ATIME},
	} {
		t.Run(name, func(t *testing.T) {
			attr, err := mountpoint.Attributes(test.options)
			if err != nil || attr.Attr_set != test.set || attr.Attr_clr != test.clear {
				t.Errorf("Attributes = %+v, %v", attr, err)
			}
		})
	}
}
