package mount_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/test/lab"
	"github.com/csi-9p/csi-9p/transport/mtls"
	"github.com/csi-9p/csi-9p/transport/mtls/mtlstest"
)

// serving are the exporter's flags for credentials, in a directory of their own.
func serving(t *testing.T, dir string, p *mtls.PEM) []string {
	t.Helper()
	f := mtlstest.Write(t, dir, p)
	return []string{"--tls-client-ca", f.CA, "--tls-cert", f.Certificate, "--tls-key", f.Key}
}

// mounting are the mount command's.
func mounting(t *testing.T, dir string, p *mtls.PEM) []string {
	t.Helper()
	f := mtlstest.Write(t, dir, p)
	return []string{"--tls-ca", f.CA, "--tls-cert", f.Certificate, "--tls-key", f.Key}
}

// TestTLS: what one mount writes another reads, byte for byte, and the server's
// directory has it.
func TestTLS(t *testing.T) {
	ca := mtlstest.NewCA(t, "ours")
	server := lab.ExporterAt(t, "tls://127.0.0.1:0", lab.Dir(t), serving(t, lab.Dir(t), ca.Server("127.0.0.1"))...)
	flags := mounting(t, lab.Dir(t), ca.Client("node-1"))
	writer, reader := lab.MountWith(t, flags, server.URL).Dir, lab.MountWith(t, flags, server.URL, "cache=none").Dir
	for name, size := range map[string]int{"empty": 0, "small": 11, "page": 4096, "record": 16 << 10, "odd": 70_001, "large": 12<<20 + 5} {
		data := make([]byte, size)
		_, _ = rand.Read(data)
		must(t, os.WriteFile(filepath.Join(writer, name), data, 0o644))
		for _, dir := range []string{reader, server.Root} {
			if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%s in %s: %d bytes, %v, other than the %d written", name, dir, len(got), err, size)
			}
		}
	}
}

// TestTLSRenewed: certificates that are replaced under a mount hold from the next
// connection on, and the mount lives through it.
func TestTLSRenewed(t *testing.T) {
	old, renewed := mtlstest.NewCA(t, "old"), mtlstest.NewCA(t, "renewed")
	root, serverDir, clientDir := lab.Dir(t), lab.Dir(t), lab.Dir(t)
	server := lab.ExporterAt(t, "tls://127.0.0.1:0", root, serving(t, serverDir, old.Server("127.0.0.1"))...)
	dir := lab.MountWith(t, mounting(t, clientDir, old.Client("node-1")), server.URL, "reconnectTimeout=1m").Dir
	put(t, filepath.Join(dir, "before"), "data")
	mounting(t, clientDir, renewed.Client("node-1"))
	flags := serving(t, serverDir, renewed.Server("127.0.0.1"))
	server.Kill(t)
	lab.ExporterAt(t, server.URL, root, flags...)
	put(t, filepath.Join(dir, "after"), "data")
	sees(t, filepath.Join(root, "after"), "data")
	sees(t, filepath.Join(dir, "before"), "data")
}

// TestBadTLS: what is wrong with certificates is said by both commands at once.
func TestBadTLS(t *testing.T) {
	lab.NeedRoot(t)
	ca, other := mtlstest.NewCA(t, "ours"), mtlstest.NewCA(t, "theirs")
	server := lab.ExporterAt(t, "tls://127.0.0.1:0", lab.Dir(t), serving(t, lab.Dir(t), ca.Server("127.0.0.1"))...)
	plain := lab.Exporter(t, lab.Dir(t))
	good := mounting(t, lab.Dir(t), ca.Client("node-1"))
	dir := lab.Dir(t)
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"no-certificate":   {[]string{server.URL, dir}, "give --tls-ca, --tls-cert and --tls-key"},
		"half-of-it":       {[]string{server.URL, dir, "--tls-ca", dir + "/ca.crt"}, "give --tls-ca, --tls-cert and --tls-key"},
		"missing-file":     {[]string{server.URL, dir, "--tls-ca", dir + "/none", "--tls-cert", dir + "/none", "--tls-key", dir + "/none"}, dir + "/none"},
		"refused":          {append([]string{server.URL, dir}, mounting(t, lab.Dir(t), ca.Trusting(other.Client("stranger")))...), "refused by the server"},
		"expired":          {append([]string{server.URL, dir}, mounting(t, lab.Dir(t), ca.Issue("late", mtlstest.Expired))...), "expired"},
		"another-server":   {append([]string{server.URL, dir}, mounting(t, lab.Dir(t), other.Trusting(ca.Client("node-1")))...), "put the server's authority there"},
		"another-name":     {append([]string{server.URL, dir, "--tls-server-name", "nas.example"}, good...), `not for "nas.example"`},
		"plain-server":     {append([]string{"tls" + plain.URL[3:], dir}, good...), "closed the connection during the TLS handshake"},
		"not-for-tcp":      {append([]string{plain.URL, dir}, good...), "leave --tls-ca"},
		"not-zero-copy":    {append([]string{server.URL, dir, "-o", "zeroCopy=require"}, good...), "zeroCopy=auto"},
		"tls-at-plain-url": {[]string{"tcp" + server.URL[3:], dir}, "not a 9P server"},
	} {
		t.Run(name, func(t *testing.T) { fails(t, test.want, append([]string{"mount", "--foreground"}, test.args...)...) })
	}
	for _, line := range []string{"CN=stranger", "CN=late", "expired at", "does not accept this server's certificate", "has to connect by a tls:// URL"} {
		lab.Eventually(t, time.Minute, func() error { return said(server, line) })
	}

	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"serve-without":     {[]string{"--listen", "tls://127.0.0.1:0", dir}, "--tls-client-ca"},
		"serve-missing":     {[]string{"--listen", "tls://127.0.0.1:0", "--tls-client-ca", dir + "/none", "--tls-cert", dir + "/none", "--tls-key", dir + "/none", dir}, dir + "/none"},
		"serve-without-tls": {append([]string{"--listen", "tcp://127.0.0.1:0", dir}, serving(t, lab.Dir(t), ca.Server("127.0.0.1"))...), "tls://"},
	} {
		t.Run(name, func(t *testing.T) { fails(t, test.want, append([]string{"serve"}, test.args...)...) })
	}
}

// said reports that a server's log does not have a text.
func said(server *lab.Server, text string) error {
	if !strings.Contains(server.Output(), text) {
		return fmt.Errorf("the server's log does not tell %q:\n%s", text, server.Output())
	}
	return nil
}
