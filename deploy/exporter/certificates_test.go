package exporter_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/csi-9p/csi-9p/test/lab"
)

// secret is what certificates.sh prints of a Secret.
type secret struct {
	Kind     string
	Type     string
	Metadata struct{ Name, Namespace string }
	Data     map[string][]byte
}

// certificates runs certificates.sh with its files in dir and returns what it prints: the server's Secret and the client's.
func certificates(t *testing.T, dir string, args ...string) (server, client secret) {
	t.Helper()
	out, err := script(dir, args...)
	if err != nil {
		t.Fatal(err)
	}
	documents := strings.Split(out, "---\n")
	if len(documents) != 3 || documents[0] != "" {
		t.Fatalf("printed %d documents, want 2:\n%s", len(documents)-1, out)
	}
	for n, s := range []*secret{&server, &client} {
		if err := yaml.UnmarshalStrict([]byte(documents[n+1]), &struct {
			APIVersion string
			*secret
		}{secret: s}); err != nil {
			t.Fatal(err)
		}
	}
	return server, client
}

// script runs certificates.sh. Its error holds what it said.
func script(dir string, args ...string) (string, error) {
	cmd := exec.Command("./certificates.sh", append([]string{"--dir", dir}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", errors.New(stderr.String())
	}
	return string(out), nil
}

// leaf is the certificate of a Secret. It fails the test if the key is another's.
func leaf(t *testing.T, s secret) *x509.Certificate {
	t.Helper()
	pair, err := tls.X509KeyPair(s.Data["tls.crt"], s.Data["tls.key"])
	if err != nil {
		t.Fatalf("%s: %v", s.Metadata.Name, err)
	}
	return pair.Leaf
}

func verify(t *testing.T, s secret, name string, use x509.ExtKeyUsage) error {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(s.Data["ca.crt"]) {
		t.Fatalf("%s: no certificate in ca.crt", s.Metadata.Name)
	}
	_, err := leaf(t, s).Verify(x509.VerifyOptions{Roots: roots, DNSName: name, KeyUsages: []x509.ExtKeyUsage{use}})
	return err
}

func TestCertificatesAreForTheNamesGiven(t *testing.T) {
	server, client := certificates(t, t.TempDir(), "127.0.0.1", "::1", "nas.example", "--days", "30")
	for _, name := range []string{"127.0.0.1", "::1", "nas.example"} {
		if err := verify(t, server, name, x509.ExtKeyUsageServerAuth); err != nil {
			t.Errorf("server as %s: %v", name, err)
		}
	}
	if verify(t, server, "other.example", x509.ExtKeyUsageServerAuth) == nil {
		t.Error("the server's certificate is good for a name that was not given")
	}
	if err := verify(t, client, "", x509.ExtKeyUsageClientAuth); err != nil {
		t.Errorf("client: %v", err)
	}
	for _, s := range []secret{server, client} {
		if days := time.Until(leaf(t, s).NotAfter).Hours() / 24; days < 29 || days > 30 {
			t.Errorf("%s holds for %.1f days, want 30", s.Metadata.Name, days)
		}
	}
}

func TestCertificatesAreForOneUse(t *testing.T) {
	server, client := certificates(t, t.TempDir())
	if verify(t, client, "", x509.ExtKeyUsageServerAuth) == nil {
		t.Error("a client can pass for the server")
	}
	if verify(t, server, "", x509.ExtKeyUsageClientAuth) == nil {
		t.Error("the server can pass for a client")
	}
	for _, s := range []secret{server, client} {
		if c := leaf(t, s); c.IsCA || c.PublicKey.(*ecdsa.PublicKey).Curve.Params().Name != "P-256" {
			t.Errorf("%s: CA %v, key %T", s.Metadata.Name, c.IsCA, c.PublicKey)
		}
	}
}

func TestCertificatesAreSecretsOfTheManifests(t *testing.T) {
	server, client := certificates(t, t.TempDir(), "--namespace", "storage", "--client-namespace", "drivers")
	for _, test := range []struct {
		got             secret
		name, namespace string
	}{
		{server, "csi-9p-exporter-tls", "storage"},
		{client, "csi-9p-client-tls", "drivers"},
	} {
		if test.got.Kind != "Secret" || test.got.Type != "kubernetes.io/tls" ||
			test.got.Metadata.Name != test.name || test.got.Metadata.Namespace != test.namespace || len(test.got.Data) != 3 {
			t.Errorf("%s %s of type %s in %s, want %s in %s", test.got.Kind, test.got.Metadata.Name, test.got.Type, test.got.Metadata.Namespace, test.name, test.namespace)
		}
	}
	if err := verify(t, server, "csi-9p-exporter.storage.svc", x509.ExtKeyUsageServerAuth); err != nil {
		t.Errorf("by the Service's name: %v", err)
	}
}

func TestCertificatesAreKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "certificates")
	first, err := script(dir, "nas.example")
	if err != nil {
		t.Fatal(err)
	}
	again, err := script(dir, "nas.example")
	if err != nil || again != first {
		t.Errorf("the second run changed something (%v)", err)
	}
	if _, err := script(dir, "other.example"); err == nil || !strings.Contains(err.Error(), "--renew") {
		t.Errorf("asked for other names: error %v, want one that names --renew", err)
	}
	after, err := script(dir, "nas.example")
	if err != nil || after != first {
		t.Errorf("the refused run changed something (%v)", err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v (%v), want 0600", f.Name(), info.Mode(), err)
		}
	}
}

