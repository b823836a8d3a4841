package sanity

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"

	"github.com/csi-9p/csi-9p/test/lab"
	"github.com/csi-9p/csi-9p/transport/mtls/mtlstest"
)

// TestSecrets takes a volume on a server with TLS through its life, with secrets in every call that has room for them,
// and makes sure that no process's log has one.
func TestSecrets(t *testing.T) {
	lab.NeedRoot(t)
	ca := mtlstest.NewCA(t, "ours")
	f := mtlstest.Write(t, lab.Dir(t), ca.Server("127.0.0.1"))
	export := lab.ExporterAt(t, "tls://127.0.0.1:0", lab.Dir(t), "--tls-cert", f.Certificate, "--tls-key", f.Key, "--tls-client-ca", f.CA)
	d := startDriver(t, "--v=5")
	secrets := mtlstest.Secret(ca.Client("cluster"))
	capability := &csi.VolumeCapability{
		AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{}},
		AccessMode: &csi.VolumeCapability_AccessMode{Mode: csi.VolumeCapability_AccessMode_MULTI_NODE_MULTI_WRITER},
	}
	controller, node := csi.NewControllerClient(d.dial("controller.sock")), csi.NewNodeClient(d.dial("node.sock"))
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}

	made, err := controller.CreateVolume(t.Context(), &csi.CreateVolumeRequest{
		Name: "pvc-1", Parameters: map[string]string{"server": export.URL}, Secrets: secrets,
		VolumeCapabilities: []*csi.VolumeCapability{capability}, CapacityRange: &csi.CapacityRange{RequiredBytes: 1 << 30},
	})
	must(err)
	id, values := made.GetVolume().GetVolumeId(), made.GetVolume().GetVolumeContext()
	staging, target := filepath.Join(d.dir, "staging"), filepath.Join(d.dir, "target")
	must(os.Mkdir(staging, 0o755))
	_, err = node.NodeStageVolume(t.Context(), &csi.NodeStageVolumeRequest{
		VolumeId: id, StagingTargetPath: staging, VolumeCapability: capability, VolumeContext: values, Secrets: secrets,
	})
	must(err)
	_, err = node.NodePublishVolume(t.Context(), &csi.NodePublishVolumeRequest{
		VolumeId: id, StagingTargetPath: staging, TargetPath: target, VolumeCapability: capability, VolumeContext: values,
		Secrets: mtlstest.Secret(ca.Client("cluster")), // renewed meanwhile
	})
	must(err)
	must(os.WriteFile(filepath.Join(target, "f"), []byte("data"), 0o644))
	if got, err := os.ReadFile(filepath.Join(export.Root, "pvc-1", "f")); err != nil || string(got) != "data" {
		t.Errorf("on the server: %q, %v", got, err)
	}
	_, err = controller.ControllerExpandVolume(t.Context(), &csi.ControllerExpandVolumeRequest{
		VolumeId: id, CapacityRange: &csi.CapacityRange{RequiredBytes: 2 << 30}, Secrets: secrets,
	})
	must(err)
	_, err = node.NodeUnpublishVolume(t.Context(), &csi.NodeUnpublishVolumeRequest{VolumeId: id, TargetPath: target})
	must(err)
	_, err = node.NodeUnstageVolume(t.Context(), &csi.NodeUnstageVolumeRequest{VolumeId: id, StagingTargetPath: staging})
	must(err)
	_, err = controller.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{VolumeId: id, Secrets: secrets})
	must(err)

	for _, p := range append(d.processes, export.Process) {
		if out := p.Output(); strings.Contains(out, "BEGIN") {
			t.Errorf("a log has a secret:\n%s", out)
		}
	}
}
