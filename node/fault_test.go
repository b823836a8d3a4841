package node_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/node"
	"github.com/csi-9p/csi-9p/node/fuse"
	"github.com/csi-9p/csi-9p/node/mounter"
	"github.com/csi-9p/csi-9p/node/nodetest"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
)

// patience is what a call has with a dead server.
const patience = 5 * time.Second

func (k *kubelet) unpublishAndUnstageInTime() {
	k.t.Helper()
	k.within(patience, func(ctx context.Context) error {
		_, err := k.NodeUnpublishVolume(ctx, &csi.NodeUnpublishVolumeRequest{VolumeId: "v", TargetPath: k.target("a")})
		return err
	})
	k.within(patience, func(ctx context.Context) error {
		_, err := k.NodeUnstageVolume(ctx, &csi.NodeUnstageVolumeRequest{VolumeId: "v", StagingTargetPath: k.staging("v")})
		return err
	})
	k.noMounts()
}

func TestServerKilled(t *testing.T) {
	k := newKubelet(t)
	k.must(k.stage("v"), k.publish("v", "a"))
	k.hello("a")
	k.exporter.Kill()
	_, err := k.stats("v", k.target("a"))
	code(t, err, codes.Unavailable)
	k.must(k.stage("v"), k.publish("v", "a"), k.publish("v", "b"), k.unpublish("v", "b"))
	k.unpublishAndUnstageInTime()
}

// A volume on a server that another volume's session has lost.
func TestStageOnALostServer(t *testing.T) {
	k := newKubelet(t)
	k.must(k.stage("v"))
	k.exporter.Kill()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err := k.NodeStageVolume(ctx, k.stageRequest("w"))
	code(t, err, codes.Unavailable)
	if err == nil || !strings.Contains(err.Error(), k.exporter.URL) {
		t.Errorf("message %v does not name the server", err)
	}
	k.must(k.unstage("w"), k.unstage("v"))
	k.noMounts()
}

// A process that holds a file keeps the mount alive when it is detached. With
// the server lost, its next access fails.
func TestServerKilledUnderAnOpenFile(t *testing.T) {
	k := newKubelet(t)
	k.must(k.stage("v"), k.publish("v", "a"))
	fd, err := unix.Open(k.target("a")+"/f", unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	k.exporter.Kill()
	k.unpublishAndUnstageInTime()
	if _, err := unix.Read(fd, make([]byte, 1)); err == nil {
		t.Error("the open file can be read")
	}
}

// A process with a dirty mapped page waits for the server when it unmaps it; the
// abort lets it go.
func TestServerKilledUnderADirtyPage(t *testing.T) {
	k := newKubelet(t)
	k.must(k.stage("v"), k.publish("v", "a"))
	unmap := k.dirty(k.target("a") + "/mapped")
	k.exporter.Kill()
	k.unpublishAndUnstageInTime()
	_ = unmap() // hangs, and the test with it, if nobody ended the connection
}

// dirty maps a file and writes to its page.
func (k *kubelet) dirty(path string) (unmap func() error) {
	k.t.Helper()
	if err := nodetest.WriteFile(path, string(make([]byte, 4096))); err != nil {
		k.t.Fatal(err)
	}
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		k.t.Fatal(err)
	}
	defer unix.Close(fd)
	page, err := unix.Mmap(fd, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		k.t.Fatal(err)
	}
	copy(page, "dirty")
	return func() error { return unix.Munmap(page) }
}

// What was dirtied through mmap is on the server when the volume is unstaged.
func TestUnstageAfterADirtyPage(t *testing.T) {
	k := newKubelet(t)
	k.must(k.stage("v"), k.publish("v", "a"))
	unmap := k.dirty(k.target("a") + "/mapped")
	k.must(unmap(), k.unpublish("v", "a"), k.unstage("v"))
	if got, err := os.ReadFile(k.onServer("mapped")); err != nil || string(got[:5]) != "dirty" {
		t.Errorf("on the server: %.5q, %v", got, err)
	}
	k.noMounts()
}

