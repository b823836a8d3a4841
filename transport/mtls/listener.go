package mtls

import (
	"crypto/tls"
	"net"
)

// Listener makes the server's ends of TLS connections.
type Listener struct {
	net.Listener
	config *tls.Config
}

// NewListener makes connections of those that l accepts. Every client must show
// a certificate that verifies. Accept waits for no handshake: the connection's
// owner calls HandshakeContext, with a limit.
func NewListener(l net.Listener, from Source) *Listener {
	return &Listener{Listener: l, config: &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			own, err := credentials(hello.Context(), from)
			if err != nil {
				return nil, err
			}
			return &tls.Config{
				MinVersion:                  tls.VersionTLS13,
				Certificates:                []tls.Certificate{own.certificate},
				ClientCAs:                   own.authorities,
				ClientAuth:                  tls.RequireAndVerifyClientCert,
				SessionTicketsDisabled:      true,
				DynamicRecordSizingDisabled: true,
			}, nil
		},
	}}
}

// Accept implements net.Listener. Its connections are *Conn.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	beneath := &raw{Conn: c, unheard: true}
	return newConn(tls.Server(beneath, l.config), beneath, nil), nil
}
