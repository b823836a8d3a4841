package exporter_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/test/lab"
)

// TestDeployedWithCertificates runs the exporter by the Deployment's own arguments and capabilities, with the certificates of
// certificates.sh where the Secret's volume would be: a client with a certificate has the share, a stranger has not, and renewed
// certificates are taken up by the running exporter.
func TestDeployedWithCertificates(t *testing.T) {
	lab.NeedRoot(t)
	made, root, mounted := t.TempDir(), lab.Dir(t), lab.Dir(t)
	server, client := certificates(t, made, "127.0.0.1")
	serving := secretVolume(t, server)
	url := serveDeployed(t, root, serving)

	if out, err := mount(t, url, mounted, secretVolume(t, client)); err != nil {
		t.Fatalf("with the client's certificate: %v\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(mounted, "from-client"), []byte("x"), 0o600); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(root, "from-client")); err != nil {
		t.Error(err)
	}

	_, stranger := certificates(t, t.TempDir(), "127.0.0.1")
	stranger.Data["ca.crt"] = client.Data["ca.crt"] // it knows the server, and is not known there
	if out, err := mount(t, url, lab.Dir(t), secretVolume(t, stranger)); err == nil || !strings.Contains(out, "refused by the server") {
		t.Errorf("a stranger is let in (%v), or is not told why:\n%s", err, out)
	}

	server, client = certificates(t, made, "--renew", "127.0.0.1", "localhost")
	fill(t, serving, server)
	local := strings.Replace(url, "127.0.0.1", "localhost", 1)
	lab.Eventually(t, 10*time.Second, func() error {
		_, err := mount(t, local, lab.Dir(t), secretVolume(t, client))
		return err
	})
}

// serveDeployed runs the exporter of root as base/deployment.yaml says, but for the addresses, and returns its URL.
func serveDeployed(t *testing.T, root, secret string) string {
	t.Helper()
	c, address := deployed(t), freeAddress(t)
	var args []string
	for _, arg := range c.Args {
		arg = strings.ReplaceAll(arg, "0.0.0.0:5640", address)
		arg = strings.ReplaceAll(arg, "/etc/csi-9p/tls", secret)
		arg = strings.ReplaceAll(arg, "/srv/share", root)
		args = append(args, strings.ReplaceAll(arg, ":29693", "127.0.0.1:0"))
	}
	p := lab.Start(t, limited(t, c.SecurityContext.Capabilities.Add, append([]string{lab.Binary(t)}, args...)...))
	lab.Eventually(t, 10*time.Second, func() error {
		select {
		case <-p.Ended():
			t.Fatalf("the exporter ended:\n%s", p.Output())
		default:
		}
		return accepts("tcp", address)
	})
	return "tls://" + address
}

// secretVolume makes a directory of a Secret's keys, as the kubelet does.
func secretVolume(t *testing.T, s secret) string {
	t.Helper()
	dir := t.TempDir()
	fill(t, dir, s)
	return dir
}

// fill writes a Secret's keys into a directory, or over those that are there.
func fill(t *testing.T, dir string, s secret) {
	t.Helper()
	for key, value := range s.Data {
		if err := os.WriteFile(filepath.Join(dir, key), value, 0o400); err != nil {
			t.Fatal(err)
		}
	}
}

// mount mounts a share until the test ends, with the certificate of a Secret's directory. It returns what the command says.
func mount(t *testing.T, url, dir, secret string) (string, error) {
	t.Helper()
	out, err := exec.Command(lab.Binary(t), "mount", url, dir, "--tls-ca", filepath.Join(secret, "ca.crt"),
		"--tls-cert", filepath.Join(secret, "tls.crt"), "--tls-key", filepath.Join(secret, "tls.key")).CombinedOutput()
	if err == nil {
		t.Cleanup(func() {
			if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
				t.Errorf("unmount %s: %v", dir, err)
			}
		})
	}
	return string(out), err
}
