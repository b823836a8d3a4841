package node_test

import (
	"strings"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/node/nodetest"
	"github.com/csi-9p/csi-9p/transport/mtls"
	"github.com/csi-9p/csi-9p/transport/mtls/mtlstest"
	"google.golang.org/grpc/codes"
)

// newTLSKubelet is newKubelet with an exporter whose certificates are the files
// of a directory.
func newTLSKubelet(t *testing.T, server *mtls.PEM) (k *kubelet, dir string) {
	t.Helper()
	nodetest.NoLeaks(t)
	dir = t.TempDir()
	source, err := mtls.OpenFiles(mtlstest.Write(t, dir, server))
	if err != nil {
		t.Fatal(err)
	}
	k = &kubelet{t: t, exporter: nodetest.ExportTLS(t, source), mounter: nodetest.NewMounter(t), dir: nodetest.Dir(t)}
	k.restart()
	return k, dir
}

func (k *kubelet) stageWith(id string, secret map[string]string) error {
	k.t.Helper()
	request := k.stageRequest(id)
	request.Secrets = secret
	_, err := k.NodeStageVolume(k.t.Context(), request)
	return err
}

func (k *kubelet) publishWith(id, target string, secret map[string]string) error {
	k.t.Helper()
	request := k.publishRequest(id, target)
	request.Secrets = secret
	_, err := k.NodePublishVolume(k.t.Context(), request)
	return err
}

func refuses(t *testing.T, err error, want codes.Code, words ...string) {
	t.Helper()
	code(t, err, want)
	for _, word := range words {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%v does not tell %q", err, word)
		}
	}
}

// Secrets come with each call; a new one replaces that of a live session, whose
// mount goes on.
func TestSecretsAreRenewed(t *testing.T) {
	old, renewed := mtlstest.NewCA(t, "old"), mtlstest.NewCA(t, "renewed")
	server := old.Server("127.0.0.1")
	k, files := newTLSKubelet(t, server)
	first := mtlstest.Secret(old.Client("node-1"))
	k.must(k.stageWith("v", first), k.publishWith("v", "a", first))
	k.hello("a")
	k.must(k.stageWith("w", first))
	if n := k.exporter.Connections.Load(); n != 1 {
		t.Errorf("%d connections for two volumes with one secret", n)
	}

	// The server lets in clients of the renewed authority alone.
	mtlstest.Write(t, files, renewed.Trusting(server))
	k.exporter.Kill()
	k.exporter.Start()
	nodetest.Eventually(t, "the status tells of the refusal", func() bool {
		status, err := k.mounter.Status(t.Context(), "v")
		return err == nil && !status.Connected && strings.Contains(status.Lost, "refused by the server")
	})
	waiting := make(chan error, 1)
	go func() { waiting <- nodetest.WriteFile(k.target("a")+"/waits", "for the certificate") }()
	k.must(k.publishWith("v", "b", first)) // an old secret changes nothing

	started := time.Now()
	refuses(t, k.stageWith("x", first), codes.Unauthenticated, k.exporter.URL, "refused by the server", "CN=node-1")
	if took := time.Since(started); took > 15*time.Second {
		t.Errorf("a first mount that is refused took %v", took)
	}
	stranger := mtlstest.Secret(old.Trusting(mtlstest.NewCA(t, "elsewhere").Client("stranger")))
	refuses(t, k.publishWith("v", "c", stranger), codes.Unauthenticated, "renewed secret stays unused", "CN=stranger")

	second := mtlstest.Secret(old.Trusting(renewed.Client("node-1")))
	k.must(k.publishWith("v", "c", second))
	if err := <-waiting; err != nil {
		t.Errorf("what waited for the certificate: %v", err)
	}
	k.hello("c")
	third := mtlstest.Secret(old.Trusting(renewed.Client("node-1")))
	expand := &csi.NodeExpandVolumeRequest{VolumeId: "v", VolumePath: k.target("c"), CapacityRange: &csi.CapacityRange{RequiredBytes: 1 << 30}, Secrets: stranger}
	_, err := k.NodeExpandVolume(t.Context(), expand)
	refuses(t, err, codes.Unauthenticated, "CN=stranger")
	expand.Secrets = third
	_, err = k.NodeExpandVolume(t.Context(), expand)
	k.must(err, k.stageWith("x", third))
	k.must(k.unpublish("v", "a"), k.unpublish("v", "b"), k.unpublish("v", "c"), k.unstage("v"), k.unstage("w"), k.unstage("x"))
	k.noMounts()
}

func TestSecretsThatDoNotFit(t *testing.T) {
	ca, other := mtlstest.NewCA(t, "ours"), mtlstest.NewCA(t, "theirs")
	k, _ := newTLSKubelet(t, ca.Server("127.0.0.1"))
	good := ca.Client("node-1")
	half := mtlstest.Secret(good)
	delete(half, "tls.key")
	refuses(t, k.stageWith("v", nil), codes.Unauthenticated, k.exporter.URL, "csi.storage.k8s.io/node-stage-secret-name", "--tls-ca")
	refuses(t, k.stageWith("v", half), codes.Unauthenticated, "tls.key is missing")
	refuses(t, k.stageWith("v", mtlstest.Secret(ca.Issue("late", mtlstest.Expired))), codes.Unauthenticated, k.exporter.URL, "expired", "renew it")
	refuses(t, k.stageWith("v", mtlstest.Secret(other.Trusting(good))), codes.FailedPrecondition, k.exporter.URL, "authority that ca.crt does not hold")
	k.noMounts()

	request := k.stageRequest("v")
	request.Secrets, request.VolumeContext["zeroCopy"] = mtlstest.Secret(good), "require"
	_, err := k.NodeStageVolume(t.Context(), request)
	refuses(t, err, codes.InvalidArgument, "copies what it carries", "zeroCopy=auto")
	k.noMounts()
}

// A server without TLS has no use for secrets, whatever is in them.
func TestSecretsWithoutTLS(t *testing.T) {
	k := newKubelet(t)
	junk := map[string]string{"tls.crt": "junk"}
	k.must(k.stageWith("v", junk), k.stageWith("v", junk), k.publishWith("v", "a", junk))
	_, err := k.NodeExpandVolume(t.Context(), &csi.NodeExpandVolumeRequest{
		VolumeId: "v", VolumePath: k.target("a"), CapacityRange: &csi.CapacityRange{RequiredBytes: 1 << 30}, Secrets: junk,
	})
	k.must(err, k.unpublish("v", "a"), k.unstage("v"))
	k.noMounts()
}

// A new mounter knows no secret: a pod that starts brings it, and the volume
// lives again.
func TestSecretsAfterTheMounterDied(t *testing.T) {
	ca := mtlstest.NewCA(t, "ours")
	k, _ := newTLSKubelet(t, ca.Server("127.0.0.1"))
	secret := mtlstest.Secret(ca.Client("node-1"))
	k.must(k.stageWith("v", secret), k.publishWith("v", "a", secret))
	k.mounter.Kill()
	k.mounter.Start()
	refuses(t, k.publishWith("v", "b", nil), codes.Unauthenticated, "node-publish")
	k.must(k.stageWith("v", secret), k.publishWith("v", "b", secret))
	k.hello("b")
	k.must(k.unpublish("v", "a"), k.unpublish("v", "b"), k.unstage("v"))
	k.noMounts()
}
