package node_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/driver/shares"
	"github.com/csi-9p/csi-9p/node"
	"github.com/csi-9p/csi-9p/node/mountpoint"
	"github.com/csi-9p/csi-9p/node/v9fs"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
)

// kernelClient stands in for a kernel with v9fs: what it mounts is a file system in memory with the directory "data".
type kernelClient struct {
	mountpoint.Mounter
	options []string // of the last mount
}

func (c *kernelClient) Mount(source, target, fstype string, options []string) error {
	if fstype != mountpoint.Kernel9P {
		return c.Mounter.Mount(source, target, fstype, options)
	}
	c.options = options
	if err := unix.Mount(source, target, "tmpfs", 0, ""); err != nil {
		return err
	}
	return os.Mkdir(filepath.Join(target, "data"), 0o777)
}

// kernelKubelet is a kubelet of a node whose kernel has v9fs.
func kernelKubelet(t *testing.T) (*kubelet, *kernelClient) {
	t.Helper()
	k := newKubelet(t)
	client := &kernelClient{}
	mounts, err := v9fs.New(filepath.Join(k.dir, "kernel"), client)
	if err != nil {
		t.Fatal(err)
	}
	known, err := shares.Open("")
	if err != nil {
		t.Fatal(err)
	}
	k.Service, err = node.New(node.Options{Name: "csi-9p.dev", NodeID: "n1", Mounter: k.mounter, Shares: known, Kernel: mounts})
	if err != nil {
		t.Fatal(err)
	}
	return k, client
}

// kernelRequest asks for the directory "data" by the kernel's client.
func (k *kubelet) kernelRequest(id string, pairs ...string) *csi.NodeStageVolumeRequest {
	r := k.stageRequest(id)
	r.VolumeContext["engine"], r.VolumeContext["subDir"] = "kernel", "data"
	for i := 0; i < len(pairs); i += 2 {
		r.VolumeContext[pairs[i]] = pairs[i+1]
	}
	return r
}

func (k *kubelet) stageKernel(id string, pairs ...string) error {
	_, err := k.NodeStageVolume(k.t.Context(), k.kernelRequest(id, pairs...))
	return err
}

func (k *kubelet) publishKernel(id, target string) error {
	r := k.publishRequest(id, target)
	r.VolumeContext = k.kernelRequest(id).GetVolumeContext()
	_, err := k.NodePublishVolume(k.t.Context(), r)
	return err
}

func TestKernelEngine(t *testing.T) {
	k, client := kernelKubelet(t)
	k.must(os.Mkdir(k.onServer("data"), 0o777))
	k.must(k.stageKernel("v1", "cache", "loose"), k.stageKernel("v1", "cache", "loose"))
	if all := strings.Join(client.options, ","); !strings.Contains(all, "trans=unix") || !strings.Contains(all, "cache=loose") {
		t.Errorf("mounted with %s", all)
	}
	k.must(k.publishKernel("v1", "web"), k.publishKernel("v1", "web"))
	k.must(os.WriteFile(filepath.Join(k.target("web"), "f"), []byte("x"), 0o600))
	if _, err := os.Stat(filepath.Join(k.staging("v1"), "f")); err != nil {
		t.Error(err)
	}
	if held, err := k.mounter.List(t.Context()); err != nil || len(held) > 0 {
		t.Errorf("the mounter holds %+v, %v", held, err)
	}
	health, err := k.NodeGetVolumeHealth(t.Context(), &csi.NodeGetVolumeHealthRequest{VolumeId: "v1"})
	if err != nil || len(health.GetVolumeHealth().GetHealthStatuses()) > 0 {
		t.Errorf("health: %v, %v", health, err)
	}
	expanded, err := k.NodeExpandVolume(t.Context(), &csi.NodeExpandVolumeRequest{
		VolumeId: "v1", VolumePath: k.target("web"), CapacityRange: &csi.CapacityRange{RequiredBytes: 1 << 30}})
	if err != nil || expanded.GetCapacityBytes() != 1<<30 {
		t.Errorf("expansion: %v, %v", expanded, err)
	}
	k.must(k.unpublish("v1", "web"), k.unpublish("v1", "web"), k.unstage("v1"), k.unstage("v1"))
	k.noMounts()
}

// A second service finds what the first has mounted.
func TestKernelEngineAfterARestart(t *testing.T) {
	k, _ := kernelKubelet(t)
	k.must(os.Mkdir(k.onServer("data"), 0o777), k.stageKernel("v1"))
	again := &kubelet{t: t, exporter: k.exporter, mounter: k.mounter, dir: k.dir}
	mounts, err := v9fs.New(filepath.Join(k.dir, "kernel"), mountpoint.Mounter{})
	k.must(err)
	known, err := shares.Open("")
	k.must(err)
	again.Service, err = node.New(node.Options{NodeID: "n1", Mounter: k.mounter, Shares: known, Kernel: mounts})
	k.must(err)
	k.must(again.publishKernel("v1", "web"), again.unpublish("v1", "web"), again.unstage("v1"))
	again.noMounts()
}

// What cannot be is said before anything is mounted.
func TestKernelEngineRefuses(t *testing.T) {
	k, _ := kernelKubelet(t)
	code(t, k.stageKernel("v1"), codes.NotFound) // the server has no such directory
	k.must(os.Mkdir(k.onServer("data"), 0o777))
	code(t, k.stageKernel("v1", "reconnectTimeout", "1m"), codes.InvalidArgument)
	code(t, k.stageKernel("v1", "zeroCopy", "require"), codes.InvalidArgument)
	k.noMounts()
	k.restart() // without a place for the kernel's mounts
	err := k.stageKernel("v1")
	code(t, err, codes.FailedPrecondition)
	if err == nil || !strings.Contains(err.Error(), "--kernel-mounts") {
		t.Errorf("answered %v", err)
	}
}

// What this node's kernel refuses is not what a server would mean by the same number.
func TestKernelEngineWithoutAPlace(t *testing.T) {
	k, _ := kernelKubelet(t)
	k.must(os.Mkdir(k.onServer("data"), 0o777), os.WriteFile(filepath.Join(k.dir, "kernel"), nil, 0o600))
	code(t, k.stageKernel("v1"), codes.Internal)
	k.noMounts()
}

// A dead server is told before a system call could wait for it, and keeps nobody from taking the volume down.
func TestKernelEngineWithoutItsServer(t *testing.T) {
	k, _ := kernelKubelet(t)
	k.must(os.Mkdir(k.onServer("data"), 0o777), k.stageKernel("v1"), k.publishKernel("v1", "web"))
	k.exporter.Kill()
	code(t, k.stageKernel("v2"), codes.Unavailable)
	k.within(5*time.Second, func(ctx context.Context) error {
		if err := k.unpublish("v1", "web"); err != nil {
			return err
		}
		return k.unstage("v1")
	})
	k.noMounts()
}
