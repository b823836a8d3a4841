package dial

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"

	"github.com/mdlayher/vsock"
	"golang.org/x/sys/unix"

	"github.com/csi-9p/csi-9p/transport/mtls"
)

// ErrInUse is wrapped by the error of a Listen on a unix socket that another
// process serves.
var ErrInUse = errors.New("another server listens there")

// Listen listens at u, whose Aname it ignores. A port 0 is chosen: the
// listener's Addr has it. The context id 4294967295 (VMADDR_CID_ANY) stands for
// any of this machine's. A unix socket that nobody listens on any more is
// replaced; any other file in its place is left alone and an error. Close
// removes the socket. The connections of a tls URL are *mtls.Conn, whose
// handshake is the accepting end's to do.
func Listen(ctx context.Context, u URL, o Options) (net.Listener, error) {
	l, err := listen(ctx, u, o)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", u, err)
	}
	return l, nil
}

func listen(ctx context.Context, u URL, o Options) (net.Listener, error) {
	var config net.ListenConfig
	switch u.Scheme {
	case TCP:
		return config.Listen(ctx, "tcp", u.Address())
	case TLS:
		return listenTLS(ctx, u, o.TLS)
	case Unix:
		return listenUnix(ctx, u.Path)
	case VSock:
		l, err := vsock.ListenContextID(u.CID, u.Port, nil)
		if err != nil {
			return nil, vsockError(err)
		}
		return l, nil
	case Virtio:
		return nil, fmt.Errorf("%w: a virtio device is the hypervisor's to serve", ErrUnsupported)
	}
	return nil, unknown(u.Scheme)
}

func listenTLS(ctx context.Context, u URL, from mtls.Source) (net.Listener, error) {
	if from == nil {
		return nil, mtls.ErrNone
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", u.Address())
	if err != nil {
		return nil, err
	}
	return mtls.NewListener(l, from), nil
}

// unixListener removes its socket at Close, and never another's that took its
// place.
type unixListener struct {
	*net.UnixListener
	path  string
	own   fs.FileInfo
	close sync.Once
}

func listenUnix(ctx context.Context, path string) (net.Listener, error) {
	if err := RemoveStale(ctx, path); err != nil {
		return nil, err
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	u := &unixListener{UnixListener: l.(*net.UnixListener), path: path}
	u.SetUnlinkOnClose(false)
	if u.own, err = os.Lstat(path); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return u, nil
}

// Close stops listening and removes the socket.
func (l *unixListener) Close() error {
	l.close.Do(func() {
		if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.own) {
			// A socket that stays is found stale by the next Listen.
			_ = os.Remove(l.path)
		}
	})
	return l.UnixListener.Close()
}

// RemoveStale removes the unix socket that a server left behind at path. It
// fails when something else is there, or a server that lives ([ErrInUse]).
func RemoveStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s is there and is no socket: remove it or choose another path", path)
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	if err == nil {
		return errors.Join(fmt.Errorf("%s: %w", path, ErrInUse), c.Close())
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		return fmt.Errorf("%s cannot be told to be unused: %w", path, err)
	}
	return os.Remove(path)
}
