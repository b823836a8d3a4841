package proof

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/csi-9p/csi-9p/test/e2e/suite"
)

// What the overlay for virtio devices installs.
const (
	deviceDriver    = "virtio.csi-9p.dev"
	deviceNamespace = "csi-9p-virtio"
)

// nodeDeployment: the overlay for virtio devices, with a server of the network in the place of one, beside the release. The
// csi-provisioner of the pod's node makes the volume, on the share that the node says it has, through the node's mounter.
func nodeDeployment(t *suite.T) {
	s := &scene{T: t, share: serve(t, "share")}
	s.installOnNodes()
	byNodes := func(c *storagev1.StorageClass) {
		c.Provisioner, c.AllowVolumeExpansion = deviceDriver, nil
		c.VolumeBindingMode = new(storagev1.VolumeBindingWaitForFirstConsumer)
	}
	s.class = s.storageClass(t.Namespace, nil, byNodes)
	nowhere := s.storageClass(t.Namespace+"-nowhere", map[string]string{"server": "virtio://nowhere"}, byNodes)
	t.Cleanup(s.drain)
	s.claim("data", corev1.ReadWriteMany)
	s.running("writer", "data", on("node2"))
	s.running("reader", "data", on("node1"))
	s.exec("writer", "echo words > /vol/file")
	s.holds(filepath.Join(s.volumeDir("data"), "file"), "words\n")
	s.Logf("node1 reads what node2 wrote: %s", s.exec("reader", "cat /vol/file"))
	s.placed(s.bound("data"))
	s.drop("writer", "reader")
	s.dropClaim("data")
	s.absent(s.volumeDir("data"))

	// A node that does not have the device hands the claim back to the scheduler.
	s.claim("stray", corev1.ReadWriteMany, inClass(nowhere))
	s.pod("stray", "stray", "true")
	s.event("stray", "this node does not have virtio://nowhere")
}

// installOnNodes installs the overlay for as long as the proof takes.
func (s *scene) installOnNodes() {
	manifest := filepath.Join(s.TempDir(), "driver.yaml")
	content := s.kubectl("kustomize", filepath.Join(s.Cluster.Repository, "deploy/kubernetes/overlays/virtio"))
	if err := os.WriteFile(manifest, []byte(strings.ReplaceAll(content, "virtio://share0", s.share.URL)), 0o600); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { s.kubectl("delete", "--filename", manifest, "--wait", "--timeout=2m") })
	s.kubectl("apply", "--server-side", "--filename", manifest)
	for _, set := range []string{"csi-9p-mounter", "csi-9p-node"} {
		s.kubectl("wait", "--namespace", deviceNamespace, "daemonset/"+set, "--for=jsonpath={.status.numberReady}=2", "--timeout=2m")
	}
}

// placed checks that a volume is bound to the nodes that have its share, as they say themselves.
func (s *scene) placed(volume string) {
	data, err := os.ReadFile(s.path(".csi-9p", "share.json"))
	if err != nil {
		s.Fatal(err)
	}
	var share struct{ UUID string }
	if err := json.Unmarshal(data, &share); err != nil {
		s.Fatal(err)
	}
	key := "share.csi-9p.dev/" + share.UUID
	pv, err := s.volumes().Get(s.Context(), volume, metav1.GetOptions{})
	if err != nil {
		s.Fatal(err)
	}
	terms := pv.Spec.NodeAffinity.Required.NodeSelectorTerms
	if len(terms) != 1 || len(terms[0].MatchExpressions) != 1 || terms[0].MatchExpressions[0].Key != key {
		s.Errorf("the volume is for nodes with %v, its share is %s", terms, share.UUID)
	}
	nodes, err := s.Cluster.Client.CoreV1().Nodes().List(s.Context(), metav1.ListOptions{LabelSelector: key + "=true"})
	if err != nil || len(nodes.Items) != 2 {
		s.Errorf("%d nodes have the label %s: %v", len(nodes.Items), key, err)
	}
	s.Logf("the volume is for the %d nodes with %s", len(nodes.Items), key)
}
