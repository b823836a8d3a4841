// Package mtlstest makes certificates for tests: ECDSA on P-256, valid for an
// hour.
package mtlstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/csi-9p/csi-9p/transport/mtls"
)

// CA is a certificate authority.
type CA struct {
	tb   testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

// NewCA makes an authority.
func NewCA(tb testing.TB, name string) *CA {
	tb.Helper()
	ca := &CA{tb: tb, key: newKey(tb)}
	template := template(tb, name)
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign
	ca.cert, ca.pem = sign(tb, template, template, ca.key, ca.key)
	return ca
}

// Server issues a certificate for a server of these host names and addresses.
func (ca *CA) Server(hosts ...string) *mtls.PEM {
	ca.tb.Helper()
	return ca.Issue("server", func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		for _, host := range hosts {
			if ip := net.ParseIP(host); ip != nil {
				c.IPAddresses = append(c.IPAddresses, ip)
			} else {
				c.DNSNames = append(c.DNSNames, host)
			}
		}
	})
}

// Client issues a certificate for a client.
func (ca *CA) Client(name string) *mtls.PEM {
	ca.tb.Helper()
	return ca.Issue(name, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
}

// Issue issues a certificate that change has changed. Who holds it trusts this
// authority.
func (ca *CA) Issue(name string, change func(*x509.Certificate)) *mtls.PEM {
	ca.tb.Helper()
	template := template(ca.tb, name)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	change(template)
	key := newKey(ca.tb)
	_, text := sign(ca.tb, template, ca.cert, key, ca.key)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		ca.tb.Fatal(err)
	}
	return &mtls.PEM{CA: ca.pem, Certificate: text, Key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})}
}

// Trusting returns credentials whose holder trusts this authority instead of
// its own.
func (ca *CA) Trusting(p *mtls.PEM) *mtls.PEM {
	return &mtls.PEM{CA: ca.pem, Certificate: p.Certificate, Key: p.Key}
}

// Expired moves a certificate's time into the past.
func Expired(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
}

// Future moves a certificate's time into the future.
func Future(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
}

// Secret is the content of a Kubernetes Secret.
func Secret(p *mtls.PEM) map[string]string {
	return map[string]string{"ca.crt": string(p.CA), "tls.crt": string(p.Certificate), "tls.key": string(p.Key)}
}

// Write writes credentials to the files of a directory, under the names that
// they have in a Secret.
func Write(tb testing.TB, dir string, p *mtls.PEM) mtls.Files {
	tb.Helper()
	for name, content := range Secret(p) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	return mtls.Files{CA: filepath.Join(dir, "ca.crt"), Certificate: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}
}

// Source makes credentials usable.
func Source(tb testing.TB, p *mtls.PEM) *mtls.Credentials {
	tb.Helper()
	c, err := p.Parse()
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func template(tb testing.TB, name string) *x509.Certificate {
	tb.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		tb.Fatal(err)
	}
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
	}
}

func sign(tb testing.TB, template, parent *x509.Certificate, key, by *ecdsa.PrivateKey) (*x509.Certificate, []byte) {
	tb.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	if err != nil {
		tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
