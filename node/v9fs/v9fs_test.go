package v9fs_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/node/mountpoint"
	"github.com/csi-9p/csi-9p/node/nodetest"
	"github.com/csi-9p/csi-9p/node/v9fs"
	"github.com/csi-9p/csi-9p/transport/dial"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// kernel stands in for a kernel with v9fs: it mounts a file system in memory with some directories in its place, and
// records what it was asked. Binds and unmounts are real.
type kernel struct {
	mountpoint.Mounter
	mu    sync.Mutex
	asked []string // "mount DEVICE OPTIONS", "bind TARGET", "unmount TARGET", with names below dir
	dir   string
	err   error         // of mounting
	stuck chan struct{} // what mounting waits for
}

func (k *kernel) record(parts ...string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked = append(k.asked, strings.ReplaceAll(strings.Join(parts, " "), k.dir+"/", ""))
}

func (k *kernel) Mount(source, target, fstype string, options []string) error {
	if fstype != mountpoint.Kernel9P {
		k.record("bind", filepath.Base(source), target, strings.Join(options[1:], ","))
		return k.Mounter.Mount(source, target, fstype, options)
	}
	k.record("mount", source, strings.Join(options, ","))
	if k.stuck != nil {
		<-k.stuck
	}
	if k.err != nil {
		return &os.PathError{Op: "mount", Path: target, Err: k.err}
	}
	if err := unix.Mount(source, target, "tmpfs", 0, ""); err != nil {
		return err
	}
	for _, dir := range []string{"a", "b/c"} {
		if err := os.MkdirAll(filepath.Join(target, dir), 0o755); err != nil {
			return err
		}
	}
	return os.Symlink("/etc", filepath.Join(target, "link"))
}

func (k *kernel) Unmount(target string) error {
	k.record("unmount", target)
	return k.Mounter.Unmount(target)
}

// fixture is a node with that kernel.
type fixture struct {
	*kernel
	*v9fs.Mounts
	t *testing.T
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	dir := nodetest.Dir(t)
	k := &kernel{dir: dir}
	f := &fixture{kernel: k, t: t}
	f.restart()
	t.Cleanup(func() {
		if left := nodetest.Mounts(t, dir); len(left) > 0 {
			t.Errorf("mounts are left: %q", left)
		}
		for _, places := range []string{"shares", "volumes"} {
			if left, _ := os.ReadDir(filepath.Join(dir, "kernel", places)); len(left) > 0 {
				t.Errorf("directories are left: %v", left)
			}
		}
	})
	return f
}

// restart is a new process on the same node.
func (f *fixture) restart() {
	f.t.Helper()
	var err error
	if f.Mounts, err = v9fs.New(filepath.Join(f.dir, "kernel"), f.kernel); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) path(name string) string { return filepath.Join(f.dir, name) }

func (f *fixture) stage(v v9fs.Volume) error {
	f.t.Helper()
	if err := os.Mkdir(f.path("stage-"+v.ID), 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		f.t.Fatal(err)
	}
	return f.Stage(f.t.Context(), v, f.path("stage-"+v.ID))
}

func (f *fixture) unstage(id string) {
	f.t.Helper()
	if err := f.Unstage(f.t.Context(), id, f.path("stage-"+id)); err != nil {
		f.t.Errorf("unstage %s: %v", id, err)
	}
}

// shares is how many shares are mounted.
func (f *fixture) shares() int { return len(nodetest.Mounts(f.t, f.path("kernel/shares"))) }

func virtio(id string, directory ...string) v9fs.Volume {
	return v9fs.Volume{ID: id, Server: dial.URL{Scheme: dial.Virtio, Host: "share0"}, Device: "share0", Options: []string{"trans=virtio"}, Directory: directory}
}

func tcp(id string, directory ...string) v9fs.Volume {
	return v9fs.Volume{ID: id, Server: dial.URL{Scheme: dial.TCP, Host: "h", Port: 564}, Device: "10.0.0.5", Options: []string{"trans=tcp"}, Directory: directory}
}

