package dial

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/mdlayher/vsock"
	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/mtls"
	"github.com/csi-9p/csi-9p/transport/stream"
	"github.com/csi-9p/csi-9p/transport/virtio"
	"github.com/csi-9p/csi-9p/transport/virtio/pci"
)

// ErrUnsupported is wrapped by the error of a Listen where there is nothing to
// listen on.
var ErrUnsupported = errors.New("nobody can listen there")

// handshakeTimeout bounds the TLS handshake where no context does.
const handshakeTimeout = 15 * time.Second

// A device is given back by a reset, and by binding it to the kernel's driver.
const (
	giveBackTime  = 5 * time.Second
	giveBackPause = 50 * time.Millisecond
)

// attemptTimeout bounds one attempt to open a TCP connection. The kernel has
// sent its first packet twice by then (tcp_syn_retries of tcp(7)).
const attemptTimeout = 3 * time.Second

// Options shape the connections that Dial and Listen make.
type Options struct {
	// Stream is for the transports that are byte streams.
	Stream stream.Options
	// TLS has the certificates for tls:// URLs, which cannot do without.
	TLS mtls.Source
	// Memory is what the payload of a session lies in: it comes within reach of a
	// virtio device. Nil: that copies all payload.
	Memory *transport.Memory
	// AllowUnsafeDMA allows to drive a virtio device that no IOMMU stands before.
	AllowUnsafeDMA bool
}

// Dial connects to the server at u. ctx bounds the connecting, not the
// connection. Errors name the server and wrap those of the system or of packages
// mtls and pci.
func Dial(ctx context.Context, u URL, o Options) (transport.Conn, error) {
	if u.Scheme == Virtio {
		return dialVirtio(ctx, u, o)
	}
	c, err := connect(ctx, u, o)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", u, err)
	}
	o.Stream.Name = u.Scheme
	return stream.New(c, o.Stream), nil
}

// dialVirtio takes a device from the kernel, which has it back at the end of the
// connection.
func dialVirtio(ctx context.Context, u URL, o Options) (transport.Conn, error) {
	device, err := takeDevice(ctx, u.Host, pci.Options{AllowUnsafeDMA: o.AllowUnsafeDMA})
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", u, err)
	}
	c, err := virtio.New(ctx, device, virtio.Options{Memory: o.Memory})
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", u, err) // not a typed nil
	}
	return c, nil
}

// takeDevice waits for a device that is in use, for giveBackTime: a session that
// has just ended, of this process too, may not have given it back yet.
func takeDevice(ctx context.Context, tag string, o pci.Options) (*pci.Device, error) {
	for end := time.Now().Add(giveBackTime); ; {
		d, err := pci.Open(ctx, tag, o)
		if err == nil || !errors.Is(err, pci.ErrInUse) || time.Now().After(end) {
			return d, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(giveBackPause):
		}
	}
}

// connect makes the byte stream.
func connect(ctx context.Context, u URL, o Options) (net.Conn, error) {
	switch u.Scheme {
	case TCP:
		return connectTCP(ctx, u)
	case TLS:
		return connectTLS(ctx, u, o.TLS)
	case Unix:
		var d net.Dialer
		return d.DialContext(ctx, "unix", u.Path)
	case VSock:
		c, err := vsock.DialContext(ctx, u.CID, u.Port, nil)
		if err != nil {
			return nil, vsockError(err)
		}
		return c, nil
	}
	return nil, unknown(u.Scheme)
}

func connectTCP(ctx context.Context, u URL) (net.Conn, error) {
	hosts, err := net.DefaultResolver.LookupHost(ctx, u.Host) // which may take longer than an attempt
	if err != nil {
		return nil, err
	}
	return attempts(ctx, hosts, func(ctx context.Context, host string) (net.Conn, error) {
		var d net.Dialer
		u.Host = host
		return d.DialContext(ctx, "tcp", u.Address())
	})
}

// attempts calls connect for one host after the other, in turn, until one is
// connected, all have given an answer that is a refusal, or ctx ends.
// An attempt without an answer is given up after attemptTimeout for another, which
// comes from another port: what stands before a server that moves, as a
// Kubernetes Service does, goes on sending the packets of one connection to
// where the server was when its first one came.
func attempts(ctx context.Context, hosts []string, connect func(ctx context.Context, host string) (net.Conn, error)) (net.Conn, error) {
	for {
		answered := true
		var refusal error // the first
		for _, host := range hosts {
			attempt, cancel := context.WithTimeout(ctx, attemptTimeout)
			c, err := connect(attempt, host)
			answered = answered && attempt.Err() == nil
			cancel()
			if err == nil || ctx.Err() != nil {
				return c, err
			}
			if refusal == nil {
				refusal = err
			}
		}
		if answered {
			return nil, refusal
		}
	}
}

func connectTLS(ctx context.Context, u URL, from mtls.Source) (net.Conn, error) {
	if from == nil {
		return nil, mtls.ErrNone
	}
	c, err := connectTCP(ctx, u)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	secure, err := mtls.Client(ctx, c, cmp.Or(u.ServerName, u.Host), from)
	if err != nil {
		return nil, err // not a typed nil
	}
	return secure, nil
}

// unknown is the error of a scheme that is none.
func unknown(scheme string) error { return fmt.Errorf("%w: scheme %q", ErrURL, scheme) }

// vsockError says what to do where the kernel has no vsock to that context id
// (af_vsock.c: ENODEV without a transport to it, EADDRNOTAVAIL where it is not
// this machine's; ENOENT and EAFNOSUPPORT without vsock).
func vsockError(err error) error {
	for _, errno := range []error{unix.ENODEV, unix.EADDRNOTAVAIL, unix.ENOENT, unix.EAFNOSUPPORT} {
		if errors.Is(err, errno) {
			return fmt.Errorf("%w: the kernel has no vsock for that context id; "+
				"a guest needs the module vmw_vsock_virtio_transport, a host vhost_vsock, context id 1 vsock_loopback", err)
		}
	}
	return err
}
