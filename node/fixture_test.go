package node_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/driver/shares"
	"github.com/csi-9p/csi-9p/node"
	"github.com/csi-9p/csi-9p/node/nodetest"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// kubelet drives a node service as the kubelet does.
type kubelet struct {
	*node.Service
	t        *testing.T
	exporter *nodetest.Exporter
	mounter  *nodetest.Mounter
	dir      string
	config   string // file of shares; empty: none
}

// newKubelet starts an exporter, a mounter and a node service, and checks at
// the end that no mount and no descriptor is left.
func newKubelet(t *testing.T) *kubelet {
	t.Helper()
	nodetest.NoLeaks(t)
	k := &kubelet{t: t, exporter: nodetest.Export(t), mounter: nodetest.NewMounter(t), dir: nodetest.Dir(t)}
	k.restart()
	return k
}

// restart replaces the node service by a new one, as a kill does.
func (k *kubelet) restart() {
	k.t.Helper()
	k.Service = service(k.t, k.mounter, k.config)
}

func service(t *testing.T, m node.Mounter, config string) *node.Service {
	t.Helper()
	known, err := shares.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	s, err := node.New(node.Options{NodeID: "n1", Mounter: m, Shares: known})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// noMounts fails the test if anything is mounted now.
func (k *kubelet) noMounts() {
	k.t.Helper()
	if left := nodetest.Mounts(k.t, k.dir); len(left) > 0 {
		k.t.Errorf("still mounted: %q", left)
	}
	if all, err := k.mounter.List(k.t.Context()); err == nil && len(all) > 0 {
		k.t.Errorf("the mounter still holds %+v", all)
	}
}

func (k *kubelet) staging(id string) string           { return filepath.Join(k.dir, "stage-"+id) }
func (k *kubelet) target(name string) string          { return filepath.Join(k.dir, "pod-"+name) }
func (k *kubelet) values() map[string]string          { return map[string]string{"server": k.exporter.URL} }
func (k *kubelet) onServer(name string) (path string) { return filepath.Join(k.exporter.Root, name) }

func capability(mode csi.VolumeCapability_AccessMode_Mode, options ...string) *csi.VolumeCapability {
	return &csi.VolumeCapability{
		AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{MountFlags: options}},
		AccessMode: &csi.VolumeCapability_AccessMode{Mode: mode},
	}
}

var manyWriters = capability(csi.VolumeCapability_AccessMode_MULTI_NODE_MULTI_WRITER)

func (k *kubelet) stageRequest(id string) *csi.NodeStageVolumeRequest {
	k.t.Helper()
	if err := os.Mkdir(k.staging(id), 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		k.t.Fatal(err)
	}
	return &csi.NodeStageVolumeRequest{
		VolumeId: id, StagingTargetPath: k.staging(id), VolumeCapability: manyWriters, VolumeContext: k.values(),
	}
}

func (k *kubelet) publishRequest(id, target string) *csi.NodePublishVolumeRequest {
	return &csi.NodePublishVolumeRequest{
		VolumeId: id, StagingTargetPath: k.staging(id), TargetPath: k.target(target),
		VolumeCapability: manyWriters, VolumeContext: k.values(),
	}
}

func (k *kubelet) stage(id string) error {
	_, err := k.NodeStageVolume(k.t.Context(), k.stageRequest(id))
	return err
}

func (k *kubelet) publish(id, target string) error {
	_, err := k.NodePublishVolume(k.t.Context(), k.publishRequest(id, target))
	return err
}

func (k *kubelet) unpublish(id, target string) error {
	_, err := k.NodeUnpublishVolume(k.t.Context(), &csi.NodeUnpublishVolumeRequest{VolumeId: id, TargetPath: k.target(target)})
	return err
}

func (k *kubelet) unstage(id string) error {
	_, err := k.NodeUnstageVolume(k.t.Context(), &csi.NodeUnstageVolumeRequest{VolumeId: id, StagingTargetPath: k.staging(id)})
	return err
}

func (k *kubelet) stats(id, path string) (*csi.NodeGetVolumeStatsResponse, error) {
	return k.NodeGetVolumeStats(k.t.Context(), &csi.NodeGetVolumeStatsRequest{VolumeId: id, VolumePath: path})
}

// must fails the test at once if a step failed.
func (k *kubelet) must(errs ...error) {
	k.t.Helper()
	for _, err := range errs {
		if err != nil {
			k.t.Fatal(err)
		}
	}
}

// within gives a step its time.
func (k *kubelet) within(limit time.Duration, step func(ctx context.Context) error) {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), limit)
	defer cancel()
	if err := step(ctx); err != nil {
		k.t.Errorf("within %v: %v", limit, err)
	}
}

// code checks an answer.
func code(t *testing.T, err error, want codes.Code) {
	t.Helper()
	if got := driver.Code(err); got != want {
		t.Errorf("answered %v (%v), want %v", got, err, want)
	}
}
