package node_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/csi-9p/csi-9p/node/nodetest"
	"google.golang.org/grpc/codes"
)

// share writes the configuration with the one share tank.
func (k *kubelet) share(server string) {
	k.t.Helper()
	k.config = k.dir + "/shares.yaml"
	if err := os.WriteFile(k.config, fmt.Appendf(nil, "shares:\n  tank:\n    server: %s\n    aname: /tree\n", server), 0o600); err != nil {
		k.t.Fatal(err)
	}
}

func (k *kubelet) stageOnTank(id string) error {
	request := k.stageRequest(id)
	request.VolumeContext = map[string]string{"share": "tank"}
	_, err := k.NodeStageVolume(k.t.Context(), request)
	return err
}

func TestVolumeOnAShareByName(t *testing.T) {
	k := newKubelet(t)
	other := nodetest.Export(t)
	for _, root := range []string{k.exporter.Root, other.Root} {
		k.must(os.Mkdir(root+"/tree", 0o755))
	}
	k.share(k.exporter.URL)
	k.restart()
	publish := k.publishRequest("v", "a")
	publish.VolumeContext = map[string]string{"share": "tank"}
	k.must(k.stageOnTank("v"))
	_, err := k.NodePublishVolume(t.Context(), publish)
	k.must(err)
	k.hello("a")
	if got, err := os.ReadFile(k.onServer("tree/hello")); err != nil || string(got) != "a" {
		t.Errorf("on the share: %q, %v", got, err)
	}

	k.share(other.URL) // the address changes under a living volume
	k.must(k.stageOnTank("v"), k.stageOnTank("w"))
	k.must(nodetest.WriteFile(k.staging("w")+"/f", "there"))
	if got, err := os.ReadFile(other.Root + "/tree/f"); err != nil || string(got) != "there" {
		t.Errorf("at the new address: %q, %v", got, err)
	}

	k.must(os.WriteFile(k.config, []byte("shares: ["), 0o600))
	code(t, k.stageOnTank("x"), codes.FailedPrecondition)
	k.must(k.unpublish("v", "a"), k.unstage("v"), k.unstage("w"))
	k.noMounts()
}