// A device is mounted once for all of its volumes, whatever process stages them, and until the last is gone.
func TestVolumesOfADeviceShareItsMount(t *testing.T) {
	f := newFixture(t)
	if err := f.stage(virtio("v1", "a")); err != nil {
		t.Fatal(err)
	}
	f.restart()
	if err := f.stage(virtio("v2", "b", "c")); err != nil {
		t.Fatal(err)
	}
	if n := len(slices.DeleteFunc(slices.Clone(f.asked), func(s string) bool { return !strings.HasPrefix(s, "mount") })); n != 1 {
		t.Errorf("the device was mounted %d times: %q", n, f.asked)
	}
	table, err := mountpoint.Table()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"v1", "v2"} {
		at, err := mountpoint.At(f.path("stage-" + id))
		if err != nil || len(at) != 1 {
			t.Fatalf("%s: %v, %v", id, at, err)
		}
		if got, ours := f.VolumeOf(table, at[0]); !ours || got != id {
			t.Errorf("the mount of %s is taken for one of %q, %t", id, got, ours)
		}
	}
	f.restart()
	f.unstage("v1")
	if has, err := f.Has("v1"); has || err != nil {
		t.Errorf("v1 is still here: %t, %v", has, err)
	}
	if f.shares() != 1 {
		t.Errorf("the device's mount is gone while v2 is staged")
	}
	f.unstage("v2")
	f.unstage("v2") // again
}

func TestVolumeOfAServerHasAConnectionOfItsOwn(t *testing.T) {
	f := newFixture(t)
	for _, id := range []string{"v1", "v2"} {
		if err := f.stage(tcp(id, "a")); err != nil {
			t.Fatal(err)
		}
	}
	if f.shares() != 0 {
		t.Error("shares stay mounted beside the volumes")
	}
	f.unstage("v1")
	f.unstage("v2")
}

func TestWholeTree(t *testing.T) {
	f := newFixture(t)
	if err := f.stage(tcp("v1")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(f.path("stage-v1/b/c")); err != nil {
		t.Error(err)
	}
	f.unstage("v1")
}

// A device is one session, whose parameters cannot be two volumes' at once.
func TestDeviceWithOtherParameters(t *testing.T) {
	f := newFixture(t)
	if err := f.stage(virtio("v1", "a")); err != nil {
		t.Fatal(err)
	}
	other := virtio("v2", "a")
	other.Options = append(other.Options, "cache=loose")
	if err := f.stage(other); driver.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "one session") {
		t.Errorf("answered %v", err)
	}
	f.unstage("v1")
}

// Whoever writes to the share cannot lead a bind to a directory of the node.
func TestSymbolicLinkOnTheShare(t *testing.T) {
	f := newFixture(t)
	err := f.stage(tcp("v1", "link"))
	if driver.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("answered %v", err)
	}
	f.unstage("v1")
}

func TestMissingDirectory(t *testing.T) {
	f := newFixture(t)
	if err := f.stage(virtio("v1", "none")); driver.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "none") {
		t.Errorf("answered %v", err)
	}
	f.unstage("v1")
}

// What is read-only or has other options is so where it is staged, whoever shares the mount.
func TestFlags(t *testing.T) {
	f := newFixture(t)
	v := virtio("v1", "a")
	v.Flags = []string{"ro", "noexec", "sync"}
	if err := f.stage(v); err != nil {
		t.Fatal(err)
	}
	if err := f.stage(virtio("v2", "a")); err == nil {
		t.Error("a session that writes synchronously is shared with a volume that does not")
	}
	at, err := mountpoint.At(f.path("stage-v1"))
	if err != nil || len(at) != 1 || !slices.Contains(at[0].MountOptions, "ro") || !slices.Contains(at[0].MountOptions, "noexec") {
		t.Errorf("mounted as %+v, %v", at, err)
	}
	f.unstage("v1")
	f.unstage("v2")
}

// A call that died after it had mounted leaves what the next one finds.
func TestStageAfterACrash(t *testing.T) {
	f := newFixture(t)
	if err := f.stage(tcp("v1", "none")); err == nil { // mounted, and not bound
		t.Fatal("staged a directory that is not there")
	}
	if err := f.stage(tcp("v1", "a")); err != nil {
		t.Fatal(err)
	}
	if err := (mountpoint.Mounter{}).Unmount(f.path("stage-v1")); err != nil { // bound at its place, and not staged
		t.Fatal(err)
	}
	f.restart()
	if err := f.stage(tcp("v1", "a")); err != nil {
		t.Fatal(err)
	}
	f.unstage("v1")
}

