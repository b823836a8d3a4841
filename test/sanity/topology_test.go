package sanity

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/csi-9p/csi-9p/test/lab"
)

// TestNodeDeployment takes a volume through its life as csi-provisioner --node-deployment and the kubelet do: on a share that
// the controller reaches through the mounter only, where the node is. A device that this machine does not have is another node's.
func TestNodeDeployment(t *testing.T) {
	lab.NeedRoot(t)
	const device = "virtio://csi-9p-nowhere"
	export := lab.Exporter(t, lab.Dir(t))
	d := startOnNode(t, export.URL, device)
	controller, node := csi.NewControllerClient(d.dial("controller.sock")), csi.NewNodeClient(d.dial("node.sock"))
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}

	info, err := node.NodeGetInfo(t.Context(), &csi.NodeGetInfoRequest{})
	must(err)
	same, err := csi.NewNodeClient(d.dial("controller.sock")).NodeGetInfo(t.Context(), &csi.NodeGetInfoRequest{})
	must(err)
	data, err := os.ReadFile(filepath.Join(export.Root, ".csi-9p", "share.json"))
	must(err)
	var share struct{ UUID string }
	must(json.Unmarshal(data, &share))
	here := info.GetAccessibleTopology()
	if !proto.Equal(info, same) || info.GetNodeId() != "sanity" || len(here.GetSegments()) != 1 || here.GetSegments()["share.csi-9p.dev/"+share.UUID] != "true" {
		t.Errorf("the node is %v, by its controller %v; the share is %s", info, same, share.UUID)
	}

	capability := &csi.VolumeCapability{
		AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{}},
		AccessMode: &csi.VolumeCapability_AccessMode{Mode: csi.VolumeCapability_AccessMode_MULTI_NODE_MULTI_WRITER},
	}
	create := func(server string) (*csi.CreateVolumeResponse, error) {
		return controller.CreateVolume(t.Context(), &csi.CreateVolumeRequest{
			Name: "pvc-1", Parameters: map[string]string{"server": server}, VolumeCapabilities: []*csi.VolumeCapability{capability},
			AccessibilityRequirements: &csi.TopologyRequirement{Requisite: []*csi.Topology{here}, Preferred: []*csi.Topology{here}},
		})
	}
	if _, err := create(device); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("on a device of another node: %v", err)
	}
	made, err := create(export.URL)
	must(err)
	if at := made.GetVolume().GetAccessibleTopology(); len(at) != 1 || !proto.Equal(at[0], here) {
		t.Errorf("accessible from %v, the node is %v", at, here)
	}

	id, values := made.GetVolume().GetVolumeId(), made.GetVolume().GetVolumeContext()
	staging, target := filepath.Join(d.dir, "staging"), filepath.Join(d.dir, "target")
	must(os.Mkdir(staging, 0o755))
	_, err = node.NodeStageVolume(t.Context(), &csi.NodeStageVolumeRequest{
		VolumeId: id, StagingTargetPath: staging, VolumeCapability: capability, VolumeContext: values,
	})
	must(err)
	_, err = node.NodePublishVolume(t.Context(), &csi.NodePublishVolumeRequest{
		VolumeId: id, StagingTargetPath: staging, TargetPath: target, VolumeCapability: capability, VolumeContext: values,
	})
	must(err)
	must(os.WriteFile(filepath.Join(target, "f"), []byte("data"), 0o644))
	if got, err := os.ReadFile(filepath.Join(export.Root, "pvc-1", "f")); err != nil || string(got) != "data" {
		t.Errorf("on the share: %q, %v", got, err)
	}
	_, err = node.NodeUnpublishVolume(t.Context(), &csi.NodeUnpublishVolumeRequest{VolumeId: id, TargetPath: target})
	must(err)
	_, err = node.NodeUnstageVolume(t.Context(), &csi.NodeUnstageVolumeRequest{VolumeId: id, StagingTargetPath: staging})
	must(err)
	_, err = controller.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{VolumeId: id})
	must(err)
	if _, err := os.Stat(filepath.Join(export.Root, "pvc-1")); !os.IsNotExist(err) {
		t.Errorf("the volume's directory is still there: %v", err)
	}
}
