package metrics

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/controller"
	"github.com/csi-9p/csi-9p/driver/shares"
	"github.com/csi-9p/csi-9p/metrics"
	"github.com/csi-9p/csi-9p/node"
	"github.com/csi-9p/csi-9p/node/nodetest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is one of each process, in this one, with a volume mounted.
type rig struct {
	t          *testing.T
	exporter   *nodetest.Exporter
	mounter    *nodetest.Mounter
	node       *node.Service
	staging    string
	registries map[string]*metrics.Registry // by job
	called     func(method string, err error, took time.Duration)
}

const (
	volumeID    = "the-volume"
	stageMethod = "/csi.v1.Node/NodeStageVolume"
)

var errRefused = errors.New("refused")

var capability = &csi.VolumeCapability{
	AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{}},
	AccessMode: &csi.VolumeCapability_AccessMode{Mode: csi.VolumeCapability_AccessMode_MULTI_NODE_MULTI_WRITER},
}

func newRig(t *testing.T) *rig {
	t.Helper()
	exporter, mounter := nodetest.Export(t), nodetest.NewMounter(t)
	none := must(shares.Open(""))(t)
	r := &rig{t: t, exporter: exporter, mounter: mounter, staging: filepath.Join(nodetest.Dir(t), t.Name(), "stage"), registries: map[string]*metrics.Registry{}}
	r.node = must(node.New(node.Options{Name: t.Name(), NodeID: "n", Mounter: mounter, Shares: none}))(t)
	c := controller.New(controller.Options{Shares: none})
	t.Cleanup(c.Close)
	for _, job := range []string{"exporter", "mounter", "node", "controller"} {
		r.registries[job] = metrics.NewRegistry("v1")
	}
	r.registries["exporter"].Register(metrics.Exporter(exporter.Server()))
	r.registries["mounter"].Register(metrics.Volumes(mounter.Volumes()), metrics.Sessions(mounter.Volumes().ServerStats))
	r.registries["node"].Register(metrics.Node(t.Context(), r.node))
	r.registries["controller"].Register(metrics.Sessions(c.ServerStats))

	where := map[string]string{"server": exporter.URL}
	must(c.GetCapacity(t.Context(), &csi.GetCapacityRequest{Parameters: where}))(t)
	ok(t, os.MkdirAll(r.staging, 0o755))
	must(r.node.NodeStageVolume(t.Context(), &csi.NodeStageVolumeRequest{
		VolumeId: volumeID, StagingTargetPath: r.staging, VolumeContext: where, VolumeCapability: capability,
	}))(t)
	ok(t, mounter.Resize(t.Context(), volumeID, 1<<30))
	r.called = r.registries["node"].Operations("shares.example") // neither the dashboard nor the alerts ask for the default name
	r.called(stageMethod, nil, time.Second)
	r.called(stageMethod, errRefused, time.Second)
	return r
}

// work does what a pod would.
func (r *rig) work() {
	r.t.Helper()
	path := filepath.Join(r.staging, "f")
	ok(r.t, nodetest.WriteFile(path, strings.Repeat("x", 5000)))
	must(nodetest.ReadFile(path))(r.t)
	if _, err := nodetest.ReadFile(path + ".absent"); err == nil {
		r.t.Error("read a file that is not there")
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// must returns a function that fails the test for an error, and returns the value.
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		ok(t, err)
		return v
	}
}
