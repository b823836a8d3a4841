package topology

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/csi-9p/csi-9p/driver"
	"github.com/csi-9p/csi-9p/driver/record"
	"github.com/csi-9p/csi-9p/ninep"
	"github.com/csi-9p/csi-9p/transport"
	"github.com/csi-9p/csi-9p/transport/dial"
	"github.com/google/uuid"
	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"
)

// NoDevice is what a mounter answers an attach with whose device this machine
// does not have.
const NoDevice = unix.ENODEV

// patience bounds Node.Topology, which the kubelet waits for when it registers
// the driver. To take a device takes seconds at most.
const patience = 10 * time.Second

// Node tells which shares this node has, by attaching to them. Its method is
// safe for concurrent use.
type Node struct {
	Mounter string // path of the socket at which it speaks 9P
	Shares  Shares // that the node may have; none: Topology is nil

	mu    sync.Mutex
	known map[dial.URL]uuid.UUID // as last asked; uuid.Nil: the node does not have it
}

// Topology returns the segments of the shares that the node has. A share whose
// device is not there is left out. One that cannot be asked is what it was
// before: the kubelet asks when it is restarted, whatever its servers do. One
// that never could be asked is an error: an answer without it would hold until
// the driver is registered anew. A nil Node has no topology.
func (n *Node) Topology(ctx context.Context) (*csi.Topology, error) {
	if n == nil || len(n.Shares) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.ask(ctx); err != nil {
		if len(n.known) < len(n.Shares) {
			return nil, err
		}
		klog.FromContext(ctx).Error(err, "Cannot ask the node's shares: told as they were")
	}
	has := slices.DeleteFunc(slices.Collect(maps.Values(n.known)), func(id uuid.UUID) bool { return id == uuid.Nil })
	return Of(has...), nil
}

// ask learns who the shares are. n.mu is held.
func (n *Node) ask(ctx context.Context) error {
	session, err := ninep.Open(ctx, ninep.Config{ReconnectTimeout: -1, Dial: func(ctx context.Context) (transport.Conn, error) {
		return dial.Dial(ctx, dial.URL{Scheme: dial.Unix, Path: n.Mounter}, dial.Options{})
	}})
	if err != nil {
		return fmt.Errorf("%w: the node's mounter: %w; see whether csi-9p mounter runs on this node, with --sessions-listen", driver.ErrUnavailable, err)
	}
	defer session.Close()
	if n.known == nil {
		n.known = make(map[dial.URL]uuid.UUID)
	}
	for _, share := range n.Shares {
		id, err := identify(ctx, session, share)
		if errors.Is(err, NoDevice) {
			klog.FromContext(ctx).Info("This node does not have a share", "share", share.String(), "reason", err.Error())
		} else if err != nil {
			return fmt.Errorf("share %s: %w", share, err)
		}
		n.known[share] = id
	}
	return nil
}

// identify returns a share's UUID, uuid.Nil with an error.
func identify(ctx context.Context, session *ninep.Session, share dial.URL) (uuid.UUID, error) {
	root, err := session.Attach(ctx, ninep.AttachOptions{Aname: share.String()})
	if err != nil {
		return uuid.Nil, fmt.Errorf("%w%s", err, driver.AttachAdvice(err))
	}
	defer root.Drop()
	id, err := Identify(ctx, root)
	if err != nil {
		return uuid.Nil, fmt.Errorf("%w%s", err, driver.Advice(err))
	}
	return id, nil
}

// Identify returns the UUID of the share whose root is given.
func Identify(ctx context.Context, root *ninep.Fid) (uuid.UUID, error) {
	store, err := record.Make(ctx, root)
	if err != nil {
		return uuid.Nil, err
	}
	defer store.Close()
	return store.Share(ctx)
}
