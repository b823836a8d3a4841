package dial

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/mdlayher/vsock"
	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/stream"
)

// ErrUnsupported is wrapped by the error of a scheme that is known but not
// served by this release.
var ErrUnsupported = errors.New("not supported by this release")

// Options shape the connections that Dial makes.
type Options struct {
	// Stream is for the transports that are byte streams.
	Stream stream.Options
}

// Dial connects to the server at u. ctx bounds the connecting, not the
// connection. Errors name the server and wrap those of the system, or
// ErrUnsupported.
func Dial(ctx context.Context, u URL, o Options) (transport.Conn, error) {
	c, err := connect(ctx, u)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", u, err)
	}
	o.Stream.Name = u.Scheme
	return stream.New(c, o.Stream), nil
}

// connect makes the byte stream.
func connect(ctx context.Context, u URL) (net.Conn, error) {
	var d net.Dialer
	switch u.Scheme {
	case TCP:
		return d.DialContext(ctx, "tcp", u.Address())
	case Unix:
		return d.DialContext(ctx, "unix", u.Path)
	case VSock:
		c, err := vsock.DialContext(ctx, u.CID, u.Port, nil)
		if err != nil {
			return nil, vsockError(err)
		}
		return c, nil
	}
	return nil, unsupported(u.Scheme)
}

// unsupported is the error of a scheme that Dial and Listen cannot serve.
func unsupported(scheme string) error {
	switch scheme {
	case TLS, Virtio:
		return fmt.Errorf("%s:// comes with a later release: %w", scheme, ErrUnsupported)
	}
	return fmt.Errorf("%w: scheme %q", ErrURL, scheme)
}

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
