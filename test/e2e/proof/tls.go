package proof

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"github.com/csi-9p/csi-9p/test/e2e/suite"
)

const (
	exporterNamespace = "csi-9p-exporter"
	clientSecret      = "csi-9p-client-tls"
)

// tlsExporter: a volume of the cluster's default class is exported to all of the cluster, by the exporter's manifests
// and with the certificates that its script makes; pods on both nodes use it by the name of its Service.
func tlsExporter(t *suite.T) {
	s := &scene{T: t, share: serve(t, "share")}
	s.class = s.storageClass(t.Namespace, nil, func(c *storagev1.StorageClass) {
		c.Annotations = map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}
	})
	t.Cleanup(s.drain)
	s.kubectl("apply", "-k", filepath.Join(t.Cluster.Repository, "deploy/exporter/overlays/pvc"))
	t.Cleanup(func() {
		if err := t.Cluster.DeleteNamespace(t.Context(), exporterNamespace); err != nil {
			t.Errorf("deleting the exporter: %v", err)
		}
		s.volumesGo(func(pv *corev1.PersistentVolume) bool { return pv.Spec.StorageClassName == s.class })
	})
	s.apply(s.certificates("own"))
	t.Cleanup(func() { s.kubectl("-n", driverNamespace, "delete", "secret", clientSecret, "--ignore-not-found") })
	s.kubectl("-n", exporterNamespace, "rollout", "status", "deployment/csi-9p-exporter", "--timeout=120s")

	class := s.tlsClass(t.Namespace+"-tls", clientSecret)
	t.Cleanup(s.drain)
	s.claim("data", corev1.ReadWriteMany, inClass(class))
	s.running("writer", "data", on("node1"))
	s.running("reader", "data", on("node2"))
	s.exec("writer", "dd if=/dev/urandom of=/vol/data bs=1M count=32 2>/dev/null; cd /vol; sha256sum data > sums")
	s.Logf("node2 reads what node1 wrote: %s", s.exec("reader", "cd /vol; sha256sum -c sums"))
	s.stranger()
	s.drop("writer", "reader")
	s.dropClaim("data")
}

// stranger: a certificate of another authority gets no volume, and the claim says why.
func (s *scene) stranger() {
	const secret = "csi-9p-stranger-tls"
	_, client, _ := strings.Cut(s.certificates("stranger"), "\n---\n")
	s.apply(strings.Replace(client, clientSecret, secret, 1))
	s.Cleanup(func() { s.kubectl("-n", driverNamespace, "delete", "secret", secret) })
	s.claim("stranger", corev1.ReadWriteMany, inClass(s.tlsClass(s.Namespace+"-stranger", secret)))
	s.event("stranger", "certificate")
}

// tlsClass makes a StorageClass on the exporter, whose users show the certificate in the Secret.
func (s *scene) tlsClass(name, secret string) string {
	parameters := map[string]string{
		"server": "tls://csi-9p-exporter." + exporterNamespace + ".svc",
	}
	for _, call := range []string{"provisioner", "controller-expand", "node-stage"} {
		parameters["csi.storage.k8s.io/"+call+"-secret-name"] = secret
		parameters["csi.storage.k8s.io/"+call+"-secret-namespace"] = driverNamespace
	}
	return s.storageClass(name, parameters, nil)
}

// certificates runs the exporter's script and returns its Secrets, that of the exporter first.
func (s *scene) certificates(name string) string {
	script := filepath.Join(s.Cluster.Repository, "deploy/exporter/certificates.sh")
	cmd := exec.CommandContext(s.Context(), script, "--dir", filepath.Join(s.TempDir(), name))
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		s.Fatalf("making certificates: %v\n%s", err, &said)
	}
	return string(out)
}

// apply applies a manifest, as soon as its namespaces are there.
func (s *scene) apply(manifest string) {
	s.eventually("the API server to take a manifest", func(ctx context.Context) (bool, error) {
		err := s.Cluster.Apply(ctx, manifest)
		return err == nil, err
	})
}
