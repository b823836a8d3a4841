package mounter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"

	"github.com/csi-9p/csi-9p/driver/params"
	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/node/gateway"
	"github.com/csi-9p/csi-9p/transport/dial"
	"github.com/csi-9p/csi-9p/transport/virtio/pci"
)

const (
	// lentBytes is how much payload all clients of a session have in flight together.
	lentBytes = 4 << 20
	// maxClients is how many there are of all sessions. With as many fids as each may have
	// they leave those of a server (65536 of csi-9p serve) to the volumes.
	maxClients = 16
)

// ServeSessions speaks 9P on a listener of Listen's: a client attaches a share by its URL, over the session that
// volumes have to its server, or one that is opened as for a volume without parameters of its own (package gateway). It
// serves until ctx ends and nothing is under way any more, for which Volumes.Close sees to. It closes the listener.
func ServeSessions(ctx context.Context, listener *net.UnixListener, volumes *Volumes) error {
	clients := make(chan struct{}, maxClients)
	return acceptAll(ctx, listener, func(ctx context.Context, conn *net.UnixConn) {
		logger := klog.FromContext(ctx)
		select {
		case clients <- struct{}{}:
			defer func() { <-clients }()
		default:
			logger.Info("Refused a 9P client on the sessions' socket: there are too many", "limit", maxClients)
			_ = conn.Close()
			return
		}
		err := checkPeer(conn)
		if err == nil {
			err = gateway.Serve(ctx, conn, volumes.lend)
		}
		_ = conn.Close()
		if err != nil {
			logger.Error(err, "Ended a 9P connection on the sessions' socket")
		}
	})
}

// lend lends a share to the gateway. The errno of the error is for its client.
func (vs *Volumes) lend(ctx context.Context, share string) (*gateway.Share, error) {
	url, err := dial.Parse(share)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", unix.EINVAL, err)
	}
	tls, err := Credentials{}.source(url, vs.TLS)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", unix.EACCES, err)
	}
	p := params.Defaults()
	s, err := vs.sessions.get(ctx, url, dial.Options{TLS: tls, AllowUnsafeDMA: vs.AllowUnsafeDMA}, p)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", openErrno(err), err)
	}
	release := func() { vs.sessions.put(s) }
	if err := s.suits(p); err != nil {
		release()
		return nil, fmt.Errorf("%w: %w", unix.EPROTONOSUPPORT, err)
	}
	s.clients.Add(1)
	return &gateway.Share{
		Session: s.Session, Aname: url.Aname, Flow: s.lent,
		Release: func() {
			s.clients.Add(-1)
			// Who makes volumes comes again: a device is not set up anew for each.
			time.AfterFunc(cmp.Or(vs.Linger, time.Minute), release)
		},
	}, nil
}

// openErrno is what a client is told of a server that could not be reached: none of the numbers that a server says of a tree.
func openErrno(err error) unix.Errno {
	switch {
	case errors.Is(err, pci.ErrNotFound):
		return unix.ENODEV
	case errors.Is(err, pci.ErrInUse):
		return unix.EBUSY
	case errors.Is(err, ninep.ErrDialect):
		return unix.EPROTONOSUPPORT
	}
	return unix.EHOSTUNREACH
}
