package node_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/csi-9p/csi-9p/node/nodetest"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
)

// hello writes and reads through a target.
func (k *kubelet) hello(target string) {
	k.t.Helper()
	path := filepath.Join(k.target(target), "hello")
	if err := nodetest.WriteFile(path, target); err != nil {
		k.t.Error(err)
	}
	if got, err := nodetest.ReadFile(path); err != nil || got != target {
		k.t.Errorf("read back %q, %v", got, err)
	}
}

func TestFromStageToUnstage(t *testing.T) {
	k := newKubelet(t)
	k.must(k.stage("v"), k.publish("v", "a"))
	readOnly := k.publishRequest("v", "b")
	readOnly.Readonly = true
	_, err := k.NodePublishVolume(t.Context(), readOnly)
	k.must(err)
	k.hello("a")
	if got, err := nodetest.ReadFile(k.target("b") + "/hello"); err != nil || got != "a" {
		t.Errorf("through the read-only target: %q, %v", got, err)
	}
	if err := nodetest.WriteFile(k.target("b")+"/hello", "x"); !errors.Is(err, unix.EROFS) {
		t.Errorf("writing through the read-only target: %v, want EROFS", err)
	}
	if got, err := os.ReadFile(k.onServer("hello")); err != nil || string(got) != "a" {
		t.Errorf("on the server: %q, %v", got, err)
	}
	k.must(k.unpublish("v", "a"), k.unpublish("v", "b"), k.unstage("v"))
	for _, gone := range []string{k.target("a"), k.target("b")} {
		if _, err := os.Lstat(gone); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", gone, err)
		}
	}
	k.noMounts()
}

func TestEveryCallTenTimes(t *testing.T) {
	k := newKubelet(t)
	for name, call := range map[string]func() error{
		"unstage before":   func() error { return k.unstage("v") },
		"unpublish before": func() error { return k.unpublish("v", "a") },
	} {
		if err := call(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for range 10 {
		k.must(k.stage("v"))
	}
	for range 10 {
		k.must(k.publish("v", "a"))
	}
	if n := len(nodetest.Mounts(t, k.dir)); n != 2 {
		t.Errorf("%d mounts, want the staging and one target", n)
	}
	k.hello("a")
	for range 10 {
		k.must(k.unpublish("v", "a"))
	}
	for range 10 {
		k.must(k.unstage("v"))
	}
	k.noMounts()
}

// Between any two calls the node service may be killed: the next one knows
// nothing but what is mounted and served.
func TestRestartBetweenAnyTwoCalls(t *testing.T) {
	k := newKubelet(t)
	for _, step := range []func() error{
		func() error { return k.stage("v") },
		func() error { return k.stage("v") },
		func() error { return k.publish("v", "a") },
		func() error { return k.publish("v", "a") },
		func() error { k.hello("a"); return nil },
		func() error { return k.publish("v", "b") },
		func() error { return k.unpublish("v", "a") },
		func() error { k.hello("b"); return nil },
		func() error { return k.unpublish("v", "a") },
		func() error { return k.unpublish("v", "b") },
		func() error { return k.unstage("v") },
		func() error { return k.unstage("v") },
	} {
		k.must(step())
		k.restart()
	}
	k.noMounts()
}

func TestRestageWithOtherParameters(t *testing.T) {
	k := newKubelet(t)
	k.must(k.stage("v"))
	other := k.stageRequest("v")
	other.VolumeContext["msize"] = "64Ki"
	_, err := k.NodeStageVolume(t.Context(), other)
	code(t, err, codes.AlreadyExists)
	other = k.stageRequest("v")
	other.VolumeCapability = capability(other.GetVolumeCapability().GetAccessMode().GetMode(), "ro")
	_, err = k.NodeStageVolume(t.Context(), other)
	code(t, err, codes.AlreadyExists)
	same := k.stageRequest("v")
	same.VolumeContext["MSIZE"] = "auto" // the default, spelt otherwise
	_, err = k.NodeStageVolume(t.Context(), same)
	k.must(err, k.unstage("v"))
}

func TestPublishWithAnotherReadOnly(t *testing.T) {
	k := newKubelet(t)
	k.must(k.stage("v"), k.publish("v", "a"))
	other := k.publishRequest("v", "a")
	other.Readonly = true
	_, err := k.NodePublishVolume(t.Context(), other)
	code(t, err, codes.AlreadyExists)
	k.hello("a")
	k.must(k.unpublish("v", "a"), k.unstage("v"))
}

func TestVolumesWithStrangeIDs(t *testing.T) {
	k := newKubelet(t)
	for _, id := range []string{"tcp:10.0.0.1#a b", "100%", "ünïcode", "a\\040b", "share,ro"} {
		k.must(k.stage(id), k.publish(id, "a"))
		k.restart()
		k.hello("a")
		k.must(k.publish(id, "a"), k.unpublish(id, "a"), k.unstage(id))
		k.noMounts()
	}
}

func TestKubeletDirectoryBehindASymlink(t *testing.T) {
	k := newKubelet(t)
	real := k.dir
	k.dir = filepath.Join(nodetest.Dir(t), "kubelet")
	if err := os.Symlink(real, k.dir); err != nil {
		t.Fatal(err)
	}
	k.must(k.stage("v"), k.stage("v"), k.publish("v", "a"), k.publish("v", "a"))
	k.hello("a")
	if _, err := k.stats("v", k.target("a")); err != nil {
		t.Error(err)
	}
	k.must(k.unpublish("v", "a"), k.unstage("v"))
	k.dir = real
	k.noMounts()
}

func TestStagedReadOnly(t *testing.T) {
	k := newKubelet(t)
	stage, publish := k.stageRequest("v"), k.publishRequest("v", "a")
	stage.VolumeCapability = capability(stage.GetVolumeCapability().GetAccessMode().GetMode(), "ro", "noexec")
	publish.VolumeCapability = stage.GetVolumeCapability()
	_, err := k.NodeStageVolume(t.Context(), stage)
	k.must(err)
	for range 2 {
		_, err = k.NodePublishVolume(t.Context(), publish)
		k.must(err)
	}
	if err := nodetest.WriteFile(k.target("a")+"/f", "x"); !errors.Is(err, unix.EROFS) {
		t.Errorf("writing to a volume mounted with ro: %v, want EROFS", err)
	}
	k.must(k.unpublish("v", "a"), k.unstage("v"))
	k.noMounts()
}
