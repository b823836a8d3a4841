package controller_test

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/controller"
	"github.com/csi-9p/csi-9p/ninep/server"
	"github.com/csi-9p/csi-9p/test/lab"
	"github.com/csi-9p/csi-9p/transport/mtls"
	"github.com/csi-9p/csi-9p/transport/mtls/mtlstest"
	"google.golang.org/grpc/codes"
)

// exportTLS serves a directory with a certificate for 127.0.0.1 until the test
// ends.
func exportTLS(t *testing.T, root string, certificate *mtls.PEM) (url string) {
	t.Helper()
	s, err := server.New(server.Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() {
		served <- s.Serve(context.Background(), mtls.NewListener(listener, mtlstest.Source(t, certificate)))
	}()
	t.Cleanup(func() {
		s.Close()
		if err := <-served; err != nil {
			t.Errorf("server: %v", err)
		}
	})
	return "tls://" + listener.Addr().String()
}

// newTLSRig exports a new directory to a controller that has no credentials of
// its own.
func newTLSRig(t *testing.T) (*rig, *mtlstest.CA) {
	t.Helper()
	leakCheck(t)
	root, ca := lab.Dir(t), mtlstest.NewCA(t, "ours")
	return &rig{Controller: newController(t, ""), t: t, root: root, url: exportTLS(t, root, ca.Server("127.0.0.1"))}, ca
}

// A volume's whole life, every call with its secrets.
func TestSecrets(t *testing.T) {
	r, ca := newTLSRig(t)
	secret := mtlstest.Secret(ca.Client("provisioner"))
	secret["something"] = "else"
	create := r.request("pvc-1")
	create.Secrets = secret
	made, err := r.CreateVolume(t.Context(), create)
	if err != nil {
		t.Fatal(err)
	}
	v := made.GetVolume()
	if text := v.String(); strings.Contains(text, "BEGIN") {
		t.Errorf("the volume tells the secret: %s", text)
	}
	// A renewed one, as cert-manager writes it.
	secret = mtlstest.Secret(ca.Client("provisioner"))
	if _, err := r.ControllerExpandVolume(t.Context(), &csi.ControllerExpandVolumeRequest{
		VolumeId: v.GetVolumeId(), CapacityRange: &csi.CapacityRange{RequiredBytes: 2 << 30}, Secrets: secret}); err != nil {
		t.Errorf("expand: %v", err)
	}
	if got, err := r.ValidateVolumeCapabilities(t.Context(), &csi.ValidateVolumeCapabilitiesRequest{
		VolumeId: v.GetVolumeId(), VolumeCapabilities: mount, Secrets: secret}); err != nil || got.GetConfirmed() == nil {
		t.Errorf("validate: %v, %v", got, err)
	}
	// Calls that carry none go as the last one that did.
	if got := list(t, r.Controller, 0); len(got) != 1 {
		t.Errorf("listed are %q", got)
	}
	if _, err := r.GetCapacity(t.Context(), &csi.GetCapacityRequest{Parameters: map[string]string{"server": r.url}}); err != nil {
		t.Errorf("capacity: %v", err)
	}
	_, err = r.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{VolumeId: v.GetVolumeId()})
	fails(t, err, codes.Unauthenticated, r.url, "csi.storage.k8s.io/provisioner-secret-name", "csi.storage.k8s.io/provisioner-secret-namespace", "tls.crt")
	if _, err := r.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{VolumeId: v.GetVolumeId(), Secrets: secret}); err != nil {
		t.Errorf("delete: %v", err)
	}
	r.spotless()
}