func TestUnstageUnderAnOpenFile(t *testing.T) {
	k := newKubelet(t)
	k.must(k.stage("v"), k.publish("v", "a"))
	fd, err := unix.Open(k.target("a")+"/f", unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	closeFile := func() { _ = unix.Close(fd) }
	k.must(k.unpublish("v", "a"), k.unstage("v"))
	if left := nodetest.Mounts(t, k.dir); len(left) > 0 {
		t.Errorf("still mounted: %q", left)
	}
	if _, err := unix.Write(fd, []byte("late")); err != nil {
		t.Errorf("the process that holds a file: %v", err)
	}
	k.must(k.stage("v"), k.publish("v", "a"))
	if got, err := nodetest.ReadFile(k.target("a") + "/f"); err != nil || got != "late" {
		t.Errorf("staged again: %q, %v", got, err)
	}
	closeFile()
	k.must(k.unpublish("v", "a"), k.unstage("v"))
	nodetest.Eventually(t, "the first mount is gone", func() bool {
		all, err := k.mounter.List(t.Context())
		return err == nil && len(all) == 0
	})
}

func TestServerComesBack(t *testing.T) {
	k := newKubelet(t)
	k.must(k.stage("v"), k.publish("v", "a"))
	k.exporter.Kill()
	k.exporter.Start()
	k.hello("a")
	k.must(k.unpublish("v", "a"), k.unstage("v"))
	k.noMounts()
}

func TestMounterKilled(t *testing.T) {
	k := newKubelet(t)
	k.must(k.stage("v"), k.publish("v", "a"))
	k.mounter.Kill()
	code(t, k.stage("v"), codes.Unavailable)
	_, err := k.stats("v", k.target("a"))
	code(t, err, codes.Unavailable)
	k.unpublishAndUnstageInTime()
}

// A mounter that was restarted knows nothing: the next call that needs the
// mount replaces it.
func TestMounterRestarted(t *testing.T) {
	for name, again := range map[string]func(*kubelet) error{
		"staged again":                        func(k *kubelet) error { return k.stage("v") },
		"published to a new pod":              func(k *kubelet) error { return nil },
		"by a node service restarted as well": func(k *kubelet) error { k.restart(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			k := newKubelet(t)
			k.must(k.stage("v"), k.publish("v", "a"))
			k.mounter.Kill()
			k.mounter.Start()
			_, err := k.stats("v", k.target("a"))
			code(t, err, codes.Unavailable)
			k.must(again(k), k.publish("v", "b"))
			k.hello("b")
			k.must(k.publish("v", "a")) // the dead mount is replaced as well
			k.hello("a")
			k.must(k.unpublish("v", "b"))
			k.unpublishAndUnstageInTime()
		})
	}
}

var errKilled = errors.New("killed")

// killer ends the node service's calls at one step, as a kill of it does: what
// it had asked for has happened, what comes next has not.
type killer struct {
	node.Mounter
	before, after string
}

func (d killer) at(step string, do func() error) error {
	if d.before == step {
		return errKilled
	}
	err := do()
	if d.after == step {
		return errKilled
	}
	return err
}

func (d killer) Prepare(ctx context.Context, spec mounter.Spec) error {
	return d.at("prepare", func() error { return d.Mounter.Prepare(ctx, spec) })
}

func (d killer) Serve(ctx context.Context, id string, dev *os.File) error {
	return d.at("serve", func() error { return d.Mounter.Serve(ctx, id, dev) })
}

// Release does nothing: a service that was killed does not clean up.
func (d killer) Release(context.Context, string) error { return errKilled }

func TestStageKilledBetweenItsSteps(t *testing.T) {
	for name, d := range map[string]killer{
		"before prepare": {before: "prepare"},
		"after prepare":  {after: "prepare"},
		"before serve":   {before: "serve"},
		"after serve":    {after: "serve"},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKubelet(t)
			d.Mounter = k.mounter
			k.Service = service(t, d, "")
			if err := k.stage("v"); err == nil {
				t.Fatal("the call succeeded")
			}
			k.restart()
			k.must(k.stage("v"), k.publish("v", "a"))
			k.hello("a")
			k.must(k.unpublish("v", "a"), k.unstage("v"))
			k.noMounts()
		})
	}
}

// A mount that was made and never served, which is what a kill between mount(2)
// and the mounter's answer leaves.
func TestStageFindsAMountThatNobodyServes(t *testing.T) {
	k := newKubelet(t)
	request := k.stageRequest("v")
	dev, err := fuse.OpenDevice()
	if err != nil {
		t.Fatal(err)
	}
	if err := fuse.Mount(dev, k.staging("v"), fuse.MountOptions{Source: "csi-9p:v", Subtype: "csi-9p"}); err != nil {
		t.Fatal(err)
	}
	_ = dev.Close()
	_, err = k.NodeStageVolume(t.Context(), request)
	k.must(err, k.publish("v", "a"))
	k.hello("a")
	k.must(k.unpublish("v", "a"), k.unstage("v"))
	k.noMounts()
}

func TestStageGivesUpWithItsCaller(t *testing.T) {
	k := newKubelet(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := k.NodeStageVolume(ctx, k.stageRequest("v"))
	code(t, err, codes.Canceled)
	k.noMounts()
}
