package mounter

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/csi-9p/csi-9p/transport/mtls"
	"golang.org/x/sys/unix"
)

// Client asks a mounter. It is safe for concurrent use; every call is a
// connection of its own, and waits no longer than its context.
type Client struct {
	Path string // of the control socket
}

// Ping reports why the mounter does not answer.
func (c *Client) Ping(ctx context.Context) error {
	_, err := c.call(ctx, request{Call: callPing}, nil)
	return err
}

// Prepare makes sure that the volume can be served. It may be called again; a
// volume that is being served is then left to whoever still holds its mount.
func (c *Client) Prepare(ctx context.Context, spec Spec) error {
	_, err := c.call(ctx, request{Call: callPrepare, Spec: &spec}, nil)
	return err
}

// Serve hands over the /dev/fuse descriptor of a prepared volume's mount and
// returns when the mount is usable. dev stays the caller's, to be closed soon:
// the mount lives as long as any copy is open.
func (c *Client) Serve(ctx context.Context, volumeID string, dev *os.File) error {
	_, err := c.call(ctx, request{Call: callServe, Volume: volumeID}, dev)
	return err
}

// Release waits until the volume's connection has ended. If the mount is still
// held by someone when ctx is about to end, the error is ErrInUse and the volume
// is served until they let go. A volume that the mounter does not hold is no
// error.
func (c *Client) Release(ctx context.Context, volumeID string) error {
	_, err := c.call(ctx, request{Call: callRelease, Volume: volumeID}, nil)
	return err
}

// List returns every volume that the mounter holds.
func (c *Client) List(ctx context.Context) ([]Status, error) {
	r, err := c.call(ctx, request{Call: callList}, nil)
	return r.Volumes, err
}

// Status returns one volume's state, or ErrUnknownVolume.
func (c *Client) Status(ctx context.Context, volumeID string) (Status, error) {
	r, err := c.call(ctx, request{Call: callList, Volume: volumeID}, nil)
	if err != nil {
		return Status{}, err
	}
	if len(r.Volumes) != 1 {
		return Status{}, protocolError("%d volumes instead of one", len(r.Volumes))
	}
	return r.Volumes[0], nil
}

// Stats returns a volume's size and use.
func (c *Client) Stats(ctx context.Context, volumeID string) (Usage, error) {
	r, err := c.call(ctx, request{Call: callStats, Volume: volumeID}, nil)
	if err != nil {
		return Usage{}, err
	}
	if r.Usage == nil {
		return Usage{}, protocolError("an answer without figures")
	}
	return *r.Usage, nil
}

// Resize sets the size in bytes that a volume reports.
func (c *Client) Resize(ctx context.Context, volumeID string, bytes int64) error {
	_, err := c.call(ctx, request{Call: callResize, Volume: volumeID, Bytes: bytes}, nil)
	return err
}

// Renew gives a volume's session the content of a secret that may have changed;
// see Volumes.Renew.
func (c *Client) Renew(ctx context.Context, volumeID string, secret *mtls.PEM) error {
	_, err := c.call(ctx, request{Call: callRenew, Volume: volumeID, Secret: secret}, nil)
	return err
}

// call makes one exchange.
func (c *Client) call(ctx context.Context, req request, dev *os.File) (response, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", c.Path)
	if err != nil {
		return response{}, c.broken(ctx, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	req.Version, req.Millis = version, patience(ctx)
	// A mounter that refuses may have hung up already, with its reason said.
	if err := send(conn.(*net.UnixConn), req, dev); err != nil && !errors.Is(err, unix.EPIPE) {
		return response{}, c.broken(ctx, err)
	}
	var r response
	file, err := receive(conn.(*net.UnixConn), maxResponse, &r)
	if err == nil && file != nil {
		err = protocolError("an answer with a descriptor")
		_ = file.Close()
	}
	if err != nil {
		return response{}, c.broken(ctx, err)
	}
	if r.Error != nil {
		return r, fromWire(r.Error)
	}
	return r, nil
}

// broken is the error of an exchange that found no end. It hides an errno of
// the socket's, which says nothing about the volume.
func (c *Client) broken(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("waiting for the mounter on %s: %w", c.Path, cause)
	}
	return fmt.Errorf("%w on %s: %s; see whether csi-9p mounter runs on this node (the pod of csi-9p-mounter)", ErrUnreachable, c.Path, err.Error())
}

// patience is the time left to ctx, less what the answer needs to come in
// time; 0 if there is no limit.
func patience(ctx context.Context) int64 {
	deadline, ok := ctx.Deadline()
	if !ok {
		return 0
	}
	left := time.Until(deadline)
	return max(1, (left - min(left/4, 500*time.Millisecond)).Milliseconds())
}

// SocketPath takes the path out of unix:///path.
func SocketPath(endpoint string) (string, error) {
	path := strings.TrimPrefix(endpoint, "unix://")
	if !strings.HasPrefix(path, "/") {
		return "", fmt.Errorf("control socket %q: write unix:///path", endpoint)
	}
	return path, nil
}
