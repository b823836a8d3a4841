package mtls

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/csi-9p/csi-9p/transport"
)

// Alerts by which an end refuses the other's certificate, or the handshake (RFC
// 8446, 6.2).
const (
	alertHandshakeFailure       = 40
	alertBadCertificate         = 42
	alertUnsupportedCertificate = 43
	alertRevoked                = 44
	alertExpired                = 45
	alertUnknownCertificate     = 46
	alertUnknownCA              = 48
	alertAccessDenied           = 49
	alertProtocolVersion        = 70
	alertInsufficientSecurity   = 71
	alertUnrecognizedName       = 112
	alertCertificateRequired    = 116
)

// alertOf returns the number of the alert that the peer sent; 0: none. The type
// behind it is private to crypto/tls, an integer of eight bits.
func alertOf(err error) uint64 {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" {
		return 0
	}
	if v := reflect.ValueOf(op.Err); v.Kind() == reflect.Uint8 {
		return v.Uint()
	}
	return 0
}

// alert says what an error of reading means to a client: whether the server
// refused it, and what to do. Other errors stay as they are.
func (c *Credentials) alert(err error) error {
	var advice string
	switch alertOf(err) {
	case alertExpired:
		advice = "it has expired or is not valid yet there: renew it, and compare the clocks of both machines"
	case alertUnknownCA:
		advice = "the server does not know the authority that issued it: have it issued by one that the server's client CA file holds (--tls-client-ca)"
	case alertCertificateRequired:
		advice = "the server got none"
	case alertRevoked:
		advice = "it was revoked: issue another one"
	case alertAccessDenied:
		advice = "the server lets others in, not this one"
	case alertBadCertificate, alertUnsupportedCertificate, alertUnknownCertificate:
		advice = "the server cannot use it; is it one for clients (extended key usage clientAuth)? The server's log says more"
	default:
		return err
	}
	return fmt.Errorf("%w: the client certificate in %s, %s: %s (%w)", transport.ErrRefused, c.names.certificate, describe(c.certificate.Leaf), advice, opaque{err})
}

// explainServer says what an error of the client's handshake means.
func (c *Credentials) explainServer(ctx context.Context, err error, name string) error {
	if ctx.Err() != nil {
		return fmt.Errorf("the server did not finish the TLS handshake: %w", context.Cause(ctx))
	}
	if refused := c.alert(err); errors.Is(refused, transport.ErrRefused) {
		return refused
	}
	var reason string
	switch alertOf(err) {
	case alertProtocolVersion:
		reason = "it speaks no TLS 1.3, which is the oldest version used here"
	case alertHandshakeFailure, alertInsufficientSecurity, alertUnrecognizedName:
		reason = "it ended the TLS handshake; its log says why"
	default:
		return c.explainCertificate(err, name)
	}
	return fmt.Errorf("%w: %s (%w)", ErrServer, reason, opaque{err})
}

// explainCertificate says why the server's certificate does not verify.
func (c *Credentials) explainCertificate(err error, name string) error {
	var (
		unverified *tls.CertificateVerificationError
		plain      tls.RecordHeaderError
		reason     string
	)
	switch {
	case errors.As(err, &unverified):
		reason = c.whyUnverified(unverified, name)
	case errors.As(err, &plain):
		reason = "what it answers is not TLS: a server without it is at tcp://"
	case strings.Contains(err.Error(), "unsupported protocol version"):
		reason = "it speaks no TLS 1.3, which is the oldest version used here"
	case errors.Is(err, io.EOF):
		return fmt.Errorf("the server closed the connection during the TLS handshake: its log says why, and whether it lets this address in: %w", err)
	default:
		return fmt.Errorf("TLS handshake: %w", err)
	}
	return fmt.Errorf("%w: %s (%w)", ErrServer, reason, opaque{err})
}

