package mtls

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
)

// Client makes c, which it owns from then on, the client's end of a TLS
// connection. name is the host name or address that the server's certificate
// must be for. ctx bounds the handshake. The server may have refused the
// client when it returns; then the first Read says so.
func Client(ctx context.Context, c net.Conn, name string, from Source) (*Conn, error) {
	own, err := credentials(ctx, from)
	if err != nil {
		_ = c.Close() // not a byte was exchanged
		return nil, err
	}
	name, _, _ = strings.Cut(name, "%") // the zone of an IPv6 address is this machine's affair
	beneath := &raw{Conn: c}
	conn := newConn(tls.Client(beneath, &tls.Config{
		ServerName: name,
		RootCAs:    own.authorities,
		MinVersion: tls.VersionTLS13,
		// Not tls.Config.Certificates, of which a server that hints at other
		// authorities gets none, and then tells that one is missing.
		GetClientCertificate:        func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own.certificate, nil },
		DynamicRecordSizingDisabled: true, // bulk is the rule
	}), beneath, own)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // the error at hand says more
		return nil, own.explainServer(ctx, err, name)
	}
	return conn, nil
}

// credentials asks a source that may not be there.
func credentials(ctx context.Context, from Source) (*Credentials, error) {
	if from == nil {
		return nil, ErrNone
	}
	return from.Credentials(ctx)
}
