package mtls_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/csi-9p/csi-9p/transport/mtls"
	"github.com/csi-9p/csi-9p/transport/mtls/mtlstest"
)

func TestSecret(t *testing.T) {
	ca := mtlstest.NewCA(t, "ours")
	good, other := ca.Client("c"), ca.Client("d")
	with := func(key, value string) map[string]string {
		s := mtlstest.Secret(good)
		s[key] = value
		return s
	}
	for _, test := range []struct {
		name   string
		secret map[string]string
		words  []string // of the error; none: it is good
	}{
		{"as cert-manager makes it", mtlstest.Secret(good), nil},
		{"with more in it", with("keystore.p12", "x"), nil},
		{"without an authority", with("ca.crt", ""), []string{"ca.crt is missing"}},
		{"without a certificate", with("tls.crt", ""), []string{"tls.crt is missing"}},
		{"without a key", with("tls.key", ""), []string{"tls.key is missing"}},
		{"with junk for an authority", with("ca.crt", "junk"), []string{"ca.crt", "-----BEGIN CERTIFICATE-----"}},
		{"with junk for a certificate", with("tls.crt", "junk"), []string{"tls.crt", "-----BEGIN CERTIFICATE-----"}},
		{"with junk in a certificate", with("tls.crt", "-----BEGIN CERTIFICATE-----\nanVuaw==\n-----END CERTIFICATE-----\n"), []string{"tls.crt"}},
		{"with junk for a key", with("tls.key", "hush"), []string{"tls.key", "-----BEGIN PRIVATE KEY-----"}},
		{"with a key for a certificate", with("tls.key", string(good.Certificate)), []string{"tls.crt and tls.key"}},
		{"with another's key", with("tls.key", string(other.Key)), []string{"tls.crt and tls.key", "as a pair", "does not match"}},
	} {
		p, err := mtls.FromSecret(test.secret)
		switch {
		case len(test.words) == 0:
			if err != nil || p == nil {
				t.Errorf("%s: %v", test.name, err)
			}
		case !errors.Is(err, mtls.ErrSecret):
			t.Errorf("%s: %v, want ErrSecret", test.name, err)
		case strings.Contains(err.Error(), "hush"):
			t.Errorf("%s: the error quotes the secret: %v", test.name, err)
		}
		says(t, "a secret "+test.name, err, test.words...)
	}
	for _, none := range []map[string]string{nil, {}, {"username": "x"}} {
		if p, err := mtls.FromSecret(none); p != nil || err != nil {
			t.Errorf("a secret of something else: %v, %v", p, err)
		}
	}
}

func TestIdentity(t *testing.T) {
	ca := mtlstest.NewCA(t, "ours")
	a, b := ca.Client("c"), ca.Client("c")
	if x, y := mtlstest.Source(t, a).Identity(), mtlstest.Source(t, a).Identity(); x != y {
		t.Errorf("the same credentials are %s and %s", x, y)
	}
	if x, y := mtlstest.Source(t, a).Identity(), mtlstest.Source(t, b).Identity(); x == y {
		t.Error("two certificates of one name pass for one")
	}
}

func TestCredentialsAreNeverPrinted(t *testing.T) {
	p := &mtls.PEM{CA: []byte("hush"), Certificate: []byte("hush"), Key: []byte("hush")}
	in := struct {
		P *mtls.PEM
		V mtls.PEM
	}{p, *p}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if got := fmt.Sprintf(verb, in); strings.Contains(got, "hush") || strings.Contains(got, "68757368") || strings.Contains(got, "104 117") {
			t.Errorf("%s prints %s", verb, got)
		}
	}
}

// Whatever is in a secret, it is taken or refused with a reason, and the key is
// not in the reason.
func FuzzSecret(f *testing.F) {
	ca := mtlstest.NewCA(f, "ours")
	good := ca.Client("c")
	f.Add(good.CA, good.Certificate, good.Key)
	f.Add([]byte("junk"), []byte("-----BEGIN CERTIFICATE-----\nanVuaw==\n-----END CERTIFICATE-----\n"), []byte("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, ca, certificate, key []byte) {
		p := &mtls.PEM{CA: ca, Certificate: certificate, Key: key}
		c, err := p.Parse()
		if (c == nil) == (err == nil) || err != nil && !errors.Is(err, mtls.ErrSecret) {
			t.Fatalf("%v, %v", c, err)
		}
		if len(key) > 20 && err != nil && strings.Contains(err.Error(), string(key)) {
			t.Fatalf("the key is in the error: %v", err)
		}
	})
}
