// Package mtls makes TLS connections on which both ends show a certificate: the
// credentials of an end and where they come from, their renewal while
// connections live, and what to tell people when one end refuses the other.
//
// The protocol is TLS 1.3 (RFC 8446) and nothing older, without session
// tickets, so that every connection verifies every certificate anew. A client's
// certificate is verified after the client's handshake is over: a refusal comes
// to it as an alert in the place of the first reply, and Conn.Read makes an
// error of it that wraps transport.ErrRefused.
package mtls

import (
	"errors"

	"github.com/csi-9p/csi-9p/transport"
)

var (
	// ErrNone is wrapped by the error of a tls:// connection without credentials.
	ErrNone = errors.New("no TLS credentials")
	// ErrSecret is wrapped by the errors of credentials that came as a secret and
	// cannot be used.
	ErrSecret = errors.New("TLS secret")
	// ErrFiles is wrapped by the errors of credentials that came as files and
	// cannot be used.
	ErrFiles = errors.New("TLS files")
	// ErrServer is wrapped by the errors of a server that is not the one that the
	// client trusts: its certificate does not verify, or it speaks no TLS 1.3.
	ErrServer = errors.New("the server cannot be trusted")
)

// IsSetup reports whether err says that the two ends are not set up for each
// other, which the people who set them up have to mend: trying again does not.
func IsSetup(err error) bool {
	for _, cause := range []error{ErrNone, ErrSecret, ErrFiles, ErrServer, transport.ErrRefused} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return false
}