func TestSecretsThatDoNotFit(t *testing.T) {
	r, ca := newTLSRig(t)
	other := mtlstest.NewCA(t, "theirs")
	good := ca.Client("provisioner")
	without := func(key string) map[string]string {
		s := mtlstest.Secret(good)
		delete(s, key)
		return s
	}
	for name, test := range map[string]struct {
		secret map[string]string
		code   codes.Code
		words  []string
	}{
		"none":                      {nil, codes.Unauthenticated, []string{"no TLS credentials", "provisioner-secret-name"}},
		"of something else":         {map[string]string{"password": "x"}, codes.Unauthenticated, []string{"no TLS credentials"}},
		"without a certificate":     {without("tls.crt"), codes.Unauthenticated, []string{"tls.crt is missing"}},
		"with another's key":        {mtlstest.Secret(&mtls.PEM{CA: good.CA, Certificate: good.Certificate, Key: other.Client("x").Key}), codes.Unauthenticated, []string{"tls.key"}},
		"that the server refuses":   {mtlstest.Secret(ca.Trusting(other.Client("x"))), codes.Unauthenticated, []string{r.url, "refused by the server", "CN=theirs"}},
		"expired":                   {mtlstest.Secret(ca.Issue("x", mtlstest.Expired)), codes.Unauthenticated, []string{r.url, "expired", "renew"}},
		"that trusts other servers": {mtlstest.Secret(other.Trusting(good)), codes.FailedPrecondition, []string{r.url, "ca.crt"}},
	} {
		create := r.request("pvc-1")
		create.Secrets = test.secret
		_, err := r.CreateVolume(t.Context(), create)
		if err == nil {
			t.Errorf("a secret %s: the volume is made", name)
			continue
		}
		t.Run(name, func(t *testing.T) { fails(t, err, test.code, test.words...) })
	}
	r.spotless()
}

func TestServerOfAnotherName(t *testing.T) {
	leakCheck(t)
	root, ca := lab.Dir(t), mtlstest.NewCA(t, "ours")
	r := &rig{Controller: newController(t, ""), t: t, root: root, url: exportTLS(t, root, ca.Server("nas.example"))}
	create := r.request("pvc-1")
	create.Secrets = mtlstest.Secret(ca.Client("provisioner"))
	_, err := r.CreateVolume(t.Context(), create)
	fails(t, err, codes.FailedPrecondition, "nas.example", "127.0.0.1", "tlsServerName")

	create.Parameters["tlsServerName"] = "nas.example"
	made, err := r.CreateVolume(t.Context(), create)
	if err != nil {
		t.Fatal(err)
	}
	// The id alone leads back, under the right name.
	if _, err := r.DeleteVolume(t.Context(), &csi.DeleteVolumeRequest{VolumeId: made.GetVolume().GetVolumeId(), Secrets: create.Secrets}); err != nil {
		t.Errorf("delete: %v", err)
	}
	if got := made.GetVolume().GetVolumeContext()["tlsServerName"]; got != "nas.example" {
		t.Errorf("a node gets the name %q", got)
	}
	r.spotless()
}

// A share brings its own files, which are read again when they change; the
// controller has some for servers without.
func TestFilesOfTheController(t *testing.T) {
	leakCheck(t)
	root, ca, other := lab.Dir(t), mtlstest.NewCA(t, "ours"), mtlstest.NewCA(t, "theirs")
	url, dir := exportTLS(t, root, ca.Server("127.0.0.1")), lab.Dir(t)
	files := mtlstest.Write(t, dir, ca.Trusting(other.Client("stranger")))
	config := "shares: {vault: {server: '" + url + "', tls: {ca: '" + files.CA + "', cert: '" + files.Certificate + "', key: '" + files.Key + "'}}}"
	r := &rig{Controller: newController(t, config), t: t, root: root, url: url}
	_, err := r.CreateVolume(t.Context(), request("pvc-1", "share", "vault"))
	fails(t, err, codes.Unauthenticated, url, filepath.Join(dir, "tls.crt"), "CN=stranger")
	mtlstest.Write(t, dir, ca.Client("controller"))
	made, err := r.CreateVolume(t.Context(), request("pvc-1", "share", "vault"))
	if err != nil {
		t.Fatal(err)
	}
	r.remove(made.GetVolume().GetVolumeId())

	// Those may come after the controller has started.
	dir = lab.Dir(t)
	source, err := mtls.ExpectFiles(mtls.Files{CA: dir + "/ca.crt", Certificate: dir + "/tls.crt", Key: dir + "/tls.key"})
	if err != nil {
		t.Fatal(err)
	}
	r.Controller = newControllerWith(t, controller.Options{TLS: source})
	_, err = r.CreateVolume(t.Context(), r.request("pvc-2"))
	fails(t, err, codes.FailedPrecondition, url, dir+"/ca.crt", "csi.storage.k8s.io/provisioner-secret-name")
	mtlstest.Write(t, dir, ca.Client("controller"))
	v := r.create("pvc-2")
	r.remove(v.GetVolumeId())
	r.spotless()
}
