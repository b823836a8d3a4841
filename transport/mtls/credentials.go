package mtls

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
)

// Source gives an end its credentials for a handshake. It is safe for
// concurrent use.
type Source interface {
	// Credentials returns them as they are now. The context's logger hears of
	// renewed ones that cannot be used.
	Credentials(ctx context.Context) (*Credentials, error)
	// Identity is equal for two sources only if they give the same credentials.
	Identity() string
}

// Credentials are what an end shows and whom it trusts. They do not change. They
// are a Source of themselves.
type Credentials struct {
	certificate tls.Certificate // with its Leaf
	authorities *x509.CertPool
	names       names
	identity    string
}

var _ Source = (*Credentials)(nil)

// Credentials implements Source.
func (c *Credentials) Credentials(context.Context) (*Credentials, error) { return c, nil }

// Identity implements Source.
func (c *Credentials) Identity() string { return c.identity }

// Subject is that of the certificate, as a distinguished name.
func (c *Credentials) Subject() string { return c.certificate.Leaf.Subject.String() }

// names are what people call the parts of credentials: files, or keys of a
// secret.
type names struct{ ca, certificate, key string }

// secretNames are the keys of a Kubernetes Secret of type kubernetes.io/tls,
// with the authority as cert-manager adds it.
var secretNames = names{ca: "ca.crt", certificate: "tls.crt", key: "tls.key"}

// PEM is credentials as text (RFC 7468): the authorities that the other end is
// verified by, this end's certificate with the chain that leads to its
// authority, and its key. It never prints its content.
type PEM struct {
	CA          []byte `json:"ca"`
	Certificate []byte `json:"certificate"`
	Key         []byte `json:"key"`
}

// Format implements fmt.Formatter, for every verb.
func (PEM) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "(TLS credentials)") }

// FromSecret takes credentials out of a secret: its keys ca.crt, tls.crt and
// tls.key. Other keys are ignored. A secret with none of the three has no
// credentials, which is nil and no error; one of them missing is an error.
func FromSecret(secret map[string]string) (*PEM, error) {
	p := &PEM{
		CA:          []byte(secret[secretNames.ca]),
		Certificate: []byte(secret[secretNames.certificate]),
		Key:         []byte(secret[secretNames.key]),
	}
	if len(p.CA)+len(p.Certificate)+len(p.Key) == 0 {
		return nil, nil
	}
	if _, err := p.Parse(); err != nil {
		return nil, err
	}
	return p, nil
}

// Parse checks the credentials of a secret and makes them usable. Its errors
// wrap ErrSecret and name the secret's key.
func (p *PEM) Parse() (*Credentials, error) {
	c, err := p.parse(secretNames)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSecret, err)
	}
	c.identity = "secret:" + p.fingerprint()
	return c, nil
}

// fingerprint tells one PEM from another.
func (p *PEM) fingerprint() string {
	hash := sha256.New()
	for _, part := range [][]byte{p.CA, p.Certificate, p.Key} {
		_ = binary.Write(hash, binary.BigEndian, uint64(len(part))) // a hash takes all
		hash.Write(part)
	}
	return hex.EncodeToString(hash.Sum(nil))
}

func (p *PEM) parse(n names) (*Credentials, error) {
	for _, part := range []struct {
		name, what string
		content    []byte
	}{
		{n.ca, "the certificate of the authority that the other end is verified by", p.CA},
		{n.certificate, "this end's certificate", p.Certificate},
		{n.key, "the key of this end's certificate", p.Key},
	} {
		if len(part.content) == 0 {
			return nil, fmt.Errorf("%s is missing: it holds %s", part.name, part.what)
		}
	}
	c := &Credentials{names: n, authorities: x509.NewCertPool()}
	if err := addAuthorities(c.authorities, p.CA); err != nil {
		return nil, fmt.Errorf("%s: %w", n.ca, err)
	}
	if _, err := certificates(p.Certificate); err != nil {
		return nil, fmt.Errorf("%s: %w", n.certificate, err)
	}
	var err error
	if c.certificate, err = tls.X509KeyPair(p.Certificate, p.Key); err != nil {
		return nil, fmt.Errorf("%s and %s: %w", n.certificate, n.key, keyError(err, p.Key))
	}
	return c, nil
}

// keyError says what is wrong with a key whose certificate is well formed. What
// crypto/tls says of a key never quotes it.
func keyError(err error, key []byte) error {
	if block, _ := pem.Decode(key); block == nil {
		return errors.New("the key is not PEM: it begins with -----BEGIN PRIVATE KEY-----")
	}
	return fmt.Errorf("the key cannot be used with the certificate, write both anew as a pair: %w", err)
}

func addAuthorities(pool *x509.CertPool, text []byte) error {
	all, err := certificates(text)
	for _, one := range all {
		pool.AddCert(one)
	}
	return err
}

var errNoCertificate = errors.New("no certificate in it: PEM begins with -----BEGIN CERTIFICATE-----")

// certificates reads those in text, one at least, and passes other blocks over.
func certificates(text []byte) (all []*x509.Certificate, err error) {
	for len(text) > 0 {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		one, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	if len(all) == 0 {
		return nil, errNoCertificate
	}
	return all, nil
}
