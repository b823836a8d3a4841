package mtls

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"
)

const (
	// closeTime is how long Close may take to tell a peer that takes nothing.
	closeTime = 100 * time.Millisecond
	// refusalTime is how long a refused peer may take to read why.
	refusalTime = time.Second
	// refusalBytes is what it may send meanwhile: a first message of 9P or two.
	refusalBytes = 64 << 10
)

// Conn is one end of a TLS connection. Beside what tls.Conn does it says why the
// other end refuses this one, ends without waiting for a dead peer, and writes
// messages that lie in pieces.
type Conn struct {
	*tls.Conn
	raw    *raw
	own    *Credentials // the client's; nil on the server
	record []byte       // WriteBuffers' own
}

func newConn(c *tls.Conn, beneath *raw, own *Credentials) *Conn {
	return &Conn{Conn: c, raw: beneath, own: own, record: make([]byte, 0, maxRecord)}
}

// raw is the connection beneath TLS.
type raw struct {
	net.Conn
	ending  atomic.Bool // no write waits longer than closeTime
	unheard bool        // the first byte of a client is still to come
}

// handshakeRecord is the type of a client's first record (RFC 8446, 5.1).
const handshakeRecord = 22

// errPlain is the reason of a client that speaks no TLS. Without a look at its
// first byte a server would wait for the rest of what it takes for a record:
// a Tversion begins like an alert.
var errPlain = errors.New("the first byte is not of TLS")

// Read implements net.Conn.
func (r *raw) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	if r.unheard && n > 0 {
		r.unheard = false
		if p[0] != handshakeRecord {
			return 0, errPlain
		}
	}
	return n, err
}

// SetWriteDeadline implements net.Conn. crypto/tls gives the last alert five
// seconds.
func (r *raw) SetWriteDeadline(t time.Time) error {
	if limit := time.Now().Add(closeTime); r.ending.Load() && t.After(limit) {
		t = limit
	}
	return r.Conn.SetWriteDeadline(t)
}

// NetConn returns the connection beneath.
func (c *Conn) NetConn() net.Conn { return c.raw.Conn }

// Peer names the certificate that the other end has shown; empty before the
// handshake.
func (c *Conn) Peer() string {
	if shown := c.ConnectionState().PeerCertificates; len(shown) > 0 {
		return describe(shown[0])
	}
	return ""
}

// Read implements net.Conn. A client's error wraps transport.ErrRefused when the
// server did not accept its certificate.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil && c.own != nil {
		err = c.own.alert(err)
	}
	return n, err
}

// CloseWrite tells the peer that nothing more comes. It waits a tenth of a
// second at most.
func (c *Conn) CloseWrite() error {
	c.raw.ending.Store(true)
	return c.Conn.CloseWrite()
}

// Close implements net.Conn. A peer that takes nothing delays it by a tenth of a
// second at most.
func (c *Conn) Close() error {
	c.raw.ending.Store(true)
	return c.Conn.Close()
}

// HandshakeContext shakes hands as tls.Conn's does. The server's error says what
// is wrong with the client; the client is given a second to read its own, or
// until ctx ends.
func (c *Conn) HandshakeContext(ctx context.Context) error {
	err := c.Conn.HandshakeContext(ctx)
	if err == nil || c.own != nil {
		return err
	}
	err = explainClient(ctx, err)
	if ctx.Err() == nil {
		c.linger(ctx)
	}
	return err
}

// linger takes what a refused client still sends until it closes: TCP drops the
// alert on its way when a socket is closed that has unread input (RFC 2525,
// 2.17).
func (c *Conn) linger(ctx context.Context) {
	half, ok := c.raw.Conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	if c.raw.SetReadDeadline(time.Now().Add(refusalTime)) == nil {
		defer context.AfterFunc(ctx, func() { _ = c.raw.SetReadDeadline(time.Now()) })()
		// However it ends, the connection is closed next.
		_, _ = io.CopyN(io.Discard, c.raw.Conn, refusalBytes)
	}
}