func TestCertificatesAreRenewed(t *testing.T) {
	dir := t.TempDir()
	oldServer, oldClient := certificates(t, dir, "nas.example")
	server, client := certificates(t, dir, "--renew", "nas.example", "new.example")
	if !bytes.Equal(server.Data["ca.crt"], oldServer.Data["ca.crt"]) {
		t.Fatal("the authority was replaced: certificates in use are not accepted any more")
	}
	for _, pair := range [][2]secret{{server, oldServer}, {client, oldClient}} {
		if bytes.Equal(pair[0].Data["tls.crt"], pair[1].Data["tls.crt"]) || bytes.Equal(pair[0].Data["tls.key"], pair[1].Data["tls.key"]) {
			t.Errorf("%s was not renewed", pair[0].Metadata.Name)
		}
	}
	if err := verify(t, server, "new.example", x509.ExtKeyUsageServerAuth); err != nil {
		t.Error(err)
	}
}

func TestAuthoritiesDiffer(t *testing.T) {
	server, _ := certificates(t, t.TempDir(), "nas.example")
	other, _ := certificates(t, t.TempDir(), "nas.example")
	if leaf(t, server).Issuer.String() == leaf(t, other).Issuer.String() {
		t.Errorf("two authorities are both called %s", leaf(t, other).Issuer)
	}
	both := append(bytes.Clone(server.Data["ca.crt"]), other.Data["ca.crt"]...)
	server.Data["ca.crt"], other.Data["ca.crt"] = other.Data["ca.crt"], both
	if verify(t, server, "nas.example", x509.ExtKeyUsageServerAuth) == nil {
		t.Error("an authority vouches for what another one issued")
	}
	server.Data["ca.crt"] = both
	for _, s := range []secret{server, other} {
		if err := verify(t, s, "nas.example", x509.ExtKeyUsageServerAuth); err != nil {
			t.Errorf("while one authority takes the place of another: %v", err)
		}
	}
}

func TestCertificatesRefused(t *testing.T) {
	for _, test := range []struct {
		name string
		args []string
		lose string // a file that has gone since the first run
		want string
	}{
		{name: "days", args: []string{"--days", "0"}, want: "--days 0"},
		{name: "option", args: []string{"--force"}, want: "--force is no option"},
		{name: "value", args: []string{"--days"}, want: "--days wants a value"},
		{name: "name", args: []string{"nas.example,IP:1.2.3.4"}, want: "no host name"},
		{name: "namespace", args: []string{"--namespace", "a b"}, want: "no name of a namespace"},
		{name: "authority's key", lose: "ca.key", want: "one is missing"},
		{name: "server's key", lose: "server.key", want: "is not the key of"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			if test.lose != "" {
				certificates(t, dir)
				if err := os.Remove(filepath.Join(dir, test.lose)); err != nil {
					t.Fatal(err)
				}
			}
			if out, err := script(dir, test.args...); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q; printed %q", err, test.want, out)
			}
		})
	}
}

func TestScriptIsClean(t *testing.T) {
	out, err := exec.Command(lab.Need(t, "shellcheck", "shellcheck"), "certificates.sh").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