func (c *Credentials) whyUnverified(err *tls.CertificateVerificationError, name string) string {
	leaf := err.UnverifiedCertificates[0]
	shown := "its certificate, " + describe(leaf)
	var host x509.HostnameError
	switch {
	case errors.As(err, &host) && hosts(leaf) == "":
		return fmt.Sprintf("%s, is for no host: issue one with %q as a subject alternative name, a common name does not count", shown, name)
	case errors.As(err, &host):
		return fmt.Sprintf("%s, is for %q and not for %q: issue one for that name, or say by tlsServerName which name to expect", shown, cut(hosts(leaf)), name)
	case untimely(err):
		return fmt.Sprintf("%s, %s: renew it on the server, and compare the clocks of both machines", shown, timeliness(err))
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return fmt.Sprintf("%s, comes from an authority that %s does not hold: put the server's authority there", shown, c.names.ca)
	}
	return shown + ", does not verify: is it one for servers (extended key usage serverAuth)?"
}

// explainClient says on the server what an error of the handshake means.
func explainClient(ctx context.Context, err error) error {
	var unverified *tls.CertificateVerificationError
	var reason string
	switch alert := alertOf(err); {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &unverified):
		reason = whyRefused(unverified)
	case errors.Is(err, errPlain), errors.As(err, new(tls.RecordHeaderError)):
		reason = "the client speaks no TLS: it has to connect by a tls:// URL"
	case alert == alertExpired:
		reason = "the client finds this server's certificate expired or not valid yet: renew it, and compare the clocks of both machines"
	case alert >= alertBadCertificate && alert <= alertUnknownCA:
		reason = "the client does not accept this server's certificate and knows why: is it expired, is its authority in the client's ca.crt, is it for the name that the client connects by?"
	case strings.Contains(err.Error(), "didn't provide a certificate"):
		reason = "the client showed no certificate: give it one that an authority of the client CA file issued"
	case strings.Contains(err.Error(), "unsupported versions"):
		reason = "the client speaks no TLS 1.3, which is the oldest version used here"
	default:
		return err
	}
	return fmt.Errorf("%s (%w)", reason, err)
}

// whyRefused says why a client's certificate does not verify.
func whyRefused(err *tls.CertificateVerificationError) string {
	shown := "the client's certificate, " + describe(err.UnverifiedCertificates[0])
	switch {
	case untimely(err):
		return fmt.Sprintf("%s, %s: renew it for the client, and compare the clocks of both machines", shown, timeliness(err))
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return shown + ", comes from an authority that the client CA file does not hold: issue it by one of those, or add its authority there"
	}
	return shown + ", does not verify: is it one for clients (extended key usage clientAuth)?"
}

// untimely reports whether a certificate is past or before its time. crypto/x509
// has one reason for both.
func untimely(err error) bool {
	var invalid x509.CertificateInvalidError
	return errors.As(err, &invalid) && invalid.Reason == x509.Expired
}

// timeliness says which, of the certificate that it is: an authority's may be
// expired too.
func timeliness(err error) string {
	var invalid x509.CertificateInvalidError
	if !errors.As(err, &invalid) {
		return ""
	}
	whose := ""
	if invalid.Cert.IsCA {
		whose = "has an authority, " + describe(invalid.Cert) + ", that "
	}
	if time.Now().Before(invalid.Cert.NotBefore) {
		return whose + "is not valid before " + invalid.Cert.NotBefore.UTC().Format(time.RFC3339)
	}
	return whose + "expired at " + invalid.Cert.NotAfter.UTC().Format(time.RFC3339)
}

// describe names a certificate by its subject and issuer. Neither is to be
// trusted before it verifies: both are quoted and cut.
func describe(c *x509.Certificate) string {
	subject := cmp.Or(c.Subject.String(), hosts(c))
	return fmt.Sprintf("%q issued by %q", cut(subject), cut(c.Issuer.String()))
}

// hosts are the names and addresses that a certificate is for.
func hosts(c *x509.Certificate) string {
	all := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	return strings.Join(all, " ")
}

const maxName = 200

func cut(s string) string {
	if len(s) > maxName {
		s = s[:maxName] + "..."
	}
	return s
}

// opaque keeps the text of an error and hides what it is: a net.Error in it would
// pass for a server out of reach.
type opaque struct{ err error }

func (o opaque) Error() string { return o.err.Error() }