// A mount that waits for its server keeps nobody longer than they want to wait, and is not made when it is too late.
func TestMountThatHangs(t *testing.T) {
	f := newFixture(t)
	f.stuck = make(chan struct{})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := os.Mkdir(f.path("stage-v1"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := f.Stage(ctx, tcp("v1", "a"), f.path("stage-v1")); driver.Code(err) != codes.DeadlineExceeded {
		t.Errorf("answered %v", err)
	}
	close(f.stuck)
	if err := f.stage(tcp("v1", "a")); err != nil {
		t.Error(err)
	}
	f.unstage("v1")
}

func TestMountFails(t *testing.T) {
	for _, test := range []struct {
		volume v9fs.Volume
		err    error
		code   codes.Code
		tells  []string
	}{
		{tcp("v1"), unix.ENODEV, codes.FailedPrecondition, []string{"modprobe 9p", "cloud kernels", "engine: embedded"}},
		{tcp("v1"), unix.EINVAL, codes.FailedPrecondition, []string{"modprobe 9pnet_fd"}},
		{virtio("v1"), unix.EINVAL, codes.FailedPrecondition, []string{"modprobe 9pnet_virtio"}},
		{virtio("v1"), unix.EBUSY, codes.FailedPrecondition, []string{"virtio://share0", "one session"}},
		{virtio("v1"), unix.ENOENT, codes.FailedPrecondition, []string{"mount tag", "csi-9p doctor"}},
		{tcp("v1"), unix.EPERM, codes.PermissionDenied, []string{"attachUid"}},
		{tcp("v1"), unix.ECONNREFUSED, codes.Unavailable, []string{"tcp://h", "refused"}},
	} {
		f := newFixture(t)
		f.err = test.err
		err := f.stage(test.volume)
		if driver.Code(err) != test.code {
			t.Errorf("%v: answered %v", test.err, err)
			continue
		}
		for _, text := range test.tells {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%v: %q does not tell %q", test.err, err, text)
			}
		}
		f.unstage("v1")
	}
}

func TestOptions(t *testing.T) {
	for _, test := range []struct {
		url, device, options string
		pairs                map[string]string
	}{
		{"tcp://127.0.0.1", "127.0.0.1", "trans=tcp,port=564,version=9p2000.L,msize=1048576,cache=mmap,access=user,uname=root,dfltuid=0", nil},
		{"tcp://127.0.0.1:5640/tank", "127.0.0.1", "trans=tcp,port=5640,version=9p2000.u,msize=65560,cache=loose,access=any,uname=1000,dfltuid=1000,aname=/tank",
			map[string]string{"dialect": "9P2000.u", "msize": "64Ki", "cache": "loose", "access": "single", "attachUid": "1000"}},
		{"unix:///run/9p.sock?aname=/x", "/run/9p.sock", "trans=unix,version=9p2000.L,msize=1048576,cache=none,access=user,uname=root,dfltuid=0,aname=/x",
			map[string]string{"cache": "none"}},
		{"virtio://share0", "share0", "trans=virtio,version=9p2000.L,msize=512000,cache=mmap,access=user,uname=root,dfltuid=0", nil},
	} {
		u, err := dial.Parse(test.url)
		if err != nil {
			t.Fatal(err)
		}
		values := map[string]string{"share": "tank", "engine": "kernel"}
		for k, v := range test.pairs {
			values[k] = v
		}
		p, err := params.Parse(values)
		if err != nil {
			t.Fatal(err)
		}
		if p.Cache == params.CacheAuto {
			p.Cache = params.CacheCloseToOpen
		}
		device, options, err := v9fs.Options(t.Context(), u, p, p.Cache)
		if err != nil || device != test.device || strings.Join(options, ",") != test.options {
			t.Errorf("%s: got %s %s, %v", test.url, device, strings.Join(options, ","), err)
		}
	}
}

func TestOptionsRefuse(t *testing.T) {
	p := params.Defaults()
	p.Engine = params.EngineKernel
	for url, tells := range map[string]string{
		"tcp://[::1]":            "IPv4",
		"tcp://127.0.0.1/a,b":    "comma",
		"tls://127.0.0.1":        "tls://",
		"tcp://no-such.invalid/": "resolver",
	} {
		u, err := dial.Parse(url)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := v9fs.Options(t.Context(), u, p, params.CacheNone); err == nil || !strings.Contains(err.Error(), tells) {
			t.Errorf("%s: got %v", url, err)
		}
	}
}
